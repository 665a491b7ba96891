r"""Why does a classifier say so? Contributions of each number of each row to the log-odds of a class.

Integrated gradients (Sundararajan, Taly, Yan, arXiv 1703.01365, eq. 1): with the features :math:`x` of an event and a
baseline :math:`x'` of which nothing is known,

.. math:: a_i = (x_i - x'_i) \int_0^1 \frac{\partial F(x' + \alpha (x - x'))}{\partial x_i} \mathrm{d}\alpha,
          \qquad \sum_i a_i = F(x) - F(x').

The baseline is what the tokenizer makes of numbers that were not measured: standardised features at 0, the mean of the
training data, and no category, for as many rows as the event has. Pairwise physics is an input of its own: it fades in
with its rows, and what pair (i, j) contributes is shared by both. The second equation, completeness, holds up to the
error of the quadrature (Gauss-Legendre), and is given with the result. Backbones that look at four-momenta in another
way, or choose neighbours, have contributions of their features only; what is left shows in that difference.

Shapes: B events, T rows of one collection, F features, K contributions of a row, S packed positions, A points of the
integral.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.model.heads import Classify
from lpm.model.model import Model
from lpm.model.packing import Layout
from lpm.model.pairs import PairBias
from lpm.model.sets.particle_transformer import ParticleTransformer
from lpm.model.view import Streams
from lpm.tokens import Continuous, Hybrid

__all__ = ["PAIRS", "Attribution", "integrated_gradients", "log_odds"]

PAIRS = "pairs"
"""Name of the contribution of pairwise physics."""

TOLERANCE = 0.01
"""Of the difference of log-odds, or of 0.1 if that is smaller: what contributions may miss before points are added."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Contributions to the log-odds of one class of each event.

    Args:
        names: {collection: names of the K contributions of its rows}, fields and `pairs`.
        rows: {collection: (T, K)} contributions.
        log_odds: (B,) of the events.
        baseline: (B,) of as many rows of which nothing is known.
    """

    names: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, Ragged]
    log_odds: Tensor
    baseline: Tensor

    @property
    def gap(self) -> Tensor:
        """(B,) by how much the contributions miss the difference of log-odds."""
        total = torch.stack([r.with_values(r.values.sum(1)).sum() for r in self.rows.values()]).sum(0)
        return total - (self.log_odds - self.baseline)


def log_odds(logits_BC: Tensor, index_B: Tensor) -> Tensor:
    """(B,) ln p / (1 - p) of the class of each event.

    Example:
        >>> log_odds(torch.tensor([[0.2, 1.0]]), torch.tensor([1])).tolist()
        [0.800000011920929]
    """
    own = torch.nn.functional.one_hot(index_B, logits_BC.shape[1]).bool()
    return logits_BC[own] - logits_BC.masked_fill(own, -torch.inf).logsumexp(1)


def integrated_gradients(
    model: Model, batch: Batch, name: str, index_B: Tensor, points: int = 32, most: int = 512
) -> Attribution:
    """Contributions to the log-odds of a class.

    Args:
        model: A trained model in evaluation mode.
        batch: Events, on the device of the model.
        name: Of a classifier among its heads.
        index_B: (B,) int64 class of each event whose log-odds are explained.
        points: Of the quadrature; four times as many, and again, for an event whose contributions miss the difference
            of log-odds by more than `TOLERANCE`.
        most: Where this ends.

    Raises:
        ValueError: If the head is no classifier, or a collection is seen as codes.
    """
    head = model.head(name)
    if not isinstance(head, Classify):
        raise ValueError(f"head {name} is no classifier; attributions are of the log-odds of a class")
    seen, paired = {n: _seen(model, n) for n in head.view.only or model.tokenizers}, _paired(model)
    parts: dict[str, list[Tensor]] = {n: [] for n in seen}
    ends: list[Tensor] = []
    for i in range(len(batch)):
        count = points
        while True:
            odds_2, found = _integrated(model, batch[i : i + 1], head, index_B[i], count)
            missed = sum(float(x.sum()) for pair in found.values() for x in pair) - float(odds_2[1] - odds_2[0])
            if abs(missed) <= TOLERANCE * max(abs(float(odds_2[1] - odds_2[0])), 0.1) or count >= most:
                break
            count *= 4
        ends.append(odds_2)
        for n, (of_features, of_pairs) in found.items():
            columns = seen[n].by_field(of_features)
            parts[n].append(torch.cat([columns, of_pairs[:, None]], 1) if n == paired else columns)
    names = {n: (*t.told, *([PAIRS] if n == paired else [])) for n, t in seen.items()}
    rows = {n: batch.collections[n].with_values(torch.cat(p)) for n, p in parts.items()}
    start_B, end_B = torch.stack(ends, 1)
    return Attribution(names, rows, end_B, start_B)


def _integrated(
    model: Model, event: Batch, head: Classify, index: Tensor, points: int
) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """Log-odds (2,) of baseline and event, and for each collection (T, F) contributions of features, (T,) of pairs."""
    node, weight = np.polynomial.legendre.leggauss(points)
    t = (node + 1) / 2
    # α = t³: a norm of the features, as the Particle Transformer begins with, changes most near the baseline.
    alpha_A, weight_A = (torch.tensor(x, dtype=model.prefix.dtype, device=model.prefix.device)
                         for x in (t**3, 1.5 * t**2 * weight))  # fmt: skip
    copies = event[torch.zeros(points + 2, dtype=torch.int64)]
    odds_A, found = _along(model, copies, head, index, torch.cat([alpha_A.new_tensor([0.0, 1.0]), alpha_A]))
    return odds_A[:2], {
        n: (torch.einsum("a,atf->tf", weight_A, g[2:]) * x_AF[1], torch.einsum("a,at->t", weight_A, f[2:]))
        for n, (x_AF, (g, f)) in found.items()
    }


def _seen(model: Model, name: str) -> Continuous:
    tokenizer = model.tokenizer(name)
    tokenizer = tokenizer.seen if isinstance(tokenizer, Hybrid) else tokenizer
    if not isinstance(tokenizer, Continuous):
        raise ValueError(f"{name} is seen as codes, which have no gradients; attributions need continuous features")
    return tokenizer


def _paired(model: Model) -> str | None:
    """The collection whose pairs the model looks at, if it does."""
    if model.config.pairs is not None:
        return model.config.pairs.of
    body = model.backbone
    return body.config.of if isinstance(body, ParticleTransformer) else None


def _along(
    model: Model, copies: Batch, head: Classify, index: Tensor, alpha_A: Tensor
) -> tuple[Tensor, dict[str, tuple[Tensor, tuple[Tensor, Tensor]]]]:
    """Log-odds (A,) of copies of an event along the path, its features, and gradients of features and of pairs."""
    streams, ground = head.view(model.encode(copies)), model.ground(copies, head.view.only)
    leaves: dict[str, Tensor] = {}
    fades: dict[str, Tensor] = {}
    whole: dict[str, Tensor] = {}
    for n, tokens in streams.items():
        assert tokens.features is not None
        at = alpha_A[tokens.ragged.event]
        whole[n] = tokens.features
        leaves[n] = (tokens.features * at[:, None]).requires_grad_()
        fades[n] = at.clone().requires_grad_()
    shown = {n: replace(t, features=leaves[n]) for n, t in streams.items()}
    with torch.enable_grad(), _faded(model, fades, streams, ground.layout):
        hidden = model.hidden(copies, shown, head.view, ground)
        odds_A = log_odds(head.logits(hidden).float(), index.expand(len(copies)))
        wanted = [*leaves.values(), *fades.values()]
        gradients = torch.autograd.grad(odds_A.sum(), wanted, allow_unused=True)
    count = len(alpha_A)
    filled = list(map(_or_zero, wanted, gradients))
    of_rows = dict(zip(leaves, zip(filled[: len(leaves)], filled[len(leaves) :], strict=True), strict=True))
    found = {
        n: (whole[n].view(count, -1, whole[n].shape[1]),
            (g.view(count, -1, whole[n].shape[1]), f.view(count, -1)))
        for n, (g, f) in of_rows.items()
    }  # fmt: skip
    return odds_A.detach(), found


def _or_zero(x: Tensor, gradient: Tensor | None) -> Tensor:
    return torch.zeros_like(x) if gradient is None else gradient


@contextmanager
def _faded(model: Model, fades: Mapping[str, Tensor], streams: Streams, layout: Layout) -> Iterator[None]:
    """What the model makes of pairs, each times the mean strength of its two rows."""
    of = _paired(model)
    if of is None:
        yield
        return
    fade_T, offsets = fades[of], streams[of].offsets
    at_S = fade_T.new_zeros(layout.size).index_copy(0, layout.rows[of], fade_T)

    strengths: list[Tensor] = []

    def of_bias(module: Any, args: Any, out: list[Tensor]) -> list[Tensor]:
        faded = []
        for group, bias in zip(args[2].groups, out, strict=True):
            mine = at_S[group.index]
            both = 0.5 * (mine[:, :, None] + mine[:, None])
            strengths.append(both)
            hidden = bias.isneginf()
            faded.append((bias.masked_fill(hidden, 0.0) * both[:, None]).masked_fill(hidden, -torch.inf))
        return faded

    def of_edges(module: Any, args: Any, out: Tensor) -> Tensor:  # a group at a time, after the biases of all groups
        return out * strengths.pop(0)[..., None]

    def of_pairs(module: Any, args: Any, out: Iterator[Tensor]) -> list[Tensor]:
        assert isinstance(model.backbone, ParticleTransformer)
        plan = model.backbone.plan(offsets.cpu(), fade_T.device)
        parts = torch.split(fade_T[plan.events.rows], plan.events.counts)
        return [
            y_PH * (0.5 * (mine[pairs.a] + mine[pairs.b]))[:, None]
            for mine, pairs, y_PH in zip(parts, plan.pairs, out, strict=True)
        ]

    if isinstance(model.pairs, PairBias):
        hooks = [model.pairs.register_forward_hook(of_bias)]
        if model.pairs.edges is not None:
            hooks.append(model.pairs.edges.pair.register_forward_hook(of_edges))
    else:
        assert isinstance(model.backbone, ParticleTransformer)
        hooks = [model.backbone.interactions.register_forward_hook(of_pairs)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
