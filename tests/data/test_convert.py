import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.farm import Farm, Unfinished
from lpm.data.fields import jets_schema
from lpm.data.io import find_files, open_file
from lpm.data.io import parquet as shards
from lpm.data.io.convert import convert, plan
from lpm.data.io.spec import check_shard
from lpm.records.files import locked

N = 7


def read(paths) -> Batch:
    return Batch.cat([b for p in paths for b in open_file(p).batches()])


def test_every_format_becomes_a_shard(layout, write, tmp_path):
    path = write(layout, tmp_path)
    result = convert([path], tmp_path / "out.parquet")
    held = 1 if layout == "fastcalosim" else N  # one shower a file
    assert (result.events, result.shards) == (held, [tmp_path / "out.parquet"])
    assert check_shard(tmp_path / "out.parquet") == []
    a, b = read([path]), read(result.shards)
    assert a.schema == b.schema
    for n in a.schema.names:
        assert a.collections[n].values.nan_to_num(-9).tolist() == b.collections[n].values.nan_to_num(-9).tolist()


def test_folder_in_pieces_then_resumed(write, tmp_path):
    path, out = write("top-tagging"), tmp_path / "out"
    first = convert([path], out, shard_events=3)
    assert [p.name for p in first.shards] == ["a-0000.parquet", "a-0001.parquet", "a-0002.parquet"]
    assert (first.events, first.resumed) == (N, 0)
    before = {p: p.stat().st_mtime_ns for p in first.shards}
    first.shards[1].write_bytes(first.shards[1].read_bytes()[:100])  # as if the disk had lost it
    again = convert([path], out, shard_events=3)
    assert (again.events, again.resumed) == (N, 2)
    assert [p for p in again.shards if p.stat().st_mtime_ns != before[p]] == [again.shards[1]]
    assert read(again.shards).field("particle.pt").values.tolist() == read([path]).field("particle.pt").values.tolist()


def test_a_changed_source_is_converted_anew(write, tmp_path, sample):
    path, out = write("momenta-npz"), tmp_path / "out"
    convert([path], out)
    write("momenta-npz", s=type(sample)(seed=1))
    result = convert([path], out)
    assert result.resumed == 0
    assert read(result.shards).field("particle.pt").values.tolist() == read([path]).field("particle.pt").values.tolist()


def test_interruption_keeps_finished_shards(write, tmp_path, monkeypatch):
    path, out = write("top-tagging"), tmp_path / "out"
    original, calls = shards._to_table, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(shards, "_to_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert([path], out, shard_events=3)
    assert [p.name for p in find_files(out)] == ["a-0000.parquet", "a-0001.parquet"]
    result = convert([path], out, shard_events=3)
    assert (result.events, result.resumed) == (N, 2)


KILLED = """
import os, signal, sys
from lpm.data.io.convert import convert, plan
convert([sys.argv[1]], sys.argv[2], shard_events=3,
        progress=lambda path, done, of: os.kill(os.getpid(), signal.SIGKILL) if done > 3 else None)
"""


def test_killed_and_started_again_it_goes_on(write, tmp_path):
    path, out = write("top-tagging"), tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, path, out], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [p.name for p in find_files(out)] == ["a-0000.parquet"]  # and a hidden rest that nobody reads
    result = convert([path], out, shard_events=3)
    assert (result.events, result.resumed) == (N, 1)
    assert (
        read(find_files(out)).field("particle.pt").values.tolist() == read([path]).field("particle.pt").values.tolist()
    )


def test_full_disk_is_one_line_and_keeps_finished_shards(write, tmp_path, monkeypatch):
    path, out = write("top-tagging"), tmp_path / "out"
    convert([path], out, shard_events=3, events=3)

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards.pq.ParquetWriter, "write_table", full)
    with pytest.raises(ValueError, match=r"a-0001\.parquet: cannot write: No space left on device"):
        convert([path], out, shard_events=3)
    assert [p.name for p in find_files(out)] == ["a-0000.parquet"]


def test_bad_events_and_files_stop_or_are_skipped_and_counted(write, tmp_path, sample):
    folder = tmp_path / "in"
    folder.mkdir()
    bad = type(sample)()
    bad.e = bad.e.copy()
    bad.e[3] = -1.0
    write("momenta-npz", folder, bad).rename(folder / "1-bad-event.npz")
    cut = write("momenta-npz", folder).rename(folder / "2-cut.npz")
    cut.write_bytes(cut.read_bytes()[:300])
    write("muons", folder).rename(folder / "3-other-schema.root")
    write("momenta-npz", folder).rename(folder / "4-good.npz")
    with pytest.raises(ValueError, match=r"1-bad-event\.npz: entry \d: particle\.energy\[\d\] is -1 GeV"):
        convert([folder], tmp_path / "out")
    with pytest.raises(ValueError, match=r"2-cut\.npz: unreadable npz"):
        convert([cut, folder / "4-good.npz"], tmp_path / "out")
    for out in (tmp_path / "out", tmp_path / "out.parquet"):
        result = convert([folder], out, on_bad="skip")
        assert (result.events, result.skipped_events) == (2 * N - 1, 1)
        assert [re.search(r"[23]-[a-z-]+", p)[0] for p in result.skipped_files] == ["2-cut", "3-other-schema"]
        assert all("\n" not in why for why in result.skipped_files.values())
    assert read(find_files(tmp_path / "out")).schema == read([folder / "4-good.npz"]).schema


