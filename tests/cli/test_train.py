"""`lpm train` as a user meets it: settings reach the run, an interrupted one says how to go on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lpm.cli.train import _chosen, _config
from lpm.recipes import RECIPES, RunConfig
from lpm.records.config import to_dict

COMMAND = [sys.executable, "-c", "from lpm.cli.main import main; main()", "train"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def train(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, words)], env=ENVIRONMENT, capture_output=True, text=True, check=False)


def test_low_rank_and_layer_decay_by_set(tmp_path: Path) -> None:
    """The frozen body moves only by what the low-rank additions were merged into it."""
    base, top = tmp_path / "base", tmp_path / "top"
    made = train("jets.base", "--tiny", "--out", base, "--quiet", "--seed", "3")
    assert made.returncode == 0, made.stderr
    words = ["jets.top", "--tiny", "--out", top, "--start", base, "--quiet"]
    made = train(*words, "--set", "start.rank=4", "--set", "train.layer_decay=0.5")
    assert made.returncode == 0, made.stderr
    recipe = json.loads((top / "recipe.json").read_text())
    assert (recipe["start"]["rank"], recipe["train"]["layer_decay"]) == (4, 0.5)
    a, b = (load_file(p / "weights.safetensors") for p in (base, top))
    assert torch.equal(a["backbone.norm.weight"], b["backbone.norm.weight"])
    change = (b["backbone.blocks.0.up.weight"] - a["backbone.blocks.0.up.weight"]).double()
    assert 0 < torch.linalg.matrix_rank(change, rtol=1e-3) <= 4
    assert str(tmp_path) not in (top / "card.md").read_text()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child alone")
def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    words = ["jets.base", "--size", "1", "--out", str(tmp_path / "run"), "--quiet", "--set", "data.budget=500"]
    process = subprocess.Popen([*COMMAND, *words], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    record, end = tmp_path / "run" / "run.jsonl", time.monotonic() + 120
    while not (record.is_file() and '"event": "step"' in record.read_text()):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip().splitlines() == [
        f"lpm: interrupted; go on with: lpm train jets.base --out {tmp_path / 'run'} --resume"
    ]
    assert (tmp_path / "run" / "training" / "state.json").is_file()


def test_a_run_goes_on_as_it_was_started(tmp_path: Path) -> None:
    """Options that would change nothing are refused, those that it was started with are taken."""
    out = tmp_path / "run"
    words = ["--data", "sample:jets", "--seed", "3", "--size", "2", "--with", "inputs=full"]
    config = _chosen("jets.pfn", None, ["sample:jets"], None, 2, None, ["inputs=full"], 3, False, None)
    out.mkdir()
    (out / "recipe.json").write_text(json.dumps(to_dict(config)))

    def again(*given: Any) -> RunConfig:
        return _chosen("jets.pfn", out, *given)

    assert again(None, None, None, None, None, None, False, None) == config
    assert again(["sample:jets"], None, 2, None, ["inputs=full"], 3, False, None) == config
    for given, named in (
        ((["other/"], None, None, None, None, None, False, None), "--data"),
        ((None, None, None, None, None, 4, False, None), "--seed"),
        ((None, None, None, None, ["inputs=kinematics"], None, False, None), "--with"),
        ((["other/"], None, None, None, None, 4, False, None), "--data, --seed"),
    ):
        with pytest.raises(ValueError, match=rf"goes on with jets\.pfn as it was started, not with other {named}"):
            again(*given)
    made = train("jets.pfn", "--out", out, "--resume", *words[:2], "--seed", "5")
    assert (made.returncode, len(made.stderr.splitlines())) == (1, 1)


def test_a_body_that_is_started_from_says_the_size() -> None:
    assert _config("jets.top", None, None, None, "jets-base", None) == _config(
        "jets.top", None, None, 3, "jets-base", None
    )
    assert _config("jets.top", None, None, None, None, None) == _config("jets.top", None, None, 4, None, None)


def test_arguments_of_the_recipe(tmp_path: Path) -> None:
    made = train("jets.base", "--tiny", "--out", tmp_path / "run", "--quiet", "--with", "observe=false")
    assert made.returncode == 0, made.stderr
    assert list(json.loads((tmp_path / "run" / "recipe.json").read_text())["model"]["heads"]) == ["next"]


@pytest.mark.parametrize("text", ["1-photons,2", "1-photons, 2", '["1-photons", "2"]', '["1-photons", 2]'])
def test_names_by_commas_and_names_that_look_like_numbers(text: str) -> None:
    def made(recipe: str, choice: str) -> RunConfig:
        return _config(recipe, None, None, 1, None, [choice])

    both = RECIPES["calorimeter.universal"](size=1, datasets=("1-photons", "2"))
    assert made("calorimeter.universal", f"datasets={text}") == both
    assert made("calorimeter.flow", "dataset=2") == RECIPES["calorimeter.flow"](size=1, dataset="2")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("inputs=some", "expected 'kinematics' or 'full'"),
        ("inputs", "expected NAME=VALUE, such as --with inputs=full"),
        ("colour=1", "unexpected keyword argument 'colour'"),
        ("data=jets/", "files to train on are named by --data"),
    ],
)
def test_arguments_that_the_recipe_does_not_take(entry: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _config("jets.pfn", None, None, 1, None, [entry])
