"""Separation: closed forms, bins with their edges, an error that covers, and the floor that equal samples reach."""

import numpy as np
import pytest

from lpm.metrics.separation import separation

EDGES = np.linspace(0, 1, 11)


def test_closed_forms():
    x = np.array([0.05, 0.15])
    assert separation(x, x, EDGES).estimate.value == 0
    assert separation(x, x + 0.5, EDGES).estimate.value == pytest.approx(1)
    # 1/2 of ((1/2 - 1/4)^2 / (3/4) + (1/2 - 3/4)^2 / (5/4))
    y = np.array([0.05, 0.15, 0.15, 0.15])
    assert separation(x, y, EDGES).estimate.value == pytest.approx(0.5 * (0.0625 / 0.75 + 0.0625 / 1.25))


def test_bins_are_those_of_numpy():
    rng = np.random.default_rng(0)
    x, y = rng.integers(-20, 130, (2, 5000)) / 100  # many on the edges
    found = separation(x, y, EDGES)
    for side, values in ((found.generated, x), (found.reference, y)):
        assert side[1:-1].tolist() == np.histogram(values, EDGES)[0].tolist()
        assert (side[0], side[-1]) == ((values < 0).sum(), (values > 1).sum())
    assert found.outside()["generated"] == {"below": int((x < 0).sum()), "above": int((x > 1).sum())}


def test_many_values_in_single_precision_get_the_same_bins():
    """A table of bins takes the place of a search then; values on edges and next to them are what could go wrong."""
    rng = np.random.default_rng(0)
    edges = np.concatenate([[-3.0, -1e-3, 0.0], np.logspace(-2, 3, 40)])
    x = (rng.normal(size=250_000) * 10.0 ** rng.uniform(-4, 4, 250_000)).astype(np.float32)
    near = edges.astype(np.float32)
    x[:172] = np.concatenate([near, np.nextafter(near, np.float32(9e9)), np.nextafter(near, np.float32(-9e9)), -near])
    x[172:175] = -0.0, np.inf, -np.inf
    found = separation(np.append(x, np.float32(np.nan)), x, edges, samples=2)
    assert found.generated.tolist() == found.reference.tolist()
    assert found.generated[1:-1].tolist() == np.histogram(x.astype(np.float64), edges)[0].tolist()
    assert (found.generated[0], found.generated[-1]) == ((x < edges[0]).sum(), (x > edges[-1]).sum())


def test_what_lies_outside_does_not_count_in_the_value():
    x, y = np.array([0.05, 0.15, 7.0, np.nan]), np.array([0.05, 0.15])
    found = separation(x, y, EDGES)
    assert found.estimate.value == 0
    assert found.outside()["generated"] == {"below": 0, "above": 1, "nan": 1}


def test_what_is_no_number_is_counted_where_there_is_any():
    x, y = np.array([0.05, np.nan, np.nan, 7.0]), np.array([0.05, -1.0])
    assert separation(x, y, EDGES).outside() == {
        "reference": {"below": 1, "above": 0}, "generated": {"below": 0, "above": 1, "nan": 2}
    }  # fmt: skip


def test_equal_distributions_reach_the_floor():
    rng = np.random.default_rng(1)
    values, floors = [], []
    for _ in range(60):
        x, y = rng.random(1000), rng.random(3000)
        found = separation(x, y, EDGES, samples=2)
        values.append(found.estimate.value)
        floors.append(found.floor)
    assert np.mean(values) == pytest.approx(np.mean(floors), rel=0.15)


def several(n, rng, kind):
    """(N,) values of n events that have several each, alike within an event, and the offsets of these."""
    lengths = {"alone": np.ones(n, int), "copies": np.full(n, 8), "near": rng.integers(0, 12, n)}[kind]
    values = np.repeat(rng.random(n), lengths)
    if kind == "near":
        values += rng.normal(0, 0.03, len(values))
    return values, np.concatenate([[0], np.cumsum(lengths)])


@pytest.mark.parametrize("kind", ["alone", "copies", "near"])
@pytest.mark.parametrize("sizes", [(400, 400), (800, 200)])
def test_equal_distributions_of_events_reach_the_floor(kind, sizes):
    rng = np.random.default_rng(4)
    found = []
    for _ in range(80):
        (x, i), (y, j) = (several(n, rng, kind) for n in sizes)
        found.append(separation(x, y, EDGES, rows=(i, j), samples=2))
    value = np.mean([s.estimate.value for s in found])
    assert np.mean([s.floor for s in found]) == pytest.approx(value, rel=0.2)
    if kind != "alone":
        assert value > 3 * separation(x, y, EDGES, samples=2).floor


def test_fixed_numbers_of_each_kind_lower_the_floor():
    """Half of the events have their values low down, half high up, and no draw mixes them otherwise."""
    rng = np.random.default_rng(6)
    kinds, rows = np.repeat([3, 7], 200), np.arange(401) * 10
    found, free = [], []
    for _ in range(80):
        x, y = (rng.beta(np.repeat([1, 8], 2000), np.repeat([8, 1], 2000)) for _ in range(2))
        found.append(separation(x, y, EDGES, rows=(rows, rows), kinds=kinds, samples=2))
        free.append(separation(x, y, EDGES, rows=(rows, rows), samples=2).floor)
    value = np.mean([s.estimate.value for s in found])
    assert np.mean([s.floor for s in found]) == pytest.approx(value, rel=0.2)
    assert np.mean(free) > 2 * value


def test_the_floor_of_events_of_one_value_is_that_of_values():
    rng = np.random.default_rng(5)
    x, y = rng.random(700), rng.random(900)
    one = separation(x, y, EDGES, rows=(np.arange(701), np.arange(901)), samples=2)
    assert one.floor == pytest.approx(separation(x, y, EDGES, samples=2).floor, rel=0.01)
    assert np.isnan(separation(x, y, EDGES, rows=(np.arange(701), np.array([0, 900])), samples=2).floor)


def test_the_error_is_the_spread_over_samples():
    rng = np.random.default_rng(2)
    found = [separation(rng.beta(2, 2, 2000), rng.random(2000), EDGES, seed=i) for i in range(60)]
    spread = np.std([s.estimate.value for s in found])
    assert np.mean([s.estimate.error for s in found]) == pytest.approx(spread, rel=0.3)


def test_values_of_one_event_are_drawn_together():
    """Ten equal values an event carry the information of one: the error must not shrink by the root of ten."""
    rng = np.random.default_rng(3)
    x, y = rng.beta(2, 2, 500), rng.random(500)
    offsets = np.arange(501) * 10
    alone = separation(x, y, EDGES).estimate
    together = separation(np.repeat(x, 10), np.repeat(y, 10), EDGES, rows=(offsets, offsets)).estimate
    assert together.value == pytest.approx(alone.value)
    assert together.error == pytest.approx(alone.error, rel=0.3)


def test_nothing_within_the_edges_is_not_a_number():
    found = separation(np.array([5.0]), np.array([0.5]), EDGES)
    assert np.isnan(found.estimate.value)
    assert np.isnan(found.floor)


@pytest.mark.parametrize(("x", "edges"), [([], EDGES), ([0.5], [0.0]), ([0.5], [0.0, 0.0]), ([[0.5]], EDGES)])
def test_bad_input(x, edges):
    with pytest.raises(ValueError, match="expected"):
        separation(np.array(x), np.array([0.5]), edges)
