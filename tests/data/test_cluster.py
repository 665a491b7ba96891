"""Jobs of a cluster hold what was asked; workers behind any scheduler make the same files."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pieces as work
import pytest

from lpm.data.farm import Farm, Made, Piece, job_script, make, open_crew

pytest.importorskip("distributed", reason="needs the cluster extra")
pytest.importorskip("dask_jobqueue", reason="needs the cluster extra")

ASKED = {"workers": 3, "time": "02:00:00", "memory": "4G", "account": "atlas"}


def test_a_slurm_job_holds_what_was_asked(tmp_path: Path) -> None:
    farm = Farm(on="slurm", partition="long", extra=("#SBATCH --constraint=avx2", "module load gcc"), **ASKED)
    lines = job_script(farm, tmp_path / "shared").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    for line in (
        "#SBATCH -J lpm",
        "#SBATCH -p long",
        "#SBATCH -A atlas",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --mem=4G",
        "#SBATCH -t 02:00:00",
        f"#SBATCH -o {tmp_path}/shared/worker-%j.log",
        "#SBATCH --constraint=avx2",
        "module load gcc",
    ):
        assert line in lines
    worker = lines[-1]
    assert worker.startswith(f"{sys.executable} -m distributed.cli.dask_worker tls://SCHEDULER:PORT")
    assert "--nthreads 1" in worker
    assert "--lifetime 7140s" in worker
    assert f"--tls-key {tmp_path}/shared/key.pem" in worker
    assert list(tmp_path.iterdir()) == []


def test_an_htcondor_job_holds_what_was_asked(tmp_path: Path) -> None:
    farm = Farm(on="htcondor", partition="workday", extra=("Requirements = HasAVX2",), **ASKED)
    text = job_script(farm, tmp_path / "shared")
    for line in (
        "MY.DaskWorkerCores = 1",
        "MY.DaskWorkerMemory = 4000000000",
        "allowed_execute_duration = 7200",
        "+MaxRuntime = 7200",
        '+JobFlavour = "workday"',
        "accounting_group = atlas",
        "Requirements = HasAVX2",
        "should_transfer_files = NO",
        f"Error = {tmp_path}/shared/worker-$(ClusterId).err",
    ):
        assert line in text.splitlines()
    assert "--lifetime 7140s" in text
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="HTCondor expects NAME = VALUE"):
        job_script(Farm(on="htcondor", extra=("module load gcc",)), tmp_path)


def test_an_htcondor_job_is_well_formed(tmp_path: Path) -> None:
    htcondor = pytest.importorskip("htcondor2", reason="needs the cluster extra")
    text = job_script(Farm(on="htcondor", partition="workday", **ASKED), tmp_path)
    made = htcondor.Submit("\n".join(text.splitlines()[1:]))
    assert made["allowed_execute_duration"] == "7200"
    assert made["executable"] == "/bin/sh"


@pytest.mark.parametrize("on", ["slurm", "htcondor"])
def test_spaces_in_folders_are_refused_before_anything_is_made(on: str, tmp_path: Path) -> None:
    folder = tmp_path / "my jets" / ".farm"
    with pytest.raises(ValueError, match=rf"--on {on}: .*/my jets/\.farm: jobs need a place without spaces"):
        job_script(Farm(on=on), folder)
    with pytest.raises(ValueError, match="without spaces"), open_crew(Farm(on=on), folder):
        pass
    with pytest.raises(ValueError, match="/my python: jobs need"):
        job_script(Farm(on=on, python="/my python"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_places_have_no_job(tmp_path: Path) -> None:
    assert job_script(Farm(workers=4), tmp_path) == ""


def copies(folder: Path, n: int) -> list[Piece]:
    made = []
    for i in range(n):
        (folder / f"{i}.in").write_text(f"text {i}")
        made.append(Piece(f"{i}.in", folder / f"{i}.txt", f"k{i}", partial(work.copy, folder / f"{i}.in")))
    return made


def test_nobody_at_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lpm.data.farm import cluster

    monkeypatch.setattr(cluster, "TIMEOUT", "1s")
    with (
        pytest.raises(ValueError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler answers there"),
        open_crew(Farm(on="tcp://127.0.0.1:9"), tmp_path),
    ):
        pass


def test_no_batch_system_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(ValueError, match=r"--on slurm: cannot submit a job: .*sbatch"),
        open_crew(Farm(on="slurm"), tmp_path / "shared"),
    ):
        pass
    assert not list((tmp_path / "shared").glob("*.pem"))


@pytest.mark.slow
def test_a_running_scheduler(tmp_path: Path) -> None:
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        open_crew(Farm(on=cluster.scheduler_address), tmp_path) as crew,
    ):
        made = [m for _, m in make(copies(tmp_path, 3), crew)]
    assert made == [Made({"size": 6})] * 3


SBATCH = """#!/bin/bash
setsid bash "${{@: -1}}" > {folder}/job.log 2>&1 &
echo $! >> {folder}/jobs
echo "Submitted batch job $!"
"""

SCANCEL = """#!/bin/bash
kill -- -"${@: -1}" 2> /dev/null || true
"""


@pytest.mark.slow
def test_jobs_are_submitted_replaced_when_killed_and_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With programs that behave like those of Slurm and run the job at once."""
    programs(tmp_path, monkeypatch, sbatch=SBATCH, scancel=SCANCEL)
    jobs = tmp_path / "jobs"
    done = []
    with open_crew(Farm(on="slurm"), tmp_path / "shared") as crew:
        for _, made in make(copies(tmp_path, 6), crew):
            done.append(made)
            if len(done) == 1:
                os.killpg(int(jobs.read_text().split()[0]), signal.SIGKILL)
    assert all(isinstance(m, Made) for m in done)
    assert len(list(tmp_path.glob("*.txt"))) == 6
    assert not list((tmp_path / "shared").glob("*.pem"))


SQUEUE = """#!/bin/bash
state=RUNNING
[ -e {folder}/wait ] && state=PENDING
for job in $(tr , ' ' <<< "${{2#--jobs=}}"); do
  kill -0 "$job" 2> /dev/null && echo "$job|$state|Resources"
done
true
"""

FIRST_DIES = """#!/bin/bash
if [ ! -e {folder}/jobs ]; then sleep 0 & else setsid bash "${{@: -1}}" > {folder}/job.log 2>&1 & fi
echo $! >> {folder}/jobs
echo "Submitted batch job $!"
"""


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    (folder / "bin").mkdir()
    for name, text in texts.items():
        path = folder / "bin" / name
        path.write_text(text.format(folder=folder) if "{folder}" in text else text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(work.__file__).parent))


@pytest.mark.slow
def test_a_job_that_ends_before_its_worker_connects_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lpm.data.farm import cluster

    monkeypatch.setattr(cluster, "PULSE", 0.5)
    monkeypatch.setattr(cluster.DaskCrew, "pulse", 0.5)
    programs(tmp_path, monkeypatch, sbatch=FIRST_DIES, scancel=SCANCEL, squeue=SQUEUE)
    (tmp_path / "wait").touch()
    heard: list[str] = []
    with open_crew(Farm(on="slurm"), tmp_path / "shared", heard.append) as crew:
        made = [m for _, m in make(copies(tmp_path, 2), crew)]
    assert made == [Made({"size": 6})] * 2
    assert len((tmp_path / "jobs").read_text().split()) == 2
    assert heard[0] == "--on slurm: 1 of 1 jobs wait in the queue (Resources)"
