"""The judge of showers: named measurements of a generated sample against a reference, as JSON.

Each takes what is to be judged and returns a part of the answer, so that a command line, a benchmark and a recipe print
the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.data.io import open_file
from lpm.data.io.showers import CaloChallengeReader, named_geometry
from lpm.data.showers import grid_of
from lpm.metrics.calorimeter import physics_distances, separations, separations_of_energies
from lpm.metrics.estimate import Estimate
from lpm.metrics.memory import memorised
from lpm.metrics.neighbours import prdc
from lpm.metrics.shower_classifiers import Telling, log_posterior, tell_apart
from lpm.metrics.shower_energies import energy_bins, interpolated
from lpm.metrics.shower_inputs import Level, both, inputs, logarithms
from lpm.metrics.shower_networks import Residual3d
from lpm.metrics.timing import milliseconds
from lpm.physics.geometry import Box, Geometry, Planes
from lpm.tasks import judging as needs
from lpm.tasks.calorimeter import describe_grid, geometry_in
from lpm.tasks.judging import Check, Judging

__all__ = ["JUDGES", "Judge", "Judging", "read_showers"]

OFFICIAL_WIDTH = 2048
"""Width of the challenge's classifiers; the residual network is as wide as there only beside classifiers that are."""

NEIGHBOURS = 5_000
"""Showers of each sample among which neighbours are sought."""

FEWEST = 20
"""Showers of each sample below which histograms of a hundred bins and fifth neighbours tell nothing."""

REPEATS = {1: 10, 100: 10, 10_000: 3}
"""Timed calls by showers of a call; the challenge repeats each ten times."""

MEND = "mend the file"
"""All that can be done about a faulty shower where each counts: a judge leaves none out."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """One measurement.

    Args:
        check: Sees that what it needs is there.
        compute: Returns JSON, by the names under which it is printed.
        cells: Whether it needs the places of cells.
    """

    check: Check
    compute: Callable[[Judging], dict[str, Any]]
    cells: bool

    def measure(self, judging: Judging) -> dict[str, Any]:
        """What is printed.

        Raises:
            ValueError: If there is not what it needs, such as too few showers.
        """
        self.check(judging)
        return self.compute(judging)


def read_showers(
    path: str | Path, dataset: str | None = None, *, cells: bool = True, threshold: float | None = None
) -> tuple[Batch, Geometry]:
    """All showers of a file with what describes them, read slice by slice.

    Args:
        path: A file of the CaloChallenge's form, ROOT with showers in boxes, or a shard of showers in cells.
        dataset: Name of a data set, cells of a box such as `12x12x12`, or path of a binning XML; None if the file
            tells.
        cells: Whether to keep the places of cells; else only their energies, which takes a fraction of the time.
        threshold: Cells below it do not count, GeV; None for what the data set of the geometry prescribes.

    Returns:
        The showers in double precision, and their geometry.

    Raises:
        ValueError: If the file has other voxels, a shower is faulty, or there is none.
    """
    if Path(path).is_file() and not CaloChallengeReader.sniff(Path(path)):
        return _in_cells(path, dataset, cells, threshold)
    with CaloChallengeReader(path, tree=dataset, dtype=torch.float64) as reader:
        reader.remedy = MEND
        parts = [describe_grid(*block, reader.geometry, threshold, cells=cells) for block in reader.dense()]
        if not parts:
            raise ValueError(f"{path}: expected showers, found none; check how the file was made")
        return Batch.cat(parts), reader.geometry


def _in_cells(path: str | Path, dataset: str | None, cells: bool, threshold: float | None) -> tuple[Batch, Geometry]:
    """Showers of a shard, in cells of the geometry that is named or that they name; or in boxes, as layers of rows."""
    parts: list[Batch] = []
    with open_file(path) as reader:
        reader.remedy = MEND
        box = getattr(reader, "geometry", None)
        if not isinstance(box, Box) and not {"cell.layer", "cell.energy", "shower.energy"} <= set(reader.schema.paths):
            raise ValueError(
                f"{path}: expected showers in the form of the CaloChallenge, in boxes, or a shard of them in cells"
            )
        for batch in reader.batches():
            known = box if isinstance(box, Box) else named_geometry(dataset) if dataset else geometry_in(batch)
            geometry = Planes.of(known) if isinstance(known, Box) else known
            grid, energy = grid_of(batch, known).double(), batch.field("shower.energy").values.double()
            if not bool((energy.isfinite() & (energy > 0)).all()):
                raise ValueError(f"{path}: an incident energy is not a number above 0 GeV; {MEND}")
            parts.append(describe_grid(grid, energy, geometry, threshold, cells=cells))
    if not parts:
        raise ValueError(f"{path}: expected showers, found none; check how the file was made")
    return Batch.cat(parts), geometry


def number(x: float) -> float | None:
    """JSON knows no NaN."""
    return float(x) if math.isfinite(x) else None


def pair(e: Estimate) -> dict[str, float | None]:
    """Value and error."""
    return {"value": number(e.value), "error": number(e.error)}


def _separation(j: Judging) -> dict[str, Any]:
    """Separations by the challenge's names; errors, floors and what lies outside of the histograms beside them."""
    found = separations(j.generated, j.reference, j.geometry, threshold=j.threshold, seed=j.seed)
    found |= separations_of_energies(j.generated, j.reference, j.geometry, seed=j.seed)
    return {
        "separation": {name: number(s.estimate.value) for name, s in found.items()},
        "separation_error": {name: number(s.estimate.error) for name, s in found.items()},
        "separation_floor": {name: number(s.floor) for name, s in found.items()},
        "outside": {name: s.outside() for name, s in found.items()},
    }


