"""Four tops: does an event, a set of jets, leptons and photons, hold four top quarks, or two and something else?"""

from __future__ import annotations

from lpm.data.batch import Batch
from lpm.data.fields import FOUR_TOPS
from lpm.metrics.classification import binary_metrics
from lpm.metrics.estimate import Estimate
from lpm.model.heads.base import class_index
from lpm.tasks.base import Task, judged, paired

__all__ = ["FOUR_TOPS_GROUPS", "SIGNAL_AGAINST_REST"]

FOUR_TOPS_GROUPS: dict[str, tuple[str, ...]] = {"background": FOUR_TOPS[1:], "signal": FOUR_TOPS[:1]}
"""Processes that count as background or as signal, by name."""


def _evaluate(predicted: Batch, truth: Batch | None, seed: int) -> dict[str, Estimate]:
    """Metrics of `event.score` against `event.label`."""
    source = paired(predicted, truth)
    classes = class_index(source, "event.label", tuple(FOUR_TOPS_GROUPS), FOUR_TOPS_GROUPS)
    if not bool((classes >= 0).any()):
        raise ValueError(f"no event has an event.label of {', '.join(FOUR_TOPS)}; name a file that has it")
    if "event.score" not in predicted.schema:
        raise ValueError("the events have no event.score to judge; add it with lpm predict")
    known, labels, weights = judged(source, classes, tuple(FOUR_TOPS_GROUPS), "event.weight")
    scores = predicted.field("event.score").values[known]
    return binary_metrics(scores.numpy(), labels, weights, efficiencies=(0.3, 0.7), seed=seed)


SIGNAL_AGAINST_REST = Task(
    name="events.four_tops",
    text="Does this event hold four top quarks, or two with a Z, W, WW or Higgs boson?",
    prepare=lambda batch: batch,
    evaluate=_evaluate,
)
