"""Questions one can ask of the backbone. A head is built from its frozen configuration; these are all of them."""

from __future__ import annotations

from lpm.model.heads.adversary import Adversary, AdversaryConfig
from lpm.model.heads.autoencode import Autoencode, AutoencodeConfig
from lpm.model.heads.base import Head
from lpm.model.heads.cascade import Cascade, CascadeConfig
from lpm.model.heads.choose import Choose, ChooseConfig
from lpm.model.heads.classify import Classify, ClassifyConfig
from lpm.model.heads.couple import Couple, CoupleConfig
from lpm.model.heads.density import Density, DensityConfig
from lpm.model.heads.flow import Flow, FlowConfig
from lpm.model.heads.next_token import NextToken, NextTokenConfig
from lpm.model.heads.regress import Regress, RegressConfig
from lpm.model.heads.rival import Rival, RivalConfig
from lpm.model.heads.segment import Segment, SegmentConfig
from lpm.model.heads.spell import Spell, SpellConfig
from lpm.model.heads.unmask import Unmask, UnmaskConfig

__all__ = [
    "HEADS",
    "Adversary",
    "AdversaryConfig",
    "Autoencode",
    "AutoencodeConfig",
    "Cascade",
    "CascadeConfig",
    "Choose",
    "ChooseConfig",
    "Classify",
    "ClassifyConfig",
    "Couple",
    "CoupleConfig",
    "Density",
    "DensityConfig",
    "Flow",
    "FlowConfig",
    "Head",
    "HeadConfig",
    "NextToken",
    "NextTokenConfig",
    "Regress",
    "RegressConfig",
    "Rival",
    "RivalConfig",
    "Segment",
    "SegmentConfig",
    "Spell",
    "SpellConfig",
    "Unmask",
    "UnmaskConfig",
]

HeadConfig = (
    ClassifyConfig | RegressConfig | NextTokenConfig | UnmaskConfig | FlowConfig | AdversaryConfig | ChooseConfig
    | AutoencodeConfig | CascadeConfig | CoupleConfig | RivalConfig | SpellConfig | DensityConfig
    | SegmentConfig
)  # fmt: skip

HEADS = {
    "classify": Classify, "regress": Regress, "next_token": NextToken, "unmask": Unmask, "flow": Flow,
    "adversary": Adversary, "choose": Choose, "autoencode": Autoencode, "couple": Couple,
    "cascade": Cascade, "rival": Rival, "spell": Spell, "density": Density, "segment": Segment,
}  # fmt: skip
"""All heads by name, for tests and documentation."""
