r"""Sampling events from a flow in a few steps: all rows of all events of a batch move together from noise to data.

The number of rows is drawn first, then noise for each row, and then :math:`\dot x = v(x, t)` is followed from
:math:`t = 0` to 1 in equal steps, packed, without padding. A step of `euler` asks the model once, steps of `heun` and
`midpoint` twice; errors fall with the first and the second power of the step.

Shapes: B events, T rows of all of them, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.model.heads.flow import Flow
from lpm.model.model import Model
from lpm.model.sample import assemble
from lpm.tokens import Tokens

__all__ = ["FlowSampleConfig", "followed", "generate", "solve"]


@dataclass(frozen=True, kw_only=True)
class FlowSampleConfig:
    """How to follow the flow.

    Args:
        steps: Equal steps from noise to data.
        solver: `euler` (one pass of the model a step), `midpoint` or `heun` (two).
        batch: Events made together, and events of a batch that is returned.

    Raises:
        ValueError: If a value is out of range.
    """

    steps: int = 8
    solver: Literal["euler", "midpoint", "heun"] = "midpoint"
    batch: int = 500

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.solver not in ("euler", "midpoint", "heun"):
            raise ValueError(f"expected steps > 0, batch > 0 and solver euler, midpoint or heun; got {self}")


def followed(head: Flow, config: FlowSampleConfig | None) -> FlowSampleConfig:
    """How a flow is followed: as asked, or with what it was made for.

    Raises:
        ValueError: If it was distilled to other steps.
    """
    jumps = head.config.jumps
    if not jumps:
        return config or FlowSampleConfig()
    config = config or FlowSampleConfig(steps=jumps, solver="euler")
    if (config.steps, config.solver) != (jumps, "euler"):
        raise ValueError(f"this flow was distilled to {jumps} steps of euler, got {config.steps} of {config.solver}; "
                         "leave steps and solver out")  # fmt: skip
    return config


def solve(velocity: Callable[[Tensor, float], Tensor], x: Tensor, config: FlowSampleConfig) -> Tensor:
    """The state at time 1 of what is `x` at time 0.

    Args:
        velocity: Of a state at a time.
        x: Any shape.
        config: Steps and solver.

    Example:
        >>> heun = FlowSampleConfig(steps=20, solver="heun")
        >>> round(float(solve(lambda x, t: x, torch.tensor(1.0), heun)), 2)
        2.72
    """
    h = 1 / config.steps
    for i in range(config.steps):
        t = i * h
        v = velocity(x, t)
        if config.solver == "midpoint":
            v = velocity(x + h / 2 * v, t + h / 2)
        elif config.solver == "heun":
            v = (v + velocity(x + h * v, t + h)) / 2
        x = x + h * v
    return x


def generate(
    model: Model,
    n: int,
    *,
    config: FlowSampleConfig | None = None,
    classes: Tensor | None = None,
    head: str = "flow",
    seed: int = 0,
) -> Iterator[Batch]:
    """Sample n events, batch by batch.

    Args:
        model: With one collection and a `Flow` head of it.
        n: Number of events.
        config: How to sample.
        classes: (n,) index into the classes of the model's condition, or None not to say any.
        head: Name of the head.
        seed: The same seed and configuration give the same events.

    Yields:
        Batches of `config.batch` events (the last of what remains), in the order of `classes`: the collection's
        decoded fields and, if `classes` is given, the field of the condition; on the CPU, wherever the model is.

    Raises:
        ValueError: If the model cannot generate, was not conditioned on the classes of its head, or diverges.
    """
    chosen = model.head(head) if head in model.heads else None
    if not isinstance(chosen, Flow) or len(model.tokenizers) != 1:
        raise ValueError(f"this model cannot generate: head {head!r} is no flow of its only collection")
    config = followed(chosen, config)
    if classes is not None:
        known = model.config.condition
        if known is None or (known.field, known.classes) != (chosen.config.by, chosen.config.classes):
            raise ValueError("this model was not conditioned on a class, or its flow on another; leave the classes out")
    if n <= 0:
        raise ValueError(f"expected a positive number of events, got {n}")
    generator = torch.Generator().manual_seed(seed)
    was_training = model.training
    model.eval()
    try:
        for first in range(0, n, config.batch):
            size = min(config.batch, n - first)
            part = None if classes is None else classes[first : first + size]
            yield _flow(model, chosen, size, config, part, generator)
    finally:
        model.train(was_training)


@torch.no_grad()
def _flow(
    model: Model,
    head: Flow,
    size: int,
    config: FlowSampleConfig,
    classes: Tensor | None,
    generator: torch.Generator,
) -> Batch:
    """`size` events at once."""
    of, device = head.config.of, model.prefix.device
    tokenizer = model.tokenizer(of)
    known = torch.full((size,), -1) if classes is None else torch.where(classes.isfinite(), classes, -1).long().cpu()
    lengths = head.lengths(known, generator)
    # The model reads from the batch which event a row is of, and the class; not the fields, which are yet to be made.
    rows = torch.zeros(int(lengths.sum()), len(tokenizer.paths))
    shell = assemble(model, of, Ragged.from_lengths(rows, lengths), classes).to(device)
    offsets, ground = shell.collections[of].offsets, model.ground(shell)

    def velocity(x_TF: Tensor, t: float) -> Tensor:
        tokens = Tokens(offsets, features=x_TF, time=x_TF.new_full((size,), t))
        return head.velocity(model.hidden(shell, {of: tokens}, head.view, ground), tokens)

    noise_TF = torch.randn((len(rows), tokenizer.width), generator=generator).to(device)
    x_TF = solve(velocity, noise_TF, config)
    if not bool(x_TF.isfinite().all()):
        raise ValueError("the model's velocities are not finite: its training has diverged; take an earlier one")
    return assemble(model, of, tokenizer.decode(Tokens(offsets, features=x_TF)), classes)
