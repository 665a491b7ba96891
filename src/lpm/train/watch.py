"""Losses that are no longer finite: in which step, of which head, for which events.

Looking at a loss makes the host wait for the accelerator. The losses of all events are therefore kept where they are,
and looked at together when the loop reports or saves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lpm.train.parallel import World, gather, mean_over_ranks

__all__ = ["Watch"]

_NAMED = 8


class Watch:
    """Losses since the last look.

    Args:
        names: (state, rows) to what the events at `rows` of a batch are called; `state` is the place of the stream
            after that batch.
        place: This process among all.
        kept: What the message says of the past, beginning with "; ".

    Example:
        >>> one = World(0, 1, torch.device("cpu"))
        >>> watch = Watch(lambda state, rows: [f"a.root:{state['at'] + r}" for r in rows], one, lambda: "")
        >>> watch.add(3, {"at": 40}, {"label": torch.tensor([0.1, float("nan")])})
        >>> watch.look()
        Traceback (most recent call last):
        ValueError: at step 3 the loss is not finite: label of 1 of 2 events (a.root:41); ...
    """

    def __init__(
        self, names: Callable[[dict[str, Any], list[int]], list[str]], place: World, kept: Callable[[], str]
    ) -> None:
        self.names, self.place, self.saved = names, place, kept
        self.kept: list[tuple[int, dict[str, Any], Mapping[str, Tensor]]] = []

    def add(self, step: int, state: dict[str, Any], losses: Mapping[str, Tensor]) -> None:
        """Keep the {head: (B,)} losses of one batch."""
        self.kept.append((step, state, losses))

    def look(self) -> None:
        """Look at what was kept, and forget it. All processes must call this.

        Raises:
            ValueError: If a loss is not finite, in all processes; it names step, head and events.
        """
        if not self.kept:
            return
        sums = torch.stack([torch.stack([x.float().sum() for x in losses.values()]).sum() for *_, losses in self.kept])
        bad = ~mean_over_ranks(sums, self.place).isfinite()
        if bool(bad.any()):
            step, state, losses = self.kept[int(bad.nonzero()[0])]
            found = [text for part in gather(self._found(state, losses), self.place) for text in part]
            raise ValueError(
                f"at step {step} the loss is not finite: {'; '.join(found)}; lower train.lr or look at the data with "
                f"lpm inspect{self.saved()}"
            )
        self.kept.clear()

    def _found(self, state: dict[str, Any], losses: Mapping[str, Tensor]) -> list[str]:
        """What is wrong in the batch of this process: one text for all heads that fail for the same events."""
        heads: dict[tuple[int, ...], list[str]] = {}
        for head, x in losses.items():
            if rows := tuple((~x.isfinite()).nonzero().flatten().tolist()):
                heads.setdefault(rows, []).append(head)
        events = max(map(len, losses.values()))
        return [
            f"{', '.join(names)} of {len(rows)} of {events} events ({self._called(state, list(rows))})"
            for rows, names in heads.items()
        ]

    def _called(self, state: dict[str, Any], rows: list[int]) -> str:
        try:
            return ", ".join(self.names(state, rows[:_NAMED])) + (", …" if len(rows) > _NAMED else "")
        except Exception as error:  # files may be gone by now; what happened matters more than to whom
            return f"which ones cannot be told: {error}"
