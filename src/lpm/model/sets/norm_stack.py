r"""Linear layers between batch norms, trained piece by piece of the rows.

.. math:: u_0 = N_0(x),\quad u_i = N_i(W_i h_{i-1} + b_i),\quad h_0 = u_0,\quad h_i = \mathrm{GELU}(u_i)

with :math:`N_i(z) = \gamma_i \hat z + \beta_i`, :math:`\hat z = (z - \mu_i) / \sqrt{v_i + \epsilon}`, where mean
:math:`\mu_i` and variance :math:`v_i` are those of all rows. The statistics of a layer need all rows of the layer
before, but no more: within a layer the rows go in chunks that stay in the processor's cache, and for the gradient only
:math:`z_i` is kept, from which all else is made again. Step by step, with one operation a layer, about nine tensors of
all pairs of a batch would be kept and moved through memory instead of three.

A rectified stack has :math:`h_i = \mathrm{ReLU}(u_i)` behind every norm, the first and the last too, and gives its rows
a gradient.

Shapes: P rows, C their width at some layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["NormStack"]

CHUNK = 4096
"""Rows of a chunk on the CPU: 1 MB of hidden states of width 64."""


@dataclass
class _Moments:
    """Mean and summed squared deviation of rows that come in chunks (Chan, Golub and LeVeque 1979)."""

    mean: Tensor
    square: Tensor
    count: int = 0

    @classmethod
    def zero(cls, like_PC: Tensor) -> _Moments:
        return cls(like_PC.new_zeros(like_PC.shape[1]), like_PC.new_zeros(like_PC.shape[1]))

    def add(self, z: Tensor) -> None:
        n, mean = len(z), z.mean(0)
        deviation = z - mean
        shift, total = mean - self.mean, self.count + n
        self.square += deviation.square_().sum(0) + shift.square() * (self.count * n / total)
        self.mean += shift * (n / total)
        self.count = total


class NormStack(torch.autograd.Function):
    """(P, C) rows to (P, C') outputs of the last norm, and the mean and variance of each norm one after the other.

    Takes the rows, epsilon, whether the stack is rectified, then γ and β of the first norm, then W, b, γ and β of each
    layer. Only rows of a rectified stack get a gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, rectified: bool, *parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Layer by layer, each in chunks."""
        layers = _layers(parameters)
        zs, means, variances = [x], [], []
        moments = _Moments.zero(x)
        for part in _chunks(x):
            moments.add(x[part])
        for i in range(len(layers)):
            means.append(moments.mean)
            variances.append(moments.square / moments.count)
            if i + 1 == len(layers):
                break
            weight, bias = layers[i + 1][:2]
            scale, shift = _affine(layers[i], means[i], variances[i], eps)
            z = x.new_empty(len(x), len(weight))
            moments = _Moments.zero(z)
            for part in _chunks(x):
                u = torch.addcmul(shift, zs[i][part], scale)
                torch.addmm(bias, _active(u, i, rectified), weight.T, out=z[part])
                moments.add(z[part])
            zs.append(z)
        scale, shift = _affine(layers[-1], means[-1], variances[-1], eps)
        ctx.save_for_backward(*zs, *means, *((v + eps).rsqrt() for v in variances), *parameters)
        ctx.count, ctx.rectified = len(layers), rectified
        mean, variance = torch.cat(means), torch.cat(variances)
        ctx.mark_non_differentiable(mean, variance)
        out = torch.addcmul(shift, zs[-1], scale)
        return out.relu_() if rectified else out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        r"""From the last layer to the first; a chunk gives its layer's gradients and what its input needs.

        With a the gradient of u, that of z is :math:`\gamma (a - \langle a \rangle - \hat z \langle a \hat z \rangle)`
        over the deviation, with means over all rows; here as a multiple of a, one of z, and a constant a column. A bias
        before a norm changes nothing: its gradient is zero.
        """
        n, saved = ctx.count, ctx.saved_tensors
        zs, means, factors, layers = saved[:n], saved[n : 2 * n], saved[2 * n : 3 * n], _layers(saved[3 * n :])
        out: list[Tensor] = []
        du, sums = grads[0], _Sums.zero(zs[-1])
        if ctx.rectified:
            scale = layers[-1][2] * factors[-1]
            du = torch.empty_like(du)
            for part in _chunks(du):
                u = torch.addcmul(layers[-1][3] - means[-1] * scale, zs[-1][part], scale)
                torch.ops.aten.threshold_backward.grad_input(grads[0][part], u, 0, grad_input=du[part])
        for part in _chunks(du):
            sums.add(du[part], zs[-1][part])
        for i in range(n - 1, -1, -1):
            weight, bias, gamma, _ = layers[i]
            dgamma = (sums.product - means[i] * sums.single) * factors[i]
            slope = gamma * factors[i]
            of_z = -slope * factors[i] * dgamma / len(du)
            constant = -slope * sums.single / len(du) - of_z * means[i]
            if i == 0:
                out = [dgamma, sums.single, *out]
                break
            out = [torch.zeros_like(weight), torch.zeros_like(bias), dgamma, sums.single, *out]
            scale = layers[i - 1][2] * factors[i - 1]
            shift = layers[i - 1][3] - means[i - 1] * scale
            below, sums = torch.empty_like(zs[i - 1]), _Sums.zero(zs[i - 1])
            for part in _chunks(du):
                dz = torch.addcmul(constant, zs[i][part], of_z).addcmul_(du[part], slope)
                u = torch.addcmul(shift, zs[i - 1][part], scale)
                out[0].addmm_(dz.T, _active(u, i - 1, ctx.rectified))
                torch.mm(dz, weight, out=below[part])
                if ctx.rectified:
                    torch.ops.aten.threshold_backward.grad_input(below[part], u, 0, grad_input=below[part])
                elif i > 1:
                    torch.ops.aten.gelu_backward.grad_input(below[part], u, grad_input=below[part])
                sums.add(below[part], zs[i - 1][part])
            du = below
        of_x = torch.addcmul(constant, zs[0], of_z).addcmul_(du, slope) if ctx.rectified else None
        return of_x, None, None, *out


@dataclass
class _Sums:
    """Sums over rows of a gradient, alone and times another tensor."""

    single: Tensor
    product: Tensor

    @classmethod
    def zero(cls, like_PC: Tensor) -> _Sums:
        return cls(like_PC.new_zeros(like_PC.shape[1]), like_PC.new_zeros(like_PC.shape[1]))

    def add(self, du: Tensor, z: Tensor) -> None:
        self.single += du.sum(0)
        self.product += (du * z).sum(0)


def _active(u: Tensor, i: int, rectified: bool) -> Tensor:
    """What a norm's output becomes before the next layer."""
    return F.relu(u) if rectified else F.gelu(u) if i else u


def _layers(parameters: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """(W, b, γ, β) of each norm; the first has no linear layer before it."""
    gamma, beta = parameters[:2]
    rest = [tuple(parameters[i : i + 4]) for i in range(2, len(parameters), 4)]
    return [(gamma, beta, gamma, beta), *rest]


def _affine(layer: tuple[Tensor, ...], mean: Tensor, variance: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    scale = layer[2] * (variance + eps).rsqrt()
    return scale, layer[3] - mean * scale


def _chunks(x: Tensor) -> Iterator[slice]:
    """Pieces of the rows; all at once on an accelerator, and compiled, for a graph would hold their number."""
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        return iter((slice(None),) if len(x) else ())
    return (slice(i, i + CHUNK) for i in range(0, len(x), CHUNK))
