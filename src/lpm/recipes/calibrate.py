"""Calibrate the classifiers of a run on validation events; what is found lies beside the weights, as JSON.

    calibrate("run", open_file("valid.parquet").batches())

From then on `lpm predict run …` writes calibrated scores. The file may be removed to have the model's own again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.metrics.calibration import Calibration, fit_isotonic, fit_temperature
from lpm.model.checkpoint import check_schema, load, resolve
from lpm.model.heads import Classify
from lpm.model.heads.base import class_index
from lpm.records.config import from_dict, to_dict
from lpm.records.files import atomic_file

__all__ = ["FILE", "calibrate", "read_calibrations"]

FILE = "calibration.json"
"""Name of the file in the folder of a run."""


def calibrate(
    run: str | Path, batches: Iterable[Batch], method: Literal["temperature", "isotonic"] = "temperature"
) -> dict[str, Calibration]:
    """Fit a calibration to each classifier of a run and write it beside the weights.

    Args:
        run: Folder of the run.
        batches: Labelled events that did not train the model. Labels that are not sure to be one class are left out.
        method: One number for all classes, or a map for each, which needs thousands of events.

    Returns:
        {head: calibration}.

    Raises:
        ValueError: If the model has no classifier, the events are not of its kind, or none has a sure label.
    """
    if method not in ("temperature", "isotonic"):
        raise ValueError(f"method {method!r}: expected 'temperature' or 'isotonic'")
    model, folder = load(run), resolve(run)
    heads = {n: h.config for n in model.heads if isinstance(h := model.head(n), Classify)}
    if not heads:
        raise ValueError(f"{run}: has no classifier to calibrate; it has: {', '.join(model.heads)}")
    scores: dict[str, list[NDArray[np.float64]]] = {n: [] for n in heads}
    labels: dict[str, list[NDArray[np.int64]]] = {n: [] for n in heads}
    for batch in batches:
        check_schema(model, batch.schema, "the validation events")
        answers = model.predict(batch, tuple(heads))
        for name, c in heads.items():
            index = class_index(batch, c.target, c.classes, c.groups)
            scores[name].append(answers[name][index >= 0].double().numpy())
            labels[name].append(index[index >= 0].numpy())
    fit = fit_temperature if method == "temperature" else fit_isotonic
    found = {}
    for name, c in heads.items():
        if not sum(map(len, labels[name])):
            raise ValueError(f"{c.target}: no validation event has a sure label of head {name!r}; use labelled events")
        found[name] = fit(np.concatenate(scores[name]), np.concatenate(labels[name]), c.classes)
    with atomic_file(folder / FILE) as path:
        path.write_text(json.dumps({n: to_dict(c) for n, c in found.items()}, indent=1) + "\n", encoding="utf-8")
    return found


def read_calibrations(run: str | Path) -> dict[str, Calibration]:
    """The calibrations of a run by head; none if it was not calibrated.

    Raises:
        ValueError: If the file is damaged.
    """
    path = resolve(run) / FILE
    if not path.is_file():
        return {}
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return from_dict(dict[str, Calibration], raw, FILE)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot read the calibration: {error}; fit it anew or remove the file") from error
