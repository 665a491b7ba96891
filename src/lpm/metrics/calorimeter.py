"""Generated showers beside reference showers: the histograms and the vector of features of the CaloChallenge.

Both are taken from the fields that the task adds to showers (`shower.energy`, `shower.total`, the collection `layer`,
`cell.energy`), under the names and in the bins of the challenge's evaluation (arXiv 2410.21611, section 4), which
measures energies in MeV and in single precision: so are they here, so that each shower falls into the same bin. Other
geometries get bins of the same kind, as wide as their layers.

Shapes: N showers, L layers, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.data.showers import DATA_SETS
from lpm.metrics.estimate import SAMPLES, Array, Estimate
from lpm.metrics.frechet import fpd
from lpm.metrics.kernel import kpd
from lpm.metrics.separation import Separation, separation
from lpm.physics.geometry import Geometry

__all__ = [
    "METRICS",
    "Observable",
    "check_draws",
    "features",
    "judge",
    "observables",
    "physics_distances",
    "separations",
    "separations_of_energies",
]

METRICS = ("separation", "fpd", "kpd")
"""What is measured unless something else is asked for."""

MIN_SAMPLES, MAX_SAMPLES = 10_000, 50_000
"""Smallest and largest number of showers that the challenge draws for FPD; the smallest is the batch of KPD."""

_TILE = (12, 13, 14)
_MEV = 1e3

_SHARP = 4
"""Place of the first energy of photons at which the challenge's bins of the response are narrow."""


@dataclass(frozen=True, eq=False)
class Observable:
    """One quantity of a sample of showers.

    Args:
        name: As the challenge calls it.
        unit: `MeV`, `mm` or `1`.
        generated: (N,) values.
        reference: (M,) values.
        edges: (K + 1,) bins.
        rows: Offsets of the showers on both sides, where a shower has several values.
        kinds: Number of the energy of each reference shower, where it has one of a few.
    """

    name: str
    unit: str
    generated: NDArray[np.floating[Any]]
    reference: NDArray[np.floating[Any]]
    edges: Array
    rows: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    kinds: NDArray[np.int64] | None = None


def observables(
    generated: Batch, reference: Batch, geometry: Geometry, *, threshold: float | None = None
) -> list[Observable]:
    """All quantities that the challenge compares over all showers.

    Args:
        generated: Showers as described by the task.
        reference: The same.
        geometry: Of both.
        threshold: Below which cells were taken away, GeV, where the bins of energies begin; None for that of the data
            set.

    Raises:
        ValueError: If one side has no shower or other layers.
    """
    both = _Sample.of(generated, geometry, "generated"), _Sample.of(reference, geometry, "reference")
    low = _lowest(geometry, threshold)
    made = [_observable("Etot / Einc", "1", both, lambda s: s.total / s.incident, np.linspace(0.5, 1.5, 101))]
    for i, layer in enumerate(geometry.layers):
        edges = _logarithmic(low, both[1].layers["energy"][:, i].max(), 40)
        made.append(_observable(f"E layer {layer.number}", "MeV", both, _of("energy", i), edges))
    for label, field in (("EC Eta", "eta"), ("EC Phi", "phi"), ("Width Eta", "eta_width"), ("Width Phi", "phi_width")):
        for i, layer in enumerate(geometry.layers):
            if layer.sectors > 1:
                reach = _plane(geometry, i, wide="EC" not in label)
                edges = np.linspace(-reach if "EC" in label else 0.0, reach, 101)
                made.append(_observable(f"{label} layer {layer.number}", "mm", both, _of(field, i), edges))
    if "cell" in generated.schema.names and "cell" in reference.schema.names:
        cells = [_mev(b.field("cell.energy").values.numpy()) for b in (generated, reference)]
        if all(map(len, cells)):
            rows = tuple(b.collections["cell"].offsets.numpy() for b in (generated, reference))
            edges = _logarithmic(low, cells[1].max(), 50)
            kinds = _energies(both[1].incident)
            made.append(Observable("Voxel distribution", "MeV", cells[0], cells[1], edges, (rows[0], rows[1]), kinds))
    for i, layer in enumerate(geometry.layers):
        edges = np.linspace(0.0, 1.0, 21)
        made.append(_observable(f"Sparsity layer {layer.number}", "1", both, _sparsity(geometry, i), edges))
    for label, field in (("EC r", "r"), ("Width r", "r_width")):
        for i, layer in enumerate(geometry.layers):
            edges = np.linspace(0.0, _radius(geometry, i, width="Width" in label), 101)
            made.append(_observable(f"{label} layer {layer.number}", "mm", both, _of(field, i), edges))
    return made


def separations(
    generated: Batch,
    reference: Batch,
    geometry: Geometry,
    *,
    threshold: float | None = None,
    seed: int = 0,
    samples: int = SAMPLES,
) -> dict[str, Separation]:
    """Separation power of every observable, under the challenge's names; arguments as for `observables`."""
    return {
        o.name: separation(o.generated, o.reference, o.edges, rows=o.rows, kinds=o.kinds, seed=seed, samples=samples)
        for o in observables(generated, reference, geometry, threshold=threshold)
        if np.isfinite(o.edges).all()
    }


