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

ROOT = Path(__file__).parents[2]


def launch(kind: str, folder: Path, stop: int = -1, resume: bool = False, check: bool = True) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
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
