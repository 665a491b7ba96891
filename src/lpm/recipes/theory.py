"""Recipes for policies of symbolic theory: which step next?

`size` sets width, depth, heads, learning rate and horizon together.
"""

from __future__ import annotations

from lpm.data.schema import Schema
from lpm.model.backbone import BackboneConfig
from lpm.model.heads import ChooseConfig
from lpm.model.model import ModelConfig
from lpm.recipes.base import DataConfig, RunConfig
from lpm.theory.ibp.family import read_family
from lpm.theory.ibp.policy import COUNTS, schema
from lpm.tokens import ContinuousConfig, Transform
from lpm.train.config import TrainConfig

__all__ = ["dilog", "ibp", "spinor"]


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
    text = f"Which identity reduces the most complex integral of a sum, in the family {read_family(family).name}?"
    given = DataConfig(train=data, valid=valid, budget=8192, longest=1024, held=0.05)
    return _policy("theory.ibp", text, given, tokenizers, size, depth=size, steps=1500)


def spinor(size: int = 1, data: tuple[str, ...] = ("scrambles",), valid: tuple[str, ...] = ()) -> RunConfig:
    """A policy that ranks steps between sums of spinor brackets; one model for any number of particles and terms.

    Args:
        size: The dial.
        data: Sums of `lpm simulate scrambles --preset spinor`.
        valid: Others of the same kind.
    """
    from lpm.theory.spinor.policy import SCHEMA  # computer algebra, which not everybody has

    return _sums("theory.spinor", "Which step makes a sum of spinor brackets shorter?", SCHEMA, size, data, valid)


def dilog(size: int = 1, data: tuple[str, ...] = ("scrambles",), valid: tuple[str, ...] = ()) -> RunConfig:
    """A policy that ranks steps between sums of dilogarithms, for any number of terms.

    Args:
        size: The dial.
        data: Sums of `lpm simulate scrambles --preset dilog`.
        valid: Others of the same kind.
    """
    from lpm.theory.dilog.policy import SCHEMA  # computer algebra, which not everybody has

    return _sums("theory.dilog", "Which step makes a sum of dilogarithms shorter?", SCHEMA, size, data, valid)


def _sums(name: str, text: str, of: Schema, size: int, data: tuple[str, ...], valid: tuple[str, ...]) -> RunConfig:
    tokenizers = {}
    for c in of.collections:
        seen = [f for f in c.fields if not f.truth]
        forms = tuple(Transform(field=f.name, form="category" if f.size else "asinh") for f in seen)
        sizes = tuple(f.size for f in seen if f.size)
        tokenizers[c.name] = ContinuousConfig(collection=c.name, fields=forms, classes=sizes)
    given = DataConfig(train=data, valid=valid, budget=8192, longest=2048, held=0.1)
    return _policy(name, text, given, tokenizers, size, depth=1 + size, steps=1000)


def _policy(
    name: str, text: str, data: DataConfig, tokenizers: dict[str, ContinuousConfig], size: int, depth: int, steps: int
) -> RunConfig:
    return RunConfig(
        name=name,
        text=text,
        data=data,
        model=ModelConfig(
            backbone=BackboneConfig(width=32 * size, depth=depth, heads=2 * size, registers=0),
            tokenizers=dict(tokenizers),
            heads={"step": ChooseConfig(target="action.taken")},
        ),
        train=TrainConfig(
            steps=steps * size, lr=2e-2 / size, optimiser="muon", warmup=100, ema=0.998, valid_every=250, save_every=500
        ),
    )
