"""Accuracy, calibration and the two reports of a tagger."""

import numpy as np
import pytest

from lpm.metrics.classification import (
    JETCLASS_POINTS,
    accuracy,
    binary_metrics,
    calibration_error,
    multiclass_metrics,
)
from lpm.metrics.roc import pair_score, rejection


def test_accuracy_of_scores_and_of_probabilities():
    p = np.array([0.9, 0.2, 0.6, 0.5])
    y = [1, 0, 0, 1]
    two = np.stack([1 - p, p], 1)
    two[3] = [0.4, 0.6]
    assert accuracy(p, y).value == accuracy(two, y).value == 0.75
    assert accuracy(p, y, [1, 1, 2, 1]).value == pytest.approx(0.6)


def test_accuracy_error_is_binomial():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 3000)
    p = np.where(rng.random(3000) < 0.8, y, 1 - y).astype(float)
    e = accuracy(p, y, samples=400)
    assert e.error == pytest.approx(np.sqrt(0.8 * 0.2 / 3000), rel=0.15)


def test_calibrated_scores_have_the_error_of_their_statistics_only():
    rng = np.random.default_rng(1)
    p = rng.random(20_000)
    y = (rng.random(20_000) < p).astype(int)
    assert calibration_error(p, y, samples=20).value < 0.015
    assert calibration_error(p**2, y, samples=20).value == pytest.approx(1 / 6, abs=0.015)


def test_calibration_of_several_classes_judges_the_chosen_class():
    p = np.tile([0.7, 0.2, 0.1], (10, 1))
    y = [0] * 7 + [1] * 3
    assert calibration_error(p, y).value == pytest.approx(0.0, abs=1e-12)


def test_scores_that_are_no_probabilities_are_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        calibration_error([1.5, 0.2], [1, 0])


def test_binary_report_names():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 500)
    found = binary_metrics(np.clip(0.5 + 0.2 * (2 * y - 1) + 0.2 * rng.normal(size=500), 0, 1), y, samples=20)
    assert list(found) == ["auc", "accuracy", "rejection@0.3", "rejection@0.5", "ece"]
    assert all(e.low <= e.value <= e.high for e in found.values())


def test_jetclass_report_uses_the_pair_score_at_its_working_points():
    rng = np.random.default_rng(3)
    names = ["QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl"]
    y = rng.integers(0, 10, 3000)
    p = np.exp(rng.normal(size=(3000, 10)) + 2.0 * np.eye(10)[y])
    p /= p.sum(1, keepdims=True)
    found = multiclass_metrics(p, y, names, samples=3)
    assert {f"rejection[{n}]@{e:g}" for n, e in JETCLASS_POINTS.items()} <= set(found)
    rows = (y == 0) | (y == 9)
    by_hand = rejection(pair_score(p[rows], 9, 0), y[rows] == 9, 0.995, samples=3)
    assert found["rejection[Tbl]@0.995"].value == by_hand.value


def test_names_must_fit_the_columns():
    with pytest.raises(ValueError, match="expected 2"):
        multiclass_metrics(np.eye(2), [0, 1], ["a", "b", "c"])
