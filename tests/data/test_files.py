import errno
from pathlib import Path

import pytest

from lpm.data.io import open_file
from lpm.data.io.files import atomic, find_files
from lpm.data.source import Source


def test_atomic_keeps_the_old_file_when_the_block_fails(tmp_path):
    target = tmp_path / "sub" / "a.txt"
    with atomic(target) as part:
        part.write_text("old")

    def fail() -> None:
        with atomic(target) as part:
            part.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    message = r"a\.txt: cannot write: No space left on device; free some space"
    with pytest.raises(ValueError, match=message), atomic(tmp_path / "a.txt") as part:
        part.write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write"), atomic(tmp_path / "file" / "a.txt"):
        pass


def test_find_files(tmp_path, monkeypatch):
    for name in ("b.root", "a.root", "sub/c.root", ".hidden", "x.tmp", "checksums.json", "a.tar", "y.h5.part"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    assert [p.name for p in find_files(tmp_path)] == ["a.root", "b.root", "c.root"]
    assert [p.name for p in find_files([tmp_path / "b.root", tmp_path])] == ["b.root", "a.root", "c.root"]
    assert [p.name for p in find_files(str(tmp_path / "*.root"))] == ["a.root", "b.root"]
    for nothing in (tmp_path / "nope", tmp_path / "*.h5"):
        with pytest.raises(ValueError, match="no such file"):
            find_files(nothing)
    monkeypatch.chdir(tmp_path)
    assert find_files(Path()) == [Path("a.root"), Path("b.root"), Path("sub/c.root")]


def test_samples_are_found_by_name():
    (path,) = find_files("sample:jets")
    with open_file("sample:jets") as reader:
        assert reader.path == path
        events = len(reader)
    assert Source("sample:jets", budget=500, seed=0).events == events
    with pytest.raises(ValueError, match=r"sample:tops: no such sample.*sample:jets"):
        find_files(["sample:tops"])
    with pytest.raises(ValueError, match="no such sample"):
        open_file("sample:tops")
