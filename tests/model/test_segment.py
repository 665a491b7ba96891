"""Classes of rows: a loss for each event, learned from what is seen, blind to rows without a label."""

import pytest
import torch

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Collection, Field, Schema
from lpm.model.backbone import BackboneConfig
from lpm.model.heads import SegmentConfig
from lpm.model.model import Model, ModelConfig
from lpm.tokens import ContinuousConfig, Transform

SIDES = Field(name="side", kind="category", labels=("left", "right"), truth=True)
HITS = Schema(name="hits", collections=(Collection(name="hit", fields=(Field(name="x"), SIDES)),))
SEEN = ContinuousConfig(collection="hit", fields=(Transform(field="x"),))
HEAD = SegmentConfig(target="hit.side", classes=("left", "right"))


def hits(n: int, seed: int = 0) -> Batch:
    """Hits on both sides of the middle of their event: which side one lies on, only the others tell."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 6, (n,), generator=g)
    rows = Ragged.from_lengths(torch.randn(int(lengths.sum()), 1, generator=g), lengths)
    middle = rows.mean()[rows.event]
    return Batch(HITS, {"hit": rows.with_values(torch.cat([rows.values, (rows.values > middle).float()], 1))})


def model() -> Model:
    torch.manual_seed(0)
    made = Model(ModelConfig(backbone=BackboneConfig(width=32, depth=2, heads=2), tokenizers={"hit": SEEN},
                             heads={"side": HEAD}), HITS)  # fmt: skip
    made.tokenizer("hit").fit([hits(200)])
    return made


def test_the_classes_of_rows_are_learned() -> None:
    made, batch = model(), hits(300)
    optimiser = torch.optim.AdamW(made.parameters(), 3e-3)
    for _ in range(150):
        losses = made(batch)["side"]
        assert losses.shape == (300,)
        losses.mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    other = hits(300, seed=1)
    share = made.eval().predict(other)["side"]
    assert share.shape == (len(other.collections["hit"].values), 2)
    right = share.argmax(1) == other.field("hit.side").values
    assert float(right.float().mean()) > 0.9  # 0.75 or so is what x alone tells


def test_rows_without_a_label_count_nothing() -> None:
    made, batch = model().eval(), hits(20)
    values = batch.collections["hit"].values.clone()
    values[batch.collections["hit"].event == 3, 1] = torch.nan
    losses = made(Batch(HITS, {"hit": batch.collections["hit"].with_values(values)}))["side"]
    whole = made(batch)["side"]
    assert float(losses[3].detach()) == 0.0
    torch.testing.assert_close(losses[4:], whole[4:])
    assert not made(batch.select(["hit.x"]))["side"].any()


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ValueError, match="the model reads no track; it reads hit"):
        SegmentConfig(target="track.side", classes=("a",)).build(8, {"hit": SEEN.build()})
    other = SegmentConfig(target="hit.side", classes=("right", "left"))
    made = Model(ModelConfig(backbone=BackboneConfig(width=32, depth=1, heads=2), tokenizers={"hit": SEEN},
                             heads={"side": other}), HITS)  # fmt: skip
    made.tokenizer("hit").fit([hits(20)])
    with pytest.raises(ValueError, match="expected the labels right, left, got left, right"):
        made(hits(20))
