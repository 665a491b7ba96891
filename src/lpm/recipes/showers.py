"""Sample calorimeter showers from a trained model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.io import open_file
from lpm.data.patches import Patches, with_shower
from lpm.data.schema import Collection, Schema
from lpm.data.showers import DATA_SETS, PARTICLES, SHOWER
from lpm.model.conditional import fill
from lpm.model.flow_sample import FlowSampleConfig
from lpm.model.model import Model
from lpm.physics.geometry import GEOMETRIES, Box, Geometry
from lpm.physics.shares import energies_of
from lpm.sim.calorimeter import incident_energies
from lpm.tokens import CellsConfig, Shares

__all__ = ["energies_known", "incident", "make_showers", "makes_showers", "patches_for", "patches_in", "sample_showers"]


def makes_showers(model: Model) -> bool:
    """Whether a model generates calorimeter showers."""
    return bool(_cut(model))


def patches_in(model: Model, geometry: str = "") -> Patches:
    """How the showers that a model makes are cut.

    Args:
        model: That makes them.
        geometry: Name of a geometry; may be empty if the model knows one only.

    Raises:
        ValueError: If it makes no showers, or not in that geometry.
    """
    known = {p.geometry.name: p for p in _cut(model)}
    if not known:
        raise ValueError("this model makes no showers; train one with lpm train calorimeter.flow")
    name = geometry or (next(iter(known)) if len(known) == 1 else "")
    if name not in known:
        raise ValueError(f"geometry {name!r}: this model makes showers of {', '.join(known)}; name one of them")
    return known[name]


def energies_known(model: Model, geometry: str = "") -> tuple[float, float]:
    """Lowest and highest incident energy of the training in a geometry, GeV.

    Args:
        model: That makes showers.
        geometry: As for `patches_in`.

    Raises:
        ValueError: If it makes no showers, or not in that geometry.
    """
    first = patches_in(model, geometry).first_layer
    shares = model.tokenizer("layer")
    assert isinstance(shares, Shares)
    low, high = shares.range[first].tolist()
    return low, high


def incident(
    model: Model, n: int, *, geometry: str = "", like: Path | None = None, energies: str = "", seed: int = 0
) -> Batch:
    """The particles that come in.

    Args:
        model: That makes the showers.
        n: Number of particles; fewer if a file has fewer.
        geometry: Where they come in; may be empty if the model knows one only, or a file says it.
        like: A file of showers, whose particles are taken from the first on.
        energies: Energies in GeV in equal parts, by commas; if neither is said, they are those of the data set.
        seed: Of their order.

    Returns:
        What the model is given, `shower.energy` and the like; what is not known is NaN.

    Raises:
        ValueError: If both are said, the file has another binning or no shower, or an energy is no number above 0.
    """
    if like is not None:
        if energies:
            raise ValueError("both --like and --energy say which particles come in; name one of them")
        return _as_in(model, n, geometry, like)
    name = patches_in(model, geometry).geometry.name
    if energies:
        values = np.resize(_named(energies), n)
    elif name in DATA_SETS:
        values = incident_energies(n, name, np.random.default_rng(seed))
    else:
        raise ValueError(f"geometry {name} says no energies; name some with --energy, or a file with --like")
    shower = Collection(name="shower", fields=(SHOWER["energy"],), single=True)
    rows = Ragged.single(torch.from_numpy(values).float()[:, None])
    batch = Batch(Schema(name="showers", collections=(shower,)), {"shower": rows})
    if name in DATA_SETS:
        which = {"particle": PARTICLES.index(DATA_SETS[name].particle), "geometry": list(GEOMETRIES).index(name)}
        for field, i in which.items():
            batch = batch.with_field("shower", SHOWER[field], torch.full((n,), float(i)))
    return with_shower(batch, _given(model))


def _named(energies: str) -> NDArray[np.float64]:
    """Energies by commas; also in single precision, in which a model is given them, they are finite and above 0."""
    try:
        named = torch.tensor([float(e) for e in energies.split(",")], dtype=torch.float64)
    except ValueError:
        raise ValueError(f"energies {energies!r}: expected numbers of GeV by commas, such as 1,65.5") from None
    if not bool(_usable(named.float()).all()):
        wrong = [f"{e:g}" for e in named[~_usable(named.float())].tolist()]
        raise ValueError(
            f"energies {energies!r}: expected numbers of GeV above 0, got {', '.join(wrong)}; leave it out"
        )
    return np.asarray(named.numpy())


def _usable(energy: Tensor) -> Tensor:
    """Which incident energies are numbers above 0."""
    return energy.isfinite() & (energy > 0)


def _as_in(model: Model, n: int, geometry: str, like: Path) -> Batch:
    with open_file(like) as reader:
        kept = getattr(reader, "geometry", None)  # shards have none
        binning = kept if isinstance(kept, Geometry | Box) else None
        if "shower.energy" not in reader.schema:
            raise ValueError(f"{like}: holds no showers; name a file of showers, or of particles that make some")
        patches = patches_in(model, geometry or (binning.name if binning is not None and len(_cut(model)) > 1 else ""))
        if binning is not None and binning != patches.geometry:
            raise ValueError(f"{like} has the binning {binning.name}, the model makes {patches.geometry.name}; "
                             "name a file of that binning")  # fmt: skip
        if not len(reader):
            raise ValueError(f"{like}: expected showers, found none; check how the file was made")
        paths = [path for path in reader.schema.paths if path.startswith("shower.") and path != "shower.total"]
        batch = reader.read(0, min(n, len(reader))).select(paths)
    energy = batch.field("shower.energy").values
    wrong = (~_usable(energy)).nonzero()[:, 0].tolist()
    if wrong:
        raise ValueError(
            f"{like}: expected incident energies above 0 GeV, got {len(wrong):,} others among {len(batch):,}, first in "
            f"entry {wrong[0]}: {float(energy[wrong[0]]):g} GeV; mend the file, or name energies with --energy"
        )
    return with_shower(batch, _given(model))


def _given(model: Model) -> tuple[str, ...]:
    """Fields of `shower` that the model is given."""
    return tuple(path.partition(".")[2] for path in model.tokenizer("shower").paths)


def sample_showers(
    model: Model, given: Batch, *, config: FlowSampleConfig | None = None, batch: int = 500, seed: int = 0
) -> Iterator[Batch]:
    """Showers of incident particles.

    The energies of the cells add up to those of their layers, none is negative, and none is below the threshold.

    Args:
        model: That makes showers: with heads `energies` and `cells`.
        given: What comes in, all into one geometry, as `incident` gives it.
        config: How to follow the flow, if there is one; None for what it was made for.
        batch: Showers made at a time.
        seed: The same seed and configuration give the same showers.

    Yields:
        Showers in patches (`lpm.data.patches`), with `shower.extrapolated` where the energy is beyond the training's;
        `batch` at a time, in the order of `given`.

    Raises:
        ValueError: If the model makes no showers, or its training has diverged.
    """
    patches = patches_for(model, given)
    low, high = energies_known(model, patches.geometry.name)
    generator = torch.Generator().manual_seed(seed)
    was_training = model.training
    model.eval()
    try:
        for first in range(0, len(given), batch):
            part = given[first : first + batch]
            energy_B = part.field("shower.energy").values
            shares = fill(model, patches.lay_out(part), "energies", generator=generator).to("cpu")
            energy = energies_of(_by_shower(shares, "layer.share").double(), energy_B.double()).to(energy_B.dtype)
            energy = torch.where(energy >= patches.threshold, energy, 0)
            shell = patches.lay_out(part, energy, _by_shower(shares, "layer.share"))
            made = patches.settle(fill(model, shell, "cells", config=config, generator=generator).to("cpu"))
            beyond = (energy_B < low) | (energy_B > high)
            yield made.with_field("shower", SHOWER["extrapolated"], beyond.to(energy_B.dtype))
    finally:
        model.train(was_training)


def make_showers(model: Model, given: Batch, n: int) -> None:
    """Make so many showers in one batch and forget them, as when a generator is timed.

    Args:
        model: That makes showers.
        given: What comes in, over and over.
        n: Number of showers.
    """
    several = Batch.cat([given] * -(-n // len(given)))[:n]
    for _ in sample_showers(model, several, batch=n):
        pass


def patches_for(model: Model, given: Batch) -> Patches:
    """The patches of the geometry that showers are to be made in."""
    if len(_cut(model)) == 1:
        return patches_in(model)
    field = given.schema.field("shower.geometry")
    which = set(given.field("shower.geometry").values.tolist())
    if len(which) != 1:
        raise ValueError("showers are made in one geometry at a time; sort the particles by theirs")
    return patches_in(model, field.labels[int(which.pop())])


def _cut(model: Model) -> tuple[Patches, ...]:
    """The patches of all geometries that a model knows; none if it makes no showers."""
    return next((t.patches for t in model.config.tokenizers.values() if isinstance(t, CellsConfig)), ())


def _by_shower(batch: Batch, path: str) -> Tensor:
    rows: Ragged = batch.field(path)
    return rows.values.view(len(batch), -1)
