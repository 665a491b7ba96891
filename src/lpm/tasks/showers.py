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

import torch

from lpm.data.batch import Batch
from lpm.data.io.showers import CaloChallengeReader, named_geometry
from lpm.metrics.calorimeter import MAX_SAMPLES, MIN_SAMPLES, physics_distances, separations
from lpm.metrics.estimate import Estimate
from lpm.physics.geometry import Geometry
from lpm.tasks.calorimeter import describe, threshold_of

__all__ = ["JUDGES", "Judge", "Judging", "read_showers"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Judging:
    """What is judged, and how.

    Args:
        generated: Showers as described by `lpm.tasks.calorimeter.describe`.
        reference: The same.
        geometry: Of both.
        min_samples: Smallest number of showers drawn for FPD, and the batch of KPD.
        max_samples: Largest number of showers drawn for FPD.
        seed: Of resampling and of trained judges.
    """

    generated: Batch
    reference: Batch
    geometry: Geometry
    min_samples: int = MIN_SAMPLES
    max_samples: int = MAX_SAMPLES
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """What the numbers depend on."""
        return {
            "dataset": self.geometry.name,
            "threshold_mev": threshold_of(self.geometry) * 1e3,
            "generated": len(self.generated),
            "reference": len(self.reference),
            "min_samples": self.min_samples,
            "max_samples": self.max_samples,
            "seed": self.seed,
        }


@dataclass(frozen=True, kw_only=True)
class Judge:
    """One measurement.

    Args:
        measure: Returns JSON, by the names under which it is printed.
        cells: Whether it needs the cells, not only what was computed from them.
    """

    measure: Callable[[Judging], dict[str, Any]]
    cells: bool


def read_showers(path: str | Path, dataset: str | None = None, *, cells: bool = True) -> tuple[Batch, Geometry]:
    """All showers of a file of the CaloChallenge with what describes them, read slice by slice.

    Args:
        path: The file.
        dataset: Name of a data set or path of a binning XML; None if the number of voxels tells.
        cells: Whether to keep the cells; without them, ten thousand showers take a few megabytes.

    Returns:
        The showers in double precision, and their geometry.

    Raises:
        ValueError: If the file has other voxels, a shower is faulty, or there is none.
    """
    geometry = named_geometry(dataset) if dataset else None
    parts = []
    with CaloChallengeReader(path, tree=dataset, dtype=torch.float64) as reader:
        for batch in reader.batches():
            described = describe(batch, geometry or reader.geometry)
            parts.append(described if cells else described.select(["shower", "layer"]))
        if not parts:
            raise ValueError(f"{path}: expected showers, found none; check how the file was made")
        return Batch.cat(parts), reader.geometry


def number(x: float) -> float | None:
    """JSON knows no NaN."""
    return float(x) if math.isfinite(x) else None


def pair(e: Estimate) -> dict[str, float | None]:
    """Value and error."""
    return {"value": number(e.value), "error": number(e.error)}


def _separation(j: Judging) -> dict[str, Any]:
    """Separations by the challenge's names; errors, floors and what lies outside of the histograms beside them."""
    found = separations(j.generated, j.reference, j.geometry, seed=j.seed)
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

    return Judge(measure=measure, cells=False)


JUDGES: dict[str, Judge] = {
    "separation": Judge(measure=_separation, cells=True),
    "fpd": _distance("fpd"),
    "kpd": _distance("kpd"),
}
"""All measurements by name."""
