r"""Continuous tokens: each row of a collection is one token of standardised features.

Each field is transformed (`Transform`) and then standardised with the mean :math:`\mu` and deviation :math:`\sigma`
found in one pass over the data, :math:`x' = (f(x) - \mu) / \sigma`. What was not measured (NaN) becomes 0, the mean.

Two further features of taggers follow from the others, so that decoding has no need of them: the logarithm of a row's
share in the sum over its event, and the length of a vector of two fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
        shares: Fields of which each row's share in the sum over its event is seen too, as a logarithm.
        lengths: Pairs of fields of which the root of summed squares is seen too: ΔR of deta and dphi.
    """

    collection: str
    fields: tuple[Transform, ...]
    classes: tuple[int, ...] = ()
    clip: float = 8.0
    shares: tuple[str, ...] = ()
    lengths: tuple[tuple[str, str], ...] = ()

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
        derived = len(config.shares) + len(config.lengths)
        self.width = sum(self.sizes) + derived
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(len(self.names) + derived))
        self.register_buffer("std", torch.ones(len(self.names) + derived))

    def _transformed(self, values: Tensor) -> Tensor:
        return torch.stack([t(values[:, i]) for i, t in enumerate(self.config.fields)], 1)

    def fit(self, batches: Iterable[Batch]) -> Continuous:
        """Mean and deviation of each transformed field, missing values left out (Chan et al. 1979, one pass).

        A field without any value stays as it is.

        Raises:
            ValueError: If there is no batch at all.
        """
        n, events = torch.zeros(len(self.mean), dtype=torch.float64), 0
        mean, square = torch.zeros_like(n), torch.zeros_like(n)
        for batch in batches:
            rows = gather_fields(batch, self.collection, self.names)
            u = torch.cat([self._transformed(rows.values), self._derived(batch)], 1).double()
            known = u.isfinite()
            count = known.sum(0)
            m = torch.where(known, u, 0).sum(0) / count.clamp_min(1)
            s = torch.where(known, (u - m) ** 2, 0).sum(0)
            total = (n + count).clamp_min(1)
            square += s + (m - mean) ** 2 * n * count / total
            mean += (m - mean) * count / total
            n += count
            events += len(batch)
        if not events:
            raise ValueError(f"cannot standardise fields of {self.collection}: there is no event to learn from")
        none = [False] * (len(self.mean) - len(self.names))
        category = torch.tensor([*(t.form == "category" for t in self.config.fields), *none])
        plain = category | (n == 0)
        self.mean.copy_(torch.where(plain, 0.0, mean))
        self.std.copy_(torch.where(plain, 1.0, (square / n.clamp_min(1)).sqrt().clamp_min(1e-6)))
        return self

    def _derived(self, batch: Batch) -> Tensor:
        """(N, shares + lengths) features that follow from the others, before they are standardised."""
        c, columns = self.config, []
        if c.shares:
            rows = gather_fields(batch, self.collection, c.shares)
            rows = rows.with_values(rows.values.double())  # the order of rows must not show in the sum
            whole = rows.sum()[rows.event]
            share = rows.values / torch.where(whole > 0, whole, 1.0)
            columns.append(share.clamp_min(1e-8).log().to(self.mean.dtype))
        for pair in c.lengths:
            x, y = gather_fields(batch, self.collection, pair).values.unbind(1)
            columns.append(torch.hypot(x, y)[:, None])
        rows = batch.collections[self.collection]
        return torch.cat(columns, 1) if columns else rows.values.new_zeros(len(rows.values), 0)

    def _standard(self, u: Tensor, of: slice) -> Tensor:
        return ((u - self.mean[of]) / self.std[of]).clamp(-self.config.clip, self.config.clip)

    def features(self, values: Tensor) -> Tensor:
        """(N, width) features of raw values (N, fields).

        Raises:
            ValueError: If there are features that follow from the whole event and not from its rows one by one.
        """
        if self.width > sum(self.sizes):
            raise ValueError("shares and lengths need whole events: leave them out of what generates row by row")
        return self._own(values)

    def _own(self, values: Tensor) -> Tensor:
        u = self._standard(self._transformed(values), slice(len(self.names)))
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
        features = self._own(rows.values)
        if self.width > sum(self.sizes):
            derived = self._standard(self._derived(batch), slice(len(self.names), None))
            features = torch.cat([features, derived.nan_to_num(0.0)], 1)
        return Tokens(rows.offsets, features=features)

    def padded(self, columns: Mapping[str, Tensor], valid: Tensor) -> Tensor:
        """Features (B, L, width) of padded events, for programs that know no packed ones; equal to those of `encode`.

        Args:
            columns: {field: (B, L)} raw values; anything finite at padding.
            valid: (B, L) True where a row exists.
        """
        own = self._own(torch.stack([columns[n] for n in self.names], -1).flatten(0, 1)).view(*valid.shape, -1)
        if self.width == sum(self.sizes):
            return own
        c, derived = self.config, []
        for name in c.shares:
            x = torch.where(valid, columns[name], 0.0).double()
            whole = x.sum(1, keepdim=True)
            derived.append((x / torch.where(whole > 0, whole, 1.0)).clamp_min(1e-8).log().to(self.mean.dtype))
        derived += [torch.hypot(columns[a], columns[b]) for a, b in c.lengths]
        more = self._standard(torch.stack(derived, -1), slice(len(self.names), None)).nan_to_num(0.0)
        return torch.cat([own, more], -1)

    @property
    def told(self) -> tuple[str, ...]:
        """Names of what the features tell: fields, then shares and lengths."""
        c = self.config
        return (*self.names, *(f"share of {n}" for n in c.shares), *(f"length of {a}, {b}" for a, b in c.lengths))

    def by_field(self, features: Tensor) -> Tensor:
        """Sums (N, len(told)) of the (N, width) features that tell the same, those of the classes of a category."""
        sizes = [*self.sizes, *[1] * (self.width - sum(self.sizes))]
        return torch.stack([part.sum(1) for part in torch.split(features, sizes, 1)], 1)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all fields that it reads."""
        c = self.config
        return tuple(dict.fromkeys([*self.names, *c.shares, *(n for pair in c.lengths for n in pair)]))

    def decode(self, tokens: Tokens, generator: torch.Generator | None = None) -> Ragged:
        """Values (T, fields); exact up to rounding and clipping."""
        assert tokens.features is not None
        return Ragged(self.inverted(tokens.features), tokens.offsets)

    def inverted(self, features: Tensor) -> Tensor:
        """Values (T, fields) of features (T, width)."""
        columns, at = [], 0
        for i, (t, size) in enumerate(zip(self.config.fields, self.sizes, strict=True)):
            x = features[:, at : at + size]
            at += size
            if t.form == "category":
                columns.append(x.argmax(1).to(x.dtype))
            else:
                x = x[:, 0].clamp(-self.config.clip, self.config.clip)  # generated features may lie beyond
                columns.append(t.inverse(x * self.std[i] + self.mean[i]))
        return torch.stack(columns, 1)
