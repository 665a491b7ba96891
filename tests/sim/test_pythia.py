"""Events of the real generator: conservation, seeds, and the ancestry of partons."""

from __future__ import annotations

import numpy as np
import pytest

from lpm.sim.card_files import process
from lpm.sim.detector import reconstruct
from lpm.sim.pythia import Events, generate

pytest.importorskip("pythia8mc", reason="needs the sim extra")

COMMON = ("Beams:eCM = 13000.", "PartonLevel:MPI = off", "PhaseSpace:pTHatMin = 500.", "PhaseSpace:pTHatMax = 600.")


def events(card: str, n: int = 20, seed: int = 5) -> Events:
    return next(generate([*process(card), *COMMON], seed, n))


def test_energy_and_momentum_are_those_of_the_beams() -> None:
    found = events("QCD_dijet")
    p = found.particles
    np.testing.assert_allclose(np.bincount(p.event, p.energy), 13000, rtol=1e-6)
    for component in (p.px, p.py, p.pz):
        np.testing.assert_allclose(np.bincount(p.event, component), 0, atol=0.01)
    np.testing.assert_allclose(np.bincount(p.event, p.charge), 2, atol=1e-9)


def test_perfect_detector_loses_neutrinos_only() -> None:
    found = events("Tbl")
    seen = reconstruct(found.particles, None, np.random.default_rng(0))
    dark = found.particles.take(~found.particles.visible)
    assert len(dark) >= 2 * found.size
    assert seen.energy.sum() + dark.energy.sum() == pytest.approx(13000 * found.size, rel=1e-6)


def test_seeds_decide() -> None:
    one, two, other = events("QCD_dijet"), events("QCD_dijet"), events("QCD_dijet", seed=6)
    np.testing.assert_array_equal(one.particles.px, two.particles.px)
    assert len(one.particles) != len(other.particles)


@pytest.mark.parametrize(
    ("card", "root", "products"),
    [
        ("Tbqq", 6, 6),
        ("Tbl", 6, 6),
        ("Hbb", 25, 2),
        ("Hgg", 25, 2),
        ("H4q", 25, 4),
        ("Hqql_plus", 25, 4),
        ("Wqq", 24, 2),
        ("Zqq", 23, 2),
    ],
)
def test_decay_products_know_their_resonance(card: str, root: int, products: int) -> None:
    found = events(card, 10)
    mine = found.partons.take(np.abs(found.partons.root_id) == root)
    assert (np.bincount(mine.event, minlength=10) == products).all()
    # Their momenta add up to the mass of the resonance.
    key = mine.event * 10_000 + mine.root
    _, inverse = np.unique(key, return_inverse=True)
    e, px, py, pz = (np.bincount(inverse, v) for v in (mine.energy, mine.px, mine.py, mine.pz))
    mass = np.sqrt(e**2 - px**2 - py**2 - pz**2)
    expected = {6: 171.0, 23: 91.2, 24: 80.4, 25: 125.0}[root]
    assert np.median(mass) == pytest.approx(expected, abs=3)


def test_invisible_z_recoils_against_one_parton() -> None:
    found = events("QCD_Zjet", 10)
    hard = found.partons.take(found.partons.root < 0)
    assert len(hard.event) == 10
    assert np.isin(np.abs(hard.pdg_id), (1, 2, 3, 4, 5, 21)).all()


def test_bad_setting_is_named() -> None:
    with pytest.raises(ValueError, match="'HardQCD:nothing = on'"):
        next(generate(["HardQCD:nothing = on"], 1, 1))


def test_settings_without_process_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot start"):
        next(generate(["Beams:eCM = 13000."], 1, 1))
