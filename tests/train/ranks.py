"""A training on several ranks, started by torchrun from test_parallel."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lpm.train.loop import fit
from lpm.train.parallel import world
from tests.train.test_loop import CONFIG
from tests.train.toy import Counted, Line, held


def record(event: str, **content: Any) -> None:
    """Nothing to say."""


def main(kind: Any, optimiser: Any, folder: Path) -> None:
    """Train on all ranks; the first leaves its state in `folder`."""
    torch.set_num_threads(1)
    with world("cpu") as place:
        torch.manual_seed(0)
        model = Line()
        model.drop.p = 0.0
        config = replace(CONFIG, parallel=kind, optimiser=optimiser)
        fit(model, Counted(), config, record=record, valid=held, folder=folder, place=place)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
