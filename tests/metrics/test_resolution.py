"""Bias and width of residuals against closed forms, with outliers in the way."""

import numpy as np
import pytest

from lpm.metrics.resolution import residuals, resolution


def test_gaussian_residuals_give_mean_and_sigma_whatever_the_outliers():
    rng = np.random.default_rng(0)
    true = rng.uniform(1, 2, 5000)
    found = true + rng.normal(0.3, 0.1, 5000)
    found[:50] = 1e6
    e = resolution(found, true)
    assert e["bias"].value == pytest.approx(0.3, abs=0.01)
    assert e["width"].value == pytest.approx(0.1, rel=0.06)
    # The error of a median is sqrt(pi / 2) sigma / sqrt(N).
    assert e["bias"].error == pytest.approx(np.sqrt(np.pi / 2) * 0.1 / np.sqrt(5000), rel=0.3)


def test_relative_residuals_are_divided_by_the_size_of_the_truth():
    np.testing.assert_allclose(residuals([1.1, -2.2, 5.0], [1.0, -2.0, 0.0], relative=True), [0.1, -0.1])


def test_unmeasured_events_are_left_out():
    assert residuals([1.0, np.nan], [0.5, 1.0]).tolist() == [0.5]


@pytest.mark.parametrize(
    ("found", "true", "match"), [([1.0], [1.0, 2.0], "same events"), ([np.nan], [1.0], "got none")]
)
def test_bad_input_is_named(found, true, match):
    with pytest.raises(ValueError, match=match):
        resolution(found, true)
