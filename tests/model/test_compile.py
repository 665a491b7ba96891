"""A training step as accelerators want it: one graph, and nobody waits for the device in between."""

import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lpm.data.batch import Batch
from lpm.recipes import RECIPES
from lpm.train.muon import Muon
from lpm.train.optim import Average, parameter_groups
from tests.model.test_model import CONFIG, build

COMPILE = """
import sys, torch
from dataclasses import replace
from torch._dynamo.utils import counters
from lpm.data.source import Source
from lpm.model.model import Model
from lpm.recipes import jets

config = jets.base(1, unmask=True).model
config = replace(config, heads={**config.heads, **jets.flow(1).model.heads})
source = Source("sample:jets", budget=400, seed=0, max_rows=40)
batches = [b for b, _ in zip(source, range(2))]
torch.manual_seed(0)
model = Model(config, source.schema)
for name in model.tokenizers:
    model.tokenizer(name).fit(batches)
for p in model.parameters():
    torch.nn.init.normal_(p, std=0.1)  # heads start at zero, behind which every body would do

def step(batch):
    model.zero_grad()
    torch.manual_seed(1)
    losses = model(batch)
    torch.stack([x.mean() for x in losses.values()]).sum().backward()
    return {**losses, **{n: p.grad for n, p in model.named_parameters() if p.grad is not None}}

wanted = [step(b) for b in batches]
counters.clear()
model.compile(dynamic=True, backend=sys.argv[1])
for batch, expected in zip(batches, wanted):
    for name, found in step(batch).items():
        torch.testing.assert_close(found, expected[name], atol=1e-5, rtol=1e-4, msg=lambda m: f"{name}: {m}")
assert counters["stats"]["unique_graphs"] > 0, "nothing was compiled"
print("graph breaks:", sum(counters["graph_break"].values()))
"""
"""In a process of its own: the checks of shapes that tests switch on are no code to compile."""


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_step_has_no_graph_breaks_and_the_same_gradients(backend: str) -> None:
    if backend == "inductor" and shutil.which("g++") is None:
        pytest.skip("no C++ compiler, which inductor needs on the CPU")
    done = subprocess.run([sys.executable, "-c", COMPILE, backend], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "graph breaks: 0"


SOON = ("jets.particle_net", "jets.particle_transformer", "jets.lorentz")
"""Recipes compiled in the default tests, bodies of sets; the plain body is above, and all others are slow."""

BREAKS = {
    "calorimeter.adversarial": "its penalty is a gradient inside of the loss, which is not traced",
    "calorimeter.codes": "idle vectors move to some of the rows that hold anything; only the device knows how many do",
}
"""Recipes whose step is no single graph, and why."""


@functools.cache
def compiled(names: tuple[str, ...], backend: str = "eager", sizes: str = "8,11,9") -> dict[str, dict[str, Any]]:
    """What `support/compiled.py` says of recipes."""
    script = Path(__file__).parents[1] / "support" / "compiled.py"
    command = [sys.executable, str(script), backend, sizes, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    out: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return out


def every() -> list[Any]:
    """All recipes, of which those that break have to fail."""
    reasons = {n: pytest.mark.xfail(reason=reason) for n, reason in BREAKS.items()}
    marks = {n: [] if n in SOON else [pytest.mark.slow] for n in RECIPES}
    return [pytest.param(n, marks=(*m, *([reasons[n]] if n in reasons else []))) for n, m in marks.items()]


@pytest.mark.parametrize("name", every())
def test_the_step_of_every_recipe_is_one_graph_for_batches_of_all_sizes(name: str) -> None:
    """A second graph, for sizes that the first one took as given, is enough: a third size makes none."""
    said = compiled(SOON if name in SOON else tuple(n for n in RECIPES if n not in SOON))[name]
    assert "error" not in said, said["error"]
    assert said["breaks"] == 0
    assert said["graphs"] in ([1, 1, 1], [1, 2, 2])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jets.top", *SOON])
def test_batches_of_many_events_make_no_end_of_graphs(name: str) -> None:
    """Eight length groups from 32 events on; a bucket more or less of a Particle Transformer is another graph."""
    graphs = compiled((name,), sizes="33,41,36,48,45")[name]["graphs"]
    assert graphs[-1] <= 3
    assert graphs[-1] == graphs[-3]


@pytest.mark.slow
def test_inductor_gives_the_same_gradients_of_neighbours() -> None:
    """Not of a Particle Transformer: the masses of its nearly collinear pairs are rounding noise, which it changes."""
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler, which inductor needs on the CPU")
    name = "jets.particle_net"
    said = compiled((name,), "inductor", "8,11")[name]
    assert "error" not in said, said["error"]


@pytest.mark.parametrize("kind", [torch.optim.AdamW, Muon])
def test_a_step_never_waits_for_the_device(kind: type[torch.optim.Optimizer], toy_jets: Callable[..., Batch]) -> None:
    """Tensors of the device `meta` have shapes but no values: whoever asks for one, as a wait for a GPU does, fails."""
    batch = toy_jets(40)
    model = build(CONFIG, batch).to("meta").train()
    groups = parameter_groups(model, lr=1e-3, weight_decay=0.1, layer_decay=0.9)
    optimiser = kind(groups, lr=1e-3)
    parameters = [p for g in groups for p in g["params"]]
    average = Average(parameters, 0.9)
    for part in (batch[:15], batch[15:]):
        losses = model(part.to("meta"))
        assert {x.device.type for x in losses.values()} == {"meta"}
        torch.stack([x.mean() for x in losses.values()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        average.update()
