r"""Muon: steps of equal length in every direction of a matrix (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

The momentum of a matrix, :math:`M = U S V^\top`, is replaced by nearly :math:`U V^\top`, found without a singular-value
decomposition by a few Newton–Schulz steps :math:`X \to aX + (bA + cA^2)X`, :math:`A = XX^\top`. Directions that a batch
seldom shows so learn as fast as those that it always shows. The factor :math:`0.2\sqrt{\max(r, c)}` gives the entries
of an :math:`r \times c` matrix steps as large as AdamW's, so that both share one learning rate and one weight decay
(Liu et al., arXiv 2502.16982, eq. 4). All that is no matrix of a linear layer is left to AdamW.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

__all__ = ["Muon", "orthogonal"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""a, b, c of the source: singular values from 0 to 1 come to lie between about 0.7 and 1.2 in five steps."""


def orthogonal(stack: Tensor, steps: int = 5) -> Tensor:
    """(n, r, c) matrices with the singular vectors of the given ones and singular values near 1.

    Example:
        >>> x = torch.diag(torch.tensor([1.0, 0.1]))[None]
        >>> bool(((orthogonal(x).diagonal(dim1=1, dim2=2) - 1).abs() < 0.35).all())
        True
    """
    a, b, c = _COEFFICIENTS
    # Half precision is enough and fast on accelerators; on the CPU it is neither.
    x = stack.bfloat16() if stack.is_cuda else stack.float()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    out: Tensor = (x.mT if tall else x).to(stack.dtype)
    return out


class Muon(torch.optim.AdamW):
    """Muon for the groups that say `"matrices": True`, AdamW for the others.

    Args:
        groups: Parameter groups as AdamW takes them.
        momentum: Share of the old momentum kept in each step.
        options: As for AdamW.
    """

    def __init__(self, groups: list[dict[str, Any]], momentum: float = 0.95, **options: Any) -> None:
        super().__init__(groups, **options)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step; gradients of matrices are used up."""
        for group in self.param_groups:
            if group.get("matrices"):
                self._matrices(group)
        return super().step(closure)  # which passes over what has no gradient

    def _matrices(self, group: dict[str, Any]) -> None:
        moving = [p for p in group["params"] if p.grad is not None]
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for p in moving:
            by_shape.setdefault(p.shape, []).append(p)
        for shape, same in by_shape.items():
            length = group["lr"] * 0.2 * max(shape) ** 0.5
            steps = orthogonal(torch.stack([_whole(self._ahead(p)) for p in same]))
            for p, step in zip(same, steps, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(_as(step, p), alpha=length)
                p.grad = None

    def _ahead(self, p: Tensor) -> Tensor:
        """Nesterov's momentum: where it will point once this gradient has been taken in twice."""
        assert p.grad is not None
        state = self.state[p]
        if "momentum" not in state:
            # AdamW looks for a count of steps in all states when it restores them.
            state["step"], state["momentum"] = torch.tensor(0.0), torch.zeros_like(p)
        state["step"] += 1
        mean: Tensor = state["momentum"]
        mean.lerp_(p.grad, 1 - self.momentum)
        return p.grad.lerp(mean, self.momentum)


def _whole(tensor: Tensor) -> Tensor:
    """The whole matrix of a sharded one."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _as(tensor: Tensor, like: Tensor) -> Tensor:
    """Sharded as `like` is, if it is."""
    if isinstance(like, DTensor):
        return distribute_tensor(tensor, like.device_mesh, like.placements)
    return tensor
