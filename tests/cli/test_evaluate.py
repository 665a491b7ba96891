"""`lpm evaluate` prints each metric with its interval, for people and for machines."""

import json

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from lpm.cli.evaluate import evaluate
from lpm.data.batch import Batch
from lpm.data.fields import jets_schema
from lpm.data.io.parquet import write_batches
from lpm.data.schema import Field
from lpm.sim.pid import simulate

METRICS = ["auc", "accuracy", "rejection@0.3", "rejection@0.5", "ece"]


@pytest.fixture
def scored(tmp_path):
    """600 jets with a label and a score that tells them apart, mostly."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 600)
    score = 1 / (1 + np.exp(-rng.normal(3.0 * (2 * label - 1), 2.0)))
    columns = {"particle.pt": torch.ones(600), "jet.score": torch.tensor(score), "jet.label": torch.tensor(label)}
    batch = Batch.build(jets_schema(["pt"], ["score"], ["QCD", "top"]), columns, {"particle": torch.ones(600).long()})
    path = tmp_path / "scored.parquet"
    write_batches(path, [batch], schema=batch.schema)
    return path


def run(*arguments):
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "100"})


def test_json_holds_value_low_and_high(scored):
    result = run("jets.top", scored, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert list(found) == METRICS
    assert 0.9 < found["auc"]["low"] < found["auc"]["value"] < found["auc"]["high"] <= 1
    assert run("jets.top", scored, "--json").stdout == result.stdout


def test_table_names_every_metric(scored):
    result = run("jets.top", scored)
    assert all(m in result.stdout for m in METRICS)
    assert "±" in result.stdout


def test_names_in_brackets_are_printed(tmp_path):
    """A table takes [e] and [p] for markup unless it is told not to."""
    batch = simulate(500, seed=1)
    for i, name in enumerate(("e", "mu", "pi", "K", "p")):
        score = (batch.field("track.species").values == i).float()
        batch = batch.with_field("track", Field(name=f"score_{name}", low=0.0, high=1.0), score)
    write_batches(tmp_path / "tracks.parquet", [batch], schema=batch.schema)
    text = run("pid", tmp_path / "tracks.parquet").stdout
    assert all(f" f1[{name}] " in text for name in ("e", "mu", "pi", "K", "p"))


def test_metrics_are_chosen_by_name_or_by_their_stem(scored):
    found = json.loads(run("jets.top", scored, "--json", "--metrics", "auc, rejection").stdout)
    assert list(found) == ["auc", "rejection@0.3", "rejection@0.5"]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("jets.bottom",), "unknown task 'jets.bottom'; there are: jets.top"),
        (("jets.top", "--metrics", "beauty"), "unknown metric 'beauty'"),
        (("jets.top", "--metrics", "au"), "unknown metric 'au'"),
        (("jets.generation",), "third argument"),
        (("jets.top", "--dataset", "2", "--seeds", "1"), "--dataset, --seeds: for lpm evaluate calorimeter only"),
    ],
)
def test_wrong_wishes_fail_in_one_line(scored, arguments, match):
    result = run(arguments[0], scored, *arguments[1:])
    assert result.exit_code == 1
    assert isinstance(result.exception, ValueError)
    assert match in str(result.exception)
    assert "\n" not in str(result.exception)


def test_advice_on_a_faulty_event_can_be_followed(tmp_path):
    """This command has no --on-bad; converting has."""
    columns = {"particle.pt": torch.tensor([1.0, -1.0]), "jet.score": torch.zeros(2), "jet.label": torch.zeros(2)}
    batch = Batch.build(jets_schema(["pt"], ["score"], ["QCD", "top"]), columns, {"particle": torch.ones(2).long()})
    write_batches(tmp_path / "bad.parquet", [batch], schema=batch.schema)
    result = run("jets.top", tmp_path / "bad.parquet")
    assert "entry 1: particle.pt[0] is -1 GeV" in str(result.exception)
    assert str(result.exception).endswith("mend the file, or leave such events out by lpm convert --on-bad skip")


def test_missing_file_is_named(tmp_path):
    result = run("jets.top", tmp_path / "none.parquet")
    assert result.exit_code == 1
    assert "none.parquet" in str(result.exception)
