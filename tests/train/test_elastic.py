"""Several ranks: their number and how weights are spread may change on the way; the end of one is told in a line."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lpm.records.weights import load_tensors
from lpm.train.launch import LAUNCHERS, Job, LaunchConfig, carry_out
from lpm.train.loop import fit
from lpm.train.parallel import World
from tests.train.test_loop import CONFIG, ROOT
from tests.train.toy import Counted, Line, held

ONE = World(0, 1, torch.device("cpu"))


def launch(*words: str | Path, ranks: int = 2) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "lpm.train.launch.ranks", "--standalone", f"--nproc-per-node={ranks}", "-m"]
    command += ["tests.train.ranks", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=400)


def alone(folder: Path, optimiser: Any, stop: int = 0, resume: bool = False) -> None:
    """The same training in this process."""

    def record(event: str, **content: Any) -> None:
        if event == "step" and content["step"] == stop:
            signal.raise_signal(signal.SIGTERM)

    torch.manual_seed(0)
    model = Line()
    model.drop.p = 0.0
    config = replace(CONFIG, optimiser=optimiser)
    fit(model, Counted(), config, record=record, valid=held, folder=folder, resume=resume, place=ONE)


def state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    content = json.loads((folder / "training" / "state.json").read_text())
    tensors = {}
    for name in ("weights", "optimiser", "average", "best"):
        tensors |= {f"{name}/{k}": v for k, v in load_tensors(folder / "training" / f"{name}.safetensors").items()}
    return tensors, content


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then", "optimiser"), [("ddp", "fsdp", "adamw"), ("fsdp", "ddp", "muon")])
def test_one_then_two_ranks_then_spread_otherwise_then_one(
    first: str, then: str, optimiser: str, tmp_path: Path
) -> None:
    """All ranks see the same batches here, so weights, moments and averages are those of one process throughout."""
    folder, whole = tmp_path / "changed", tmp_path / "whole"
    with pytest.raises(KeyboardInterrupt):
        alone(folder, optimiser, stop=10)
    for kind, step in ((first, 20), (then, 30)):
        done = launch(kind, optimiser, folder, "resume-stop", str(step))
        assert done.returncode == 130, done.stderr
        _, content = state(folder)
        assert content["step"] == step
        assert "items.1" in content
    alone(folder, optimiser, resume=True)
    alone(whole, optimiser)
    (a, one), (b, other) = state(whole), state(folder)
    assert set(a) == set(b)
    for name, tensor in a.items():
        torch.testing.assert_close(tensor, b[name], atol=1e-5, rtol=1e-4)
    assert one["best"] == pytest.approx(other["best"], rel=1e-4)
    assert "items.1" not in other


def test_a_rank_that_was_not_there_draws_other_numbers_than_the_first(tmp_path: Path) -> None:
    from lpm.train.checkpoint import Parts, load_state, save_state

    model = Line()
    parts = Parts(model, torch.optim.AdamW(model.parameters()), None, None)
    save_state(tmp_path / "s", parts, {"step": 1}, {"place": 3}, ONE)
    draws = []
    for rank in (0, 1, 2, 1):
        place = World(rank, 1, torch.device("cpu"))
        assert load_state(tmp_path / "s", parts, place)["items"] == [{"place": 3}]
        draws.append(float(torch.rand(())))
    assert len(set(draws)) == 3
    assert draws[1] == draws[3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "why"),
    [("raise", "ValueError: no such file"), ("kill", "killed by SIGKILL, perhaps for want of memory")],
)
def test_a_rank_that_fails_is_named_in_one_line(way: str, why: str, tmp_path: Path) -> None:
    done = launch("ddp", "adamw", tmp_path, way, "17")
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("lpm: ")]
    assert lines == [f"lpm: rank 1 failed: {why}; all ranks were stopped, the last checkpoint is kept"]
    assert state(tmp_path)[1]["step"] == 14


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_out_of_memory_on_one_rank_ends_all_and_the_next_start_goes_on_in_portions(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The launcher makes it; the limit is halved in each, until all fits; the result is that of whole batches."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    job = Job(tmp_path, ("-m", "tests.train.ranks", kind, "adamw", str(tmp_path), "memory"))
    assert carry_out(LAUNCHERS["torchrun"]([job], LaunchConfig(kind="torchrun", ranks=2))) == 0
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("lpm: ")]
    assert len(said) == 4
    for (failed, again), tokens, largest in zip((said[:2], said[2:]), (16, 8), (8, 4), strict=True):
        assert f"rank 1 is out of memory at step 1 with {tokens} tokens" in failed
        assert f"portions of {largest}; all ranks were stopped" in failed
        assert again.startswith("lpm: starting again with --resume")
    alone(tmp_path / "alone", "adamw")
    (a, _), (b, _) = state(tmp_path / "alone"), state(tmp_path)
    for name, tensor in a.items():
        torch.testing.assert_close(tensor, b[name], atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["whole", "kill"])
def test_two_machines_meet_and_both_say_what_happened(way: str, tmp_path: Path) -> None:
    """Two launchers with one process each, as on two machines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = LaunchConfig(kind="torchrun", nodes=2, ranks=1, rendezvous=f"127.0.0.1:{port}")
    job = Job(tmp_path, ("-m", "tests.train.ranks", "ddp", "adamw", str(tmp_path), way, "17"))
    (command,) = LAUNCHERS["torchrun"]([job], config).commands
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[1] for process in both]
    lines = sorted(line for text in said for line in text.splitlines() if line.startswith("lpm: "))
    assert state(tmp_path)[1]["step"] == (40 if way == "whole" else 14)
    if way == "whole":
        assert [p.returncode for p in both] == [0, 0]
        assert not lines
    else:
        assert [p.returncode for p in both] == [1, 1]
        assert len(lines) == 2, said
        assert "went away, see what that one says" in lines[0]  # the other process, or its whole machine
        assert lines[1].startswith("lpm: rank 1 failed: killed by SIGKILL")
