"""What a record holds, sorted for drawing: events by kind, metrics by table, losses by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lpm.metrics.estimate import Estimate
from lpm.report.plots import Band

__all__ = ["Event", "Recorded", "band", "losses", "of_kind"]

Event: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Recorded:
    """One run: its name and its events by kind.

    Args:
        name: As shown to the reader.
        events: {kind: events in the order of the record}.

    Example:
        >>> Recorded.of("first", [{"event": "step", "step": 1}]).last("step")["step"]
        1
    """

    name: str
    events: Mapping[str, list[Event]]

    @classmethod
    def of(cls, name: str, events: Sequence[Event]) -> Recorded:
        """Sort the events of a record."""
        found: dict[str, list[Event]] = defaultdict(list)
        for e in events:
            found[str(e.get("event"))].append(e)
        return cls(name, found)

    def last(self, kind: str) -> Event:
        """The last event of a kind, or an empty one."""
        return self.events[kind][-1] if self.events.get(kind) else {}

    def used(self) -> Event:
        """Energy, CO2 and seconds of all legs of the run; a sum that nothing was measured of is left out."""
        legs = [*self.events.get("pause", []), *self.events.get("end", [])]
        sums = {k: [float(e[k]) for e in legs if e.get(k)] for k in ("energy_kwh", "co2_kg", "seconds")}
        return {k: sum(values) for k, values in sums.items() if values}

    def tables(self) -> dict[str, dict[str, Estimate]]:
        """The last metrics recorded under each name."""
        return {
            str(e.get("name", "metrics")): {m: Estimate.from_json(v) for m, v in e.get("values", {}).items()}
            for e in self.events.get("metrics", [])
        }


def of_kind(runs: Sequence[Recorded], kind: str) -> tuple[list[tuple[Recorded, Event]], bool]:
    """All events of a kind with their run, and whether they come from more than one."""
    found = [(r, e) for r in runs for e in r.events.get(kind, [])]
    return found, len({r.name for r, _ in found}) > 1


def losses(events: Sequence[Event]) -> dict[str, Band]:
    """Losses by name; of a step that was repeated after a resumption the later value counts."""
    points: dict[str, dict[float, float]] = defaultdict(dict)
    for i, e in enumerate(events):
        losses = e["loss"] if isinstance(e["loss"], Mapping) else {"loss": e["loss"]}
        for name, value in losses.items():
            if value is not None:
                points[name][float(e.get("step", i))] = float(value)
    return {name: Band(*(np.array(sorted(p.items()), dtype=np.float64).T)) for name, p in points.items()}


def band(x: Sequence[float], series: Any) -> Band:
    """A line from a list of values, or from {"value", "low", "high"}; null leaves a gap."""
    if isinstance(series, Mapping):
        low, high = (_numbers(series[k]) if series.get(k) else None for k in ("low", "high"))
        return Band(_numbers(x), _numbers(series["value"]), low, high)
    return Band(_numbers(x), _numbers(series))


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
