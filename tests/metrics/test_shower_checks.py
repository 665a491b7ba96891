"""Neighbours, memory and energies of showers: what a copy, an equal sample and a wrong response must give."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from lpm.data.showers import cells_of
from lpm.metrics.frechet import _drawn, fpd
from lpm.metrics.memory import memorised
from lpm.metrics.neighbours import distances, prdc
from lpm.metrics.shower_energies import energy_bins, interpolated
from lpm.physics.geometry import Geometry, Layer
from lpm.tasks.calorimeter import describe

SMALL = Geometry("small", (Layer(0, (0.0, 5.0, 10.0), 4), Layer(1, (0.0, 10.0), 1)))


def showers(energies, seed, response=0.9, power=0.0):
    """Gamma-distributed energies in nine cells; `power` bends the response."""
    g = np.random.default_rng(seed)
    e = np.asarray(energies, dtype=np.float64)
    grid = g.gamma(20.0, 1 / 20.0, (len(e), 9)) / 9 * (e * response * e**power)[:, None]
    batch = cells_of(torch.from_numpy(grid).float(), SMALL, {"energy": torch.from_numpy(e)})
    return describe(batch, SMALL)


def test_distances_of_many_features():
    x, y = np.random.default_rng(0).normal(size=(2, 40, 300))
    np.testing.assert_allclose(distances(x, y), cdist(x, y), rtol=1e-9)
    assert distances(x, x).min() < 1e-5


def test_unscaled_neighbours_see_large_features_only():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 500, 2)) * [100.0, 0.01]
    x[:, 1] += 0.1  # far, in units of the narrow feature
    assert prdc(x, y)["precision"].value < 0.05
    assert prdc(x, y, standardise=False)["precision"].value > 0.5


def test_neighbours_say_how_many_they_need():
    x = np.random.default_rng(1).normal(size=(10, 2))
    with pytest.raises(ValueError, match=r"prdc: needs 6 events of each sample.*got 5 generated and 10 true ones"):
        prdc(x[:5], x)


def test_copies_and_new_events():
    seen, unseen, new = np.random.default_rng(2).normal(size=(3, 600, 80))
    copied = memorised(seen + 1e-4, seen, unseen)
    assert copied["memorised"].value == 1
    assert copied["copies"].value == 1
    fresh = memorised(new, seen, unseen)
    assert abs(fresh["memorised"].value - 0.5) < 4 * fresh["memorised"].error
    assert fresh["copies"].value < 0.05
    half = memorised(np.concatenate([new[:300], seen[:300] + 1e-4]), seen, unseen)
    assert 0.6 < half["memorised"].value < 0.9
    with pytest.raises(ValueError, match="needs 100 generated, training and held-out events, got 50, 600, 600"):
        memorised(new[:50], seen, unseen)


def test_each_energy_is_a_bin():
    energies = np.repeat([1.0, 2.0, 4.0], [200, 200, 10])
    found = energy_bins(showers(energies, 1, response=0.8), showers(energies, 2), SMALL)
    assert list(found) == ["1 GeV", "2 GeV"]  # ten showers are too few
    bin_ = found["1 GeV"]
    assert bin_.showers == (200, 200)
    assert bin_.response["generated"].value == pytest.approx(0.8, abs=4 * bin_.response["generated"].error)
    assert bin_.response["reference"].value == pytest.approx(0.9, abs=4 * bin_.response["reference"].error)
    assert bin_.resolution["reference"].value == pytest.approx(1 / np.sqrt(180), rel=0.2)
    shifted = bin_.separations["Etot / Einc"].estimate
    null = energy_bins(showers(energies, 3), showers(energies, 2), SMALL)["1 GeV"].separations["Etot / Einc"].estimate
    assert shifted.low > null.high
    assert set(bin_.separations) == {"Etot / Einc", "E layer 0", "E layer 1"}


def test_a_continuous_spectrum_has_six_bins():
    energies = np.geomspace(1.0, 1000.0, 600)
    found = energy_bins(showers(energies, 1), showers(energies, 2), SMALL)
    assert next(iter(found)) == "1-3.16 GeV"
    assert [b.showers for b in found.values()] == [(100, 100)] * 6


def test_bins_of_a_narrow_spectrum_have_names_of_their_own():
    energies = np.linspace(50.0, 50.2, 600)
    found = energy_bins(showers(energies, 1), showers(energies, 2), SMALL)
    assert list(found)[:2] == ["50-50.03 GeV", "50.03-50.07 GeV"]
    assert [b.showers[0] for b in found.values()] == pytest.approx([100] * 6, abs=2)


def test_energies_between():
    reference = showers(np.repeat([1.0, 4.0, 16.0], 300), 1)
    good = interpolated(showers(np.repeat([2.0, 4.0], 300), 2), reference, SMALL)
    assert list(good) == ["2 GeV"]
    assert good["2 GeV"]["response"] == pytest.approx(good["2 GeV"]["expected"], abs=0.01)
    bad = interpolated(showers(np.repeat([2.0], 300), 2, response=0.6), reference, SMALL)
    assert bad["2 GeV"]["deviation"] > 3 * good["2 GeV"]["deviation"]
    with pytest.raises(ValueError, match="no generated energy lies between"):
        interpolated(reference, reference, SMALL)
    with pytest.raises(ValueError, match="the spectrum is continuous"):
        interpolated(reference, showers(np.geomspace(1, 9, 200), 3), SMALL)


def test_fpd_of_many_features_is_that_of_few(monkeypatch):
    """Both ways draw the same showers."""
    x, y = np.random.default_rng(5).normal(size=(2, 300, 6)) * [[[1.0]], [[1.1]]]
    sizes = np.array([50, 50, 120, 300], dtype=np.int32)

    def both():
        return _drawn(x, y, sizes, np.random.default_rng(3)), fpd(x, y, min_samples=50, max_samples=300, batches=3)

    one, value = both()
    monkeypatch.setattr("lpm.metrics.frechet._MANY", 1)
    two, other = both()
    np.testing.assert_allclose(two, one, rtol=1e-9)
    # The fit of the extrapolation ends where a step changes its sum of squares by less than 1e-8.
    assert other.value == pytest.approx(value.value, rel=1e-6)
    assert other.error == pytest.approx(value.error, rel=1e-5)
