"""Intervals hold what they promise, and say so in text and JSON."""

import json
import math

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from lpm.metrics.estimate import Estimate, bootstrap, interval, resamples


def mean(x):
    return lambda w: w @ x / w.sum(1)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.97123, 0.9691, 0.9733), "0.9712 ± 0.0021"),
        (Estimate(225.0, 162.0, 340.0), "225 +115 −63"),
        (Estimate(1.0, 1.0, 1.0), "1"),
        (Estimate(4.4e-10, 3e-10, 6e-10), "(4.4e-10 ± 2e-10)"),
        (Estimate(2029.0, 2000.0, math.inf), "> 2000"),
        (Estimate(math.nan, math.nan, math.nan), "nan"),
    ],
)
def test_text(estimate, text):
    assert str(estimate) == text


def test_json_round_trip_keeps_values_and_never_writes_nan():
    for e in (Estimate(0.5, 0.4, 0.7), Estimate(7.0, 6.0, math.inf)):
        assert Estimate.from_json(json.loads(json.dumps(e.to_json(), allow_nan=False))) == e
    empty = Estimate.from_json(Estimate(math.nan, math.nan, math.nan).to_json())
    assert math.isnan(empty.value)
    assert math.isnan(empty.high)


def test_interval_upside_down_is_refused():
    with pytest.raises(ValueError, match="low <= high"):
        Estimate(1.0, 2.0, 0.0)


def test_each_resample_holds_n_events():
    counts = resamples(17, 50, np.random.default_rng(0))
    assert counts.shape == (50, 17)
    assert (counts.sum(1) == 17).all()
    assert counts.std() == pytest.approx(np.sqrt(1 - 1 / 17), rel=0.1)


def test_error_of_a_mean_is_sigma_over_root_n():
    x = np.random.default_rng(1).normal(size=2000)
    e = bootstrap(mean(x), len(x), samples=600)
    assert e.value == pytest.approx(x.mean())
    assert e.error == pytest.approx(x.std() / np.sqrt(len(x)), rel=0.12)


@pytest.mark.parametrize("method", ["percentile", "bca", "normal"])
def test_interval_covers_the_truth_as_often_as_it_says(method):
    rng = np.random.default_rng(2)
    inside = 0
    for trial in range(200):
        x = rng.exponential(size=80)
        e = bootstrap(mean(x), 80, seed=trial, samples=200, method=method)
        inside += e.low <= 1.0 <= e.high
    assert 0.58 < inside / 200 < 0.78


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_interval_of_a_skewed_statistic_equals_scipy(method):
    x = np.random.default_rng(3).exponential(size=40)

    def second_moment(w):
        return w @ x**2 / w.sum(1)

    ours = bootstrap(second_moment, 40, samples=8000, method=method)
    theirs = scipy_bootstrap(
        (x,), lambda v, axis: (v**2).mean(axis), n_resamples=8000, confidence_level=0.68, method=method, rng=1
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), rel=0.02)


def test_bca_leans_towards_the_long_tail_where_percentile_does_not():
    x = np.random.default_rng(3).exponential(size=40)
    plain, corrected = (bootstrap(mean(x**2), 40, samples=8000, method=m) for m in ("percentile", "bca"))
    assert corrected.high > 1.03 * plain.high


def test_chunks_do_not_change_the_number_of_replicas(monkeypatch):
    sizes = []

    def statistic(w):
        sizes.append(len(w))
        return w.sum(1)

    monkeypatch.setattr("lpm.metrics.estimate._CELLS", 70)
    bootstrap(statistic, 10, samples=25)
    assert sizes == [1, 7, 7, 7, 4]


def test_same_seed_same_interval():
    x = np.random.default_rng(4).normal(size=50)
    assert bootstrap(mean(x), 50, seed=5) == bootstrap(mean(x), 50, seed=5)
    assert bootstrap(mean(x), 50, seed=5) != bootstrap(mean(x), 50, seed=6)


def test_undefined_replicas_are_left_out():
    e = interval(1.0, np.array([np.nan, 0.9, 1.1, np.nan]), method="normal")
    assert e.error == pytest.approx(np.std([0.9, 1.1], ddof=1) * 0.9945, rel=1e-3)
    assert math.isnan(interval(1.0, np.array([np.nan, np.nan])).low)


@pytest.mark.parametrize(("n", "level", "match"), [(0, 0.68, "at least one event"), (5, 1.0, "probability")])
def test_wrong_input_is_named(n, level, match):
    with pytest.raises(ValueError, match=match):
        bootstrap(mean(np.ones(n)), n, level=level)


def test_resamples_are_those_drawn_one_after_the_other():
    rng = np.random.default_rng(4)
    want = [np.bincount(rng.integers(0, 9, 9), minlength=9) for _ in range(5)]
    assert np.array_equal(resamples(9, 5, np.random.default_rng(4)), want)
