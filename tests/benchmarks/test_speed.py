"""Benchmarks of speed beside a peer: how numbers are put together, never which side is the faster.

Times of a quick run depend on what else the machine does; a test that compares them fails by chance.
"""

from __future__ import annotations

import argparse
import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from quick import FOLDER, Start

from lpm.data.batch import Batch
from lpm.data.io.parquet import write_batches
from lpm.tasks.jets import SUBSTRUCTURE, observe


def test_sampling(start: Start) -> None:
    record = start("sampling")
    ours, cached, anew = record["tables"][0]["rows"]
    sizes = [float(row[1].removesuffix("M")) for row in (ours, cached, anew)]
    assert max(sizes) < 1.03 * min(sizes)
    for row in (cached, anew):
        assert row[3]["value"] == pytest.approx(ours[2]["value"] / row[2]["value"])


def test_generative_training(start: Start) -> None:
    record = start("generative_training")
    speed, vocabulary = record["tables"]
    assert [len(row) for row in (*speed["rows"], *vocabulary["rows"])] == [4, 4, 4, 5, 5]
    rows = [int(row[1].replace(",", "")) for row in vocabulary["rows"]]
    assert rows[1] == 2 * 128 > rows[0]
    first = speed["rows"][0][2]["value"]
    for row in speed["rows"][1:]:
        assert row[3]["value"] == pytest.approx(first / row[2]["value"])
    for row in vocabulary["rows"]:
        assert row[4] == f"{row[3]['value'] / row[2]['value']:.0%}"


