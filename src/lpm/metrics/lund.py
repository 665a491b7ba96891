r"""Data/simulation scale factors from the Lund plane: a correction of the substructure of jets with any prongs.

(CMS Collaboration, arXiv 2507.07775.) W jets are resolved into two subjets, in data and in simulation, and the density
of splittings per subjet, :math:`\rho(\ln 0.8/\Delta, \ln k_T)`, is measured in bins of the subjet's :math:`p_T`. Quarks
radiate alike wherever they come from: any other simulated jet, resolved into its own prongs, is weighed with the
product of the ratios over all its splittings,

.. math:: w = \prod_{s} \frac{\rho_\mathrm{data}(s)}{\rho_\mathrm{sim}(s)}
   \prod_{q} e^{N_\mathrm{sim}(q) - N_\mathrm{data}(q)} ,

here with the probability that no other splitting happens in each subjet q, N being the mean number of splittings at its
:math:`p_T`, as for independent (Poisson) emissions. Weights are normalised to a mean of 1. The scale factor of a cut is
the ratio of its efficiencies with and without weights.

Uncertainties: *statistical*, of the measured ratio, by toys; *extrapolation*, of subjets harder than those measured,
half of what a straight line in 1/pT through the last two bins changes; *matching*, of jets whose subjets are not their
prongs, by one prong more or fewer; *sample*, of the finite number of simulated jets.

Shapes: P, X, Y bins of pT, ln 0.8/Δ, ln kT; B jets, Q subjets, S splittings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lpm.metrics.estimate import Array, Estimate, resamples

__all__ = ["LundBins", "LundRatio", "Plane", "Radiation", "ScaleFactor", "lund_ratio", "scale_factor"]

Index = NDArray[np.int64]

RADIUS = 0.8
"""Distance at which ln 0.8/Δ is 0, as published; a convention, also for jets of other radii."""

SMALLEST, LARGEST = 0.2, 5.0
"""Range to which ratios are cut; beyond lie cells with hardly an event."""


@dataclass(frozen=True, kw_only=True)
class LundBins:
    """Bins in which the plane is measured.

    Args:
        pt: Edges of the subjet's transverse momentum in GeV; beyond the ends, the outermost bins are used.
        angle: Edges of ln 0.8/Δ; splittings beyond the ends are not counted.
        kt: Edges of ln(kT / GeV), likewise. Below 1 GeV hadrons form, which remember the whole shower: there, ratios of
            one kind of jet do not hold for another.
    """

    pt: tuple[float, ...] = (10.0, 65.0, 110.0, 175.0, 240.0, 350.0)
    angle: tuple[float, ...] = tuple(float(x) for x in np.linspace(0, 4.5, 10))
    kt: tuple[float, ...] = tuple(float(x) for x in np.linspace(0.0, 5.0, 8))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(P, X, Y)."""
        return len(self.pt) - 1, len(self.angle) - 1, len(self.kt) - 1


