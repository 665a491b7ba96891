"""Generated events beside true ones: one table of distances, each next to what two halves of the truth give.

A distance between two finite samples is never zero, so each is shown with its floor: the same distance between two
halves of the truth. To be comparable all samples have the same size n: half A of the truth is the reference, and both
the generated events and half B, n of each, are held against it. A perfect generator scores the floor.

Observables are paths of fields. `jet.mass` is one number an event, `particle.pt` one a row, and a collection's name
alone, `particle`, is the number of its rows in each event. Distances in one dimension are in the unit of the field;
all others are taken over those observables that have one number an event. Values that are no finite number enter no
distance, so that a generator could hide what it cannot make: where there are any, `missing[jet.mass]` is their share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.metrics.estimate import Array, Estimate
from lpm.metrics.frechet import fpd
from lpm.metrics.kernel import kpd, mmd
from lpm.metrics.migration import binomial
from lpm.metrics.neighbours import prdc
from lpm.metrics.two_sample import classifier_auc
from lpm.metrics.wasserstein import sliced_wasserstein, wasserstein

__all__ = ["METRICS", "Table", "compare", "features", "flatten", "standard_observables"]

Table: TypeAlias = dict[str, dict[str, Estimate]]
"""`{"w1[jet.mass]": {"generated": …, "floor": …}, …}`."""

_Distances: TypeAlias = dict[str, Estimate]


def compare(
    generated: Batch,
    truth: Batch,
    observables: Sequence[str] | None = None,
    *,
    metrics: Sequence[str] | None = None,
    max_events: int = 20_000,
    seed: int = 0,
) -> Table:
    """All distances between generated and true events, each with the truth-against-truth floor.

    Args:
        generated: Generated events.
        truth: True events, at least twice 50.
        observables: Paths of fields, or names of collections for their multiplicity. All that both sides hold and that
            are neither truth, labels nor scores if absent, see `standard_observables`.
        metrics: Names out of `METRICS`; all if absent.
        max_events: Largest n.
        seed: Seed of the halves and of all metrics.

    Returns:
        A row a metric, with the columns `generated` and `floor`; and one for each observable of which values are
        missing on either side, with their share there and in the truth.

    Raises:
        ValueError: If an observable is missing on a side, a metric is unknown, or there are too few events.

    Example:
        >>> from lpm.data.fields import jets_schema
        >>> schema, one, rng = jets_schema(["pt"], ["mass"]), torch.ones(400), torch.Generator().manual_seed(0)
        >>> draw = lambda: {"particle.pt": one, "jet.mass": torch.randn(400, generator=rng)}
        >>> a, b = (Batch.build(schema, draw(), {"particle": one.long()}) for _ in range(2))
        >>> row = compare(a, b, ["jet.mass"], metrics=["w1"])["w1[jet.mass]"]
        >>> row["generated"].value < 0.3 and row["floor"].value < 0.3
        True
    """
    chosen = list(METRICS) if metrics is None else list(metrics)
    unknown = [m for m in chosen if m not in METRICS]
    if unknown:
        raise ValueError(f"unknown metric {', '.join(unknown)}; there are: {', '.join(METRICS)}")
    paths = standard_observables(generated, truth) if observables is None else list(observables)
    n = min(len(generated), len(truth) // 2, max_events)
    if n < 50:
        raise ValueError(
            f"expected 50 generated and twice 50 true events or more, got {len(generated)} and {len(truth)}"
        )
    order = torch.Generator().manual_seed(seed)
    halves = torch.randperm(len(truth), generator=order)
    reference, other = truth[halves[:n]], truth[halves[n : 2 * n]]
    picked = generated[torch.randperm(len(generated), generator=order)[:n]]
    out: Table = {}
    for name in chosen:
        columns = {"generated": METRICS[name](picked, reference, paths, seed)}
        columns["floor"] = METRICS[name](other, reference, paths, seed)
        for row in columns["generated"]:
            out[row] = {column: rows[row] for column, rows in columns.items()}
    return out | _missing(picked, truth[halves[: 2 * n]], paths)


def flatten(table: Table) -> dict[str, Estimate]:
    """One dictionary: `w1[jet.mass]` for the generated events and `w1[jet.mass].floor` for the floor.

    Example:
        >>> e = Estimate(1.0, 0.9, 1.1)
        >>> list(flatten({"fpd": {"generated": e, "floor": e}}))
        ['fpd', 'fpd.floor']
    """
    return {
        row if column == "generated" else f"{row}.{column}": estimate
        for row, columns in table.items()
        for column, estimate in columns.items()
    }


def standard_observables(generated: Batch, truth: Batch) -> list[str]:
    """All observables that both batches hold: fields that are numbers, no truth, and the multiplicities.

    Example:
        >>> from lpm.data.fields import jets_schema
        >>> columns = {"particle.pt": torch.ones(3), "jet.mass": torch.ones(1), "jet.score": torch.ones(1)}
        >>> b = Batch.build(jets_schema(["pt"], ["mass", "score"]), columns, {"particle": torch.tensor([3])})
        >>> standard_observables(b, b)
        ['particle', 'particle.pt', 'jet.mass']
    """
    out = []
    for c in truth.schema.collections:
        if c.name not in generated.schema.names:
            continue
        out += [] if c.single else [c.name]
        for f in c.fields:
            measured = (
                f.kind in ("real", "angle", "count") and not f.truth and f.name not in ("score", "weight", "event")
            )
            if measured and f"{c.name}.{f.name}" in generated.schema:
                out.append(f"{c.name}.{f.name}")
    if not out:
        raise ValueError(f"no common observable in {generated.schema.name} and {truth.schema.name}; name some yourself")
    return out


def features(batch: Batch, paths: Sequence[str]) -> Array:
    """The observables with one number an event, as a table.

    Args:
        batch: B events.
        paths: Paths of fields and names of collections; fields with more rows an event are passed over.

    Returns:
        (n, F) float64 of the events in which all observables are finite.

    Raises:
        ValueError: If there is no such observable, or one does not exist.
    """
    columns = []
    for path in paths:
        if path in batch.schema.names:
            columns.append(batch.collections[path].lengths.double())
        elif batch.schema[path.partition(".")[0]].single:
            columns.append(batch.field(path).values.double())
    if not columns:
        raise ValueError(f"expected an observable with one number an event among {', '.join(paths)}; add e.g. jet.mass")
    table = torch.stack(columns, 1).cpu().numpy()
    return np.asarray(table[np.isfinite(table).all(1)])


def _missing(generated: Batch, truth: Batch, paths: Sequence[str]) -> Table:
    """Shares of values that are no finite number, of observables that have some on either side."""
    out: Table = {}
    for path in paths:
        if path not in truth.schema.names:
            sides = {"generated": generated.field(path).values, "floor": truth.field(path).values}
            lost = {column: int((~values.isfinite()).sum()) for column, values in sides.items()}
            if any(lost.values()):
                out[f"missing[{path}]"] = {
                    column: binomial(lost[column], len(values)) for column, values in sides.items()
                }
    return out


def _w1(x: Batch, y: Batch, paths: Sequence[str], seed: int) -> _Distances:
    out = {}
    for path in paths:
        (a, a_event), (b, b_event) = _column(x, path), _column(y, path)
        out[f"w1[{path}]"] = wasserstein(a, b, x_event=a_event, y_event=b_event, seed=seed)
    return out


def _column(batch: Batch, path: str) -> tuple[Array, NDArray[np.integer]]:
    """Finite values of one observable, and the event of each."""
    if path in batch.schema.names:
        return batch.collections[path].lengths.double().cpu().numpy(), np.arange(len(batch))
    column = batch.field(path)
    values, event = column.values.double().cpu().numpy(), column.event.cpu().numpy()
    good = np.isfinite(values)
    if not good.any():
        raise ValueError(f"{path}: no finite value in {len(values)}; leave it out of the observables")
    return values[good], event[good]


def _fpd(x: Batch, y: Batch, paths: Sequence[str], seed: int) -> _Distances:
    a, b = features(x, paths), features(y, paths)
    # jetnet's range of sizes where there are as many events, the same proportions where there are fewer.
    largest = min(50_000, len(a), len(b))
    return {"fpd": fpd(b, a, min_samples=max(2, int(0.4 * largest)), max_samples=largest, seed=seed + 42)}


def _kpd(x: Batch, y: Batch, paths: Sequence[str], seed: int) -> _Distances:
    a, b = features(x, paths), features(y, paths)
    return {"kpd": kpd(b, a, batch_size=min(5_000, len(a) // 2, len(b) // 2), seed=seed + 42)}


def _on_table(name: str, distance: Callable[..., Estimate]) -> Callable[[Batch, Batch, Sequence[str], int], _Distances]:
    return lambda x, y, paths, seed: {name: distance(features(x, paths), features(y, paths), seed=seed)}


def _prdc(x: Batch, y: Batch, paths: Sequence[str], seed: int) -> _Distances:
    return prdc(features(x, paths), features(y, paths), seed=seed)


METRICS: Mapping[str, Callable[[Batch, Batch, Sequence[str], int], _Distances]] = {
    "w1": _w1,
    "sliced_w1": _on_table("sliced_w1", sliced_wasserstein),
    "fpd": _fpd,
    "kpd": _kpd,
    "mmd": _on_table("mmd", mmd),
    "prdc": _prdc,
    "c2st": _on_table("c2st", classifier_auc),
}
"""Every distance by name; `prdc` gives four rows and `w1` one an observable."""
