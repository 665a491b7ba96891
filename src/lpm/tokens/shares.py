r"""Shares of a whole at fixed places, binned finely enough that nothing is lost, with atoms at 0 and 1.

Energies of calorimeter layers are such: which part of what is left does the next layer take? Often none, or all. Each
place has its own bins, of equally many training events each; code 0 means exactly none and the last code exactly all.
The backbone sees the rank of a share among those of its place, which is spread evenly whatever its distribution is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.tokens.base import Tokenizer, Tokens, gather_fields

__all__ = ["Shares", "SharesConfig"]

MOST = 400_000
"""Rows of a place that bins are fitted to."""


@dataclass(frozen=True, kw_only=True)
class SharesConfig:
    """One field of one collection whose rows lie at fixed places.

    Args:
        collection: Name of the collection.
        places: Number of places.
        field: The share; from 0, mostly to 1.
        place: Field that says at which place a row lies, from 0.
        bins: Bins between none and all.
        given: Path of a field of a single collection whose range in training is kept for each place, or empty: what is
            generated beyond it is extrapolated. Where geometries have places of their own, so they have ranges.

    Raises:
        ValueError: If there are no bins or no places.
    """

    collection: str
    places: int
    field: str = "share"
    place: str = "place"
    bins: int = 256
    given: str = ""

    def __post_init__(self) -> None:
        if self.bins < 1 or self.places < 1:
            raise ValueError(
                f"shares of {self.collection}: expected bins and places, got {self.bins} and {self.places}"
            )

    def build(self) -> Shares:
        """The tokenizer, not yet fitted."""
        return Shares(self)


class Shares(Tokenizer):
    """Codes to tell and ranks to see.

    Attributes:
        edges: (places, bins + 1) of the bins.
        range: (places, 2) lowest and highest value of `given` among the events with a row there; without bounds where
            there is none.

    Example:
        >>> from lpm.data.schema import Collection, Field, Schema
        >>> fields = (Field(name="place", kind="count"), Field(name="share"))
        >>> schema = Schema(name="s", collections=(Collection(name="layer", fields=fields),))
        >>> columns = {"layer.place": torch.zeros(1001), "layer.share": torch.linspace(0, 1, 1001)}
        >>> batch = Batch.build(schema, columns, {"layer": torch.full((1001,), 1)})
        >>> t = SharesConfig(collection="layer", places=1, bins=100).build().fit([batch])
        >>> t.encode(batch).codes.flatten()[[0, 1, 500, 1000]].tolist()
        [0, 1, 51, 101]
    """

    def __init__(self, config: SharesConfig) -> None:
        super().__init__()
        self.config, self.collection = config, config.collection
        self.names = (config.place, config.field)
        self.paths = tuple(f"{config.collection}.{n}" for n in self.names)
        self.vocab, self.width, self.places = (config.bins + 2,), 3, config.places
        self.edges: Tensor
        self.range: Tensor
        self.register_buffer("range", torch.tensor([-torch.inf, torch.inf]).repeat(config.places, 1))
        self.register_buffer("edges", torch.linspace(0, 1, config.bins + 1).repeat(config.places, 1))

    def fit(self, batches: Iterable[Batch]) -> Shares:
        """Edges of equally many events between, from the first rows of each place."""
        c = self.config
        found: list[list[Tensor]] = [[] for _ in range(c.places)]
        counts = [0] * c.places
        low_P, high_P = torch.full((c.places,), torch.inf), torch.full((c.places,), -torch.inf)
        for batch in batches:
            place_T, share_T = self._rows(batch)
            if c.given:
                given_T = batch.field(c.given).values[batch.collections[self.collection].event].to(low_P.dtype)
                low_P.scatter_reduce_(0, place_T, given_T, "amin")
                high_P.scatter_reduce_(0, place_T, given_T, "amax")
            inside_T = share_T.isfinite() & (share_T > 0) & (share_T != 1)
            for p in range(c.places):
                if counts[p] < MOST:
                    found[p].append(share_T[inside_T & (place_T == p)])
                    counts[p] += len(found[p][-1])
        if c.given:
            seen_P = low_P <= high_P
            self.range[seen_P] = torch.stack([low_P, high_P], 1)[seen_P]
        steps = torch.linspace(0, 1, c.bins + 1, dtype=torch.float64)
        for p, parts in enumerate(found):
            values = torch.cat(parts).double().sort().values if parts else torch.zeros(0)
            if len(values):
                at = steps * (len(values) - 1)
                before, part = at.floor().long(), at.frac()
                after = (before + 1).clamp_max(len(values) - 1)
                self.edges[p] = (values[before] * (1 - part) + values[after] * part).to(self.edges.dtype)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Models trained before ranges were kept for each place have one (2,): it holds at all of them."""
        kept = state_dict.get(f"{prefix}range")
        if kept is not None and kept.ndim == 1:
            state_dict[f"{prefix}range"] = kept.expand_as(self.range)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(T,) places and (T,) shares.

        Raises:
            ValueError: If a place is not one of the tokenizer's.
        """
        values = gather_fields(batch, self.collection, self.names).values
        place_T = values[:, 0].long()
        if place_T.device.type == "cpu" and len(place_T) and int(place_T.max()) >= self.places:
            raise ValueError(f"{self.paths[0]} reaches {int(place_T.max())}, expected places below {self.places}; "
                             "name the geometry that the model was made for")  # fmt: skip
        return place_T, values[:, 1]

    def encode(self, batch: Batch) -> Tokens:
        """Tokens with codes (T, 1), features (T, 3) and places. A share that is not known has rank 0 and code 0."""
        place_T, share_T = self._rows(batch)
        share_T = share_T.nan_to_num(0.0)
        edges = self.edges[place_T]
        bin_T = torch.searchsorted(edges[:, 1:-1].contiguous(), share_T[:, None], right=True)[:, 0]
        code_T = torch.where(share_T <= 0, 0, torch.where(share_T == 1, self.config.bins + 1, bin_T + 1))
        offsets = batch.collections[self.collection].offsets
        return Tokens(offsets, features=self.features(place_T, share_T), codes=code_T[:, None], place=place_T)

    def features(self, place_T: Tensor, share_T: Tensor) -> Tensor:
        """(T, 3) features: the rank, from -√3 to √3, and whether the share is none or all."""
        edges = self.edges[place_T]
        bin_T = torch.searchsorted(edges[:, 1:-1].contiguous(), share_T[:, None], right=True)
        low_T, high_T = (edges.gather(1, bin_T + i)[:, 0] for i in (0, 1))
        inside_T = ((share_T - low_T) / (high_T - low_T).clamp_min(1e-12)).clamp(0, 1)
        rank_T = (bin_T[:, 0] + inside_T) / self.config.bins
        none_T, all_T = share_T <= 0, share_T == 1
        rank_T = torch.where(none_T | all_T, 0.5, rank_T)
        return torch.stack([(2 * rank_T - 1) * 3**0.5, none_T.to(rank_T.dtype), all_T.to(rank_T.dtype)], 1)

    def decode(self, tokens: Tokens, generator: torch.Generator | None = None) -> Ragged:
        """Values (T, 2), place and share: in the middle of a bin in its logarithm, or at random within it."""
        assert tokens.codes is not None
        assert tokens.place is not None
        code_T, k = tokens.codes[:, 0], self.config.bins
        bin_T = (code_T - 1).clamp(0, k - 1)[:, None]
        low_T, high_T = (self.edges[tokens.place].gather(1, bin_T + i)[:, 0] for i in (0, 1))
        if generator is None:
            inside_T = torch.full_like(low_T, 0.5)
        else:
            inside_T = torch.rand(len(low_T), generator=generator).to(low_T)
        # Bins of the rarest shares span decades.
        steep_T = (low_T > 0) & (high_T > 2 * low_T)
        tall_T = low_T.clamp_min(1e-30)
        share_T = torch.where(
            steep_T, tall_T * (high_T.clamp_min(1e-30) / tall_T) ** inside_T, low_T + (high_T - low_T) * inside_T
        )
        share_T = torch.where(code_T == 0, 0.0, torch.where(code_T == k + 1, 1.0, share_T))
        return Ragged(torch.stack([tokens.place.to(share_T.dtype), share_T], 1), tokens.offsets)
