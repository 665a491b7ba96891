"""Crews of Dask workers: on this machine, as jobs of Slurm or HTCondor, or those of a running scheduler.

The scheduler of a cluster that is started here lives in this process and ends with it. It and its workers speak TLS
with keys made for the occasion, since whoever can talk to a Dask scheduler can run code as its owner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lpm.data.farm.crew import Crew, Farm
from lpm.data.farm.queue import asked, summary

if TYPE_CHECKING:
    from distributed import Client, Security

__all__ = ["DaskCrew", "open_cluster", "script"]

R = TypeVar("R")

Configured = Callable[[str, Any], Any]
"""What the site's own configuration says of an option, or the other thing."""

LEAD = 60
"""Seconds before its time limit at which a worker takes no more pieces and leaves."""

PULSE = 15.0
"""Seconds without an answer after which lost jobs are replaced."""

PATIENCE = 20
"""How often in a row lost jobs may fail to be replaced before the cluster is given up."""

TIMEOUT = "20s"
"""How long a running scheduler may take to answer."""

INSTALL = "install it: pip install 'lpm[cluster]'"


class DaskCrew:
    """The workers behind a scheduler.

    Args:
        connect: Makes a client of the scheduler.
        room: How many calls may be with them.
        refill: Submits jobs in place of those that ended.
    """

    here = False
    shared_fate = False
    pulse: float | None = PULSE

    def __init__(self, connect: Callable[[], Client], room: int, refill: Callable[[], None] = lambda: None) -> None:
        self.room = room
        self._connect, self._refill, self._refused = connect, refill, 0
        self._client = connect()
        self._pool = self._client.get_executor(pure=False)

    def submit(self, call: Callable[..., R], /, *args: Any) -> Future[R]:
        """Hand a call to the scheduler."""
        future: Future[R] = self._pool.submit(call, *args)
        return future

    def mend(self) -> None:
        """Connect again if the scheduler was lost; have jobs that ended replaced."""
        if self._client.status != "running":
            self.close()
            self._client = self._connect()
            self._pool = self._client.get_executor(pure=False)
        try:
            self._refill()
            self._refused = 0
        except ValueError:
            self._refused += 1
            if self._refused >= PATIENCE:
                raise

    def close(self) -> None:
        """Take back what is not done, and leave."""
        self._pool.shutdown(wait=False)
        self._client.close()


@contextmanager
def open_cluster(farm: Farm, folder: Path, tell: Callable[[str], None]) -> Iterator[Crew]:
    """A crew of Dask workers, sent home at the end.

    Args:
        farm: Where.
        folder: For keys and logs.
        tell: Called with a line when what the jobs wait for changes.

    Raises:
        ValueError: If a package is missing, no scheduler answers, or jobs cannot be submitted.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ValueError(f"--on {farm.on} needs distributed; {INSTALL}") from error
    room = farm.workers * farm.ahead
    with ExitStack() as stack:
        # Workers come and go; what matters reaches the user as failures of pieces.
        for name in ("asyncio", "distributed", "tornado"):
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
        if farm.running:
            crew = DaskCrew(lambda: _client(farm.on), room)
        elif farm.on == "dask":
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=farm.workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    protocol="tls://",
                    security=True,
                    dashboard_address=None,
                    memory_limit=0,
                )
            )
            crew = DaskCrew(lambda: Client(cluster), room)
        else:
            jobs, refill = stack.enter_context(_jobs(farm, folder, tell))
            crew = DaskCrew(lambda: Client(jobs), room, refill)
        stack.callback(crew.close)
        yield crew


def _client(address: str) -> Client:
    from distributed import Client

    try:
        return Client(address, timeout=TIMEOUT)
    except (OSError, TimeoutError) as error:
        raise ValueError(f"{address}: no Dask scheduler answers there; start one, or check host and port") from error


@contextmanager
def _jobs(farm: Farm, folder: Path, tell: Callable[[str], None]) -> Iterator[tuple[Any, Callable[[], None]]]:
    """A cluster each of whose workers is a job, and what brings it back to its number of jobs."""
    jobqueue = _jobqueue(farm)
    cluster_class = jobqueue.SLURMCluster if farm.on == "slurm" else jobqueue.HTCondorCluster
    options = _options(farm, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _keys(folder) as security:
        options = {**options, "security": security, "protocol": "tls://"}
        # The dashboard would listen to everybody.
        cluster = cluster_class(**options, scheduler_options={"dashboard_address": None, "dashboard": False})
        with cluster:
            jobs = _Jobs(cluster, farm, folder, tell)
            jobs.refill()
            yield cluster, jobs.refill


class _Jobs:
    """The jobs of a cluster: submitted, looked after, submitted again."""

    def __init__(self, cluster: Any, farm: Farm, folder: Path, tell: Callable[[str], None]) -> None:
        self.cluster, self.farm, self.folder, self.tell = cluster, farm, folder, tell
        self.said = ""

    def refill(self) -> None:
        """Submit jobs in place of those that ended.

        Raises:
            ValueError: If the batch system takes none, or jobs end before any worker has connected.
        """
        gone = self._look()
        try:
            self.cluster.sync(self._scaled, gone)
        except (RuntimeError, OSError, AssertionError) as error:
            raise ValueError(f"--on {self.farm.on}: cannot submit a job: {_said(error)}") from error
        if gone and not self.cluster.observed:
            raise ValueError(f"--on {self.farm.on}: jobs end before their workers connect; see {self.folder}/worker-*")

    def _look(self) -> list[str]:
        """Workers that never connected and whose jobs are over; says what the other jobs wait for."""
        silent = {n: str(job.job_id) for n, job in self.cluster.workers.items() if n not in self.cluster.observed}
        states = asked(self.farm.on, silent.values())
        if states is None:
            return []
        if (said := summary(states, self.farm.workers)) != self.said:
            self.said = said
            if said:
                self.tell(f"--on {self.farm.on}: {said}")
        return [n for n, number in silent.items() if number not in states]

    async def _scaled(self, gone: list[str]) -> None:
        # In one go: an error of the submission comes back here rather than into a log.
        from distributed.core import Status

        for name in gone:
            self.cluster.workers.pop(name).status = Status.failed  # another is submitted in its place
        self.cluster.scale(jobs=self.farm.workers)
        try:
            await self.cluster
        except Exception:
            for name in [n for n, job in self.cluster.workers.items() if job.status == Status.created]:
                self.cluster.workers.pop(name).status = Status.failed
            raise


def _said(error: Exception) -> str:
    """What the batch system said: the last line of its answer."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _jobqueue(farm: Farm) -> Any:
    try:
        import dask_jobqueue
    except ImportError as error:
        raise ValueError(f"--on {farm.on} needs dask-jobqueue; {INSTALL}") from error
    return dask_jobqueue


