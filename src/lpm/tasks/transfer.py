r"""From simulation to data: events of both together, and what is done about their difference beside adversaries.

A simulation has labels and the wrong response; data have the right response and no labels. Three ways to learn from the
first for the second:

- *adversarial*: train on `mixed` events with the head `lpm.model.heads.Adversary`;
- *reweighting*: give simulated events the ratio of densities (`density_ratio`), read off a classifier that tells the
  domains, :math:`w = s / (1 - s)` (Sugiyama, Suzuki, Kanamori, "Density Ratio Estimation", 2012, chapter 4). It moves
  abundances and missing detectors; a signal that lies where the simulation has no events stays out of reach;
- *optimal transport*: move each simulated signal to where data have the same quantile at the same momentum (`morphed`).
  In one dimension, and for any convex cost, this is the optimal map (Villani, "Topics in Optimal Transportation",
  2003, section 2.2). Correlations within an event stay those of the simulation. Measurements that it has too often are
  dropped at random (`thinned`).

Shapes: N events, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Field
from lpm.data.tracks import DOMAINS

__all__ = ["density_ratio", "drawn", "mixed", "morphed", "recovered", "thinned"]

Array = NDArray[np.float64]


def mixed(simulation: Batch, data: Batch, label: str, domain: str) -> Batch:
    """Events of both domains, those of data without their label.

    Args:
        simulation: Events with labels.
        data: Events with the same fields; a label they hold is taken away.
        label: Path of the label, of a single collection.
        domain: Path of the domain, in the same or another single collection; it is added.

    Raises:
        ValueError: If the two do not have the same fields.
    """
    at, name = label.split(".")
    unknown = torch.full((len(data),), torch.nan)
    data = data.with_field(at, simulation.schema.field(label), unknown)
    # Adding a field puts it last; do so on both sides.
    simulation = simulation.with_field(at, simulation.schema.field(label), simulation.field(label).values)
    place, last = domain.split(".")
    field = Field(name=last, kind="category", labels=DOMAINS, truth=True, text="where the event comes from")
    parts = [b.with_field(place, field, torch.full((len(b),), float(i))) for i, b in enumerate((simulation, data))]
    if parts[0].schema != parts[1].schema:
        raise ValueError(
            f"simulation and data must have the same fields: {', '.join(parts[0].schema.paths)}; "
            f"{', '.join(parts[1].schema.paths)}; select those of both, {name} aside"
        )
    return Batch.cat(parts)


def density_ratio(score: ArrayLike, data: float = 0.5, most: float = 20.0) -> Array:
    """Weights that turn simulated events into data, as far as a classifier could tell the two.

    Args:
        score: (N,) probability that a simulated event is of data.
        data: Share of data among the events on which the classifier was trained.
        most: Largest weight; rare events would else decide everything.

    Returns:
        (N,) weights of mean 1.

    Raises:
        ValueError: If a score is no probability.

    Example:
        >>> density_ratio([0.5, 0.75, 0.5]).round(2).tolist()
        [0.6, 1.8, 0.6]
    """
    s = np.asarray(score, dtype=np.float64)
    if s.ndim != 1 or not len(s) or not ((s >= 0) & (s <= 1)).all():
        raise ValueError(f"score: expected (N,) probabilities, N > 0, got shape {s.shape}")
    ratio = np.minimum(s / np.maximum(1 - s, 1e-12) * (1 - data) / data, most)
    return np.asarray(ratio / ratio.mean())


def drawn(batch: Batch, weights: ArrayLike, seed: int = 0) -> Batch:
    """As many events, drawn with replacement in proportion to their weights.

    Args:
        batch: Events.
        weights: (N,) not negative.
        seed: The same seed draws the same.

    Raises:
        ValueError: If there are not as many weights as events, or one is negative or not finite.
    """
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (len(batch),) or not np.isfinite(w).all() or (w < 0).any() or w.sum() <= 0:
        raise ValueError(f"weights: expected {len(batch)} finite numbers, not negative, not all 0, got shape {w.shape}")
    pick = np.random.default_rng(seed).choice(len(batch), size=len(batch), p=w / w.sum())
    return batch[torch.from_numpy(pick)]


def thinned(simulation: Batch, data: Batch, given: str, bins: int = 20, seed: int = 0) -> Batch:
    """Simulated events with collections emptied at random, so that each is as often there as in data.

    A simulated detector is rarely too bad. Where it is too good, in a bin of another field, its measurements are
    dropped until their share is that of data; where data have more, nothing can be done, and nothing is.

    Args:
        simulation: Events.
        data: Events with the same collections.
        given: Path of the field of a single collection in whose bins the shares are compared.
        bins: Bins of equally many events.
        seed: The same seed drops the same.
    """
    edges = np.quantile(_numbers(data, given), np.linspace(0, 1, bins + 1)[1:-1])
    ours, theirs = (np.searchsorted(edges, _numbers(b, given)) for b in (simulation, data))
    rng, collections = np.random.default_rng(seed), dict(simulation.collections)
    for name in [c.name for c in simulation.schema.collections if not c.single]:
        rows = collections[name]
        have, wanted = (
            np.bincount(k, (b.collections[name].lengths > 0).numpy(), bins)
            / np.maximum(np.bincount(k, minlength=bins), 1)
            for k, b in ((ours, simulation), (theirs, data))
        )
        share = np.divide(wanted, have, out=np.ones(bins), where=have > 0)
        stays = torch.from_numpy(rng.random(len(simulation)) < share[ours])
        collections[name] = Ragged.from_lengths(rows.values[stays[rows.event]], rows.lengths * stays)
    return Batch(simulation.schema, collections)


def morphed(
    simulation: Batch, data: Batch, paths: Sequence[str], given: str, bins: int = 30, quantiles: int = 50
) -> Batch:
    """Simulated events with each signal moved to the same quantile of data, in bins of another field.

    Args:
        simulation: Events.
        data: Events with the same fields.
        paths: Signals, fields of collections of any number of rows. What was not measured stays so.
        given: Path of the field of a single collection in whose bins the quantiles are compared.
        bins: Bins of equally many events.
        quantiles: Of each signal in a bin; in between, and beyond the outermost, the shift is interpolated and kept.

    Example:
        >>> from lpm.sim.pid import simulate
        >>> wrong, right = simulate(20_000, 1, "mismodelled"), simulate(20_000, 2)
        >>> made = morphed(wrong, right, ["tpc.dedx"], "track.p")
        >>> medians = [float(b.field("tpc.dedx").values.median()) for b in (wrong, made, right)]
        >>> abs(medians[1] - medians[2]) < 0.1 * abs(medians[0] - medians[2])
        True
    """
    edges = np.quantile(_numbers(data, given), np.linspace(0, 1, bins + 1)[1:-1])
    levels = np.linspace(0, 1, quantiles + 1)
    out = simulation
    for path in paths:
        (ours, at), (theirs, there) = (_binned(b, path, given, edges) for b in (simulation, data))
        moved = ours.copy()
        for k in range(bins):
            here = (at == k) & np.isfinite(ours)
            mine, other = ours[here], theirs[(there == k) & np.isfinite(theirs)]
            if len(mine) > quantiles and len(other) > quantiles:
                a, b = np.quantile(mine, levels), np.quantile(other, levels)
                moved[here] = mine + np.interp(mine, a, b - a)
        out = _exchanged(out, path, torch.from_numpy(moved).float())
    return out


def recovered(without: float, adapted: float, best: float) -> float:
    """Share of a loss that adapting brings back: 0 as without it, 1 as if trained on labelled data.

    Example:
        >>> recovered(0.5, 0.625, 0.75)
        0.5
    """
    return (adapted - without) / (best - without) if best != without else float("nan")


def _numbers(batch: Batch, path: str) -> Array:
    return np.asarray(batch.field(path).values.double().numpy())


def _binned(batch: Batch, path: str, given: str, edges: Array) -> tuple[Array, NDArray[np.int64]]:
    """Values of a signal, and the bin of the event of each."""
    rows = batch.field(path)
    where = np.searchsorted(edges, _numbers(batch, given))
    return np.asarray(rows.values.double().numpy()), where[rows.event.numpy()]


def _exchanged(batch: Batch, path: str, values: Tensor) -> Batch:
    """The same events with other numbers in a column, which stays where it is."""
    name, field = path.split(".")
    rows = batch.collections[name]
    table = rows.values.clone()
    table[:, batch.schema[name].index(field)] = values
    return Batch(batch.schema, {**batch.collections, name: rows.with_values(table)})
