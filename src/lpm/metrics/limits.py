r"""Expected upper limits on a signal that is added to known backgrounds, by a fit of templates.

The model of bin i is a Poisson distribution of mean :math:`\mu s_i + \sum_b \theta_b b_i`. The limit is the signal
strength :math:`\mu` excluded at 95% confidence by CLs (Read, J. Phys. G 28 (2002) 2693) with the test statistic
:math:`\tilde q_\mu` and its asymptotic distribution (Cowan, Cranmer, Gross, Vitells, arXiv 1007.1727), fitted by
pyhf (Heinrich, Feickert, Stark, Cranmer, JOSS 6 (2021) 2823) for data that equal the backgrounds. Where fewer than
about five events are expected, the asymptotic limit is too strong: 1.9 events without background, where 3.0 is exact.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from lpm.metrics.estimate import Array, Estimate

__all__ = ["expected_limit"]

HIGHEST = 1000.0
"""Signal strength, over the first guess, up to which a limit is sought."""

EMPTY = 1e-6
"""Events in a bin that holds none: a Poisson mean of 0 has no logarithm."""


def expected_limit(
    signal: ArrayLike,
    backgrounds: Mapping[str, ArrayLike],
    *,
    free: Sequence[str] = (),
    uncertainties: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Median expected upper limit on the signal strength, with the band of one standard deviation of the data.

    Args:
        signal: (bins,) events at signal strength 1.
        backgrounds: {name: (bins,) events}.
        free: Backgrounds whose normalisation is left to the fit.
        uncertainties: {name: relative uncertainty of its normalisation}, of those neither free nor exact.
        level: Confidence.

    Raises:
        ValueError: If pyhf is missing, templates differ in length, hold negative numbers or no event, or a name is
            unknown.

    Example:
        >>> found = expected_limit([100.0], {"b": [1e6]})  # 1.96 standard deviations, of 1000 events
        >>> round(100 * found.value / 1000, 2)
        1.96
    """
    s, known = _checked(signal, backgrounds)
    for name in (*free, *(uncertainties or {})):
        if name not in known:
            raise ValueError(f"no background {name!r}; there are: {', '.join(known)}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected a confidence between 0 and 1, got {level}")
    data = np.sum(list(known.values()), axis=0)
    # In units of a first guess, so that the fit sees numbers of order one.
    guess = float(max(2 / np.sqrt((s**2 / data).sum()), 2 / s.sum()))
    samples: list[dict[str, Any]] = [_sample("signal", s * guess, "normfactor", "mu", None)]
    for name, b in known.items():
        if name in free:
            samples.append(_sample(name, b, "normfactor", f"norm_{name}", None))
        else:
            samples.append(_sample(name, b, "normsys", f"norm_{name}", (uncertainties or {}).get(name)))
    low, value, high = _limits(samples, data, 1 - level)
    return Estimate(value * guess, low * guess, high * guess)


def _checked(signal: ArrayLike, backgrounds: Mapping[str, ArrayLike]) -> tuple[Array, dict[str, Array]]:
    s = np.asarray(signal, dtype=np.float64)
    known = {n: np.maximum(np.asarray(b, dtype=np.float64), EMPTY / len(backgrounds)) for n, b in backgrounds.items()}
    if s.ndim != 1 or not known or any(b.shape != s.shape for b in known.values()):
        raise ValueError(f"templates: expected a signal and backgrounds of one length, got {s.shape} and "
                         f"{[b.shape for b in known.values()]}")  # fmt: skip
    raw = [s, *(np.asarray(b, dtype=np.float64) for b in backgrounds.values())]
    if not all(np.isfinite(x).all() and (x >= 0).all() for x in raw) or s.sum() <= 0:
        raise ValueError("templates: expected finite numbers of events from 0, and some signal")
    return s, known


def _sample(name: str, events: Array, kind: str, parameter: str, error: float | None) -> dict[str, Any]:
    """A sample in the form of pyhf; an error of None makes a normalisation free or, for `normsys`, exact."""
    modifiers: list[dict[str, Any]] = []
    if kind == "normfactor":
        modifiers.append({"name": parameter, "type": kind, "data": None})
    elif error:
        modifiers.append({"name": parameter, "type": kind, "data": {"hi": 1 + error, "lo": 1 / (1 + error)}})
    return {"name": name, "data": events.tolist(), "modifiers": modifiers}


def _limits(samples: list[dict[str, Any]], data: Array, risk: float) -> tuple[float, float, float]:
    """Expected limits at -1, 0 and +1 standard deviations of the data.

    Data that equal the backgrounds are fitted best by no signal, so that one fit at each signal strength gives
    q, and CLs at N standard deviations is (1 - F(sqrt(q) - N)) / F(N) with the normal distribution F (eq. 89).
    """
    try:
        import pyhf
    except ImportError as error:
        raise ValueError("limits need pyhf: pip install 'lpm[stats]'") from error
    # Not validated: it was made here, and the validator that pyhf calls warns of its own end.
    model = pyhf.Model({"channels": [{"name": "all", "samples": samples}]}, poi_name="mu", validate=False)
    observed = [*data.tolist(), *model.config.auxdata]
    bounds = model.config.suggested_bounds()
    bounds[model.config.poi_index] = (0.0, HIGHEST)
    start = model.config.suggested_init()
    start[model.config.poi_index] = 0.0
    best = -2 * float(model.logpdf(start, observed)[0])

    @functools.cache
    def root_q(mu: float) -> float:
        _, nll = pyhf.infer.mle.fixed_poi_fit(
            mu, observed, model, init_pars=start, par_bounds=bounds, return_fitted_val=True
        )
        return math.sqrt(max(float(nll) - best, 0.0))

    def limit(sigmas: float) -> float:
        wanted = float(ndtri(1 - risk * ndtr(sigmas))) + sigmas
        top = 1.0
        while root_q(top) < wanted:
            top *= 2
            if top > HIGHEST:
                raise ValueError("no limit: the fit takes any signal for background; give other backgrounds a shape")
        return float(brentq(lambda mu: root_q(float(mu)) - wanted, 0.0, top, rtol=1e-4, xtol=1e-6))

    return limit(-1.0), limit(0.0), limit(1.0)
