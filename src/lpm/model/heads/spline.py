r"""Monotonic rational-quadratic splines, and their inverse (Durkan et al., arXiv 1906.04032, eq. 4–8).

Each number is mapped from [-T, T] to itself by K pieces of quotients of quadratic polynomials that meet at K + 1 knots
with equal slopes; outside, and in slope at the ends, it is the identity. Parameters of 0 give the identity everywhere.

Shapes: … any, K bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["parameters_of", "spline", "unmapped"]

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
    inside = x.abs() < reach
    at = torch.where(inside, x, 0.0)
    piece = _Piece.of(at, parameters, reach, inverse)
    t = piece.back(at) if inverse else (at - piece.x0) / piece.width
    s, d0, d1, rest = piece.height / piece.width, piece.d0, piece.d1, t * (1 - t)
    below = s + (d0 + d1 - 2 * s) * rest
    out = t * piece.width + piece.x0 if inverse else piece.y0 + piece.height * (s * t * t + d0 * rest) / below
    log = (s * s * (d1 * t * t + 2 * s * rest + d0 * (1 - t) ** 2)).log() - 2 * below.log()
    return torch.where(inside, out, x), torch.where(inside, -log if inverse else log, 0.0)


def unmapped(y: Float[Tensor, ...], parameters: Float[Tensor, "... R"], reach: float) -> Float[Tensor, ...]:
    """What `spline` maps to y: its inverse without the derivative, which sampling has no use for.

    Args:
        y: Numbers.
        parameters: As for `spline`.
        reach: T.

    Example:
        >>> p = torch.randn(5, parameters_of(4), generator=torch.Generator().manual_seed(0))
        >>> y = torch.linspace(-3, 3, 5)
        >>> torch.equal(unmapped(y, p, 2.0), spline(y, p, 2.0, inverse=True)[0])
        True
    """
    inside = y.abs() < reach
    at = torch.where(inside, y, 0.0)
    piece = _Piece.of(at, parameters, reach, True)
    return torch.where(inside, piece.back(at) * piece.width + piece.x0, y)


@dataclass(frozen=True)
class _Piece:
    """The piece in which each number lies: its lower corner, width, height and slopes at both ends."""

    x0: Tensor
    y0: Tensor
    width: Tensor
    height: Tensor
    d0: Tensor
    d1: Tensor

    @classmethod
    def of(cls, at: Tensor, parameters: Tensor, reach: float, inverse: bool) -> _Piece:
        """Of numbers within the reach, seen along y for the inverse."""
        # The parameters of all numbers side by side, not those of one: sums over bins then run over whole vectors.
        front = parameters.movedim(-1, 0).contiguous()
        bins = (len(front) + 1) // 3
        widths, heights, slopes = front.split_with_sizes([bins, bins, bins - 1])
        x_at, y_at = _knots(widths, reach), _knots(heights, reach)
        bin_ = (at >= (y_at if inverse else x_at)[1:-1]).sum(0, keepdim=True)
        ends = torch.cat([bin_, bin_ + 1])
        (x0, x1), (y0, y1) = (values.gather(0, ends) for values in (x_at, y_at))
        # Zeros stand for slopes of 1, those at the ends.
        edge = torch.zeros_like(slopes[:1])
        d0, d1 = LEAST + F.softplus(torch.cat([edge, slopes, edge]).gather(0, ends) + _SLOPE)
        return cls(x0, y0, x1 - x0, y1 - y0, d0, d1)

    def back(self, y: Tensor) -> Tensor:
        """How far along the piece, from 0 to 1, the map gives y."""
        s, dy = self.height / self.width, y - self.y0
        bend = self.d0 + self.d1 - 2 * s
        a, b, c = self.height * (s - self.d0) + dy * bend, self.height * self.d0 - dy * bend, -s * dy
        # The root that stays finite when a is 0.
        return 2 * c / (-b - (b * b - 4 * a * c).clamp_min(0).sqrt())


def _knots(sizes: Tensor, reach: float) -> Tensor:
    """(K + 1, …) from -T to T, of (K, …) sizes."""
    bins = len(sizes)
    share = LEAST + (1 - LEAST * bins) * sizes.softmax(0)
    # Row by row, over all numbers at once: several times faster than `cumsum` along the first dimension.
    inner = (2 * torch.stack(list(accumulate(share[:-1]))) - 1) * reach
    edge = torch.full_like(share[:1], reach)
    return torch.cat([-edge, inner, edge])
