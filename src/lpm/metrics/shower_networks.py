"""Networks that tell generated showers from true ones: a plain one for vectors, a residual one for regular cylinders.

Their weights come from a given generator and from no global one, so that the same seed trains the same network.

Shapes: B showers, F features, C channels, L layers, A sectors, R rings, K classes.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Residual3d", "plain"]


def plain(features: int, hidden: int, classes: int, generator: torch.Generator) -> nn.Sequential:
    """Three hidden layers with leaky rectifiers, as in the CaloChallenge, where they are 2048 wide.

    Example:
        >>> plain(4, 8, 1, torch.Generator().manual_seed(0))(torch.zeros(2, 4)).shape
        torch.Size([2, 1])
    """
    layers: list[nn.Module] = []
    for i, o in itertools.pairwise((features, hidden, hidden, hidden, classes)):
        linear = nn.utils.skip_init(nn.Linear, i, o)  # type: ignore[no-untyped-call]
        _draw(linear, i, generator)
        layers += [linear, nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers[:-1])


class CyclicConv3d(nn.Module):
    """A convolution over (L, A, R) that goes around in A and meets zeros at the ends of L and R.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        size: Odd length of its side.
        stride: In all three.
        generator: Source of the weights.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, generator: torch.Generator) -> None:
        super().__init__()
        self.reach = size // 2
        self.conv = nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.Conv3d, inputs, outputs, size, stride=stride, padding=(self.reach, 0, self.reach), bias=False
        )
        _draw(self.conv, inputs * size**3, generator)

    def forward(self, x_BCLAR: Tensor) -> Tensor:
        """(B, C, L, A, R) to (B, C', L', A', R')."""
        sectors, r = x_BCLAR.shape[3], self.reach
        around = torch.arange(-r, sectors + r, device=x_BCLAR.device) % sectors
        x_BCLAR = x_BCLAR[:, :, :, around]
        (a, b), (c, d) = (self._met(x_BCLAR.shape[i]) for i in (2, 4))
        if (a, b, c, d) == (r, r, r, r):
            out: Tensor = self.conv(x_BCLAR)
            return out
        # oneDNN leaves the gradient of weights that meet nothing but zeros unset, so these are left out.
        weight = self.conv.weight[:, :, r - a : r + b + 1, :, r - c : r + d + 1]
        return functional.conv3d(functional.pad(x_BCLAR, (c, d, 0, 0, a, b)), weight, stride=self.conv.stride)

    def _met(self, length: int) -> tuple[int, int]:
        """How far to either side the kernel meets something, on an axis of this length that ends in zeros."""
        last = (length - 1) // self.conv.stride[0] * self.conv.stride[0]
        return min(self.reach, last), min(self.reach, length - 1)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, generator: torch.Generator) -> None:
        super().__init__()
        self.body = nn.Sequential(
            CyclicConv3d(inputs, outputs, 3, stride, generator), nn.BatchNorm3d(outputs), nn.ReLU(),
            CyclicConv3d(outputs, outputs, 3, 1, generator), nn.BatchNorm3d(outputs),
        )  # fmt: skip
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            skip = CyclicConv3d(inputs, outputs, 1, stride, generator)
            self.skip = nn.Sequential(skip, nn.BatchNorm3d(outputs))

    def forward(self, x_BCLAR: Tensor) -> Tensor:
        return functional.relu(self.body(x_BCLAR) + self.skip(x_BCLAR))


class Residual3d(nn.Module):
    """A residual network of 18 layers over three dimensions, cyclic in α (after He et al., arXiv 1512.03385).

    Args:
        shape: (L, A, R) of a shower.
        planes: Channels of its four stages; the challenge takes 32, 64, 64, 128.
        generator: Source of the weights.

    Example:
        >>> net = Residual3d((5, 4, 3), (4, 4, 8, 8), torch.Generator().manual_seed(0))
        >>> net(torch.zeros(2, 61)).shape
        torch.Size([2, 1])
    """

    def __init__(self, shape: tuple[int, int, int], planes: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        first = planes[0]
        stages: list[nn.Module] = [CyclicConv3d(2, first, 7, 2, generator), nn.BatchNorm3d(first), nn.ReLU()]
        for i, (before, after) in enumerate(itertools.pairwise((first, *planes))):
            stages += [_Block(before, after, 1 if i == 0 else 2, generator), _Block(after, after, 1, generator)]
        self.body = nn.Sequential(*stages)
        self.answer = nn.utils.skip_init(nn.Linear, planes[-1], 1)  # type: ignore[no-untyped-call]
        _draw(self.answer, planes[-1], generator)

    def forward(self, x_BF: Tensor) -> Tensor:
        """(B, 1) from the incident energy and the L A R cells of each shower."""
        cells = x_BF[:, 1:].reshape(-1, 1, *self.shape)
        energy = x_BF[:, :1, None, None, None].expand_as(cells)
        hidden: Tensor = self.body(torch.cat([cells, energy], 1))
        out: Tensor = self.answer(hidden.mean((2, 3, 4)))
        return out


def _draw(module: nn.Module, inputs: int, generator: torch.Generator) -> None:
    with torch.no_grad():
        for weight in module.parameters():
            weight.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
