"""Calibration of a run: stored beside the weights, used by predictions, refused when damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from lpm.cli.main import app
from lpm.data.batch import Batch
from lpm.data.fields import JETCLASS
from lpm.data.io import open_file, write_batches
from lpm.model.checkpoint import load
from lpm.recipes import RECIPES
from lpm.recipes.apply import predict
from lpm.recipes.calibrate import FILE, calibrate, read_calibrations
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny


@pytest.fixture
def jets(toy_jets: Callable[..., Batch]) -> Batch:
    batch = toy_jets(400)
    field = replace(batch.schema.field("jet.label"), labels=JETCLASS)
    return batch.with_field("jet", field, batch.field("jet.label").values * JETCLASS.index("Tbqq"))


@pytest.fixture
def run(jets: Batch, tmp_path: Path) -> Path:
    execute(tiny(RECIPES["jets.top"](size=2)), tmp_path / "run", device="cpu", batch=jets)
    return tmp_path / "run"


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_predictions_are_calibrated_from_then_on(method: str, run: Path, jets: Batch, tmp_path: Path) -> None:
    write_batches(tmp_path / "jets.parquet", [jets], schema=jets.schema)
    files = [tmp_path / f"{n}.parquet" for n in ("before", "after")]
    command = ["predict", str(run), str(tmp_path / "jets.parquet")]
    assert CliRunner().invoke(app, [*command, str(files[0]), "--quiet"]).exit_code == 0
    found = calibrate(run, [jets[:200]], method)  # type: ignore[arg-type]
    assert read_calibrations(run) == found
    assert (run / FILE).is_file()
    assert CliRunner().invoke(app, [*command, str(files[1]), "--quiet"]).exit_code == 0
    before, after = (next(open_file(f).batches()).field("jet.score").values for f in files)
    raw = torch.stack([1 - before, before], 1).double().numpy()
    torch.testing.assert_close(after.double(), torch.from_numpy(found["label"](raw)[:, 1]), atol=1e-3, rtol=0)
    assert not torch.equal(before, after)


def test_without_a_calibration_scores_are_those_of_the_model(run: Path, jets: Batch) -> None:
    assert read_calibrations(run) == {}
    (a,), (b,) = predict(load(run), [jets], "jets"), predict(load(run), [jets], "jets", calibrations={})
    assert torch.equal(a.field("jet.score").values, b.field("jet.score").values)


def test_bad_input_is_named(run: Path, jets: Batch) -> None:
    unknown = jets.with_field("jet", jets.schema.field("jet.label"), torch.full((400,), torch.nan))
    with pytest.raises(ValueError, match="no validation event has a sure label of head 'label'"):
        calibrate(run, [unknown])
    with pytest.raises(ValueError, match="method 'linear': expected 'temperature' or 'isotonic'"):
        calibrate(run, [jets], "linear")  # type: ignore[arg-type]
    (run / FILE).write_text('{"label": {"kind": "Calibration"}}')
    with pytest.raises(ValueError, match=r"calibration\.json: cannot read the calibration.*fit it anew"):
        read_calibrations(run)
