r"""Continuous tokens: each row of a collection is one token of standardised features.

Each field is transformed (`Transform`) and then standardised with the mean :math:`\mu` and deviation :math:`\sigma`
found in one pass over the data, :math:`x' = (f(x) - \mu) / \sigma`. What was not measured (NaN) becomes 0, the mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.tokens.base import Tokenizer, Tokens, gather_fields
from lpm.tokens.transform import Transform

__all__ = ["Continuous", "ContinuousConfig"]


@dataclass(frozen=True, kw_only=True)
class ContinuousConfig:
    """Which fields of which collection, and how each is transformed.

    Args:
        collection: Name of the collection.
        fields: One transform a field. A category needs its number of classes in `classes`.
        classes: Number of classes of each category field, in order of appearance.
        clip: Features are kept within ± this many standard deviations.
    """

    collection: str
    fields: tuple[Transform, ...]
    classes: tuple[int, ...] = ()
    clip: float = 8.0

    def build(self) -> Continuous:
        """The tokenizer, not yet fitted."""
        return Continuous(self)


class Continuous(Tokenizer):
    """Standardised features.

    Example:
        >>> from lpm.data.fields import jets_schema
        >>> schema = jets_schema(["pt", "deta"], ["pt"])
        >>> two = torch.tensor([1.0, 10.0])
        >>> columns = {"particle.pt": two, "particle.deta": two, "jet.pt": two[:1]}
        >>> batch = Batch.build(schema, columns, {"particle": torch.tensor([2])})
        >>> log_pt = Transform(field="pt", form="log")
        >>> t = ContinuousConfig(collection="particle", fields=(log_pt,)).build().fit([batch])
        >>> t.decode(t.encode(batch)).values.flatten().tolist()
        [1.0, 10.0]
    """

    def __init__(self, config: ContinuousConfig) -> None:
        super().__init__()
        self.config, self.collection = config, config.collection
        self.names = tuple(t.field for t in config.fields)
        self.paths = tuple(f"{config.collection}.{n}" for n in self.names)
        sizes = iter(config.classes)
        self.sizes = tuple(next(sizes) if t.form == "category" else 1 for t in config.fields)
        self.width = sum(self.sizes)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(len(self.names)))
        self.register_buffer("std", torch.ones(len(self.names)))

    def _transformed(self, values: Tensor) -> Tensor:
        return torch.stack([t(values[:, i]) for i, t in enumerate(self.config.fields)], 1)

    def fit(self, batches: Iterable[Batch]) -> Continuous:
        """Mean and deviation of each transformed field, missing values left out (Chan et al. 1979, one pass)."""
        n = torch.zeros(len(self.names), dtype=torch.float64)
        mean, square = torch.zeros_like(n), torch.zeros_like(n)
        for batch in batches:
            u = self._transformed(gather_fields(batch, self.collection, self.names).values).double()
            known = u.isfinite()
            count = known.sum(0)
            m = torch.where(known, u, 0).sum(0) / count.clamp_min(1)
            s = torch.where(known, (u - m) ** 2, 0).sum(0)
            total = (n + count).clamp_min(1)
            square += s + (m - mean) ** 2 * n * count / total
            mean += (m - mean) * count / total
            n += count
        category = torch.tensor([t.form == "category" for t in self.config.fields])
        self.mean.copy_(torch.where(category, 0.0, mean))
        self.std.copy_(torch.where(category, 1.0, (square / n.clamp_min(1)).sqrt().clamp_min(1e-6)))
        return self

    def features(self, values: Tensor) -> Tensor:
        """(N, width) features of raw values (N, fields)."""
        u = ((self._transformed(values) - self.mean) / self.std).clamp(-self.config.clip, self.config.clip)
        columns = []
        for i, (t, size) in enumerate(zip(self.config.fields, self.sizes, strict=True)):
            if t.form == "category":
                known = values[:, i].isfinite()
                index = torch.where(known, values[:, i], 0).long()
                columns.append(F.one_hot(index, size).to(u.dtype) * known[:, None])
            else:
                columns.append(u[:, i : i + 1].nan_to_num(0.0))
        return torch.cat(columns, 1)

    def encode(self, batch: Batch) -> Tokens:
        """Tokens with `features` (T, width)."""
        rows = gather_fields(batch, self.collection, self.names)
        return Tokens(rows.offsets, features=self.features(rows.values))

    def decode(self, tokens: Tokens, generator: torch.Generator | None = None) -> Ragged:
        """Values (T, fields); exact up to rounding and clipping."""
        assert tokens.features is not None
        columns, at = [], 0
        for i, (t, size) in enumerate(zip(self.config.fields, self.sizes, strict=True)):
            x = tokens.features[:, at : at + size]
            at += size
            if t.form == "category":
                columns.append(x.argmax(1).to(x.dtype))
            else:
                x = x[:, 0].clamp(-self.config.clip, self.config.clip)  # generated features may lie beyond
                columns.append(t.inverse(x * self.std[i] + self.mean[i]))
        return Ragged(torch.stack(columns, 1), tokens.offsets)
