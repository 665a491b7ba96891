"""The model as a whole: independence of events, views that hide, truth that stays out, heads that learn."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lpm.data.batch import Batch
from lpm.data.schema import Schema
from lpm.model.attention import plan
from lpm.model.backbone import Backbone, BackboneConfig
from lpm.model.heads import (
    HEADS,
    AdversaryConfig,
    ChooseConfig,
    ClassifyConfig,
    Density,
    FlowConfig,
    HeadConfig,
    NextTokenConfig,
    RegressConfig,
    Segment,
    UnmaskConfig,
)
from lpm.model.heads.dense import DenseHead
from lpm.model.model import ConditionConfig, Model, ModelConfig
from lpm.model.pairs import PairBiasConfig
from lpm.model.view import Masked
from lpm.recipes.jets import hybrid, kinematics
from lpm.tokens import BinnedConfig, ContinuousConfig, Transform

PAIRS = PairBiasConfig(of="particle", pt="particle.pt", eta="particle.deta", phi="particle.dphi", width=8)
CONFIG = ModelConfig(
    backbone=BackboneConfig(width=32, depth=2, heads=2),
    tokenizers={"particle": hybrid(16)},
    heads={
        "next": NextTokenConfig(of="particle", typical=8),
        "unmask": UnmaskConfig(of="particle"),
        "label": ClassifyConfig(target="jet.label", classes=("QCD", "top")),
        "pt": RegressConfig(target="jet.pt", transform=Transform(field="pt", form="log"), centre=6.0),
        "flow": FlowConfig(of="particle", by="jet.label", classes=("QCD", "top"), longest=16),
        "domain": AdversaryConfig(target="jet.label", classes=("QCD", "top")),
        "row": ChooseConfig(target="particle.hardest"),
    },
    pairs=PAIRS,
    condition=ConditionConfig(field="jet.label", classes=("QCD", "top")),
)


def of_codes() -> dict[str, HeadConfig]:
    """The heads that need no features."""
    return {n: h for n, h in CONFIG.heads.items() if n != "flow"}


def build(config: ModelConfig, batch: Batch, seed: int = 0) -> Model:
    """A model whose zero-initialised layers have been moved, so that every part matters."""
    torch.manual_seed(seed)
    model = Model(config, batch.schema)
    for name in model.tokenizers:
        model.tokenizer(name).fit([batch])
    for p in model.parameters():
        p.data += 0.05 * torch.randn_like(p)
    return model


@pytest.fixture
def toy_jets(flagged_jets: Callable[..., Batch]) -> Callable[..., Batch]:
    """Jets with what all heads answer."""
    return flagged_jets


@pytest.fixture(params=["pairs", "plain", "gelu", "codes"])
def config(request: pytest.FixtureRequest) -> ModelConfig:
    binned = BinnedConfig(collection="particle", fields=kinematics(), bins=(16, 16, 16))
    return {
        "pairs": CONFIG,
        "plain": replace(CONFIG, pairs=None, condition=None),
        "gelu": replace(CONFIG, backbone=replace(CONFIG.backbone, mlp="gelu", registers=0)),
        "codes": replace(CONFIG, tokenizers={"particle": binned}, heads=of_codes()),
    }[request.param]


def test_every_head_is_tested() -> None:
    built = {n: h.build(8, {"particle": hybrid(8).build()}) for n, h in CONFIG.heads.items()}
    dense = {h for h in HEADS.values() if issubclass(h, DenseHead)}  # tested in test_dense.py
    # A density is tested in test_density.py: it needs a collection that is given; classes of rows in test_segment.py.
    assert {type(h) for h in built.values()} | dense | {Density, Segment} == set(HEADS.values())


def test_losses_are_per_event_and_every_parameter_learns(config: ModelConfig, toy_jets: Callable[..., Batch]) -> None:
    model = build(config, toy_jets(200))
    model.train()
    losses = model(toy_jets(32))
    assert {n: x.shape for n, x in losses.items()} == dict.fromkeys(config.heads, (32,))
    torch.stack([x.mean() for x in losses.values()]).sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert silent == []


def test_companions_change_nothing(config: ModelConfig, toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(40)
    model = build(config, batch).eval()
    together = model.predict(batch)
    for i in (0, 7, 39):
        alone = model.predict(batch[i : i + 1])
        torch.testing.assert_close(together["label"][i : i + 1], alone["label"], atol=1e-6, rtol=1e-5)
        rows = slice(*batch.collections["particle"].offsets[i : i + 2].tolist())
        torch.testing.assert_close(together["next"][rows], alone["next"], atol=1e-5, rtol=1e-5)


def test_order_of_particles_changes_nothing_without_causality(
    config: ModelConfig, toy_jets: Callable[..., Batch]
) -> None:
    batch = toy_jets(20)
    model = build(config, batch).eval()
    rows = batch.collections["particle"]
    order = (rows.event * 1000.0 + torch.rand(len(rows.values))).argsort()
    mixed = Batch(batch.schema, {**batch.collections, "particle": rows.with_values(rows.values[order])})
    torch.testing.assert_close(model.predict(batch)["label"], model.predict(mixed)["label"], atol=1e-6, rtol=1e-5)


def test_causal_view_does_not_look_ahead(config: ModelConfig, toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(6)
    model = build(config, batch).eval()
    rows = batch.collections["particle"]
    last = rows.position == rows.lengths[rows.event] - 1
    values = torch.where(last[:, None], rows.values * 0.5, rows.values)
    changed = Batch(batch.schema, {**batch.collections, "particle": rows.with_values(values)})
    a, b = (model.predict(x)["next"] for x in (batch, changed))
    torch.testing.assert_close(a[~last], b[~last], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(a[last], b[last])


def test_hidden_tokens_are_hidden(config: ModelConfig, toy_jets: Callable[..., Batch]) -> None:
    """What a masked view hides can change at will without changing any hidden state."""
    batch = toy_jets(10)
    model = build(config, batch).eval()
    view = Masked(of="particle", fraction=0.5)
    seen = view(model.encode(batch), torch.Generator().manual_seed(1))
    hidden = seen["particle"].hidden
    values = batch.collections["particle"].values
    other = Batch(
        batch.schema,
        {
            **batch.collections,
            "particle": batch.collections["particle"].with_values(torch.where(hidden[:, None], 7.0, values)),
        },
    )
    swapped = {"particle": model.encode(other)["particle"].hide(hidden)}
    torch.testing.assert_close(model.hidden(batch, seen, view).x, model.hidden(other, swapped, view).x)


def test_heads_with_equal_views_share_a_pass(toy_jets: Callable[..., Batch]) -> None:
    model = build(CONFIG, toy_jets())
    passes = []
    model.backbone.register_forward_hook(lambda *_: passes.append(1))
    model(toy_jets())
    assert len(passes) == 4  # causal, masked, noised, and one for label and pt
    passes.clear()
    assert set(model.predict(toy_jets(), ("label", "pt"))) == {"label", "pt"}
    assert len(passes) == 1


def test_operations_are_those_that_torch_counts() -> None:
    lengths = torch.full((4,), 20)  # all equal: no padding is counted
    body, offsets = Backbone(BackboneConfig(width=32, depth=3, heads=2)), torch.arange(0, 81, 20)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:  # it overlooks the fused kernel
        body(torch.randn(80, 32), plan(offsets), causal=False)
    assert body.operations(lengths, causal=False) == counted.get_total_flops()
    assert body.operations(lengths, causal=True) == counted.get_total_flops() - 3 * 2 * 4 * 20**2 * 32


def test_operations_count_every_pass(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(8)
    two = build(CONFIG, batch)
    body = two.backbone
    assert isinstance(body, Backbone)
    lengths = batch.collections["particle"].lengths + len(two.prefix)
    views = {two.head(n).view for n in two.heads}
    assert len(views) > 1
    assert two.operations(batch) == 3 * sum(body.operations(lengths, v.causal) for v in views)


def test_condition_reaches_generation_only(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(30)
    model = build(CONFIG, batch).eval()
    field, label = batch.schema.field("jet.label"), batch.field("jet.label").values
    swapped = batch.with_field("jet", field, 1 - label)
    a, b = model.predict(batch), model.predict(swapped)
    torch.testing.assert_close(a["label"], b["label"])
    assert not torch.allclose(a["next"], b["next"])


def test_unlabelled_events_weigh_nothing(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(10)
    model = build(CONFIG, batch)
    unknown = batch.with_field("jet", batch.schema.field("jet.label"), torch.full((10,), float("nan")))
    assert bool((model(unknown)["label"] == 0).all())
    without = batch.select(["particle", "jet.pt"])
    assert bool((model(without)["label"] == 0).all())


def test_labels_are_matched_by_name(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(50)
    groups = {"QCD": ("background",), "top": ("signal",)}
    head = ClassifyConfig(target="jet.label", classes=("QCD", "top"), groups=groups)
    model = build(replace(CONFIG, heads={"label": head}, condition=None), batch)
    assert bool((model(batch)["label"] == 0).all()), "QCD and top are not named in the groups"
    named = replace(batch.schema.field("jet.label"), labels=("signal", "background"))
    flipped = batch.with_field("jet", named, 1 - batch.field("jet.label").values)
    plain = build(replace(CONFIG, heads={"label": replace(head, groups={})}, condition=None), batch)
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(flipped)["label"], plain(batch)["label"])


def test_tokenizers_never_see_truth(toy_jets: Callable[..., Batch]) -> None:
    label = ContinuousConfig(collection="jet", fields=(Transform(field="label", form="category"),), classes=(2,))
    with pytest.raises(ValueError, match="truth"):
        Model(replace(CONFIG, tokenizers={**CONFIG.tokenizers, "jet": label}), toy_jets().schema)


def test_a_head_of_rows_that_are_not_there_is_refused(toy_jets: Callable[..., Batch]) -> None:
    heads = {"next": replace(CONFIG.heads["next"], of="prongs")}  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="head next asks for 'prongs', which the model has no tokenizer of"):
        build(replace(CONFIG, heads=heads), toy_jets())


def test_heads_without_codes_are_refused(toy_jets: Callable[..., Batch]) -> None:
    seen = ContinuousConfig(collection="particle", fields=kinematics())
    with pytest.raises(ValueError, match="no codes"):
        Model(replace(CONFIG, tokenizers={"particle": seen}), toy_jets().schema)


def test_empty_events_survive(config: ModelConfig, toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(5)
    rows = batch.collections["particle"]
    lengths = torch.tensor([0, 3, 0, 1, 0])
    few = Batch(batch.schema, {**batch.collections, "particle": rows.from_lengths(rows.values[:4], lengths)})
    model = build(config, batch)
    for loss in model(few).values():
        assert bool(loss.isfinite().all())


def test_a_batch_without_events_is_answered_with_nothing(config: ModelConfig, toy_jets: Callable[..., Batch]) -> None:
    model = build(config, toy_jets(5)).eval()
    none = toy_jets(5)[:0]
    assert all(len(answer) == 0 for answer in model.predict(none).values())
    assert all(len(loss) == 0 for loss in model(none).values())


def test_bf16_autocast_trains_and_agrees_with_single_precision(
    config: ModelConfig, toy_jets: Callable[..., Batch]
) -> None:
    batch = toy_jets(40)
    model = build(config, batch)
    model.eval()  # the condition is not dropped
    names = ("next", "label", "pt")
    whole = {n: x.mean() for n, x in model(batch).items() if n in names}
    with torch.autocast("cpu", torch.bfloat16):
        half = {n: x.mean() for n, x in model(batch).items()}
    sum(half.values()).backward()
    for name in names:
        torch.testing.assert_close(half[name].float(), whole[name], atol=0.05, rtol=0.05)
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ["next", "unmask", "label", "pt"])
def test_each_head_overfits_eight_events(name: str, toy_jets: Callable[..., Batch]) -> None:
    torch.manual_seed(0)
    batch = toy_jets(8)
    pt = batch.with_field("jet", batch.schema.field("jet.pt"), torch.linspace(100, 900, 8))
    model = Model(replace(CONFIG, heads={name: CONFIG.heads[name]}), pt.schema)
    model.tokenizer("particle").fit([pt])
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    history = []
    for _ in range(80):
        loss = model(pt)[name].mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        history.append(float(loss.detach()))
    reached = sum(history[-5:]) / 5
    # A density can fall without bound (pt), a masked guess can not reach zero; all must fall far.
    assert reached < (history[0] - 1.0 if name == "pt" else 0.5 * history[0])


def test_two_collections_in_one_event(toy_jets: Callable[..., Batch]) -> None:
    """A second modality is a tokenizer more: nothing else in the model changes."""
    batch = toy_jets(20)
    jet = ContinuousConfig(collection="jet", fields=(Transform(field="pt", form="log"),))
    config = replace(CONFIG, tokenizers={"jet": jet, **CONFIG.tokenizers})
    model = build(config, batch)
    assert set(model(batch)) == set(CONFIG.heads)
    assert isinstance(batch.schema, Schema)
