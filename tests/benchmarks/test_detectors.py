"""Benchmarks of detectors: particle identification, calorimeters, flash simulation, taus."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matching import matched_objects
from quick import FOLDER, Start

from lpm.data.batch import Batch
from lpm.data.fields import PARTICLE
from lpm.data.io.parquet import write_batches
from lpm.data.matched import MATCHED


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


def test_pid_of_recorded_tracks(start: Start, shared_data: Path) -> None:
    tracks = shared_data / "pid" / "alice_2010_tracks_100k.npz"
    record = start("pid_tracks", "--data", tracks, "--methods", "set,nσ with")
    assert record["name"] == "pid_tracks"
    f1, beside, _ = record["tables"]
    # Deviations tell species without learning, and the file has them in order.
    assert [row[0] for row in beside["rows"]] == ["e", "pi", "K", "p"]
    assert min(cell["value"] for cell in f1["rows"][1][1:5]) > 0.7
    assert str(shared_data) not in json.dumps(record)


def test_clusters_are_not_counted(start: Start, shared_data: Path) -> None:
    tracks = shared_data / "pid" / "alice_2010_tracks_100k.npz"
    record = start("pid_signals", "--data", tracks, "--methods", "boosted,nσ with")
    assert record["name"] == "pid_signals"
    assert record["notes"][-1] == "No method sees tpc.samples, tpc.clusters, tpc.crossed, tpc.findable."
    kaons = [row[3]["value"] for row in record["tables"][0]["rows"]]
    assert max(kaons) < 0.9  # 0.98 where they are counted


def test_flash_of_objects(start: Start, tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    pytest.importorskip("fastjet", reason="needs the sim extra")
    batch = matched_objects(8000, 1)
    write_batches(tmp_path / "pairs.parquet", [batch], schema=batch.schema)
    record = start("flash_objects", "--data", tmp_path / "pairs.parquet")
    chi2, speed = record["tables"]
    assert [row[0] for row in chi2["rows"]] == ["outcome", *MATCHED["object"].names]
    flash, floor = record["flash"][0], record["floor"][0]
    assert set(flash) == set(floor)
    assert floor["mass[b_jet]"]["value"] < 2 < flash["mass[b_jet]"]["value"]  # twenty steps teach little
    assert speed["rows"][0][2]["value"] > 0


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


def test_calorimeter_judge(start: Start) -> None:
    judged, few, speed, made = start("calorimeter_judge")["tables"]
    assert [row[0] for row in few["rows"]] == ["2", "8", "32"]
    assert [row[0] for row in judged["rows"]] == ["equal", "1% too much energy", "half of the sway"]
    rows = ["reading alone", "features", "separation", "separation, plotted", "FPD", "KPD", "FPD and KPD"]
    assert [row[0] for row in speed["rows"]] == rows  # both sides agree
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


@pytest.mark.slow
def test_tau(start: Start) -> None:
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    _, found, back = start("tau")["tables"]
    assert [row[0] for row in found["rows"]][::4] == ["simulation alone", "labelled data (best)"]
    assert [row[0] for row in back["rows"]] == ["adversarial", "reweighted", "transported"]


def test_transported_candidates_keep_their_directions(
    monkeypatch: pytest.MonkeyPatch, toy_jets: Callable[..., Batch]
) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    names = runpy.run_path(str(FOLDER / "tau.py"))
    jets = toy_jets(400)
    pt = jets.field("particle.pt").values
    simulation = jets.with_field("particle", PARTICLE["energy"], 2 * pt)
    data = simulation.with_field("particle", jets.schema.field("particle.pt"), 1.2 * pt)
    transport = names["transport"]
    monkeypatch.setitem(transport.__globals__, "SIGNALS", ("particle.pt",))
    made = transport(simulation, data)
    ratios = [made.field(f"particle.{n}").values / simulation.field(f"particle.{n}").values for n in ("pt", "energy")]
    torch.testing.assert_close(*ratios)
    assert float(ratios[0].median()) > 1.1
