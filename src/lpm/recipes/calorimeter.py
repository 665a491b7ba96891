"""Recipes for calorimeter showers: how the energy is shared among layers, then how each layer's is among its cells.

Both stages are heads of one body and are learned together: the energies of layers one after the other, given the
incident particle; the cells of all layers at once, by a flow from noise, given these energies (CaloDREAM, arXiv
2405.09629). `size` sets width, depth, heads, learning rate and horizon together.
"""

from __future__ import annotations

from dataclasses import replace

from lpm.data.patches import Patches, together
from lpm.data.showers import DATA_SETS, PARTICLES
from lpm.model.backbone import BackboneConfig
from lpm.model.heads import FlowConfig, NextTokenConfig
from lpm.model.model import ModelConfig
from lpm.physics.geometry import Box, Geometry
from lpm.recipes.base import DataConfig, RunConfig, StartConfig
from lpm.tokens import CellsConfig, ContinuousConfig, SharesConfig, TokenizerConfig, Transform
from lpm.train.config import TrainConfig

__all__ = ["BOX", "PATCHES", "adapted", "distilled", "flow", "patches_of", "universal"]

PATCHES = {"1-photons": (10, 4), "1-pions": (10, 5), "2": (16, 9), "3": (10, 18)}
"""Sectors and rings of a patch in each data set of the challenge."""


def patches_of(dataset: str) -> Patches:
    """How the showers of a data set are cut.

    Raises:
        ValueError: If there is no such data set.

    Example:
        >>> [len(patches_of(name).voxels) for name in PATCHES]
        [15, 16, 45, 225]
    """
    if dataset not in DATA_SETS:
        raise ValueError(f"no data set {dataset!r} of showers; there are {', '.join(DATA_SETS)}")
    return Patches(DATA_SETS[dataset].geometry, *PATCHES[dataset], DATA_SETS[dataset].threshold)


def flow(
    size: int = 4,
    data: tuple[str, ...] = ("showers.hdf5",),
    valid: tuple[str, ...] = (),
    dataset: str = "1-photons",
    given: tuple[str, ...] = ("energy",),
) -> RunConfig:
    """Layers one after the other, then all cells by flow matching.

    Args:
        size: The dial.
        data: Training files, of the CaloChallenge or of `lpm simulate calorimeter`.
        valid: Validation files.
        dataset: Name of the data set: `1-photons`, `1-pions`, `2` or `3`.
        given: What is told of the incident particle: `energy`, and `theta`, `phi` and `particle` where the data say
            them.

    Raises:
        ValueError: If there is no such data set, or nothing of that name can be told.
    """
    patches = patches_of(dataset)
    layers = len(patches.shapes)
    model = ModelConfig(
        backbone=BackboneConfig.sized(size),
        tokenizers={
            "shower": _told(given),
            "layer": SharesConfig(collection="layer", places=layers, given="shower.energy"),
            "patch": CellsConfig(patches=(patches,)),
        },
        heads={
            "energies": NextTokenConfig(of="layer", given=("shower",), typical=3.0 * layers),
            "cells": FlowConfig(of="patch"),
        },
    )
    return RunConfig(
        name="calorimeter.flow",
        text="Generator of calorimeter showers: energies of layers, then cells by a flow from noise.",
        data=DataConfig(train=data, valid=valid, budget=100_000, most=128, longest=1000),
        model=model,
        train=TrainConfig(
            steps=2000 * size, lr=3e-2 / size, optimiser="muon", warmup=100, ema=0.999, valid_every=500, save_every=500,
        ),
    )  # fmt: skip


def universal(
    size: int = 4,
    data: tuple[str, ...] = ("showers",),
    valid: tuple[str, ...] = (),
    datasets: tuple[str, ...] = ("1-photons", "1-pions", "2"),
) -> RunConfig:
    """One model of the showers of several particles in several geometries.

    Args:
        size: The dial.
        data: Training files, of all of them.
        valid: Validation files.
        datasets: Names of data sets: `1-photons`, `1-pions`, `2`, `3`.

    Raises:
        ValueError: If there is no such data set, none is named, or one twice.
    """
    if not datasets or any(name not in DATA_SETS for name in datasets):
        raise ValueError(
            f"datasets: expected names out of {', '.join(DATA_SETS)}, got {', '.join(datasets) or 'none'}; name them "
            "by commas, such as --with datasets=1-photons,2"
        )
    many = together([_alike(DATA_SETS[name].geometry, name, DATA_SETS[name].threshold) for name in datasets])
    run = flow(size, data, valid, datasets[0])
    model = replace(run.model, tokenizers=_tokenizers(many))
    return replace(run, name="calorimeter.universal", model=model,
                   text=f"Generator of calorimeter showers in {len(datasets)} geometries.")  # fmt: skip


