"""χ² of two samples: right for equal ones, large for others, and as scipy has it."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from lpm.metrics.chi_square import compared, homogeneity


def test_equal_distributions_give_the_degrees_of_freedom() -> None:
    rng = np.random.default_rng(0)
    found = [compared(rng.normal(size=3000), rng.normal(size=5000), seed=i) for i in range(40)]
    values = np.array([f.estimate.value for f in found])
    assert abs(values.mean() - 1) < 4 * np.sqrt(2 / 39 / 40)
    inside = [f.estimate.low <= 1.0 + np.sqrt(2 / 39) and f.estimate.high >= 1.0 - np.sqrt(2 / 39) for f in found]
    assert np.mean(inside) > 0.8
    assert 0.02 < np.mean([f.probability < 0.5 for f in found]) < 0.98


def test_it_is_that_of_a_table() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(20, 200, (2, 6))
    expected = chi2_contingency(np.stack([a, b]), correction=False)
    found = homogeneity(a[None], b[None])
    assert found.value == pytest.approx(expected.statistic)
    assert found.freedom == expected.dof
    twice = homogeneity(np.stack([a, a]), np.stack([b, b]))
    assert twice.value == pytest.approx(2 * found.value)
    assert twice.freedom == 2 * found.freedom


def test_a_shift_is_found_and_numbers_that_repeat_are_one_bin() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=4000), rng.normal(size=4000)
    assert compared(x + 0.3, y).probability < 1e-6
    x[:2000], y[:2000] = 0.0, 0.0
    same = compared(x, y)
    assert same.freedom < 39
    assert same.probability > 1e-3
    x[:400] = 0.01  # off the peak
    assert compared(x, y).probability < 1e-6


@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_what_is_missing_is_a_bin(nothing: float) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=4000), rng.normal(size=4000)
    complete = compared(x, y)
    holes = np.where(rng.random(4000) < 0.6, nothing, x)
    worse = compared(holes, y)
    assert worse.freedom == complete.freedom + 1
    assert worse.counts == (4000, 4000)
    assert worse.estimate.value > 20 > complete.estimate.value
    assert compared(y, holes).probability < 1e-6
    assert compared(holes, np.where(rng.random(4000) < 0.6, nothing, y)).probability > 1e-3


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 400 values on both sides, got 10 and 500"):
        compared(np.zeros(10), np.zeros(500))
    with pytest.raises(ValueError, match="expected two"):
        homogeneity(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match="nothing to compare"):
        homogeneity(np.array([[30, 0]]), np.array([[40, 0]]))
