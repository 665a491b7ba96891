"""Migration matrices: definitions of the jet-origin study, intervals that cover, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from lpm.metrics.migration import binomial, flavours, migration_counts, origin_metrics, pair_template, shares

NAMES = ("b", "bbar", "c", "cbar", "g")


def test_a_perfect_tagger_migrates_nothing() -> None:
    labels = np.repeat(np.arange(5), 20)
    counts = migration_counts(np.eye(5)[labels], labels)
    assert (counts == 20 * np.eye(5)).all()
    found = origin_metrics(counts, NAMES)
    assert {n: e.value for n, e in found.items()} == {
        "efficiency[b]": 1.0, "flip[b]": 0.0, "efficiency[c]": 1.0, "flip[c]": 0.0, "efficiency[g]": 1.0,
        "accuracy": 1.0,
    }  # fmt: skip
    assert found["flip[b]"].low == 0 < found["flip[b]"].high


def test_definitions_are_those_of_the_study() -> None:
    rng = np.random.default_rng(3)
    counts = rng.multinomial(1000, rng.dirichlet(np.ones(5)), size=5)
    m, found = shares(counts), origin_metrics(counts, NAMES)
    block = m[2:4, 2:4]
    assert found["efficiency[c]"].value == pytest.approx(block.sum() / 2)
    assert found["flip[c]"].value == pytest.approx((block[0, 1] + block[1, 0]) / block.sum())
    np.testing.assert_allclose(m.sum(1), 1)


def test_intervals_cover() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for passed in rng.binomial(50, 0.3, 400):
        found = binomial(int(passed), 50)
        inside.append(found.low <= 0.3 <= found.high)
    assert np.mean(inside) >= 0.66


def test_absent_classes_are_not_numbers() -> None:
    counts = np.diag([10, 10, 0, 0, 5])
    found = origin_metrics(counts, NAMES)
    assert np.isnan(found["efficiency[c]"].value)
    assert np.isnan(found["flip[c]"].value)
    assert found["efficiency[g]"].value == 1
    assert np.isnan(shares(counts)[2]).all()


def test_flavours_are_those_with_an_anticlass() -> None:
    assert flavours(NAMES) == ("b", "c")


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.ones(3), np.zeros(3), r"expected scores \(N, C\)"),
        (np.ones((3, 2)), np.zeros(2), "got"),
        (np.full((3, 2), np.nan), np.zeros(3), "not finite"),
        (np.ones((3, 2)), np.full(3, 2), "labels 0 to 1"),
    ],
)
def test_bad_input_is_refused(scores: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        migration_counts(scores, labels)


def test_more_passed_than_there_were() -> None:
    with pytest.raises(ValueError, match="swap the two"):
        binomial(3, 2)


def test_pairs_of_tags_are_a_distribution_whatever_the_order() -> None:
    m = np.random.default_rng(1).dirichlet(np.ones(5), size=5)
    ab = pair_template(m, 1, 3)
    assert ab.sum() == pytest.approx(1)
    assert len(ab) == 15
    np.testing.assert_allclose(ab, pair_template(m, 3, 1))
    assert pair_template(np.eye(3), 0, 2).tolist() == [0, 0, 1, 0, 0, 0]
    with pytest.raises(ValueError, match="add up to 1 in row 1"):
        pair_template(np.diag([1, 0.5]), 0, 1)
