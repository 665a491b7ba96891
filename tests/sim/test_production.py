"""Samples: the same for any number of workers, resumable, safe, and refused with one line when the request is bad."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.farm import Unfinished, crew
from lpm.data.io.parquet import ShardReader, read_provenance
from lpm.sim import chunk as chunks
from lpm.sim import production
from lpm.sim.card_files import CARDS
from lpm.sim.chunk import Request, simulate_chunk
from lpm.sim.production import MANIFEST, plan, produce

pytest.importorskip("pythia8mc", reason="needs the sim extra")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A preset without multiparton interactions, five times faster."""
    path = tmp_path_factory.mktemp("cards") / "quick.toml"
    text = (CARDS / "preset" / "top-landscape.toml").read_text()
    path.write_text(text.replace("mpi = true", "mpi = false").replace("[550.0, 650.0]", "[500.0, 700.0]"))
    return str(path)


def read(path: Path) -> Batch:
    with ShardReader(path) as reader:
        return Batch.cat(list(reader.batches()))


def same(a: Batch, b: Batch) -> bool:
    return a.schema == b.schema and all(
        torch.equal(a.collections[n].offsets, b.collections[n].offsets)
        and torch.equal(a.collections[n].values.nan_to_num(-9), b.collections[n].values.nan_to_num(-9))
        for n in a.schema.names
    )


def test_shares_add_up() -> None:
    request = Request(n=4321, seed=1)
    assert sum(request.share(c, k) for c in request.labels for k in range(request.chunks)) == 4321
    totals = [sum(request.share(c, k) for k in range(request.chunks)) for c in request.labels]
    assert max(totals) - min(totals) <= 1


def test_equal_samples_for_any_number_of_workers(tmp_path: Path, quick: str) -> None:
    request = Request(n=201, preset=quick, seed=11, classes=("QCD",))
    assert request.chunks == 2
    seen: list[int] = []
    produce(request, tmp_path / "two", workers=2, done=seen.append)
    assert sum(seen) == 201
    assert same(read(tmp_path / "two" / "part-00001.parquet"), simulate_chunk(request, 1))


def test_weights_share_out_the_jets() -> None:
    request = Request(n=3200, preset="sample")
    total = {c: sum(request.share(c, k) for k in range(request.chunks)) for c in request.labels}
    assert total["QCD"] == total["Tbqq"] == 12 * total["Hbb"]
    assert sum(total.values()) == 3200


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch, quick: str) -> None:
    """Chunks of the same jet over and over."""
    batch = simulate_chunk(Request(n=1, preset=quick), 0)

    def repeat(request: Request, chunk: int) -> Batch:
        return batch[torch.zeros(sum(request.share(c, chunk) for c in request.labels), dtype=torch.int64)]

    monkeypatch.setattr(production, "simulate_chunk", repeat)


@pytest.mark.usefixtures("instant")
def test_resume_makes_what_is_missing_and_nothing_else(tmp_path: Path, quick: str) -> None:
    request, out = Request(n=900, preset=quick), tmp_path / "s"
    produce(request, out)
    parts = sorted(out.glob("*.parquet"))
    assert len(parts) == request.chunks == 5
    times = [p.stat().st_mtime_ns for p in parts]
    parts[1].unlink()
    (out / ".part-00001.parquet.1.tmp").write_text("half")
    seen: list[int] = []
    produce(request, out, resume=True, done=seen.append)
    assert sum(seen) == 900
    assert [p.stat().st_mtime_ns == t for p, t in zip(parts, times, strict=True)] == [True, False, True, True, True]
    assert not list(out.glob(".part*"))


