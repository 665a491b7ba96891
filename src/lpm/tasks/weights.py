r"""Weights of events: spectra made flat class by class, negative weights made positive, huge ones refused.

A tagger that is to find resonances of any mass must not learn the mass. Signals simulated with spread masses are not
enough: the background has a mass spectrum of its own. `Flatten` gives every cell of (mass, transverse momentum, …) of a
class the same sum of weights, so that within a class nothing is to be learned from either, and between classes neither
(as for the mass-decorrelated taggers of CMS, arXiv 2004.08262). Where several categories share a flat spectrum, they
are to weigh alike as well; the two wishes are met in turns until both hold (iterative proportional fitting: Deming and
Stephan, Ann. Math. Stat. 11 (1940) 427).

Generators at next-to-leading order give events of negative weight. A loss with negative weights has no lower bound for
single events; `positive` replaces the weights in each cell of phase space,

.. math:: w_i \to |w_i|\,\frac{\sum_j w_j}{\sum_j |w_j|},

which keeps the sum of weights of each cell (Andersen, Gütschow, Maier, Prestel, arXiv 2005.09375).

Shapes: N events, C categories, K cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lpm.data.batch import Batch
from lpm.data.schema import Field

__all__ = ["Flatten", "FlattenConfig", "check", "positive"]

Array = NDArray[np.float64]

HUGE = 1000.0
"""Times the mean of the others from which on a single weight is refused: one event would decide the training."""

USUAL = (1e-3, 1e3)
"""Where the mean of weights may lie: steps and their safeguards are made for losses of the size of one event's."""

TURNS = 500
"""Most turns in which categories and cells of a group are made equally heavy; a few suffice where both can be."""


@dataclass(frozen=True, kw_only=True)
class FlattenConfig:
    """In what the spectra of which classes are made flat.

    Args:
        by: Path of the category whose classes get equal sums of weights.
        axes: {path of a real field: edges of its bins}; values beyond the ends count to the outermost bins.
        groups: {group: categories}: the spectrum of each group is made flat as a whole, with equal weights of its
            categories. Where their spectra do not allow both, it is as flat as equal weights leave it. Categories in no
            group keep their spectra.
        to: Path of the weight that is made.
        start: Path of a weight that events come with; None if they come with none. A recipe takes that at `to`.
        most: Largest weight of a cell, and of a class, relative to the mean. What is rarer stays rarer.

    Raises:
        ValueError: If edges do not rise or a category is in two groups.
    """

    by: str
    axes: dict[str, tuple[float, ...]]
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    to: str = "jet.weight"
    start: str | None = None
    most: float = 20.0

    def __post_init__(self) -> None:
        for path, edges in self.axes.items():
            if len(edges) < 2 or any(b <= a for a, b in pairwise(edges)):
                raise ValueError(f"{path}: expected rising edges of bins, got {', '.join(f'{e:g}' for e in edges)}")
        named = [c for of in self.groups.values() for c in of]
        if twice := {c for c in named if named.count(c) > 1}:
            raise ValueError(f"groups: {', '.join(sorted(twice))} is in two groups; leave it in one")

    @property
    def paths(self) -> tuple[str, ...]:
        """Fields that are read."""
        return (self.by, *self.axes, *([self.start] if self.start else []))