def test_same_names_in_different_folders_do_not_collide(write, tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        write("momenta-npz", tmp_path / name)
    result = convert([tmp_path / "x", tmp_path / "y"], tmp_path / "out")
    assert len({p.name for p in result.shards}) == 2
    assert result.events == 2 * N
    assert convert([tmp_path / "x", tmp_path / "y"], tmp_path / "out").resumed == 2


@pytest.mark.parametrize("out", ["out", "out.parquet"])
def test_output_beside_its_sources_is_no_source(write, tmp_path, out):
    write("momenta-npz")
    for _ in range(2):
        assert convert([tmp_path], tmp_path / out).events == N


def test_limit_over_files(write, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.npz", "b.npz"):
        write("momenta-npz").rename(tmp_path / "in" / name)
    for out in ("out", "out.parquet"):
        assert convert([tmp_path / "in"], tmp_path / out, events=9).events == 9


def test_nothing_to_write(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, px_py_pz_e=np.zeros((0, 4)), offsets=np.array([0]))
    with pytest.raises(ValueError, match=r"a\.npz: holds no events"):
        convert([path], tmp_path / "out.parquet")
    with pytest.raises(ValueError, match=r"nothing to write: .*a\.npz: holds no events"):
        convert([path], tmp_path / "out.parquet", on_bad="skip")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz"]


def test_wrong_use(write, tmp_path):
    path = write("csv")
    with pytest.raises(ValueError, match="is a file; name a folder"):
        convert([path], path)
    with pytest.raises(ValueError, match="events: expected at least 1"):
        convert([path], tmp_path / "out", events=0)
    with pytest.raises(ValueError, match="shard_events: expected at least 1"):
        convert([path], tmp_path / "out", shard_events=0)
    with pytest.raises(ValueError, match="no such file"):
        convert([tmp_path / "*.nope"], tmp_path / "out")


def test_memory_does_not_grow_with_the_file(write, tmp_path, monkeypatch):
    """Batches are handed on as they are read: no more than one group is alive at a time."""
    seen = []
    original = shards._to_table

    def watch(batch, arrow):
        seen.append(len(batch))
        return original(batch, arrow)

    monkeypatch.setattr(shards, "_to_table", watch)
    path = tmp_path / "a.npz"
    n = 25_000
    np.savez(path, px_py_pz_e=np.tile([1.0, 0, 0, 1], (n, 1)), offsets=np.arange(n + 1))
    assert convert([path], tmp_path / "out.parquet").events == n
    assert seen == [10_000, 10_000, 5_000]


def test_with_a_farm_a_bad_file_does_not_stop_the_rest(write, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.npz", "b.npz", "c.npz"):
        write("momenta-npz").rename(folder / name)
    (folder / "b.npz").write_bytes((folder / "b.npz").read_bytes()[:300])
    with pytest.raises(Unfinished, match=r"1 piece failed, the first: .*b\.npz: unreadable npz") as error:
        convert([folder], out, shard_events=4, farm=Farm())
    assert [f.name for f in error.value.failures] == [str(folder / "b.npz")]
    assert error.value.summary["events"] == 2 * N
    assert [p.name for p in find_files(out)] == ["a-0000.parquet", "a-0001.parquet", "c-0000.parquet", "c-0001.parquet"]
    before = {p: p.stat().st_mtime_ns for p in find_files(out)}
    write("momenta-npz").rename(folder / "b.npz")
    assert plan([folder], out, shard_events=4).missing == ("b-0000.parquet", "b-0001.parquet")
    result = convert([folder], out, shard_events=4, farm=Farm())
    assert (result.events, result.resumed) == (3 * N, 4)
    assert [p.name for p in result.shards] == [f"{c}-000{k}.parquet" for c in "abc" for k in (0, 1)]
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())


@pytest.mark.slow
def test_processes_make_the_same_shards(write, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.npz", "b.npz"):
        write("momenta-npz").rename(tmp_path / "in" / name)
    one = convert([tmp_path / "in"], tmp_path / "one", shard_events=3)
    two = convert([tmp_path / "in"], tmp_path / "two", shard_events=3, farm=Farm(workers=2))
    assert [p.name for p in one.shards] == [p.name for p in two.shards]
    assert [p.read_bytes() for p in one.shards] == [p.read_bytes() for p in two.shards]


def test_a_change_anywhere_in_a_source_counts(write, tmp_path):
    path, out = tmp_path / "a.csv", tmp_path / "out"
    lines = ["pt1,eta1,phi1", *("1.0,2.0,3.0" for _ in range(200_000))]
    path.write_text("\n".join(lines))
    convert([path], out, events=10)
    assert plan([path], out, events=10).missing == ()
    lines[100_000] = "1.5,2.0,3.0"  # the size, the first and the last MiB stay
    path.write_text("\n".join(lines))
    assert plan([path], out, events=10).missing == ("a-0000.parquet",)


def test_two_conversions_into_one_folder_are_refused(write, tmp_path):
    path, out = write("csv"), tmp_path / "out"
    convert([path], out)
    with locked(out / ".farm"), pytest.raises(ValueError, match="another process writes to it"):
        convert([path], out)


def faulty(tmp_path, at) -> Path:
    """300 jets in three groups; those `at` have a pt that cannot be."""
    b = Batch.build(
        jets_schema(["pt"], ["pt"]), {"particle.pt": torch.ones(300), "jet.pt": torch.ones(300)},
        {"particle": torch.ones(300).long()},
    )  # fmt: skip
    b.field("jet.pt").values[at] = -1
    path = tmp_path / "in.parquet"
    shards.write_batches(path, [b], schema=b.schema, row_group=100)
    return path


def test_what_is_lost_with_a_whole_shard_is_counted(tmp_path):
    path = faulty(tmp_path, slice(100, 200))
    for out in (tmp_path / "out", tmp_path / "out.parquet"):
        result = convert([path], out, on_bad="skip", shard_events=100)
        assert (result.events, result.skipped_events) == (200, 100)
    assert [p.name for p in find_files(tmp_path / "out")] == ["in-0000.parquet", "in-0002.parquet"]


def test_damage_at_the_head_of_a_shard_is_told(tmp_path):
    path = faulty(tmp_path, [])
    at = shards.pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    raw = bytearray(path.read_bytes())
    raw[at + 5 : at + 60] = bytes(55)
    path.write_bytes(raw)
    result = convert([path], tmp_path / "out", on_bad="skip", shard_events=100)
    assert result.events == 200
    assert list(result.skipped_files) == [str(path)]


def test_shards_cut_otherwise_would_hold_events_twice(write, tmp_path):
    path, out = write("top-tagging"), tmp_path / "out"
    convert([path], out, shard_events=3)
    before = {p: p.read_bytes() for p in find_files(out)}
    for attempt in (convert, plan):
        with pytest.raises(ValueError, match=r"out: a-0002\.parquet from an earlier run hold events of a\.h5 that"):
            attempt([path], out, shard_events=4)
    assert {p: p.read_bytes() for p in find_files(out)} == before
    (out / "a-0002.parquet").unlink()
    assert convert([path], out, shard_events=4).events == N
    assert (
        read(find_files(out)).field("particle.pt").values.tolist() == read([path]).field("particle.pt").values.tolist()
    )


def test_a_source_does_not_replace_the_shards_of_another_of_its_name(write, tmp_path, sample):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        write("momenta-npz", tmp_path / name, type(sample)(seed=ord(name)))
    (x,), (y,) = ([*(tmp_path / n).iterdir()] for n in "xy")
    out = tmp_path / "out"
    convert([x], out)
    with pytest.raises(ValueError, match=r"a-0000\.parquet: holds events of another file of the name a\.npz"):
        convert([y], out)
    with pytest.raises(ValueError, match=r"a-0000\.parquet from an earlier run hold events of a\.npz that would"):
        convert([x, y], out)
    assert convert([x], out).resumed == 1
    x.rename(x.with_name("b.npz"))
    with pytest.raises(ValueError, match="would stand beside those of this run"):
        convert([x.with_name("b.npz")], out)


def test_a_source_that_became_shorter_leaves_no_shard_behind(write, tmp_path):
    path, out = faulty(tmp_path, []), tmp_path / "out"
    convert([path], out, shard_events=100)
    fewer = read([path])[:150]
    shards.write_batches(path, [fewer], schema=fewer.schema)
    with pytest.raises(ValueError, match=r"in-0002\.parquet from an earlier run hold events of in\.parquet that"):
        convert([path], out, shard_events=100)
    (out / "in-0002.parquet").unlink()
    assert convert([path], out, shard_events=100).events == 150


@pytest.mark.parametrize("spelled", ["absolute", "roundabout", "twice"])
def test_however_a_folder_is_spelled_its_shards_are_no_sources(spelled, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    write("momenta-npz", tmp_path / "in")
    absolute, roundabout = tmp_path / "in", Path("in/../in")
    sources = {"absolute": [absolute], "roundabout": [roundabout], "twice": [absolute, roundabout]}[spelled]
    for _ in range(2):
        assert convert(sources, "in/out").events == N


def test_a_file_is_not_converted_into_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = faulty(tmp_path, []).read_bytes()
    with pytest.raises(ValueError, match=r"in\.parquet: is itself what is to be converted"):
        convert([tmp_path / "in.parquet"], "in.parquet", events=10)
    assert (tmp_path / "in.parquet").read_bytes() == before


def test_other_sources_may_join_a_folder(write, tmp_path, sample):
    out = tmp_path / "out"
    convert([write("momenta-npz")], out)
    result = convert([write("momenta-npz", s=type(sample)(seed=1)).rename(tmp_path / "c.npz")], out)
    assert [p.name for p in find_files(out)] == ["a-0000.parquet", "c-0000.parquet"]
    assert result.events == N
