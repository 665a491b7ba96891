r"""The traditional way to identify tracks: by how many deviations each signal lies from what a species should give.

The expected signal of a species and its spread are taken from tracks of known species, as median and half of the
central 68% in bins of momentum, and interpolated. A track's distance from species s is

.. math:: n_\sigma^s = \sqrt{ \frac{1}{D} \sum_{d=1}^{D} \left( \frac{x_d - \mu_d^s(p)}{\sigma_d^s(p)} \right)^2 }

over the D detectors that saw it; a cut on it is the usual selection. With the abundances of the species as prior and
Gaussian signals it gives probabilities (ALICE, arXiv 1602.01392).

Shapes: N tracks, S signals, C species, K bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lpm.data.batch import Batch
from lpm.tasks.pid import truth_of

__all__ = ["SIGNALS", "Response", "calibrate"]

Array = NDArray[np.float64]

SIGNALS = {"its.dedx": "log", "tpc.dedx": "log", "tof.beta": "inverse", "trd.charge": "log", "trd.late": "log"}
"""What each detector identifies by, and the scale on which it is nearly Gaussian."""

BINS = 40
"""Bins of equally many tracks in which a response is measured, if there are so many tracks."""

EACH = 300
"""Tracks that a bin is to hold."""

FEWEST = 10
"""Tracks of a species that a bin needs."""

FAR = 1e3
"""Distance of a track that no detector saw, or beyond any other."""


@dataclass(frozen=True, eq=False)
class Response:
    """Expected signals by species and momentum.

    Args:
        species: C names.
        signals: S paths.
        momentum: (K,) centres of the bins in ln p.
        mean: (S, C, K) expected signal; NaN for a species of which too few tracks had it.
        spread: (S, C, K) its deviation; NaN likewise.
        prior: (C, K) share of the species.
    """

    species: tuple[str, ...]
    signals: tuple[str, ...]
    momentum: Array
    mean: Array
    spread: Array
    prior: Array

    def pulls(self, batch: Batch) -> Array:
        """(N, S, C) deviations of each signal from each species; NaN where it was not measured or is not known."""
        x, values = _momentum(batch), _values(batch, self.signals)
        out = np.empty((len(batch), len(self.signals), len(self.species)))
        for i in range(len(self.signals)):
            for j in range(len(self.species)):
                mean, spread = (np.interp(x, self.momentum, a[i, j]) for a in (self.mean, self.spread))
                out[:, i, j] = (values[:, i] - mean) / spread
        return out

    def distance(self, batch: Batch) -> Array:
        """(N, C) combined distance from each species by the detectors that know it, never above `FAR`."""
        square = self.pulls(batch) ** 2
        seen = np.isfinite(square)
        count = seen.sum(1)
        total = np.where(seen, square, 0.0).sum(1) / np.maximum(count, 1)
        return np.where(count > 0, np.minimum(np.sqrt(total), FAR), FAR)

    def probability(self, batch: Batch) -> Array:
        """(N, C) probabilities of the species, from Gaussian signals and the share of each at this momentum."""
        x, pulls = _momentum(batch), self.pulls(batch)
        log = np.stack([np.log(np.interp(x, self.momentum, p)) for p in self.prior], 1)
        for i in range(len(self.signals)):
            spread = np.stack([np.interp(x, self.momentum, s) for s in self.spread[i]], 1)
            log += np.nan_to_num(-0.5 * np.minimum(pulls[:, i] ** 2, 50.0) - np.log(spread) * np.isfinite(pulls[:, i]))
        p = np.exp(log - log.max(1, keepdims=True))
        return np.asarray(p / p.sum(1, keepdims=True))


def calibrate(batch: Batch, species: tuple[str, ...]) -> Response:
    """Measure the response with tracks of known species.

    Args:
        batch: Tracks with `track.species`.
        species: Names to be told apart.

    Raises:
        ValueError: If a species has no tracks, or there is no signal.
    """
    labels, x = truth_of(batch, species).numpy(), _momentum(batch)
    signals = tuple(path for path in SIGNALS if path in batch.schema)
    absent = [s for i, s in enumerate(species) if not (labels == i).any()]
    if absent or not signals:
        raise ValueError(
            f"cannot calibrate: no {'tracks of ' + ', '.join(absent) if absent else 'signal to identify by'}"
        )
    count = min(BINS, max(3, len(batch) // EACH))
    edges = np.quantile(x, np.linspace(0, 1, count + 1))
    centres = (edges[1:] + edges[:-1]) / 2
    bins = np.clip(np.searchsorted(edges, x) - 1, 0, count - 1)
    values = _values(batch, signals)
    mean, spread = (np.empty((len(signals), len(species), count)) for _ in range(2))
    prior = np.empty((len(species), count))
    for j in range(len(species)):
        prior[j] = np.bincount(bins[labels == j], minlength=count) + 0.5
        for i in range(len(signals)):
            here = (labels == j) & np.isfinite(values[:, i])
            mean[i, j], spread[i, j] = _profile(values[here, i], bins[here], count)
    return Response(species, signals, centres, mean, spread, prior / prior.sum(0))


def _profile(values: Array, bins: NDArray[np.int64], count: int) -> tuple[Array, Array]:
    """Median and half the central 68% in each bin; from neighbours where a bin has too few, NaN if all have."""
    middle, half = np.full(count, np.nan), np.full(count, np.nan)
    for k in range(count):
        inside = values[bins == k]
        if len(inside) >= FEWEST:
            low, middle[k], high = np.quantile(inside, [0.16, 0.5, 0.84])
            half[k] = (high - low) / 2
    known = np.flatnonzero(np.isfinite(middle))
    if not len(known):  # rarely seen by this detector: it tells nothing of this species
        return middle, half
    every = np.arange(count)
    return np.interp(every, known, middle[known]), np.maximum(np.interp(every, known, half[known]), 1e-4)


def _momentum(batch: Batch) -> Array:
    return np.asarray(batch.field("track.p").values.double().clamp_min(1e-3).log().numpy())


def _values(batch: Batch, signals: tuple[str, ...]) -> Array:
    """(N, S) signals on their scales; NaN where not measured."""
    out = np.full((len(batch), len(signals)), np.nan)
    for i, path in enumerate(signals):
        rows = batch.field(path)
        out[rows.event.numpy(), i] = _scaled(rows.values.double(), SIGNALS[path]).numpy()
    return out


def _scaled(values: Tensor, scale: str) -> Tensor:
    return values.clamp_min(1e-3).log() if scale == "log" else 1 / values.clamp_min(1e-2)
