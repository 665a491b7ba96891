"""Recipes for jets: pre-train a body that generates, fine-tune a tagger, train a ten-class tagger.

`size` sets width, depth, heads, learning rate and horizon together.
"""

from __future__ import annotations

from dataclasses import replace

from lpm.data.fields import JETCLASS
from lpm.model.backbone import BackboneConfig
from lpm.model.heads import ClassifyConfig, FlowConfig, HeadConfig, NextTokenConfig, RegressConfig, UnmaskConfig
from lpm.model.model import ConditionConfig, ModelConfig
from lpm.model.pairs import PairBiasConfig
from lpm.model.sets import SetConfig
from lpm.recipes.base import DataConfig, RunConfig, StartConfig
from lpm.tasks.jets import QUARK_GROUPS, TOP_GROUPS
from lpm.tokens import BinnedConfig, ContinuousConfig, HybridConfig, QuantisedConfig, Transform
from lpm.train.config import TrainConfig

__all__ = [
    "base",
    "binned",
    "classes",
    "flow",
    "kinematics",
    "observables",
    "quantised",
    "quark_gluon",
    "tiny",
    "top",
]

SAMPLE = ("sample:jets",)


def kinematics() -> tuple[Transform, ...]:
    """Transverse momentum and place in the jet: what every data set of jets has.

    The angles are cusped at the jet axis; asinh keeps the resolution fine there without losing the rim.
    """
    return (
        Transform(field="pt", form="log"),
        Transform(field="deta", form="asinh", scale=0.05),
        Transform(field="dphi", form="asinh", scale=0.05),
    )


def hybrid(bins: int = 128) -> HybridConfig:
    """Continuous kinematics to see, bins of each to predict."""
    seen = ContinuousConfig(collection="particle", fields=kinematics())
    return HybridConfig(seen=seen, told=BinnedConfig(collection="particle", fields=kinematics(), bins=(bins,) * 3))


def observables() -> dict[str, RegressConfig]:
    """Heads that answer what substructure a jet has: its masses and N-subjettiness, on scales of order one.

    No label is needed for it, only the jet's own particles. A body that learns it from scratch looks both ways and
    gathers the whole jet into one state, which is what a tagger starts from; the next particle alone teaches neither.

    Centres and spreads are those of jets of 500 to 1000 GeV. Of a file without these fields they are computed as it is
    read, which takes time: convert once what is read often.
    """
    log, asinh = Transform(field="mass", form="log"), Transform(field="sdmass", form="asinh", scale=10.0)
    asked = [(log, 4.5, 0.7), (asinh, 2.5, 1.3)]
    asked += [(Transform(field=f"tau{n}", form="log"), c, 0.6) for n, c in enumerate((-1.8, -2.6, -3.1, -3.4), start=1)]
    return {
        t.field: RegressConfig(target=f"jet.{t.field}", transform=t, centre=centre, spread=spread)
        for t, centre, spread in asked
    }


def base(
    size: int = 4,
    data: tuple[str, ...] = SAMPLE,
    valid: tuple[str, ...] = (),
    observe: bool = True,
    unmask: bool = False,
) -> RunConfig:
    """Pre-train a body on all jets: the next particle, and the substructure of the whole jet.

    Args:
        size: The dial.
        data: Training files.
        valid: Validation files.
        observe: Learn to answer what `observables` asks, in a pass of its own.
        unmask: Learn to guess hidden particles too, in one more pass.
    """
    heads: dict[str, HeadConfig] = {"next": NextTokenConfig(of="particle")}
    if observe:
        heads |= observables()
    if unmask:
        heads["unmask"] = UnmaskConfig(of="particle")
    model = ModelConfig(
        backbone=BackboneConfig.sized(size),
        tokenizers={"particle": hybrid()},
        heads=heads,
        condition=ConditionConfig(field="jet.label", classes=JETCLASS),
    )
    return RunConfig(
        name="jets.base",
        text="Pre-trained body of jets: generates jets, by class if asked, and knows their substructure.",
        data=DataConfig(train=data, valid=valid),
        model=model,
        train=TrainConfig(
            steps=1000 * size, lr=3e-2 / size, optimiser="muon", warmup=100, ema=0.998, valid_every=250, save_every=250,
            weights=dict.fromkeys(observables(), 0.3) | {"unmask": 0.1},
        ),
    )  # fmt: skip


def binned(size: int = 4, data: tuple[str, ...] = SAMPLE, valid: tuple[str, ...] = ()) -> RunConfig:
    """The baseline generator: one joint code a particle, as many as a vector-quantised codebook has (20³ = 8000)."""
    run = base(size, data, valid)
    tokenizer = BinnedConfig(collection="particle", fields=kinematics(), bins=(20, 20, 20), product=True)
    model = replace(run.model, tokenizers={"particle": tokenizer}, heads={"next": NextTokenConfig(of="particle")})
    return replace(run, name="jets.binned", model=model, text="Baseline generator: one joint code a particle.")


