"""Launcher `htcondor`: a submit description a training, and for several trainings a DAG with one node each.

The run folder lies on a file system that all machines share. A job that is vacated, or whose time is nearly over, gets
SIGTERM: the training saves its state and leaves with 130, and the job waits in the queue for its next start, which
resumes. So it does after 75, if one of several processes ran out of memory. Any other failure holds the job with the
reason; `condor_release` starts it again.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from lpm.train.launch.command import INTERRUPTED, RESTART, Job, LaunchConfig, Plan, processes

__all__ = ["dag", "description", "htcondor", "script"]


def htcondor(jobs: Sequence[Job], config: LaunchConfig) -> Plan:
    """Write `job.sh` and `job.sub` into the folder of each job; one is submitted alone, several as a DAG beside them.

    Raises:
        ValueError: If several machines are asked for, or a folder has a space in its name.
    """
    if config.nodes > 1:
        raise ValueError("--launch htcondor: one machine a job; ask for more --ranks, or use slurm for several nodes")
    for job in jobs:
        if any(c.isspace() for c in str(job.folder)):
            raise ValueError(f"{job.folder}: HTCondor needs a folder without spaces in its name")
    files: dict[Path, str] = {}
    for job in jobs:
        files[job.folder / "job.sh"] = script(job, config)
        files[job.folder / "job.sub"] = description(job, config)
    if len(jobs) == 1:
        return Plan((("condor_submit", str(jobs[0].folder / "job.sub")),), files)
    path = jobs[0].folder.parent / "sweep.dag"
    return Plan((("condor_submit_dag", str(path)),), {**files, path: dag(jobs)})


def script(job: Job, config: LaunchConfig) -> str:
    """Text of what the machine runs; its argument is the number of the job, by which it knows its first start."""
    command = shlex.join(processes(job.words, config))
    if config.seconds:
        limit = f"timeout --preserve-status --kill-after={config.lead} {config.seconds - config.lead}"
        command = f"{limit} {command}"
    started, recipe = (shlex.quote(str(job.folder / name)) for name in (".started-", "recipe.json"))
    return f"""#!/bin/bash
export OMP_NUM_THREADS={config.cpus}
training=({command})
# The same job is started again after it was vacated: then the training goes on.
if [ -e {started}"$1" ] && [ -e {recipe} ]; then
  training+=(--resume)
fi
touch {started}"$1"
exec "${{training[@]}}"
"""


def description(job: Job, config: LaunchConfig) -> str:
    """Text of the submit description of one job."""
    f = job.folder
    again = f"ExitBySignal == false && (ExitCode == {INTERRUPTED} || ExitCode == {RESTART})"
    commands: dict[str, object] = {
        "universe": "vanilla",
        "batch_name": f.name,
        "executable": f / "job.sh",
        "arguments": "$(ClusterId)",
        "output": f / "job.out",
        "error": f / "job.err",
        "log": f / "job.log",
        "should_transfer_files": "NO",
        "transfer_executable": "False",
        "stream_output": "True",
        "request_cpus": config.cpus * config.each,
        "request_memory": config.memory,
        "request_gpus": config.gpus or "",
        "accounting_group": config.account,
        "allowed_execute_duration": config.seconds or "",
        "+MaxRuntime": config.seconds or "",
        "+JobFlavour": f'"{config.partition}"' if config.partition else "",
        "kill_sig": "SIGTERM",
        "job_max_vacate_time": config.lead,
        "on_exit_remove": f"({again}) == false",
        "on_exit_hold": f"(ExitBySignal || ExitCode != 0) && ({again}) == false",
        "on_exit_hold_reason": f'"the training failed, see {f / "job.err"}"',
    }
    lines = [f"{name} = {value}" for name, value in commands.items() if value != ""]
    return "\n".join([*lines, *config.extra, "queue"]) + "\n"


def dag(jobs: Sequence[Job]) -> str:
    """Text of a DAG whose nodes are independent of each other: DAGMan limits how many wait at once, and reports."""
    nodes = [f"JOB run{i} {job.folder / 'job.sub'}" for i, job in enumerate(jobs)]
    return "\n".join([f"# {len(jobs)} trainings, one folder each", *nodes]) + "\n"
