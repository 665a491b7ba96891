"""Use a trained model: sample events, answer questions about events of a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import torch

from lpm.data.batch import Batch, Ragged
from lpm.data.fields import JET
from lpm.data.schema import Field
from lpm.metrics.calibration import Calibration
from lpm.model import flow_sample, sample
from lpm.model.checkpoint import check_schema
from lpm.model.flow_sample import FlowSampleConfig
from lpm.model.heads import Classify, Flow, NextToken, Regress
from lpm.model.model import Model
from lpm.model.sample import SampleConfig
from lpm.tasks.jets import describe

__all__ = ["answer_fields", "answering", "flows", "predict", "sample_jets"]


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


def predict(
    model: Model,
    batches: Iterable[Batch],
    source: str,
    *,
    alone: bool = False,
    calibrations: Mapping[str, Calibration] | None = None,
) -> Iterator[Batch]:
    """The events of a file with a model's answers beside them.

    A classifier of two classes adds `jet.score`, the probability of the second; of more classes, `jet.score_<class>`
    each. Where two classifiers would use the same name, theirs come first: `jet.score_<head>`,
    `jet.score_<head>_<class>`. A regression adds `jet.<field>_pred` with the ends of its 68% interval, `_low` and
    `_high`.

    Args:
        model: A trained model.
        batches: Events, on the CPU wherever the model is.
        source: Name of the file, for messages.
        alone: Give the answers without the fields of the events.
        calibrations: {classifier: what makes its scores probabilities}, of `lpm.recipes.calibrate`.

    Raises:
        ValueError: If the model has no head that answers, or the data are not of its kind.
    """
    names = answering(model)
    for batch in batches:
        check_schema(model, batch.schema, source)
        answers = {n: a.cpu() for n, a in model.predict(batch.to(model.prefix.device), names).items()}
        for name, calibration in (calibrations or {}).items():
            answers[name] = torch.from_numpy(calibration(answers[name].double().numpy())).float()
        made: list[str] = []
        for name in names:
            head = model.head(name)
            assert isinstance(head, Classify | Regress)
            at = head.config.target.partition(".")[0]
            for field, values in zip(answer_fields(model, name), _columns(head, answers[name]), strict=True):
                low, high = (
                    -math.inf if field.low is None else field.low,
                    math.inf if field.high is None else field.high,
                )
                batch = batch.with_field(at, field, values.clamp(low, high))
                made.append(f"{at}.{field.name}")
        yield batch.select(made) if alone else batch


def answering(model: Model) -> tuple[str, ...]:
    """Names of the heads that answer questions of events.

    Raises:
        ValueError: If there is none.
    """
    names = tuple(n for n in model.heads if isinstance(model.head(n), Classify | Regress))
    if not names:
        raise ValueError(f"this model has no head that answers questions of events; it has: {', '.join(model.heads)}")
    return names


def answer_fields(model: Model, name: str) -> tuple[Field, ...]:
    """The fields that a head's answer becomes, see `predict`."""
    head = model.head(name)
    if isinstance(head, Regress):
        f = model.schema.field(head.config.target)
        return tuple(
            Field(name=f"{f.name}_{end}", unit=f.unit, low=f.low, high=f.high) for end in ("pred", "low", "high")
        )
    assert isinstance(head, Classify)
    rivals = [h for n in model.heads if n != name and isinstance(h := model.head(n), Classify)]
    taken = {n for h in rivals for n in _score_names(h, "score")}
    mine = _score_names(head, "score")
    if taken & set(mine):
        mine = _score_names(head, f"score_{name}")
    return tuple(replace(JET["score"], name=path.partition(".")[2]) for path in mine)


def _score_names(head: Classify, stem: str) -> list[str]:
    """Paths of a classifier's scores; of two classes there is one."""
    at, classes = head.config.target.partition(".")[0], head.config.classes
    return [f"{at}.{stem}"] if len(classes) == 2 else [f"{at}.{stem}_{c}" for c in classes]


def _columns(head: Classify | Regress, answer: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The numbers of these fields: of two classes the second says all."""
    return answer[:, 1:].unbind(1) if isinstance(head, Classify) and answer.shape[1] == 2 else answer.unbind(1)


def _ordered(batch: Batch) -> Batch:
    """Particles by falling transverse momentum within each jet, as in all jets of lpm."""
    rows = batch.collections["particle"]
    pt = batch.field("particle.pt").values
    order = pt.argsort(descending=True, stable=True)
    order = order[rows.event[order].argsort(stable=True)]
    return replace(batch, collections={**batch.collections, "particle": Ragged(rows.values[order], rows.offsets)})
