"""A training on several ranks, started by torchrun from test_parallel and test_elastic."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lpm.train.loop import fit
from lpm.train.parallel import world
from tests.train.test_loop import CONFIG
from tests.train.toy import Counted, Greedy, held


def main(kind: Any, optimiser: Any, folder: Path, way: str = "whole", step: int = 0) -> None:
    """Train on all ranks; the first leaves its state in `folder`.

    `way`: "whole", "resume", or what happens at `step`: "stop" all of them; the second one "raise"s or is "kill"ed;
    or "memory": the second one has little of it.
    """
    torch.set_num_threads(1)
    with world("cpu") as place:
        torch.manual_seed(0)
        model = Greedy(fits=5 if way == "memory" and place.rank == 1 else 99)

        def record(event: str, **content: Any) -> None:
            if way.endswith("stop") and event == "step" and content["step"] == step:
                os.kill(os.getpid(), signal.SIGTERM)

        class Failing(Counted):
            """The second rank does not survive the batch of a step."""

            def state(self) -> dict[str, Any]:
                if place.rank == 1 and self.place == step and way == "raise":
                    raise ValueError("no such file")
                if place.rank == 1 and self.place == step and way == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().state()

        config = replace(CONFIG, parallel=kind, optimiser=optimiser)
        resume = way.startswith("resume")
        fit(model, Failing(), config, record=record, valid=held, folder=folder, resume=resume, place=place)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--resume"]  # of another start: what fits is found in the folder
    try:
        main(words[0], words[1], Path(words[2]), *words[3:4], *map(int, words[4:]))
    except KeyboardInterrupt:
        sys.exit(130)
