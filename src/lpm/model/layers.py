"""Layers used by several parts of the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Dropout", "from_places", "to_places", "zero_linear"]


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, on the CPU with four entries for each random word, which is four times as fast.

    The probability is rounded to a multiple of 2⁻¹⁶, and the scale follows it, so that the mean is kept.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The entries that are kept, scaled up."""
        dropped = round(self.p * 2**16)
        plain = x.device.type != "cpu" or torch.compiler.is_compiling()  # which cannot trace random words
        if not self.training or plain or dropped in (0, 2**16):
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
        kept = words.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - 2**15
        return x * kept.to(x.dtype).mul_(2**16 / (2**16 - dropped))


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts at zero: an untrained head answers the same to all, a new bias changes nothing."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def to_places(x: Tensor, places: Tensor, size: int) -> Tensor:
    """Rows (R, D) put at different places (R,) among `size` rows, zeros elsewhere.

    Example:
        >>> to_places(torch.tensor([[1.0], [2.0]]), torch.tensor([2, 0]), 3).flatten().tolist()
        [2.0, 0.0, 1.0]
    """
    out: Tensor = _Put.apply(x, places, size)  # type: ignore[no-untyped-call]
    return out


def from_places(x: Tensor, places: Tensor) -> Tensor:
    """Rows (R, D) taken from different places (R,): the inverse of `to_places`."""
    out: Tensor = _Take.apply(x, places)  # type: ignore[no-untyped-call]
    return out


class _Put(torch.autograd.Function):
    """Rows to different places. Known to be different, the gradient is a plain selection."""

    @staticmethod
    def forward(ctx: Any, x_RD: Tensor, places_R: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(places_R)
        return x_RD.new_zeros(size, x_RD.shape[1]).index_copy_(0, places_R, x_RD)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0].index_select(0, ctx.saved_tensors[0]), None, None


class _Take(torch.autograd.Function):
    """Rows from different places. Known to be different, the gradient is a plain copy, not a sum."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, places_R: Tensor) -> Tensor:
        ctx.save_for_backward(places_R)
        ctx.size = len(x_ND)
        return x_ND.index_select(0, places_R)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (places_R,) = ctx.saved_tensors
        return grads[0].new_zeros(ctx.size, grads[0].shape[1]).index_copy_(0, places_R, grads[0]), None
