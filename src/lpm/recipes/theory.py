"""Recipes for policies of symbolic theory: which step next?

`size` sets width, depth, heads, learning rate and horizon together.
"""

from __future__ import annotations

from lpm.model.backbone import BackboneConfig
from lpm.model.heads import ChooseConfig
from lpm.model.model import ModelConfig
from lpm.recipes.base import DataConfig, RunConfig
from lpm.theory.ibp.family import read_family
from lpm.theory.ibp.policy import COUNTS, schema
from lpm.tokens import ContinuousConfig, Transform
from lpm.train.loop import TrainConfig

__all__ = ["ibp"]


def ibp(
    size: int = 2, data: tuple[str, ...] = ("paths",), valid: tuple[str, ...] = (), family: str = "trianglebox"
) -> RunConfig:
    """A policy that reduces integrals of one family: it ranks the identities that hold the most complex one.

    Args:
        size: The dial.
        data: Paths of `lpm simulate reductions`.
        valid: Others of the same kind.
        family: The family they are of: a name, or a JSON file.

    Raises:
        ValueError: If there is no such family.
    """
    of = schema(read_family(family))
    identities = of["action"]["identity"].size

    def fields(name: str, counts: tuple[str, ...] = (), left: tuple[str, ...] = ()) -> tuple[Transform, ...]:
        rest = tuple(Transform(field=f) for f in of[name].names if f not in (*counts, *left))
        return (*rest, *(Transform(field=c, form="asinh") for c in counts))

    tokenizers = {
        "state": ContinuousConfig(collection="state", fields=fields("state", ("terms", "solved"))),
        "term": ContinuousConfig(collection="term", fields=fields("term")),
        "action": ContinuousConfig(
            collection="action",
            fields=(Transform(field="identity", form="category"), *fields("action", COUNTS, ("identity", "taken"))),
            classes=(identities,),
        ),
    }
    return RunConfig(
        name="theory.ibp",
        text=f"Which identity reduces the most complex integral of a sum, in the family {read_family(family).name}?",
        data=DataConfig(train=data, valid=valid, budget=8192, longest=1024, held=0.05),
        model=ModelConfig(
            backbone=BackboneConfig(width=32 * size, depth=size, heads=2 * size, registers=0),
            tokenizers=dict(tokenizers),
            heads={"step": ChooseConfig(target="action.taken")},
        ),
        train=TrainConfig(
            steps=1500 * size, lr=2e-2 / size, optimiser="muon", warmup=100, ema=0.998, valid_every=250, save_every=500
        ),
    )
