"""Recipe for fine-grained taggers: the leaves of a tree of classes, and the mass of the jet beside them."""

from __future__ import annotations

from dataclasses import replace

from lpm.data.fine import FINE
from lpm.model.heads import ClassifyConfig, HeadConfig, RegressConfig
from lpm.model.pairs import PairBiasConfig
from lpm.model.sets import SetConfig
from lpm.recipes.base import RunConfig
from lpm.recipes.jets import classes
from lpm.recipes.taggers import BODIES, Inputs, seen
from lpm.tasks.fine import GROUPS
from lpm.tasks.weights import FlattenConfig
from lpm.tokens import Transform
from lpm.train.config import TrainConfig

__all__ = ["SPREAD", "fine", "flat"]

SPREAD = (
    "H_WW_4q", "H_WW_3q", "H_WW_lvqq", "H_bb", "H_cc", "H_ss", "H_qq", "H_gg", "H_tautau", "top_bqq", "top_bq",
    "top_blv", "QCD",
)  # fmt: skip
"""Classes whose masses are spread, so that their spectra can be made flat; W and Z have one mass."""


def flat() -> FlattenConfig:
    """Weights under which the soft-drop mass and pt of each class of `SPREAD` are flat, and all leaves equally heavy.

    Example:
        >>> flat().axes["jet.pt"][0]
        250.0
    """
    return FlattenConfig(
        by="jet.label",
        axes={
            "jet.sdmass": (0.0, *(float(m) for m in range(20, 261, 20))),
            "jet.pt": (250.0, 350.0, 500.0, 700.0, 1000.0),
        },
        groups={node: FINE.below(node) for node in SPREAD},
        most=10.0,
    )


def fine(
    size: int = 4,
    data: tuple[str, ...] = ("jets",),
    valid: tuple[str, ...] = (),
    inputs: Inputs = "kinematics",
    body: str = "lpm",
    mass: bool = True,
    decorrelate: bool = True,
) -> RunConfig:
    """A tagger of the fine classes of jets, that knows their mass but does not use it.

    Train it on `lpm simulate jets jets/ --preset fine`. Labels may stop at inner nodes of the tree: files with the
    classes of JetClass train it too, without `mass` and `decorrelate`, which need more fields.

    Args:
        size: The dial.
        data: Training files.
        valid: Validation files.
        inputs: What is seen of each particle: `kinematics`, or `full` with charges, types and displacements, without
            which flavours cannot be told.
        body: `lpm`, or a body of sets: `pfn`, `particle_net`, `particle_transformer`, `lorentz`.
        mass: Learn the mass of the jet beside its class.
        decorrelate: Weigh events so that masses and transverse momenta are flat in each class.

    Raises:
        ValueError: If the body is unknown.
    """
    if body != "lpm" and body not in BODIES:
        raise ValueError(f"body {body!r}: expected lpm, {', '.join(BODIES)}")
    weights = flat() if decorrelate else None
    path = weights.to if weights else None
    heads: dict[str, HeadConfig] = {
        "label": ClassifyConfig(target="jet.label", classes=FINE.leaves, groups=GROUPS, strict=True, weight=path)
    }
    if mass:
        factor = Transform(field="mass_factor", form="log", floor=0.05)
        heads["mass"] = RegressConfig(target="jet.mass_factor", transform=factor, spread=0.3, weight=path)
    run = classes(size, data, valid)
    whole = run.model.backbone if body == "lpm" else BODIES[body]
    bias = PairBiasConfig(of="particle", pt="particle.pt", eta="particle.deta", phi="particle.dphi")
    model = replace(
        run.model, heads=heads, backbone=whole, tokenizers={"particle": seen(inputs)},
        pairs=None if isinstance(whole, SetConfig) else bias,
    )  # fmt: skip
    train = TrainConfig(
        steps=2500 * size, lr=1e-3 if isinstance(whole, SetConfig) else 4e-3 / size, warmup=200, ema=0.998,
        valid_every=250, save_every=500, patience=20, weights={"mass": 0.3},
    )  # fmt: skip
    return replace(
        run, name="jets.fine", model=model, train=train, data=replace(run.data, flatten=weights),
        text=f"The {len(FINE.leaves)} fine classes of jets, and their masses.",
    )  # fmt: skip
