"""Starting a training elsewhere: on several processes, by Slurm, by HTCondor. A launcher turns jobs into a `Plan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lpm.train.launch.command import Job, LaunchConfig, Plan, carry_out, here, several
from lpm.train.launch.htcondor import htcondor
from lpm.train.launch.options import check
from lpm.train.launch.slurm import slurm

__all__ = ["LAUNCHERS", "Job", "LaunchConfig", "Plan", "carry_out", "check"]

LAUNCHERS: dict[str, Callable[[Sequence[Job], LaunchConfig], Plan]] = {
    "local": here,
    "torchrun": several,
    "slurm": slurm,
    "htcondor": htcondor,
}
"""All launchers by name."""
