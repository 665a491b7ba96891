r"""The optimiser, its learning-rate schedule, and averaged weights.

The learning rate rises linearly over the warm-up and then falls along half a cosine to `floor` times its peak:
:math:`\eta(t) = \eta_0 [f + (1-f)(1+\cos\pi t)/2]`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Average", "depth_of", "learning_rate", "parameter_groups"]


def learning_rate(step: int, *, peak: float, steps: int, warmup: int, floor: float = 0.0) -> float:
    """Learning rate of a step, counted from 0.

    Example:
        >>> [round(learning_rate(s, peak=1.0, steps=10, warmup=2), 3) for s in (0, 1, 2, 6, 10)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    t = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (floor + (1 - floor) * (1 + math.cos(math.pi * t)) / 2)


def depth_of(name: str) -> int | None:
    """Number of the block that a parameter belongs to, read off its name; None outside of blocks.

    Example:
        >>> depth_of("backbone.blocks.3.qkv.weight"), depth_of("heads.label.out.weight")
        (3, None)
    """
    found = re.search(r"\.blocks\.(\d+)\.", name)
    return int(found.group(1)) if found else None


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    above: tuple[str, ...] = ("heads.", "backbone.class_blocks."),
) -> list[dict[str, Any]]:
    """Groups for the optimiser: no weight decay for vectors (norms, biases), smaller rates for earlier layers.

    Each says under `matrices` whether it holds the matrices of linear layers, which `Muon` treats differently.

    Args:
        model: Whose trainable parameters to group.
        lr: Learning rate of the heads.
        weight_decay: For matrices.
        layer_decay: Each block below the last learns this factor slower; what precedes the blocks, slowest.
        above: Prefixes of what lies above all blocks, and learns at the full rate.
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    blocks = 1 + max((d for d in (depth_of(n) for n, _ in named) if d is not None), default=-1)
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    groups: dict[tuple[float, float, bool], dict[str, Any]] = {}
    for name, p in named:
        depth = depth_of(name)
        below = 0 if name.startswith(above) or blocks == 0 else blocks - (depth if depth is not None else -1)
        rate, decay = lr * layer_decay**below, weight_decay if p.ndim >= 2 and "embed" not in name else 0.0
        key = (rate, decay, id(p) in linear)
        made = {"params": [], "lr": rate, "scale": rate / lr, "weight_decay": decay, "matrices": key[2]}
        groups.setdefault(key, made)
        groups[key]["params"].append(p)
    return list(groups.values())


class Average:
    """Exponential moving average of trainable weights: smoother, and better on what was not trained on.

    Args:
        parameters: Weights to follow.
        decay: Share of the old average kept in each step.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self.parameters, self.decay = list(parameters), decay
        self.mean = [p.detach().clone() for p in self.parameters]
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights in; early on the average is shorter, so that it forgets the start."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.mean, [p.detach() for p in self.parameters], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange average and weights; a second call undoes the first."""
        for mean, p in zip(self.mean, self.parameters, strict=True):
            kept = p.detach().clone()
            p.copy_(mean)
            mean.copy_(kept)