def test_padded_words_of_a_jet(monkeypatch: pytest.MonkeyPatch, toy_jets: Callable[..., Batch]) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    names = runpy.run_path(str(FOLDER / "generators.py"))
    batch = toy_jets(5)
    codes = torch.arange(len(batch.collections["particle"].values))[:, None]
    words, asked = names["padded"](codes, batch)
    assert words.shape == asked.shape == (5, 128)
    lengths = batch.collections["particle"].lengths
    assert torch.equal((asked == names["STOP"]).nonzero()[:, 1], lengths)
    assert (words[:, 0] == names["START"]).all()
    assert torch.equal(words[:, 1:], asked[:, :-1])
    first = int(lengths[0])
    assert asked[0, :first].tolist() == list(range(first))
    assert (asked[0, first + 1 :] == names["PAD"]).all()
    torch.manual_seed(0)
    published, fused = names["Padded"]().eval(), names["Padded"](fused=True).eval()
    fused.load_state_dict(published.state_dict())
    with torch.no_grad():
        whole, part = published(words[:2]), published(words[:2, :9])
        torch.testing.assert_close(whole[:, :9], part, atol=1e-4, rtol=1e-4)  # a row sees only those before it
        torch.testing.assert_close(fused(words[:2]), whole, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_particle_transformer(start: Start) -> None:
    pytest.importorskip("weaver", reason="weaver-core is not installed")
    record = start("particle_transformer")
    assert 0 < record["difference"] < 1e-5
    speed, memory = record["tables"]
    assert [row[0] for row in speed["rows"]] == ["training", "inference"]
    for row in speed["rows"]:
        for fast, slow, ratio in ((1, 2, 3), (1, 4, 5)):
            assert row[ratio]["value"] == pytest.approx(row[fast]["value"] / row[slow]["value"], rel=0.5)
    assert all(float(row[1].replace(",", "")) > 100 for row in memory["rows"])


@pytest.mark.slow
def test_best_tagger(start: Start) -> None:
    pytest.importorskip("weaver", reason="weaver-core is not installed")
    record = start("best_tagger")
    speed, memory = record["tables"]
    assert [row[0] for row in speed["rows"]] == [
        "lpm, no pairs, Muon", "lpm, Muon", "lpm, Muon, edges", "ParT (lpm)", "ParT (weaver)",
    ]  # fmt: skip
    assert [row[0] for row in memory["rows"]] == ["lpm, no pairs, Muon", "ParT (weaver)"]
    for row in speed["rows"][:4]:
        assert row[5]["value"] == pytest.approx(row[4]["value"] / speed["rows"][4][4]["value"], rel=0.5)


@pytest.mark.slow
def test_accelerator(start: Start) -> None:
    (table,) = start("accelerator")["tables"]
    rows = [row[:2] for row in table["rows"]]
    assert rows[:2] == [["training", "lpm, no pairs, Muon"], ["training", "lpm, Muon"]]
    assert {row[0] for row in rows} == {"training", "inference"}
    assert all(row[2]["value"] > 0 for row in table["rows"])


def test_utilisation(start: Start) -> None:
    record = start("utilisation")
    ((parameters, *rates, mfu, waiting),) = record["tables"][0]["rows"]
    assert parameters.endswith("M")
    assert all(rate["value"] > 0 for rate in rates)
    assert 0 <= waiting["value"] < 1
    if not torch.cuda.is_available():
        assert mfu == "—"
        assert "MFU of 40% or more, not measured" in record["notes"][-1]


def test_metrics(start: Start) -> None:
    record = start("metrics")
    (table,) = record["tables"]
    by_name = {row[0]: row for row in table["rows"]}
    assert {"sliced W1, 10 features", "AUC"} <= set(by_name)
    assert all(float(row[2]) <= 1e-6 for row in by_name.values())
    for row in by_name.values():
        assert row[5]["value"] == pytest.approx(row[3]["value"] / row[4]["value"])
    assert ("jetnet is not installed" in record["notes"][-1]) == (len(by_name) == 2)


def test_loader(start: Start) -> None:
    record = start("loader")
    (row,) = record["tables"][0]["rows"]
    assert row[1]["value"] > 0
    if row[2] != "not installed":
        assert row[3]["value"] == pytest.approx(row[1]["value"] / row[2]["value"])
        assert "Both hand out 2,000 jets" in record["notes"][0]
    assert str(FOLDER) not in json.dumps(record)


def test_converter(start: Start) -> None:
    record = start("converter")
    first, *others = record["tables"][0]["rows"]
    assert first[1]["value"] > 0
    if others:
        assert "Both find 300 jets" in record["notes"][0]
        for row in others:
            assert row[2]["value"] == pytest.approx(first[1]["value"] / row[1]["value"])
    else:
        assert "not installed" in record["notes"][0]


@pytest.mark.slow
def test_onnx_latency(start: Start) -> None:
    pytest.importorskip("onnxruntime", reason="needs the onnx extra")
    pytest.importorskip("onnxscript", reason="needs the onnx extra")
    record = start("onnx_latency")
    rows = record["tables"][0]["rows"]
    assert [row[1] for row in rows] == ["1", "10", "100"] * 4
    assert all(row[-1]["value"] > 0 for row in rows)
    assert max(record["largest_difference"].values()) < 1e-3


def test_start_up(start: Start) -> None:
    record = start("start_up")
    rows = {row[0]: row for row in record["tables"][0]["rows"]}
    assert list(rows) == ["`import lpm`", "`lpm --help`", "`lpm inspect --help`", "`python`"]
    assert all(row[2]["value"] > 0 for row in rows.values())  # the work of child processes is seen
    assert record["notes"][1] == "No process of ours loads torch."


def test_tokenizer_speed(start: Start) -> None:
    record = start("tokenizer_speed")
    (table,) = record["tables"]
    *ours, peer = table["rows"]
    assert peer[0] == "OmniJet-α"
    assert peer[2] == peer[4] == ""
    for row in ours:
        assert row[2]["value"] == pytest.approx(row[1]["value"] / peer[1]["value"])
        assert row[4]["value"] == pytest.approx(row[3]["value"] / peer[3]["value"])


def test_quick_start_parts_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    rows = runpy.run_path(str(FOLDER / "quick_start.py"))["rows"]
    told = "16,000 jets\n    2 s  fit and pre-train\n   60 s  generate\n   75 s  done\n"
    assert rows(told, 75.6) == [
        ("start, and a look at the data", "2"), ("fit and pre-train", "58"), ("generate", "15"), ("all", "76"),
    ]  # fmt: skip


@pytest.mark.slow
def test_data_parallel(shard: Path, start: Start) -> None:
    record = start("data_parallel", "--data", shard)
    speed, memory = record["tables"]
    assert len(speed["rows"]) == 4
    first = speed["rows"][0][2]["value"]
    for row in speed["rows"][1:]:
        assert row[3]["value"] == pytest.approx(row[2]["value"] / first)
    sums = [float(row[4].replace(",", "")) for row in memory["rows"]]
    assert len(sums) == 2
    assert sums[1] <= sums[0]
    assert all(0 < share < 1 for share in record["jets.base"]["parts"].values())


def test_data_parallel_worker(
    jets: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One process of it, in this one."""
    monkeypatch.syspath_prepend(FOLDER)
    names = runpy.run_path(str(FOLDER / "data_parallel.py"))
    jets = observe(jets, SUBSTRUCTURE)
    write_batches(tmp_path / "jets.parquet", [jets], schema=jets.schema)
    options = {"recipe": "jets.base", "size": 1, "steps": 1, "budget": 512, "data": str(tmp_path / "jets.parquet"),
               "threads": 1, "parallel": "ddp", "profile": False, "memory": True}  # fmt: skip
    config = names["recipe"](argparse.Namespace(**options))
    assert (config.train.steps, config.train.optimiser, config.train.ema) == (2, "adamw", 0.0)
    threads = torch.get_num_threads()
    names["worker"](argparse.Namespace(**options))
    torch.set_num_threads(threads)
    found = json.loads(capsys.readouterr().out.removeprefix(names["LABEL"]))
    assert found["rate"] > 0
    assert found["parameters"] > 1000
