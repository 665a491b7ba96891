"""A model and a stream with no physics, for tests of the loop."""

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


class Line(nn.Module):
    """A small network with dropout, so that training draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 1)])
        self.drop = nn.Dropout(0.2)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        x = batch
        for block in self.blocks[:-1]:
            x = self.drop(torch.tanh(block(x)))
        return {"line": (self.blocks[-1](x)[:, 0] - batch.sum(1)) ** 2}


class Greedy(Line):
    """Needs more memory than any machine has if the batch has more than `fits` events; fails forward or backward.

    `judged` is the same for validation.
    """

    def __init__(self, fits: int, backward: bool = False, judged: int = 999) -> None:
        super().__init__()
        self.drop.p = 0.0
        self.fits, self.backward, self.seen, self.judged = fits, backward, [], judged
        self.kept: Any = lambda: None

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        assert self.kept() is None, "what the failed try made is still there"
        made = batch + 0.0
        losses = super().forward(made)
        if self.training:
            self.seen.append(len(batch))
            if len(batch) > self.fits:
                self.kept = weakref.ref(made)
                if not self.backward:
                    torch.empty(2**50)
                losses["line"].register_hook(lambda _: torch.empty(2**50))
        elif len(batch) > self.judged:
            torch.empty(2**50)
        return losses


class Counted:
    """Batches that depend on their number only."""

    def __init__(self, scale: float = 1.0) -> None:
        self.place, self.scale = 0, scale

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            g = torch.Generator().manual_seed(self.place)
            self.place += 1
            yield torch.randn(16, 3, generator=g) * self.scale

    def state(self) -> dict[str, Any]:
        return {"place": self.place}

    def restore(self, state: dict[str, Any]) -> None:
        self.place = state["place"]

    def redeal(self, states: list[dict[str, Any]]) -> None:
        """All processes see the same batches."""
        self.restore(states[0])

    def names(self, state: dict[str, Any], rows: list[int]) -> list[str]:
        return [f"batch {state['place'] - 1}, event {row}" for row in rows]


def held() -> list[Tensor]:
    """Validation batches of several sizes."""
    return list(torch.randn(64, 3, generator=torch.Generator().manual_seed(-1)).split([30, 24, 10]))
