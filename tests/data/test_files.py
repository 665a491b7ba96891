from pathlib import Path

import pytest

from lpm.data.io import open_file
from lpm.data.io.files import another_file, find_files
from lpm.data.source import Source


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


def test_what_is_read_is_not_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"events")
    (tmp_path / "link.parquet").symlink_to("a.parquet")
    for out in (tmp_path / "a.parquet", "a.parquet", "link.parquet", f"../{tmp_path.name}/a.parquet"):
        with pytest.raises(ValueError, match="holds the events themselves"):
            another_file(out, "a.parquet")
    another_file("b.parquet", "a.parquet")
    another_file("sample", "sample:jets")
