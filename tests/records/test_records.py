"""Records: configurations survive JSON strictly, runs are append-only, files appear whole or not at all."""

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from lpm.recipes import RECIPES
from lpm.recipes.base import RunConfig
from lpm.records.config import from_dict, set_path, to_dict
from lpm.records.files import atomic_directory, atomic_file, locked
from lpm.records.hashing import hash_file
from lpm.records.run import Run, read


@dataclass(frozen=True)
class Round:
    radius: float


@dataclass(frozen=True)
class Square:
    side: float
    name: str = "square"


@dataclass(frozen=True)
class Picture:
    shapes: tuple[Round | Square, ...]
    colour: Literal["red", "blue"] = "red"
    notes: dict[str, int] | None = None


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json(name: str) -> None:
    config = RECIPES[name]()
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_unions_are_told_apart_by_kind() -> None:
    picture = Picture((Round(1.0), Square(2.0, "box")), "blue", {"a": 1})
    assert from_dict(Picture, json.loads(json.dumps(to_dict(picture)))) == picture


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "green"}, "colour: expected one of red, blue"),
        ({"color": "red"}, "unknown key 'color'"),
        ({"shapes": [{"kind": "Triangle"}]}, r"shapes\[0\]: unknown kind 'Triangle'"),
        ({"shapes": [{"kind": "Round", "radius": "big"}]}, r"shapes\[0\].radius: expected float"),
        ({"shapes": [{"kind": "Round"}]}, "missing key 'radius'"),
        ({"shapes": 3}, "shapes: expected a list"),
        ({"notes": {"a": True}}, r"notes.a: expected int"),
    ],
)
def test_what_does_not_fit_is_refused_by_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(Picture, {"shapes": [], **change})


def test_set_path_reaches_nested_fields_and_checks_them() -> None:
    config = RECIPES["jets.base"]()
    assert set_path(config, "train.steps", "7").train.steps == 7
    assert set_path(config, "model.backbone.mlp", "gelu").model.backbone.mlp == "gelu"
    with pytest.raises(ValueError, match=r"train\.step: no such field"):
        set_path(config, "train.step", "7")
    with pytest.raises(ValueError, match="expected int"):
        set_path(config, "train.steps", "many")


def test_a_run_is_appended_and_a_cut_last_line_is_left_out(tmp_path: Path) -> None:
    Run(tmp_path).write("start", seed=1)
    Run(tmp_path).write("step", loss={"a": float("nan")})
    with (tmp_path / "run.jsonl").open("a") as file:
        file.write('{"event": "st')
    events = read(tmp_path)
    assert [e["event"] for e in events] == ["start", "step"]
    assert events[1]["loss"] == {"a": None}


@pytest.mark.parametrize(
    "cut",
    ['{"event": "st', '{"event": "step", "ti', '{"event": "start"}', '{"event": "step", "ti\n{"event": "start", "se'],
)
def test_a_resumed_run_goes_on_behind_a_line_that_was_cut(tmp_path: Path, cut: str) -> None:
    """The cut itself may be the start of a run that was resumed before, or lack only the end of its line."""
    path = tmp_path / "run.jsonl"
    Run(tmp_path).write("step", step=1)
    with path.open("a") as file:
        file.write(cut)
    before = path.read_bytes()
    Run(tmp_path).write("start", resumed=True)
    Run(tmp_path).write("step", step=2)
    assert path.read_bytes().startswith(before + b"\n{")
    *first, start, last = read(tmp_path)
    assert [e["event"] for e in first] == ["step"] + ["start"] * cut.endswith("}")
    assert start["resumed"]
    assert last["step"] == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b'{"event": "start"}\n{broken\n{"event": "end"}\n', "line 2: not JSON"),
        (b'{"event": "start"}\n{broken\n{broken\n{"event": "start"}\n', "line 2: not JSON"),
        (b'{"event": "start"}\n\xff\n{"event": "end"}\n', "line 2: not JSON"),
        (b'{"event": "start"}\n123\n{"event": "start"}\n', "line 2: expected a JSON object, got 123"),
        (b'{"event": "start"}\n[]', r"line 2: expected a JSON object, got \[\]"),
    ],
)
def test_an_altered_record_is_refused(tmp_path: Path, lines: bytes, message: str) -> None:
    (tmp_path / "run.jsonl").write_bytes(lines)
    with pytest.raises(ValueError, match=rf"run\.jsonl, {message}.*; the record was altered"):
        read(tmp_path)
    with pytest.raises(ValueError, match="expected a run folder"):
        read(tmp_path / "nothing")


def test_bytes_that_are_no_text_may_be_the_last(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_bytes(b'{"event": "start"}\n\xff\xfe{"event"')
    assert read(tmp_path) == [{"event": "start"}]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with atomic_file(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(ValueError, match="cannot write: No space left"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for text in ("old", "new"):
        with atomic_directory(path) as temporary:
            (temporary / "a").write_text(text)
    assert (path / "a").read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_artefacts_carry_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"abc")
    Run(tmp_path).artefact(path)
    assert read(tmp_path)[0]["sha256"] == hash_file(path)
    assert hash_file(path).startswith("ba7816bf")


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    message = r"a\.txt: cannot write: No space left on device; free some space"
    with pytest.raises(ValueError, match=message), atomic_file(tmp_path / "a.txt") as part:
        part.write_text("x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("error", "said"), [(TimeoutError(), "TimeoutError"), (OSError("late\nvery"), "late")])
def test_an_error_without_a_number_is_one_line(error: OSError, said: str, tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=rf"a\.txt: cannot write: {said}; free some space"),
        atomic_file(tmp_path / "a.txt"),
    ):
        raise error


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "disk" / "a.txt", tmp_path / "a.txt"
    link.symlink_to(Path("disk") / "a.txt")
    for text in ("new", "newer"):  # it may lead to what is not there yet
        with atomic_file(link) as part:
            part.write_text(text)
        assert link.is_symlink()
        assert target.read_text() == text
    assert list(target.parent.iterdir()) == [target]


def test_a_second_process_is_refused_where_the_file_system_knows_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a file says who writes; it goes with the block, and one that was left behind is named."""
    fcntl = pytest.importorskip("fcntl")

    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    holder = tmp_path / ".holder"
    me = rf"process {os.getpid()} on \S+"
    refused = rf"another process writes to it \({me}\); .* is no longer there, remove {holder}"
    with locked(tmp_path):
        with pytest.raises(ValueError, match=refused), locked(tmp_path):
            pass
        assert holder.exists()
    assert not holder.exists()
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    holder.touch()  # killed before it gave its name
    with pytest.raises(ValueError, match="it gives no name"), locked(tmp_path):
        pass


@pytest.mark.parametrize("error", [BlockingIOError(), PermissionError()])
def test_a_lock_that_another_process_holds_is_no_lack_of_locks(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems say that permission is denied."""
    fcntl = pytest.importorskip("fcntl")

    def held(*_: Any) -> None:
        raise error

    monkeypatch.setattr(fcntl, "flock", held)
    with pytest.raises(ValueError, match="another process writes to it; wait"), locked(tmp_path):
        pass
    assert not (tmp_path / ".holder").exists()


def test_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write"), atomic_file(tmp_path / "file" / "a.txt"):
        pass
