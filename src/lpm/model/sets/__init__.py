"""Backbones that read one set: a collection of rows in, hidden states of rows and of events out.

All of them keep the contract of `lpm.model.sets.base`; a model takes any of them in the place of `lpm.model.backbone`.
"""

from __future__ import annotations

from lpm.model.sets.base import SetBackbone, SetConfig, SetPlan
from lpm.model.sets.deep_sets import DeepSets, DeepSetsConfig
from lpm.model.sets.lorentz import Lorentz, LorentzConfig
from lpm.model.sets.particle_net import ParticleNet, ParticleNetConfig
from lpm.model.sets.particle_transformer import ParticleTransformer, ParticleTransformerConfig

__all__ = [
    "SETS",
    "AnySetConfig",
    "DeepSets",
    "DeepSetsConfig",
    "Lorentz",
    "LorentzConfig",
    "ParticleNet",
    "ParticleNetConfig",
    "ParticleTransformer",
    "ParticleTransformerConfig",
    "SetBackbone",
    "SetConfig",
    "SetPlan",
]

AnySetConfig = DeepSetsConfig | ParticleNetConfig | ParticleTransformerConfig | LorentzConfig

SETS: dict[str, type[SetConfig]] = {
    "deep_sets": DeepSetsConfig,
    "particle_net": ParticleNetConfig,
    "particle_transformer": ParticleTransformerConfig,
    "lorentz": LorentzConfig,
}
"""All of them by name, for tests and documentation."""
