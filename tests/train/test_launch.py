"""Launchers: what they would write and run, to the letter; scripts that the shell and HTCondor understand."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lpm.train.launch import LAUNCHERS, Job, LaunchConfig, Plan, carry_out
from lpm.train.launch.htcondor import script as condor_script
from lpm.train.launch.slurm import script as slurm_script

WORDS = ("-m", "lpm.cli", "train", "jets.top", "--out", "/runs/top")
JOB = Job(Path("/runs/top"), WORDS)
TRAIN = "python -m lpm.cli train jets.top --out /runs/top"

SLURM = """#!/bin/bash
#SBATCH --job-name=top
#SBATCH --output=/runs/top/job-%j.log
#SBATCH --open-mode=append
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=4
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --partition=gpu
#SBATCH --account=atlas
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --constraint=a100

export OMP_NUM_THREADS=8
training=(srun --kill-on-bad-exit=0 --wait=300 --cpus-per-task=32 python -m lpm.train.launch.ranks --nnodes=2 \
--rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}" \
--rdzv-endpoint="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):$((20000 + SLURM_JOB_ID % 20000))" \
--nproc-per-node=4 -m lpm.cli train jets.top --out /runs/top)
# Slurm starts this script again after a requeue or the failure of a node: then the training goes on.
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] && [ -e /runs/top/recipe.json ]; then
  training+=(--resume)
fi
near_limit=0
trap 'near_limit=1; scancel --signal=TERM "$SLURM_JOB_ID"' USR1
trap : TERM  # the training gets it too, and saves; this script waits for it
"${training[@]}" &
while kill -0 $! 2>/dev/null; do wait $!; done  # a signal ends `wait`, not the training
wait $!
code=$?
# It was asked to stop, and saved; or ran out of memory, and takes less at a time from its next start on.
if [ "$near_limit:$code" = 1:130 ] || [ "$code" = 75 ]; then
  exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""

CONDOR_SUB = """universe = vanilla
batch_name = top
executable = /runs/top/job.sh
arguments = $(ClusterId)
output = /runs/top/job.out
error = /runs/top/job.err
log = /runs/top/job.log
should_transfer_files = NO
transfer_executable = False
stream_output = True
request_cpus = 2
request_memory = 16G
request_gpus = 2
accounting_group = atlas
allowed_execute_duration = 7200
+MaxRuntime = 7200
+JobFlavour = "workday"
kill_sig = SIGTERM
job_max_vacate_time = 120
on_exit_remove = (ExitBySignal == false && (ExitCode == 130 || ExitCode == 75)) == false
on_exit_hold = (ExitBySignal || ExitCode != 0) && \
(ExitBySignal == false && (ExitCode == 130 || ExitCode == 75)) == false
on_exit_hold_reason = "the training failed, see /runs/top/job.err"
queue
"""

CONDOR_SH = """#!/bin/bash
export OMP_NUM_THREADS=1
training=(timeout --preserve-status --kill-after=120 7080 python -m lpm.train.launch.ranks --standalone \
--nproc-per-node=2 -m lpm.cli train jets.top --out /runs/top)
# The same job is started again after it was vacated: then the training goes on.
if [ -e /runs/top/.started-"$1" ] && [ -e /runs/top/recipe.json ]; then
  training+=(--resume)
fi
touch /runs/top/.started-"$1"
exec "${training[@]}"
"""


def plan(*jobs: Job, **options: object) -> Plan:
    config = LaunchConfig(python="python", **options)  # type: ignore[arg-type]
    return LAUNCHERS[config.kind](jobs or (JOB,), config)


def test_local_is_the_command_itself() -> None:
    assert plan() == Plan((("python", *WORDS),))
    assert str(plan()) == f"$ {TRAIN}"
    with pytest.raises(ValueError, match="--launch torchrun"):
        plan(ranks=2)


def test_torchrun_on_one_machine_and_on_several() -> None:
    above = "python -m lpm.train.launch.ranks"
    command = shlex.join(plan(kind="torchrun", gpus=4).commands[0])
    assert command == f"{above} --standalone --nproc-per-node=4 -m {TRAIN.partition(' -m ')[2]}"
    command = shlex.join(plan(kind="torchrun", nodes=2, ranks=1, rendezvous="n1:29400").commands[0])
    meeting = "--nnodes=2 --rdzv-backend=c10d --rdzv-id=lpm --rdzv-endpoint=n1:29400"
    assert command == f"{above} {meeting} --nproc-per-node=1 -m {TRAIN.partition(' -m ')[2]}"
    with pytest.raises(ValueError, match="HOST:PORT"):
        plan(kind="torchrun", nodes=2)


def test_slurm_to_the_letter() -> None:
    made = plan(
        kind="slurm", nodes=2, gpus=4, cpus=8, memory="64G", time="12:00:00", partition="gpu", account="atlas",
        lead=300, extra=("#SBATCH --constraint=a100",),
    )  # fmt: skip
    assert made.files == {Path("/runs/top/job.sbatch"): SLURM}
    assert made.commands == (("sbatch", "/runs/top/job.sbatch"),)


