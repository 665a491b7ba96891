"""Purity, efficiency and F1: as scikit-learn has them, with intervals that hold the truth, and errors by name."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from lpm.metrics.identification import (
    best_threshold,
    efficiency_at,
    identification,
    identification_in_bins,
    selection,
)

NAMES = ("e", "pi", "K")


def some(n: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return np.where(rng.random(n) < 0.7, labels, rng.integers(0, 3, n)), labels


def test_equal_to_scikit_learn() -> None:
    predicted, labels = some()
    found = identification(predicted, labels, NAMES)
    for kind, theirs in (("f1", f1_score), ("purity", precision_score), ("efficiency", recall_score)):
        ours = [found[f"{kind}[{n}]"].value for n in NAMES]
        np.testing.assert_allclose(ours, theirs(labels, predicted, average=None), rtol=1e-12)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth = identification(*some(200_000, seed=1), NAMES)["f1[K]"].value
    inside = [e.low <= truth <= e.high for i in range(100) if (e := identification(*some(300, i), NAMES)["f1[K]"])]
    assert 55 <= sum(inside) <= 80


def test_bins_are_the_parts() -> None:
    predicted, labels = some()
    x = np.linspace(0, 2, len(labels), endpoint=False)
    found = identification_in_bins(predicted, labels, NAMES, x, (0, 1, 2, 3))
    assert found["f1[K]@1-2"].value == identification(predicted[x >= 1], labels[x >= 1], NAMES)["f1[K]"].value
    assert not any("2-3" in name for name in found)


def test_a_species_that_is_absent_has_no_number() -> None:
    found = identification([0, 0, 1], [0, 1, 1], NAMES)
    assert not any("[K]" in name for name in found)
    assert np.isnan(selection([False, False], [True, False])["purity"].value)


def test_the_best_threshold_is_the_best() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.random(300) < 0.3
    scores = np.round(rng.normal(wanted, 1.0), 1)  # many are equal
    best = best_threshold(scores, wanted)
    every = {t: selection(scores >= t, wanted)["f1"].value for t in np.unique(scores)}
    assert every[best] == max(every.values())


def test_efficiency_at_a_share_of_others() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.random(20_000) < 0.5
    e = efficiency_at(rng.normal(2.0 * wanted, 1.0), wanted, 0.05)
    assert abs(e.value - 0.6388) < 3 * e.error  # of two Gaussians two deviations apart
    assert e.error < 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: identification([0], [3], NAMES), "species: expected numbers from 0 to 2"),
        (lambda: identification([], [], NAMES), "N > 0"),
        (lambda: identification_in_bins([0], [0], NAMES, [1.0], (1, 0)), "edges: expected at least two, rising"),
        (lambda: identification_in_bins([0], [0], NAMES, [1.0, 2.0], (0, 1)), "one number a track"),
        (lambda: selection([True], [True, False]), "two .N,. masks"),
        (lambda: best_threshold([0.1], [False]), "tracks that are wanted"),
        (lambda: best_threshold([np.nan], [True]), "finite scores"),
        (lambda: efficiency_at([0.1, 0.2], [True, True], 0.1), "wanted and other tracks"),
        (lambda: efficiency_at([0.1, 0.2], [True, False], 1.5), "share between 0 and 1"),
    ],
)
def test_bad_input_is_named(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