def separations_of_energies(
    generated: Batch, reference: Batch, geometry: Geometry, *, seed: int = 0, samples: int = SAMPLES
) -> dict[str, Separation]:
    """Separation power of E_tot / E_inc at each incident energy of a data set that has a few of them.

    As in the challenge an energy stands for all from it to the next, its name has it in MeV, and bins are wide where
    the response is.

    Args:
        generated: Showers as described by the task.
        reference: The same.
        geometry: Of both.
        seed: Of the bootstrap.
        samples: Of the bootstrap.

    Returns:
        By names such as `Etot / Einc at E = 256.0`, of energies that both samples have; none of other data sets.
    """
    known = DATA_SETS.get(geometry.name)
    if known is None or not known.energies:
        return {}
    both = _Sample.of(generated, geometry, "generated"), _Sample.of(reference, geometry, "reference")
    made: dict[str, Separation] = {}
    for i, energy in enumerate(sorted(known.energies)):
        low = round(energy * _MEV)
        inside = [s[(s.incident >= low) & (s.incident < 2 * low)] for s in both]
        if all(len(s.incident) for s in inside):
            sharp = known.particle == "photon" and i >= _SHARP
            edges = np.linspace(0.9, 1.1, 21) if sharp else np.linspace(0.4, 1.4, 21)
            x, y = (s.total / s.incident for s in inside)
            made[f"Etot / Einc at E = {float(low)}"] = separation(x, y, edges, seed=seed, samples=samples)
    return made


def features(batch: Batch, geometry: Geometry) -> Array:
    """(N, F) the vector in which the challenge computes FPD and KPD and trains its high-level classifier.

    log10 of the incident energy; log10 of the energy of each layer; centres in η and φ, and widths in both, of layers
    with several sectors; log10 of the sum; sparsities; centres and widths in r. Energies are in MeV, lengths in 100 mm.

    Args:
        batch: Showers as described by the task.
        geometry: Theirs.
    """
    s = _Sample.of(batch, geometry, "given")
    columns = [np.log10(s.incident)[:, None], np.log10(s.layers["energy"] + np.float32(1e-8))]
    several = [i for i, layer in enumerate(geometry.layers) if layer.sectors > 1]
    columns += [s.layers[f][:, several] / 100 for f in ("eta", "phi", "eta_width", "phi_width")]
    columns += [np.log10(s.total + np.float32(1e-8))[:, None]]
    columns += [np.stack([_sparsity(geometry, i)(s) for i in range(len(geometry.layers))], 1)]
    columns += [s.layers[f] / 100 for f in ("r", "r_width")]
    return np.concatenate([c.astype(np.float64) for c in columns], 1)


def physics_distances(
    generated: Batch,
    reference: Batch,
    geometry: Geometry,
    names: Sequence[str] = ("fpd", "kpd"),
    *,
    min_samples: int = MIN_SAMPLES,
    max_samples: int = MAX_SAMPLES,
) -> dict[str, Estimate]:
    """FPD and KPD of the vectors of features, with the challenge's settings.

    Args:
        generated: Showers as described by the task.
        reference: The same.
        geometry: Of both.
        names: `fpd`, `kpd` or both.
        min_samples: Smallest number of showers drawn for FPD, and the batch of KPD.
        max_samples: Largest number of showers drawn for FPD.

    Raises:
        ValueError: If there are fewer showers than are to be drawn, or the numbers to draw are no range.
    """
    check_draws(len(generated), len(reference), names, min_samples=min_samples, max_samples=max_samples)
    x, y = features(reference, geometry), features(generated, geometry)
    out: dict[str, Estimate] = {}
    if "fpd" in names:
        out["fpd"] = fpd(x, y, min_samples=min_samples, max_samples=max_samples)
    if "kpd" in names:
        out["kpd"] = kpd(x, y, batch_size=min_samples)
    return out


def check_draws(
    generated: int,
    reference: int,
    names: Sequence[str] = ("fpd", "kpd"),
    *,
    min_samples: int = MIN_SAMPLES,
    max_samples: int = MAX_SAMPLES,
) -> None:
    """See that there are as many showers as FPD and KPD draw.

    Args:
        generated: Number of showers.
        reference: The same.
        names: As for `physics_distances`.
        min_samples: The same.
        max_samples: The same.

    Raises:
        ValueError: If not, or if the numbers to draw are no range.
    """
    least = min(generated, reference)
    for name, needed in (("fpd", max_samples), ("kpd", min_samples)):
        if name not in names:
            continue
        if min_samples < 2 or (name == "fpd" and min_samples >= max_samples):
            raise ValueError(
                f"{name}: expected 2 <= --min-samples < --max-samples, got {min_samples} and {max_samples}; name others"
            )
        if least < needed:
            fewer = f", or draw fewer: --min-samples {least // 3} --max-samples {least}" if least >= 6 else ""
            raise ValueError(
                f"{name}: draws up to {needed:,} showers, but there are {generated:,} generated and {reference:,} "
                f"reference ones; give {needed:,} of each{fewer}"
            )