def test_slurm_asks_for_nothing_that_was_not_asked_for() -> None:
    (text,) = plan(kind="slurm").files.values()
    for option in ("gpus", "mem", "time", "partition", "account", "signal"):
        assert f"--{option}" not in text.partition("\n\n")[0]
    assert f"training=(srun --kill-on-bad-exit=0 --wait=300 --cpus-per-task=1 {TRAIN})" in text


def test_slurm_takes_paths_with_anything_in_them() -> None:
    job = Job(Path("/runs/my @head run"), ("-m", "lpm.cli", "train", "--data", "/me@head/@id.parquet"))
    config = LaunchConfig(kind="slurm", nodes=2, python="/me@id/@head/python")
    text = slurm_script(job, config)
    assert "#SBATCH --job-name=my__head_run\n" in text
    assert " /me@id/@head/python -m lpm.train.launch.ranks --nnodes=2 " in text
    assert '--rdzv-id="$SLURM_JOB_ID-' in text
    assert '--rdzv-endpoint="$(scontrol show' in text
    assert "--data /me@head/@id.parquet)" in text


def test_htcondor_to_the_letter() -> None:
    made = plan(kind="htcondor", gpus=2, memory="16G", time="02:00:00", partition="workday", account="atlas")
    assert made.files == {Path("/runs/top/job.sh"): CONDOR_SH, Path("/runs/top/job.sub"): CONDOR_SUB}
    assert made.commands == (("condor_submit", "/runs/top/job.sub"),)


def test_htcondor_understands_the_description() -> None:
    htcondor2 = pytest.importorskip("htcondor2", reason="needs: pip install 'lpm[cluster]'")
    classad2 = pytest.importorskip("classad2")
    submit = htcondor2.Submit(CONDOR_SUB)
    assert submit["request_cpus"] == "2"
    assert submit["MY.JobFlavour"] == '"workday"'
    assert submit.expand("arguments").isdigit()  # $(ClusterId) is a number
    outcomes = {"done": (False, 0), "failed": (False, 1), "killed": (True, 0)}
    outcomes |= {"interrupted": (False, 130), "asks to be started again": (False, 75)}
    decided = {}
    for name, (signalled, code) in outcomes.items():
        ad = classad2.ClassAd({"ExitBySignal": signalled, "ExitCode": code})
        for command in ("on_exit_remove", "on_exit_hold"):
            ad[command] = classad2.ExprTree(submit[command])
        decided[name] = (ad.eval("on_exit_remove"), ad.eval("on_exit_hold"))
    again, hold = (False, False), (True, True)
    assert decided.pop("done") == (True, False)
    assert decided == {"failed": hold, "killed": hold, "interrupted": again, "asks to be started again": again}


def test_a_sweep_is_a_dag_with_a_node_a_run() -> None:
    jobs = [Job(Path(f"/runs/lr={x}"), ("-m", "lpm.cli", "train", "--out", f"/runs/lr={x}")) for x in (1, 2)]
    made = plan(*jobs, kind="htcondor")
    dag = made.files[Path("/runs/sweep.dag")]
    assert dag == "# 2 trainings, one folder each\nJOB run0 /runs/lr=1/job.sub\nJOB run1 /runs/lr=2/job.sub\n"
    assert made.commands == (("condor_submit_dag", "/runs/sweep.dag"),)
    assert len(made.files) == 5
    assert [c[1] for c in plan(*jobs, kind="slurm").commands] == [f"/runs/lr={x}/job.sbatch" for x in (1, 2)]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize("text", [SLURM, CONDOR_SH], ids=["slurm", "htcondor"])
