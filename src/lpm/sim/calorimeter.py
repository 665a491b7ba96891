r"""Parametrised calorimeter showers of photons, electrons and charged pions, in the cells of the CaloChallenge.

A shower of energy E is first a mean: which share of it lies in which layer and ring (`lpm.sim.shower_profiles`), at a
depth, a shape and a width that fluctuate from shower to shower. Then it is made of spots: in each cell falls a Poisson
number of them, whose energies follow a gamma distribution. From this come the sampling fluctuations,
:math:`\sigma_E / E = \sqrt{g (1 + 1/k) / E}` for spots of mean energy g and shape k, and empty cells.

A photon converts after 9/7 radiation lengths on average. A pion ionises until its first interaction, one interaction
length deep on average; of the rest a share goes into neutral pions, :math:`\langle f \rangle = 1 - E^{-0.18}` with E in
GeV (Gabriel et al., Nucl. Instrum. Meth. A 338 (1994) 336), which fluctuates as a beta distribution and showers
electromagnetically; what is left is a broad hadronic part, of which some is not seen.

The energy is conserved on average: the sum of all cells is at most the incident energy, but for sampling fluctuations
and the constant term; what is lost lies before the first layer, behind the last, beyond the rings, below the threshold,
or in nuclei. This is no Geant4: shapes and sizes are about right, correlations between cells are simple.

Shapes: B showers, L layers, V voxels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lpm.data.showers import DATA_SETS
from lpm.sim.calorimeter_card import CalorimeterCard, Hadronic
from lpm.sim.shower_profiles import (
    electromagnetic_shape,
    hadronic_shape,
    inside,
    longitudinal,
    radii,
    rings,
)

__all__ = ["incident_energies", "simulate"]

Array = NDArray[np.float64]

_CONVERSION = 9 / 7  # radiation lengths of a photon before it becomes a pair
_MIP_RADIUS = 8.0  # mm


def incident_energies(n: int, dataset: str, rng: np.random.Generator) -> Array:
    """(n,) energies in GeV as the data set has them, in random order.

    Discrete energies come in the shares of the data set, rounded; with as many showers as it has, exactly.

    Example:
        >>> e = incident_energies(121_000, "1-photons", np.random.default_rng(0))
        >>> int((e == 4194.304).sum()), float(e.min())
        (1000, 0.256)
    """
    which = DATA_SETS[dataset]
    if not which.energies:
        return np.exp(rng.uniform(np.log(which.lowest), np.log(which.highest), n))
    ends = np.cumsum([0, *which.energies.values()]) / sum(which.energies.values())
    counts: NDArray[np.int64] = np.diff(np.rint(ends * n)).astype(np.int64)
    return rng.permutation(np.repeat(np.array(list(which.energies)), counts))


def simulate(energy: Array, card: CalorimeterCard, rng: np.random.Generator) -> NDArray[np.float32]:
    """Showers as rows of voxels.

    Args:
        energy: (B,) incident energies, GeV.
        card: The calorimeter.
        rng: Source of all fluctuations.

    Returns:
        (B, V) energies in GeV, 0 below the threshold.

    Example:
        >>> from lpm.sim.calorimeter_card import read_calorimeter_card
        >>> grid = simulate(np.full(20, 16.384), read_calorimeter_card("1-photons"), np.random.default_rng(0))
        >>> grid.shape, bool(0.8 < grid.sum() / 20 / 16.384 < 1.0)
        ((20, 368), True)
    """
    which = DATA_SETS[card.dataset]
    out = np.zeros((len(energy), which.geometry.voxels))
    scale = np.maximum(1 + card.constant * rng.standard_normal(len(energy)), 0)
    if which.particle == "pion":
        assert card.hadronic is not None
        _pion(out, energy, card, card.hadronic, scale, rng)
    else:
        start = rng.exponential(_CONVERSION, len(energy)) if which.particle == "photon" else np.zeros(len(energy))
        _electromagnetic(out, energy, start, card, scale, rng)
    if card.noise:
        out += card.noise * rng.standard_normal(out.shape)
    out[out < which.threshold] = 0
    return out.astype(np.float32)


def _electromagnetic(out: Array, energy: Array, start: Array, card: CalorimeterCard, scale: Array,
                     rng: np.random.Generator) -> None:  # fmt: skip
    """Add electromagnetic showers that start at a depth in radiation lengths."""
    layers = DATA_SETS[card.dataset].geometry.layers
    t, alpha = electromagnetic_shape(energy, card.material, rng)
    ends = np.asarray(card.depth)
    mean = (energy * scale)[:, None] * longitudinal(alpha, (alpha - 1) / t, start, ends)
    middle = np.clip((ends[:-1] + ends[1:]) / 2 - start[:, None], 0.05, None)
    core, tail, share = radii(middle / t[:, None], energy, card.material)
    breadth = np.exp(card.breadth * rng.standard_normal(len(energy)))
    sway = _sways(card.sway / np.sqrt(energy), len(layers), rng)
    for i, layer in enumerate(layers):
        size = card.material.moliere[i] * breadth
        part = rings(layer.r_edges, core[:, i] * size, tail[:, i] * size, share[:, i])
        _spots(out, i, mean[:, i, None] * part, sway[:, i], card.grain, card.shape, card, rng)


def _pion(out: Array, energy: Array, card: CalorimeterCard, had: Hadronic, scale: Array,
          rng: np.random.Generator) -> None:  # fmt: skip
    """Add ionisation, neutral pions and hadrons of charged pions."""
    layers = DATA_SETS[card.dataset].geometry.layers
    ends = np.asarray(had.depth)
    start = rng.exponential(1.0, len(energy))
    crossed = np.diff(np.minimum(ends[None, :], start[:, None]), axis=1)
    ionised = had.ionisation * crossed
    ionised *= np.minimum(1, energy / np.maximum(ionised.sum(1), 1e-9))[:, None]
    rest = np.maximum(energy - had.ionisation * np.minimum(start, ends[-1]), 0)
    neutral = _neutral_share(rest, rng)
    em = np.maximum(neutral * rest, 1e-3)
    depth = np.interp(start, ends, card.depth)  # of the first interaction, in radiation lengths
    _electromagnetic(out, em, depth + rng.exponential(_CONVERSION, len(energy)), card, scale, rng)
    alpha, beta = hadronic_shape(rest, rng)
    count = had.visible * (1 - had.visible) / had.spread**2 - 1
    visible = rng.beta(had.visible * count, (1 - had.visible) * count, len(energy))
    mean = (visible * (1 - neutral) * rest * scale)[:, None] * longitudinal(alpha, beta, start, ends)
    breadth = np.exp(card.breadth * rng.standard_normal(len(energy)))
    sway = _sways(2 * card.sway / np.sqrt(np.maximum(rest, 0.2)), len(layers), rng)
    straight = np.zeros(len(energy), dtype=np.complex128)
    for i, layer in enumerate(layers):
        edges = np.asarray(layer.r_edges)
        behind = np.clip((ends[i] + ends[i + 1]) / 2 - start, 0, None)
        radius = had.length[i] * (0.10 + 0.12 * behind) * breadth
        wide = np.diff(inside(edges, radius), axis=1)
        narrow = np.diff(inside(edges, np.array([_MIP_RADIUS])), axis=1)
        _spots(out, i, mean[:, i, None] * wide, sway[:, i], had.grain, had.shape, card, rng)
        _spots(out, i, ionised[:, i, None] * narrow, straight, card.grain, 2.0, card, rng)


def _neutral_share(energy: Array, rng: np.random.Generator) -> Array:
    """(B,) share of neutral pions; the more particles, the less it fluctuates."""
    mean = np.clip(1 - np.maximum(energy, 1.0) ** -0.18, 0.02, 0.95)
    count = 1.5 + 1.5 * np.log(np.maximum(energy, 1.0))
    return rng.beta(mean * count, (1 - mean) * count)


def _sways(size: Array, layers: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    """(B, L) first harmonic of the azimuth in each layer, as complex numbers that wander from layer to layer."""
    steps = rng.standard_normal((len(size), layers, 2)).view(np.complex128)[..., 0]
    out = np.empty_like(steps)
    keep = 0.8 ** (5 / max(layers, 5))  # forgotten over a fifth of the layers, or of five
    now = steps[:, 0]
    for i in range(layers):
        now = steps[:, 0] if i == 0 else keep * now + np.sqrt(1 - keep**2) * steps[:, i]
        out[:, i] = now
    out *= size[:, None]
    return np.asarray(out / np.maximum(np.abs(out) / 0.9, 1))


def _spots(out: Array, i: int, mean: Array, sway: NDArray[np.complex128], grain: float, shape: float,
           card: CalorimeterCard, rng: np.random.Generator) -> None:  # fmt: skip
    """Add to layer i spots whose energies add up to `mean` (B, rings) on average."""
    geometry = DATA_SETS[card.dataset].geometry
    layer, first = geometry.layers[i], geometry.first[i]
    if layer.sectors > 1:
        edges = np.linspace(-np.pi, np.pi, layer.sectors + 1)
        around = np.diff(np.exp(1j * edges)) / (2j * np.pi)  # integral of the first harmonic over a sector
        part = 1 / layer.sectors + np.real(sway.conj()[:, None] * around)
        mean = part[:, :, None] * mean[:, None, :]
    counts = rng.poisson(mean.reshape(len(mean), -1) / grain)
    row, cell = counts.nonzero()
    out[row, first + cell] += rng.gamma(counts[row, cell] * shape, grain / shape)
