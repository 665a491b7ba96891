r"""Low-rank adaptation: fine-tune a frozen matrix :math:`W` by :math:`W + BA`, with :math:`B` zero at the start.

(Hu et al., arXiv 2106.09685, eq. 3.) After training, `merge` adds the product to the matrix, so that the model saved is
an ordinary one.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["LowRank", "adapt", "merge"]


class LowRank(nn.Module):
    """A linear layer with a trainable low-rank addition.

    Args:
        base: The layer; frozen.
        rank: Rank of the addition.
    """

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, base.in_features, device=base.weight.device) * base.in_features**-0.5)
        self.b = nn.Parameter(base.weight.new_zeros(base.out_features, rank))

    @property
    def weight(self) -> Tensor:
        """The sum, for layers that use a matrix otherwise than by calling it."""
        return self.base.weight + self.b @ self.a

    @property
    def bias(self) -> Tensor:
        """That of the base layer, for layers that have one."""
        return self.base.bias

    def forward(self, x: Tensor) -> Tensor:
        """As the base layer, plus B A x."""
        out: Tensor = self.base(x) + (x @ self.a.T) @ self.b.T
        return out


def adapt(module: nn.Module, rank: int) -> int:
    """Freeze a module and give each of its linear layers a low-rank addition, in place.

    Returns:
        Number of trainable parameters added.

    Raises:
        ValueError: If the rank is not positive.

    Example:
        >>> net = nn.Sequential(nn.Linear(8, 8))
        >>> adapt(net, rank=2), sum(p.numel() for p in net.parameters() if p.requires_grad)
        (32, 32)
    """
    if rank <= 0:
        raise ValueError(f"expected a positive rank, got {rank}")
    module.requires_grad_(False)
    added = 0
    for parent, name, layer in _layers(module, nn.Linear):
        low = LowRank(cast(nn.Linear, layer), rank)
        setattr(parent, name, low)
        added += low.a.numel() + low.b.numel()
    return added


@torch.no_grad()
def merge(module: nn.Module) -> None:
    """Add all low-rank additions to their layers and take them out, in place."""
    for parent, name, layer in _layers(module, LowRank):
        low = cast(LowRank, layer)
        low.base.weight += low.b @ low.a
        setattr(parent, name, low.base.requires_grad_(True))


def _layers(module: nn.Module, kind: type[nn.Module]) -> list[tuple[nn.Module, str, nn.Module]]:
    """(parent, attribute, layer) of each layer of a kind."""
    return [(p, n, c) for p in module.modules() for n, c in p.named_children() if isinstance(c, kind)]