class Flatten:
    """Gives events weights under which spectra are flat: `fit` to a sample, then call with batches.

    Args:
        config: What to make flat.

    Example:
        >>> from lpm.data.fields import jets_schema
        >>> columns = {"particle.pt": torch.ones(4), "jet.mass": torch.tensor([10.0, 12.0, 14.0, 90.0])}
        >>> columns["jet.label"] = torch.zeros(4)
        >>> b = Batch.build(jets_schema(["pt"], ["mass"], ["QCD"]), columns, {"particle": torch.ones(4).long()})
        >>> flat = Flatten(FlattenConfig(by="jet.label", axes={"jet.mass": (0.0, 50.0, 100.0)},
        ...                              groups={"QCD": ("QCD",)})).fit([b])
        >>> [round(float(w), 3) for w in flat(b).field("jet.weight").values]
        [0.667, 0.667, 0.667, 2.0]
    """

    def __init__(self, config: FlattenConfig) -> None:
        self.config = config
        self.labels: tuple[str, ...] = ()
        self.of_class, self.of_cell = np.ones(1), np.ones((1, 1))

    def fit(self, batches: Iterable[Batch]) -> Flatten:
        """Sums of weights of all classes and cells.

        Raises:
            ValueError: If there is no event of a known class, or a weight is negative or huge.
        """
        c, cells = self.config, int(np.prod([len(e) - 1 for e in self.config.axes.values()]))
        classes, table, weights = np.zeros(0), np.zeros((0, cells)), [np.zeros(0)]
        for batch in batches:
            if not len(classes):
                self.labels = batch.schema.field(c.by).labels
                classes, table = np.zeros(len(self.labels) + 1), np.zeros((len(self.labels) + 1, cells))
            kind, cell, weight = self._places(batch)
            weights.append(weight)
            np.add.at(classes, kind, weight)
            np.add.at(table, (kind, cell), weight)
        if c.start:
            _check(np.concatenate(weights), c.start)
        known = classes[:-1]
        if not known.sum() > 0:
            raise ValueError(f"{c.by}: no event of a known class; weights cannot be made")
        share = known[known > 0].mean() / np.maximum(known, 1e-300)
        self.of_class = np.append(_capped(np.where(known > 0, share, 0.0), known, c.most), 0.0)
        self.of_cell = np.ones_like(table)
        for group in c.groups.values():
            rows = [i for i, label in enumerate(self.labels) if label in group and known[i] > 0]
            if rows:
                self.of_cell[rows] = _levelled(table[rows], self.of_class[rows], c.most)
        return self

    def __call__(self, batch: Batch) -> Batch:
        """The events with their weights; an event of unknown class weighs nothing.

        Raises:
            ValueError: If the classes are other ones than those of `fit`.
        """
        c = self.config
        if batch.schema.field(c.by).labels != self.labels:
            raise ValueError(f"{c.by}: other classes than those of which weights were made; make them anew")
        kind, cell, weight = self._places(batch)
        made = weight * self.of_class[kind] * self.of_cell[kind, cell]
        at, _, name = c.to.partition(".")
        return batch.with_field(at, Field(name=name, text="event weight"), torch.from_numpy(made))

    def _places(self, batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """(N,) class, cell and weight so far of each event."""
        c = self.config
        label = _numbers(batch, c.by)
        kind = np.where(np.isfinite(label), label, len(self.labels)).astype(np.int64)
        cell = np.zeros(len(batch), dtype=np.int64)
        for path, edges in c.axes.items():
            values = _numbers(batch, path)
            if bad := int((~np.isfinite(values)).sum()):
                raise ValueError(f"{path}: {bad:,} of {len(values):,} events have no finite value; drop these events")
            place = np.searchsorted(np.asarray(edges[1:-1]), values, side="right")
            cell = cell * (len(edges) - 1) + place
        if c.start is None:
            if c.to in batch.schema:
                raise ValueError(f"{c.to}: events come with weights; name them as start, or leave out the field")
            return kind, cell, np.ones(len(batch))
        return kind, cell, _possible(_numbers(batch, c.start), c.start)


def positive(weights: ArrayLike, cell: ArrayLike) -> Array:
    """Weights of both signs made positive, with the same sum in every cell of phase space.

    Args:
        weights: (N,) finite.
        cell: (N,) number of the cell of each event, from 0: class and bins of what the model can see.

    Raises:
        ValueError: If a weight is not finite, or the sum of a cell is negative: it holds too few events.

    Example:
        >>> positive([1.0, 1.0, -1.0, 2.0], [0, 0, 0, 1]).round(3).tolist()
        [0.333, 0.333, 0.333, 2.0]
    """
    w, k = np.asarray(weights, dtype=np.float64), np.asarray(cell, dtype=np.int64)
    if w.ndim != 1 or w.shape != k.shape or not np.isfinite(w).all():
        raise ValueError(f"weights: expected (N,) finite numbers and as many cells, got {w.shape} and {k.shape}")
    total, size = np.bincount(k, w), np.bincount(k, np.abs(w))
    if (total < 0).any():
        raise ValueError(
            f"weights: their sum is negative in {(total < 0).sum()} of {(size > 0).sum()} cells; use larger cells"
        )
    return np.asarray(np.abs(w) * np.divide(total, size, out=np.zeros_like(total), where=size > 0)[k])


def check(batch: Batch, path: str, most: float = HUGE) -> None:
    """Refuse weights with which training cannot go well.

    Args:
        batch: All events of a sample: what is huge, a part of them cannot tell.
        path: Field of their weights.
        most: Largest weight, relative to the mean of the others.

    Raises:
        ValueError: If a weight is not finite, negative, or huge, or their mean is far from 1; the message says how many
            and what to do.
    """
    _check(_possible(_numbers(batch, path), path), path, most)


def _possible(w: Array, path: str) -> Array:
    """The weights of any part of a sample, if all are finite and none is negative."""
    bad, negative = int((~np.isfinite(w)).sum()), int((w < 0).sum())
    if bad:
        raise ValueError(f"{path}: {bad:,} of {len(w):,} weights are not finite; drop these events")
    if negative:
        raise ValueError(
            f"{path}: {negative:,} of {len(w):,} weights are negative; make them positive with "
            "lpm.tasks.weights.positive, which keeps all sums"
        )
    return w


def _check(w: Array, path: str, most: float = HUGE) -> None:
    """Refuse a sample of which one event decides, or whose weights are of another size than 1."""
    total, largest, (low, high) = float(w.sum()), float(w.max(initial=0.0)), USUAL
    if not total > 0:
        return  # nothing counts here
    others = (total - largest) / max(len(w) - 1, 1)
    if len(w) > 1 and largest > most * others:
        raise ValueError(
            f"{path}: one event weighs {largest / others if others else math.inf:,.0f} times the mean of the other "
            f"{len(w) - 1:,}; cap it, or unweight the sample"
        )
    if not low <= total / len(w) <= high:
        raise ValueError(f"{path}: weights are {total / len(w):.2g} in the mean; divide by that, so that they are 1")


def _levelled(table: Array, of_class: Array, most: float) -> Array:
    """(C, K) factors of mean 1 over the events of each category that make all cells of a group that hold some equal.

    Args:
        table: (C, K) sums of weights of its categories, each above 0.
        of_class: (C,) factors of the categories.
        most: No factor is larger.
    """
    if len(table) == 1:
        counts, full = table[0], table[0] > 0
        factor = np.where(full, counts.sum() / (full.sum() * np.maximum(counts, 1e-300)), 0.0)
        return _capped(factor, counts, most)[None]
    before = table * of_class[:, None]
    after = _balanced(before)
    # Where a category has no event to tell by, one to come counts as those of the others.
    shared = after.sum(0) / np.maximum(before.sum(0), 1e-300)
    factors = np.divide(after, before, out=np.tile(shared, (len(table), 1)), where=before > 0)
    return np.stack([_capped(f, counts, most) for f, counts in zip(factors, table, strict=True)])


def _balanced(table: Array) -> Array:
    """(C, K) sums of weights after all cells that hold some are made equal, with the sum of each category kept."""
    wanted = table.sum(1, keepdims=True)
    level = table.sum() / (table.sum(0) > 0).sum()
    for _ in range(TURNS):
        before = table
        table = table * (level / np.maximum(table.sum(0), 1e-300))
        table = table * (wanted / table.sum(1, keepdims=True))
        if np.abs(table - before).sum() <= 1e-9 * table.sum():
            break
    return table


def _capped(factor: Array, counts: Array, most: float) -> Array:
    """Factors of mean 1 over the events, none above `most`."""
    mean = 1.0
    for _ in range(50):
        mean = float((np.minimum(factor, most * mean) * counts).sum() / counts.sum())
    return np.asarray(np.minimum(factor, most * mean) / mean)


def _numbers(batch: Batch, path: str) -> Array:
    return np.asarray(batch.field(path).values.double().cpu().numpy())
