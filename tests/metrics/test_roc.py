"""ROC curves and their numbers against scikit-learn, closed forms and counting."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy.stats import beta, norm

from lpm.metrics.classification import calibration_error
from lpm.metrics.estimate import interval, resamples
from lpm.metrics.roc import pair_score, rejection, roc_auc, roc_auc_one_vs_one, roc_auc_one_vs_rest, roc_curve

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")


def sample(n=600, shift=1.2, seed=0, decimals=8):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return np.round(rng.normal(size=n) + shift * y, decimals), y, rng.uniform(0.1, 2, n)


@pytest.mark.parametrize("decimals", [8, 1, 0])
@pytest.mark.parametrize("weighted", [False, True])
def test_auc_equals_scikit_learn_with_ties_and_weights(decimals, weighted):
    s, y, w = sample(decimals=decimals)
    w = w if weighted else None
    assert roc_auc(s, y, w, samples=2).value == pytest.approx(sklearn.roc_auc_score(y, s, sample_weight=w), abs=1e-12)


@pytest.mark.parametrize("decimals", [8, 1])
def test_curve_equals_scikit_learn(decimals):
    s, y, w = sample(decimals=decimals)
    background, signal, threshold = sklearn.roc_curve(y, s, sample_weight=w, drop_intermediate=False)
    c = roc_curve(s, y, w)
    np.testing.assert_allclose(c.signal, signal, atol=1e-12)
    np.testing.assert_allclose(c.background, background, atol=1e-12)
    np.testing.assert_array_equal(c.threshold, threshold)


@pytest.mark.parametrize(("ours", "theirs"), [(roc_auc_one_vs_one, "ovo"), (roc_auc_one_vs_rest, "ovr")])
def test_several_classes_equal_scikit_learn(ours, theirs):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 4, 400)
    p = rng.dirichlet(np.ones(4), 400) + np.eye(4)[y] * 0.4
    p /= p.sum(1, keepdims=True)
    assert ours(p, y, samples=2).value == pytest.approx(
        sklearn.roc_auc_score(y, p, multi_class=theirs, average="macro"), abs=1e-12
    )


def test_one_bootstrap_serves_all_pairs_of_classes():
    """The same as the mean of what each pair gives for the same samples, whatever is drawn and sorted first."""
    rng = np.random.default_rng(6)
    y = np.arange(120) % 3
    p = (rng.dirichlet(np.ones(3), 120) + np.eye(3)[y] * 0.3).round(2)
    w = rng.uniform(0.1, 2, 120)
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    drawn = resamples(120, 20, np.random.default_rng(7))
    means = []
    for row in drawn:
        again = [np.repeat(x, row, axis=0) for x in (p, y, w)]
        means.append(np.mean([_of_pair(*again, a, b) for a, b in pairs]))
    found = roc_auc_one_vs_one(p, y, w, seed=7, samples=20)
    wanted = interval(np.mean([_of_pair(p, y, w, a, b) for a, b in pairs]), np.array(means))
    assert (found.value, found.low, found.high) == pytest.approx((wanted.value, wanted.low, wanted.high), abs=1e-12)


def _of_pair(p, y, w, a, b):
    rows = (y == a) | (y == b)
    return sklearn.roc_auc_score(y[rows] == a, p[rows, a], sample_weight=w[rows])


@pytest.mark.parametrize("metric", [roc_auc_one_vs_one, calibration_error])
def test_memory_does_not_grow_with_pairs_of_classes_or_bins(metric):
    n = 20_000
    rng = np.random.default_rng(8)
    y = np.arange(n) % 10
    p = rng.dirichlet(np.ones(10), n)
    tracemalloc.start()
    try:
        metric(p, y, samples=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150 * n


def test_interval_has_the_width_of_delong():
    s, y, _ = sample(n=1500)
    e = roc_auc(s, y, samples=400)
    a, b = s[y == 1], s[y == 0]
    v10 = (a[:, None] > b).mean(1)
    v01 = (a[:, None] > b).mean(0)
    delong = np.sqrt(v10.var(ddof=1) / len(a) + v01.var(ddof=1) / len(b))
    assert e.error == pytest.approx(delong, rel=0.12)
    assert abs(e.value - norm.cdf(1.2 / np.sqrt(2))) < 3 * e.error


def test_bootstrap_equals_copies_of_events():
    """Integer weights are copies: the trick that spares the second sort."""
    s, y, _ = sample(n=60)
    copies = np.random.default_rng(2).integers(0, 3, 60)
    copies[:2] = 1
    again = roc_auc(np.repeat(s, copies), np.repeat(y, copies), samples=2).value
    assert roc_auc(s, y, copies.astype(float), samples=2).value == pytest.approx(again, abs=1e-12)


@pytest.mark.parametrize("efficiency", [0.3, 0.5, 0.8])
def test_rejection_counts_background_above_the_cut(efficiency):
    s, y, _ = sample(n=4000)
    cut = np.sort(s[y == 1])[::-1][math.ceil(efficiency * (y == 1).sum() - 1e-9) - 1]
    e = rejection(s, y, efficiency, samples=100)
    assert e.value == pytest.approx((y == 0).sum() / (s[y == 0] >= cut).sum())
    assert e.low < e.value < e.high
    truth = 1 / norm.sf(norm.isf(efficiency) + 1.2)
    assert e.low - 2 * e.error < truth < e.high + 2 * e.error


def test_rejection_without_background_is_a_lower_bound():
    s = np.concatenate([np.linspace(2, 3, 50), np.linspace(0, 1, 200)])
    e = rejection(s, np.repeat([1, 0], [50, 200]), 0.5)
    assert e.value == 200
    assert 0 < e.low <= 200
    assert e.high == math.inf


def test_rejection_interval_is_no_narrower_than_counting():
    s, y, _ = sample(n=3000, shift=2.5)
    e = rejection(s, y, 0.3, samples=100)
    passed = round((y == 0).sum() / e.value)
    assert 1 <= passed < 20
    assert (e.high - e.low) / 2 / e.value > 0.8 / np.sqrt(passed)


def test_pair_score_of_two_impossible_classes_is_even():
    np.testing.assert_allclose(pair_score([[0.0, 0.0, 1.0], [0.3, 0.1, 0.6]], 0, 1), [0.5, 0.75])


@pytest.mark.parametrize(
    ("scores", "labels", "match"),
    [
        ([0.1, math.nan], [0, 1], "NaN"),
        ([0.1, 0.2], [1, 1], "no event of class 0"),
        ([0.1, 0.2], [0, 2], "whole numbers from 0 to 1"),
        ([0.1, 0.2], [0, math.nan], "drop events without a label"),
        ([0.1, 0.2, 0.3], [0, 1], "expected"),
        ([], [], "N > 0"),
        ([[0.1, 0.9]], [0], r"\(N,\) scores"),
    ],
)
def test_bad_input_is_named(scores, labels, match):
    with pytest.raises(ValueError, match=match):
        roc_auc(scores, labels)


def test_bad_weights_and_efficiency_are_named():
    with pytest.raises(ValueError, match="non-negative"):
        roc_auc([0.1, 0.2], [0, 1], [1.0, -1.0])
    with pytest.raises(ValueError, match="signal efficiency"):
        rejection([0.1, 0.2], [0, 1], 0.0)


def test_rejection_of_one_passing_event_has_the_jeffreys_interval():
    s = np.concatenate([np.linspace(2, 3, 50), [5.0], np.linspace(0, 1, 199)])
    e = rejection(s, np.repeat([1, 0], [50, 200]), 0.5, samples=400)
    low, high = beta.ppf([0.16, 0.84], 1.5, 199.5)
    assert e.value == pytest.approx(200)
    assert (1 / e.high, 1 / e.low) == pytest.approx((low, high))