def script(farm: Farm, folder: Path) -> str:
    """Text of the job of a worker, as dask-jobqueue writes it; the address of the scheduler is filled in later.

    Raises:
        ValueError: If dask-jobqueue is missing, or a name has a space in it.
    """
    jobqueue = _jobqueue(farm)
    cluster_class = jobqueue.SLURMCluster if farm.on == "slurm" else jobqueue.HTCondorCluster
    job = cluster_class.job_cls(
        "tls://SCHEDULER:PORT", name="NAME", protocol="tls://", security=_security(folder), **_options(farm, folder)
    )
    text: str = job.job_script()
    return text


def _options(farm: Farm, folder: Path) -> dict[str, Any]:
    """What dask-jobqueue is told; the rest comes from its own configuration of the site.

    Raises:
        ValueError: If a name has a space in it, which dask-jobqueue does not quote, or an extra line is no command.
    """
    import dask

    for place in (folder, farm.python):
        if any(c.isspace() for c in str(place)):
            raise ValueError(f"--on {farm.on}: {place}: jobs need a place without spaces in its name")

    def configured(name: str, otherwise: Any) -> Any:
        return dask.config.get(f"jobqueue.{farm.on}.{name}", None) or otherwise

    lifetime = ["--lifetime", f"{farm.seconds - LEAD}s", "--lifetime-stagger", f"{LEAD // 2}s"] if farm.seconds else []
    options: dict[str, Any] = {
        "cores": 1,
        "processes": 1,
        "memory": farm.memory or configured("memory", "2G"),
        "python": farm.python,
        "job_name": "lpm",
        "worker_extra_args": [*configured("worker-extra-args", []), "--no-dashboard", *lifetime],
    }
    return options | (_slurm if farm.on == "slurm" else _htcondor)(farm, folder, configured)


def _slurm(farm: Farm, folder: Path, configured: Configured) -> dict[str, Any]:
    """What is Slurm's own among the options."""
    directives = [line.removeprefix("#SBATCH ") for line in farm.extra if line.startswith("#SBATCH ")]
    asked = {"queue": farm.partition, "account": farm.account, "walltime": farm.time}
    return {
        **{name: value for name, value in asked.items() if value},
        "job_extra_directives": [
            *configured("job-extra-directives", []),
            f"-o {folder}/worker-%j.log",
            f"-e {folder}/worker-%j.log",
            *directives,
        ],
        "job_script_prologue": [
            *configured("job-script-prologue", []),
            *(line for line in farm.extra if not line.startswith("#SBATCH ")),
        ],
    }


def _htcondor(farm: Farm, folder: Path, configured: Configured) -> dict[str, Any]:
    """What is HTCondor's own among the options.

    Raises:
        ValueError: If an extra line is no command of a submit description.
    """
    commands = {
        "Output": f"{folder}/worker-$(ClusterId).out",
        "Error": f"{folder}/worker-$(ClusterId).err",
        "Log": f"{folder}/worker-$(ClusterId).log",
        "should_transfer_files": "NO",
        "allowed_execute_duration": farm.seconds,
        "+MaxRuntime": farm.seconds,
        "+JobFlavour": farm.partition and f'"{farm.partition}"',
        "accounting_group": farm.account,
    }
    for line in farm.extra:
        name, equal, value = (part.strip() for part in line.partition("="))
        if not equal:
            raise ValueError(f"--extra {line!r}: HTCondor expects NAME = VALUE")
        commands[name] = value
    return {
        "disk": configured("disk", "1G"),
        "job_extra_directives": {
            **dict(configured("job-extra-directives", {})),
            **{name: value for name, value in commands.items() if value},
        },
    }


def _security(folder: Path) -> Security:
    """Names of the keys of a cluster in a folder that all machines share."""
    from distributed import Security

    roles = ("client", "scheduler", "worker")
    names = {f"tls_{role}_{part}": str(folder / f"{part}.pem") for role in roles for part in ("cert", "key")}
    return Security(require_encryption=True, tls_ca_file=str(folder / "cert.pem"), **names)


@contextmanager
def _keys(folder: Path) -> Iterator[Security]:
    """Keys for one cluster, readable by their owner only, gone afterwards."""
    from distributed import Security

    fresh = Security.temporary().get_tls_config_for_role("worker")
    paths = [folder / f"{part}.pem" for part in ("cert", "key")]
    try:
        for path in paths:
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(fresh[path.stem], encoding="utf-8")
        yield _security(folder)
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
