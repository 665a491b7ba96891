"""What to run and where: the command of a training, and how one machine or several start it.

A launcher is a function of jobs and a `LaunchConfig` that returns a `Plan`: files to write, then commands to run. It
touches nothing, so that a dry run shows exactly what would happen. Nothing here imports torch.
"""

from __future__ import annotations

import itertools
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lpm.records.files import atomic_file
from lpm.records.time_limit import seconds_of

__all__ = ["INTERRUPTED", "RESTART", "Job", "Kind", "LaunchConfig", "Plan", "carry_out", "here", "processes", "several"]

Kind = Literal["local", "torchrun", "slurm", "htcondor"]

INTERRUPTED = 130
"""Exit code of a training that was asked to stop and saved its state."""

RESTART = 75
"""Exit code of a training that asks to be started again with `--resume` (EX_TEMPFAIL of sysexits.h)."""

RESTARTS = 8
"""Starts again at most: each one halves what a process takes at a time, and a 256th is little enough."""

SUBMITTED = ".submitted"
"""File in a run folder: it waits in the queue, while others of the same sweep could not be submitted yet."""


@dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """Where a training runs and what it asks for.

    Args:
        kind: Which launcher.
        nodes: Machines.
        ranks: Processes on each machine; 0 for one a GPU, or one.
        gpus: GPUs of each machine.
        cpus: Cores of each process.
        memory: Memory of each machine, such as `16G`; empty for the default of the cluster.
        time: Longest time of one start, as `[days-]hours:minutes:seconds`; empty for the default of the cluster.
        partition: Slurm partition, or HTCondor accounting flavour (`+JobFlavour`).
        account: Who is charged.
        lead: Seconds before the end of `time` at which the training is asked to save its state and leave.
        extra: Lines to add to what is submitted, such as `#SBATCH --constraint=a100`.
        rendezvous: `host:port` of the first machine; for `torchrun` on several machines.
        python: The interpreter; must be at the same place on all machines.

    Raises:
        ValueError: If a number or text makes no sense.
    """

    kind: Kind = "local"
    nodes: int = 1
    ranks: int = 0
    gpus: int = 0
    cpus: int = 1
    memory: str = ""
    time: str = ""
    partition: str = ""
    account: str = ""
    lead: int = 120
    extra: tuple[str, ...] = ()
    rendezvous: str = ""
    python: str = sys.executable

    def __post_init__(self) -> None:
        if min(self.nodes, self.cpus, self.lead) < 1 or min(self.ranks, self.gpus) < 0:
            raise ValueError(f"expected nodes, cpus, lead ≥ 1 and ranks, gpus ≥ 0, got {self}")
        if self.memory and not re.fullmatch(r"\d+[KMGT]", self.memory):
            raise ValueError(f"memory {self.memory!r}: expected a number and a unit, such as 16G")
        if any("\n" in text for text in (self.partition, self.account, self.rendezvous, *self.extra)):
            raise ValueError("partition, account, rendezvous and extra lines: expected one line each")
        if self.time and self.seconds <= self.lead:
            raise ValueError(f"time {self.time}: expected more than the {self.lead} s in which the state is saved")

    @property
    def seconds(self) -> int:
        """The time limit in seconds; 0 if there is none."""
        return seconds_of(self.time)

    @property
    def each(self) -> int:
        """Processes on each machine."""
        return self.ranks or self.gpus or 1


