"""Recipe for events as sets of objects: four tops against two tops with a boson."""

from __future__ import annotations

from lpm.data.fields import OBJECT_TYPES
from lpm.model.backbone import BackboneConfig
from lpm.model.edges import EdgesConfig
from lpm.model.heads import ClassifyConfig
from lpm.model.model import ModelConfig
from lpm.model.pairs import PairBiasConfig
from lpm.recipes.base import DataConfig, RunConfig
from lpm.tasks.four_tops import FOUR_TOPS_GROUPS
from lpm.tokens import ContinuousConfig, Transform
from lpm.train.config import TrainConfig

__all__ = ["four_tops", "seen"]


def seen() -> ContinuousConfig:
    """What the model sees of each object: its kind and its four-momentum."""
    fields = (
        Transform(field="pt", form="log"),
        Transform(field="energy", form="log"),
        Transform(field="eta"),
        Transform(field="phi"),
        Transform(field="type", form="category"),
    )
    return ContinuousConfig(collection="object", fields=fields, classes=(len(OBJECT_TYPES),))


def four_tops(
    size: int = 4, data: tuple[str, ...] = ("events",), valid: tuple[str, ...] = (), pairs: bool = True
) -> RunConfig:
    """A tagger of events with four tops.

    Train it on `lpm simulate events events/ --preset four-tops`.

    Args:
        size: The dial.
        data: Training files.
        valid: Validation files.
        pairs: Whether pairwise kinematics bias the attention, and each object hears of its pairs (`lpm.model.edges`).
    """
    head = ClassifyConfig(target="event.label", classes=tuple(FOUR_TOPS_GROUPS), groups=FOUR_TOPS_GROUPS)
    bias = PairBiasConfig(of="object", pt="object.pt", eta="object.eta", phi="object.phi", edges=EdgesConfig())
    model = ModelConfig(
        backbone=BackboneConfig.sized(size),
        tokenizers={"object": seen()},
        heads={"label": head},
        pairs=bias if pairs else None,
    )
    train = TrainConfig(
        steps=1000 * size, lr=3e-2 / size, optimiser="muon", warmup=100, ema=0.998, valid_every=250, save_every=250,
        patience=10, weight_decay=0.1,
    )  # fmt: skip
    return RunConfig(
        name="events.four_tops", text="Four tops against two with a boson.", model=model, train=train,
        data=DataConfig(train=data, valid=valid, budget=8192),
    )  # fmt: skip
