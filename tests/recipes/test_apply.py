"""Using models: answers beside the events they are about."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lpm.data.batch import Batch
from lpm.recipes.apply import predict
from tests.model.test_model import CONFIG, build


def test_answers_of_all_heads_stand_beside_the_events(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(20)
    (answered,) = predict(build(CONFIG, batch).eval(), [batch], "toys")
    score = answered.field("jet.score").values
    low, middle, high = (answered.field(f"jet.pt_{end}").values for end in ("low", "pred", "high"))
    assert bool(((score > 0) & (score < 1)).all())
    assert bool(((low < middle) & (middle < high)).all())
    assert torch.equal(answered.field("jet.pt").values, batch.field("jet.pt").values)


def test_a_model_without_answers_says_so(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(4)
    model = build(replace(CONFIG, heads={"next": CONFIG.heads["next"]}), batch)
    with pytest.raises(ValueError, match="no head that answers"):
        next(predict(model, [batch], "toys"))


def test_answers_alone_are_those_beside_the_events(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(9)
    model = build(CONFIG, batch).eval()
    (whole,), (alone,) = predict(model, [batch], "toys"), predict(model, [batch], "toys", alone=True)
    assert alone.schema.paths == ("jet.score", "jet.pt_pred", "jet.pt_low", "jet.pt_high")
    assert all(torch.equal(alone.field(p).values, whole.field(p).values) for p in alone.schema.paths)


def test_two_classifiers_of_one_name_keep_both_answers(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(6)
    heads = {"label": CONFIG.heads["label"], "again": CONFIG.heads["label"]}
    model = build(replace(CONFIG, heads=heads), batch).eval()
    (answered,) = predict(model, [batch], "toys", alone=True)
    assert answered.schema.paths == ("jet.score_label", "jet.score_again")
    assert not torch.equal(*(answered.field(p).values for p in answered.schema.paths))
