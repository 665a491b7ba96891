"""Benchmarks of events of objects: four tops."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from quick import FOLDER, Start

from lpm.data.batch import Batch
from lpm.data.fields import FOUR_TOPS, OBJECT_TYPES, events_schema
from lpm.data.io.parquet import write_batches


def events(path: Path, n: int = 300) -> Path:
    """Events of objects at random, harder ones for four tops, in a file."""
    g = torch.Generator().manual_seed(0)
    label = torch.arange(n) % len(FOUR_TOPS)
    lengths = torch.randint(2, 9, (n,), generator=g)
    rows, schema = int(lengths.sum()), events_schema((), FOUR_TOPS)
    pt = 20 + torch.empty(rows).exponential_(0.02, generator=g) + 40 * (label == 0).repeat_interleave(lengths)
    eta = torch.randn(rows, generator=g)
    columns = {"object.pt": pt, "object.eta": eta, "object.phi": 6 * torch.rand(rows, generator=g) - 3}
    columns |= {"object.energy": pt * eta.cosh(), "event.label": label.float()}
    columns["object.type"] = torch.randint(0, len(OBJECT_TYPES), (rows,), generator=g).float()
    write_batches(path, [Batch.build(schema, columns, {"object": lengths})], schema=schema)
    return path


def test_four_tops(start: Start, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    words = ("--data", events(tmp_path / "events.parquet"), "--only")
    first = start("four_tops", *words, "trees,net", "--seeds", 1)
    assert [r["row"] for r in first["results"]] == ["trees", "net-alone", "net-kinematic", "net-couplings"]
    record = start("four_tops", *words, "net,lpm", "--seeds", 2)
    assert [r for r in record["results"] if r["seed"] == 0 and "lpm" not in r["row"]] == first["results"]  # kept
    assert "Made in parts" in record["notes"][-1]
    rows, gains = record["tables"]
    assert [row[:3] for row in rows["rows"]][:2] == [["boosted trees", "—", "1"], ["ParticleNet", "alone", "2"]]
    auc = {(r["row"], r["seed"]): r["auc"] for r in record["results"]}
    assert gains["rows"][1][:4] == ["ParticleNet", "kinematic", "couplings", "2"]
    each = [auc["net-couplings", s] - auc["net-kinematic", s] for s in (0, 1)]
    assert gains["rows"][1][4]["value"] == pytest.approx(sum(each) / 2)


def test_rows_of_four_tops_differ_in_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    names = runpy.run_path(str(FOLDER / "four_tops.py"))
    models = {row: names["model_of"](row, 2) for row in names["ROWS"] if row != "trees"}
    assert len(models) == 11
    assert models["lpm-alone"].pairs is None
    assert "strong" in models["transformer-couplings"].backbone.physics.terms
    assert models["muon-couplings"] == models["lpm-couplings"]
    assert models["edges-couplings"].pairs.edges is not None