def judge(
    generated: Batch, reference: Batch, geometry: Geometry, metrics: Sequence[str] = METRICS, *, seed: int = 0
) -> dict[str, Estimate]:
    """Separations and physics distances in one flat table: `separation[E layer 0]`, `fpd`, `kpd`.

    FPD and KPD need as many showers as the challenge draws and are left out where there are fewer.
    """
    out: dict[str, Estimate] = {}
    if "separation" in metrics:
        found = separations(generated, reference, geometry, seed=seed)
        out |= {f"separation[{name}]": s.estimate for name, s in found.items()}
    least = min(len(generated), len(reference))
    names = [n for n, needed in (("fpd", MAX_SAMPLES), ("kpd", MIN_SAMPLES)) if n in metrics and least >= needed]
    return out | (physics_distances(generated, reference, geometry, names) if names else {})


@dataclass(frozen=True, eq=False)
class _Sample:
    """Columns of showers: energies in MeV, all in single precision."""

    incident: NDArray[np.float32]
    total: NDArray[np.float32]
    layers: dict[str, NDArray[np.float32]]

    @classmethod
    def of(cls, batch: Batch, geometry: Geometry, name: str) -> _Sample:
        rows, layers = batch.collections["layer"], len(geometry.layers)
        if not len(batch) or not bool((rows.lengths == layers).all()):
            raise ValueError(f"{name} showers: expected at least one, of the {layers} layers of {geometry.name}")
        values = rows.values.numpy().reshape(len(batch), layers, -1)
        columns = {f: values[:, :, i] for i, f in enumerate(batch.schema["layer"].names)}
        columns["energy"] = _mev(columns["energy"])
        incident, total = (_mev(batch.field(f"shower.{f}").values.numpy()) for f in ("energy", "total"))
        return cls(incident, total, columns)

    def __getitem__(self, which: NDArray[np.bool_]) -> _Sample:
        return _Sample(self.incident[which], self.total[which], {f: x[which] for f, x in self.layers.items()})


_Values: TypeAlias = Callable[[_Sample], NDArray[np.floating[Any]]]


def _observable(name: str, unit: str, both: tuple[_Sample, _Sample], values: _Values, edges: Array) -> Observable:
    return Observable(name, unit, values(both[0]), values(both[1]), edges)


def _of(field: str, i: int) -> _Values:
    return lambda sample: sample.layers[field][:, i]


def _sparsity(geometry: Geometry, i: int) -> _Values:
    """Sparsity to the last digit: values on the edge of a bin must fall on the challenge's side of it."""
    voxels = geometry.layers[i].voxels
    return lambda sample: 1 - np.rint((1 - sample.layers["sparsity"][:, i].astype(np.float64)) * voxels) / voxels


def _plane(geometry: Geometry, i: int, *, wide: bool) -> float:
    """End of the bins of centres, or (`wide`) widths, in η and φ."""
    if geometry.name in ("2", "3"):
        return 30.0
    if geometry.name in DATA_SETS:
        return (400.0 if wide else 500.0) if geometry.layers[i].number in _TILE[:2] else 100.0
    return geometry.layers[i].r_edges[-1] * 0.7


def _radius(geometry: Geometry, i: int, *, width: bool) -> float:
    """End of the bins of centres or widths in r."""
    if geometry.name in ("2", "3"):
        return 20.0 if width else 42.0
    if geometry.name in DATA_SETS:
        return 1500.0 if geometry.layers[i].number in _TILE else 500.0
    return geometry.layers[i].r_edges[-1]


def _lowest(geometry: Geometry, threshold: float | None) -> float:
    """Lowest edge of histograms of energy, MeV."""
    if threshold is None:
        threshold = DATA_SETS[geometry.name].threshold if geometry.name in DATA_SETS else 0.0
    return threshold * _MEV if threshold > 0 else 1e-3


def _energies(incident: NDArray[np.float32]) -> NDArray[np.int64] | None:
    """(N,) number of the energy of each shower; None if hardly two have the same."""
    found, number = np.unique(incident, return_inverse=True)
    return number.astype(np.int64) if 10 * len(found) <= len(incident) else None


def _logarithmic(low: float, high: np.float32, edges: int) -> Array:
    """Edges at equal ratios; the logarithm of the end is taken in single precision, as the challenge does.

    So the largest value of the reference may come to lie outside, which changes the histogram.
    """
    if not high > low:
        high = np.float32(low * 10)
    return np.logspace(np.log10(low), np.log10(high), edges)


def _mev(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return (x.astype(np.float64) * _MEV).astype(np.float32)
