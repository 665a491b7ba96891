"""One packed sequence from several collections, and the hidden states taken apart again.

An event becomes [prefix tokens, rows of the first collection, rows of the second, ...]; the events follow one another
without padding. Shapes: B events, P prefix tokens, S positions of the packed sequence, T rows of one collection,
D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lpm.data.batch import Ragged
from lpm.data.transfer import sent

__all__ = ["Hidden", "Layout"]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where everything lies in the packed sequence.

    Args:
        offsets: (B + 1,) start of each event.
        prefix: (B, P) positions of the prefix tokens; the first is the event token.
        rows: {collection: (T,)} position of each row.
        ends: {collection: (B,)} position of the last row of each event, or of what precedes it if there is none.
    """

    offsets: Int[Tensor, " starts"]
    prefix: Int[Tensor, "B P"]
    rows: Mapping[str, Tensor]
    ends: Mapping[str, Tensor]

    @property
    def size(self) -> int:
        """S, known without asking the device."""
        return self.prefix.numel() + sum(len(r) for r in self.rows.values())

    @classmethod
    def of(cls, offsets: Mapping[str, Tensor], prefix: int) -> Layout:
        """Lay out collections with the given (B + 1,) offsets, on the CPU, behind `prefix` tokens an event.

        Args:
            offsets: Of each collection.
            prefix: P.

        Example:
            >>> layout = Layout.of({"particle": torch.tensor([0, 2, 3])}, prefix=1)
            >>> layout.offsets.tolist(), layout.rows["particle"].tolist(), layout.prefix.flatten().tolist()
            ([0, 3, 5], [1, 2, 4], [0, 3])
        """
        lengths = {n: o.diff() for n, o in offsets.items()}
        per_event = torch.stack([*lengths.values()]).sum(0) + prefix
        starts = torch.cat([per_event.new_zeros(1), per_event.cumsum(0)])
        rows, ends, at = {}, {}, starts[:-1] + prefix
        for name, o in offsets.items():
            shift = torch.repeat_interleave(at - o[:-1], lengths[name])
            rows[name] = torch.arange(len(shift)) + shift
            at = at + lengths[name]
            ends[name] = at - 1
        return cls(starts, starts[:-1, None] + torch.arange(prefix), rows, ends)

    def to(self, device: torch.device) -> Layout:
        """Copy to a device."""
        rows, ends = ({n: sent(x, device) for n, x in some.items()} for some in (self.rows, self.ends))
        return Layout(sent(self.offsets, device), sent(self.prefix, device), rows, ends)


@dataclass(frozen=True, eq=False)
class Hidden:
    """Hidden states of the packed sequence, x (S, D).

    Args:
        x: The states.
        layout: Where everything lies.
        gathered: The event token has gathered its event by itself, in class attention.
    """

    x: Float[Tensor, "S D"]
    layout: Layout
    gathered: bool = False

    @property
    def event(self) -> Float[Tensor, "B D"]:
        """(B, D) state of the event token."""
        return self.x[self.layout.prefix[:, 0]]

    @property
    def pooled(self) -> Float[Tensor, "B D"]:
        """(B, D) state of the event token plus, unless it has `gathered` them, the mean of all positions of the event.

        In a causal pre-training the event token learns to gather nothing; the mean makes what the rows know usable.
        """
        if self.gathered:
            return self.event
        return self.event + Ragged(self.x, self.layout.offsets).mean()

    def of(self, name: str) -> Float[Tensor, "T D"]:
        """(T, D) state of each row."""
        return self.x[self.layout.rows[name]]

    def before(self, name: str) -> Float[Tensor, "T D"]:
        """(T, D) state one position before each row: what predicts it in a causal view."""
        return self.x[self.layout.rows[name] - 1]

    def end(self, name: str) -> Float[Tensor, "B D"]:
        """(B, D) state of the last row: what predicts, in a causal view, that no further row follows."""
        return self.x[self.layout.ends[name]]