@dataclass(frozen=True, eq=False)
class Radiation:
    """The subjets of B jets and their splittings, flat.

    Args:
        jets: B.
        jet: (Q,) jet of each subjet.
        pt: (Q,) transverse momentum of each subjet in GeV.
        subjet: (S,) subjet of each splitting.
        delta: (S,) distance of the branches.
        kt: (S,) in GeV.
    """

    jets: int
    jet: Index
    pt: Array
    subjet: Index
    delta: Array
    kt: Array

    def cells(self, bins: LundBins) -> tuple[Index, NDArray[np.bool_], Index]:
        """(S,) flat cell of each splitting, (S,) whether it lies in the plane, (Q,) bin of pt of each subjet."""
        row = np.clip(np.searchsorted(bins.pt, self.pt, side="right") - 1, 0, bins.shape[0] - 1)
        with np.errstate(divide="ignore"):
            x, y = np.log(RADIUS / self.delta), np.log(self.kt)
        i, j = np.searchsorted(bins.angle, x, side="right") - 1, np.searchsorted(bins.kt, y, side="right") - 1
        inside = (i >= 0) & (i < bins.shape[1]) & (j >= 0) & (j < bins.shape[2])
        cell = (row[self.subjet] * bins.shape[1] + np.where(inside, i, 0)) * bins.shape[2] + np.where(inside, j, 0)
        return cell.astype(np.int64), inside, row.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Plane:
    """Splittings counted in the plane.

    Args:
        count: (P, X, Y) sum of weights.
        square: (P, X, Y) sum of squared weights.
        subjets: (P,) sum of weights of the subjets.
    """

    count: Array
    square: Array
    subjets: Array

    @classmethod
    def fill(cls, found: Radiation, bins: LundBins, weights: ArrayLike | None = None) -> Plane:
        """Count.

        Args:
            found: Subjets and splittings.
            bins: Where to count.
            weights: (B,) weights of the jets, negative for background that is subtracted; 1 if absent.
        """
        w = np.ones(found.jets) if weights is None else np.asarray(weights, dtype=np.float64)
        cell, inside, row = found.cells(bins)
        each = w[found.jet[found.subjet]][inside]
        size = int(np.prod(bins.shape))
        count, square = (_summed(cell[inside], v, size).reshape(bins.shape) for v in (each, each**2))
        return cls(count, square, _summed(row, w[found.jet], bins.shape[0]))

    @property
    def density(self) -> Array:
        """(P, X, Y) splittings a subjet."""
        return np.asarray(self.count / np.maximum(self.subjets, 1e-12)[:, None, None])


@dataclass(frozen=True, eq=False)
class LundRatio:
    """Data over simulation in the plane.

    Args:
        bins: Where it was measured.
        ratio: (P, X, Y), 1 where one of the two has nothing.
        error: (P, X, Y) its statistical error; 1 where one of the two has nothing.
        surplus: (P,) mean number of splittings of a subjet in data minus that in simulation.
    """

    bins: LundBins
    ratio: Array
    error: Array
    surplus: Array

    def weights(self, found: Radiation, *, noise: Array | None = None, extrapolate: float = 0.0) -> Array:
        """(B,) weights of simulated jets, of mean 1.

        Args:
            found: Their subjets and splittings.
            noise: (P, X, Y) standard Gaussian numbers, by which the ratio is moved within its errors.
            extrapolate: Share of the change that a straight line in 1/pT makes for subjets beyond the last bin.
        """
        ratio = self.ratio if noise is None else self.ratio + noise * self.error
        cell, inside, row = found.cells(self.bins)
        value = ratio.ravel()[cell]
        if extrapolate and len(self.bins.pt) > 2:
            slope = np.stack([ratio[-2], ratio[-1]]).reshape(2, -1)
            u = 2 / (np.asarray(self.bins.pt[-3:-1]) + np.asarray(self.bins.pt[-2:]))
            pt = np.maximum(found.pt[found.subjet], 1 / u[1])
            last = cell % slope.shape[1]
            line = (1 / pt - u[1]) / (u[1] - u[0]) * (slope[1] - slope[0])[last]
            value = value + np.where(found.pt[found.subjet] > self.bins.pt[-1], extrapolate * line, 0.0)
        log = np.where(inside, np.log(np.clip(value, SMALLEST, LARGEST)), 0.0)
        total = np.bincount(found.jet[found.subjet], log, found.jets)
        total -= np.bincount(found.jet, self.surplus[row], found.jets)
        w = np.exp(total - total.max()) if found.jets else total
        return np.asarray(w / w.mean())


@dataclass(frozen=True, slots=True)
class ScaleFactor:
    """What the efficiency of a cut on simulated jets is to be multiplied with.

    Args:
        value: The scale factor.
        statistical: Error from the measured ratio.
        extrapolation: Error from subjets harder than those measured.
        matching: Error from jets whose subjets are not their prongs.
        sample: Error from the number of simulated jets.
        efficiency: Of the cut on simulated jets, before the correction.
        bad: Share of jets whose subjets are not their prongs.
    """

    value: float
    statistical: float
    extrapolation: float
    matching: float
    sample: float
    efficiency: float
    bad: float

    @property
    def estimate(self) -> Estimate:
        """The value with all errors added in quadrature."""
        parts = (self.statistical, self.extrapolation, self.matching, self.sample)
        return Estimate.symmetric(self.value, float(np.sqrt(np.square(parts).sum())))

    @property
    def corrected(self) -> Estimate:
        """The efficiency that data should have."""
        e = self.estimate
        return Estimate.symmetric(self.efficiency * e.value, self.efficiency * e.error)


