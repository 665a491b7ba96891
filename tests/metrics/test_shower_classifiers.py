"""Classifiers of showers: half for equal samples, near the optimum where it is known, seeded, and calibrated."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from lpm.data.showers import cells_of
from lpm.metrics.estimate import Estimate
from lpm.metrics.isotonic import calibrate
from lpm.metrics.shower_classifiers import Table, Training, _mean, log_posterior, tell_apart
from lpm.metrics.shower_inputs import both, inputs, logarithms
from lpm.metrics.shower_networks import CyclicConv3d, Residual3d, plain
from lpm.physics.geometry import GEOMETRIES
from lpm.tasks.calorimeter import describe

SMALL = Training(hidden=16, epochs=8, batch=100, rate=1e-2)


def normal(n, shift=0.0, seed=0, features=3):
    x = torch.randn(n, features, generator=torch.Generator().manual_seed(seed))
    x[:, 0] += shift
    return x


def test_isotonic_equals_scikit_learn():
    sklearn = pytest.importorskip("sklearn.isotonic", reason="the peer is in the dev extra")
    rng = np.random.default_rng(0)
    score = rng.normal(size=500).round(2)  # with equal ones
    label = (rng.random(500) < 1 / (1 + np.exp(-2 * score))).astype(float)
    weight = rng.uniform(0.5, 2.0, 500)
    peer = sklearn.IsotonicRegression(out_of_bounds="clip").fit(score, label, weight)
    at = np.linspace(-4, 4, 200)
    np.testing.assert_allclose(calibrate(score, label, weight)(at), peer.predict(at), atol=1e-12)
    with pytest.raises(ValueError, match="finite scores"):
        calibrate([np.nan], [1])


def test_equal_samples_give_a_half():
    found = tell_apart(Table(normal(4000)), 2000, Training(hidden=16, epochs=4, batch=200, rate=3e-3, seeds=3))
    assert abs(found.auc.value - 0.5) < 3 * found.auc.error
    assert abs(found.jsd.value) < 0.03
    assert len(found.aucs) == len(found.jsds) == 3


def test_a_shift_gives_what_it_must():
    """Two normal distributions apart by d: the best AUC is Φ(d / √2)."""
    n, d = 3000, 1.5
    x = torch.cat([normal(n, d, 1), normal(n, 0.0, 2)])
    found = tell_apart(Table(x), n, SMALL)
    assert found.auc.value == pytest.approx(ndtr(d / math.sqrt(2)), abs=4 * found.auc.error)
    g = np.random.default_rng(0).normal(d, 1, 200_000)  # JSD of the two, by its definition
    ratio = np.exp(-(g**2) / 2 + (g - d) ** 2 / 2)
    assert found.jsd.value == pytest.approx(1 - np.log2(1 + ratio).mean(), abs=0.05)


def test_few_showers_take_more_passes_for_as_many_steps():
    """A shift that one pass of three steps does not find; the network is the best of all passes."""
    x = torch.cat([normal(250, 2.0, 1), normal(250, 0.0, 2)])
    brief = Training(hidden=8, epochs=1, batch=100, rate=2e-3)
    short, long = (tell_apart(Table(x), 250, replace(brief, steps=s)) for s in (0, 150))
    assert short.kept == (1.0,)
    assert long.auc.value > 0.85 > short.auc.value
    assert 0 < long.kept[0] < 1


def test_scaled_inputs_have_no_unit():
    """The same answers in any unit and about any origin; a column that never varies does no harm."""
    x = torch.cat([normal(300, 1.0, 1), normal(300, 0.0, 2)])
    constant = torch.cat([x, torch.full((600, 1), 0.7)], 1)
    scaled = Training(hidden=8, epochs=6, batch=100, rate=1e-2, scaled=True)
    a, b = (tell_apart(Table(t), 300, scaled) for t in (constant, torch.cat([x * 1e-6 + 3e-6, constant[:, 3:]], 1)))
    assert a.auc.value == pytest.approx(b.auc.value, abs=1e-3)
    assert a.auc.value == pytest.approx(ndtr(1 / math.sqrt(2)), abs=4 * a.auc.error)


def test_sizes_do_not_matter():
    x = torch.cat([normal(600, 0.0, 1), normal(4000, 0.0, 2)])
    found = tell_apart(Table(x), 600, SMALL)
    assert abs(found.jsd.value) < 0.15
    assert abs(found.auc.value - 0.5) < 4 * found.auc.error


def test_the_same_seed_gives_the_same():
    x = torch.cat([normal(400, 0.5, 1), normal(400, 0.0, 2)])
    torch.manual_seed(0)
    a = tell_apart(Table(x), 400, SMALL)
    torch.manual_seed(1)  # no global number is drawn
    b = tell_apart(Table(x), 400, SMALL)
    c = tell_apart(Table(x), 400, Training(hidden=16, epochs=8, batch=100, rate=1e-2, seed=5))
    assert a == b
    assert a.auc != c.auc


def test_too_few_are_refused_with_the_number():
    with pytest.raises(ValueError, match=r"needs 250 showers of each sample, got 100 generated and 700"):
        tell_apart(Table(normal(800)), 100, SMALL)
    with pytest.raises(ValueError, match="needs two generators or more of 250"):
        log_posterior(Table(normal(300)), [300], Table(normal(300)), SMALL)
    for wrong in ({"hidden": 0}, {"steps": -1}, {"fractions": (0.5, 0.5, 0.5)}):
        with pytest.raises(ValueError, match="expected"):
            Training(**wrong)


def test_the_posterior_finds_the_nearest_generator():
    near, far, true = normal(800, 0.1, 1), normal(800, 1.5, 2), normal(800, 0.0, 3)
    a, b = log_posterior(Table(torch.cat([near, far])), [800, 800], Table(true), SMALL)
    assert a.value > b.value + 5 * b.error
    c, d = log_posterior(Table(torch.cat([near, near])), [800, 800], Table(true), SMALL)
    assert c.value == pytest.approx(-math.log(2), abs=0.15)
    assert d.value == pytest.approx(-math.log(2), abs=0.15)


def quick(seeds, seed=0, fractions=(0.4, 0.2, 0.4)):
    return Training(hidden=4, epochs=1, batch=100, rate=1e-2, seeds=seeds, seed=seed, fractions=fractions)


@pytest.mark.parametrize("seeds", [1, 2, 6])
def test_more_seeds_judge_the_same_showers_again(seeds):
    """Two and a half times as many showers as each seed judges do not hold six independent parts."""
    rows = Table(torch.cat([normal(300, 0.5, 1), normal(300, 0.0, 2)]))
    alone = [tell_apart(rows, 300, quick(1, seed)) for seed in range(seeds)]
    together = tell_apart(rows, 300, quick(seeds))
    for name in ("auc", "jsd"):
        values, errors = np.array([(getattr(t, name).value, getattr(t, name).error) for t in alone]).T
        spread = values.var(ddof=1) / seeds if seeds > 1 else 0.0
        wanted = max((errors**2).mean() * (1 + 0.4 * (seeds - 1)) / seeds, spread)  # parts share two fifths
        assert getattr(together, name).error == pytest.approx(np.sqrt(wanted))


@pytest.mark.parametrize("seeds", [1, 5])
def test_the_error_of_a_posterior_has_that_of_the_true_showers_whole(seeds):
    rows, true = Table(torch.cat([normal(300, 0.5, 1), normal(300, 0.0, 2)])), Table(normal(250, 0.2, 3))
    alone = [log_posterior(rows, [300, 300], true, quick(1, seed)) for seed in range(seeds)]
    for i, found in enumerate(log_posterior(rows, [300, 300], true, quick(seeds))):
        values, errors = np.array([(one[i].value, one[i].error) for one in alone]).T
        spread = values.var(ddof=1) / seeds if seeds > 1 else 0.0
        assert found.error == pytest.approx(np.sqrt((errors**2).mean() + spread))


def test_convolutions_go_around():
    """A turn of the shower turns the answer of a cyclic layer, also where the kernel is wider than the circle."""
    for sectors in (8, 2):
        conv = CyclicConv3d(1, 2, 7, 1, torch.Generator().manual_seed(0))
        x = torch.randn(1, 1, 5, sectors, 4, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(conv(x.roll(1, 3)), conv(x).roll(1, 3))
        assert not torch.allclose(conv(x.roll(1, 2)), conv(x).roll(1, 2))


@pytest.mark.parametrize(("length", "rings", "stride"), [(6, 4, 2), (6, 3, 1), (2, 1, 1), (9, 8, 2)])
def test_weights_that_meet_nothing_have_no_gradient(length, rings, stride):
    """In small cylinders a wide kernel reaches beyond both ends; the rest is what the whole kernel gives."""
    conv = CyclicConv3d(1, 2, 7, stride, torch.Generator().manual_seed(0))
    x = torch.randn(3, 1, length, 4, rings, generator=torch.Generator().manual_seed(1))
    out = conv(x)
    around = x[:, :, :, torch.arange(-3, 7) % 4]
    torch.testing.assert_close(out, conv.conv(around))
    out.square().sum().backward()
    grad = conv.conv.weight.grad
    assert float(grad.abs().max()) < 1e4
    place = {n: torch.arange(0, n, stride) for n in (length, rings)}
    for axis, n in ((2, length), (4, rings)):
        for tap in range(7):
            meets = bool(((place[n] + tap - 3 >= 0) & (place[n] + tap - 3 < n)).any())
            assert bool(grad.select(axis, tap).any()) == meets


def test_the_residual_network_learns_where_energy_lies():
    shape = (6, 4, 4)
    g = torch.Generator().manual_seed(0)
    x = torch.rand(600, 97, generator=g)
    x[:300, 1:17] += 1.0  # the first layer

    def network(features, generator):
        return Residual3d(shape, (4, 4, 4, 4), generator)

    found = tell_apart(Table(x), 300, Training(epochs=4, batch=50, rate=1e-2), network)
    assert found.auc.value > 0.9


def test_networks_are_as_wide_as_asked():
    g = torch.Generator().manual_seed(0)
    assert [m.out_features for m in plain(30, 2048, 1, g)[::2]] == [2048, 2048, 2048, 1]
    assert Residual3d((45, 16, 9), (32, 64, 64, 128), g).answer.in_features == 128


def sample(n, seed):
    geometry = GEOMETRIES["1-photons"]
    g = torch.Generator().manual_seed(seed)
    x = torch.empty(n, 368).exponential_(generator=g) * (torch.rand(n, 368, generator=g) < 0.3)
    return describe(cells_of(x, geometry, {"energy": x.sum(1)}), geometry), x, geometry


def test_inputs_are_the_challenge_s():
    batch, x, geometry = sample(30, 0)
    index = torch.tensor([4, 0, 4])
    low = inputs(batch, geometry, "low").take(index)
    torch.testing.assert_close(low[:, 0], (x[index].sum(1) * 1e3).log10())
    kept = torch.where(x >= 1e-3, x, 0.0)
    torch.testing.assert_close(low[:, 1:], kept[index] / x[index].sum(1, keepdim=True), rtol=1e-5, atol=1e-9)
    normalised = inputs(batch, geometry, "normalised").take(index)
    assert normalised.shape == (3, 1 + 368 + 5)
    torch.testing.assert_close(normalised[:, 1:9].sum(1), torch.ones(3))
    torch.testing.assert_close(normalised[:, -5], (kept[index][:, :8].sum(1) * 1e3).log10(), rtol=1e-5, atol=1e-6)
    assert inputs(batch, geometry, "high").take(index).shape == (3, 30)
    logs = logarithms(batch, geometry)
    assert (logs == -1).sum() == (kept == 0).sum()


def test_two_samples_in_a_row():
    (a, _, g), (b, _, _) = sample(7, 1), sample(5, 2)
    rows, first, second = both(inputs(a, g, "low"), inputs(b, g, "low")), inputs(a, g, "low"), inputs(b, g, "low")
    assert len(rows) == 12
    index = torch.tensor([8, 0, 11, 6, 7])
    wanted = torch.stack([second.take(torch.tensor([i - 7]))[0] if i >= 7 else first.take(torch.tensor([i]))[0]
                          for i in index.tolist()])  # fmt: skip
    torch.testing.assert_close(rows.take(index), wanted)
    torch.testing.assert_close(rows.take(index[:1]), wanted[:1])


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_error_over_seeds_covers(seeds):
    """Each seed judges a random fifth of the same showers; showers are drawn anew to see how far means scatter."""
    rng, n = np.random.default_rng(seeds), 500
    means, errors = [], []
    for _ in range(1500):
        showers = rng.normal(size=n)
        parts = [rng.permutation(showers)[: n // 5] for _ in range(seeds)]
        found = _mean([Estimate.symmetric(float(p.mean()), float(p.std(ddof=1) / np.sqrt(len(p)))) for p in parts], 5)
        means.append(found.value)
        errors.append(found.error)
    assert np.std(means) / np.sqrt(np.mean(np.square(errors))) == pytest.approx(1, abs=0.06)
