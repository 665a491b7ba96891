"""Jet origin: from which of eleven partons does a jet of an electron-positron collision come?"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.data.fields import ORIGINS
from lpm.metrics.estimate import Estimate
from lpm.metrics.migration import migration_counts, origin_metrics
from lpm.metrics.roc import roc_auc_one_vs_one
from lpm.model.heads.base import class_index
from lpm.tasks.base import Task, paired

__all__ = ["ORIGIN", "migration"]


def migration(predicted: Batch, truth: Batch | None = None) -> NDArray[np.int64]:
    """(11, 11) how many jets of each of `ORIGINS` (row) are taken for each (column).

    Args:
        predicted: Jets with `jet.score_<origin>`.
        truth: The same jets with `jet.label`; None if the predicted ones hold it.

    Raises:
        ValueError: If scores or labels are missing.
    """
    return migration_counts(*_scored(predicted, truth))


def _scored(predicted: Batch, truth: Batch | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(N, 11) scores and (N,) labels of the jets whose origin is known."""
    source = paired(predicted, truth)
    missing = [n for n in ORIGINS if f"jet.score_{n}" not in predicted.schema]
    if missing:
        raise ValueError(f"the events have no jet.score_{missing[0]}; add scores of all origins with lpm predict")
    labels = class_index(source, "jet.label", ORIGINS, {})
    known = labels >= 0
    if not bool(known.any()):
        raise ValueError("no jet has a label among the origins; name a file with jet.label as the third argument")
    scores = torch.stack([predicted.field(f"jet.score_{n}").values for n in ORIGINS], 1)
    return scores[known].double().numpy(), labels[known].numpy()


def _evaluate(predicted: Batch, truth: Batch | None, seed: int) -> dict[str, Estimate]:
    """Tagging efficiencies, charge-flip rates, accuracy and AUC."""
    scores, labels = _scored(predicted, truth)
    out = origin_metrics(migration_counts(scores, labels), ORIGINS)
    if len(np.unique(labels)) == len(ORIGINS):
        out["auc"] = roc_auc_one_vs_one(scores, labels, seed=seed)
    return {name: value for name, value in out.items() if np.isfinite(value.value)}


ORIGIN = Task(
    name="jets.origin",
    text="From which quark, antiquark or gluon does this jet come?",
    prepare=lambda batch: batch,
    evaluate=_evaluate,
)
