"""Numbers to tokens and back: what every tokenizer promises.

Shapes: B events, T tokens of all events together, F continuous features, K code columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Collection, Field, Schema

__all__ = ["Tokenizer", "Tokens", "Uniform", "gather_fields", "visible_fields"]

Uniform = Callable[..., Tensor]
"""Shape to random numbers from 0 to below 1, on the device where they are wanted."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of one collection, packed: one row a token, the events one after the other.

    Args:
        offsets: (B + 1,) int64, the row at which each event starts.
        features: (T, F) float, what a continuous embedding sees, or None.
        codes: (T, K) int64, indices into K vocabularies, or None.
        hidden: (T,) bool, True where a view has removed the content, or None if nothing is hidden.
        asked: (U,) int64, the rows whose content is hidden, or None.
        time: (B,) how far each event has come from noise, 0, to data, 1; None if the features are data.
        velocity: (T, F) by which the features change with that time, or None.
        known: (T, G) what is known of each row before its features are, or None; no view hides it.
        place: (T,) int64, at which of its tokenizer's fixed places each row lies, or None for a set.
        real: (T, F) bool, False where a row has no such feature, which is then 0; None if all have all.
    """

    offsets: Int[Tensor, " starts"]
    features: Float[Tensor, "T F"] | None = None
    codes: Int[Tensor, "T K"] | None = None
    hidden: Bool[Tensor, " T"] | None = None
    asked: Int[Tensor, " U"] | None = None
    time: Float[Tensor, " B"] | None = None
    velocity: Float[Tensor, "T F"] | None = None
    known: Float[Tensor, "T G"] | None = None
    place: Int[Tensor, " T"] | None = None
    real: Bool[Tensor, "T F"] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def ragged(self) -> Ragged:
        """The features, or else the codes, as a `Ragged`; for its `event`, `position` and `lengths`."""
        values = self.features if self.features is not None else self.codes
        if values is None:
            raise ValueError("tokens hold neither features nor codes")
        return Ragged(values, self.offsets)

    def hide(self, hidden: Bool[Tensor, " T"]) -> Tokens:
        """The same tokens with (T,) `hidden`, on any device, marking those whose content is removed."""
        device = self.offsets.device
        return replace(self, hidden=hidden.to(device), asked=hidden.nonzero()[:, 0].to(device))


class Tokenizer(nn.Module):
    """Numbers of one collection to tokens and back. `decode(encode(batch))` is the collection within the resolution.

    Attributes:
        collection: Name of the collection it reads.
        paths: Fields it reads, in the order of the columns that `decode` returns.
        vocab: Size of the vocabulary of each code column; empty if there are no codes.
        width: Number of continuous features; 0 if there are none.
        known: Number of features that are known of a row before it is generated.
        places: Number of fixed places at which rows lie, so that their number need not be learned; 0 for sets.
    """

    collection: str
    paths: tuple[str, ...]
    vocab: tuple[int, ...] = ()
    width: int = 0
    known: int = 0
    places: int = 0

    def fit(self, batches: Iterable[Batch]) -> Tokenizer:
        """Set all constants from the data in one streaming pass, in place."""
        raise NotImplementedError

    def encode(self, batch: Batch) -> Tokens:
        """Tokens of a batch.

        Raises:
            ValueError: If the batch lacks a field, or a field is truth.
        """
        raise NotImplementedError

    def decode(self, tokens: Tokens, generator: torch.Generator | None = None) -> Ragged:
        """Values (T, len(paths)).

        Args:
            tokens: What `encode` gave, or sampled codes.
            generator: If given, a value is drawn at random within its cell; else the centre is returned.
        """
        raise NotImplementedError

    def complete(
        self, codes: Int[Tensor, "T K"], uniform: Uniform
    ) -> tuple[Float[Tensor, "T fields"] | None, Float[Tensor, "T F"] | None]:
        """Values (T, len(paths)) and features (T, width) of sampled codes (T, K), as far as single tokens have them.

        While sampling, the features are the next input. A tokenizer whose codes mean something only in their context
        returns None for both; its values come from `decode` when the event is whole.

        Args:
            codes: What was sampled.
            uniform: Gives the random numbers that place a value within its cell.
        """
        return None, None

    def schema(self, source: Schema) -> Collection:
        """The collection that `decode` returns, with the fields' meaning taken from `source`."""
        fields: list[Field] = [source.field(p) for p in self.paths]
        return Collection(name=self.collection, fields=tuple(fields), single=source[self.collection].single)


def visible_fields(schema: Schema, collection: str, names: Iterable[str]) -> tuple[int, ...]:
    """Columns of the named fields of a collection, all of them measurable.

    Raises:
        ValueError: If a field does not exist, or is truth: a model must not see the answer.
    """
    for name in names:
        if schema[collection][name].truth:
            raise ValueError(f"{collection}.{name} is truth: a tokenizer must not see it; ask for it with a head")
    return tuple(schema[collection].index(name) for name in names)


def gather_fields(batch: Batch, collection: str, names: tuple[str, ...]) -> Ragged:
    """(N, len(names)) values of measurable fields. See `visible_fields` for errors."""
    columns = visible_fields(batch.schema, collection, names)
    rows = batch.collections[collection]
    return rows.with_values(rows.values[:, columns])
