"""A training that is killed, without a chance to clean up, at the step given: run by test_loop."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lpm.train.loop import fit
from tests.train.test_loop import CONFIG
from tests.train.toy import Counted, Line, held


def main(folder: Path, step: int, optimiser: Any) -> None:
    """Train until the machine "dies" at `step`."""

    def record(event: str, **content: Any) -> None:
        if event == "step" and content["step"] >= step:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    torch.manual_seed(0)
    fit(Line(), Counted(), replace(CONFIG, optimiser=optimiser), record=record, valid=held, folder=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
