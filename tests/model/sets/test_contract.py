"""What every backbone of sets promises, whatever it is made of; and the plain backbone beside them.

Batch norms learn from all rows of a batch: with them, companions decide in training. There the statistics are held
fixed where companions change, as they are in evaluation, and left free where only the order does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.model import checkpoint
from lpm.model.adapt import adapt, merge
from lpm.model.backbone import BackboneConfig
from lpm.model.edges import EdgesConfig
from lpm.model.heads import ClassifyConfig
from lpm.model.model import Model, ModelConfig
from lpm.model.pair_terms import KINEMATIC, PairTermsConfig
from lpm.model.pairs import PairBiasConfig
from lpm.model.sets import SETS, LorentzConfig, ParticleNetConfig, ParticleTransformerConfig, SetConfig
from lpm.model.sets.interactions import RowNorm
from lpm.recipes.taggers import seen
from lpm.records.config import from_dict, to_dict

Jets = Callable[..., Batch]

PAIRS = PairBiasConfig(of="particle", pt="particle.pt", eta="particle.deta", phi="particle.dphi")
PLAIN = BackboneConfig(width=16, depth=2, heads=2)
BODIES: dict[str, SetConfig | BackboneConfig] = {
    **{name: config().tiny() for name, config in SETS.items()},
    "particle_transformer": replace(ParticleTransformerConfig().tiny(), dropout=0.0),
    "particle_net": replace(ParticleNetConfig().tiny(), dropout=0.0),
    "particle_net with pairs": replace(
        ParticleNetConfig().tiny(), dropout=0.0, physics=PairTermsConfig(terms=KINEMATIC)
    ),
    "lorentz, all symmetry": LorentzConfig(symmetry="lorentz").tiny(),
    "plain": PLAIN,
    "plain with pairs": PLAIN,
    "plain with edges": PLAIN,
}
WITH = {"plain with pairs": PAIRS, "plain with edges": replace(PAIRS, edges=EdgesConfig(width=8, layers=2))}


def config_of(name: str) -> ModelConfig:
    """A model that classifies jets."""
    return ModelConfig(
        backbone=BODIES[name],
        tokenizers={"particle": seen()},
        heads={"label": ClassifyConfig(target="jet.label", classes=("QCD", "top"))},
        pairs=WITH.get(name),
    )


@pytest.fixture(params=BODIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def build(name: str, batch: Batch) -> Model:
    """A model in double precision none of whose parts is at its start."""
    torch.manual_seed(0)
    model = Model(config_of(name), batch.schema)
    model.tokenizer("particle").fit([batch])
    model.fit_pairs([batch])
    model.double()
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    model.train()(batch)
    return model


def scores(model: Model, batch: Batch) -> Tensor:
    """Log-odds of the classes."""
    head = model.head("label")
    out: Tensor = head.logits(model.hidden(batch, model.encode(batch), head.view))
    return out


def gradients(model: Model, loss: Tensor) -> dict[str, Tensor]:
    """Of all parameters."""
    model.zero_grad()
    loss.backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    for name, x in a.items():
        assert torch.allclose(x, b[name], atol=1e-8, rtol=1e-6), f"{name}: {float((x - b[name]).abs().max())}"


def fixed_norms(model: Model) -> Model:
    """In training, but for the statistics of batch norms."""
    model.train()
    for module in model.modules():
        if isinstance(module, RowNorm) or (hasattr(module, "norms") and any(module.norms)):
            module.eval()
    return model


def mixed(batch: Batch) -> Batch:
    """The rows of each event in another order."""
    rows, g = batch.collections["particle"], torch.Generator().manual_seed(1)
    order = (rows.event * 1000.0 + torch.rand(len(rows.values), generator=g)).argsort()
    return Batch(batch.schema, {**batch.collections, "particle": rows.with_values(rows.values[order])})


def of_lengths(batch: Batch, lengths: list[int]) -> Batch:
    """Events cut anew from the first rows."""
    rows, n = batch.collections["particle"], torch.tensor(lengths)
    cut = rows.from_lengths(rows.values[: int(n.sum())], n)
    return Batch(batch.schema, {"particle": cut, "jet": batch.collections["jet"][: len(lengths)]})


def test_every_backbone_is_tested() -> None:
    assert {type(c) for c in BODIES.values()} == {*SETS.values(), BackboneConfig}


def test_the_order_of_rows_changes_nothing(name: str, toy_jets: Jets) -> None:
    batch = toy_jets(40)
    model, other = build(name, batch), mixed(batch)
    with torch.no_grad():
        torch.testing.assert_close(scores(model.eval(), batch), scores(model, other), atol=1e-9, rtol=1e-9)
    model.train()
    equal(*(gradients(model, model(x)["label"].mean()) for x in (batch, other)))


def test_a_sum_in_single_precision_does_not_depend_on_the_order_of_rows(toy_jets: Jets) -> None:
    """Of hundreds of rows, whose states need not be small."""
    batch = of_lengths(toy_jets(400), [900, 600, 30, 1])
    model = build("deep_sets", batch).float().eval()
    with torch.no_grad():
        a, b = (scores(model, x) for x in (batch, mixed(batch)))
    torch.testing.assert_close(a, b, atol=0, rtol=1e-7)


def test_the_order_of_events_changes_nothing(name: str, toy_jets: Jets) -> None:
    batch, order = toy_jets(40), torch.randperm(40, generator=torch.Generator().manual_seed(2))
    model = build(name, batch)
    with torch.no_grad():
        a, b = scores(model.eval(), batch), scores(model, batch[order])
    torch.testing.assert_close(a[order], b, atol=1e-9, rtol=1e-9)
    model.train()
    equal(*(gradients(model, model(x)["label"].mean()) for x in (batch, batch[order])))


def test_companions_and_the_padding_they_bring_change_nothing(name: str, toy_jets: Jets) -> None:
    batch = toy_jets(40)
    rows = batch.collections["particle"]
    long = of_lengths(batch, [len(rows.values) // 2])
    few = batch[:5]
    together = Batch.cat([few, long, batch[5:30]])
    model = build(name, batch)
    with torch.no_grad():
        torch.testing.assert_close(scores(model.eval(), few), scores(model, together)[:5], atol=1e-9, rtol=1e-9)
    fixed_norms(model)
    equal(*(gradients(model, model(x)["label"][:5].sum()) for x in (few, together)))


def test_only_batch_norms_let_companions_decide_in_training(name: str, toy_jets: Jets) -> None:
    batch = toy_jets(40)
    model = build(name, batch).train()
    normed = any(isinstance(m, RowNorm) for m in model.modules())
    assert normed == name.startswith("particle_")
    same = torch.allclose(model(batch)["label"][:5], model(batch[:5])["label"], atol=1e-9)
    assert same is not normed


@pytest.mark.parametrize("place", [(0.2, -0.3), (0.0, 0.0)])
def test_a_particle_of_1_gev_is_seen(name: str, place: tuple[float, float], toy_jets: Jets) -> None:
    """The logarithm of its momentum is zero, as padding often is."""
    batch = toy_jets(40)
    model = build(name, batch).eval()
    rows = batch.collections["particle"]
    last = rows.position == rows.lengths[rows.event] - 1
    soft = torch.where(last[:, None], torch.tensor([1.0, *place]), rows.values)
    kept = Batch(batch.schema, {**batch.collections, "particle": rows.with_values(soft)})
    cut = rows.from_lengths(soft[~last], rows.lengths - 1)
    without = Batch(batch.schema, {**batch.collections, "particle": cut})
    with torch.no_grad():
        difference = (scores(model, kept) - scores(model, without)).abs().amax(1)
    assert float(difference.min()) > 1e-6
    assert float(difference.median()) > 1e-3


@pytest.mark.parametrize("lengths", [[0, 3, 0, 1, 0], [0, 0], [1], [2, 1]])
def test_events_of_no_or_few_rows_survive(name: str, lengths: list[int], toy_jets: Jets) -> None:
    batch = toy_jets(20)
    model, few = build(name, batch), of_lengths(batch, lengths)
    for train in (True, False):
        loss = model.train(train)(few)["label"]
        assert all(bool(g.isfinite().all()) for g in gradients(model, loss.sum()).values())
        assert bool(loss.isfinite().all())


@pytest.mark.parametrize("train", [True, False])
def test_a_batch_without_events_is_answered_with_nothing(name: str, train: bool, toy_jets: Jets) -> None:
    model = build(name, toy_jets(5)).train(train)
    assert len(model(toy_jets(5)[:0])["label"]) == 0


def test_every_parameter_learns(name: str, toy_jets: Jets) -> None:
    batch = toy_jets(40)
    model = build(name, batch).train()
    found = gradients(model, model(batch)["label"].mean())
    # What a batch norm takes out again cannot matter: the biases before those of the network of interactions. The rank
    # of a row is told of hidden ones only.
    some = {n: g for n, g in found.items() if "interactions" not in n and not n.startswith("embeds.particle.rank")}
    idle = [n for n, g in some.items() if not bool((g != 0).any())]
    assert not idle


def test_half_precision_trains_it(name: str, toy_jets: Jets) -> None:
    batch = toy_jets(40)
    model = build(name, batch).float().train()
    whole = float(model(batch)["label"].mean().detach())
    with torch.autocast("cpu", torch.bfloat16):
        half = model(batch)["label"].mean()
    half.backward()
    assert float(half.detach()) == pytest.approx(whole, rel=0.05)
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_it_comes_back_from_disk(name: str, toy_jets: Jets, tmp_path: Path) -> None:
    batch = toy_jets(20)
    model = build(name, batch).float().eval()
    checkpoint.save(model, tmp_path, card="")
    assert torch.equal(checkpoint.load(tmp_path).predict(batch)["label"], model.predict(batch)["label"])
    assert from_dict(ModelConfig, to_dict(model.config)) == model.config


def test_it_learns_eight_events(name: str, toy_jets: Jets) -> None:
    torch.manual_seed(0)
    batch = toy_jets(8)
    model = Model(config_of(name), batch.schema)
    model.tokenizer("particle").fit([batch])
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = [1.0]
    while losses[-1] > 0.1 and len(losses) < 60:
        loss = model(batch)["label"].mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1


def test_low_rank_additions_reach_it_and_merge(name: str, toy_jets: Jets) -> None:
    batch = toy_jets(20)
    model = build(name, batch).eval()
    before = model.predict(batch)["label"]
    adapt(model.backbone.double(), rank=1)
    model.double()
    torch.testing.assert_close(model.predict(batch)["label"], before)
    for p in model.backbone.parameters():
        if p.requires_grad:
            p.data += 0.05
    changed = model.predict(batch)["label"]
    assert not torch.allclose(changed, before, atol=1e-4)
    merge(model)
    torch.testing.assert_close(model.predict(batch)["label"], changed, atol=1e-5, rtol=1e-5)


def test_the_states_of_rows_follow_them(name: str, toy_jets: Jets) -> None:
    batch = toy_jets(12)
    model, other = build(name, batch).eval(), mixed(batch)
    view = model.head("label").view
    with torch.no_grad():
        a, b = (model.hidden(x, model.encode(x), view).of("particle") for x in (batch, other))
    rows = batch.collections["particle"]
    for one, two in zip(rows.with_values(a), rows.with_values(b), strict=True):
        torch.testing.assert_close(one.sum(0), two.sum(0))
        torch.testing.assert_close(one.sort(0).values, two.sort(0).values)


def test_classifiers_behind_sets_start_as_published_if_states_are_of_order_one(name: str, toy_jets: Jets) -> None:
    model = Model(config_of(name), toy_jets(3).schema)
    assert bool((model.head("label").out.weight == 0).all()) == name.startswith(("plain", "deep_sets"))
