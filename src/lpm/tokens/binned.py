"""Binned tokens: each field of a row falls into one of its bins.

With `product=False` a token has one code a field, to be predicted one after the other; with `product=True` the codes
of all fields are joined into a single index, as in the first autoregressive jet models (Finke et al.,
arXiv 2303.07364). Bins are equal in the transformed variable between two quantiles of the data; values beyond fall into
the outermost bins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.tokens.base import Tokenizer, Tokens, Uniform, gather_fields
from lpm.tokens.transform import Reservoir, Transform

__all__ = ["Binned", "BinnedConfig"]


@dataclass(frozen=True, kw_only=True)
class BinnedConfig:
    """Which fields, into how many bins.

    Args:
        collection: Name of the collection.
        fields: One transform a field; for `form="category"` the value is the bin.
        bins: Number of bins of each field.
        product: Join the codes of all fields into one.
        tail: Fraction of the data beyond each end of the binned range.
    """

    collection: str
    fields: tuple[Transform, ...]
    bins: tuple[int, ...]
    product: bool = False
    tail: float = 1e-4

    def __post_init__(self) -> None:
        if len(self.bins) != len(self.fields) or min(self.bins) < 2:
            raise ValueError(f"expected at least 2 bins for each of {len(self.fields)} fields, got {self.bins}")

    def build(self) -> Binned:
        """The tokenizer, not yet fitted."""
        return Binned(self)


class Binned(Tokenizer):
    """Codes by binning.

    Example:
        >>> from lpm.data.fields import jets_schema
        >>> pt = torch.linspace(1, 100, 1000)
        >>> batch = Batch.build(jets_schema(["pt"], ["pt"]), {"particle.pt": pt, "jet.pt": torch.tensor([1.0])},
        ...                     {"particle": torch.tensor([1000])})
        >>> log_pt = Transform(field="pt", form="log")
        >>> t = BinnedConfig(collection="particle", fields=(log_pt,), bins=(100,)).build().fit([batch])
        >>> bool(((t.decode(t.encode(batch)).values[:, 0] / pt).log().abs() < 0.024).all())  # half a bin of ln(100)/100
        True
    """

    def __init__(self, config: BinnedConfig) -> None:
        super().__init__()
        self.config, self.collection = config, config.collection
        self.names = tuple(t.field for t in config.fields)
        self.paths = tuple(f"{config.collection}.{n}" for n in self.names)
        self.vocab = (math.prod(config.bins),) if config.product else config.bins
        self.low: Tensor
        self.high: Tensor
        self.register_buffer("low", torch.zeros(len(self.names)))
        self.register_buffer("high", torch.ones(len(self.names)))

    def fit(self, batches: Iterable[Batch]) -> Binned:
        """Range of each transformed field, from a bounded random sample of the stream."""
        reservoir = Reservoir()
        for batch in batches:
            values = gather_fields(batch, self.collection, self.names).values
            reservoir.add(torch.stack([t(values[:, i]) for i, t in enumerate(self.config.fields)], 1))
        rows = reservoir.rows.sort(0).values
        if not len(rows):
            raise ValueError(f"cannot fit bins of {self.collection}: the data hold no rows of it")
        for i, (t, n) in enumerate(zip(self.config.fields, self.config.bins, strict=True)):
            column = rows[:, i][rows[:, i].isfinite()]
            if not len(column):
                raise ValueError(f"cannot fit bins of {self.paths[i]}: it has no finite value; drop the field")
            at = round(self.config.tail * (len(column) - 1))
            low, high = column[at], column[-1 - at]
            if t.form == "category":
                low, high = torch.tensor(-0.5), torch.tensor(n - 0.5)
            self.low[i], self.high[i] = low, torch.maximum(high, low + 1e-6)
        return self

    def encode(self, batch: Batch) -> Tokens:
        """Tokens with `codes` (T, fields), or (T, 1) for the product.

        Raises:
            ValueError: If a value is missing: a code cannot say so.
        """
        rows = gather_fields(batch, self.collection, self.names)
        return Tokens(rows.offsets, codes=self.codes(rows.values))

    def codes(self, values: Tensor) -> Tensor:
        """Codes of raw values (N, fields)."""
        columns = []
        for i, (t, n) in enumerate(zip(self.config.fields, self.config.bins, strict=True)):
            u = (t(values[:, i]) - self.low[i]) / (self.high[i] - self.low[i])
            if u.device.type == "cpu" and bool(u.isnan().any()):
                raise ValueError(
                    f"{self.paths[i]} has missing values, which cannot be binned; drop the field or the rows"
                )
            columns.append((u * n).floor().clamp(0, n - 1).long())
        if not self.config.product:
            return torch.stack(columns, 1)
        joint = torch.zeros_like(columns[0])
        for column, n in zip(columns, self.config.bins, strict=True):
            joint = joint * n + column
        return joint[:, None]

    def decode(self, tokens: Tokens, generator: torch.Generator | None = None) -> Ragged:
        """Values (T, fields): bin centres, or uniform within the bin if a generator is given."""
        assert tokens.codes is not None
        codes_TK = tokens.codes
        if generator is None:
            return Ragged(self._values(codes_TK, None), tokens.offsets)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator).to(codes_TK.device)

        return Ragged(self._values(codes_TK, uniform), tokens.offsets)

    def _values(self, codes_TK: Tensor, uniform: Uniform | None) -> Tensor:
        columns = list(codes_TK.unbind(1))
        if self.config.product:
            rest, columns = columns[0], []
            for n in reversed(self.config.bins):
                columns.insert(0, rest % n)
                rest = rest // n
        out = []
        for i, (t, n) in enumerate(zip(self.config.fields, self.config.bins, strict=True)):
            code = columns[i].to(self.low.dtype)
            if t.form == "category":
                out.append(code)
                continue
            inside = 0.5 if uniform is None else uniform(len(code))
            out.append(t.inverse(self.low[i] + (code + inside) / n * (self.high[i] - self.low[i])))
        return torch.stack(out, 1)

    def complete(self, codes: Tensor, uniform: Uniform) -> tuple[Tensor, None]:
        """Values drawn uniformly within the bins; there are no features."""
        return self._values(codes, uniform), None
