r"""Declared, invertible transforms that bring a field to a scale of order one.

A transform is a function :math:`u = f(x / s)` with :math:`f` one of identity, :math:`\log`, :math:`\mathrm{asinh}`,
so that steeply falling spectra (:math:`p_T`) and cusped ones (:math:`\Delta\eta`) are described equally well in their
core and in their tails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Reservoir", "Transform"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Transform:
    """Transform of one field.

    Args:
        field: Name of the field within the tokenizer's collection.
        form: `identity`, `log` (values below `floor` are raised to it), `asinh` or `category` (one feature a class).
        scale: Divides the value first; the scale at which asinh turns from linear to logarithmic.
        floor: Smallest argument of the logarithm.

    Example:
        >>> t = Transform(field="pt", form="log")
        >>> [round(x, 3) for x in t.inverse(t(torch.tensor([0.5, 700.0]))).tolist()]
        [0.5, 700.0]
    """

    field: str
    form: Literal["identity", "log", "asinh", "category"] = "identity"
    scale: float = 1.0
    floor: float = 1e-4

    def __call__(self, x: Tensor) -> Tensor:
        """Forward, elementwise."""
        if self.form == "log":
            return (x / self.scale).clamp_min(self.floor).log()
        if self.form == "asinh":
            return torch.asinh(x / self.scale)
        return x / self.scale

    def inverse(self, u: Tensor) -> Tensor:
        """Back, elementwise."""
        if self.form == "log":
            return u.exp() * self.scale
        if self.form == "asinh":
            return torch.sinh(u) * self.scale
        return u * self.scale


class Reservoir:
    """A uniform random sample of bounded size from a stream of rows (Vitter, ACM TOMS 11 (1985) 37, by random keys).

    Args:
        size: Rows kept at most.
        seed: The same stream and seed give the same sample.
    """

    def __init__(self, size: int = 1_000_000, seed: int = 0) -> None:
        self.size, self.generator = size, torch.Generator().manual_seed(seed)
        self.rows, self.keys = torch.empty(0), torch.empty(0)

    def add(self, rows: Tensor) -> None:
        """Offer (N, F) rows."""
        keys = torch.rand(len(rows), generator=self.generator)
        self.rows = torch.cat([self.rows, rows]) if len(self.rows) else rows
        self.keys = torch.cat([self.keys, keys])
        if len(self.keys) > self.size:
            self.keys, keep = self.keys.topk(self.size, largest=False)
            self.rows = self.rows[keep]
