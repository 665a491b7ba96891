"""Showers energy by energy: response, resolution and separation in each bin, and energies between those of a reference.

Shapes: N showers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.metrics.calorimeter import features, observables
from lpm.metrics.estimate import Array, Estimate
from lpm.metrics.separation import Separation, separation
from lpm.physics.geometry import Geometry

__all__ = ["FEWEST", "EnergyBin", "between", "comparable", "energy_bins", "interpolated"]

BINS = 6
"""Bins of a continuous spectrum, of equal ratio."""

FEWEST = 20
"""Showers of a bin on both sides."""

_DISCRETE = 60


@dataclass(frozen=True, eq=False)
class EnergyBin:
    """One bin of incident energy.

    Args:
        showers: Number of generated and of reference showers.
        response: Mean of the sum over the incident energy, by side.
        resolution: Its relative spread, by side.
        separations: By observable: the sum over the incident energy, and the energies of layers.
    """

    showers: tuple[int, int]
    response: Mapping[str, Estimate]
    resolution: Mapping[str, Estimate]
    separations: Mapping[str, Separation]


def energy_bins(
    generated: Batch, reference: Batch, geometry: Geometry, *, threshold: float | None = None, seed: int = 0
) -> dict[str, EnergyBin]:
    """Both samples in each bin of incident energy that holds 20 showers of both.

    Discrete energies are a bin each; a continuous spectrum has six, of equal ratio.

    Args:
        generated: Showers as described by the task.
        reference: The same.
        geometry: Of both.
        threshold: As for `lpm.metrics.calorimeter.observables`.
        seed: Seed of the bootstrap.

    Returns:
        Bins by their name, such as `0.256 GeV` or `1-3.16 GeV`.
    """
    sides = [b.select(["shower", "layer"]) for b in (generated, reference)]
    out = {}
    for name, inside in comparable(generated, reference).items():
        some = [b[torch.from_numpy(i)] for b, i in zip(sides, inside, strict=True)]
        out[name] = _bin(some[0], some[1], geometry, threshold, seed)
    return out


def comparable(generated: Batch, reference: Batch) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """By the name of each bin that holds `FEWEST` showers of both samples: (N,) which of each lie in it."""
    a, b = (s.field("shower.energy").values.double().numpy() for s in (generated, reference))
    inside = {name: ((a >= low) & (a < high), (b >= low) & (b < high)) for name, (low, high) in _edges(b).items()}
    return {name: both for name, both in inside.items() if min(int(i.sum()) for i in both) >= FEWEST}


def _bin(generated: Batch, reference: Batch, geometry: Geometry, threshold: float | None, seed: int) -> EnergyBin:
    ratio = {name: _ratio(b) for name, b in (("generated", generated), ("reference", reference))}
    root = {name: np.sqrt(len(r)) for name, r in ratio.items()}
    all_of_them = observables(generated, reference, geometry, threshold=threshold)
    found = [o for o in all_of_them if o.name.startswith(("Etot", "E layer"))]
    # The challenge's bins of the whole spectrum are too wide for one energy.
    both = np.concatenate(list(ratio.values()))
    low, high = (float(q) for q in np.quantile(both, [0.001, 0.999]))
    edges = np.linspace(low, high, 21) if high > low else np.array([0.5, 1.5])
    separations = {
        o.name: separation(o.generated, o.reference, edges if o.name == "Etot / Einc" else o.edges, seed=seed)
        for o in found
    }
    return EnergyBin(
        (len(generated), len(reference)),
        {n: Estimate.symmetric(float(r.mean()), float(r.std() / root[n])) for n, r in ratio.items()},
        {n: _relative(r) for n, r in ratio.items()},
        separations,
    )


def interpolated(generated: Batch, reference: Batch, geometry: Geometry) -> dict[str, dict[str, float]]:
    """How features of showers at energies that the reference lacks compare with those between its neighbours.

    The mean of each feature at a new energy is held against the straight line, in the logarithm of the energy, between
    the reference's means at the energies beside it. What is curved there counts as a deviation, so that this finds
    outliers and is no precise test.

    Args:
        generated: Showers as described by the task, at discrete energies.
        reference: The same.
        geometry: Of both.

    Returns:
        By energy: `response` and `expected` response, and `deviation`, the mean over features of the distance in
        standard deviations of a single shower.

    Raises:
        ValueError: As `between`.
    """
    have, new = between(generated, reference)
    f, g = features(reference, geometry)[:, 1:], features(generated, geometry)[:, 1:]
    at = [b.field("shower.energy").values.double().numpy() for b in (reference, generated)]
    ratios = [_ratio(b) for b in (reference, generated)]
    out = {}
    for e in new:
        above = int(np.searchsorted(have, e))
        sides = [np.isclose(at[0], have[i], rtol=1e-4) for i in (above - 1, above)]
        weight = float(np.log(e / have[above - 1]) / np.log(have[above] / have[above - 1]))
        mine = np.isclose(at[1], e, rtol=1e-4)
        low, high = (f[s].mean(0) for s in sides)
        spread = np.maximum((1 - weight) * f[sides[0]].std(0) + weight * f[sides[1]].std(0), 1e-9)
        expected = (1 - weight) * ratios[0][sides[0]].mean() + weight * ratios[0][sides[1]].mean()
        out[f"{e:g} GeV"] = {
            "response": float(ratios[1][mine].mean()),
            "expected": float(expected),
            "deviation": float(np.abs((g[mine].mean(0) - (1 - weight) * low - weight * high) / spread).mean()),
        }
    return out


def between(generated: Batch, reference: Batch) -> tuple[Array, Array]:
    """The discrete energies of a reference, and the generated ones that it lacks and has neighbours of; GeV.

    Raises:
        ValueError: If the energies are not discrete, or none of the generated ones lies between two of the reference.
    """
    have, new = (_discrete(b.field("shower.energy").values.double().numpy()) for b in (reference, generated))
    if have is None or new is None:
        raise ValueError("interpolation: expected discrete incident energies on both sides; the spectrum is continuous")
    found = [e for e in new if have[0] < e < have[-1] and not np.isclose(have, e, rtol=1e-4).any()]
    if not found:
        raise ValueError("interpolation: no generated energy lies between two of the reference; generate some there")
    return have, np.array(found)


def _ratio(batch: Batch) -> Array:
    return np.asarray((batch.field("shower.total").values / batch.field("shower.energy").values).double().numpy())


def _relative(r: Array) -> Estimate:
    """Spread over mean, with the error of a normal distribution."""
    value = float(r.std() / max(r.mean(), 1e-12))
    return Estimate.symmetric(value, value / np.sqrt(2 * max(len(r) - 1, 1)))


def _discrete(energies: Array) -> Array | None:
    """The different energies, or None if there are many."""
    found = np.unique(np.round(energies, 6))
    return found if len(found) <= _DISCRETE and len(found) < len(energies) / 2 else None


def _edges(energies: Array) -> dict[str, tuple[float, float]]:
    found = _discrete(energies)
    if found is not None:
        return {f"{e:g} GeV": (float(e) * (1 - 1e-4), float(e) * (1 + 1e-4)) for e in found}
    ends = np.geomspace(energies.min(), energies.max() * (1 + 1e-9), BINS + 1)
    return {f"{a}-{b} GeV": x for (a, b), x in zip(pairwise(_named(ends)), pairwise(ends.tolist()), strict=True)}


def _named(values: Array) -> list[str]:
    """Numbers of three digits, or of as many as tell them apart."""
    for digits in range(3, 18):
        names = [f"{v:.{digits}g}" for v in values]
        if len(set(names)) == len(names):
            break
    return names
