"""Sherpa: its environment and integrals are made once, and what goes wrong is said in one line."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lpm.sim import sherpa
from lpm.sim.card_files import CARDS
from lpm.sim.chunk import Request
from lpm.sim.production import produce
from lpm.sim.pythia import generate
from lpm.sim.sherpa import PYTHON, environment, hard_events, integrated

EVENT = """<LesHouchesEvents version="1.0">
<init>
 2212 2212 6500 6500 0 0 93300 93300 3 1
 1 1 1 1
</init>
<event trials='1'>
 5 1 1.0 100.0 -1.0 0.1
 21 -1 0 0 0 0 0.0 0.0 900.0 900.0 0.0 0 9
 21 -1 0 0 0 0 0.0 0.0 -300.0 300.0 0.0 0 9
 6 1 1 2 0 0 50.0 0.0 250.0 307.84 172.5 0 9
 -6 1 1 2 0 0 -60.0 0.0 250.0 309.63 172.5 0 9
 23 1 1 2 0 0 10.0 0.0 100.0 582.53 91.2 0 9
</event>
</LesHouchesEvents>
"""

PROGRAM = """#!/bin/sh
echo "$@" >> "{log}"
[ -f refuse ] && {{ echo "ERROR: cannot"; exit 1; }}
cp "{events}" events.lhe
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """A program that writes the same event whatever it is asked; returns what it was asked."""
    log, events, program = tmp_path / "log", tmp_path / "event.lhe", tmp_path / "install" / "bin" / "Sherpa"
    events.write_text(EVENT)
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM.format(log=log, events=events))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sherpa, "environment", lambda: program)
    monkeypatch.setattr(sherpa, "_cache", lambda: tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    return lambda: log.read_text().splitlines() if log.exists() else []


def test_each_process_is_integrated_once(fake: Callable[[], list[str]]) -> None:
    with hard_events("ttZ", 30, 7) as path:
        assert path.is_file()
        rows = [line.split() for line in path.read_text().splitlines() if line.endswith(" 9")]
    assert not path.exists()
    assert [bool(int(r[4])) for r in rows] == [True, True, True, False, False], "colours are there"
    with hard_events("ttZ", 20, 8):
        pass
    assert fake() == [f"-e 1 -R {sherpa.SEED}", "-e 30 -R 7", "-e 20 -R 8"]


def test_integrals_are_made_before_the_chunks(fake: Callable[[], list[str]], tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    said: list[str] = []
    preset = tmp_path / "few.toml"
    preset.write_text((CARDS / "preset" / "four-tops.toml").read_text().replace("mpi = true", "mpi = false"))
    request = Request(n=1, preset=str(preset), classes=("ttZ",))
    for name in ("a.parquet", "b.parquet"):
        manifest = produce(request, tmp_path / name, tell=said.append)
    assert manifest["versions"]["sherpa-mc"] in sherpa.PACKAGE
    assert said == ["Sherpa integrates ttZ: this takes minutes, once"]
    assert len(fake()) == 3


def test_another_card_is_another_integral(fake: Callable[[], list[str]], tmp_path: Path) -> None:
    mine = tmp_path / "ttZ.yaml"
    mine.write_text((CARDS / "sherpa" / "ttZ.yaml").read_text() + "# mine\n")
    assert integrated(str(mine)) != integrated("ttZ")
    assert len(fake()) == 2


@pytest.mark.usefixtures("fake")
def test_a_failed_integration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = sherpa.environment()
    program.write_text(program.read_text().replace("[ -f refuse ]", "true"))
    with pytest.raises(ValueError, match="Sherpa failed in new: ERROR: cannot"):
        integrated("ttZ")
    assert not list((tmp_path / "cache").iterdir())


def test_without_an_interpreter_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sherpa, "_cache", lambda: tmp_path)
    monkeypatch.setenv(PYTHON, "python-that-is-not-there")
    with pytest.raises(ValueError, match=r"needs Python 3\.12 or 3\.13, and python-that-is-not-there") as error:
        environment()
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_no_such_card() -> None:
    with pytest.raises(ValueError, match="no sherpa card 'ttt': expected one of ttH, ttW, ttWW, ttZ, tttt"):
        integrated("ttt")


@pytest.mark.slow
def test_the_real_program() -> None:
    """Fetches and integrates at first use: minutes. Needs the network then, and Python 3.12 or 3.13."""
    try:
        environment()
    except ValueError as error:
        pytest.skip(str(error))
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    with hard_events("ttH", 40, 3) as path:
        first = path.read_text()
        events = list(generate(["Beams:frameType = 4", f"Beams:LHEF = {path}", "PartonLevel:MPI = off"], 1, 20))
    assert sum(e.size for e in events) >= 38
    for e in events:
        tops = np.abs(e.partons.root_id) == 6
        assert (np.bincount(e.partons.event[tops], minlength=e.size) == 6).all(), "t -> b W -> b f f, twice"
    with hard_events("ttH", 40, 3) as path:
        assert path.read_text() == first, "equal seeds give equal events"
