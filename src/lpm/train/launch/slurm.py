"""Launcher `slurm`: one batch script a training, which saves before its time is over and goes on when started again.

Slurm runs the same script again after `scontrol requeue`, after pre-emption with requeue, and after the failure of a
node, and counts in `SLURM_RESTART_COUNT`. The script adds `--resume` then, if the run had begun. Of signals, USR1 means
that the time limit is near: save, leave with 130, queue again. TERM comes with `scancel`, pre-emption and requeue: save
and leave; what happens next is for Slurm to decide. A training that leaves with 75, since one of several processes ran
out of memory, is queued again too; one that fails in any other way never is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from lpm.train.launch.command import INTERRUPTED, RESTART, Job, LaunchConfig, Plan, processes

__all__ = ["script", "slurm"]

PATIENCE = 300
"""Seconds after the end of the first task of a step, well or not, in which the others may end by themselves."""

_HEAD = '"$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):$((20000 + SLURM_JOB_ID % 20000))"'

_REST = """
# Slurm starts this script again after a requeue or the failure of a node: then the training goes on.
if [ "${{SLURM_RESTART_COUNT:-0}}" -gt 0 ] && [ -e {recipe} ]; then
  training+=(--resume)
fi
near_limit=0
trap 'near_limit=1; scancel --signal=TERM "$SLURM_JOB_ID"' USR1
trap : TERM  # the training gets it too, and saves; this script waits for it
"${{training[@]}}" &
while kill -0 $! 2>/dev/null; do wait $!; done  # a signal ends `wait`, not the training
wait $!
code=$?
# It was asked to stop, and saved; or ran out of memory, and takes less at a time from its next start on.
if [ "$near_limit:$code" = 1:{interrupted} ] || [ "$code" = {restart} ]; then
  exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def slurm(jobs: Sequence[Job], config: LaunchConfig) -> Plan:
    """Write `job.sbatch` into the folder of each job and submit it with `sbatch`."""
    files = {job.folder / "job.sbatch": script(job, config) for job in jobs}
    submits = tuple(job.folder for job in jobs)
    return Plan(tuple(("sbatch", str(path)) for path in files), files, submits)


def script(job: Job, config: LaunchConfig) -> str:
    """Text of the batch script of one job."""
    options = {
        # A space would end the line's argument.
        "job-name": re.sub(r"[^\w.=+-]", "_", job.folder.name),
        "output": shlex.quote(str(job.folder / "job-%j.log")),
        "open-mode": "append",
        "nodes": config.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": config.cpus * config.each,
        "gpus-per-node": config.gpus or "",
        "mem": config.memory,
        "time": config.time,
        "partition": config.partition,
        "account": config.account,
        "signal": f"B:USR1@{config.lead}" if config.time else "",
    }
    lines = ["#!/bin/bash", *(f"#SBATCH --{name}={value}" for name, value in options.items() if value != "")]
    lines += ["#SBATCH --requeue", *config.extra, "", f"export OMP_NUM_THREADS={config.cpus}"]
    return "\n".join([*lines, f"training=({_training(job, config)})"]) + _REST.format(
        recipe=shlex.quote(str(job.folder / "recipe.json")), interrupted=INTERRUPTED, restart=RESTART
    )


def _training(job: Job, config: LaunchConfig) -> str:
    """`srun` starts one task a node, and each task the processes of its node.

    Its exit code is the largest of all tasks, in which that of a task which `srun` has killed would hide why the first
    one left. So the others get some time to leave by themselves: they notice at once that they are alone.
    """
    step = ["srun", "--kill-on-bad-exit=0", f"--wait={PATIENCE}", f"--cpus-per-task={config.cpus * config.each}"]
    if config.nodes == 1:
        return shlex.join([*step, *processes(job.words, config)])
    # What the shell fills in, whole words, since a path may hold anything. A restarted job must not meet what is left
    # of the one before.
    filled = {
        "--rdzv-id=@id": '--rdzv-id="$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}"',
        "--rdzv-endpoint=@head": f"--rdzv-endpoint={_HEAD}",
    }
    meeting = [f"--nnodes={config.nodes}", "--rdzv-backend=c10d", *filled]
    words = [*step, *processes(job.words, config, meeting)]
    return " ".join(filled.get(word) or shlex.quote(word) for word in words)
