"""What plots are made of: histograms, ROC points, mean images and a few jets, as plain content of run events.

A recipe writes these into its record, `run.write("histogram", **histogram({...}, "jet.mass"))`, and a report draws them
later, perhaps elsewhere, without the events. All values are JSON: numbers, strings, lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lpm.data.batch import Batch
from lpm.metrics.resolution import residuals
from lpm.metrics.roc import roc_curve

__all__ = ["histogram", "image", "jets", "residual", "roc"]


def histogram(series: Mapping[str, Batch], path: str, *, bins: int = 50, weights: str | None = None) -> dict[str, Any]:
    """Counts of one observable in common bins.

    The range is that of the middle 99.6% of all series, but at most twice that of the first, so that the outliers of a
    bad generator do not squeeze the truth into a corner; `outside` counts what lies beyond.

    Args:
        series: Events by name; the first is the reference.
        path: A field, or the name of a collection for its multiplicity.
        bins: Number of bins; multiplicities get bins of whole numbers.
        weights: Field of one number an event to weigh with.

    Raises:
        ValueError: If the field does not exist or holds no finite value.

    Example:
        >>> from lpm.data.fields import jets_schema
        >>> columns = {"particle.pt": torch.arange(1.0, 101.0), "jet.pt": torch.arange(1.0, 101.0)}
        >>> b = Batch.build(jets_schema(["pt"], ["pt"]), columns, {"particle": torch.ones(100).long()})
        >>> h = histogram({"truth": b}, "jet.pt", bins=5)
        >>> h["unit"], sum(h["series"]["truth"]) + h["outside"]["truth"]
        ('GeV', 100.0)
    """
    columns = {name: _values(b, path, weights) for name, b in series.items()}
    empty = [name for name, (v, _) in columns.items() if not len(v)]
    if empty:
        raise ValueError(f"{path}: no finite value in {', '.join(empty)}; nothing to draw")
    whole = path in next(iter(series.values())).schema.names
    edges = _edges([v for v, _ in columns.values()], bins, whole=whole)
    counts = {name: np.histogram(v, edges, weights=w)[0] for name, (v, w) in columns.items()}
    outside = {name: float(w.sum() - counts[name].sum()) for name, (_, w) in columns.items()}
    return {
        "name": path,
        "unit": _unit(next(iter(series.values())), path),
        "edges": [float(e) for e in edges],
        "series": {name: [float(x) for x in c] for name, c in counts.items()},
        "outside": outside,
    }


def roc(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], *, points: int = 200) -> dict[str, Any]:
    """ROC curves on a common grid of signal efficiencies.

    Args:
        curves: (scores, labels) by name, as for `lpm.metrics.roc.roc_curve`.
        points: Size of the grid.

    Returns:
        `x` are signal efficiencies from 0.01 to 1, `series` background efficiencies; zero where none passes.

    Example:
        >>> roc({"a": ([0.9, 0.1], [1, 0])}, points=2)["series"]
        {'a': [0.0, 0.0]}
    """
    x = np.linspace(0.01, 1, points)
    series = {name: roc_curve(s, y).background_at(x).tolist() for name, (s, y) in curves.items()}
    return {"name": "roc", "x": x.tolist(), "series": series}


def image(series: Mapping[str, Batch], *, half_width: float = 0.8, cells: int = 40) -> dict[str, Any]:
    """Mean transverse momentum in cells of Δη × Δφ around the jet axis.

    Args:
        series: Jets by name, with `particle.pt`, `particle.deta` and `particle.dphi`.
        half_width: Half the side of the square that is shown.
        cells: Cells along a side.

    Returns:
        `series[name][row][column]` in GeV; rows go up in Δφ, columns in Δη.
    """
    edges = np.linspace(-half_width, half_width, cells + 1)
    out = {}
    for name, b in series.items():
        pt, eta, phi = (b.field(f"particle.{f}").values.double().cpu().numpy() for f in ("pt", "deta", "dphi"))
        total = np.histogram2d(phi, eta, [edges, edges], weights=pt)[0]
        out[name] = [[float(f"{v:.4g}") for v in row] for row in total / max(len(b), 1)]
    return {"name": "jet image", "extent": [-half_width, half_width, -half_width, half_width], "series": out}


def jets(series: Mapping[str, Batch], *, count: int = 12, seed: int = 0) -> dict[str, Any]:
    """A few jets with all their particles, for the event display.

    Args:
        series: Jets by name, with `particle.pt`, `particle.deta`, `particle.dphi`, and `charge`, `type` and fields of
            the jet where they are known.
        count: Jets chosen at random from each series.
        seed: Seed of the choice.

    Returns:
        `series[name]` is a list of `{"particles": {"pt": […], …}, "jet": {"pt": …, …}, "label": …}`.
    """
    generator = torch.Generator().manual_seed(seed)
    return {"name": "jets", "series": {name: _some_jets(b, count, generator) for name, b in series.items()}}


def residual(
    series: Mapping[str, Batch], truth: Batch, path: str, *, relative: bool = False, bins: int = 60
) -> dict[str, Any]:
    """Histograms of found − true of one field of events that went through something: a tokenizer, a detector.

    Args:
        series: The events afterwards, by name, in the order of the truth.
        truth: The events before.
        path: A field.
        relative: Divide by |true|.
        bins: Number of bins.

    Raises:
        ValueError: If the events do not correspond or the field does not exist.
    """
    found = {
        name: residuals(b.field(path).values.cpu(), truth.field(path).values.cpu(), relative=relative)
        for name, b in series.items()
    }
    edges = _edges(list(found.values()), bins, whole=False)
    counts = {name: np.histogram(r, edges)[0] for name, r in found.items()}
    return {
        "name": f"{path} {'(found − true) / true' if relative else 'found − true'}",
        "unit": "1" if relative else _unit(truth, path),
        "edges": [float(e) for e in edges],
        "series": {name: [float(x) for x in c] for name, c in counts.items()},
        "outside": {name: float(len(found[name]) - c.sum()) for name, c in counts.items()},
        "ratio": False,
    }


def _edges(samples: Sequence[NDArray[np.float64]], bins: int, *, whole: bool) -> NDArray[np.float64]:
    """Bin edges for several samples of one quantity; whole numbers get bins centred on them."""
    low, high = np.quantile(samples[0], [0.002, 0.998])
    reach = 0.5 * (high - low)
    ends = np.array([np.quantile(s, [0.002, 0.998]) for s in samples])
    low, high = max(ends[:, 0].min(), low - reach), min(ends[:, 1].max(), high + reach)
    if whole:
        step = max(1, round((high - low) / bins))
        return np.arange(np.floor(low) - 0.5, high + step + 0.5, step)
    margin = 0.04 * (high - low) or 0.5
    positive = all(s.min() >= 0 for s in samples)
    low = 0.0 if positive and low < 0.2 * high else low - margin
    return np.linspace(low, high + margin, bins + 1)


def _some_jets(batch: Batch, count: int, generator: torch.Generator) -> list[dict[str, Any]]:
    chosen = batch[torch.randperm(len(batch), generator=generator)[:count]].to("cpu")
    shown = [f for f in ("pt", "deta", "dphi", "charge", "type") if f"particle.{f}" in chosen.schema]
    types = chosen.schema.field("particle.type").labels if "type" in shown else ()
    columns = {f: list(chosen.field(f"particle.{f}")) for f in shown}
    names = [f for f in ("pt", "mass", "eta", "score") if f"jet.{f}" in chosen.schema]
    labels = chosen.schema.field("jet.label").labels if "jet.label" in chosen.schema else ()
    out = []
    for i in range(len(chosen)):
        jet: dict[str, Any] = {"particles": {f: [_short(v) for v in columns[f][i].tolist()] for f in shown}}
        jet["jet"] = {f: _short(float(chosen.field(f"jet.{f}").values[i])) for f in names}
        if types:
            jet["particles"]["type"] = [types[int(t)] if t == t else None for t in columns["type"][i].tolist()]
        if labels:
            label = float(chosen.field("jet.label").values[i])
            jet["label"] = labels[int(label)] if label == label else None
        out.append(jet)
    return out


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None


def _values(batch: Batch, path: str, weights: str | None) -> tuple[Any, Any]:
    """Finite values of an observable as float64, and the weight of each."""
    if path in batch.schema.names:
        values, event = batch.collections[path].lengths.double(), torch.arange(len(batch))
    else:
        column = batch.field(path)
        values, event = column.values.double(), column.event
    w = torch.ones(len(batch)) if weights is None else batch.field(weights).values
    good = torch.isfinite(values)
    return values[good].cpu().numpy(), w.double()[event][good].cpu().numpy()


def _unit(batch: Batch, path: str) -> str:
    return "1" if path in batch.schema.names else batch.schema.field(path).unit
