"""Recipes of flash simulation: from generated particles to reconstructed objects, in one step.

`tracks` learns from pairs of charged particles and their tracks; `clusters` from groups of photons and the clusters of
energy that are told to each. What happens to a particle at all is a classification, what is measured of it a density of
the fields one after the other (`lpm.model.heads.density`). A photon that gives no cluster adds to that of another one,
so that what is measured is asked when it is known of all photons of a group how many clusters they have. `apply` draws
reconstructed events for generated ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.flash import NEUTRALS, NUMBERS, OUTCOMES, SPECIES, TRACKS, settled
from lpm.data.schema import Collection, Field, Schema
from lpm.model.backbone import BackboneConfig
from lpm.model.conditional import fill
from lpm.model.heads import Classify, ClassifyConfig, Density, DensityConfig, Segment, SegmentConfig
from lpm.model.heads.base import Head
from lpm.model.model import Model, ModelConfig
from lpm.model.packing import Hidden
from lpm.recipes.base import DataConfig, RunConfig
from lpm.tokens import Continuous, ContinuousConfig, Tokens, Transform
from lpm.train.loop import TrainConfig

__all__ = ["FAR", "apply", "clusters", "is_flash", "tracks"]

FAR = 4.0
"""Deviations from the mean in training beyond which what is generated is called unusual."""


_FOUND = tuple(int(name in ("found", "muon")) for name in OUTCOMES)
"""Tracks of each outcome."""


def tracks(size: int = 1, data: tuple[str, ...] = ("tracks",), valid: tuple[str, ...] = ()) -> RunConfig:
    """Acceptance, efficiency, smearing, covariance and identification of charged particles.

    Args:
        size: The dial.
        data: Training files, of `lpm simulate flash` or any others of `lpm.data.flash.TRACKS`.
        valid: Validation files.
    """
    model = ModelConfig(
        backbone=BackboneConfig(width=32 * size, depth=1, heads=size, registers=0),
        tokenizers={"particle": _particle(), "track": _track()},
        heads={
            "outcome": ClassifyConfig(target="particle.outcome", classes=OUTCOMES, given=("particle",)),
            "track": DensityConfig(of="track", given=("particle",), hidden=32 * size, bins=12),
        },
    )
    return RunConfig(
        name="flash.tracks",
        text="What a spectrometer makes of a charged particle: whether there is a track, and all that it measures.",
        data=DataConfig(train=data, valid=valid, budget=4096, most=512),
        model=model,
        train=TrainConfig(
            steps=5000 * size, lr=1.5e-2 / size, optimiser="muon", warmup=100, ema=0.995, weight_decay=0.01,
            valid_every=500, save_every=500,
        ),
    )  # fmt: skip


def clusters(size: int = 1, data: tuple[str, ...] = ("photons",), valid: tuple[str, ...] = ()) -> RunConfig:
    """Clusters of photons that fall near each other: how many each has, and what is measured of them.

    Args:
        size: The dial.
        data: Training files, of `lpm simulate flash --process photons` or any others of `lpm.data.flash.NEUTRALS`.
        valid: Validation files.
    """
    photon = (_log("energy"), *(Transform(field=f) for f in ("x", "y", "u", "v")))
    model = ModelConfig(
        backbone=BackboneConfig(width=48 * size, depth=2 * size, heads=2 * size, registers=0),
        tokenizers={
            "photon": ContinuousConfig(collection="photon", fields=photon),
            "told": ContinuousConfig(collection="told", fields=(*photon, Transform(field="clusters"))),
            "cluster": ContinuousConfig(
                collection="cluster",
                fields=(_log("response"), Transform(field="width"), _asinh("dx", 5.0), _asinh("dy", 5.0)),
            ),
        },
        heads={
            "number": SegmentConfig(target="photon.clusters", classes=NUMBERS, given=("photon",)),
            "cluster": DensityConfig(of="cluster", given=("told",), row="cluster.photon", hidden=32 * size, bins=12),
        },
    )
    return RunConfig(
        name="flash.clusters",
        text="What a calorimeter makes of a group of photons: how many clusters of each, and what they measure.",
        data=DataConfig(train=data, valid=valid, budget=4096, most=256),
        model=model,
        train=TrainConfig(
            steps=2000 * size, lr=1.5e-2 / size, optimiser="muon", warmup=100, ema=0.995, weight_decay=0.01,
            valid_every=500, save_every=500,
        ),
    )  # fmt: skip


def is_flash(model: Model) -> bool:
    """Whether a model makes reconstructed events of generated ones."""
    return _given(model) is not None


def apply(model: Model, batches: Iterable[Batch], *, seed: int = 0) -> Iterator[Batch]:
    """Reconstructed events of generated ones, in their order.

    Args:
        model: Of `tracks` or `clusters`.
        batches: Events with the collection that it is given: `particle`, or `photon`. Others are not looked at.
        seed: The same seed, model and events give the same.

    Yields:
        Events of `lpm.data.flash.TRACKS` or `NEUTRALS`, on the CPU, with one more flag of what was generated: `unusual`
        if a number lies further from its mean in training than `FAR` deviations. They are answered nevertheless.

    Raises:
        ValueError: If the model is of another kind, or events lack what it needs.
    """
    given = _given(model)
    if given is None:
        raise ValueError("this model reconstructs nothing; train one with lpm train flash.tracks or flash.clusters")
    schema, drawn = (TRACKS, _tracks) if given == "particle" else (NEUTRALS, _clusters)
    generator = torch.Generator().manual_seed(seed)
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            yield _flagged(model, drawn(model, _checked(batch, schema, given), generator), given)
    finally:
        model.train(was_training)


def _given(model: Model) -> str | None:
    """The collection that a model of flash simulation is given."""
    kinds = {n: type(model.head(n)) for n in model.heads}
    if kinds == {"outcome": Classify, "track": Density}:
        return "particle"
    return "photon" if kinds == {"number": Segment, "cluster": Density} else None


def _checked(batch: Batch, schema: Schema, given: str) -> Batch:
    """Only what was generated.

    Raises:
        ValueError: If a field is missing, or a number is not finite or out of its range.
    """
    kept = [f for f in schema[given].fields if not f.truth]
    for field in kept:
        path = f"{given}.{field.name}"
        values = batch.field(path).values
        if not bool(values.isfinite().all()):
            raise ValueError(f"{path}: expected finite numbers, got {int((~values.isfinite()).sum())} that are not")
        if field.low is not None and len(values) and float(values.min()) < field.low:
            raise ValueError(f"{path}: expected at least {field.low}, got {float(values.min()):g}")
        if field.labels and len(values) and not 0 <= float(values.min()) <= float(values.max()) < field.size:
            raise ValueError(f"{path}: expected a number of {', '.join(field.labels)}")
    # In the order of the schema, whatever that of the file is.
    rows = batch.collections[given]
    columns = [batch.schema[given].index(f.name) for f in kept]
    made = Collection(name=given, fields=tuple(kept), single=schema[given].single)
    return Batch(Schema(name=schema.name, collections=(made,)), {given: rows.with_values(rows.values[:, columns])})


@torch.no_grad()
def _tracks(model: Model, batch: Batch, generator: torch.Generator) -> Batch:
    """One pass of the body for both questions: neither sees a track."""
    outcome, density = model.head("outcome"), model.head("track")
    assert isinstance(outcome, Classify)
    assert isinstance(density, Density)
    hidden = _hidden(model, batch, density)
    chosen_B = _chosen(outcome.logits(hidden), generator)
    lengths_B = torch.tensor(_FOUND, device=chosen_B.device)[chosen_B]
    empty = Ragged.from_lengths(hidden.x.new_empty(int(lengths_B.sum()), 0), lengths_B)
    drawn = density.draw(hidden, Tokens(empty.offsets, features=empty.values), generator)
    if not bool(drawn.isfinite().all()):
        raise ValueError("what the model makes is not finite: its training has diverged; take an earlier one")
    tokenizer = model.tokenizer("track")
    names = [path.partition(".")[2] for path in tokenizer.paths]
    decoded = tokenizer.decode(Tokens(empty.offsets, features=drawn)).values
    in_order = decoded[:, [names.index(n) for n in TRACKS["track"].names]]
    rows = settled(_bounded(in_order, TRACKS["track"])).cpu()
    particle = torch.cat([batch.collections["particle"].values, chosen_B[:, None].cpu().float()], 1)
    return Batch(TRACKS, {"particle": Ragged.single(particle), "track": Ragged(rows, empty.offsets.cpu())})


@torch.no_grad()
def _clusters(model: Model, batch: Batch, generator: torch.Generator) -> Batch:
    """Numbers of clusters of all photons first; then, seeing them, what each measures."""
    number, photons = model.head("number"), batch.collections["photon"]
    assert isinstance(number, Segment)
    chosen_T = _chosen(number.logits(_hidden(model, batch, number)), generator).cpu()
    told = photons.with_values(torch.cat([photons.values, chosen_T[:, None].float()], 1))
    of = torch.repeat_interleave(torch.arange(len(chosen_T)), chosen_T)
    event = photons.event[of]
    rows = torch.full((len(of), len(NEUTRALS["cluster"].fields)), torch.nan)
    rows[:, 0] = of - photons.offsets[:-1][event]
    empty = Ragged.from_lengths(rows, torch.bincount(event, minlength=len(photons)))
    shell = Batch(NEUTRALS, {"photon": told, "told": told, "cluster": empty})
    made = fill(model, shell, "cluster", generator=generator).to("cpu")
    values = _bounded(made.collections["cluster"].values, NEUTRALS["cluster"])
    return Batch(NEUTRALS, {**made.collections, "cluster": empty.with_values(values)})


def _hidden(model: Model, batch: Batch, head: Head) -> Hidden:
    """What the body makes of the events, in the view of a head."""
    far, view = batch.to(model.prefix.device), head.view
    streams = {name: model.tokenizer(name).encode(far) for name in view.only}
    return model.hidden(far, streams, view, model.ground(far, view.only))


def _chosen(logits: Tensor, generator: torch.Generator) -> Tensor:
    """(N,) one of the classes of each row, drawn as likely as the (N, C) log-odds say."""
    share = logits.softmax(1).cumsum(1)
    drawn = torch.rand(len(share), 1, generator=generator).to(share.device)
    return (drawn * share[:, -1:] >= share[:, :-1]).sum(1)


def _bounded(values: Tensor, collection: Collection) -> Tensor:
    """Numbers kept within the bounds of their fields."""
    columns = [
        x.clamp(f.low, f.high) if f.low is not None or f.high is not None else x
        for x, f in zip(values.unbind(1), collection.fields, strict=True)
    ]
    return torch.stack(columns, 1)


def _flagged(model: Model, batch: Batch, given: str) -> Batch:
    tokenizer = model.tokenizer(given)
    assert isinstance(tokenizer, Continuous)
    rows = batch.collections[given].values
    names = batch.schema[given].names
    far = torch.zeros(len(rows), dtype=torch.bool)
    for i, t in enumerate(tokenizer.config.fields):
        if t.form != "category":
            pull = (t(rows[:, names.index(t.field)]) - tokenizer.mean[i].cpu()) / tokenizer.std[i].cpu()
            far |= pull.abs() > FAR
    flag = Field(name="unusual", kind="flag", low=0.0, high=1.0, text="unlike what the model was trained on")
    return batch.with_field(given, flag, far)


def _particle() -> ContinuousConfig:
    return ContinuousConfig(
        collection="particle",
        fields=(
            _log("p"), _asinh("tx", 0.05), _asinh("ty", 0.05), Transform(field="eta"), _asinh("x", 0.1),
            _asinh("y", 0.1), Transform(field="z"), Transform(field="charge"),
            Transform(field="species", form="category"),
        ),
        classes=(len(SPECIES),),
    )  # fmt: skip


def _track() -> ContinuousConfig:
    """Uncertainties first: they tell how far the rest may lie from what was generated."""
    return ContinuousConfig(
        collection="track",
        fields=(
            *(_log(n) for n in ("err_p", "err_x", "err_y", "err_tx", "err_ty")),
            Transform(field="rho_x_tx"), Transform(field="rho_y_ty"), _asinh("rho_tx_p", 3e-5), _log("chi2"),
            _asinh("dp", 0.003), _asinh("dtx", 1e-4), _asinh("dty", 1e-4), _asinh("dx", 0.02), _asinh("dy", 0.02),
            Transform(field="light"), *(_asinh(n, 0.3) for n in ("rich_mu", "rich_e", "rich_K", "rich_p")),
            _asinh("ep", 0.005),
        ),
    )  # fmt: skip


def _log(field: str) -> Transform:
    return Transform(field=field, form="log", floor=1e-7)


def _asinh(field: str, scale: float) -> Transform:
    return Transform(field=field, form="asinh", scale=scale)
