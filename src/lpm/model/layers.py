"""Layers used by several parts of the model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Dropout", "zero_linear"]


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, on the CPU with four entries for each random word, which is four times as fast.

    The probability is rounded to a multiple of 2⁻¹⁶, and the scale follows it, so that the mean is kept.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The entries that are kept, scaled up."""
        dropped = round(self.p * 2**16)
        if not self.training or x.device.type != "cpu" or dropped in (0, 2**16):
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
