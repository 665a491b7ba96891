"""Who does the work: this process, local processes, or the workers of a Dask cluster (see `lpm.data.farm.cluster`)."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from lpm.records.time_limit import seconds_of

__all__ = ["Alone", "Crew", "Farm", "Processes", "job_script", "open_crew"]

R = TypeVar("R")

PLACES = ("local", "dask", "slurm", "htcondor")


@dataclass(frozen=True, kw_only=True)
class Farm:
    """Where pieces are made.

    Args:
        on: `local` (processes of this machine), `dask` (a Dask cluster on this machine), `slurm` or `htcondor` (each
            worker a job), or the address of a running Dask scheduler, such as `tcp://host:8786`.
        workers: Number of processes or jobs; for a running scheduler, how many of its workers to keep busy.
        ahead: Pieces handed over for each worker, so that none waits for the next.
        time: Longest time of a job, as `[days-]hours:minutes:seconds`; a job that ends is replaced.
        memory: Memory of a job, such as `4G`.
        partition: Slurm partition, or HTCondor flavour.
        account: Who is charged.
        extra: Lines to add to a job, such as `#SBATCH --constraint=avx2` or `module load gcc`.
        python: The interpreter; must be at the same place on all machines.

    Raises:
        ValueError: If a number or text makes no sense.
    """

    on: str = "local"
    workers: int = 1
    ahead: int = 2
    time: str = ""
    memory: str = ""
    partition: str = ""
    account: str = ""
    extra: tuple[str, ...] = ()
    python: str = sys.executable

    def __post_init__(self) -> None:
        if self.on not in PLACES and not self.running:
            raise ValueError(f"--on {self.on}: expected one of {', '.join(PLACES)}, or tcp://HOST:PORT of a scheduler")
        if self.workers < 1:
            raise ValueError(f"workers: expected at least 1, got {self.workers}")
        if self.ahead < 1:
            raise ValueError(f"ahead: expected at least 1, got {self.ahead}")
        if self.memory and not re.fullmatch(r"\d+[KMGT]", self.memory):
            raise ValueError(f"memory {self.memory!r}: expected a number and a unit, such as 4G")
        if any("\n" in text for text in (self.partition, self.account, *self.extra)):
            raise ValueError("partition, account and extra lines: expected one line each")
        if self.seconds and self.seconds < 180:
            raise ValueError(f"time {self.time}: expected at least 3 minutes, a worker needs one to leave in order")
        asked = [n for n in ("time", "memory", "partition", "account", "extra") if getattr(self, n)]
        if asked and self.on not in ("slurm", "htcondor"):
            raise ValueError(f"--{asked[0]}: is for --on slurm and --on htcondor, not for {self.on}")

    @property
    def running(self) -> bool:
        """Whether `on` is the address of a running scheduler."""
        return re.fullmatch(r"(tcp|tls|ucx|ws|wss)://\S+", self.on) is not None

    @property
    def seconds(self) -> int:
        """The time limit in seconds; 0 if there is none."""
        return seconds_of(self.time)


class Crew(Protocol):
    """Who can be handed calls.

    Attributes:
        here: Whether calls run in this very process.
        room: How many calls it takes at a time.
        shared_fate: Whether one worker that dies takes the calls of all others along.
        pulse: Seconds without an answer after which it is looked after; None for never.
    """

    here: bool
    room: int
    shared_fate: bool
    pulse: float | None

    def submit(self, call: Callable[..., R], /, *args: Any) -> Future[R]:
        """Hand a call over."""

    def mend(self) -> None:
        """Bring it back to strength after something was lost; does nothing if all is well."""


class Alone:
    """This process, one call after the other."""

    here = True
    room = 1
    shared_fate = False
    pulse: float | None = None

    def submit(self, call: Callable[..., R], /, *args: Any) -> Future[R]:
        """Call at once."""
        future: Future[R] = Future()
        future.set_result(call(*args))
        return future

    def mend(self) -> None:
        """Nothing can be lost."""


class Processes:
    """Several processes of this machine.

    Args:
        workers: How many.
        room: How many calls may be with them.
    """

    here = False
    shared_fate = True
    pulse: float | None = None

    def __init__(self, workers: int, room: int) -> None:
        self.workers, self.room = workers, room
        self._pool = self._start()

    def submit(self, call: Callable[..., R], /, *args: Any) -> Future[R]:
        """Hand a call to the pool."""
        return self._pool.submit(call, *args)

    def mend(self) -> None:
        """A pool that lost a process is of no use: start another."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._start()

    def close(self, *, at_once: bool) -> None:
        """End the processes, those at work too if `at_once`."""
        if at_once:
            children = list((getattr(self._pool, "_processes", None) or {}).values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            for child in children:
                child.terminate()
        self._pool.shutdown()

    def _start(self) -> ProcessPoolExecutor:
        # Not forked: a copy of a process with threads may hang.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=context, initializer=_settle)


def _settle() -> None:
    # An interrupt from the terminal ends workers at once; the parent then cleans up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Before torch is imported: as many processes as cores leave one thread to each.
    os.environ["OMP_NUM_THREADS"] = "1"
    # A parent that is killed cleans nothing up: its workers would wait for calls for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def open_crew(farm: Farm, folder: Path, tell: Callable[[str], None] = lambda line: None) -> Iterator[Crew]:
    """The crew of a farm, sent home at the end.

    Args:
        farm: Where.
        folder: A folder that all machines share, for keys and logs of a cluster.
        tell: Called with a line when what jobs of a batch system wait for changes.

    Raises:
        ValueError: If a package or a scheduler is missing.
    """
    if farm.on != "local":
        from lpm.data.farm.cluster import open_cluster

        with open_cluster(farm, folder, tell) as crew:
            yield crew
    elif farm.workers == 1:
        yield Alone()
    else:
        processes = Processes(farm.workers, farm.workers * farm.ahead)
        try:
            yield processes
        except BaseException:
            processes.close(at_once=True)
            raise
        processes.close(at_once=False)


def job_script(farm: Farm, folder: Path) -> str:
    """What would be submitted for each worker; empty unless the farm is a batch system. Writes nothing.

    Raises:
        ValueError: If dask-jobqueue is missing.
    """
    if farm.on not in ("slurm", "htcondor"):
        return ""
    from lpm.data.farm.cluster import script

    return script(farm, folder)
