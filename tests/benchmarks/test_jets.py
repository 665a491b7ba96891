"""Benchmarks of jets: taggers, generators, tokenizers."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from quick import FOLDER, Start

from lpm.data.batch import Batch
from lpm.data.fields import JET, JETCLASS
from lpm.data.fine import FINE, MASS
from lpm.data.io.parquet import write_batches
from lpm.metrics.discriminant import PUBLISHED
from lpm.physics.kinematics import cartesian
from lpm.recipes import RECIPES
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny


def test_public_taggers(jets: Batch, body: Path, start: Start, tmp_path: Path) -> None:
    execute(tiny(RECIPES["jets.top"](size=2)), tmp_path / "tagger", device="cpu", batch=jets)
    pt, eta, phi = (jets.field(f"particle.{n}") for n in ("pt", "deta", "dphi"))
    energy = pt.values * eta.values.cosh()
    momenta = torch.stack([*cartesian(pt.values, eta.values, phi.values), energy], 1).numpy()
    label = (jets.field("jet.label").values > 0).long().numpy()
    np.savez(tmp_path / "public.npz", px_py_pz_e=momenta, offsets=pt.offsets.numpy(), label=label)
    public = tmp_path / "public.npz"
    words = ["--run", tmp_path / "tagger", "--body", body, "--quark-gluon-run", tmp_path / "tagger"]
    record = start("public_taggers", *words, "--top", public, "--quark-gluon", public)
    tops, quarks = record["tables"]
    assert [len(t["rows"]) for t in (tops, quarks)] == [3, 2]
    auc = tops["rows"][0][1]
    assert 0 <= auc["low"] <= auc["value"] <= auc["high"] <= 1
    assert str(tmp_path) not in json.dumps(record)


def test_label_efficiency(shard: Path, body: Path, start: Start) -> None:
    record = start("label_efficiency", "--body", body, "--data", shard)
    (row,) = record["tables"][0]["rows"]
    pre, scratch = (record["curve"]["series"][n]["all"][0] for n in ("pre-trained", "from scratch"))
    assert len(pre) == len(scratch) == 2
    assert row[1]["value"] == pytest.approx(np.mean(pre))
    assert row[3]["value"] == pytest.approx(np.mean(pre) - np.mean(scratch))
    error = np.std(np.subtract(pre, scratch), ddof=1) / 2**0.5
    assert (row[3]["high"] - row[3]["low"]) / 2 == pytest.approx(error)


def test_label_efficiency_pretrains_a_body_that_meets_no_label(shard: Path, start: Start) -> None:
    record = start("label_efficiency", "--pretrain", 1, "--size", 2, "--data", shard)
    assert "jets.parquet without the test jets, without labels" in record["notes"][1]


def test_generation(shard: Path, body: Path, start: Start) -> None:
    record = start("generation", body, "--truth", shard)
    table = record["tables"][0]
    assert table["columns"] == ["distance", "`body`", "floor"]
    names = [row[0] for row in table["rows"]]
    assert {"w1[jet.mass]", "w1[jet.efp_star]", "sliced_w1"} <= set(names)
    mass = table["rows"][names.index("w1[jet.mass]")]
    assert mass[1]["value"] > mass[2]["value"]  # two steps of training do not reach the floor


def test_fine_taggers(jets: Batch, start: Start, tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    some = torch.tensor([FINE.leaves.index(n) for n in ("H_bb", "H_cc", "H_WW_4q0c", "W_0c", "top_bqq0c")])
    quark = torch.arange(400) % 2 == 0
    label = torch.where(quark, FINE.leaves.index("QCD_others"), some[torch.arange(400) // 2 % 5])
    field = replace(jets.schema.field("jet.label"), labels=FINE.leaves)
    batch = jets.with_field("jet", field, label)
    mass = 20 + 200 * torch.rand(400, generator=g)
    columns = {JET["sdmass"]: mass, JET["mass"]: mass + 10, MASS["target_mass"]: 1.1 * mass}
    columns |= {MASS["mass_factor"]: 1.1 * mass / (mass + 10), JET["pt"]: 250 + 700 * torch.rand(400, generator=g)}
    for name, values in columns.items():
        batch = batch.with_field("jet", name, values)
    batch = Batch.cat([batch] * 4)
    write_batches(tmp_path / "fine.parquet", [batch], schema=batch.schema)
    record = start("fine_taggers", "--data", tmp_path / "fine.parquet", "--body", "pfn", "--inputs", "kinematics")
    tagging, scores, masses = record["tables"]
    assert [row[0] for row in tagging["rows"]] == [d.name for d in PUBLISHED]
    assert all(0 <= row[1]["value"] <= 1 and row[3]["value"] > 1 for row in tagging["rows"])
    assert [row[0] for row in scores["rows"]] == ["as they are", "temperature", "isotonic"]
    assert len(masses["rows"]) == 4


def test_tokenizers(shard: Path, start: Start) -> None:
    record = start("tokenizers", "--data", shard)
    width, bias = record["tables"]
    by_name = {row[0]: row for row in width["rows"]}
    assert len(by_name) == len(bias["rows"]) == 7
    fine, coarse = (by_name[n][1]["value"] for n in ("binned, 128 a field", "binned, 20³ joint"))
    assert by_name["continuous"][1]["value"] < fine < coarse


def test_omnijet(shard: Path, start: Start) -> None:
    record = start("omnijet", "--data", shard)
    width, bias = record["tables"]
    assert [row[0] for row in width["rows"]] == [row[0] for row in bias["rows"]] == ["ours", "OmniJet-α"]
    assert "weights" in record["notes"][0]


def test_optimisers(shard: Path, start: Start) -> None:
    record = start("optimisers", "--data", shard)
    (table,) = record["tables"]
    assert [row[0].split(",")[0] for row in table["rows"]] == ["adamw", "muon"]
    assert all(curve["steps"] == [1, 2] for curve in record["curves"].values())


def test_taggers(jets: Batch, start: Start, tmp_path: Path) -> None:
    names = torch.arange(len(jets)) % len(JETCLASS)
    ten = jets.with_field("jet", jets.schema.field("jet.label"), names)
    write_batches(tmp_path / "ten.parquet", [ten], schema=ten.schema, provenance={})
    words = ["--data", tmp_path / "ten.parquet", "--only"]
    start("taggers", *words, "pfn", "--seeds", 1)
    first = json.loads((tmp_path / "taggers.json").read_text(encoding="utf-8"))["results"]
    record = start("taggers", *words, "pairs,pfn")
    assert [(r["body"], r["seed"]) for r in record["results"]] == [("pfn", 0), ("pfn", 1), ("pairs", 0), ("pairs", 1)]
    assert record["results"][:2] == first  # what was there is kept
    overall, rejections = record["tables"]
    assert [row[0] for row in overall["rows"]] == ["PFN (Deep Sets)", "lpm"]
    assert overall["rows"][0][2]["value"] == pytest.approx(np.mean([r["accuracy"] for r in first]))
    assert len(rejections["columns"]) == len(JETCLASS)
    with pytest.raises(SystemExit, match="holds results of"):
        start("taggers", *words, "pfn", "--lr", 0.1)


@pytest.mark.slow
def test_taggers_of_all_kinds(jets: Batch, start: Start, tmp_path: Path, body: Path) -> None:
    pytest.importorskip("weaver", reason="weaver-core is not installed")
    names = torch.arange(len(jets)) % len(JETCLASS)
    ten = jets.with_field("jet", jets.schema.field("jet.label"), names)
    write_batches(tmp_path / "ten.parquet", [ten], schema=ten.schema, provenance={})
    record = start("taggers", "--data", tmp_path / "ten.parquet", "--base", body, "--base-size", 2)
    bodies = runpy.run_path(str(FOLDER / "taggers.py"))["ROWS"]
    assert len(record["results"]) == 2 * (len(bodies) - 1)  # L-GATr is trained only if it is asked for
    assert all(0 <= r["auc"] <= 1 for r in record["results"])
