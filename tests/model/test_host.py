"""No training step waits for the device, whatever the recipe: nothing is read from it, nothing copied in a hurry."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toys import batch_of, model_of

from lpm.data.batch import Batch
from lpm.data.transfer import sent
from lpm.model.distil import Distilled
from lpm.model.model import Model, ModelConfig
from lpm.recipes import RECIPES
from lpm.recipes.fine import fine
from lpm.recipes.jets import tiny
from lpm.recipes.taggers import BODIES

WAITS = {
    "calorimeter.codes": "idle vectors move to some of the rows that hold anything; only the device knows how many do",
}
"""Recipes whose step reads from the device, and why."""


def excused(reasons: dict[str, str], names: Iterable[str]) -> list[Any]:
    """Parameters of a test, of which those with a reason have to fail."""
    marks = {n: pytest.mark.xfail(reason=reason) for n, reason in reasons.items()}
    return [pytest.param(n, marks=marks.get(n, ())) for n in names]


def away(config: ModelConfig) -> tuple[Model, Batch]:
    """A model that has left the CPU, and events that have not."""
    batch = batch_of(config, 8)
    model = model_of(config, batch).to("meta")
    if isinstance(model, Distilled):
        model.teachers[0].to("meta")  # which follows in its first step
    return model, batch


def step(model: torch.nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
    """Forward, loss, backward of events that have left the CPU."""
    losses: dict[str, torch.Tensor] = model(batch)
    torch.stack([x.mean() for x in losses.values()]).sum().backward()
    return losses


class Copies(TorchDispatchMode):
    """Takes note of what is copied from the CPU to the device and waited for; `sent` does not wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out, options = func(*args, **(kwargs or {})), kwargs or {}
        waited = func is torch.ops.aten._to_copy.default and not options.get("non_blocking")
        if waited and out.is_meta and not args[0].is_meta:
            frame = next(f for f in inspect.stack(0) if "/lpm/" in f.filename)
            if frame.function != sent.__name__:
                self.found.append(f"{frame.filename.rpartition('/lpm/')[2]}:{frame.lineno}")
        return out


def refused(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """What makes a tensor of numbers in Python, on the CPU only: elsewhere it copies them and waits."""

    def made(*args: Any, **options: Any) -> torch.Tensor:
        out = make(*args, **options)
        assert not out.is_meta, "numbers in Python, copied to the device: use `sent`, or fill a tensor there"
        return out

    return made


@pytest.mark.parametrize("name", excused(WAITS, RECIPES))
def test_a_step_never_waits_for_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of the device `meta` have shapes but no values: whoever asks for one, as a wait for a GPU does, fails.

    Neither may anything be copied there in the ordinary way, which waits for all that a GPU has still to do.
    """
    model, batch = away(tiny(RECIPES[name](1)).model)
    there = batch.to("meta")
    for of, maker in ((torch, "tensor"), (torch, "as_tensor"), (torch.Tensor, "new_tensor")):
        monkeypatch.setattr(of, maker, refused(getattr(of, maker)))
    with Copies() as copies:
        assert {x.device.type for x in step(model, there).values()} == {"meta"}
    assert not copies.found


@pytest.mark.parametrize("body", BODIES)
def test_nor_do_other_bodies_of_a_recipe(body: str) -> None:
    model, batch = away(tiny(fine(1, body=body)).model)
    step(model, batch.to("meta"))


@pytest.mark.parametrize("method", excused({"vq": "see `lpm.tokens.quantised`"}, ["vq", "fsq"]))
def test_nor_do_codes_that_are_learned(method: str) -> None:
    config = tiny(RECIPES["jets.quantised"](1)).model
    levels = (4, 4, 4) if method == "fsq" else ()
    codes = replace(config.tokenizers["particle"], method=method, levels=levels)
    model, batch = away(replace(config, tokenizers={"particle": codes}))
    step(model.tokenizer("particle").train().requires_grad_(True), batch.to("meta"))
