"""What a batch system says of jobs that it was given: they wait, and for what, they run, or they are gone."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping

__all__ = ["Waiting", "asked", "read", "summary"]

SECONDS = 20
"""How long the batch system may take to answer."""

_SLURM_ENDED = frozenset({"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
                          "PREEMPTED", "REVOKED", "TIMEOUT"})  # fmt: skip
_CONDOR = {"1": "idle", "2": "", "3": None, "4": None, "5": "held", "6": "", "7": "suspended"}
"""HTCondor's numbers of states, in words for those that wait; None for those that are over."""

Waiting = Mapping[str, str]
"""{job: why it waits}, empty text for one that runs. A job that is over is not in it."""


def asked(on: str, jobs: Collection[str]) -> Waiting | None:
    """Ask the batch system about jobs.

    Args:
        on: `slurm` or `htcondor`.
        jobs: Their numbers, as the batch system gave them.

    Returns:
        What it says; None if it cannot be asked, so that nothing is known.
    """
    if not jobs:
        return {}
    if on == "slurm":
        command = ["squeue", "--noheader", f"--jobs={','.join(jobs)}", "--format=%i|%T|%r"]
    else:
        columns = (("%d|", "JobStatus"), ("%s", "HoldReason"), ("|%d.", "ClusterId"), (r"%d\n", "ProcId"))
        command = ["condor_q", *jobs, *(word for column in columns for word in ("-format", *column))]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # Slurm forgets jobs minutes after their end, and then calls the number of a single one invalid.
    if answer.returncode and "Invalid job id" not in answer.stderr:
        return None
    return read(on, answer.stdout)


def read(on: str, text: str) -> Waiting:
    r"""The answer of a batch system: `number|state|reason` of Slurm, `state|reason|number` of HTCondor, a line a job.

    Example:
        >>> read("slurm", "12|PENDING|Resources\n13|RUNNING|None\n14|COMPLETED|None\n")
        {'12': 'Resources', '13': ''}
        >>> read("htcondor", "5|no disk left|7.0\n2||8.0\n4||9.0\n")
        {'7.0': 'held: no disk left', '8.0': ''}
    """
    out = {}
    for row in text.splitlines():
        columns = [part.strip() for part in row.split("|")]
        if on == "slurm" and len(columns) == 3 and columns[1] not in _SLURM_ENDED:
            number, state, reason = columns
            out[number] = (reason or state.lower()) if state == "PENDING" else ""
        elif on == "htcondor" and len(columns) >= 3 and (why := _CONDOR.get(columns[0])) is not None:
            reason = " ".join(columns[1:-1])
            out[columns[-1]] = f"{why}: {reason}" if why and reason else why
    return out


def summary(states: Waiting, jobs: int) -> str:
    """What a user should know of jobs none of which has answered yet; empty if all run.

    Example:
        >>> summary({"12": "Resources", "13": "", "14": "Priority"}, 3)
        '2 of 3 jobs wait in the queue (Priority, Resources)'
    """
    reasons = [why for why in states.values() if why]
    return f"{len(reasons)} of {jobs} jobs wait in the queue ({', '.join(sorted(set(reasons)))})" if reasons else ""
