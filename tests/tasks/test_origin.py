"""Jet origin and four tops: what the tasks measure, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import FOUR_TOPS, ORIGINS, events_schema, jets_schema
from lpm.data.schema import Field
from lpm.tasks import TASKS
from lpm.tasks.origin import migration

N = 330


def jets(sure: float = 0.0, labels: torch.Tensor | None = None, count: int = N) -> Batch:
    """Jets with scores that are drawn at random, `sure` added to the right one."""
    g = torch.Generator().manual_seed(0)
    y = torch.arange(count) % len(ORIGINS) if labels is None else labels
    one = torch.ones(count)
    columns = {"particle.pt": one, "jet.pt": one, "jet.label": y.float()}
    batch = Batch.build(jets_schema(["pt"], ["pt"], ORIGINS), columns, {"particle": one.long()})
    raw = torch.rand(count, len(ORIGINS), generator=g)
    raw[torch.arange(count), y] += sure
    for i, name in enumerate(ORIGINS):
        batch = batch.with_field("jet", Field(name=f"score_{name}"), (raw / raw.sum(1, keepdim=True))[:, i])
    return batch


def test_a_sure_tagger_is_right_and_a_blind_one_is_not() -> None:
    right = TASKS["jets.origin"].evaluate(jets(2.0), None, 0)
    assert right["efficiency[b]"].value == right["efficiency[g]"].value == right["auc"].value == 1
    assert right["flip[s]"].value == 0
    blind = TASKS["jets.origin"].evaluate(jets(), None, 0)
    assert blind["accuracy"].low < 1 / 11 < blind["accuracy"].high + 0.03
    many = TASKS["jets.origin"].evaluate(jets(count=11_000), None, 0)["flip[u]"]
    assert many.value == pytest.approx(0.5, abs=3 * many.error)
    assert many.error < 0.05


def test_labels_may_come_from_another_file() -> None:
    scored = jets(2.0)
    alone = scored.select([p for p in scored.schema.paths if p != "jet.label"])
    assert (migration(alone, scored) == migration(scored)).all()
    assert migration(scored).sum() == N


def test_events_of_one_origin_have_no_auc() -> None:
    found = TASKS["jets.origin"].evaluate(jets(2.0, torch.zeros(N, dtype=torch.int64)), None, 0)
    assert "auc" not in found
    assert "efficiency[c]" not in found
    assert found["efficiency[b]"].value == 1


def test_scores_and_labels_are_needed() -> None:
    scored = jets()
    with pytest.raises(ValueError, match=r"no jet\.score_b"):
        migration(scored.select(["jet.label", "particle"]))
    with pytest.raises(ValueError, match="no jet has a label"):
        migration(scored.select([p for p in scored.schema.paths if p != "jet.label"]))


def events(score: torch.Tensor | None) -> Batch:
    y = torch.arange(50) % len(FOUR_TOPS)
    lengths = {"object": torch.ones(50, dtype=torch.int64)}
    schema = events_schema(("ht",), FOUR_TOPS)
    columns = {p: torch.zeros(50) for p in schema.paths} | {"event.label": y.float()}
    batch = Batch.build(schema, columns, lengths)
    return batch if score is None else batch.with_field("event", Field(name="score"), score)


def test_four_tops_against_all_the_rest() -> None:
    score = (torch.arange(50) % len(FOUR_TOPS) == 0).float() * 0.8 + 0.1
    found = TASKS["events.four_tops"].evaluate(events(score), None, 0)
    assert found["auc"].value == found["accuracy"].value == 1
    assert np.isfinite(found["rejection@0.7"].low)
    with pytest.raises(ValueError, match=r"no event\.score"):
        TASKS["events.four_tops"].evaluate(events(None), None, 0)
    with pytest.raises(ValueError, match=r"no event has an event\.label"):
        TASKS["events.four_tops"].evaluate(events(score).select(["event.score"]), None, 0)