def lund_ratio(data: Plane, simulation: Plane, bins: LundBins) -> LundRatio:
    """Data over simulation, each a subjet.

    Args:
        data: Plane of W jets in data, background subtracted.
        simulation: Plane of W jets in simulation.
        bins: Of both.

    Raises:
        ValueError: If either has no subjet.

    Example:
        >>> bins = LundBins(pt=(0.0, 100.0), angle=(0.0, 2.0), kt=(-1.0, 1.0))
        >>> two, one = (Plane(np.full((1, 1, 1), n), np.full((1, 1, 1), n), np.array([100.0])) for n in (64.0, 32.0))
        >>> found = lund_ratio(two, one, bins)
        >>> found.ratio.item(), round(found.surplus.item(), 2)
        (2.0, 0.32)
    """
    if not (data.subjets.sum() > 0 and simulation.subjets.sum() > 0):
        raise ValueError("Lund plane: expected subjets in data and in simulation, one of them has none")
    good = (data.count > 0) & (simulation.count > 0) & (data.subjets * simulation.subjets > 0)[:, None, None]
    ratio = np.divide(data.density, simulation.density, out=np.ones(bins.shape), where=good)
    relative = np.sqrt(sum(np.divide(p.square, p.count**2, out=np.zeros(bins.shape), where=good)
                           for p in (data, simulation)))  # fmt: skip
    error = np.where(good, ratio * relative, 1.0)
    both = (data.subjets > 0) & (simulation.subjets > 0)
    surplus = np.where(both, (data.density - simulation.density).sum((1, 2)), 0.0)
    return LundRatio(bins, ratio, error, surplus)


def scale_factor(
    ratio: LundRatio,
    found: Radiation,
    passed: ArrayLike,
    *,
    bad: ArrayLike | None = None,
    varied: tuple[Radiation, Radiation] | None = None,
    seed: int = 0,
    toys: int = 100,
) -> ScaleFactor:
    """The scale factor of a cut.

    Args:
        ratio: As measured with W jets.
        found: Subjets and splittings of B simulated jets.
        passed: (B,) bool, which of them pass the cut.
        bad: (B,) bool, which of them have subjets that are not their prongs; None if it is not known.
        varied: The same jets, those of `bad` resolved into one prong more and one fewer.
        seed: Of the toys.
        toys: Number of toys.

    Raises:
        ValueError: If shapes disagree or no jet passes.
    """
    cut, odd = np.asarray(passed, dtype=bool), np.zeros(found.jets, bool) if bad is None else np.asarray(bad, bool)
    if cut.shape != (found.jets,) or odd.shape != cut.shape or not cut.any():
        raise ValueError(f"scale factor: expected {found.jets} choices, some of them true, got shape {cut.shape}")
    rng = np.random.default_rng(seed)
    efficiency = float(cut.mean())

    def factor(w: Array) -> float:
        return float(w @ cut / w.sum() / efficiency)

    w = ratio.weights(found)
    value = factor(w)
    moved = [factor(ratio.weights(found, noise=rng.normal(size=ratio.ratio.shape))) for _ in range(toys)]
    matching = max((abs(factor(ratio.weights(v)) - value) for v in varied), default=0.0) if varied else 0.0
    drawn = resamples(found.jets, toys, rng).astype(np.float64)
    again = (drawn * w) @ cut / (drawn @ w) / (drawn @ cut / found.jets)
    return ScaleFactor(
        value=value, statistical=float(np.std(moved)), matching=matching, sample=float(np.nanstd(again)),
        extrapolation=abs(factor(ratio.weights(found, extrapolate=1.0)) - value) / 2,
        efficiency=efficiency, bad=float(odd.mean()),
    )  # fmt: skip


def _summed(cell: Index, weight: Array, size: int) -> Array:
    return np.asarray(np.bincount(cell, weight, size), dtype=np.float64)
