"""Labels that stop above the leaves of a tree, weights of events, and what strict heads refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import JET
from lpm.data.tree import tree
from lpm.model.backbone import BackboneConfig
from lpm.model.heads import ClassifyConfig, RegressConfig
from lpm.model.heads.base import class_index, class_mask
from lpm.model.model import Model, ModelConfig
from lpm.recipes.base import DataConfig, RunConfig
from lpm.recipes.execute import execute
from lpm.recipes.jets import kinematics
from lpm.tokens import ContinuousConfig, Transform
from lpm.train.config import TrainConfig

TREE = tree("jet", tree("H", "H_bb", "H_cc"), tree("QCD", "QCD_b", "QCD_no"))
LABELS = ("H_bb", "H_cc", "H", "QCD_b", "QCD_no", "QCD", "jet", "Zprime")
HEAD = ClassifyConfig(target="jet.label", classes=TREE.leaves, groups=TREE.groups())
CONFIG = ModelConfig(
    backbone=BackboneConfig(width=32, depth=2, heads=2),
    tokenizers={"particle": ContinuousConfig(collection="particle", fields=kinematics())},
    heads={"label": HEAD},
)


@pytest.fixture
def jets(toy_jets: Callable[..., Batch]) -> Callable[[list[float]], Batch]:
    """A maker of jets with the given labels out of `LABELS`; NaN is unknown."""

    def make(labels: list[float]) -> Batch:
        batch = toy_jets(len(labels))
        return batch.with_field("jet", replace(batch.schema.field("jet.label"), labels=LABELS), torch.tensor(labels))

    return make


def build(batch: Batch, config: ModelConfig = CONFIG) -> Model:
    torch.manual_seed(0)
    model = Model(config, batch.schema)
    model.tokenizer("particle").fit([batch])
    for p in model.parameters():
        p.data += 0.05 * torch.randn_like(p)
    return model


def test_the_loss_is_that_of_the_sum_below_the_label(jets: Callable[[list[float]], Batch]) -> None:
    batch = jets([float(i) for i in range(len(LABELS))] + [float("nan")])
    model = build(batch).eval()
    p, loss = model.predict(batch)["label"].double(), model(batch)["label"].detach().double()
    inside = {"H_bb": [0], "H_cc": [1], "H": [0, 1], "QCD_b": [2], "QCD_no": [3], "QCD": [2, 3], "jet": [0, 1, 2, 3]}
    for i, name in enumerate(LABELS[:-1]):
        assert float(loss[i]) == pytest.approx(-float(p[i, inside[name]].sum().log()), abs=1e-5)
    assert loss[-2:].tolist() == [0, 0], "outside the tree, and unknown"


def test_leaves_alone_are_plain_cross_entropy(jets: Callable[[list[float]], Batch]) -> None:
    """A coarse head on labels that are leaves has the loss, and gradients, of the plain head."""
    batch = jets([0.0, 1.0, 3.0, 4.0, float("nan")] * 4)
    plain = replace(CONFIG, heads={"label": replace(HEAD, groups={})})
    found = []
    for config in (CONFIG, plain):
        model = build(batch, config)
        loss = model(batch)["label"]
        loss.sum().backward()
        found.append((loss, model.head("label").out.weight.grad))
    torch.testing.assert_close(found[0], found[1])


def test_unknown_labels_leave_no_gradient(jets: Callable[[list[float]], Batch]) -> None:
    batch = jets([float("nan"), 7.0, 6.0])
    model = build(batch)
    model(batch)["label"].sum().backward()
    gradient = model.head("label").out.weight.grad
    assert gradient is not None
    assert float(gradient.abs().max()) < 1e-6


def test_only_sure_labels_have_an_index(jets: Callable[[list[float]], Batch]) -> None:
    batch = jets([0.0, 2.0, 4.0, 7.0, float("nan")])
    index = class_index(batch, "jet.label", TREE.leaves, TREE.groups())
    assert index.tolist() == [0, -1, 3, -1, -1]
    assert class_mask(batch, "jet.label", TREE.leaves, TREE.groups()).sum(1).tolist() == [1, 2, 1, 0, 0]


def test_coarse_labels_teach_what_they_say(jets: Callable[[list[float]], Batch]) -> None:
    """Trained on H and QCD alone, the sums of leaves tell the two; the leaves below are not told apart."""
    batch = jets([2.0, 5.0] * 40)
    wide = torch.where(batch.field("jet.label").values == 2, 1.0, 3.0)
    rows = batch.collections["particle"]
    values = rows.values.clone()
    values[:, 1:3] *= wide[rows.event][:, None]
    batch = Batch(batch.schema, {**batch.collections, "particle": rows.with_values(values)})
    model = build(batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        model(batch)["label"].mean().backward()
        optimiser.step()
    p = model.eval().predict(batch)["label"]
    said = p[:, :2].sum(1) > 0.5
    assert float((said == (batch.field("jet.label").values == 2)).float().mean()) > 0.9


def test_weights_multiply_losses(jets: Callable[[list[float]], Batch]) -> None:
    batch = jets([0.0, 3.0, 2.0, 5.0])
    batch = batch.with_field("jet", JET["weight"], torch.tensor([0.0, 0.5, 2.0, 1.0]))
    mass = RegressConfig(target="jet.pt", transform=Transform(field="pt", form="log"), centre=6.0)
    heads = {"label": HEAD, "mass": mass}
    alike = replace(CONFIG, heads=heads)
    weighed = replace(CONFIG, heads={n: replace(h, weight="jet.weight") for n, h in heads.items()})
    a, b = (build(batch, c)(batch) for c in (alike, weighed))
    for name in heads:
        torch.testing.assert_close(b[name], a[name] * torch.tensor([0.0, 0.5, 2.0, 1.0]))


def run(config: ModelConfig) -> RunConfig:
    return RunConfig(
        name="coarse", model=config, train=TrainConfig(steps=2, warmup=1, log_every=1), data=DataConfig(train=("toys",))
    )


def test_labels_outside_the_tree_are_refused_by_name(jets: Callable[[list[float]], Batch], tmp_path: Path) -> None:
    strict = replace(CONFIG, heads={"label": replace(HEAD, strict=True)})
    fine = jets([0.0, 2.0, float("nan")] * 20)
    execute(run(strict), tmp_path / "fine", device="cpu", batch=fine)
    bad = jets([0.0, 2.0, 7.0] * 20)
    message = "jet.label: 20 events are Zprime, which head 'label' knows no class for; say in its groups"
    with pytest.raises(ValueError, match=message):
        execute(run(strict), tmp_path / "bad", device="cpu", batch=bad)
    execute(run(CONFIG), tmp_path / "lenient", device="cpu", batch=bad)


def test_impossible_weights_are_refused_before_training(jets: Callable[[list[float]], Batch], tmp_path: Path) -> None:
    batch = jets([0.0, 2.0, 3.0] * 20)
    config = replace(CONFIG, heads={"label": replace(HEAD, weight="jet.weight")})
    with pytest.raises(ValueError, match=r"has no jet\.weight, by which events are weighed"):
        execute(run(config), tmp_path / "none", device="cpu", batch=batch)
    batch = batch.with_field("jet", JET["weight"], torch.where(torch.arange(60) == 5, -1.0, 1.0))
    with pytest.raises(ValueError, match=r"jet\.weight: 1 of 60 weights are negative"):
        execute(run(config), tmp_path / "negative", device="cpu", batch=batch)
