"""Recipes for tau identification: hadronic decays against jets, electrons and muons, and which decay it was."""

from __future__ import annotations

from dataclasses import replace

from lpm.data.fields import PARTICLE, TAU_CLASSES, TAU_DECAYS
from lpm.data.tracks import DOMAINS
from lpm.model.backbone import BackboneConfig
from lpm.model.heads import AdversaryConfig, ClassifyConfig
from lpm.model.model import ModelConfig
from lpm.model.pairs import PairBiasConfig
from lpm.recipes.base import DataConfig, RunConfig
from lpm.tokens import ContinuousConfig, Transform
from lpm.train.config import TrainConfig

__all__ = ["seen", "tau", "transfer"]


def seen() -> ContinuousConfig:
    """What the model sees of each particle of a candidate: no species, but what the detectors answer."""
    fields = (
        Transform(field="pt", form="log"),
        Transform(field="energy", form="log"),
        Transform(field="deta", form="asinh", scale=0.05),
        Transform(field="dphi", form="asinh", scale=0.05),
        Transform(field="charge"),
        Transform(field="kind", form="category"),
        Transform(field="d0", form="asinh", scale=0.02),
        Transform(field="dz", form="asinh", scale=0.02),
        Transform(field="d0_err", form="log", floor=1e-3),
        Transform(field="dz_err", form="log", floor=1e-3),
        Transform(field="em_share"),
        Transform(field="calo_ratio", form="asinh"),
        Transform(field="chambers"),
    )
    return ContinuousConfig(collection="particle", fields=fields, classes=(len(PARTICLE["kind"].labels),))


def tau(size: int = 3, data: tuple[str, ...] = ("taus",), valid: tuple[str, ...] = (), decay: bool = True) -> RunConfig:
    """A tau identification.

    Train it on `lpm simulate jets taus/ --preset taus`.

    Args:
        size: The dial.
        data: Training files.
        valid: Validation files.
        decay: Whether a second head tells the decays of taus.
    """
    heads = {"label": ClassifyConfig(target="jet.label", classes=TAU_CLASSES)}
    if decay:
        heads["decay"] = ClassifyConfig(target="jet.decay", classes=TAU_DECAYS)
    model = ModelConfig(
        backbone=BackboneConfig.sized(size),
        tokenizers={"particle": seen()},
        heads=dict(heads),
        pairs=PairBiasConfig(of="particle", pt="particle.pt", eta="particle.deta", phi="particle.dphi"),
    )
    train = TrainConfig(
        steps=400 * size, lr=3e-2 / size, optimiser="muon", warmup=40 * size, ema=0.995, weight_decay=0.1,
        valid_every=200, save_every=400,
    )  # fmt: skip
    return RunConfig(
        name="jets.tau", text="Hadronic tau decays against jets, electrons and muons.", model=model, train=train,
        data=DataConfig(train=data, valid=valid, budget=6144, most=256),
    )  # fmt: skip


def transfer(
    size: int = 3, data: tuple[str, ...] = ("taus",), valid: tuple[str, ...] = (), strength: float = 1.0
) -> RunConfig:
    """The same, learned from simulation for data: the model must not tell the two apart.

    Args:
        size: The dial.
        data: Candidates of simulation with their labels and of data without, told apart by `jet.domain`; of
            `lpm.tasks.transfer.mixed`.
        valid: Validation files of the same kind.
        strength: Of the adversary.
    """
    run = tau(size, data, valid, decay=False)
    adversary = AdversaryConfig(
        target="jet.domain", classes=DOMAINS, batches=run.train.steps, strength=strength, hidden=32 * size
    )
    model = replace(run.model, heads={**run.model.heads, "domain": adversary})
    # The sum of both losses says nothing of how well taus are told, so that it must not choose the weights.
    train = replace(run.train, valid_every=0)
    return replace(run, name="jets.tau_transfer", model=model, train=train, text=f"{run.text} Simulation to data.")
