"""The detector does what its card says: resolution, efficiency, thresholds, energy flow and helices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lpm.data.fields import PARTICLE_TYPES
from lpm.sim.card import Detector
from lpm.sim.card_files import read_detector
from lpm.sim.detector import Objects, reconstruct
from lpm.sim.pythia import Particles

PHOTON, NEUTRAL = PARTICLE_TYPES.index("photon"), PARTICLE_TYPES.index("neutral_hadron")


def gun(pdg_id: int, pt: float, n: int, *, eta: float = 0.3, mass: float = 0.0, seed: int = 0) -> Particles:
    """One particle an event, azimuths at random."""
    phi = np.random.default_rng(seed).uniform(-np.pi, np.pi, n)
    pz = np.full(n, pt * np.sinh(eta))
    zero = np.zeros(n)
    return Particles(
        event=np.arange(n), pdg_id=np.full(n, pdg_id), px=pt * np.cos(phi), py=pt * np.sin(phi), pz=pz,
        energy=np.full(n, np.hypot(pt * np.cosh(eta), mass)), x=zero, y=zero, z=zero,
    )  # fmt: skip


def card(name: str = "cms") -> Detector:
    detector = read_detector(name)
    assert detector is not None
    return detector


def see(particles: Particles, detector: Detector | None) -> Objects:
    return reconstruct(particles, detector, np.random.default_rng(7))


def test_perfect_detector_keeps_every_visible_particle() -> None:
    particles = gun(211, 5.0, 50, mass=0.14)
    seen = see(particles, None)
    np.testing.assert_allclose(seen.energy.sum(), particles.energy.sum())
    np.testing.assert_allclose(np.sort(seen.phi), np.sort(particles.phi))
    assert len(see(gun(14, 5.0, 50), None)) == 0


@pytest.mark.parametrize("pdg_id", [13, -13])
def test_muon_resolution_and_efficiency_of_the_card(pdg_id: int) -> None:
    n, pt = 20_000, 50.0
    seen = see(gun(pdg_id, pt, n), card())
    assert len(seen) / n == pytest.approx(0.99, abs=0.003)
    assert seen.pt.std() / pt == pytest.approx(np.hypot(0.010, 1.0e-4 * pt), rel=0.03)
    assert seen.pt.mean() == pytest.approx(pt, rel=0.001)
    assert set(seen.charge) == {-np.sign(pdg_id)}


def test_photon_energy_resolution_of_the_card() -> None:
    n, energy = 20_000, 80.0
    seen = see(gun(22, energy / np.cosh(0.3), n), card("atlas-delphes"))
    assert len(seen) == n
    assert set(seen.type) == {PHOTON}
    assert seen.energy.std() / energy == pytest.approx(np.hypot(0.0017, 0.101 / np.sqrt(energy)), rel=0.03)
    assert seen.energy.mean() == pytest.approx(energy, rel=0.002)


def test_neutral_hadron_energy_resolution_of_the_card() -> None:
    n, energy = 20_000, 100.0
    seen = see(gun(130, energy / np.cosh(0.3), n), card())
    assert set(seen.type) == {NEUTRAL}
    assert seen.energy.std() / energy == pytest.approx(np.hypot(0.05, 1.5 / np.sqrt(energy)), rel=0.03)


def test_impact_parameter_is_measured_with_its_uncertainty() -> None:
    particles = gun(13, 20.0, 20_000)
    shifted = replace(particles, x=-0.5 * np.sin(particles.phi), y=0.5 * np.cos(particles.phi))
    seen = see(shifted, card())
    assert abs(seen.d0.mean()) == pytest.approx(0.5, abs=0.001)
    assert seen.d0.std() == pytest.approx(seen.d0_err.mean(), rel=0.03)
    assert seen.dz.std() == pytest.approx(seen.dz_err.mean(), rel=0.03)


def test_neutrals_have_no_impact_parameter() -> None:
    seen = see(gun(22, 20.0, 100), card())
    assert not np.any([seen.d0, seen.d0_err, seen.dz, seen.dz_err, seen.charge])


def test_soft_particles_that_curl_up_are_not_tracked() -> None:
    """At 3.8 T a particle below 0.3 × 3.8 × 1.29 / 2 = 0.74 GeV does not reach the barrel."""
    detector = card()
    fast, slow = see(gun(211, 0.9, 5000, eta=0.0), detector), see(gun(211, 0.2, 5000, eta=0.02), detector)
    assert np.mean(fast.charge != 0) * len(fast) / 5000 == pytest.approx(0.70, abs=0.02)
    assert np.sum(slow.charge != 0) == 0


@pytest.mark.parametrize(("name", "share"), [("atlas-delphes", 0.0), ("cms", 0.1)])
def test_energy_below_threshold_is_lost(name: str, share: float) -> None:
    """The CMS card has 0.4 GeV of noise, whose tail now and then lifts 0.2 GeV above the threshold."""
    assert len(see(gun(22, 0.2, 2000), card(name))) <= share * 2000


def test_a_tracked_pion_is_not_counted_twice() -> None:
    """Energy flow: a charged pion gives one object or two whose sum stays near its energy, on average."""
    for name in ("cms", "atlas-delphes"):
        particles = gun(211, 30.0, 4000, mass=0.14)
        seen = see(particles, card(name))
        assert seen.energy.sum() / particles.energy.sum() == pytest.approx(1.0, abs=0.06), name


def test_photon_and_neutral_hadron_of_one_tower_share_a_place_only_with_shared_towers() -> None:
    """K0_S that live long enough leave 30 % of their energy in the electromagnetic calorimeter."""
    particles = gun(310, 60.0, 300)
    for name, shared in (("atlas-delphes", True), ("cms", False)):
        seen = see(particles, card(name))
        photons, neutrals = seen.take(seen.type == PHOTON), seen.take(seen.type == NEUTRAL)
        both = np.intersect1d(photons.event, neutrals.event)
        assert len(both) > 200
        left = photons.eta[np.isin(photons.event, both)]
        right = neutrals.eta[np.isin(neutrals.event, both)]
        assert np.all(left == right) == shared


def test_towers_report_places_inside_themselves() -> None:
    seen = see(gun(22, 50.0, 3000, eta=0.25), card("atlas-delphes"))
    assert ((seen.eta > 0.2) & (seen.eta < 0.3)).all()


def test_equal_seeds_give_equal_events() -> None:
    particles = gun(211, 3.0, 500)
    one, two = see(particles, card()), see(particles, card())
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, vars(two)[name])


def test_no_particles() -> None:
    assert len(see(gun(22, 5.0, 0), card())) == 0
    assert len(see(gun(22, 5.0, 0), None)) == 0
