"""Every benchmark runs in its quick mode, and the page of results is written from records alone."""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import JET, JETCLASS
from lpm.data.fine import FINE, MASS
from lpm.data.io.parquet import write_batches
from lpm.metrics.discriminant import PUBLISHED
from lpm.physics.kinematics import cartesian
from lpm.recipes import RECIPES
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny
from lpm.tasks.jets import SUBSTRUCTURE, observe

FOLDER = Path(__file__).parents[1] / "benchmarks"

Start = Callable[..., dict[str, Any]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Start:
    """Runs a script as the command line would and returns its record."""
    monkeypatch.syspath_prepend(FOLDER)

    def call(name: str, *words: object) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words), "--quick", "--out", str(tmp_path)])
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        return dict(json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")))

    return call


@pytest.fixture
def jets(toy_jets: Callable[..., Batch]) -> Batch:
    """Jets whose two classes bear names of JetClass."""
    batch = toy_jets(400)
    field = replace(batch.schema.field("jet.label"), labels=JETCLASS)
    return batch.with_field("jet", field, batch.field("jet.label").values * JETCLASS.index("Tbqq"))


@pytest.fixture
def shard(jets: Batch, tmp_path: Path) -> Path:
    """The jets in a file."""
    write_batches(tmp_path / "jets.parquet", [jets], schema=jets.schema, provenance={})
    return tmp_path / "jets.parquet"


@pytest.fixture
def body(jets: Batch, tmp_path: Path) -> Path:
    """A run of the tiny twin of the pre-trained body."""
    execute(tiny(RECIPES["jets.base"](size=2)), tmp_path / "body", device="cpu", batch=jets)
    return tmp_path / "body"


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


def test_pid(start: Start) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    record = start("pid")
    f1, beside, fewer = record["tables"]
    assert f1["columns"] == ["method", "e", "mu", "pi", "K", "p", "mean", "seconds"]
    assert [row[0] for row in f1["rows"]] == [row[0] for row in fewer["rows"]]
    assert len(beside["rows"]) == 5
    by_name = {row[0]: row for row in f1["rows"]}
    # Without learning, deviations tell protons even from this few tracks; five steps of training do not.
    assert by_name["nσ with priors"][5]["value"] > max(0.8, by_name["mean imputation"][5]["value"])
    priors = {row[0]: row for row in fewer["rows"]}["nσ with priors"]
    assert priors[1]["value"] == pytest.approx(by_name["nσ with priors"][6]["value"], abs=1e-9)
    assert priors[1]["value"] > priors[-1]["value"] + 0.2


@pytest.mark.slow
def test_flash(start: Start) -> None:
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    record = start("flash", "--seeds", "1")
    tracks, clusters, masses, likelihoods, speed = record["tables"]
    assert tracks["columns"][:3] == ["observable", "all", "e"]
    assert {"outcome", "dp", "rich_K", "ep"} <= {row[0] for row in tracks["rows"]}
    assert {"clusters a photon", "energy", "mass"} <= {row[0] for row in clusters["rows"]}
    assert [row[1] for row in masses["rows"]] == ["detailed", "flash"] * 2
    assert len(likelihoods["rows"]) == 16
    # Sixty steps teach little, and yet it is faster.
    assert min(row[3]["value"] for row in speed["rows"]) > 1


def test_transfer(start: Start) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    record = start("transfer")
    found, back = record["tables"]
    assert [row[0] for row in found["rows"]][::4] == ["simulation alone", "labelled data (best)"]
    assert [row[0] for row in back["rows"]] == ["adversarial", "reweighted", "transported"]
    assert all(0 <= row[-1]["value"] <= 1 for row in found["rows"])


def test_sampling(start: Start) -> None:
    record = start("sampling")
    ours, cached, anew = record["tables"][0]["rows"]
    sizes = [float(row[1].removesuffix("M")) for row in (ours, cached, anew)]
    assert max(sizes) < 1.03 * min(sizes)
    for row in (cached, anew):
        assert row[3]["value"] == pytest.approx(ours[2]["value"] / row[2]["value"], rel=0.5)
    assert anew[3]["value"] > cached[3]["value"]


def test_generative_training(start: Start) -> None:
    record = start("generative_training")
    speed, vocabulary = record["tables"]
    assert [len(row) for row in (*speed["rows"], *vocabulary["rows"])] == [4, 4, 4, 5, 5]
    rows = [int(row[1].replace(",", "")) for row in vocabulary["rows"]]
    assert rows[1] == 2 * 128 > rows[0]
    assert all(row[3]["value"] < row[2]["value"] for row in vocabulary["rows"])


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
    assert len(record["results"]) == 20
    assert all(0 <= r["auc"] <= 1 for r in record["results"])


def test_metrics(start: Start) -> None:
    record = start("metrics")
    (table,) = record["tables"]
    by_name = {row[0]: row for row in table["rows"]}
    assert {"sliced W1, 10 features", "AUC"} <= set(by_name)
    assert all(float(row[2]) <= 1e-6 for row in by_name.values())
    for row in by_name.values():
        assert row[5]["value"] == pytest.approx(row[3]["value"] / row[4]["value"])
    assert ("jetnet is not installed" in record["notes"][-1]) == (len(by_name) == 2)


def test_calorimeter_judge(start: Start) -> None:
    judged, speed, made = start("calorimeter_judge")["tables"]
    assert [row[0] for row in judged["rows"]] == ["equal", "1% too much energy", "half of the sway"]
    assert [row[0] for row in speed["rows"]] == ["features", "separation", "FPD", "KPD"]  # both sides agree
    assert [row[0] for row in made["rows"]] == ["1-photons", "1-pions", "2", "3"]


@pytest.mark.slow
def test_shower_generators(start: Start, tmp_path: Path) -> None:
    words = ("--seeds", "1", "--only")
    first = start("shower_generators", *words, "simulation,autoencoder", "--runs", tmp_path / "runs")["results"]
    lines = (tmp_path / "shower_generators.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line)["name"] for line in lines.splitlines()] == ["simulation", "autoencoder"]
    record = start("shower_generators", *words, "autoencoder", "--runs", tmp_path / "runs")
    judged, timed, published = record["tables"]
    assert (tmp_path / "shower_generators.jsonl").read_text(encoding="utf-8") == lines  # what was there is kept
    assert [row[0] for row in judged["rows"]] == ["simulation", "variational autoencoder"]
    assert judged["rows"][0][5]["value"] == first[0]["high"][0]
    assert [row[0] for row in timed["rows"]] == ["variational autoencoder"]
    assert published["rows"][0][0] == "GEANT4"
    spent = json.loads((tmp_path / "runs" / "autoencoder-1-0" / "seconds.json").read_text(encoding="utf-8"))
    assert spent == record["results"][1]["seconds"] > 0
    assert first[0]["command"] in record["notes"][-1]
    assert first[0]["command"] != record["command"]


def test_new_geometry(start: Start, shared_data: Path) -> None:
    record = start("new_geometry", "--boxes", shared_data / "calorimeter" / "geant4_em_showers_1000.root")
    (table,) = record["tables"]
    assert [row[:2] for row in table["rows"]] == [
        ["showers of the training", "400"], ["from nothing", "20"], ["fine-tuned", "20"]
    ]  # fmt: skip
    floor, nothing, tuned = (row[3]["value"] for row in table["rows"])
    assert floor < min(nothing, tuned)


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


@pytest.mark.slow
def test_tau(start: Start) -> None:
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    _, found, back = start("tau")["tables"]
    assert [row[0] for row in found["rows"]][::4] == ["simulation alone", "labelled data (best)"]
    assert [row[0] for row in back["rows"]] == ["adversarial", "reweighted", "transported"]


@pytest.mark.slow
def test_phase_space(start: Start) -> None:
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    means, told = start("phase_space")["tables"]
    assert means["rows"][0][0] == "ht"
    assert 0.3 < told["rows"][0][1]["value"] <= 1


def test_start_up(start: Start) -> None:
    record = start("start_up")
    rows = {row[0]: row for row in record["tables"][0]["rows"]}
    assert list(rows) == ["`import lpm`", "`lpm --help`", "`lpm inspect --help`", "`python`"]
    assert all(row[2]["value"] > 0 for row in rows.values())  # the work of child processes is seen
    assert rows["`lpm --help`"][2]["value"] > rows["`python`"][2]["value"]
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


def test_laporta(start: Start) -> None:
    record = start("laporta")
    (row,) = record["tables"][0]["rows"]
    assert row[:4] == ["1", "3,978", "2,955", "15"]
    assert row[7]["value"] == pytest.approx(row[6]["value"] / row[4]["value"])


def test_learned_reduction(start: Start) -> None:
    record = start("learned_reduction", "--integrals", "0")
    scrambled, solved = record["tables"]
    for table in (scrambled, solved):
        assert [row[0] for row in table["rows"]][:2] == ["policy", "fewest new integrals"]
        assert all(0 <= row[1]["value"] <= row[2]["value"] <= 1 for row in table["rows"][:2])
    assert [row[0] for row in scrambled["rows"]][2:] == ["SAILIR, published", "target"]


def test_memory_of_reductions_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    names = runpy.run_path(str(FOLDER / "run.py"))
    one = {"integral": "I[1]", "weight": [1, 0], "learned": {"peak": 270.0}, "laporta": {"peak": 500.0}}
    two = one | {"weight": [2, 2], "learned": {"failed": "no way"}, "laporta": {"peak": 900.0}}
    drawn = names["figure"]({"integrals": [one, two]})
    assert drawn.startswith("<svg")
    assert "Laporta" in drawn
    assert names["figure"]({"integrals": []}) == names["figure"]({}) == ""


def test_dilogarithms(start: Start) -> None:
    record = start("dilogarithms")
    first, *deeper = record["tables"][0]["rows"]
    assert first[:3] == ["published mix", "8", "8"]
    assert len(deeper) == 3
    assert first[3]["low"] < first[3]["value"] == 1.0
    assert [row[1:3] for row in record["tables"][1]["rows"]] == [["equal", "10"], ["not equal", "0"]]


def test_spinors(start: Start) -> None:
    sums, longer, gluons, judge = start("spinors")["tables"]
    assert [row[0] for row in sums["rows"]] == ["4", "5", "6"]
    assert [row[4] for row in longer["rows"][:2]] == ["all", "by what they leave"]
    assert all(row[5] in ("0/1", "1/1") for row in longer["rows"])
    assert gluons["rows"][0][2]["value"] == 1.0
    assert [row[2] for row in judge["rows"]] == ["10", "0"]


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


def test_page_holds_the_records_and_nothing_else(
    shard: Path, body: Path, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = start("generation", body, "--truth", shard)
    words = ["run.py", "--page", "--results", str(tmp_path), "--to", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(FOLDER / "run.py"), run_name="__main__")
    assert end.value.code == 0
    page = "".join((tmp_path / f"{name}.md").read_text(encoding="utf-8") for name in ("results", "benchmarks"))
    assert page.count("Not measured yet") == page.count("\n## ") - 1
    assert record["command"] in page
    assert "A tiny trial" in page
    assert f"commit {record['commit'] or 'unknown'}" in page


def test_the_pages_in_the_documentation_are_those_of_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    for name, made in runpy.run_path(str(FOLDER / "run.py"))["pages"](FOLDER / "results").items():
        assert (FOLDER.parent / "docs" / f"{name}.md").read_text(encoding="utf-8") == made
