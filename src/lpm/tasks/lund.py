"""Scale factors of taggers from the Lund plane, for batches of jets: what `lpm.metrics.lund` measures and corrects.

    ratio = measure(w_jets_of_data, w_jets_of_simulation)
    print(correct(ratio, signal, passed).estimate)

Data need no truth: every jet of a sample of W jets is resolved into two subjets. Simulated jets that are corrected have
the collection `prong` (`lpm.data.fine`), which says into how many, and where they should be found.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.fine import PRONGS
from lpm.metrics.lund import LundBins, LundRatio, Plane, Radiation, ScaleFactor, lund_ratio, scale_factor
from lpm.physics.kinematics import cartesian, wrap_phi
from lpm.physics.lund import Subjets, exclusive, lund_plane

__all__ = ["badly_matched", "correct", "measure", "quarks", "resolve"]

NEAR = 0.2
"""Largest distance of a subjet and its prong."""


def quarks(batch: Batch) -> Ragged:
    """Rapidity and azimuth of the quarks and gluons among the prongs of each jet, relative to the jet axis.

    Raises:
        ValueError: If the jets have no prongs.
    """
    if "prong" not in batch.schema:
        raise ValueError("the jets have no collection prong, which says how many quarks are in them; simulate them "
                         "with lpm simulate jets --preset fine")  # fmt: skip
    rows = batch.collections["prong"]
    column = batch.schema["prong"].index
    coloured = rows.values[:, column("kind")] <= PRONGS.index("g")
    table = rows.values[:, [column("deta"), column("dphi")]]
    counts = torch.zeros(len(batch), dtype=torch.int64).index_add_(0, rows.event, coloured.long())
    return Ragged.from_lengths(table[coloured], counts)


def resolve(batch: Batch, prongs: Tensor) -> tuple[Radiation, Subjets]:
    """Subjets and splittings of jets.

    Args:
        batch: With `particle.pt`, `particle.deta`, `particle.dphi`; particles are taken as massless.
        prongs: (B,) subjets wanted of each jet, at least 1.
    """
    pt, deta, dphi = (batch.field(f"particle.{n}").values.double() for n in ("pt", "deta", "dphi"))
    px, py, pz = cartesian(pt, deta, dphi)
    p4 = torch.stack([px, py, pz, pt * deta.cosh()], 1)
    subjets = exclusive(p4, batch.collections["particle"].lengths, prongs)
    found = lund_plane(p4, subjets)
    flat = Radiation(
        jets=len(batch), jet=subjets.jet.numpy(), pt=subjets.pt.numpy(), subjet=found.subjet.numpy(),
        delta=found.delta.numpy(), kt=found.kt.numpy(),
    )  # fmt: skip
    return flat, subjets


def measure(
    data: Batch,
    simulation: Batch,
    bins: LundBins | None = None,
    *,
    prongs: int = 2,
    weights: tuple[ArrayLike | None, ArrayLike | None] = (None, None),
) -> LundRatio:
    """The ratio of the planes of two samples of jets with equally many prongs, W jets for example.

    Args:
        data: Measured jets.
        simulation: Simulated jets.
        bins: Bins of the plane; None for the usual ones.
        prongs: Into how many subjets each jet is resolved.
        weights: (B,) weights of the jets of data (negative for background that is subtracted) and of simulation.

    Raises:
        ValueError: If there is no jet.
    """
    bins = bins or LundBins()
    measured, simulated = (
        Plane.fill(resolve(b, torch.full((len(b),), prongs))[0], bins, w)
        for b, w in zip((data, simulation), weights, strict=True)
    )
    return lund_ratio(measured, simulated, bins)


def badly_matched(batch: Batch, subjets: Subjets) -> NDArray[np.bool_]:
    """(B,) whether some subjet of a jet is near no quark or gluon, or near two, or some of these near no subjet.

    Args:
        batch: Jets with prongs.
        subjets: Their subjets.
    """
    truth = quarks(batch)
    bad = torch.zeros(len(batch), dtype=torch.bool)
    place, mask = truth.padded(fill=1e3)
    if not place.shape[1]:
        return np.ones(len(batch), dtype=bool)
    mine, size = place[subjets.jet].double(), len(subjets)
    distance = torch.hypot(subjets.y[:, None] - mine[..., 0], wrap_phi(subjets.phi[:, None] - mine[..., 1]))
    near = torch.where(mask[subjets.jet], distance, torch.inf)
    # Each quark belongs to the nearest subjet of its jet; so many quarks within reach has each subjet.
    nearest = torch.full(place.shape[:2], torch.inf, dtype=torch.float64)
    nearest = nearest.scatter_reduce(0, subjets.jet[:, None].expand(size, place.shape[1]), near, "amin")
    owned = ((near == nearest[subjets.jet]) & (near < NEAR)).sum(1)
    bad[subjets.jet[owned != 1]] = True
    found = torch.zeros_like(truth.lengths).index_add_(0, subjets.jet, owned)
    return np.asarray((bad | (found != truth.lengths) | (truth.lengths == 0)).numpy())


def correct(ratio: LundRatio, batch: Batch, passed: ArrayLike, *, seed: int = 0, toys: int = 100) -> ScaleFactor:
    """The scale factor of a cut on simulated jets, with all its errors.

    Args:
        ratio: Of `measure`.
        batch: Jets with prongs.
        passed: (B,) bool, which of them pass.
        seed: Of the toys.
        toys: Number of toys.

    Raises:
        ValueError: If the jets have no prongs, shapes disagree or no jet passes.
    """
    count = quarks(batch).lengths.clamp_min(1)
    found, subjets = resolve(batch, count)
    bad = badly_matched(batch, subjets)
    step = torch.from_numpy(bad).long()
    up, down = (resolve(batch, (count + sign * step).clamp_min(1))[0] for sign in (1, -1))
    return scale_factor(ratio, found, passed, bad=bad, varied=(up, down), seed=seed, toys=toys)
