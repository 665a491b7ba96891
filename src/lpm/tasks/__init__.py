"""Physics questions: which observables a kind of data needs, and how answers are measured."""

from __future__ import annotations

from lpm.tasks import calorimeter, fine, flash, four_tops, jets, origin, pid, tau
from lpm.tasks.base import Task

__all__ = ["TASKS", "Task"]

TASKS: dict[str, Task] = {
    t.name: t
    for t in (
        jets.TOP,
        jets.QUARK_GLUON,
        jets.CLASSES,
        fine.FINE_TASK,
        jets.GENERATION,
        origin.ORIGIN,
        tau.TAU,
        four_tops.SIGNAL_AGAINST_REST,
        pid.PID,
        calorimeter.CALORIMETER,
        flash.FLASH,
    )
}
"""All tasks by name."""
