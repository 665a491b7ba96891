"""`python -m lpm.train.launch.ranks`: torchrun, with one line instead of a page when a rank fails.

Takes the arguments of torchrun. Exit codes: 0 done, 1 a rank failed, 130 interrupted and saved.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["main", "what_failed"]


def main(words: Sequence[str]) -> int:
    """Start the processes of this machine and wait for them; if one fails, the others are stopped."""
    # Time in which the ranks of an interrupted training finish the step in hand and save; torchrun gives them 30 s.
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "120")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # what torchrun would say in five lines
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.run import parse_args, run

    try:
        run(parse_args(list(words)))  # type: ignore[no-untyped-call]
    except SignalException:
        return 130
    except ChildFailedError as error:
        if any(f.exitcode == 130 for f in error.failures.values()):
            return 130
        sys.stderr.write(f"lpm: {what_failed(error.failures)}; all ranks were stopped, the last checkpoint is kept\n")
        return 1
    except (DistError, RendezvousError) as error:
        why = " ".join(str(error).split())
        sys.stderr.write(f"lpm: another machine went away, see what that one says ({type(error).__name__}: {why})\n")
        return 1
    return 0


def what_failed(failures: Mapping[int, Any]) -> str:
    """Which rank failed first and why, in one line.

    That is one that says so, else one that was killed, else the earliest; one that only lost another comes last.

    Args:
        failures: {rank: `ProcessFailure` of torch}.
    """

    def order(rank: int) -> tuple[bool, bool, bool, int]:
        f = failures[rank]
        follows = isinstance(f.message, dict) and str(f.message.get("message", "")).startswith("ConnectionError")
        return follows, not isinstance(f.message, dict), f.exitcode >= 0, f.timestamp

    rank = min(failures, key=order)
    f = failures[rank]
    if isinstance(f.message, dict):
        why = " ".join(str(f.message.get("message", "")).split())
    elif f.exitcode < 0:
        name = signal.Signals(-f.exitcode).name
        why = f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    else:
        why = f"exit code {f.exitcode}"
    return f"rank {rank} failed: {why}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
