"""Calibration: a known distortion is undone, order and sums are kept, and it is stored as numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import softmax

from lpm.metrics.calibration import Calibration, fit_isotonic, fit_temperature, reliability
from lpm.metrics.classification import calibration_error
from lpm.records.config import from_dict, to_dict

CLASSES = ("QCD", "top", "H")


def events(n: int, seed: int = 0, sharp: float = 2.5) -> tuple[np.ndarray, np.ndarray]:
    """Scores of an overconfident model, and labels drawn from the true probabilities."""
    rng = np.random.default_rng(seed)
    true = softmax(rng.normal(size=(n, 3)), axis=1)
    labels = (true.cumsum(1) > rng.random((n, 1))).argmax(1)
    return softmax(sharp * np.log(true), axis=1), labels


@pytest.mark.parametrize("fit", [fit_temperature, fit_isotonic])
def test_a_distortion_is_undone_on_other_events(fit) -> None:  # type: ignore[no-untyped-def]
    calibration = fit(*events(20_000, 1), CLASSES)
    scores, labels = events(20_000, 2)
    before, after = (calibration_error(p, labels, samples=20).value for p in (scores, calibration(scores)))
    assert before > 0.1
    assert after < 0.15 * before
    np.testing.assert_allclose(calibration(scores).sum(1), 1, atol=1e-9)


def test_temperature_keeps_the_order_of_classes() -> None:
    scores, labels = events(5000)
    made = fit_temperature(scores, labels, CLASSES)
    assert made.temperature == pytest.approx(2.5, rel=0.1)
    assert (made(scores).argmax(1) == scores.argmax(1)).all()


def test_a_class_without_events_keeps_its_scores() -> None:
    scores, labels = events(3000)
    seen = labels < 2
    made = fit_isotonic(scores[seen], labels[seen], CLASSES)
    assert made.steps[2].x == ()
    assert np.isfinite(made(scores)).all()
    assert fit_temperature(scores[seen], labels[seen], CLASSES).temperature > 0


def test_few_events_are_not_learned_by_heart() -> None:
    """A class seen rarely keeps its scores, and no class is ruled out: cross entropy on other events stays finite."""
    made = fit_isotonic(*events(300, 1), CLASSES)
    scores, labels = events(4000, 2)
    p = made(scores)[np.arange(4000), labels]
    assert p.min() > 1e-4
    assert -np.log(p).mean() < -np.log(scores[np.arange(4000), labels]).mean()
    rare = fit_isotonic(*events(60, 1), CLASSES)
    assert any(s.x == () for s in rare.steps)


def test_stored_as_numbers() -> None:
    for made in (fit_temperature(*events(500), CLASSES), fit_isotonic(*events(500), CLASSES)):
        again = from_dict(Calibration, json.loads(json.dumps(to_dict(made))))
        assert again == made


def test_reliability_is_the_diagonal_for_true_probabilities() -> None:
    scores, labels = events(20_000, sharp=1.0)
    points = reliability(scores, labels)
    assert len(points) > 5
    assert sum(e.low <= x <= e.high for x, e in points) >= len(points) // 2
    assert max(abs(e.value - x) for x, e in points) < 0.05


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="expected a positive temperature"):
        Calibration(classes=CLASSES, temperature=0.0)
    with pytest.raises(ValueError, match=r"expected scores \(N, 3\), got \(4, 2\)"):
        Calibration(classes=CLASSES)(np.ones((4, 2)))
    scores, labels = events(10)
    with pytest.raises(ValueError, match="1 of 30 are NaN"):
        fit_temperature(np.where(np.arange(30).reshape(10, 3) == 4, np.nan, scores), labels, CLASSES)
