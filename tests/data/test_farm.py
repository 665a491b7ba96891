"""Every crew makes the same files, outlives the death of a worker, and redoes what is missing and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pieces as work
import pytest

from lpm.data.farm import Crew, Failure, Farm, Made, Piece, Unfinished, each, look, make, open_crew
from lpm.data.farm.crew import Alone
from lpm.data.farm.piece import marker
from lpm.records.hashing import hash_file

FARMS = {"alone": Farm(), "processes": Farm(workers=2), "dask": Farm(on="dask", workers=2)}


@pytest.fixture(params=["alone", "processes", pytest.param("dask", marks=pytest.mark.slow)])
def farm(request: pytest.FixtureRequest) -> Farm:
    if request.param == "dask":
        pytest.importorskip("distributed", reason="needs the cluster extra")
    return FARMS[request.param]


def copies(folder: Path, *texts: str) -> list[Piece]:
    """One piece for each text."""
    made = []
    for i, text in enumerate(texts):
        source = folder / f"{i}.in"
        source.write_text(text)
        made.append(Piece(str(source), folder / "out" / f"{i}.txt", hash_file(source), partial(work.copy, source)))
    (folder / "out").mkdir(exist_ok=True)
    return made


def run(pieces: list[Piece], farm: Farm, folder: Path) -> dict[str, Made | Failure]:
    with open_crew(farm, folder / "shared") as crew:
        return {piece.output.name: made for piece, made in make(pieces, crew)}


def test_all_crews_make_the_same_files_and_survive_bad_ones(farm: Farm, tmp_path: Path) -> None:
    pieces = copies(tmp_path, "a", "", "bug", "dd")
    pieces.append(Piece("none", tmp_path / "out" / "none.txt", "k", work.nothing))
    made = run(pieces, farm, tmp_path)
    assert {p.name: p.read_text() for p in (tmp_path / "out").glob("*.txt")} == {"0.txt": "A", "3.txt": "DD"}
    assert (made["0.txt"], made["3.txt"], made["none.txt"]) == (Made({"size": 1}), Made({"size": 2}), Made(None))
    empty, bug = made["1.txt"], made["2.txt"]
    assert isinstance(empty, Failure)
    assert (empty.reason, empty.trace) == (f"{tmp_path / '1.in'}: empty", "")
    assert isinstance(bug, Failure)
    assert bug.reason == f"{tmp_path / '2.in'}: RuntimeError: no such luck"
    assert "pieces.py" in bug.trace
    said = json.loads(marker(pieces[0].output).read_text())
    assert said == {"key": pieces[0].key, "size": 1, "sha256": hash_file(pieces[0].output), "note": {"size": 1}}
    again = run(pieces[:1], farm, tmp_path)
    assert again == {"0.txt": Made({"size": 1}, kept=True)}


@pytest.mark.parametrize("name", ["processes", pytest.param("dask", marks=pytest.mark.slow)])
def test_a_killed_worker_costs_no_piece(name: str, tmp_path: Path) -> None:
    if name == "dask":
        pytest.importorskip("distributed", reason="needs the cluster extra")
    pieces = copies(tmp_path, *"abcdefgh")
    pieces.insert(1, Piece("x", tmp_path / "out" / "x.txt", "k", partial(work.dies_once, tmp_path / "flag")))
    made = run(pieces, FARMS[name], tmp_path)
    assert all(isinstance(m, Made) for m in made.values())
    assert len(list((tmp_path / "out").glob("*.txt"))) == 9
    assert (tmp_path / "out" / "x.txt").read_text() == "survived"


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes of others as Linux does")
def test_workers_leave_with_a_killed_parent() -> None:
    script = """
import os, signal
from lpm.data.farm.crew import Processes
pool = Processes(2, 2)
print(*{pool.submit(os.getpid).result() for _ in range(8)}, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert workers
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):  # gone already
                ended, _, _ = select.select([os.pidfd_open(pid)], [], [], 60)
                assert ended, f"worker {pid} waits for calls of a parent that is no more"


def test_who_always_dies_is_found_and_alone(tmp_path: Path) -> None:
    pieces = copies(tmp_path, *"abcd")
    pieces.insert(1, Piece("x", tmp_path / "out" / "x.txt", "k", work.dies_always))
    made = run(pieces, FARMS["processes"], tmp_path)
    failed = [m for m in made.values() if isinstance(m, Failure)]
    assert [f.name for f in failed] == ["x"]
    assert "worker died 3 times" in failed[0].reason
    assert len(list((tmp_path / "out").glob("*.txt"))) == 4


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p.output.unlink(),
        lambda p: p.output.write_bytes(p.output.read_bytes()[:-1]),
        lambda p: damage(p.output),
        lambda p: marker(p.output).unlink(),
        lambda p: damage(marker(p.output)),
        lambda p: marker(p.output).write_text("{}"),
        lambda p: marker(p.output).write_text(marker(copies(p.output.parent.parent, "a")[0].output).read_text()),
    ],
    ids=["lost", "cut", "changed", "unmarked", "marker damaged", "marker empty", "marker of another key"],
)
def test_only_what_is_not_proven_is_made_again(spoil: Callable[[Piece], Any], tmp_path: Path) -> None:
    pieces = copies(tmp_path, "aa", "bb", "cc")
    assert look(pieces).missing == ("0.txt", "1.txt", "2.txt")
    run(pieces, Farm(), tmp_path)
    spoil(pieces[1])
    assert (look(pieces).done, look(pieces).missing) == (("0.txt", "2.txt"), ("1.txt",))
    assert [m.kept for m in run(pieces, Farm(), tmp_path).values()] == [True, False, True]  # type: ignore[union-attr]
    assert pieces[1].output.read_text() == "BB"


