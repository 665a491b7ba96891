"""Recipes for taggers of jets, the ten classes of JetClass: by the plain body with edges, and by `lpm.model.sets`.

All see the same inputs and train in the same way, so that what differs is the body; the plain one is trained by Muon.
`inputs` says what they see: `kinematics` is what every file of jets has, `full` adds charges, types and displacements
as in JetClass, which `lpm simulate jets` writes. Four-momenta are those of massless particles relative to the jet's
axis: an energy in the frame of the detector does not belong to them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from lpm.model.edges import EdgesConfig
from lpm.model.sets import (
    AnySetConfig,
    DeepSetsConfig,
    LorentzConfig,
    ParticleNetConfig,
    ParticleTransformerConfig,
)
from lpm.recipes.base import RunConfig
from lpm.recipes.jets import SAMPLE, classes, kinematics
from lpm.tokens import ContinuousConfig, Transform
from lpm.train.config import TrainConfig

__all__ = ["BODIES", "Inputs", "lorentz", "particle_net", "particle_transformer", "pfn", "plain", "seen", "tagger"]

Inputs = Literal["kinematics", "full"]

BODIES: dict[str, AnySetConfig] = {
    "pfn": DeepSetsConfig(),
    "particle_net": ParticleNetConfig(),
    "particle_transformer": ParticleTransformerConfig(),
    "lorentz": LorentzConfig(),
}
"""The bodies by the names of their recipes, of published size where there is one."""


def seen(inputs: Inputs = "kinematics") -> ContinuousConfig:
    """What a tagger sees of each particle: 5 features, or the 17 of JetClass (Qu, Li, Qian, arXiv 2202.03772, table 2).

    Args:
        inputs: `kinematics`: ln pt, Δη, Δφ, the share in the jet's pt, ΔR. `full`: also energy and its share, charge,
            type, and impact parameters with their errors.

    Raises:
        ValueError: If it is neither.

    Example:
        >>> seen().build().width, seen("full").build().width
        (5, 17)
    """
    some = ContinuousConfig(collection="particle", fields=kinematics(), shares=("pt",), lengths=(("deta", "dphi"),))
    if inputs == "kinematics":
        return some
    if inputs != "full":
        raise ValueError(f"inputs {inputs!r}: expected 'kinematics' or 'full'")
    more = (
        Transform(field="energy", form="log"), Transform(field="charge"), Transform(field="type", form="category"),
        *(Transform(field=n, form="asinh", scale=0.1) for n in ("d0", "dz")),
        *(Transform(field=n, form="asinh", scale=0.02) for n in ("d0_err", "dz_err")),
    )  # fmt: skip
    return replace(some, fields=(*kinematics(), *more), classes=(5,), shares=("pt", "energy"))


def plain(
    size: int = 4, data: tuple[str, ...] = SAMPLE, valid: tuple[str, ...] = (), inputs: Inputs = "kinematics"
) -> RunConfig:
    """The ten classes by the plain body, whose particles hear of their pairs (`lpm.model.edges`), trained by Muon."""
    run = classes(size, data, valid)
    assert run.model.pairs is not None
    pairs = replace(run.model.pairs, edges=EdgesConfig())
    model = replace(run.model, tokenizers={"particle": seen(inputs)}, pairs=pairs)
    train = replace(run.train, lr=4e-2 / size, optimiser="muon", weight_decay=0.05)
    text = "The ten classes of JetClass, by particles that hear of their pairs."
    return replace(run, name="jets.tagger", model=model, train=train, text=text)


def tagger(
    body: str,
    size: int = 4,
    data: tuple[str, ...] = SAMPLE,
    valid: tuple[str, ...] = (),
    inputs: Inputs = "kinematics",
) -> RunConfig:
    """A tagger of the ten classes with a body out of `BODIES`.

    Args:
        body: Its name.
        size: The dial; here it sets the length of the training only.
        data: Training files.
        valid: Validation files.
        inputs: What is seen of each particle.
    """
    config = BODIES[body]
    run = classes(size, data, valid)
    model = replace(run.model, backbone=config, tokenizers={"particle": seen(inputs)}, pairs=None)
    train = TrainConfig(
        steps=1000 * size, lr=1e-3, warmup=100, ema=0.998, valid_every=100, save_every=250, patience=10,
        weight_decay=0.05,
    )  # fmt: skip
    text = f"The ten classes of JetClass, by a body of kind {type(config).__name__.removesuffix('Config')}."
    return replace(run, name=f"jets.{body}", model=model, train=train, text=text)


def pfn(
    size: int = 4, data: tuple[str, ...] = SAMPLE, valid: tuple[str, ...] = (), inputs: Inputs = "kinematics"
) -> RunConfig:
    """The ten classes by a Particle Flow Network (Deep Sets): the fastest body, and the baseline."""
    return tagger("pfn", size, data, valid, inputs)


def particle_net(
    size: int = 4, data: tuple[str, ...] = SAMPLE, valid: tuple[str, ...] = (), inputs: Inputs = "kinematics"
) -> RunConfig:
    """The ten classes by ParticleNet: dynamic graphs of nearest neighbours."""
    return tagger("particle_net", size, data, valid, inputs)


def particle_transformer(
    size: int = 4, data: tuple[str, ...] = SAMPLE, valid: tuple[str, ...] = (), inputs: Inputs = "kinematics"
) -> RunConfig:
    """The ten classes by the Particle Transformer."""
    return tagger("particle_transformer", size, data, valid, inputs)


def lorentz(
    size: int = 4, data: tuple[str, ...] = SAMPLE, valid: tuple[str, ...] = (), inputs: Inputs = "kinematics"
) -> RunConfig:
    """The ten classes by a Lorentz-equivariant transformer of scalars and four-vectors."""
    return tagger("lorentz", size, data, valid, inputs)
