r"""A flow taught to take large steps.

A flow of few steps errs because its path bends within a step. A student learns the steps themselves: at the times
:math:`t_k = k / K` its velocity is to lead straight to where the teacher's path is at :math:`t_{k+1}`,

.. math:: v(x, t_k) = K \left( x_{t_{k+1}} - x \right),

which is a plain regression without noise in its target (cf. progressive distillation, Salimans and Ho, arXiv
2202.00512). Where to learn it is known without following the teacher from the start: noised data are distributed as the
teacher's path is, at any time. So a step of training asks the teacher for one step only.

Shapes: B events, T rows, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.schema import Schema
from lpm.model.heads.flow import Flow
from lpm.model.model import Ground, Model, ModelConfig
from lpm.model.view import Noised, Streams, View

__all__ = ["Distilled"]

HALVES = 2
"""Steps of the teacher (midpoint, two passes each) for one of the student."""


class Distilled(Model):
    """A model whose flows learn the steps of a teacher's; its other heads learn as ever.

    Args:
        config: With `jumps` in the flows that are to learn.
        schema: What the data mean.
        teacher: A trained model of the same tokenizers, with flows of the same names. It stays as it is.

    Raises:
        ValueError: If no flow is to learn, or the teacher lacks one.
    """

    def __init__(self, config: ModelConfig, schema: Schema, teacher: Model) -> None:
        super().__init__(config, schema)
        heads = {n: self.head(n) for n in self.heads}
        self.learning = {n: h for n, h in heads.items() if isinstance(h, Flow) and h.config.jumps}
        if not self.learning:
            raise ValueError("no flow is to learn large steps; give one its number of jumps")
        for name in self.learning:
            if not isinstance(teacher.head(name), Flow):
                raise ValueError(f"head {name} of the teacher is no flow; name a run of a flow as the start")
        # In a tuple, so that it is no part of the module: neither trained nor saved.
        self.teachers = (teacher.eval().requires_grad_(False),)

    def shown(self, batch: Batch, streams: Streams, ground: Mapping[View, Ground]) -> dict[View, Streams]:
        """What each view shows; those of the flows, the beginnings of steps."""
        seen = super().shown(batch, streams, ground)
        steps = {h.view: self._step(n, h, batch, streams, ground[h.view]) for n, h in self.learning.items()}
        return {**seen, **steps}

    @torch.no_grad()
    def _step(self, name: str, head: Flow, batch: Batch, streams: Streams, ground: Ground) -> Streams:
        """The tokens at the beginning of a step, with the velocity that leads to its end."""
        teacher = self.teachers[0].to(self.prefix.device)
        mover, of, k = teacher.head(name), head.config.of, head.config.jumps
        assert isinstance(mover, Flow)
        assert isinstance(head.view, Noised)
        start = head.view.at(streams, (torch.randint(k, (len(batch),)) / k).to(self.prefix.dtype))  # from the CPU
        tokens = start[of]
        assert tokens.features is not None
        assert tokens.time is not None

        def velocity(x_TF: Tensor, time_B: Tensor) -> Tensor:
            here = replace(tokens, features=x_TF, time=time_B, velocity=None)
            return mover.velocity(teacher.hidden(batch, {**start, of: here}, mover.view, ground), here)

        x_TF, h = tokens.features, 1 / (k * HALVES)
        for i in range(HALVES):
            time_B = tokens.time + i * h
            half_TF = x_TF + h / 2 * velocity(x_TF, time_B)
            x_TF = x_TF + h * velocity(half_TF, time_B + h / 2)
        return {**start, of: replace(tokens, velocity=(x_TF - tokens.features) * k)}
