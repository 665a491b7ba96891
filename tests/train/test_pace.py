"""Rates: what is counted, what is not, and the share of time spent waiting for data."""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from lpm.train.pace import Pace, size
from lpm.train.parallel import World

ONE = World(0, 1, torch.device("cpu"))


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Counts(nn.Module):
    """Three tokens an event, 10¹² operations a token."""

    def size(self, batch: list[int]) -> int:
        return 3 * len(batch)

    def operations(self, batch: list[int]) -> int:
        return 3 * len(batch) * 10**12


def late(clock: Clock, seconds: float) -> Iterator[list[int]]:
    while True:
        clock.now += seconds
        yield [0, 0, 0, 0]


def worked(place: World = ONE, model: Callable[[], nn.Module] = Counts) -> tuple[Pace, Clock]:
    """Two batches that came after a second each, and three seconds of work on each."""
    clock = Clock()
    pace, batches = Pace(model(), place, clock), late(clock, 1.0)
    for _ in range(2):
        pace.next(batches)
        clock.now += 3.0
    return pace, clock


def test_rates_and_waiting() -> None:
    pace, _ = worked()
    assert pace.rates() == {"events_per_s": 1.0, "tokens_per_s": 3.0, "data_wait": 0.25, "tflop_per_s": 3.0}


def test_a_report_begins_anew() -> None:
    pace, clock = worked()
    pace.rates()
    clock.now += 5.0
    assert pace.rates() == {"events_per_s": 0.0, "tokens_per_s": 0.0, "data_wait": 0.0}


def test_what_is_done_aside_does_not_count() -> None:
    pace, clock = worked()
    with pace.aside():
        clock.now += 1000.0
    assert pace.rates()["events_per_s"] == 1.0


def test_processes_add_up_but_their_operations_are_their_own() -> None:
    rates = worked(World(0, 4, torch.device("cpu")))[0].rates()
    assert (rates["events_per_s"], rates["tflop_per_s"]) == (4.0, 3.0)


def test_a_model_that_cannot_count_has_as_many_tokens_as_events() -> None:
    assert size(nn.Identity(), [1, 2]) == 2
    assert worked(model=nn.Identity)[0].rates() == {"events_per_s": 1.0, "tokens_per_s": 1.0, "data_wait": 0.25}
