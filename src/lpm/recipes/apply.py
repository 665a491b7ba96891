"""Use a trained model: sample events, answer questions about events of a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from lpm.data.batch import Batch, Ragged
from lpm.data.fields import JET
from lpm.data.schema import Field
from lpm.model import flow_sample, sample
from lpm.model.checkpoint import check_schema
from lpm.model.flow_sample import FlowSampleConfig
from lpm.model.heads import Classify, Flow, NextToken, Regress
from lpm.model.model import Model
from lpm.model.sample import SampleConfig
from lpm.tasks.jets import describe

__all__ = ["flows", "predict", "sample_jets"]


def flows(model: Model) -> bool:
    """Whether a model generates by a flow: it has one, and no head that tells the next token."""
    kinds = {type(model.head(n)) for n in model.heads}
    return Flow in kinds and NextToken not in kinds


def sample_jets(
    model: Model,
    n: int,
    *,
    classes: tuple[str, ...] = (),
    config: SampleConfig | FlowSampleConfig | None = None,
    seed: int = 0,
) -> Iterator[Batch]:
    """Sample jets with their observables (`lpm.tasks.jets.describe`).

    Args:
        model: A model that generates jets.
        n: Number of jets.
        classes: Classes to generate in equal parts; empty to let the model choose, without a label.
        config: How to sample, particle by particle or by a flow; None for the defaults of what the model can.
        seed: The same seed gives the same jets.

    Raises:
        ValueError: If a class is not one of the model's, or the model cannot generate in this way.
    """
    chosen = None
    if classes:
        known = model.config.condition.classes if model.config.condition else ()
        unknown = [c for c in classes if c not in known]
        if unknown:
            raise ValueError(f"class {unknown[0]!r}: the model can generate {', '.join(known) or 'no class'}")
        index = torch.tensor([known.index(c) for c in classes])
        chosen = index[torch.arange(n) % len(classes)]
    if isinstance(config, FlowSampleConfig) or (config is None and flows(model)):
        batches = flow_sample.generate(model, n, config=config, classes=chosen, seed=seed)
    else:
        batches = sample.generate(model, n, config=config, classes=chosen, seed=seed)
    for batch in batches:
        yield describe(_ordered(batch))


def predict(model: Model, batches: Iterable[Batch], source: str) -> Iterator[Batch]:
    """The events of a file with a model's answers beside them.

    A classifier of two classes adds `jet.score`, the probability of the second; of more classes, `jet.score_<class>`
    each. A regression adds `jet.<field>_pred` with the ends of its 68% interval, `_low` and `_high`.

    Args:
        model: A trained model.
        batches: Events, on the CPU wherever the model is.
        source: Name of the file, for messages.

    Raises:
        ValueError: If the model has no head that answers, or the data are not of its kind.
    """
    names = tuple(n for n in model.heads if isinstance(model.head(n), Classify | Regress))
    if not names:
        raise ValueError(f"this model has no head that answers questions of events; it has: {', '.join(model.heads)}")
    for batch in batches:
        check_schema(model, batch.schema, source)
        answers = {n: a.cpu() for n, a in model.predict(batch.to(model.prefix.device), names).items()}
        for name in names:
            head = model.head(name)
            if isinstance(head, Classify):
                batch = _with_scores(batch, head, answers[name])
            elif isinstance(head, Regress):
                batch = _with_interval(batch, model.schema.field(head.config.target), head.config.target, answers[name])
        yield batch


def _with_scores(batch: Batch, head: Classify, p_BC: torch.Tensor) -> Batch:
    at, classes = head.config.target.split(".")[0], head.config.classes
    if len(classes) == 2:
        return batch.with_field(at, JET["score"], p_BC[:, 1])
    for i, name in enumerate(classes):
        batch = batch.with_field(at, Field(name=f"score_{name}", low=0.0, high=1.0), p_BC[:, i])
    return batch


def _with_interval(batch: Batch, field: Field, target: str, ends_B3: torch.Tensor) -> Batch:
    """Prediction and interval in the unit of what was learned, and within its range."""
    low, high = (-math.inf if field.low is None else field.low, math.inf if field.high is None else field.high)
    for i, end in enumerate(("pred", "low", "high")):
        made = Field(name=f"{field.name}_{end}", unit=field.unit, low=field.low, high=field.high)
        batch = batch.with_field(target.partition(".")[0], made, ends_B3[:, i].clamp(low, high))
    return batch


def _ordered(batch: Batch) -> Batch:
    """Particles by falling transverse momentum within each jet, as in all jets of lpm."""
    rows = batch.collections["particle"]
    pt = batch.field("particle.pt").values
    order = pt.argsort(descending=True, stable=True)
    order = order[rows.event[order].argsort(stable=True)]
    return replace(batch, collections={**batch.collections, "particle": Ragged(rows.values[order], rows.offsets)})
