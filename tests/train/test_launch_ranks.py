"""How processes of one machine ended: one line, and an exit code that says what to do next."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lpm.train.launch.ranks import asks_for_restart, unsaved, what_failed
from lpm.train.memory import RestartError


class Failure:
    """What torch tells of a process that failed."""

    def __init__(self, exitcode: int, message: object = "", timestamp: int = 0) -> None:
        self.exitcode, self.message, self.timestamp = exitcode, message, timestamp


def test_the_rank_that_failed_first_is_named() -> None:
    lost, wrong = Failure(1), Failure(1, {"message": "ValueError: bad\nfile"}, timestamp=5)
    assert what_failed({0: lost, 3: wrong}) == "rank 3 failed: ValueError: bad file"
    assert what_failed({0: lost, 1: Failure(-9, timestamp=4)}) == (
        "rank 1 failed: killed by SIGKILL, perhaps for want of memory"
    )
    alone = Failure(1, {"message": "ConnectionError: another rank went away"})
    assert what_failed({0: alone, 1: Failure(-9, timestamp=4)}).startswith("rank 1 failed: killed")
    assert what_failed({0: alone}) == "rank 0 failed: ConnectionError: another rank went away"
    assert what_failed({0: Failure(1, timestamp=4), 1: lost}) == "rank 1 failed: exit code 1"


def test_a_rank_that_asks_for_another_start_is_heard_though_it_was_stopped_on_its_way_out() -> None:
    asks = {"message": f"{RestartError.__name__}: rank 1 is out of memory"}
    assert asks_for_restart(Failure(75))
    assert asks_for_restart(Failure(-15, asks))
    assert not asks_for_restart(Failure(1, {"message": "ConnectionError: another rank went away"}))
    assert not asks_for_restart(Failure(-15, "Signal 15 received"))


def test_why_a_state_could_not_be_saved(tmp_path: Path) -> None:
    """Another rank that went away is not the reason, and a report may be cut."""
    says = {"a": "ConnectionError: lost", "b": "RestartError: memory", "d": "ValueError: disk\nfull"}
    for name, text in says.items():
        (tmp_path / name).write_text(json.dumps({"message": {"message": text}}))
    (tmp_path / "c").write_text('{"message"')
    assert not unsaved(tmp_path / name for name in "abc")
    assert unsaved(tmp_path / name for name in "abcd") == "ValueError: disk full"


RANKS = """if True:
    import json, os, pathlib, signal, sys
    def fails(number, text):
        report = {"message": {"message": text, "extraInfo": {"timestamp": "1"}}}
        pathlib.Path(os.environ["TORCHELASTIC_ERROR_FILE"]).write_text(json.dumps(report))
        os._exit(number)
    def saves(*_):
        fails(1, "ValueError: disk full") if sys.argv[1] == "full" else os._exit(130)
    if sys.argv[1] == "memory":
        fails(75, "RestartError: too little") if os.environ["RANK"] == "1" else fails(1, "ConnectionError: lost")
    signal.signal(signal.SIGTERM, saves)
    os.kill(os.getppid(), signal.SIGTERM)
    while True: signal.pause()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("way", "code", "said"),
    [
        (
            "memory",
            75,
            "lpm: rank 1 failed: RestartError: too little; all ranks were stopped, the last checkpoint is kept",
        ),
        ("full", 1, "lpm: a rank failed when asked to stop: ValueError: disk full; the last checkpoint is kept"),
        ("saved", 130, ""),
    ],
)
def test_how_ranks_ended_is_told_by_the_exit_code(way: str, code: int, said: str, tmp_path: Path) -> None:
    program = tmp_path / "rank.py"
    program.write_text(RANKS)
    ranks = "2" if way == "memory" else "1"
    words = ["-m", "lpm.train.launch.ranks", "--standalone", f"--nproc-per-node={ranks}", str(program), way]
    done = subprocess.run([sys.executable, *words], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("lpm: ")] == ([said] if said else [])
