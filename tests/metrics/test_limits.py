"""Expected limits agree with the closed form of a counting experiment, and behave as limits must."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from lpm.metrics.limits import expected_limit

pytest.importorskip("pyhf", reason="needs the stats extra")


def closed_form(s: np.ndarray, b: np.ndarray, sigmas: float = 0.0) -> float:
    """Asymptotic CLs limit for known backgrounds (arXiv 1007.1727): CLs at q of the Asimov data shifted by sigmas."""

    def cls(mu: float) -> float:
        q = 2 * (mu * s - b * np.log1p(mu * s / b)).sum()
        return float(norm.sf(np.sqrt(q) - sigmas) / norm.cdf(sigmas) - 0.05)

    return float(brentq(cls, 1e-6, 1e6))


@pytest.mark.parametrize(("s", "b"), [(5.0, 50.0), (1.0, 400.0), (200.0, 3.0)])
def test_counting_experiment(s: float, b: float) -> None:
    found = expected_limit([s], {"b": [b]})
    expected = closed_form(np.array([s]), np.array([b]))
    assert found.value == pytest.approx(expected, rel=5e-3)
    assert found.high == pytest.approx(closed_form(np.array([s]), np.array([b]), 1.0), rel=0.03)


def test_the_reference_agrees() -> None:
    """The same model through the scan of pyhf itself, which fits every hypothesis anew."""
    import pyhf

    s, b, c = [4.0, 9.0, 3.0], [90.0, 20.0, 5.0], [30.0, 30.0, 30.0]
    free = {"name": "norm_c", "type": "normfactor", "data": None}
    poi = {"name": "mu", "type": "normfactor", "data": None}
    rows = [("signal", s, [poi]), ("b", b, []), ("c", c, [free])]
    samples = [{"name": n, "data": x, "modifiers": m} for n, x, m in rows]
    model = pyhf.Model({"channels": [{"name": "all", "samples": samples}]}, poi_name="mu", validate=False)
    data = (np.array(b) + np.array(c)).tolist()
    bounds = [(0.0, 50.0) if n == "mu" else (0.0, 10.0) for n in model.config.par_names]
    _, bands = pyhf.infer.intervals.upper_limits.toms748_scan(data, model, 0.0, 20.0, par_bounds=bounds)
    found = expected_limit(s, {"b": b, "c": c}, free=["c"])
    np.testing.assert_allclose([found.low, found.value, found.high], [float(x) for x in bands[1:4]], rtol=5e-3)


def test_bins_of_one_purity_count_together() -> None:
    split = expected_limit([2.0, 3.0], {"b": [20.0, 30.0]})
    assert split.value == pytest.approx(expected_limit([5.0], {"b": [50.0]}).value, rel=5e-3)


def test_shape_helps_and_ignorance_hurts() -> None:
    s, b = np.array([1.0, 9.0]), np.array([90.0, 10.0])
    known = expected_limit(s, {"b": b}).value
    assert known < expected_limit([s.sum()], {"b": [b.sum()]}).value
    unsure = expected_limit(s, {"b": b}, uncertainties={"b": 0.2}).value
    free = expected_limit(s, {"b": b}, free=["b"]).value
    assert known < unsure < free


def test_limits_scale_with_luminosity() -> None:
    few, many = (expected_limit([10.0 * k], {"b": [1000.0 * k]}).value for k in (1, 100))
    assert few / many == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(
    ("signal", "backgrounds", "more", "message"),
    [
        ([1.0, 2.0], {"b": [1.0]}, {}, "one length"),
        ([1.0], {}, {}, "one length"),
        ([0.0], {"b": [1.0]}, {}, "some signal"),
        ([1.0], {"b": [-1.0]}, {}, "finite numbers of events from 0"),
        ([1.0], {"b": [np.nan]}, {}, "finite numbers of events from 0"),
        ([1.0], {"b": [1.0]}, {"free": ["c"]}, "no background 'c'"),
        ([1.0], {"b": [1.0]}, {"level": 95.0}, "between 0 and 1"),
    ],
)
def test_bad_input_is_refused(signal: list[float], backgrounds: dict, more: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expected_limit(signal, backgrounds, **more)
