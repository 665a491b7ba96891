"""Recipes on two ranks: the folder is claimed once, each rank resumes at its own place, sharded weights are saved."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lpm.model.checkpoint import load
from lpm.records.files import locked
from lpm.records.run import read

ROOT = Path(__file__).parents[2]


def launch(kind: str, folder: Path, stop: int = -1, resume: bool = False, check: bool = True, ranks: int = 2) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "-m"]
    words = ["tests.recipes.ranks", kind, str(folder), "6", str(stop), "resume" if resume else "new"]
    done = subprocess.run([*command, *words], cwd=ROOT, env=environment, check=False, timeout=300)
    assert (done.returncode == 0) == check


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_stopped_and_resumed_on_two_ranks_equals_uninterrupted(kind: str, tmp_path: Path) -> None:
    launch(kind, tmp_path / "whole")
    launch(kind, tmp_path / "cut", stop=5, check=False)
    launch(kind, tmp_path / "cut", resume=True)
    a, b = (load_file(tmp_path / n / "weights.safetensors") for n in ("whole", "cut"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert set(load(tmp_path / "whole").state_dict()) == set(a)


@pytest.mark.slow
def test_a_second_run_in_one_folder_is_refused_on_two_ranks_too(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "lpm.train.launch.ranks", "--standalone", "--nproc-per-node=2", "-m"]
    words = ["tests.recipes.ranks", "ddp", str(tmp_path), "6", "-1", "new"]
    with locked(tmp_path):
        done = subprocess.run(
            [*command, *words], cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("lpm: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"lpm: rank 0 failed: ValueError: {tmp_path}: another process writes to it")
    assert {p.name for p in tmp_path.iterdir()} <= {".lock", "run.jsonl"}


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_ranks_and_sharded(tmp_path: Path) -> None:
    """One process, then two that hold halves of the weights, then one again: one curve, one record."""
    launch("ddp", tmp_path, stop=3, check=False, ranks=1)
    launch("fsdp", tmp_path, stop=5, resume=True, check=False)
    launch("ddp", tmp_path, resume=True, ranks=1)
    events = read(tmp_path)
    assert [(e["resumed"], e["ranks"]) for e in events if e["event"] == "start"] == [(False, 1), (True, 2), (True, 1)]
    steps = [e["step"] for e in events if e["event"] == "step"]
    assert sorted(set(steps)) == [1, 2, 3, 4, 5, 6]
    assert all(bool(p.isfinite().all()) for p in load(tmp_path).state_dict().values())
