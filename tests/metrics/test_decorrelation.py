"""Mass sculpting: zero for fair choices, as large as the closed form for unfair ones, flattened by a moving cut."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from lpm.metrics.decorrelation import CutMap, fit_cut, jsd, sculpting, threshold
from lpm.records.config import from_dict, to_dict

EDGES = np.linspace(20, 200, 10)


def background(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masses, momenta, and scores that grow with the mass."""
    rng = np.random.default_rng(seed)
    mass, pt = 20 + rng.exponential(40, n), rng.uniform(300, 900, n)
    return mass, pt, rng.normal(mass / 80 + pt / 900, 0.5)


def test_jsd_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    p, q = rng.integers(0, 50, (2, 12))
    assert float(jsd(p, q)) == pytest.approx(jensenshannon(p, q, base=2) ** 2, rel=1e-12)
    assert np.isnan(jsd([0, 0], [1, 1]))


def test_a_fair_choice_reaches_the_floor_and_no_more() -> None:
    mass, _, _ = background(8000)
    found = sculpting(mass, np.random.default_rng(2).random(8000) < 0.1, EDGES)
    assert found.floor.low * 0.3 < found.jsd.value < found.floor.high * 2
    # The closed form for small differences: (K − 1) (1/n − 1/N) / (8 ln 2).
    assert found.floor.value == pytest.approx(8 * (1 / 800 - 1 / 8000) / (8 * np.log(2)), rel=0.3)


def test_a_cut_in_mass_sculpts_as_much_as_it_must() -> None:
    mass = np.repeat([50.0, 150.0], 5000)
    found = sculpting(mass, mass > 100, [0, 100, 200])
    exact = 0.5 * (0.5 * np.log2(0.5 / 0.25) + 0.5 * np.log2(0.5 / 0.75)) + 0.5 * np.log2(1 / 0.75)
    assert found.jsd.value == pytest.approx(exact, rel=1e-9)
    assert found.inverse.value == pytest.approx(1 / exact)
    assert found.inverse.low < found.inverse.value < found.inverse.high


def test_the_interval_covers() -> None:
    """68% intervals of jets that a cut sculpts hold the value of a large sample about as often."""
    mass, _, score = background(200_000, seed=9)
    true = float(sculpting(mass, score >= threshold(score, 0.1), EDGES, samples=2).jsd.value)
    hits = 0
    for seed in range(40):
        m, _, s = background(3000, seed)
        found = sculpting(m, s >= threshold(s, 0.1), EDGES, seed=seed, samples=60).jsd
        hits += found.low <= true <= found.high
    assert 18 <= hits <= 37


def test_a_moving_cut_keeps_the_spectrum() -> None:
    train, test = background(20_000, 1), background(20_000, 2)
    cut = fit_cut(train[2], train[0], train[1], 0.1, bins=(12, 3))
    fixed = test[2] >= threshold(test[2], 0.1)
    moving = cut.passes(test[2], test[0], test[1])
    assert moving.mean() == pytest.approx(0.1, abs=0.01)
    one, other = (sculpting(test[0], c, EDGES) for c in (fixed, moving))
    assert other.inverse.value > 20 * one.inverse.value
    for low, high in ((300, 500), (700, 900)):
        here = (test[1] > low) & (test[1] < high)
        assert moving[here].mean() == pytest.approx(0.1, abs=0.02)
    assert from_dict(CutMap, to_dict(cut)) == cut


def test_bad_requests_are_named() -> None:
    mass, pt, score = background(200)
    with pytest.raises(ValueError, match=r"200 background events are too few for 30 bins .* expected 900 or more"):
        fit_cut(score, mass, pt, 0.1)
    with pytest.raises(ValueError, match="none passes"):
        sculpting(mass, np.zeros(200, bool), EDGES)
    with pytest.raises(ValueError, match="expected masses and choices of the same events"):
        sculpting(mass, np.zeros(3, bool), EDGES)
    with pytest.raises(ValueError, match="expected events and a share"):
        threshold(score, 1.5)
