"""A real Slurm on one node: a training is asked to stop before its limit, is queued again twice, and ends as if nothing
had happened.

Needs the programs of Debian's `slurm-wlm` and `munge`, and root, as which the daemons run here without systemd.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "sinfo")
LPM = [sys.executable, "-m", "lpm.cli", "train"]
STEPS = 200
RECIPE = ["jets.base", "--tiny", "--data", "sample:jets", "--seed", "5"]
RECIPE += ["--device", "cpu"]
for _field in (f"steps={STEPS}", "log_every=1", "valid_every=0", "save_every=0"):
    RECIPE += ["--set", f"train.{_field}"]
RECIPE += ["--set", "data.limit=0", "--set", "data.budget=2000"]

CONF = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=120
MailProg=/bin/true
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
CommunicationParameters=NoInAddrAny
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def wait(what: Callable[[], object], seconds: float, why: Callable[[], str] = lambda: "") -> None:
    """Until something is true; fails after some time, saying why."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, why()
        time.sleep(0.2)


def ask(*words: str) -> str:
    return subprocess.run(words, check=False, capture_output=True, text=True).stdout


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Slurm of one node and two cores, gone afterwards."""
    absent = [p for p in PROGRAMS if shutil.which(p) is None]
    if absent:
        pytest.skip(f"no {', '.join(absent)} here: apt-get install slurm-wlm munge")
    if os.geteuid():
        pytest.skip("the daemons of Slurm need root")
    folder = tmp_path / "slurm"
    (folder / "state").mkdir(parents=True)
    (folder / "spool").mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o400)
    key.write_bytes(os.urandom(1024))
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    host = socket.gethostname().partition(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=host, folder=folder, ports=ports))
    monkeypatch.setenv("SLURM_CONF", str(conf))
    munge = [f"--{n}={folder}/munge.{n.partition('-')[0]}" for n in ("key-file", "socket", "pid-file", "seed-file")]
    commands = [
        ["munged", "--force", "--foreground", *munge],
        ["slurmctld", "-D", "-f", str(conf)],
        ["slurmd", "-D", "-f", str(conf)],
    ]
    daemons = []
    try:
        for command in commands:
            with (folder / f"{command[0]}.log").open("w") as log:
                daemons.append(subprocess.Popen(command, stdout=log, stderr=log))
            if command[0] == "munged":
                wait((folder / "munge.socket").exists, 30)
        logs = "".join
        wait(lambda: "idle" in ask("sinfo", "-h", "-o", "%T"), 90,
             lambda: logs(p.read_text()[-2000:] for p in folder.glob("*.log")))  # fmt: skip
        yield folder
    finally:
        for job in ask("squeue", "-h", "-o", "%i").split() if len(daemons) == len(commands) else []:
            ask("scancel", "--full", "--signal=KILL", job)
            ask("scancel", job)
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def steps(folder: Path) -> list[dict[str, object]]:
    record = folder / "run.jsonl"
    events = [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []
    return [e for e in events if e["event"] == "step"]


def curve(folder: Path) -> list[tuple[object, object]]:
    return [(e["step"], e["loss"]) for e in steps(folder)]


@pytest.mark.slow
def test_queued_again_twice_it_ends_as_if_nothing_had_happened(slurm: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    two = ["--ranks", "2", "--quiet"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    said = subprocess.run([*LPM, *RECIPE, "--out", str(cut), "--launch", "slurm", "--time", "01:00:00", *two],
                          env=environment, check=True, capture_output=True, text=True)  # fmt: skip
    job = said.stdout.split()[-1]

    def log() -> str:
        text = "".join(p.read_text() for p in cut.glob("job-*.log"))
        return ask("scontrol", "show", "job", job) + text[-4000:]

    def restarts() -> int:
        return int(ask("scontrol", "show", "job", job).partition("Restarts=")[2].split()[0])

    try:
        wait(lambda: len(steps(cut)) >= 10, 300, log)
        assert ask("scancel", "--batch", "--signal=USR1", job) == ""  # what Slurm does before the time limit
        wait(lambda: restarts() == 1, 200, log)
        reached = len(steps(cut))
        assert 10 <= reached < STEPS, log()
        wait(lambda: len(steps(cut)) >= reached + 10, 300, log)
        ask("scontrol", "requeue", job)  # what an operator does, and pre-emption
        wait(lambda: restarts() == 2, 200, log)
        assert len(steps(cut)) < STEPS
        wait((cut / "weights.safetensors").exists, 400, log)
        wait(lambda: "COMPLETED" in ask("scontrol", "show", "job", job), 100, log)
    finally:
        ask("scancel", job)
    starts = [json.loads(line) for line in (cut / "run.jsonl").read_text().splitlines()]
    assert [(s["resumed"], s["ranks"]) for s in starts if s["event"] == "start"] == [(False, 2), (True, 2), (True, 2)]
    subprocess.run([*LPM, *RECIPE, "--out", str(whole), "--launch", "torchrun", *two], env=environment, check=True)
    assert [step for step, _ in curve(cut)] == list(range(1, STEPS + 1))
    assert curve(cut) == curve(whole)
