"""Samples of tracks: the same in one file or many, interrupted or not, and never over another sample."""

from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.farm import Unfinished
from lpm.data.io import find_files, open_file
from lpm.data.io.parquet import read_provenance
from lpm.sim import track_production
from lpm.sim.track_production import produce_tracks


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_production, "CHUNK", 100)


def read(path: Path) -> Batch:
    return Batch.cat([b for file in find_files(path) for b in open_file(file).batches()])


def test_one_file_or_many_hold_the_same(tmp_path: Path) -> None:
    told: list[int] = []
    produce_tracks(250, tmp_path / "many", seed=1, done=told.append)
    produce_tracks(250, tmp_path / "one.parquet", seed=1)
    many, one = read(tmp_path / "many"), read(tmp_path / "one.parquet")
    assert told == [100, 100, 50]
    assert len(many) == len(one) == 250
    for name in many.schema.names:
        assert torch.equal(many.collections[name].values, one.collections[name].values)
        assert torch.equal(many.collections[name].offsets, one.collections[name].offsets)
    assert not torch.equal(many.field("track.p").values[:100], many.field("track.p").values[100:200])
    assert read_provenance(tmp_path / "one.parquet")["request"]["n"] == 250


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_shard_that_was_cut_is_made_again_and_no_other(size: int, tmp_path: Path) -> None:
    folder, told = tmp_path / "tracks", list[int]()
    produce_tracks(250, folder, seed=1)
    before = read(folder).field("track.p").values
    times = [p.stat().st_mtime_ns for p in sorted(folder.glob("*.parquet"))]
    cut = folder / "part-00001.parquet"
    cut.write_bytes(cut.read_bytes()[:size])
    produce_tracks(250, folder, seed=1, resume=True, done=told.append)
    assert torch.equal(read(folder).field("track.p").values, before)
    kept = [p.stat().st_mtime_ns == t for p, t in zip(sorted(folder.glob("*.parquet")), times, strict=True)]
    assert kept == [True, False, True]
    assert told == [100, 100, 50]


def test_a_shard_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(n: int, seed: int, card: object) -> Batch:
        raise MemoryError

    monkeypatch.setattr(track_production, "simulate", fails)
    with pytest.raises(Unfinished, match=r"1 piece failed, the first: chunk 0: MemoryError; .* --resume"):
        produce_tracks(250, tmp_path / "tracks")


def test_a_sample_is_completed_but_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "tracks"
    produce_tracks(250, folder, seed=1)
    before = read(folder).field("track.p").values
    (folder / "part-00001.parquet").unlink()
    with pytest.raises(ValueError, match="holds a sample already; add --resume"):
        produce_tracks(250, folder, seed=1)
    with pytest.raises(ValueError, match="was made with another request"):
        produce_tracks(250, folder, seed=2, resume=True)
    produce_tracks(250, folder, seed=1, resume=True)
    assert torch.equal(read(folder).field("track.p").values, before)
    with pytest.raises(ValueError, match="exists already"):
        produce_tracks(5, folder / "part-00000.parquet")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("x")
    with pytest.raises(ValueError, match=r"is not empty and holds no simulation\.json"):
        produce_tracks(5, tmp_path / "other")