def quantised(
    size: int = 4, data: tuple[str, ...] = SAMPLE, valid: tuple[str, ...] = (), codes: int = 8192
) -> RunConfig:
    """A generator on vector-quantised codes, after OmniJet-α."""
    run = base(size, data, valid)
    tokenizer = QuantisedConfig(seen=ContinuousConfig(collection="particle", fields=kinematics()), codes=codes)
    model = replace(run.model, tokenizers={"particle": tokenizer}, heads={"next": NextTokenConfig(of="particle")})
    return replace(run, name="jets.quantised", model=model, text="Generator on vector-quantised codes.")


def flow(size: int = 4, data: tuple[str, ...] = SAMPLE, valid: tuple[str, ...] = ()) -> RunConfig:
    """A generator of whole jets: all particles at once from noise, in a few steps, by class if asked."""
    run = base(size, data, valid)
    head = FlowConfig(of="particle", by="jet.label", classes=JETCLASS)
    model, train = replace(run.model, heads={"flow": head}), replace(run.train, weights=None)
    return replace(
        run, name="jets.flow", model=model, train=train, text="Generator of whole jets in a few steps from noise."
    )


def top(
    size: int = 4,
    data: tuple[str, ...] = SAMPLE,
    valid: tuple[str, ...] = (),
    start: str | None = None,
    pairs: bool = True,
) -> RunConfig:
    """A top tagger: fine-tuned from the body of `start`, or from scratch for None.

    Args:
        size: Must be that of the body.
        data: Training files.
        valid: Validation files.
        start: A run of `base`, or a shipped model.
        pairs: Add a pairwise physics bias, which starts at zero.
    """
    bias = PairBiasConfig(of="particle", pt="particle.pt", eta="particle.deta", phi="particle.dphi")
    head = ClassifyConfig(target="jet.label", classes=tuple(TOP_GROUPS), groups=TOP_GROUPS)
    run = base(size, data, valid)
    model = replace(run.model, heads={"label": head}, condition=None, pairs=bias if pairs else None)
    train = TrainConfig(
        steps=1000 * size, lr=4e-3 / size, warmup=100, ema=0.998, valid_every=100, save_every=250, patience=10,
        weight_decay=0.1, layer_decay=0.8 if start else 1.0,
    )  # fmt: skip
    return replace(
        run, name="jets.top", model=model, train=train, start=StartConfig(run=start) if start else None,
        text="Hadronic tops against QCD jets, from the kinematics of their particles.",
    )  # fmt: skip


def quark_gluon(
    size: int = 4, data: tuple[str, ...] = SAMPLE, valid: tuple[str, ...] = (), start: str | None = None
) -> RunConfig:
    """A tagger of light quarks against gluons, by the parton matched to each simulated jet.

    Train it on `lpm simulate jets --preset quark-gluon`: the sample that comes with lpm holds few gluons.
    """
    run = top(size, data, valid, start)
    head = ClassifyConfig(target="jet.parton", classes=tuple(QUARK_GROUPS), groups=QUARK_GROUPS)
    model = replace(run.model, heads={"label": head})
    return replace(run, name="jets.quark_gluon", model=model, text="Light quarks against gluons.")


def classes(
    size: int = 4, data: tuple[str, ...] = SAMPLE, valid: tuple[str, ...] = (), start: str | None = None
) -> RunConfig:
    """A tagger of the ten classes of JetClass."""
    run = top(size, data, valid, start)
    head = ClassifyConfig(target="jet.label", classes=JETCLASS)
    model = replace(run.model, heads={"label": head})
    return replace(run, name="jets.classes", model=model, text="The ten classes of JetClass.")


def tiny(run: RunConfig) -> RunConfig:
    """The tiny twin of any recipe of jets, for tests: same parts, two steps."""
    whole = run.model.backbone
    body = whole.tiny() if isinstance(whole, SetConfig) else replace(whole, width=32, depth=2, heads=2)
    tokenizers = {
        n: replace(t, codes=64, width=32, depth=1) if isinstance(t, QuantisedConfig) else t
        for n, t in run.model.tokenizers.items()
    }
    return replace(
        run,
        model=replace(run.model, backbone=body, tokenizers=tokenizers),
        train=replace(run.train, steps=2, warmup=1, log_every=1, valid_every=2, save_every=1),
        data=replace(run.data, limit=200, budget=2048),
    )