@pytest.mark.usefixtures("instant")
def test_a_dead_worker_loses_nothing_finished(tmp_path: Path, quick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pool writes one chunk and dies; the second makes the rest, and no chunk is counted twice."""
    pools: list[DyingPool] = []

    class DyingPool:
        def __init__(self, *args: object, **options: object) -> None:
            self.work = 0
            pools.append(self)

        def submit(self, call: Callable[..., int], *args: object) -> Future[int]:
            future: Future[int] = Future()
            self.work += 1
            if len(pools) == 1 and self.work > 1:
                future.set_exception(BrokenProcessPool("killed"))
            else:
                future.set_result(call(*args))
            return future

        def shutdown(self, **options: object) -> None: ...

    monkeypatch.setattr(crew, "ProcessPoolExecutor", DyingPool)
    seen: list[int] = []
    produce(Request(n=900, preset=quick), tmp_path / "s", workers=2, done=seen.append)
    assert len(pools) == 2
    assert pools[1].work == 4
    assert sum(seen) == 900
    assert len(list((tmp_path / "s").glob("*.parquet"))) == 5


@pytest.mark.usefixtures("instant")
def test_workers_that_always_die_are_reported(tmp_path: Path, quick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Inline:
        def __init__(self, *args: object, **options: object) -> None: ...

        def submit(self, call: Callable[..., int], *args: object) -> Future[int]:
            future: Future[int] = Future()
            future.set_exception(BrokenProcessPool("killed"))
            return future

        def shutdown(self, **options: object) -> None: ...

    monkeypatch.setattr(crew, "ProcessPoolExecutor", Inline)
    with pytest.raises(ValueError, match="worker died 3 times"):
        produce(Request(n=900, preset=quick), tmp_path / "s", workers=2)


@pytest.mark.usefixtures("instant")
def test_what_is_cut_short_or_of_other_cards_is_made_again(tmp_path: Path, quick: str) -> None:
    request, out = Request(n=900, preset=quick), tmp_path / "s"
    assert plan(request, out).to_json() == {"pieces": 5, "done": 0, "missing": MISSING, "failed": []}
    assert not out.exists()
    produce(request, out)
    cut = out / "part-00003.parquet"
    cut.write_bytes(cut.read_bytes()[:-1])
    assert plan(request, out, resume=True).missing == ("part-00003.parquet",)
    before = {p: p.stat().st_mtime_ns for p in out.glob("*.parquet")}
    produce(request, out, resume=True)
    assert [p for p in before if p.stat().st_mtime_ns != before[p]] == [cut]
    assert plan(request, out, resume=True).missing == ()


MISSING = [f"part-{i:05d}.parquet" for i in range(5)]


def test_hopeless_requests_end_early(tmp_path: Path, quick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def fails(request: Request, chunk: int) -> Batch:
        tried.append(chunk)
        raise ValueError("class QCD: no jet passes")

    monkeypatch.setattr(production, "simulate_chunk", fails)
    with pytest.raises(Unfinished, match="no jet passes") as error:
        produce(Request(n=900, preset=quick), tmp_path / "s")
    assert tried == [0, 1, 2]
    assert error.value.failures[0].to_json() == {
        "name": "chunk 0",
        "reason": "chunk 0: class QCD: no jet passes",
    }


def test_one_file_holds_all_classes_mixed_and_says_how_it_was_made(tmp_path: Path, quick: str) -> None:
    out = tmp_path / "jets.parquet"
    request = Request(n=40, preset=quick, seed=2, compact=True)
    manifest = produce(request, out, command="lpm simulate jets jets.parquet")
    batch = read(out)
    labels = batch.field("jet.label").values
    assert len(batch) == 40
    assert sorted(labels.unique().tolist()) == [0, 8]
    assert labels.diff().count_nonzero() > 5
    assert read_provenance(out)["request"]["seed"] == 2
    assert manifest["command"] == "lpm simulate jets jets.parquet"
    assert len(manifest["cards"]) == 4
    assert [p.name for p in tmp_path.iterdir()] == ["jets.parquet"]
    with pytest.raises(ValueError, match="exists already"):
        produce(request, out)


def test_jets_are_physical(quick: str) -> None:
    batch = simulate_chunk(Request(n=120, preset=quick, seed=4), 0)
    pt, eta = batch.field("jet.pt").values, batch.field("jet.eta").values
    assert ((pt > 500) & (pt < 700) & (eta.abs() < 2)).all()
    top = batch.field("jet.label").values == 8
    assert top.sum() == 60
    mass, groomed = batch.field("jet.mass").values, batch.field("jet.sdmass").values
    assert (groomed <= mass + 1e-3).all()
    assert 155 < groomed[top].median() < 185
    assert groomed[~top].median() < 80
    tau = torch.stack([batch.field(f"jet.tau{n}").values for n in (1, 2, 3, 4)], 1)
    assert (tau.median(0).values.diff() < 0).all()
    assert (tau[top, 2] / tau[top, 1]).median() < (tau[~top, 2] / tau[~top, 1]).median()
    for collection in batch.collections.values():
        assert not collection.values.isinf().any()


def test_an_existing_sample_is_not_overwritten(tmp_path: Path, quick: str) -> None:
    out = tmp_path / "s"
    produce(Request(n=4, preset=quick), out)
    with pytest.raises(ValueError, match="--resume"):
        produce(Request(n=4, preset=quick), out)
    with pytest.raises(ValueError, match="another request"):
        produce(Request(n=4, preset=quick, seed=1), out, resume=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="not empty"):
        produce(Request(n=4, preset=quick), other)


def test_a_failing_class_keeps_what_is_finished(tmp_path: Path, quick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request, simulate = Request(n=210, preset=quick, seed=3), production.simulate_chunk

    def broken(request: Request, chunk: int) -> Batch:
        if chunk == 1:
            raise MemoryError
        return simulate(Request(n=4, preset=quick), 0)

    monkeypatch.setattr(production, "simulate_chunk", broken)
    with pytest.raises(Unfinished, match=r"1 piece failed, the first: chunk 1: MemoryError; .* --resume"):
        produce(request, tmp_path / "s")
    assert sorted(p.name for p in (tmp_path / "s").glob("[!.]*")) == ["part-00000.parquet", MANIFEST]
    assert json.loads((tmp_path / "s" / MANIFEST).read_text())["request"]["n"] == 210


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "at least 1"),
        ({"n": -5}, "at least 1"),
        ({"n": 1, "seed": -1}, "seed"),
        ({"n": 1, "classes": ("Hxx",)}, "expected different ones of QCD"),
        ({"n": 1, "classes": ("QCD", "QCD")}, "expected different ones"),
        ({"n": 1, "pt": (600.0, 500.0)}, "MIN < MAX"),
        ({"n": 1, "preset": "lhc"}, "no preset card 'lhc'"),
        ({"n": 1, "detector": "lhcb"}, "no detector card 'lhcb'"),
    ],
)
def test_bad_requests(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Request(**options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write"):
        produce(Request(n=1), tmp_path / "file" / "s")


def test_no_workers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers"):
        produce(Request(n=1), tmp_path / "s", workers=0)


def test_impossible_cuts_end(quick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "PATIENCE", 2)
    with pytest.raises(ValueError, match="without a jet"):
        simulate_chunk(Request(n=2, preset=quick, classes=("Tbqq",), pt=(20.0, 21.0)), 0)
