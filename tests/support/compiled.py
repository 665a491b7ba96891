"""Compile the training step of recipes and say, as JSON, what came of it: `python compiled.py BACKEND SIZES RECIPE…`.

A program of its own: the checks of shapes that tests switch on are no code to compile.
"""

from __future__ import annotations

import json
import sys

import torch
from torch import Tensor
from torch._dynamo.utils import counters
from toys import batch_of, model_of

from lpm.data.batch import Batch
from lpm.model.model import Model
from lpm.recipes import RECIPES
from lpm.recipes.jets import tiny

__all__ = ["compiled"]


def step(model: Model, batch: Batch) -> dict[str, Tensor]:
    """Losses and gradients."""
    model.zero_grad()
    torch.manual_seed(1)
    losses = model(batch)
    torch.stack([x.mean() for x in losses.values()]).sum().backward()
    return {**losses, **{n: p.grad for n, p in model.named_parameters() if p.grad is not None}}


def compiled(name: str, backend: str, sizes: list[int]) -> dict[str, object]:
    """Graph breaks of a recipe's step, and graphs that there were after each batch of so many events.

    With `eager`, the step is traced as it is trained, and numbers are compared where nothing is dropped. Of any other
    backend they are compared without dropout.

    Raises:
        AssertionError: If losses or gradients differ from those of the step that is not compiled.
    """
    config = tiny(RECIPES[name](1)).model
    batches = [batch_of(config, n, seed=n) for n in sizes]
    model = model_of(config, batches[0])
    drops = [m for m in model.modules() if isinstance(m, torch.nn.Dropout) and m.p]
    if backend != "eager":
        for part in drops:
            part.p = 0.0
        drops = []
    before = {n: b.clone() for n, b in model.named_buffers()}
    wanted = [step(model, b) for b in batches]
    for n, b in model.named_buffers():
        b.data.copy_(before[n])
    torch._dynamo.reset()
    counters.clear()
    model.compile(dynamic=True, backend=backend)
    graphs = []
    for batch, expected in zip(batches, wanted, strict=True):
        found = step(model, batch)
        assert found.keys() == expected.keys()
        for n, x in found.items():
            if not drops:  # what is dropped depends on the order of random numbers
                torch.testing.assert_close(x, expected[n], atol=1e-4, rtol=1e-3, msg=lambda m, n=n: f"{name}, {n}: {m}")
        graphs.append(counters["stats"]["unique_graphs"])
    return {"breaks": sum(counters["graph_break"].values()), "graphs": graphs}


if __name__ == "__main__":
    backend, sizes, *names = sys.argv[1:]
    said = {}
    for name in names:
        try:
            said[name] = compiled(name, backend, [int(n) for n in sizes.split(",")])
        except Exception as error:  # one recipe must not hide the others
            said[name] = {"error": str(error)[-2000:]}
    sys.stdout.write(json.dumps(said))
