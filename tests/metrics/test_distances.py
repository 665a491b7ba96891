"""Distances against scipy, closed forms, brute force and the published numbers of jetnet."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from scipy.stats import norm, wasserstein_distance

from lpm.metrics.frechet import fpd, frechet_distance
from lpm.metrics.kernel import kpd, mmd
from lpm.metrics.neighbours import prdc
from lpm.metrics.two_sample import classifier_auc
from lpm.metrics.wasserstein import replicated, sliced_wasserstein, wasserstein


def normal(n, f, seed, shift=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(shift, scale, (n, f))


def reference_sample():
    """50,000 events of ten standard normal features, and as many 2% wider, drawn in this order with seed 0."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(50_000, 10)), rng.normal(size=(50_000, 10)) * 1.02


@pytest.mark.parametrize(("n", "m"), [(50, 50), (40, 70), (1, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_wasserstein_equals_scipy(n, m, weighted):
    rng = np.random.default_rng(n + m)
    x, y = np.round(rng.normal(size=n), 1), np.round(rng.normal(0.5, 2, size=m), 1)
    w = (rng.random(n) + 0.1, rng.random(m) + 0.1) if weighted else (None, None)
    assert wasserstein(x, y, *w, samples=2).value == pytest.approx(wasserstein_distance(x, y, *w), abs=1e-12)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_replicas_equal_scipy_on_the_events_drawn(kind, weighted):
    rng = np.random.default_rng(3)
    event = [np.sort(np.append(rng.integers(0, 20, n - 20), np.arange(20))) for n in (90, 70)]
    x, y = (np.round(rng.normal(s, 1, len(e)), 2).astype(kind) for s, e in zip((0, 0.3), event, strict=True))
    w = [rng.random(len(e)) + 0.1 if weighted else None for e in event]
    value, found = replicated(x, y, *w, x_event=event[0], y_event=event[1], seed=5, samples=4)
    assert value == pytest.approx(wasserstein_distance(x, y, *w), rel=1e-12)
    rng = np.random.default_rng(5)
    for replica in found:
        times = [np.bincount(rng.integers(0, 20, 20), minlength=20)[e] for e in event]
        weights = [t if v is None else t * v for t, v in zip(times, w, strict=True)]
        assert replica == pytest.approx(wasserstein_distance(x, y, *weights), rel=1e-12)


def test_coarse_replicas_are_near_the_exact_ones():
    x, y = normal(4000, 1, 0)[:, 0], normal(3000, 1, 1, 0.2)[:, 0]
    exact, coarse = (replicated(x, y, samples=5, steps=steps)[1] for steps in (None, 500))
    assert coarse == pytest.approx(exact, rel=0.01)
    assert not np.array_equal(coarse, exact)


def test_sliced_wasserstein_equals_scipy_over_directions():
    x, y = normal(60, 3, 0), normal(40, 3, 1, 0.5)
    rng = np.random.default_rng(2)
    u = rng.normal(size=(3, 8))
    u /= np.linalg.norm(u, axis=0)
    p, q = ((s - y.mean(0)) / y.std(0) @ u for s in (x, y))
    want = np.mean([wasserstein_distance(p[:, k], q[:, k]) for k in range(8)])
    assert sliced_wasserstein(x, y, directions=8, seed=2, samples=2).value == pytest.approx(want, rel=1e-12)


def test_wasserstein_error_grows_when_rows_come_in_events():
    """Ten equal rows an event carry the information of one."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=300), rng.normal(1.0, 1.0, size=300)
    one = wasserstein(x, y, samples=150)
    event = np.repeat(np.arange(300), 10)
    clustered = wasserstein(np.repeat(x, 10), np.repeat(y, 10), x_event=event, y_event=event, samples=150)
    naive = wasserstein(np.repeat(x, 10), np.repeat(y, 10), samples=150)
    assert clustered.error == pytest.approx(one.error, rel=0.25)
    assert naive.error < 0.5 * clustered.error


def test_wasserstein_error_bar_covers_a_shift():
    inside = 0
    for trial in range(40):
        x, y = normal(300, 1, trial)[:, 0], normal(300, 1, 1000 + trial, shift=1.0)[:, 0]
        e = wasserstein(x, y, samples=60, seed=trial)
        inside += e.low <= 1.0 <= e.high
    assert 18 <= inside <= 36


def test_sliced_wasserstein_of_a_shift_and_of_unequal_sizes():
    x = normal(800, 3, 0)
    assert sliced_wasserstein(x, x, samples=2).value == 0
    moved = sliced_wasserstein(x + 2.0, x, samples=2).value
    assert 1.0 < moved < 2.5
    y = normal(300, 1, 1)
    unequal = sliced_wasserstein(normal(170, 1, 2), y, directions=3, samples=2).value
    assert unequal == pytest.approx(wasserstein_distance(normal(170, 1, 2)[:, 0], y[:, 0]) / y.std(), rel=1e-9)


def test_frechet_distance_of_gaussians():
    x, y = (
        normal(400, 4, 0),
        normal(400, 4, 1, 0.3, 1.5) @ np.array([[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.9], [0, 0, 0, 1]]),
    )
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    by_hand = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(x, y) == pytest.approx(by_hand, rel=1e-9)


def test_frechet_distance_of_constant_features_is_finite():
    x = np.hstack([normal(100, 1, 0), np.zeros((100, 1))])
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_fpd_equals_the_published_number_of_jetnet():
    e = fpd(*reference_sample(), min_samples=10_000)
    assert e.value == pytest.approx(0.00027570572, rel=1e-7)
    assert e.error == pytest.approx(7.70107e-06, rel=1e-6)


def test_fpd_equals_the_distances_of_copies_of_the_events_drawn():
    x, y = normal(1500, 3, 0), normal(2500, 3, 1, 0.2, 1.3)  # more than one block
    rng, sizes = np.random.default_rng(42), (1 / np.linspace(1 / 200, 1 / 900, 10)).astype(int)
    top = np.abs(x).max(0)
    means = []
    for n in sizes:
        drawn = [(x[rng.choice(1500, n)] / top, y[rng.choice(2500, n)] / top) for _ in range(20)]
        means.append(np.mean([frechet_distance(a, b) for a, b in drawn]))
    slope, intercept = np.polyfit(1 / sizes, means, 1)
    assert slope > 0
    assert fpd(x, y, min_samples=200, max_samples=900).value == pytest.approx(intercept, rel=1e-6)


@pytest.mark.parametrize("features", [1, 3, 12])
def test_kpd_equals_the_sum_over_pairs(features):
    """Few features go through the moments; of twelve with 40 events in a batch, the pairs are formed."""
    x, y = normal(100, features, 0), normal(80, features, 1, 0.3)
    top = np.abs(x).max(0)
    values = []
    for i in range(10):
        rng = np.random.default_rng(42 + 1000 * i)
        a, b = x[rng.choice(100, 40)] / top, y[rng.choice(80, 40)] / top
        aa, bb, ab = ((s @ t.T / features + 1) ** 4 for s, t in ((a, a), (b, b), (a, b)))
        values.append((aa.sum() - np.trace(aa) + bb.sum() - np.trace(bb)) / (40 * 39) - 2 * ab.mean())
    assert kpd(x, y, batch_size=40).value == pytest.approx(np.median(values), rel=1e-9)


def test_kpd_equals_the_published_number_of_jetnet():
    assert kpd(*reference_sample()).value == pytest.approx(4.41931e-06, rel=1e-5)


def test_fpd_and_kpd_equal_jetnet_where_it_is_installed():
    jetnet = pytest.importorskip(
        "jetnet.evaluation", reason="jetnet is not installed or does not import", exc_type=ImportError
    )
    x, y = normal(5000, 4, 0), normal(5000, 4, 1, 0.05)
    sizes = {"min_samples": 1000, "max_samples": 5000}
    with pytest.warns(RuntimeWarning, match="50,000"):
        theirs = jetnet.fpd(x, y, **sizes)
    ours = fpd(x, y, **sizes)
    assert (ours.value, ours.error) == pytest.approx(theirs, rel=1e-6)
    ours = kpd(x, y, batch_size=500)
    assert (ours.value, ours.error) == pytest.approx(jetnet.kpd(x, y, batch_size=500), rel=1e-9)


def test_mmd_equals_the_double_sum_and_is_unbiased():
    x, y = normal(40, 2, 0), normal(30, 2, 1)
    z = np.concatenate([x, y]) / y.std(0)
    d = cdist(z, z, "sqeuclidean")
    median = np.median(d[40:, 40:][np.triu_indices(30, 1)])
    k = np.mean([np.exp(-d / (2 * median * f * f)) for f in (0.25, 0.5, 1, 2, 4)], axis=0)
    k_x, k_y = k[:40, :40], k[40:, 40:]
    by_hand = (k_x.sum() - np.trace(k_x)) / (40 * 39) + (k_y.sum() - np.trace(k_y)) / (30 * 29) - 2 * k[:40, 40:].mean()
    # The choice of events shuffles them, which no sum notices.
    assert mmd(x, y, samples=2).value == pytest.approx(by_hand, abs=1e-12)
    values = [mmd(normal(60, 2, 2 * i), normal(60, 2, 2 * i + 1), samples=2).value for i in range(60)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(60)


def test_mmd_error_bar_is_that_of_repeated_samples():
    pairs = [(normal(200, 2, 2 * i, 0.5), normal(200, 2, 2 * i + 1)) for i in range(30)]
    found = [mmd(x, y, samples=100) for x, y in pairs]
    assert np.mean([e.error for e in found]) == pytest.approx(np.std([e.value for e in found]), rel=0.4)


def test_prdc_equals_brute_force():
    x, y = normal(60, 2, 0, 0.7), normal(50, 2, 1)
    scaled = [s / y.std(0) for s in (x, y)]
    a, b = scaled
    found = prdc(x, y, k=3, samples=2)
    r_y = [sorted(np.linalg.norm(b - p, axis=1))[3] for p in b]
    r_x = [sorted(np.linalg.norm(a - p, axis=1))[3] for p in a]
    inside = [[np.linalg.norm(q - p) < r for p in a] for q, r in zip(b, r_y, strict=True)]
    assert found["precision"].value == pytest.approx(np.any(inside, axis=0).mean())
    assert found["density"].value == pytest.approx(np.sum(inside, axis=0).mean() / 3)
    assert found["coverage"].value == pytest.approx(np.any(inside, axis=1).mean())
    back = [any(np.linalg.norm(p - q) < r for p, r in zip(a, r_x, strict=True)) for q in b]
    assert found["recall"].value == pytest.approx(np.mean(back))


def test_prdc_of_equal_distributions_and_of_a_lost_mode():
    y = normal(1500, 2, 1)
    same = prdc(normal(1500, 2, 0), y, samples=50)
    assert same["density"].value == pytest.approx(1, abs=0.05)
    assert same["coverage"].value == pytest.approx(1 - 2**-5, abs=0.02)
    half = normal(1500, 2, 2)
    lost = prdc(np.abs(half), y, samples=50)
    assert lost["precision"].value > 0.95
    assert lost["coverage"].value < 0.4


def test_two_sample_auc_of_shifted_gaussians_is_the_closed_form():
    e = classifier_auc(normal(1200, 2, 0, 0.6), normal(1200, 2, 1), epochs=12)
    assert e.value == pytest.approx(norm.cdf(0.6), abs=0.025)


def test_two_sample_auc_of_equal_samples_is_one_half_within_its_error():
    e = classifier_auc(normal(800, 3, 0), normal(800, 3, 1), epochs=8)
    assert abs(e.value - 0.5) < 3 * e.error


def test_two_sample_auc_sees_what_no_single_feature_shows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 2))
    y = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 800)
    assert classifier_auc(x, y, epochs=12).value > 0.65


def test_two_sample_auc_is_reproducible_and_leaves_global_randomness_alone():
    import torch

    x, y = normal(100, 2, 0), normal(100, 2, 1)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = classifier_auc(x, y, folds=2, epochs=2)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert classifier_auc(x, y, folds=2, epochs=2) == first


@pytest.mark.parametrize("distance", [sliced_wasserstein, mmd, classifier_auc, prdc, kpd, fpd])
@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        (np.ones((30, 2)), np.ones((30, 3)), "same features"),
        (np.full((30, 2), np.nan), np.ones((30, 2)), "finite"),
        (np.ones((1, 2)), np.ones((30, 2)), "expected two tables"),
    ],
)
def test_bad_tables_are_named(distance, x, y, match):
    with pytest.raises(ValueError, match=match):
        distance(x, y)


def test_too_few_events_are_named():
    with pytest.raises(ValueError, match="more than k"):
        prdc(np.ones((5, 2)), np.ones((9, 2)))
    with pytest.raises(ValueError, match="10 events"):
        classifier_auc(np.ones((20, 2)), np.ones((90, 2)))
    with pytest.raises(ValueError, match="finite values"):
        wasserstein([], [1.0])
    with pytest.raises(ValueError, match="min < max"):
        fpd(np.ones((9, 2)), np.ones((9, 2)), min_samples=9, max_samples=5)
