"""Weights: flat spectra in every class, rare classes, signs and sizes that are handled or refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import JET, jets_schema
from lpm.tasks.weights import Flatten, FlattenConfig, check, positive

CONFIG = FlattenConfig(
    by="jet.label",
    axes={"jet.mass": (0.0, 50.0, 100.0, 150.0), "jet.pt": (200.0, 400.0, 800.0)},
    groups={"QCD": ("QCD",), "H": ("Hbb", "Hcc")},
)


def jets(n: int = 6000, seed: int = 0) -> Batch:
    """QCD with a falling mass spectrum, two kinds of H with rising ones, W at 80 GeV."""
    rng = np.random.default_rng(seed)
    label = rng.choice(4, n, p=[0.7, 0.1, 0.15, 0.05])
    falling, rising = np.minimum(rng.exponential(40, n), 149), 150 * np.sqrt(rng.random(n))
    mass = np.where(label == 0, falling, np.where(label == 3, 80.0, rising))
    pt = 200 + np.minimum(rng.exponential(150, n), 590)
    columns = {"jet.mass": mass, "jet.pt": pt, "jet.label": label, "particle.pt": np.ones(n)}
    schema = jets_schema(["pt"], ["mass", "pt"], ["QCD", "Hbb", "Hcc", "Wqq"])
    return Batch.build(schema, {k: torch.from_numpy(v) for k, v in columns.items()}, {"particle": torch.ones(n).long()})


def spectrum(batch: Batch, classes: list[int]) -> np.ndarray:
    """(3, 2) sums of weights in the cells of mass and pt."""
    m, pt, label, w = (batch.field(f"jet.{n}").values.double().numpy() for n in ("mass", "pt", "label", "weight"))
    rows = np.isin(label, classes)
    return np.histogram2d(m[rows], pt[rows], [np.array(e) for e in CONFIG.axes.values()], weights=w[rows])[0]


def test_spectra_are_flat_and_classes_equally_heavy() -> None:
    batch = Flatten(CONFIG).fit([jets()[:2500], jets()[2500:]])(jets())
    weight, label = batch.field("jet.weight").values.double(), batch.field("jet.label").values.long()
    assert float(weight.mean()) == pytest.approx(1, abs=1e-3)
    sums = torch.zeros(4, dtype=torch.float64).index_add_(0, label, weight)
    # The two kinds of H have one spectrum between them, made flat together.
    np.testing.assert_allclose(sums / sums[0], 1, rtol=1e-3)
    for classes in ([0], [1, 2]):
        flat = spectrum(batch, classes)
        np.testing.assert_allclose(flat / flat.mean(), 1, rtol=1e-3)
    single = batch.field("jet.weight").values[label == 3]
    assert float(single.std()) < 1e-6 * float(single.mean()) + 1e-6


def two_kinds(counts: list[list[int]]) -> Batch:
    """Events of Hbb and Hcc: so many in each of the three cells of mass."""
    kind, cell = np.repeat(np.indices((2, 3)).reshape(2, -1), np.ravel(counts), axis=1)
    n = len(kind)
    columns = {
        "jet.mass": 25.0 + 50.0 * cell,
        "jet.pt": np.full(n, 300.0),
        "jet.label": kind,
        "particle.pt": np.ones(n),
    }
    schema = jets_schema(["pt"], ["mass", "pt"], ["Hbb", "Hcc"])
    return Batch.build(schema, {k: torch.from_numpy(v) for k, v in columns.items()}, {"particle": torch.ones(n).long()})


@pytest.mark.parametrize(
    ("counts", "cells"),
    [
        ([[810, 90, 0], [10, 90, 0]], [500, 500, 0]),
        ([[100, 700, 100], [20, 30, 50]], [1000 / 3] * 3),
        ([[900, 0, 0], [0, 60, 40]], [500, 250, 250]),  # both cannot be: equal categories come first
        ([[900, 0, 0], [20, 40, 40]], [500, 250, 250]),
    ],
)
def test_categories_of_one_group_weigh_alike_and_their_cells_too(counts: list[list[int]], cells: list[float]) -> None:
    batch = two_kinds(counts)
    total = float(np.sum(counts))
    config = FlattenConfig(by=CONFIG.by, axes=CONFIG.axes, groups={"H": ("Hbb", "Hcc")})
    weighted = Flatten(config).fit([batch])(batch)
    sums = [float(spectrum(weighted, [i]).sum()) for i in (0, 1)]
    np.testing.assert_allclose(sums, total / 2, rtol=1e-6)
    np.testing.assert_allclose(spectrum(weighted, [0, 1]).sum(1), np.array(cells) * total / 1000, rtol=1e-6, atol=1e-5)


def test_a_group_of_which_one_category_is_there_is_levelled_as_that_one_alone() -> None:
    batch = two_kinds([[70, 20, 10], [0, 0, 0]])
    pair, alone = (
        Flatten(FlattenConfig(by=CONFIG.by, axes=CONFIG.axes, groups={"H": of})).fit([batch])(batch)
        for of in (("Hbb", "Hcc"), ("Hbb",))
    )
    assert torch.equal(pair.field("jet.weight").values, alone.field("jet.weight").values)


def test_one_event_in_a_hundred_thousand_weighs_no_more_than_allowed() -> None:
    batch = jets(2000)
    label = torch.zeros(2000)
    label[7] = 3
    rare = batch.with_field("jet", batch.schema.field("jet.label"), label)
    many = Batch.cat([rare, *[rare[8:]] * 49])
    made = Flatten(CONFIG).fit([many])(many).field("jet.weight").values
    assert float(made[7]) <= CONFIG.most * 1.01
    assert bool(made.isfinite().all())


def test_unknown_classes_weigh_nothing_and_absent_ones_are_no_obstacle() -> None:
    batch = jets()
    label = torch.where(batch.field("jet.label").values == 1, torch.nan, batch.field("jet.label").values)
    some = batch.with_field("jet", batch.schema.field("jet.label"), label)
    made = Flatten(CONFIG).fit([some])
    weight = made(some).field("jet.weight").values
    assert bool((weight[label.isnan()] == 0).all())
    assert float(weight[~label.isnan()].mean()) == pytest.approx(1, abs=1e-3)
    # An absent class that turns up later is not asked for.
    assert float(made(batch).field("jet.weight").values[batch.field("jet.label").values == 1].sum()) == 0


def test_weights_that_events_come_with_are_flattened_too() -> None:
    rng = np.random.default_rng(3)
    batch = jets().with_field("jet", JET["weight"], torch.from_numpy(rng.exponential(1, 6000)))
    config = FlattenConfig(by=CONFIG.by, axes=CONFIG.axes, groups=CONFIG.groups, start="jet.weight")
    flat = spectrum(Flatten(config).fit([batch])(batch), [0])
    np.testing.assert_allclose(flat / flat.mean(), 1, rtol=1e-3)


def test_positive_keeps_the_sum_of_every_cell() -> None:
    rng = np.random.default_rng(4)
    w, cell = rng.choice([1.0, -1.0], 4000, p=[0.7, 0.3]) * rng.exponential(1, 4000), rng.integers(0, 12, 4000)
    made = positive(w, cell)
    assert (made >= 0).all()
    np.testing.assert_allclose(np.bincount(cell, made), np.bincount(cell, w), rtol=1e-9)
    with pytest.raises(ValueError, match="their sum is negative in 1 of 2 cells; use larger cells"):
        positive([1.0, -2.0], [0, 1])
    with pytest.raises(ValueError, match="finite"):
        positive([1.0, np.nan], [0, 1])


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-1.0, r"jet.weight: 1 of 6,000 weights are negative; make them positive with lpm\.tasks\.weights\.positive"),
        (float("nan"), "jet.weight: 1 of 6,000 weights are not finite"),
        (1e7, r"jet.weight: one event weighs 10,000,000 times the mean of the other 5,999"),
    ],
)
def test_impossible_weights_are_refused_by_name(weight: float, message: str) -> None:
    values = torch.ones(6000)
    values[17] = weight
    batch = jets().with_field("jet", JET["weight"], values)
    with pytest.raises(ValueError, match=message):
        check(batch, "jet.weight")
    with pytest.raises(ValueError, match=message):
        Flatten(FlattenConfig(by=CONFIG.by, axes=CONFIG.axes, start="jet.weight")).fit([batch])


def test_bad_requests_are_named() -> None:
    with pytest.raises(ValueError, match=r"jet.mass: expected rising edges of bins, got 0, 0"):
        FlattenConfig(by="jet.label", axes={"jet.mass": (0.0, 0.0)})
    with pytest.raises(ValueError, match="groups: Hbb is in two groups"):
        FlattenConfig(by="jet.label", axes={}, groups={"a": ("Hbb",), "b": ("Hbb",)})
    batch = jets()
    none = batch.with_field("jet", batch.schema.field("jet.label"), torch.full((6000,), torch.nan))
    with pytest.raises(ValueError, match="no event of a known class"):
        Flatten(CONFIG).fit([none])
    other = jets_schema(["pt"], ["mass", "pt"], ["QCD", "top"])
    with pytest.raises(ValueError, match="other classes than those of which weights were made"):
        Flatten(CONFIG).fit([batch])(Batch(other, batch.collections))


def test_one_huge_weight_among_few_is_refused_too() -> None:
    values = torch.ones(40)
    values[17] = 1e6
    with pytest.raises(ValueError, match="one event weighs 1,000,000 times the mean of the other 39"):
        check(jets(40).with_field("jet", JET["weight"], values), "jet.weight")
    check(jets(40).with_field("jet", JET["weight"], torch.zeros(40)), "jet.weight")  # a part that does not count


@pytest.mark.parametrize("scale", [1e-10, 1e6])
def test_weights_of_another_size_than_one_are_refused(scale: float) -> None:
    batch = jets(40).with_field("jet", JET["weight"], torch.full((40,), scale))
    with pytest.raises(ValueError, match=r"jet.weight: weights are 1e\S+ in the mean; divide by that"):
        check(batch, "jet.weight")


def test_what_cannot_be_made_flat_is_named() -> None:
    mass = jets().field("jet.mass").values.clone()
    mass[:2] = torch.nan
    with pytest.raises(ValueError, match=r"jet\.mass: 2 of 6,000 events have no finite value; drop these events"):
        Flatten(CONFIG).fit([jets().with_field("jet", JET["mass"], mass)])
    with pytest.raises(ValueError, match=r"jet\.weight: events come with weights; name them as start"):
        Flatten(CONFIG).fit([jets().with_field("jet", JET["weight"], torch.ones(6000))])
