"""A recipe on several ranks, started by torchrun from test_ranks: to the end, or killed by an error at a step."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lpm.recipes import RECIPES
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny


def main(kind: str, folder: Path, steps: int, stop: int, resume: bool) -> None:
    """Train; at step `stop` the first rank fails."""
    torch.set_num_threads(1)
    config = tiny(RECIPES["jets.base"](size=2))
    data = replace(config.data, limit=0, train=("sample:jets",), budget=20_000)
    train = replace(config.train, steps=steps, save_every=2, valid_every=0, parallel=kind)

    def tell(event: str, **content: Any) -> None:
        if event == "step" and content["step"] == stop:
            raise RuntimeError("stopped on purpose")

    execute(replace(config, data=data, train=train), folder, resume=resume, device="cpu", tell=tell)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "resume")
