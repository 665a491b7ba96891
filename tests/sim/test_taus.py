"""Tau candidates: matched to what made them, decays told by what is counted, and seen as detectors answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import PARTICLE, TAU_CLASSES, TAU_DECAYS
from lpm.sim.card_files import process
from lpm.sim.chunk import Request, simulate_chunk
from lpm.sim.pythia import Events, generate
from lpm.sim.taus import decays, read_tau_card

pytest.importorskip("pythia8mc", reason="needs the sim extra")


@pytest.fixture(scope="module")
def ditaus() -> Events:
    lines = ["Beams:eCM = 13000.", "PartonLevel:MPI = off", *process("Ztautau")]
    return next(generate(lines, seed=1, batch=120))


@pytest.fixture(scope="module")
def candidates() -> Batch:
    return simulate_chunk(Request(n=120, preset="taus", seed=3), 0)


def test_both_taus_are_found_and_lose_their_neutrinos(ditaus: Events) -> None:
    taus = ditaus.taus
    hard = ditaus.partons.take(np.abs(ditaus.partons.pdg_id) == 15)
    assert np.bincount(taus.event, minlength=120).min() == 2
    assert len(hard.event) == 240
    assert (taus.hadrons + taus.leptons >= 1).all()
    # Charge is conserved: one or three charged products, seldom five.
    assert set(np.unique(taus.hadrons + taus.leptons)) <= {1, 3, 5}
    total = np.bincount(taus.event, taus.energy, 120), np.bincount(hard.event, hard.energy, 120)
    assert (total[0] < total[1] * 1.3).mean() > 0.95, "visible energy is less than that of the taus, but for recoil"


def test_branching_ratios_are_those_of_nature(ditaus: Events) -> None:
    leptonic = float((ditaus.taus.leptons == 1).mean())
    assert leptonic == pytest.approx(0.352, abs=0.07)
    mode = decays(ditaus.taus)
    rho = float((mode == TAU_DECAYS.index("h_pi0")).mean())
    assert rho == pytest.approx(0.26, abs=0.07)
    assert np.isnan(mode[ditaus.taus.leptons > 0]).all()


def test_candidates_are_of_all_classes_and_know_their_maker(candidates: Batch) -> None:
    label, pt = (candidates.field(f"jet.{n}").values for n in ("label", "pt"))
    assert set(label.int().tolist()) == set(range(len(TAU_CLASSES)))
    assert bool(((pt > 20) & (pt < 150)).all())
    decay, maker = (candidates.field(f"jet.{n}").values for n in ("decay", "parton_pt"))
    tau = label == TAU_CLASSES.index("tau")
    assert bool(decay[~tau].isnan().all())
    assert float(decay[tau].isfinite().float().mean()) > 0.9
    assert float((pt[tau] / maker[tau]).median()) == pytest.approx(1.0, abs=0.15)


def test_tracks_answer_as_their_kind_does(candidates: Batch) -> None:
    columns = {
        n: candidates.field(f"particle.{n}").values for n in ("em_share", "calo_ratio", "chambers", "kind", "pt")
    }
    track = columns["kind"] == PARTICLE["kind"].labels.index("track")
    assert bool(columns["calo_ratio"][~track].isnan().all())
    assert bool(((columns["em_share"] >= 0) & (columns["em_share"] <= 1)).all())
    event = candidates.field("particle.pt").event
    label = candidates.field("jet.label").values[event]
    hard = track & (columns["pt"] > 15)
    means = {
        name: {n: float(columns[n][hard & (label == i)].mean()) for n in ("em_share", "chambers")}
        for i, name in enumerate(TAU_CLASSES)
    }
    assert means["electron"]["em_share"] > 0.85 > means["tau"]["em_share"] > means["muon"]["em_share"]
    assert means["muon"]["chambers"] > 3 > 0.5 > means["tau"]["chambers"]


def test_the_same_seed_gives_the_same_and_a_wrong_card_another() -> None:
    chosen = ("taus", "taus", "taus-mismodelled")
    right, again, wrong = (simulate_chunk(Request(n=3, preset=p, seed=5, classes=("tau",)), 0) for p in chosen)
    assert torch.equal(right.field("particle.pt").values, again.field("particle.pt").values)
    assert right.field("particle.pt").values.sum() != wrong.field("particle.pt").values.sum()


def test_a_bad_card_is_named(tmp_path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('text = "nothing"\n')
    with pytest.raises(ValueError, match=r"bad\.toml"):
        read_tau_card(str(path))
    with pytest.raises(ValueError, match="expected one of cms, mismodelled"):
        read_tau_card("atlas")