def _distance(name: str) -> Judge:
    def measure(j: Judging) -> dict[str, Any]:
        draws = {"min_samples": j.min_samples, "max_samples": j.max_samples}
        found = physics_distances(j.generated, j.reference, j.geometry, (name,), **draws)
        return {n: pair(e) for n, e in found.items()}

    return Judge(check=needs.drawn(name), compute=measure, cells=False)


def _classifier(name: str, level: Level) -> Judge:
    def measure(j: Judging) -> dict[str, Any]:
        rows = both(inputs(j.generated, j.geometry, level), inputs(j.reference, j.geometry, level))
        return {name: _told(tell_apart(rows, len(j.generated), j.training))}

    return Judge(check=needs.classifiable(name), compute=measure, cells=level != "high")


def _cnn(j: Judging) -> dict[str, Any]:
    """A residual network over layers, sectors and rings, for geometries whose layers are alike."""
    rows = both(inputs(j.generated, j.geometry, "low"), inputs(j.reference, j.geometry, "low"))
    planes = (32, 64, 64, 128) if j.training.hidden >= OFFICIAL_WIDTH else (8, 16, 16, 32)
    found = tell_apart(
        rows, len(j.generated), j.training, lambda features, generator: Residual3d(j.geometry.shape, planes, generator)
    )
    return {"cnn": _told(found)}


def _told(found: Telling) -> dict[str, Any]:
    return {
        "auc": pair(found.auc), "jsd": pair(found.jsd), "auc_of_seeds": found.aucs, "jsd_of_seeds": found.jsds,
        "kept_after": found.kept,
    }  # fmt: skip


def _multiclass(j: Judging) -> dict[str, Any]:
    """Mean logarithm of the posterior of each of several generators, for reference showers."""
    samples = {"generated": j.generated, **j.others}
    rows = inputs(j.generated, j.geometry, "low")
    for other in j.others.values():
        rows = both(rows, inputs(other, j.geometry, "low"))
    found = log_posterior(rows, [len(s) for s in samples.values()], inputs(j.reference, j.geometry, "low"), j.training)
    return {"multiclass": {name: pair(e) for name, e in zip(samples, found, strict=True)}}


def _neighbours(j: Judging) -> dict[str, Any]:
    """Precision, recall, density and coverage in the logarithms of voxels, as in the challenge: k = 5, not scaled."""
    x, y = (_logarithms(b, j.geometry, j.seed) for b in (j.generated, j.reference))
    return {name: pair(e) for name, e in prdc(x, y, k=5, standardise=False, seed=j.seed).items()}


def _memorisation(j: Judging) -> dict[str, Any]:
    """Share of showers nearer to those the generator was trained on than to the reference."""
    assert j.trained_on is not None
    x, seen, held = (_logarithms(b, j.geometry, j.seed) for b in (j.generated, j.trained_on, j.reference))
    return {"memorisation": {name: pair(e) for name, e in memorised(x, seen, held, seed=j.seed).items()}}


def _logarithms(batch: Batch, geometry: Geometry, seed: int) -> NDArray[np.float64]:
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))[:NEIGHBOURS]
    return np.asarray(logarithms(batch[order], geometry).double().numpy())


def _timing(j: Judging) -> dict[str, Any]:
    """Milliseconds a shower in batches of the challenge's sizes, by the clock, and the size of the generator."""
    assert j.maker is not None
    found = {n: milliseconds(j.maker.make, batches=(n,), repeats=repeats)[n] for n, repeats in REPEATS.items()}
    return {
        "timing": {f"ms a shower, batch {n}": pair(e) for n, e in found.items()},
        "generator": {"parameters": j.maker.parameters, "device": j.maker.device, "threads": torch.get_num_threads()},
    }


def _energies(j: Judging) -> dict[str, Any]:
    """Response, resolution and separations of the energies, for each incident energy."""
    found = energy_bins(j.generated, j.reference, j.geometry, threshold=j.threshold, seed=j.seed)
    return {
        "energies": {
            name: {
                "generated": e.showers[0], "reference": e.showers[1],
                "response": {side: pair(x) for side, x in e.response.items()},
                "resolution": {side: pair(x) for side, x in e.resolution.items()},
                "separation": {o: pair(s.estimate) for o, s in e.separations.items()},
            }
            for name, e in found.items()
        }
    }  # fmt: skip


def _interpolation(j: Judging) -> dict[str, Any]:
    """Showers at energies that the reference lacks."""
    return {"interpolation": interpolated(j.generated, j.reference, j.geometry)}


JUDGES: dict[str, Judge] = {
    "separation": Judge(check=needs.some("separation", FEWEST), compute=_separation, cells=False),
    "fpd": _distance("fpd"),
    "kpd": _distance("kpd"),
    "classifier-low": _classifier("classifier-low", "low"),
    "classifier-high": _classifier("classifier-high", "high"),
    "classifier-normalised": _classifier("classifier-normalised", "normalised"),
    "cnn": Judge(check=needs.layers_alike, compute=_cnn, cells=True),
    "multiclass": Judge(check=needs.several, compute=_multiclass, cells=True),
    "prdc": Judge(check=needs.some("prdc", FEWEST), compute=_neighbours, cells=True),
    "memorisation": Judge(check=needs.remembered, compute=_memorisation, cells=True),
    "timing": Judge(check=needs.timeable, compute=_timing, cells=False),
    "energies": Judge(check=needs.energies_shared, compute=_energies, cells=False),
    "interpolation": Judge(check=needs.energies_between, compute=_interpolation, cells=False),
}
"""All measurements by name."""