def test_the_shell_understands_the_scripts(text: str) -> None:
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("near_limit", "code", "queued"),
    [
        (False, 0, False),
        (True, 0, False),
        (True, 130, True),
        (False, 130, False),
        (True, 1, False),
        (False, 1, False),
        (True, 137, False),
        (False, 75, True),
        (True, 75, True),
    ],
)
def test_slurm_queues_again_what_saved_near_the_limit_or_asks_for_it(
    near_limit: bool, code: int, queued: bool, tmp_path: Path
) -> None:
    """The script itself, with programs in the place of Slurm's; the training ends when it was told to."""
    said, told = tmp_path / "said", shlex.quote(str(tmp_path / "told"))
    os.mkfifo(tmp_path / "told")
    hears = f"kill -USR1 $PPID; read teller < {told}; while kill -0 $teller 2>/dev/null; do :; done"
    for name, text in {
        "srun": f"{hears if near_limit else ':'}; exit {code}",
        "scancel": f"echo $$ > {told}",
        "scontrol": f'echo "$@" >> {shlex.quote(str(said))}',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    text = slurm_script(Job(tmp_path / "run", WORDS), LaunchConfig(kind="slurm", time="01:00:00"))
    done = subprocess.run(["bash", "-c", text], env=environment, check=False, timeout=60)
    assert done.returncode == (0 if queued else code)
    assert (said.read_text() if said.exists() else "") == ("requeue 7\n" if queued else "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_a_vacated_job_of_htcondor_resumes_and_another_job_does_not(tmp_path: Path) -> None:
    """The first start trains, the second of the same job resumes; a new job must be told to."""
    folder = tmp_path / "it's a run"
    folder.mkdir()
    say = folder / "said"
    program = f"import sys; open({str(say)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n'); sys.exit(130)"
    text = condor_script(Job(folder, ("-c", program, "train")), LaunchConfig(time="01:00:00", python=sys.executable))
    (folder / "recipe.json").write_text("{}")
    for number in (7, 7, 8):
        done = subprocess.run(["bash", "-c", text, "job.sh", str(number)], check=False)
        assert done.returncode == 130
    assert say.read_text().splitlines() == ["train", "train --resume", "train"]


def test_a_plan_is_written_and_run_until_something_fails(tmp_path: Path) -> None:
    path, mark = tmp_path / "new" / "job.sh", tmp_path / "mark"
    touch = (sys.executable, "-c", f"open({str(mark)!r}, 'w')")
    fail = (sys.executable, "-c", "raise SystemExit(3)")
    assert carry_out(Plan((fail, touch), {path: "#!/bin/bash\n"})) == 3
    assert path.read_text() == "#!/bin/bash\n"
    assert path.stat().st_mode & 0o111
    assert not mark.exists()
    assert carry_out(Plan((touch,))) == 0
    assert mark.exists()
    with pytest.raises(ValueError, match="no-such-program: no such program here"):
        carry_out(Plan((("no-such-program",),)))


def test_a_training_that_asks_for_another_start_gets_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It asks twice; one that never has enough is given up."""
    said = tmp_path / "said"
    program = f"""if True:
        import pathlib, sys
        said = pathlib.Path({str(said)!r})
        before = said.read_text() if said.exists() else ""
        said.write_text(before + " ".join(sys.argv[2:]) + ";")
        sys.exit(75 if before.count(";") < int(sys.argv[1]) else 0)"""

    def train(fails: int, *words: str, kind: str = "torchrun") -> int:
        said.unlink(missing_ok=True)
        made = plan(Job(tmp_path, ("-c", program, str(fails), *words)), kind=kind)
        return carry_out(Plan(tuple((sys.executable, *c[1:]) for c in made.commands), restarts=made.restarts))

    assert train(2, "new") == 0
    assert said.read_text() == "new;new --resume;new --resume;"
    assert capfd.readouterr().err.splitlines() == [
        f"lpm: starting again with --resume, for the {n}. of at most 8 times" for n in (1, 2)
    ]
    assert train(1, "--resume", "old") == 0
    assert said.read_text() == "--resume old;--resume old;"
    assert train(99) == 75
    assert said.read_text().count(";") == 9
    assert train(99, kind="local") == 75
    assert said.read_text().count(";") == 1
    assert plan(kind="torchrun", nodes=2, rendezvous="n1:29400").restarts == 0  # the other machine cannot be told


def test_a_submission_that_failed_halfway_is_completed_and_nothing_submitted_twice(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folders, said = [tmp_path / f"lr={i}" for i in range(3)], tmp_path / "said"
    full = tmp_path / "full"
    full.touch()
    program = f"""if True:
        import pathlib, sys
        if sys.argv[1] == "1" and pathlib.Path({str(full)!r}).exists(): sys.exit(5)
        print(sys.argv[1], file=open({str(said)!r}, "a"))"""
    sweep = Plan(
        tuple((sys.executable, "-c", program, str(i)) for i in range(3)),
        {folder / "job.sbatch": "#!/bin/bash\n" for folder in folders},
        tuple(folders),
    )
    assert carry_out(sweep) == 5
    assert carry_out(sweep) == 5
    assert said.read_text().split() == ["0"]
    note = folders[0] / ".submitted"
    assert f"{folders[0]}: was submitted before; delete {note} to submit it again\n" in capfd.readouterr().err
    full.unlink()
    assert carry_out(sweep) == 0
    assert said.read_text().split() == ["0", "1", "2"]
    assert not list(tmp_path.glob("*/.submitted"))
    assert carry_out(sweep) == 0  # asked for once more, all of it
    assert len(said.read_text().split()) == 6


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 7), (signal.SIGTERM, 130)])
def test_an_interrupted_command_is_waited_for(number: signal.Signals, code: int) -> None:
    """Ctrl-C comes to the command from the terminal, so it is not passed on; SIGTERM is."""
    before = signal.getsignal(number)
    program = f"""if True:
        import os, signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
        os.kill({os.getpid()}, {int(number)})
        if {number == signal.SIGTERM}: time.sleep(60)
        sys.exit(7)"""
    assert carry_out(Plan(((sys.executable, "-c", program),))) == code
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"nodes": 0}, "nodes"),
        ({"memory": "lots"}, "16G"),
        ({"time": "90"}, "hours:minutes:seconds"),
        ({"time": "00:02:00"}, "more than the 120 s"),
        ({"extra": ("a\nb",)}, "one line each"),
        ({"kind": "htcondor", "nodes": 2}, "slurm"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan(**options)


def test_htcondor_refuses_spaces_in_folders() -> None:
    with pytest.raises(ValueError, match="without spaces"):
        plan(Job(Path("/my runs/top"), WORDS), kind="htcondor")