@pytest.mark.parametrize("skew", [-(10**8), 10**8], ids=["years ago", "years ahead"])
def test_stamps_of_files_say_nothing(skew: int, tmp_path: Path) -> None:
    pieces = copies(tmp_path, "aa", "bb")
    run(pieces, Farm(), tmp_path)
    for path in (*(p.output for p in pieces), *(marker(p.output) for p in pieces), tmp_path / "1.in"):
        stamp = path.stat().st_mtime + skew
        os.utime(path, (stamp, stamp))
    assert look(copies(tmp_path, "aa", "bb")).done == ("0.txt", "1.txt")
    assert look(copies(tmp_path, "aa", "bc")).missing == ("1.txt",)


def test_a_changed_input_is_done_again_and_leaves_nothing_old_if_it_cannot(tmp_path: Path) -> None:
    run(copies(tmp_path, "aa", "bb"), Farm(), tmp_path)
    pieces = copies(tmp_path, "aa", "bbb")
    assert look(pieces).missing == ("1.txt",)
    run(pieces, Farm(), tmp_path)
    assert pieces[1].output.read_text() == "BBB"
    pieces = copies(tmp_path, "aa", "")
    assert isinstance(run(pieces, Farm(), tmp_path)["1.txt"], Failure)
    assert look(pieces).missing == ("1.txt",)
    pieces[1] = Piece("1", pieces[1].output, "other", work.nothing)
    run(pieces, Farm(), tmp_path)
    assert not pieces[1].output.exists()


class Slow:
    """A crew that answers only when it is full, the last call first; loses each call as often as told."""

    here = False
    shared_fate = False
    pulse: float | None = 0.0

    def __init__(self, room: int, losses: int = 0) -> None:
        self.room, self.losses, self.most, self.mended, self.calls = room, losses, 0, 0, 0
        self.held: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, call: Callable[..., Any], /, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.calls += 1
        self.held.append((future, partial(call, *args)))
        self.most = max(self.most, len(self.held))
        return future

    def mend(self) -> None:
        self.mended += 1
        future, call = self.held.pop() if self.held else (Future(), None)
        if call and self.losses:
            self.losses -= 1
            future.set_exception(ConnectionError("scheduler away"))
        elif call:
            future.set_result(call())


def test_never_more_pieces_in_flight_than_there_is_room_and_planned_as_needed(tmp_path: Path) -> None:
    crew, planned = Slow(3), 0

    def plan() -> Iterator[Piece]:
        nonlocal planned
        for piece in copies(tmp_path, *"abcdefghij"):
            planned += 1
            yield piece

    for done, _ in enumerate(make(plan(), crew), 1):
        assert planned - done <= 3
    assert (planned, crew.most) == (10, 3)


def test_lost_connections_are_tried_again_a_few_times(tmp_path: Path) -> None:
    crew = Slow(1, losses=2)
    [(_, made)] = make(copies(tmp_path, "a"), crew)
    assert (made, crew.calls) == (Made({"size": 1}), 3)
    [(_, lost)] = make(copies(tmp_path, "b"), Slow(1, losses=3))
    assert isinstance(lost, Failure)
    assert "ConnectionError scheduler away" in lost.reason


def test_a_crew_that_cannot_be_told_is_mended(tmp_path: Path) -> None:
    class Refuses(Alone):
        refused = 0

        def submit(self, call: Callable[..., Any], /, *args: Any) -> Future[Any]:
            if not self.refused:
                raise RuntimeError("pool is broken")
            return super().submit(call, *args)

        def mend(self) -> None:
            self.refused += 1

    crew = Refuses()
    assert [m for _, m in make(copies(tmp_path, "a"), crew)] == [Made({"size": 1})]
    assert crew.refused == 1


def test_interrupted_it_keeps_what_is_finished(tmp_path: Path) -> None:
    pieces = copies(tmp_path, *"abc")

    def interrupted(out: Path, watch: object) -> None:
        raise KeyboardInterrupt

    pieces[2] = Piece("c", pieces[2].output, pieces[2].key, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(pieces, Farm(), tmp_path)
    assert look(pieces).done == ("0.txt", "1.txt")


def test_a_worker_of_another_version_refuses(tmp_path: Path) -> None:
    piece = Piece("p", tmp_path / "p.txt", "k", work.nothing, version="0.0.1")
    [made] = run([piece], Farm(), tmp_path).values()
    assert isinstance(made, Failure)
    assert "planned by lpm 0.0.1, but the worker has" in made.reason


def test_answers_come_with_their_items() -> None:
    crew: Crew = Slow(2)
    assert dict(each(abs, [-1, -2, -3], crew)) == {-1: 1, -2: 2, -3: 3}


def test_what_failed_is_one_line() -> None:
    error = Unfinished([Failure("a", "a: cut"), Failure("b", "b: cut")], {}, "mend them")
    assert str(error) == "2 pieces failed, the first: a: cut; mend them"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on": "pbs"}, "expected one of local, dask, slurm, htcondor, or tcp://HOST:PORT"),
        ({"workers": 0}, "workers: expected at least 1"),
        ({"ahead": 0}, "ahead: expected at least 1"),
        ({"on": "slurm", "time": "2h"}, "expected .* such as 12:00:00"),
        ({"on": "slurm", "time": "00:01:00"}, "at least 3 minutes"),
        ({"on": "slurm", "memory": "lots"}, "a number and a unit"),
        ({"on": "slurm", "extra": ("a\nb",)}, "one line each"),
        ({"on": "dask", "partition": "long"}, "--partition: is for --on slurm and --on htcondor, not for dask"),
    ],
)
def test_bad_farms(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Farm(**options)
    assert "\n" not in str(error.value)
