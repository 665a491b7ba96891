"""`python -m lpm.train.launch.ranks`: torchrun, with one line instead of a page when a rank fails.

Takes the arguments of torchrun. Exit codes: 0 done, 1 a rank failed, 75 a rank asks for another start with `--resume`,
130 interrupted and saved.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lpm.train.launch.command import INTERRUPTED, RESTART

__all__ = ["asks_for_restart", "main", "unsaved", "what_failed"]


def main(words: Sequence[str]) -> int:
    """Start the processes of this machine and wait for them; if one fails, the others are stopped."""
    # Time in which the ranks of an interrupted training finish the step in hand and save; torchrun gives them 30 s.
    # A batch system gives as long as --lead says and then ends all; ranks that hang end by the time-out of their group.
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "3600")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # what torchrun would say in five lines
    from torch.distributed.run import parse_args

    options = parse_args(list(words))  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(prefix="lpm-ranks-") as folder:
        options.log_dir = options.log_dir or folder  # there the ranks say why they failed
        code, said = _run(options)
    if said:
        sys.stderr.write(f"lpm: {said}\n")
    return code


def _run(options: Any) -> tuple[int, str]:
    """Exit code, and what there is to say about it."""
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.run import run

    try:
        run(options)  # type: ignore[no-untyped-call]
    except SignalException:
        why = unsaved(Path(options.log_dir).rglob("error.json"))
        return (
            (1, f"a rank failed when asked to stop: {why}; the last checkpoint is kept") if why else (INTERRUPTED, "")
        )
    except ChildFailedError as error:
        if any(f.exitcode == INTERRUPTED for f in error.failures.values()):
            return INTERRUPTED, ""
        code = RESTART if any(map(asks_for_restart, error.failures.values())) else 1
        return code, f"{what_failed(error.failures)}; all ranks were stopped, the last checkpoint is kept"
    except (DistError, RendezvousError) as error:
        why = " ".join(str(error).split())
        return 1, f"another machine went away, see what that one says ({type(error).__name__}: {why})"
    return 0, ""


def asks_for_restart(failure: Any) -> bool:
    """Whether a rank left so that all be started again: it says so, though torchrun may have stopped it on its way out.

    Args:
        failure: `ProcessFailure` of torch.
    """
    return failure.exitcode == RESTART or _told(failure.message).startswith("RestartError")


def unsaved(reports: Iterable[Path]) -> str:
    """Why a rank that was asked to stop could not save its state; empty if none says so.

    Args:
        reports: The files in which ranks say why they failed. That another one went away says nothing of its own, and
            after a call for another start there is nothing to save.
    """
    for report in sorted(reports):
        try:
            told = _told(json.loads(report.read_text(encoding="utf-8"))["message"])
        except (ValueError, KeyError):  # killed while it wrote
            continue
        if told and not told.startswith(("ConnectionError", "RestartError")):
            return told
    return ""


def what_failed(failures: Mapping[int, Any]) -> str:
    """Which rank failed first and why, in one line.

    That is one that says so, else one that was killed, else the earliest; one that only lost another comes last.

    Args:
        failures: {rank: `ProcessFailure` of torch}.
    """

    def order(rank: int) -> tuple[bool, bool, bool, int]:
        f = failures[rank]
        told = _told(f.message)
        return told.startswith("ConnectionError"), not told, f.exitcode >= 0, f.timestamp

    rank = min(failures, key=order)
    f = failures[rank]
    if told := _told(f.message):
        why = told
    elif f.exitcode < 0:
        name = signal.Signals(-f.exitcode).name
        why = f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    else:
        why = f"exit code {f.exitcode}"
    return f"rank {rank} failed: {why}"


def _told(message: Any) -> str:
    """What a rank itself said of its end, in one line; empty if it said nothing, and torch makes up a text."""
    return " ".join(str(message.get("message", "")).split()) if isinstance(message, dict) else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
