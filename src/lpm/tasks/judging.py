"""What is judged of showers, and what each measurement needs of it.

Needs are told before anything is measured: a question that cannot be answered should not cost the others' minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lpm.data.batch import Batch
from lpm.metrics import memory
from lpm.metrics.calorimeter import MAX_SAMPLES, MIN_SAMPLES, check_draws
from lpm.metrics.shower_classifiers import Training
from lpm.metrics.shower_energies import FEWEST, between, comparable
from lpm.physics.geometry import Geometry
from lpm.tasks.calorimeter import threshold_of

__all__ = [
    "Check",
    "Judging",
    "Maker",
    "classifiable",
    "drawn",
    "energies_between",
    "energies_shared",
    "layers_alike",
    "remembered",
    "several",
    "some",
    "timeable",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class Maker:
    """A generator at work, to be timed.

    Args:
        make: Makes so many showers and returns once they are there.
        parameters: Trained numbers of the generator.
        device: Where it computes.
    """

    make: Callable[[int], None]
    parameters: int
    device: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Judging:
    """What is judged, and how.

    Args:
        generated: Showers as described by `lpm.tasks.calorimeter.describe`.
        reference: The same.
        geometry: Of both.
        min_samples: Smallest number of showers drawn for FPD, and the batch of KPD.
        max_samples: Largest number of showers drawn for FPD.
        seed: Of resampling.
        training: How classifiers are trained.
        others: Samples of other generators, for `multiclass`, by name.
        trained_on: What the generator was trained on, for `memorisation`.
        maker: The generator itself, for `timing`.
        threshold: Below which cells were taken away as the showers were described, GeV; None for that of the data set.
    """

    generated: Batch
    reference: Batch
    geometry: Geometry
    min_samples: int = MIN_SAMPLES
    max_samples: int = MAX_SAMPLES
    seed: int = 0
    training: Training = field(default_factory=Training)
    others: Mapping[str, Batch] = field(default_factory=dict)
    trained_on: Batch | None = None
    maker: Maker | None = None
    threshold: float | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of generated and of reference showers."""
        return len(self.generated), len(self.reference)

    def settings(self) -> dict[str, Any]:
        """What the numbers depend on."""
        threshold = threshold_of(self.geometry) if self.threshold is None else self.threshold
        return {
            "dataset": self.geometry.name,
            "threshold_mev": threshold * 1e3,
            "generated": len(self.generated),
            "reference": len(self.reference),
            "min_samples": self.min_samples,
            "max_samples": self.max_samples,
            "seed": self.seed,
            "classifiers": {k: v for k, v in asdict(self.training).items() if k != "device"},
        }


Check = Callable[[Judging], None]
"""Raises ValueError if what it needs is not there, with the number or the option that is."""


def some(name: str, needed: int) -> Check:
    """So many showers of each sample."""

    def check(j: Judging) -> None:
        _enough(name, needed, j.sizes)

    return check


def drawn(name: str) -> Check:
    """As many showers as are drawn."""

    def check(j: Judging) -> None:
        check_draws(*j.sizes, (name,), min_samples=j.min_samples, max_samples=j.max_samples)

    return check


def classifiable(name: str) -> Check:
    """As many showers as the smallest part of a classifier's needs."""

    def check(j: Judging) -> None:
        _enough(name, j.training.fewest, j.sizes)

    return check


def layers_alike(j: Judging) -> None:
    """Layers of equal bins, and showers to learn from."""
    if not j.geometry.regular:
        raise ValueError(f"cnn: needs equal layers, geometry {j.geometry.name} has others; leave it out")
    _enough("cnn", j.training.fewest, j.sizes)


def several(j: Judging) -> None:
    """Samples of several generators."""
    if not j.others:
        raise ValueError("multiclass: compares several generators; name the files of the others with --other")
    made, needed = [len(j.generated), *map(len, j.others.values())], j.training.fewest
    if min(*made, len(j.reference)) < needed:
        raise ValueError(
            f"multiclass: needs {needed:,} showers of each generator and as many reference ones, got "
            f"{', '.join(f'{n:,}' for n in made)} and {len(j.reference):,}; make more"
        )


def remembered(j: Judging) -> None:
    """What the generator was trained on, and showers of all kinds."""
    if j.trained_on is None:
        raise ValueError("memorisation: compares with what the generator was trained on; name it with --training")
    if min(*j.sizes, len(j.trained_on)) < memory.FEWEST:
        raise ValueError(
            f"memorisation: needs {memory.FEWEST} generated, reference and training showers, got "
            f"{', '.join(f'{n:,}' for n in (*j.sizes, len(j.trained_on)))}; make more"
        )


def timeable(j: Judging) -> None:
    """The generator itself."""
    if j.maker is None:
        raise ValueError("timing: runs the generator; name the folder of its training with --run")


def energies_shared(j: Judging) -> None:
    """An energy of which both samples have showers."""
    if not comparable(j.generated, j.reference):
        raise ValueError(f"energies: needs {FEWEST} showers of one energy on both sides; make more")


def energies_between(j: Judging) -> None:
    """Generated energies that the reference lacks."""
    between(j.generated, j.reference)


def _enough(name: str, needed: int, sizes: tuple[int, int]) -> None:
    if min(sizes) < needed:
        raise ValueError(
            f"{name}: needs {needed:,} showers of each sample, got {sizes[0]:,} generated and {sizes[1]:,} reference "
            "ones; make more"
        )
