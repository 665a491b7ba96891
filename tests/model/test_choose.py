"""The choice of a row: probabilities within each event, learned from flags."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lpm.data.batch import Batch
from lpm.model.backbone import BackboneConfig
from lpm.model.heads import ChooseConfig
from lpm.model.model import Model, ModelConfig
from lpm.tokens import ContinuousConfig, Transform

CONFIG = ModelConfig(
    backbone=BackboneConfig(width=16, depth=1, heads=2),
    tokenizers={"particle": ContinuousConfig(collection="particle", fields=(Transform(field="pt", form="log"),))},
    heads={"row": ChooseConfig(target="particle.hardest")},
)


def built(batch: Batch) -> Model:
    torch.manual_seed(0)
    model = Model(CONFIG, batch.schema)
    model.tokenizer("particle").fit([batch])
    return model


def test_chances_of_an_event_add_up_to_one(flagged_jets: Callable[..., Batch]) -> None:
    batch = flagged_jets(20)
    model = built(batch)
    torch.nn.init.normal_(model.head("row").out.weight)
    chance = model.predict(batch)["row"]
    rows = batch.collections["particle"]
    torch.testing.assert_close(rows.with_values(chance).sum(), torch.ones(20))
    assert float(chance.std()) > 0


def test_it_learns_which_row_is_the_hardest(flagged_jets: Callable[..., Batch]) -> None:
    batch = flagged_jets(64)
    model = built(batch)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = model(batch)["row"].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    lengths = batch.collections["particle"].lengths.float()
    assert losses[0] == pytest.approx(float(lengths.log().mean()), rel=1e-4)
    assert losses[-1] < 0.4 * losses[0]


def test_events_without_an_answer_weigh_nothing(flagged_jets: Callable[..., Batch]) -> None:
    batch = flagged_jets(10)
    rows = batch.field("particle.hardest")
    half = torch.where(rows.event < 5, torch.nan, rows.values)
    some = batch.with_field("particle", batch.schema.field("particle.hardest"), half)
    loss = built(batch)(some)["row"]
    assert loss[:5].tolist() == [0.0] * 5
    assert bool((loss[5:] > 0).all())


def test_a_collection_that_is_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match="the model reads no hit; it reads particle"):
        ChooseConfig(target="hit.first").build(8, {"particle": CONFIG.tokenizers["particle"].build()})