def adapted(
    size: int = 4,
    data: tuple[str, ...] = ("showers.hdf5",),
    valid: tuple[str, ...] = (),
    dataset: str = "3",
    start: str = "runs/universal",
) -> RunConfig:
    """A `universal` model, fine-tuned to a geometry that it has not seen, with little data.

    Args:
        size: Must be that of the universal model.
        data: Training files.
        valid: Validation files.
        dataset: Name of a data set, or `boxes` for 12 × 12 × 12 cells.
        start: The run of the universal model.
    """
    run = flow(size, data, valid)
    if dataset == "boxes":
        patches = _alike(BOX, dataset, 1e-5)
    else:
        known = patches_of(dataset)
        patches = _alike(known.geometry, dataset, known.threshold)
    model = replace(run.model, tokenizers=_tokenizers((patches,)))
    parts = ("tokenizers.shower", "prefix", "backbone", "time", "embeds.shower", "embeds.layer.net",
             "embeds.patch.net", "embeds.patch.known", "heads")  # fmt: skip
    return replace(
        run, name="calorimeter.adapted", model=model, start=StartConfig(run=start, parts=parts),
        train=replace(run.train, steps=250 * size, lr=run.train.lr / 3, warmup=50),
        text=f"Generator of calorimeter showers, fine-tuned to the geometry {dataset}.",
    )  # fmt: skip


_ROOM = 50
"""Cells of a patch, alike in all geometries that one model knows."""

_ALIKE = {"1-photons": (10, 5), "1-pions": (10, 5), "2": (16, 3), "3": (25, 2), "boxes": (12, 4)}
"""Sectors and rings of patches that fit into that room."""

BOX = Box("12x12x12", (12, 12, 12))
"""Cells of the public sample of Geant4 showers (lpm.data.io.boxes)."""


def _alike(geometry: Geometry | Box, name: str, threshold: float) -> Patches:
    return Patches(geometry, *_ALIKE[name], threshold, cells=_ROOM)


_GIVEN = {
    "energy": Transform(field="energy", form="log"),
    "theta": Transform(field="theta"),
    "phi": Transform(field="phi"),
    "particle": Transform(field="particle", form="category"),
}
"""What may be told of an incident particle."""


def _told(given: tuple[str, ...]) -> ContinuousConfig:
    if "energy" not in given or any(name not in _GIVEN for name in given) or len(set(given)) < len(given):
        raise ValueError(
            f"given: expected energy and others out of {', '.join(_GIVEN)}, got {', '.join(given) or 'none'}; name "
            "them by commas, such as --with given=energy,theta"
        )
    ordered = tuple(name for name in _GIVEN if name in given)  # a category comes last
    classes = (len(PARTICLES),) if "particle" in given else ()
    return ContinuousConfig(collection="shower", fields=tuple(_GIVEN[n] for n in ordered), classes=classes)


def _tokenizers(many: tuple[Patches, ...]) -> dict[str, TokenizerConfig]:
    """What comes in with all that may be known of it, layers and patches of several geometries."""
    layers = sum(len(p.shapes) for p in many)
    return {
        "shower": _told(tuple(_GIVEN)),
        "layer": SharesConfig(collection="layer", places=layers, given="shower.energy"),
        "patch": CellsConfig(patches=many),
    }


def distilled(
    size: int = 4,
    data: tuple[str, ...] = ("showers.hdf5",),
    valid: tuple[str, ...] = (),
    dataset: str = "1-photons",
    start: str = "runs/calorimeter",
    jumps: int = 4,
    given: tuple[str, ...] = ("energy",),
) -> RunConfig:
    """A trained `flow`, taught to make its cells in few steps.

    Args:
        size: Must be that of the flow.
        data: Training files.
        valid: Validation files.
        dataset: As for `flow`.
        start: The run of the flow.
        jumps: Steps.
        given: As for the flow.
    """
    run = flow(size, data, valid, dataset, given)
    heads = {**run.model.heads, "cells": FlowConfig(of="patch", jumps=jumps)}
    parts = ("tokenizers", "embeds", "prefix", "backbone", "heads", "time")
    return replace(
        run, name="calorimeter.distilled", model=replace(run.model, heads=heads),
        start=StartConfig(run=start, parts=parts),
        train=replace(run.train, steps=500 * size, lr=run.train.lr / 3, warmup=50),
        text=f"Generator of calorimeter showers: cells in {jumps} steps, learned from a flow of many.",
    )  # fmt: skip
