"""Layers used by several parts of the model."""

from __future__ import annotations

from torch import nn

__all__ = ["zero_linear"]


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts at zero: an untrained head answers the same to all, a new bias changes nothing."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
