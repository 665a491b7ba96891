"""Recipes for identifying particles from sets of detector signals.

Every detector has a tokenizer of its own and gives one token, or none: what was not measured is not there. `size` sets
width, depth, heads, learning rate and horizon together.
"""

from __future__ import annotations

from dataclasses import replace

from lpm.data.tracks import DOMAINS, LAYERS, SPECIES
from lpm.model.backbone import BackboneConfig
from lpm.model.heads import AdversaryConfig, ClassifyConfig
from lpm.model.model import ModelConfig
from lpm.recipes.base import DataConfig, RunConfig
from lpm.tokens import ContinuousConfig, Transform
from lpm.train.config import TrainConfig

__all__ = ["DETECTORS", "binary", "multi", "signals", "transfer"]

DETECTORS = ("its", "tpc", "tof", "trd")
"""Collections beside `track`, in the order in which the model reads them."""


def signals(detectors: tuple[str, ...] = DETECTORS, charge: bool = True) -> dict[str, ContinuousConfig]:
    """Tokenizers of the track and of each detector, by collection.

    Args:
        detectors: Those the data have a collection for.
        charge: Whether the data know the charge.
    """
    fields = {
        "track": (
            _log("p"), _log("pt"), Transform(field="eta"), Transform(field="phi"),
            *([Transform(field="charge")] if charge else []),
        ),
        "its": (_log("dedx"), *(Transform(field=n) for n in LAYERS)),
        "tpc": (_log("dedx"),
                *(Transform(field=n) for n in ("samples", "clusters", "crossed", "findable"))),
        "tof": (Transform(field="beta"), _log("length")),
        "trd": (_log("charge"), _log("late"), Transform(field="layers")),
    }  # fmt: skip
    return {n: ContinuousConfig(collection=n, fields=fields[n]) for n in ("track", *detectors)}


def multi(
    size: int = 2,
    data: tuple[str, ...] = ("tracks",),
    valid: tuple[str, ...] = (),
    species: tuple[str, ...] = ("e", "mu", "pi", "K", "p"),
    detectors: tuple[str, ...] = DETECTORS,
    charge: bool = True,
) -> RunConfig:
    """One model that tells all species apart.

    Args:
        size: The dial.
        data: Training files, of `lpm simulate pid`.
        valid: Validation files.
        species: Names out of `lpm.data.tracks.SPECIES`; tracks of others teach nothing.
        detectors: Collections of the data beside `track`.
        charge: Whether the data know the charge.

    Raises:
        ValueError: If a species or detector does not exist.
    """
    _known("species", species, SPECIES)
    _known("detectors", detectors, DETECTORS)
    model = ModelConfig(
        backbone=BackboneConfig(width=32 * size, depth=size, heads=2 * size, registers=0),
        tokenizers=dict(signals(detectors, charge)),
        heads={"species": ClassifyConfig(target="track.species", classes=species)},
    )
    return RunConfig(
        name="pid.set",
        text=f"Which of {', '.join(species)} is this track, from whatever detectors saw it?",
        data=DataConfig(train=data, valid=valid, budget=1024, most=512),
        model=model,
        train=TrainConfig(
            steps=400 * size, lr=3e-2 / size, optimiser="muon", warmup=40 * size, ema=0.995, weight_decay=0.1,
            valid_every=200, save_every=400,
        ),
    )  # fmt: skip


def binary(
    size: int = 2,
    data: tuple[str, ...] = ("tracks",),
    valid: tuple[str, ...] = (),
    species: str = "K",
    detectors: tuple[str, ...] = DETECTORS,
    charge: bool = True,
) -> RunConfig:
    """One species against all others; `track.score` is its probability.

    Args:
        size: The dial.
        data: Training files.
        valid: Validation files.
        species: Its name.
        detectors: As in `multi`.
        charge: As in `multi`.

    Raises:
        ValueError: If the species or a detector does not exist.
    """
    _known("species", (species,), SPECIES)
    run = multi(size, data, valid, detectors=detectors, charge=charge)
    groups = {"other": tuple(s for s in SPECIES if s != species)}
    head = ClassifyConfig(target="track.species", classes=("other", species), groups=groups)
    model = replace(run.model, heads={"species": head})
    return replace(run, name="pid.binary", model=model, text=f"Is this track a {species}?")


def transfer(
    size: int = 2,
    data: tuple[str, ...] = ("tracks",),
    valid: tuple[str, ...] = (),
    species: tuple[str, ...] = ("e", "mu", "pi", "K", "p"),
    detectors: tuple[str, ...] = DETECTORS,
    charge: bool = True,
    strength: float = 1.0,
) -> RunConfig:
    """One model for all species, learned from simulation for data: it must not tell the two apart.

    Args:
        size: The dial.
        data: Tracks of simulation with their species and of data without, told apart by `track.domain`; of
            `lpm.tasks.transfer.mixed`.
        valid: Validation files of the same kind.
        species: As in `multi`.
        detectors: As in `multi`.
        charge: As in `multi`.
        strength: Of the adversary; 0 leaves the model as it would be without.

    Raises:
        ValueError: If a species or detector does not exist.
    """
    run = multi(size, data, valid, species, detectors, charge)
    adversary = AdversaryConfig(
        target="track.domain", classes=DOMAINS, batches=run.train.steps, strength=strength, hidden=32 * size
    )
    model = replace(run.model, heads={**run.model.heads, "domain": adversary})
    # The sum of both losses says nothing of how well species are told, so that it must not choose the weights.
    train = replace(run.train, valid_every=0)
    return replace(run, name="pid.transfer", model=model, train=train, text=f"{run.text} Simulation to data.")


def _log(field: str) -> Transform:
    return Transform(field=field, form="log", floor=1e-3)


def _known(what: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    wrong = [n for n in names if n not in known]
    if wrong or not names:
        raise ValueError(f"{what}: expected names out of {', '.join(known)}, got {', '.join(names) or 'none'}")
