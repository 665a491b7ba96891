"""Which events are fit for use: finite numbers, no negative energies, no jets of nothing.

NaN alone is no fault: it stands for "not measured". A particle without a momentum is one, though, and so is an infinite
number anywhere. Values outside a field's `low` and `high` are only odd, and are left to `lpm inspect` to count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lpm.data.batch import Batch

__all__ = ["Fault", "bad_events", "first_fault"]

_KINEMATIC = frozenset({"pt", "eta", "phi", "deta", "dphi", "energy", "px", "py", "pz"})
_POSITIVE = frozenset({"pt", "energy"})


@dataclass(frozen=True)
class Fault:
    """What is wrong with one event.

    Args:
        event: Index of the event in its batch.
        text: The field, its value and what was expected.
    """

    event: int
    text: str


def bad_events(batch: Batch) -> Tensor:
    """(B,) bool, True for events that cannot be used.

    Example:
        >>> from lpm.data.fields import jets_schema
        >>> s = jets_schema(["pt"], ["pt"])
        >>> columns = {"particle.pt": torch.tensor([1.0, -1.0]), "jet.pt": torch.tensor([1.0, 2.0, 3.0])}
        >>> bad_events(Batch.build(s, columns, {"particle": torch.tensor([1, 1, 0])})).tolist()
        [False, True, True]
    """
    bad = torch.zeros(len(batch), dtype=torch.bool)
    for c in batch.schema.collections:
        r = batch.collections[c.name]
        wrong = _wrong(batch, c.name)
        if bool(wrong.any()):
            bad[r.event[wrong.any(1)]] = True
    if main := _required(batch):
        bad |= batch.collections[main].lengths == 0
    return bad


def first_fault(batch: Batch) -> Fault | None:
    """The first event that cannot be used, with the reason, or None."""
    bad = bad_events(batch)
    if not bool(bad.any()):
        return None
    event = int(bad.nonzero()[0])
    one = batch[event : event + 1]
    for c in one.schema.collections:
        wrong = _wrong(one, c.name).nonzero()
        if len(wrong):
            row, column = wrong[0].tolist()
            f, value = c.fields[column], float(one.collections[c.name].values[row, column])
            unit = "" if f.unit == "1" else f" {f.unit}"
            want = "a finite number ≥ 0" if f.name in _POSITIVE else "a finite number"
            where = f"{c.name}.{f.name}" + ("" if c.single else f"[{row}]")
            return Fault(event, f"{where} is {value:g}{unit}, expected {want}")
    return Fault(event, f"no {_required(batch)} in it")


def _wrong(batch: Batch, name: str) -> Tensor:
    """(N, F) bool, True for values that make an event unusable."""
    c, values = batch.schema[name], batch.collections[name].values
    wrong = values.isinf()
    for i, f in enumerate(c.fields):
        # Truth may be unknown, and of an event as a whole some things are not measured. But each row is there because
        # something was seen somewhere.
        if f.name in _KINEMATIC and not f.truth and not c.single:
            wrong[:, i] |= values[:, i].isnan()
        if f.name in _POSITIVE:
            wrong[:, i] |= values[:, i] < 0
    return wrong


def _required(batch: Batch) -> str:
    """The collection that may not be empty: the constituents of a jet."""
    return "particle" if batch.schema.name == "jets" and "particle" in batch.schema.names else ""
