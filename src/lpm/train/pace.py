"""How fast a training goes: events, tokens and operations a second, and the share of time spent waiting for data.

The loop does not wait for an accelerator (see `lpm.train.watch`), which works off a queue while the next batches are
made ready. The share of time in which the loop waited for a batch is therefore an upper bound of the share in which
the accelerator had nothing to do for want of data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lpm.train.parallel import World

__all__ = ["PEAK_FLOPS", "Pace", "size"]

PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "V100": 125e12}
"""Dense half-precision peak of some accelerators, from their data sheets, for the utilisation (MFU)."""


class Pace:
    """What was done since the last report, and how long it took.

    Args:
        model: If it has `size(batch)`, tokens are counted by it, and if it has `operations(batch)`, operations.
        place: This process among all.
        clock: Seconds.

    Example:
        >>> pace = Pace(nn.Identity(), World(0, 1, torch.device("cpu")), clock=iter([0.0, 1.0, 2.0, 8.0, 8.0]).__next__)
        >>> batch = pace.next(iter([[7, 8]]))  # came after one second of eight
        >>> pace.rates()
        {'events_per_s': 0.25, 'tokens_per_s': 0.2, 'data_wait': 0.125}
    """

    def __init__(self, model: nn.Module, place: World, clock: Callable[[], float] = time.perf_counter) -> None:
        self.model, self.place, self.clock = model, place, clock
        self._begin()

    def _begin(self) -> None:
        self.events = self.tokens = self.operations = 0
        self.waited, self.since = 0.0, self.clock()

    def next(self, batches: Iterator[Any]) -> Any:
        """The next batch, counted as done."""
        asked = self.clock()
        batch = next(batches)
        self.waited += self.clock() - asked
        self.events += len(batch)
        self.tokens += size(self.model, batch)
        count = getattr(self.model, "operations", None)
        self.operations += count(batch) if callable(count) else 0
        return batch

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is done in this context does not count."""
        begun = self.clock()
        try:
            yield
        finally:
            self.since += self.clock() - begun

    @property
    def seconds(self) -> float:
        """Time since the last report."""
        return self.clock() - self.since

    def rates(self) -> dict[str, float]:
        """Rates of all processes together since the last report; begins anew.

        `data_wait` is the share of the time in which the loop waited for a batch; `tflop_per_s` the operations of this
        process that the model asks for, padding not counted; `mfu` their share of the accelerator's peak.
        """
        seconds, n = self.seconds, self.place.size
        out = {
            "events_per_s": round(self.events * n / seconds, 2),
            "tokens_per_s": round(self.tokens * n / seconds, 1),
            "data_wait": round(self.waited / seconds, 4),
        }
        if self.operations:
            out["tflop_per_s"] = round(self.operations / seconds / 1e12, 4)
            if peak := _peak(self.place.device):
                out["mfu"] = round(self.operations / seconds / peak, 4)
        self._begin()
        return out


def _peak(device: torch.device) -> float | None:
    """Operations a second of an accelerator that is known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((v for k, v in PEAK_FLOPS.items() if k in name), None)


def size(model: nn.Module, batch: Any) -> int:
    """Tokens of a batch if the model can tell, else its length."""
    count = getattr(model, "size", None)
    return int(count(batch)) if callable(count) else len(batch)
