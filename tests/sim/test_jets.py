"""Clustering conserves what it is given; labels follow the hard process."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lpm.data.fields import JETCLASS
from lpm.sim.detector import Objects
from lpm.sim.jets import DECAYS, SCHEMA, Selection, cluster, find_jets, match
from lpm.sim.pythia import Partons

pytest.importorskip("fastjet", reason="needs the sim extra")

OPEN = Selection(radius=0.8, pt=(5.0, 1e5), eta_max=10.0)


def make_objects(events: int, n: int, seed: int = 0) -> Objects:
    rng = np.random.default_rng(seed)
    size = events * n
    pt, eta, phi = rng.exponential(20, size) + 0.5, rng.normal(0, 1, size), rng.uniform(-np.pi, np.pi, size)
    zero = np.zeros(size)
    return Objects(
        event=np.repeat(np.arange(events), n), pt=pt, eta=eta, phi=phi, energy=pt * np.cosh(eta), charge=zero,
        type=np.zeros(size, np.int64), pdg_id=np.zeros(size, np.int64), d0=zero, d0_err=zero, dz=zero, dz_err=zero,
    )  # fmt: skip


def make_partons(rows: list[tuple[int, int, float, float, float, int, int]]) -> Partons:
    """Rows of (event, pdg id, pt, eta, phi, root, root id), massless."""
    event, pdg_id, pt, eta, phi, root, root_id = (np.asarray(c) for c in zip(*rows, strict=True))
    return Partons(
        event=event, pdg_id=pdg_id, px=pt * np.cos(phi), py=pt * np.sin(phi), pz=pt * np.sinh(eta),
        energy=pt * np.cosh(eta), root=root, root_id=root_id,
    )  # fmt: skip


def matched(partons: Partons, label: str, eta: float = 0.0, phi: float = 0.0) -> tuple[bool, float, float]:
    kept, flavour, pt = match(np.array([0]), np.array([eta]), np.array([phi]), partons, label, 0.8)
    return bool(kept[0]), float(flavour[0]), float(pt[0])


def test_classes_are_those_of_jetclass() -> None:
    assert tuple(DECAYS) == JETCLASS


def test_every_object_is_in_at_most_one_jet_and_sums_agree() -> None:
    objects = make_objects(20, 40)
    jets = cluster(objects, 20, OPEN)
    assert len(np.unique(jets.rows)) == len(jets.rows)
    of_jet = np.repeat(np.arange(len(jets.pt)), jets.lengths)
    assert (objects.event[jets.rows] == jets.event[of_jet]).all()
    np.testing.assert_allclose(np.bincount(of_jet, objects.energy[jets.rows]), jets.energy)


def test_all_energy_ends_in_jets_without_cuts() -> None:
    objects = make_objects(10, 15)
    jets = cluster(objects, 10, Selection(radius=0.8, pt=(0.0, 1e6), eta_max=50.0))
    assert jets.energy.sum() == pytest.approx(objects.energy.sum())


def test_events_without_particles_have_no_jets() -> None:
    objects = make_objects(1, 30)
    shifted = Objects(**{**vars(objects), "event": objects.event + 2})
    assert set(cluster(shifted, 5, OPEN).event) == {2}


def test_cuts_hold() -> None:
    jets = cluster(make_objects(50, 60), 50, Selection(radius=0.4, pt=(30.0, 60.0), eta_max=1.0))
    assert len(jets.pt) > 10
    assert ((jets.pt > 30) & (jets.pt < 60) & (np.abs(jets.eta) < 1.0)).all()


def test_batch_holds_the_jet() -> None:
    objects = make_objects(6, 50, seed=2)
    partons = make_partons([(0, 21, 500.0, 0.0, 0.0, -1, 0)])
    batch = find_jets(objects, partons, 6, "QCD", OPEN)
    assert batch.schema == SCHEMA
    particles = batch.collections["particle"]
    energy = particles.with_values(batch.field("particle.energy").values).sum()
    torch.testing.assert_close(energy, batch.field("jet.energy").values, rtol=1e-4, atol=1e-2)
    pt = batch.field("particle.pt").values
    inside = particles.position > 0
    assert (pt[1:][inside[1:]] <= pt[:-1][inside[1:]]).all()
    assert (batch.field("particle.dphi").values.abs() <= np.pi).all()


TOP = [
    (0, 5, 200.0, 0.3, 0.1, 3, 6),
    (0, 2, 200.0, -0.3, 0.0, 3, 6),
    (0, -1, 200.0, 0.0, -0.3, 3, 6),
]


def test_a_top_inside_the_jet_is_kept() -> None:
    kept, flavour, pt = matched(make_partons(TOP), "Tbqq")
    assert kept
    assert SCHEMA.field("jet.parton").labels[int(flavour)] == "t"
    assert pt == pytest.approx(600, rel=0.05)


def test_a_quark_outside_the_jet_spoils_it() -> None:
    lost = [*TOP[:2], (0, -1, 200.0, 0.0, -0.9, 3, 6)]
    assert not matched(make_partons(lost), "Tbqq")[0]


def test_the_other_top_does_not_matter() -> None:
    other = [(0, -5, 300.0, 0.0, 3.0, 4, -6), (0, 1, 300.0, 0.1, 3.0, 4, -6), (0, -2, 300.0, 0.1, -3.0, 4, -6)]
    assert matched(make_partons(TOP + other), "Tbqq")[0]
    assert not matched(make_partons(other), "Tbqq")[0]


def test_neutrinos_need_not_be_inside_but_their_momentum_counts() -> None:
    rows = [(0, 5, 300.0, 0.1, 0.0, 3, 6), (0, -11, 200.0, -0.2, 0.1, 3, 6), (0, 12, 60.0, 0.0, 1.0, 3, 6)]
    assert matched(make_partons(rows), "Tbl")[0]
    assert not matched(make_partons(rows[:1]), "Tbl")[0], "a decay product is missing"


def test_resonances_of_another_class_are_not_matched() -> None:
    assert not matched(make_partons(TOP), "Hbb")[0]


def test_qcd_jets_are_all_kept_and_know_the_nearest_parton() -> None:
    rows = [(0, 21, 500.0, 0.5, 0.0, -1, 0), (0, -2, 500.0, 0.1, 0.0, -1, 0), (0, 14, 900.0, 0.0, 0.0, 5, 23)]
    kept, flavour, pt = matched(make_partons(rows), "QCD")
    assert (kept, SCHEMA.field("jet.parton").labels[int(flavour)]) == (True, "u")
    assert pt == pytest.approx(500)
    kept, flavour, pt = matched(make_partons(rows), "QCD", phi=2.5)
    assert kept
    assert np.isnan([flavour, pt]).all()


def test_partons_across_the_seam_of_phi_match() -> None:
    rows = [(0, 21, 500.0, 0.0, -3.1, -1, 0)]
    assert not np.isnan(matched(make_partons(rows), "QCD", phi=3.1)[1])


def test_partons_of_other_events_do_not_match() -> None:
    assert not matched(make_partons([(1, *row[1:]) for row in TOP]), "Tbqq")[0]
