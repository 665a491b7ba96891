"""`lpm train --launch`: what would be submitted is shown, checked before it waits in a queue, and true in the docs."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lpm.cli.main import app

DOCS = Path(__file__).parents[2] / "docs" / "launch.md"
BLOCKS = re.findall(
    r"```console\n\$ (lpm train [^\n]* --dry-run)\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL
)


def lpm(*words: str | Path) -> tuple[int, str]:
    """Exit code and standard output; errors of users are raised."""
    done = CliRunner().invoke(app, [str(w) for w in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


@pytest.mark.parametrize(("command", "output"), BLOCKS, ids=[c.partition("--launch ")[2][:8] for c, _ in BLOCKS])
def test_the_documentation_shows_what_would_be_submitted(
    command: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, said = lpm(*shlex.split(command)[1:])
    said = said.replace(sys.executable, "/home/me/lpm/bin/python").replace(str(tmp_path), "/home/me")
    assert said == output
    assert not list(tmp_path.iterdir())


def test_the_documentation_shows_every_launcher() -> None:
    assert {c.split("--launch ")[1].split()[0] for c, _ in BLOCKS} == {"torchrun", "slurm", "htcondor"}


def test_a_sweep_has_a_run_for_each_combination(tmp_path: Path) -> None:
    words = ["--sweep", "train.lr=1e-3,2e-3", "--sweep", "seed=1,2", "--out", tmp_path / "s", "--dry-run"]
    _, said = lpm("train", "jets.top", *words)
    lines = said.splitlines()
    assert len(lines) == 4
    assert lines[1].endswith(f"--set train.lr=1e-3 --set seed=2 --out {tmp_path}/s/train.lr=1e-3+seed=2")
    begun = tmp_path / "s" / "train.lr=2e-3+seed=1"
    begun.mkdir(parents=True)
    (begun / "recipe.json").write_text("{}")
    _, said = lpm("train", "jets.top", *words, "--resume")
    assert ["--resume" in line for line in said.splitlines()] == [False, False, True, False]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sweep", "train.lr"], "FIELD=V1,V2"),
        (["--sweep", "train.rate=1,2"], "no such field"),
        (["--sweep", "train.lr=1e-3,1e-3"], "share a folder"),
        (["--launch", "slurm", "--set", "train.steps=many"], "expected int"),
    ],
)
def test_what_makes_no_sense_never_reaches_the_queue(words: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        lpm("train", "jets.top", "--out", tmp_path / "run", *words)
    assert not list(tmp_path.iterdir())


LOCAL = "; got --launch local"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--launch", "pbs"], "--launch pbs: expected one of local, torchrun, slurm, htcondor"),
        (["--launch", "slurm", "--nodes", "0"], "expected nodes, cpus, lead ≥ 1"),
        (["--launch", "slurm", "--memory", "lots"], "memory 'lots': expected a number and a unit"),
        (["--ranks", "4"], f"--ranks belongs to --launch torchrun, slurm or htcondor{LOCAL}"),
        (["--launch", "local", "--nodes", "2"], f"--nodes belongs to --launch torchrun or slurm{LOCAL}"),
        (["--time", "12:00:00"], f"--time belongs to --launch slurm or htcondor{LOCAL}"),
        (["--gpus", "1", "--dry-run"], f"--gpus belongs to --launch torchrun, slurm or htcondor{LOCAL}"),
        (
            ["--launch", "torchrun", "--ranks", "2", "--device", "cuda:1"],
            "--device cuda:1 with several ranks is one GPU",
        ),
    ],
)
def test_options_that_would_be_passed_over_are_wrong_usage(words: list[str], said: str, tmp_path: Path) -> None:
    """Before, `--ranks 4` of a launcher that starts one process trained one process without a word."""
    done = CliRunner().invoke(app, ["train", "jets.base", "--tiny", "--out", str(tmp_path / "run"), *words])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"lpm: {said}")
    assert not list(tmp_path.iterdir())


def test_a_training_that_asks_for_another_start_leaves_with_75(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lpm.train.memory import RestartError

    def execute(*_: Any, **__: Any) -> None:
        raise RestartError("rank 1 is out of memory")

    monkeypatch.setattr("lpm.recipes.execute.execute", execute)
    done = CliRunner().invoke(app, ["train", "jets.base", "--tiny", "--out", str(tmp_path / "run"), "--quiet"])
    assert (done.exit_code, done.stderr) == (75, "lpm: rank 1 is out of memory\n")


def test_a_folder_that_holds_a_run_is_not_submitted_again(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    with pytest.raises(ValueError, match="holds a run already"):
        lpm("train", "jets.top", "--out", tmp_path, "--launch", "slurm")


def test_what_is_submitted_is_written_and_handed_to_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sbatch").write_text('#!/bin/sh\ncp "$1" "$1.seen"\nexit 5\n')
    (programs / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    run = tmp_path / "run"
    code, _ = lpm("train", "jets.top", "--out", run, "--launch", "slurm", "--gpus", "2", "--seed", "3", "--data", "a b")
    assert code == 5
    text = (run / "job.sbatch.seen").read_text()
    assert f"train jets.top --data 'a b' --seed 3 --quiet --out {run}" in text
    assert "--nproc-per-node=2" in text


def test_options_that_say_where_it_runs_need_no_torch() -> None:
    program = "import sys, lpm.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("group", [True, False])
def test_two_processes_that_are_interrupted_save_their_state(group: bool, tmp_path: Path) -> None:
    """All processes hear of Ctrl-C, and torchrun tells them once more; of SIGTERM only the parent hears."""
    run = tmp_path / "run"
    words = ["jets.base", "--tiny", "--out", str(run), "--quiet", "--launch", "torchrun", "--ranks", "2"]
    words += ["--device", "cpu", "--set", "train.steps=5000", "--set", "train.log_every=2"]
    process = subprocess.Popen([sys.executable, "-m", "lpm.cli", "train", *words], start_new_session=True)
    record, end = run / "run.jsonl", time.monotonic() + 200
    try:
        while not (record.is_file() and '"event": "step"' in record.read_text()):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        if group:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(150) == 130
    finally:
        process.kill()
    assert (run / "training" / "state.json").is_file()
