"""The whole story on a laptop: look at jets, pre-train a body, generate jets, fine-tune a tagger, measure, report.

Every part is a run of its own in a subfolder, made by the same functions as any other run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.fields import JET
from lpm.data.io import open_file
from lpm.data.io.parquet import write_batches
from lpm.data.samples import locate
from lpm.metrics import shapes
from lpm.metrics.estimate import Estimate
from lpm.metrics.generation import compare, flatten
from lpm.metrics.roc import roc_auc
from lpm.model.heads import ClassifyConfig
from lpm.model.heads.base import class_index
from lpm.model.model import Model
from lpm.recipes import jets
from lpm.recipes.apply import predict, sample_jets
from lpm.recipes.base import DataConfig, RunConfig
from lpm.recipes.execute import execute
from lpm.records.run import Run
from lpm.tasks.jets import COMPARED, TOP_GROUPS, describe
from lpm.train.config import TrainConfig
from lpm.train.loop import Record

__all__ = ["Effort", "Story", "tell_story"]

LABELS = (100, 1_000, 10_000)
"""Numbers of labelled jets to fine-tune on."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much to do.

    Args:
        size: The dial of the model.
        pretrain: Pre-training steps.
        finetune: Steps of each fine-tuning, by number of labels.
        generate: Jets to generate.
        test: Share of the events kept for the final test.
    """

    size: int = 3
    pretrain: int = 260
    finetune: tuple[int, ...] = (40, 80, 160)
    generate: int = 5_000
    test: float = 0.15


@dataclass(frozen=True)
class Question:
    """The classification that is asked: two classes, each a group of labels of the data."""

    classes: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]

    def answers(self, batch: Batch) -> Tensor:
        """(B,) 0, 1 or, for other jets, -1."""
        return class_index(batch, "jet.label", self.classes, self.groups)


@dataclass
class Story:
    """What came out.

    Args:
        counts: Jets by class.
        generation: Distances between generated and true jets, with floors.
        taggers: {(start, labels): AUC}.
        question: The two classes told apart, or None if the data have no labels.
    """

    counts: dict[str, int]
    generation: dict[str, Estimate]
    taggers: dict[tuple[str, int], Estimate]
    question: Question | None


def tell_story(
    data: str, folder: Path, *, effort: Effort, seed: int, say: Callable[[str], None], bar: Record | None = None
) -> Story:
    """Do all of it and leave run records in `folder`.

    Args:
        data: Any readable file of jets, or `sample:jets`.
        folder: Where runs go; must not hold an earlier quick start.
        effort: How much to do.
        seed: Decides everything random.
        say: Receives a line before each part.
        bar: Follows the training runs.

    Raises:
        ValueError: If there are fewer than 500 jets.
    """
    batch = _read(data)
    question = _question(batch)
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))
    count = round(effort.test * len(batch))
    test, rest = batch[order[:count]], batch[order[count:]]
    run = Run(folder)
    run.write("start", recipe={"name": "quickstart", "data": data, "effort": str(effort)}, seed=seed)
    say(f"{len(batch):,} jets, {count:,} kept for the test; fit the tokenizer and pre-train on the others")
    body = execute(_base(effort, seed), folder / "base", batch=rest, tell=bar)
    say(f"generate {effort.generate:,} jets and compare them with true ones")
    generation = _generate(body, batch, effort, folder, run, seed)
    taggers: dict[tuple[str, int], Estimate] = {}
    if question is not None:
        taggers = _taggers(question, rest, test, effort, folder, run, seed, say, bar)
    run.write("end")
    return Story(_counts(batch), generation, taggers, question)


def _read(data: str) -> Batch:
    with open_file(locate(data)) as reader:
        batch = Batch.cat(list(reader.batches(0, min(len(reader), 50_000))))
    batch = batch[batch.collections["particle"].lengths > 0]
    if len(batch) < 500:
        raise ValueError(f"{data}: expected at least 500 jets to train on, got {len(batch)}")
    return batch.select(["particle.pt", "particle.deta", "particle.dphi", "jet"])


def _counts(batch: Batch) -> dict[str, int]:
    if "jet.label" not in batch.schema:
        return {}
    field, values = batch.schema.field("jet.label"), batch.field("jet.label").values
    return {name: int((values == i).sum()) for i, name in enumerate(field.labels)}


def _question(batch: Batch) -> Question | None:
    """Tops against QCD if the data have both, else the two most frequent classes."""
    counts = {n: c for n, c in _counts(batch).items() if c >= 100}
    present = {name: tuple(g for g in group if g in counts) for name, group in TOP_GROUPS.items()}
    if all(present.values()):
        return Question(tuple(TOP_GROUPS), TOP_GROUPS)
    most = sorted(counts, key=lambda n: -counts[n])[:2]
    return Question(tuple(most), {}) if len(most) == 2 else None


def _base(effort: Effort, seed: int) -> RunConfig:
    run = jets.base(effort.size)
    train = replace(
        run.train, steps=effort.pretrain, lr=1.5e-2, warmup=effort.pretrain // 10, ema=0.99, log_every=5,
        valid_every=max(1, effort.pretrain // 5), save_every=0,
    )  # fmt: skip
    data = DataConfig(train=("the quick start's jets",), budget=5_000, held=0.05)
    # No class is said in pre-training: the body must not have met the labels whose worth is measured afterwards.
    model = replace(run.model, condition=None)
    return replace(run, name="quickstart.base", model=model, train=train, data=data, seed=seed)


def _generate(body: Model, truth: Batch, effort: Effort, folder: Path, run: Run, seed: int) -> dict[str, Estimate]:
    made = list(sample_jets(body, effort.generate, seed=seed))
    generated = Batch.cat(made)
    write_batches(folder / "generated.parquet", made, schema=generated.schema, provenance={"run": "base"})
    true = describe(truth)
    table = flatten(
        compare(generated, true, COMPARED, metrics=("w1", "sliced_w1", "fpd", "c2st"), max_events=3_000, seed=seed)
    )
    run.metrics("generated jets", table)
    series = {"true": true, "generated": generated}
    for path in ("jet.mass", "jet.pt", "particle", "particle.pt", "jet.tau21", "jet.tau32"):
        run.write("histogram", **shapes.histogram(series, path), log=path == "particle.pt")
    run.write("image", **shapes.image(series))
    run.write("jets", **shapes.jets(series, seed=seed))
    return table


def _taggers(
    question: Question, rest: Batch, test: Batch, effort: Effort, folder: Path, run: Run, seed: int,
    say: Callable[[str], None], bar: Record | None,
) -> dict[tuple[str, int], Estimate]:  # fmt: skip
    """Fine-tune and train from scratch at several numbers of labels, and measure all on the same test jets."""
    known = question.answers(rest) >= 0
    asked = test[question.answers(test) >= 0]
    truth = question.answers(asked).numpy()
    found: dict[tuple[str, int], Estimate] = {}
    scores: dict[str, Any] = {}
    for labels, steps in zip(LABELS, effort.finetune, strict=True):
        if labels > int(known.sum()) * 0.98:
            say(f"skip {labels:,} labels: only {int(known.sum()):,} jets have one")
            continue
        for start in ("pre-trained", "from scratch"):
            say(f"{' against '.join(reversed(question.classes))}, {labels:,} labels, {start}")
            config = _tagger(question, labels, steps, effort, seed, folder / "base" if start == "pre-trained" else None)
            name = f"{start.replace(' ', '-')}-{labels}"
            model = execute(config, folder / name, batch=rest, tell=bar)
            score = _scores(model, asked)
            found[start, labels] = roc_auc(score, truth, seed=seed)
            if labels == max(n for n in LABELS if n <= int(known.sum())):
                scores[start] = (score, truth)
    for start in ("pre-trained", "from scratch"):
        run.metrics(f"AUC, {start}", {f"auc[{n:,} labels]": e for (s, n), e in found.items() if s == start})
    if scores:
        run.write("curve", **shapes.roc(scores))
    if found:
        run.write("curve", name="labels", x_label="labelled jets", y_label="AUC", x_log=True, **_label_curve(found))
    return found


def _tagger(question: Question, labels: int, steps: int, effort: Effort, seed: int, start: Path | None) -> RunConfig:
    run = jets.top(effort.size, start=str(start) if start else None, pairs=False)
    head = ClassifyConfig(target="jet.label", classes=question.classes, groups=question.groups)
    train = TrainConfig(
        steps=steps, lr=1e-3, warmup=steps // 10, ema=0.95, weight_decay=0.1,
        log_every=5,
    )  # fmt: skip
    data = DataConfig(train=("the quick start's jets",), budget=6_000, most=96, limit=labels, held=0.01)
    return replace(run, model=replace(run.model, heads={"label": head}), train=train, data=data, seed=seed)


def _scores(model: Model, batch: Batch) -> np.ndarray[Any, np.dtype[np.float64]]:
    parts = predict(model, (batch[i : i + 512] for i in range(0, len(batch), 512)), "the test jets")
    return torch.cat([p.field(f"jet.{JET['score'].name}").values for p in parts]).double().numpy()


def _label_curve(found: dict[tuple[str, int], Estimate]) -> dict[str, Any]:
    x = sorted({n for _, n in found})
    starts: Sequence[str] = list(dict.fromkeys(s for s, _ in found))
    series = {
        s: {
            "value": [found[s, n].value for n in x],
            "low": [found[s, n].low for n in x],
            "high": [found[s, n].high for n in x],
        }
        for s in starts
    }
    return {"x": x, "series": series}