@dataclass(frozen=True)
class Job:
    """One training.

    Args:
        folder: Its run folder, absolute.
        words: What follows the interpreter: `-m`, a module, its arguments.
    """

    folder: Path
    words: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a launcher would do.

    Args:
        commands: Argument lists, to be run one after the other, from the present folder.
        files: {path: text} to be written before.
        submits: The run folder that each command submits; empty if a command is the run itself.
        restarts: How often a command that leaves with `RESTART` is run again, with `--resume`.
    """

    commands: tuple[tuple[str, ...], ...]
    files: Mapping[Path, str] = field(default_factory=dict)
    submits: tuple[Path, ...] = ()
    restarts: int = 0

    def __str__(self) -> str:
        """Files and commands as a dry run shows them."""
        files = [f"# {path}\n{text}" for path, text in self.files.items()]
        return "\n".join([*files, *(f"$ {shlex.join(c)}" for c in self.commands)])


def processes(words: Sequence[str], config: LaunchConfig, rendezvous: Sequence[str] = ("--standalone",)) -> list[str]:
    """Argument list that starts all processes of one machine: the command itself, or torchrun above several.

    Example:
        >>> c = LaunchConfig(python="python", ranks=2)
        >>> shlex.join(processes(["-m", "lpm.cli"], c))
        'python -m lpm.train.launch.ranks --standalone --nproc-per-node=2 -m lpm.cli'
    """
    if config.nodes * config.each == 1:
        return [config.python, *words]
    return [config.python, "-m", "lpm.train.launch.ranks", *rendezvous, f"--nproc-per-node={config.each}", *words]


def here(jobs: Sequence[Job], config: LaunchConfig) -> Plan:
    """Launcher `local`: one process on this machine, one job after the other.

    Raises:
        ValueError: If several processes are asked for.
    """
    if config.nodes * config.each > 1:
        raise ValueError("--launch local is one process; use --launch torchrun for several")
    return Plan(tuple(tuple(processes(job.words, config)) for job in jobs))


def several(jobs: Sequence[Job], config: LaunchConfig) -> Plan:
    """Launcher `torchrun`: several processes on this machine; on several, run the same command on each of them.

    On one machine a training that asks for another start gets it. Of several, each would have to: there all end.

    Raises:
        ValueError: If there are several machines and no rendezvous.
    """
    rendezvous, restarts = ["--standalone"], RESTARTS
    if config.nodes > 1:
        if not re.fullmatch(r"\S+:\d+", config.rendezvous):
            raise ValueError(f"rendezvous {config.rendezvous!r}: several nodes need HOST:PORT of the first of them")
        endpoint = f"--rdzv-endpoint={config.rendezvous}"
        rendezvous = [f"--nnodes={config.nodes}", "--rdzv-backend=c10d", "--rdzv-id=lpm", endpoint]
        restarts = 0
    return Plan(tuple(tuple(processes(job.words, config, rendezvous)) for job in jobs), restarts=restarts)


def carry_out(plan: Plan) -> int:
    """Write the files of a plan and run its commands, the next only if the one before did well.

    Of several submissions, those that were done before another one failed are not done again by the next call.

    Returns:
        The exit code of the last command that was run.

    Raises:
        ValueError: If a file cannot be written, or a command does not exist on this machine.
    """
    for path, text in plan.files.items():
        with atomic_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        if text.startswith("#!"):
            path.chmod(0o755)
    notes = [folder / SUBMITTED for folder in plan.submits]
    for command, note in itertools.zip_longest(plan.commands, notes):
        if note is not None and note.exists():
            sys.stderr.write(f"{note.parent}: was submitted before; delete {note} to submit it again\n")
            continue
        if code := _persist(command, plan.restarts):
            return code
        if note is not None:
            with atomic_file(note) as temporary:
                temporary.write_text("until all runs of the sweep are submitted\n", encoding="utf-8")
    for note in notes:
        note.unlink(missing_ok=True)
    return 0


def _persist(command: Sequence[str], restarts: int) -> int:
    """Run one command, and again with `--resume` while it asks for that."""
    code = _run(command)
    for number in range(1, restarts + 1):
        if code != RESTART:
            break
        sys.stderr.write(f"lpm: starting again with --resume, for the {number}. of at most {restarts} times\n")
        command = command if "--resume" in command else (*command, "--resume")
        code = _run(command)
    return code


def _run(command: Sequence[str]) -> int:
    """Run one command and wait for its end, also when interrupted: what it starts saves its state first."""
    try:
        process = subprocess.Popen(command)
    except FileNotFoundError as error:
        raise ValueError(f"{command[0]}: no such program here; submit from a machine that has it") from error
    # Ctrl-C reaches the whole group of the terminal; SIGTERM reaches this process alone.
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number)),
    }
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
