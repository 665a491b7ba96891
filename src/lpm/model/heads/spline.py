r"""Monotonic rational-quadratic splines, and their inverse (Durkan et al., arXiv 1906.04032, eq. 4–8).

Each number is mapped from [-T, T] to itself by K pieces of quotients of quadratic polynomials that meet at K + 1 knots
with equal slopes; outside, and in slope at the ends, it is the identity. Parameters of 0 give the identity everywhere.

Shapes: … any, K bins.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["parameters_of", "spline"]

LEAST = 1e-3
"""Of the range, the smallest width and height of a bin; and the smallest slope."""

_SLOPE = math.log(math.expm1(1 - LEAST))
"""Whose soft-plus is a slope of 1, less the smallest."""


def parameters_of(bins: int) -> int:
    """Parameters of a spline: widths, heights and inner slopes.

    Example:
        >>> parameters_of(8)
        23
    """
    return 3 * bins - 1


def spline(
    x: Float[Tensor, ...], parameters: Float[Tensor, "... R"], reach: float, *, inverse: bool = False
) -> tuple[Float[Tensor, ...], Float[Tensor, ...]]:
    """The numbers mapped, and the logarithm of the derivative of the map.

    Args:
        x: Numbers.
        parameters: As many as `parameters_of` says, in the last dimension.
        reach: T.
        inverse: Map back; the logarithm is then that of the inverse map.

    Example:
        >>> x = torch.tensor([-0.5, 0.3, 7.0])
        >>> g = torch.Generator().manual_seed(0)
        >>> p = torch.randn(3, parameters_of(4), generator=g)
        >>> y, log = spline(x, p, 2.0)
        >>> back, log_back = spline(y, p, 2.0, inverse=True)
        >>> torch.allclose(back, x, atol=1e-5), torch.allclose(log, -log_back, atol=1e-4)
        (True, True)
        >>> float(y[2]), float(log[2])
        (7.0, 0.0)
    """
    bins = (parameters.shape[-1] + 1) // 3
    widths, heights, slopes = parameters.split_with_sizes([bins, bins, bins - 1], -1)
    x_at, y_at = _knots(widths, reach), _knots(heights, reach)
    slopes = F.pad(LEAST + F.softplus(slopes + _SLOPE), (1, 1), value=1.0)
    inside = x.abs() < reach
    at = torch.where(inside, x, 0.0)
    found = (y_at if inverse else x_at)[..., 1:-1]
    bin_ = (at[..., None] >= found).sum(-1, keepdim=True)

    def of(values: Tensor, next_: int = 0) -> Tensor:
        return values.gather(-1, bin_ + next_)[..., 0]

    x0, y0, d0, d1 = of(x_at), of(y_at), of(slopes), of(slopes, 1)
    width, height = of(x_at, 1) - x0, of(y_at, 1) - y0
    s = height / width
    bend = d0 + d1 - 2 * s
    if inverse:
        dy = at - y0
        a, b, c = height * (s - d0) + dy * bend, height * d0 - dy * bend, -s * dy
        # The root that stays finite when a is 0.
        t = 2 * c / (-b - (b * b - 4 * a * c).clamp_min(0).sqrt())
        out = t * width + x0
    else:
        t = (at - x0) / width
        out = y0 + height * (s * t * t + d0 * t * (1 - t)) / (s + bend * t * (1 - t))
    below = s + bend * t * (1 - t)
    log = (s * s * (d1 * t * t + 2 * s * t * (1 - t) + d0 * (1 - t) ** 2)).log() - 2 * below.log()
    log = -log if inverse else log
    return torch.where(inside, out, x), torch.where(inside, log, 0.0)


def _knots(sizes: Tensor, reach: float) -> Tensor:
    """(…, K + 1) from -T to T."""
    bins = sizes.shape[-1]
    share = LEAST + (1 - LEAST * bins) * sizes.softmax(-1)
    inner = (2 * share.cumsum(-1)[..., :-1] - 1) * reach
    return F.pad(F.pad(inner, (1, 0), value=-reach), (0, 1), value=reach)
