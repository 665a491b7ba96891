"""Recipe for the origin of jets of electron-positron collisions: eleven classes from displaced, identified tracks."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from lpm.data.fields import ORIGINS, PARTICLE_TYPES, SPECIES
from lpm.model.backbone import BackboneConfig
from lpm.model.edges import EdgesConfig
from lpm.model.heads import ClassifyConfig
from lpm.model.model import ModelConfig
from lpm.model.pairs import PairBiasConfig
from lpm.recipes.base import DataConfig, RunConfig
from lpm.tokens import ContinuousConfig, Transform
from lpm.train.config import TrainConfig

__all__ = ["Identity", "origin", "seen"]

Identity = Literal["none", "leptons", "hadrons"]
"""What is known of a particle's identity besides its charge: nothing, its particle-flow type, or its species."""


def seen(identity: Identity = "hadrons", displaced: bool = True) -> ContinuousConfig:
    """What the model sees of each particle.

    Args:
        identity: `none`; `leptons`, electrons and muons told from charged hadrons, photons from neutral hadrons;
            `hadrons`, charged pions, kaons and protons told apart too.
        displaced: Whether impact parameters are seen.

    Raises:
        ValueError: If the identity is none of these.
    """
    fields = [
        Transform(field="pt", form="log"),
        Transform(field="energy", form="log"),
        Transform(field="deta", form="asinh", scale=0.1),
        Transform(field="dphi", form="asinh", scale=0.1),
        Transform(field="charge"),
    ]
    if displaced:
        fields += [
            Transform(field="d0_sig", form="asinh"),
            Transform(field="dz_sig", form="asinh"),
            Transform(field="d0", form="asinh", scale=0.02),
            Transform(field="dz", form="asinh", scale=0.02),
            Transform(field="d0_err", form="log", floor=1e-3),
            Transform(field="dz_err", form="log", floor=1e-3),
        ]
    known = {"none": None, "leptons": ("type", PARTICLE_TYPES), "hadrons": ("species", SPECIES)}
    if identity not in known:
        raise ValueError(f"identity {identity!r}: expected one of {', '.join(known)}")
    chosen = known[identity]
    if chosen is None:
        return ContinuousConfig(collection="particle", fields=tuple(fields))
    name, labels = chosen
    fields.append(Transform(field=name, form="category"))
    return ContinuousConfig(collection="particle", fields=tuple(fields), classes=(len(labels),))


def origin(
    size: int = 4,
    data: tuple[str, ...] = ("jets",),
    valid: tuple[str, ...] = (),
    identity: Identity = "hadrons",
    displaced: bool = True,
    edges: bool = True,
) -> RunConfig:
    """A tagger of the eleven origins.

    Train it on `lpm simulate jets jets/ --preset jet-origin-higgs`.

    Args:
        size: The dial.
        data: Training files.
        valid: Validation files.
        identity: What is known of the identity of particles, see `seen`.
        displaced: Whether impact parameters are seen.
        edges: Whether particles hear of their pairs before the body (`lpm.model.edges`).
    """
    bias = PairBiasConfig(of="particle", pt="particle.pt", eta="particle.deta", phi="particle.dphi")
    model = ModelConfig(
        backbone=BackboneConfig.sized(size),
        tokenizers={"particle": seen(identity, displaced)},
        heads={"label": ClassifyConfig(target="jet.label", classes=ORIGINS)},
        pairs=replace(bias, edges=EdgesConfig()) if edges else bias,
    )
    train = TrainConfig(
        steps=2500 * size, lr=3e-2 / size, optimiser="muon", warmup=200, ema=0.998, valid_every=500, save_every=500
    )
    return RunConfig(
        name="jets.origin", text="The quark, antiquark or gluon a jet comes from.", model=model, train=train,
        data=DataConfig(train=data, valid=valid, budget=2048),
    )  # fmt: skip
