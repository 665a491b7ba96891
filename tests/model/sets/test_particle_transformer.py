"""The Particle Transformer: what every backbone promises, and the numbers of `weaver` with equal weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.model import checkpoint
from lpm.model.adapt import adapt, merge
from lpm.model.heads import ClassifyConfig, NextTokenConfig, RegressConfig, UnmaskConfig
from lpm.model.layers import Dropout
from lpm.model.model import ConditionConfig, Model, ModelConfig
from lpm.model.pair_terms import PairTermsConfig
from lpm.model.pairs import PairBiasConfig
from lpm.model.sets.buckets import Bucket
from lpm.model.sets.interactions import Interactions, Pairs, squares
from lpm.model.sets.norm_stack import NormStack
from lpm.model.sets.particle_transformer import ParticleTransformerConfig
from lpm.model.sets.weaver import from_weaver, load_weaver
from lpm.recipes.jets import hybrid, kinematics
from lpm.records.config import from_dict, to_dict
from lpm.tokens import BinnedConfig, ContinuousConfig, Transform

BODY = ParticleTransformerConfig(width=16, embed=(16, 32), pairs=(8, 8, 8), heads=4, depth=2, dropout=0.0)
CODES = BinnedConfig(collection="particle", fields=kinematics(), bins=(4, 4, 4))
SEEN = ContinuousConfig(collection="particle", fields=kinematics())
CONFIG = ModelConfig(
    backbone=BODY,
    tokenizers={"particle": SEEN},
    heads={
        "label": ClassifyConfig(target="jet.label", classes=("QCD", "top")),
        "pt": RegressConfig(target="jet.pt", transform=Transform(field="pt", form="log"), centre=6.0),
    },
)

Jets = Callable[..., Batch]


def build(batch: Batch, config: ModelConfig = CONFIG) -> Model:
    """A model none of whose parts is at its start, the running statistics of its batch norms included."""
    torch.manual_seed(0)
    model = Model(config, batch.schema)
    for name in model.tokenizers:
        model.tokenizer(name).fit([batch])
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    model.train()(batch)
    return model


def of_lengths(batch: Batch, lengths: list[int]) -> Batch:
    """Events cut anew from the first particles."""
    rows, n = batch.collections["particle"], torch.tensor(lengths)
    cut = rows.from_lengths(rows.values[: int(n.sum())], n)
    return Batch(batch.schema, {"particle": cut, "jet": batch.collections["jet"][: len(lengths)]})


def test_every_parameter_learns(toy_jets: Jets) -> None:
    model = build(toy_jets(40), replace(CONFIG, backbone=replace(BODY, dropout=0.1)))
    losses = model.train()(toy_jets(40))
    assert {n: x.shape for n, x in losses.items()} == {"label": (40,), "pt": (40,)}
    torch.stack(list(losses.values())).sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    # A constant before a batch norm changes nothing.
    assert silent == [f"backbone.interactions.net.{i}.bias" for i in (1, 3, 5, 7)]


def test_companions_change_nothing_in_evaluation(toy_jets: Jets) -> None:
    batch = toy_jets(40)
    model = build(batch).eval()
    together = model.predict(batch)["label"]
    for i in (0, 7, 39):
        torch.testing.assert_close(together[i : i + 1], model.predict(batch[i : i + 1])["label"], atol=1e-6, rtol=1e-5)


def test_order_of_particles_changes_nothing(toy_jets: Jets) -> None:
    batch = toy_jets(20)
    model = build(batch).eval()
    rows = batch.collections["particle"]
    order = (rows.event * 1000.0 + torch.rand(len(rows.values))).argsort()
    mixed = Batch(batch.schema, {**batch.collections, "particle": rows.with_values(rows.values[order])})
    torch.testing.assert_close(model.predict(batch)["label"], model.predict(mixed)["label"], atol=1e-5, rtol=1e-4)
    streams = model.encode(batch)
    a, b = (model.hidden(x, s, model.head("label").view).of("particle")
            for x, s in ((batch, streams), (mixed, model.encode(mixed))))  # fmt: skip
    torch.testing.assert_close(a[order], b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("lengths", [[0, 3, 0, 1, 0], [0, 0], [1]])
def test_events_of_no_or_one_particle_survive(lengths: list[int], toy_jets: Jets) -> None:
    model = build(toy_jets(10))
    few = of_lengths(toy_jets(10), lengths)
    losses = model.train()(few)
    torch.stack(list(losses.values())).sum().backward()
    assert all(bool(x.isfinite().all()) for x in losses.values())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("train", [True, False])
def test_a_batch_without_events_is_answered_with_nothing(train: bool, toy_jets: Jets) -> None:
    model = build(toy_jets(5)).train(train)
    assert all(len(loss) == 0 for loss in model(toy_jets(5)[:0]).values())


def test_with_and_without_gradients_the_answer_is_the_same(toy_jets: Jets) -> None:
    """Two kernels of attention, one answer."""
    model, batch = build(toy_jets(30)).eval(), toy_jets(30)
    with torch.no_grad():
        fused = model(batch)["label"]
    torch.testing.assert_close(model(batch)["label"], fused, atol=1e-6, rtol=1e-5)


def test_autocast_agrees_with_single_precision(toy_jets: Jets) -> None:
    model, batch = build(toy_jets(30)).eval(), toy_jets(30)
    whole = model(batch)["label"].mean()
    with torch.autocast("cpu", torch.bfloat16):
        half = model(batch)["label"].mean()
    half.backward()
    torch.testing.assert_close(half.float(), whole, atol=0.05, rtol=0.05)
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_it_comes_back_from_disk(toy_jets: Jets, tmp_path: Path) -> None:
    model, batch = build(toy_jets(30)).eval(), toy_jets(30)
    checkpoint.save(model, tmp_path, card="")
    assert torch.equal(checkpoint.load(tmp_path).predict(batch)["label"], model.predict(batch)["label"])
    assert from_dict(ModelConfig, to_dict(CONFIG)) == CONFIG


def test_low_rank_additions_reach_the_class_blocks_and_merge(toy_jets: Jets) -> None:
    model, batch = build(toy_jets(30)).eval(), toy_jets(30)
    adapt(model.backbone, rank=1)
    for p in model.backbone.parameters():
        if p.requires_grad:
            p.data += 0.05
    before = model.predict(batch)["label"]
    merge(model)
    torch.testing.assert_close(model.predict(batch)["label"], before, atol=1e-5, rtol=1e-4)


def test_energy_may_be_given(toy_jets: Jets) -> None:
    """A massless particle's own energy is what is taken without one."""
    batch = toy_jets(5)
    pt, eta, _ = batch.collections["particle"].values.unbind(1)
    p = BODY.momenta(batch)
    torch.testing.assert_close(p[:, 3], pt * eta.cosh())
    torch.testing.assert_close(p[:, 3].square(), p[:, :3].square().sum(1), rtol=1e-4, atol=1e-4)
    assert replace(BODY, energy="particle.energy").paths[-1] == "particle.energy"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": PairBiasConfig(of="particle", pt="p.pt", eta="p.deta", phi="p.dphi")}, "its own pairs"),
        ({"condition": ConditionConfig(field="jet.label", classes=("QCD",))}, "does not generate"),
    ],
)
def test_parts_it_cannot_use_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizers": {}, "heads": {}}, "one collection, particle"),
        ({"tokenizers": {"particle": CODES}}, "codes only"),
        ({"tokenizers": {"particle": hybrid(8)}, "heads": {"n": NextTokenConfig(of="particle")}}, "head n hides"),
        ({"tokenizers": {"particle": hybrid(8)}, "heads": {"u": UnmaskConfig(of="particle")}}, "head u hides"),
    ],
)  # fmt: skip
def test_what_it_cannot_see_is_refused(change: dict[str, object], message: str, toy_jets: Jets) -> None:
    with pytest.raises(ValueError, match=message):
        Model(replace(CONFIG, **change), toy_jets(3).schema)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="not a multiple of heads"):
        ParticleTransformerConfig(width=20, heads=8)


def test_pairs_must_be_described_by_something() -> None:
    with pytest.raises(ValueError, match="needs terms of pairs"):
        ParticleTransformerConfig(physics=PairTermsConfig(terms=()))


def test_missing_momenta_are_named(toy_jets: Jets) -> None:
    model = build(toy_jets(5), replace(CONFIG, tokenizers={"particle": replace(SEEN, fields=kinematics()[:1])}))
    with pytest.raises(ValueError, match=r"particle\.deta"):
        checkpoint.check_schema(model, toy_jets(5).select(["particle.pt", "jet.pt"]).schema, "file")


def test_padding_a_bucket_and_back_with_gradients() -> None:
    bucket = Bucket.of(torch.tensor([2, 0, 3]))
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.equal(bucket.unpad(bucket.pad(x)), x)
    assert bucket.pad(x)[1].abs().sum() == 0
    assert torch.autograd.gradcheck(bucket.pad, x)
    y = torch.randn(3, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(bucket.unpad, y)


def test_squares_of_pairs_with_gradients() -> None:
    bucket = Bucket.of(torch.tensor([2, 0, 3]))
    pairs = Pairs.of(bucket, 9)
    y = (10.0 * pairs.a + pairs.b)[:, None].double().expand(-1, 2).clone().requires_grad_()
    square = squares(y, bucket, pairs)
    assert square.shape == (2, 3, 3, 3)
    assert square[0, 2].tolist() == [[22.0, 32.0, 42.0], [32.0, 33.0, 43.0], [42.0, 43.0, 44.0]]
    assert square[1, 0, :2].tolist() == [[0.0, 10.0, float("-inf")], [10.0, 11.0, float("-inf")]]

    def weights(y: Tensor) -> tuple[Tensor, Tensor]:
        square = squares(y / 10, bucket, pairs).softmax(-1)
        return square[:, 0, :2], square[:, 2]

    assert torch.autograd.gradcheck(weights, y)


def test_the_network_of_pairs_equals_one_of_ordinary_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpm.model.sets.norm_stack.CHUNK", 16)
    torch.manual_seed(0)
    ours, x = Interactions((6, 6, 5), heads=3).double(), 3 * torch.randn(4, 70, dtype=torch.float64) + 1
    plain: list[torch.nn.Module] = [torch.nn.BatchNorm1d(4)]
    for layer in ours.layers:
        size = layer.out_features
        plain += [torch.nn.Linear(layer.in_features, size), torch.nn.BatchNorm1d(size), torch.nn.GELU()]
    theirs = torch.nn.Sequential(*plain[:-1]).double()
    linked = list(zip(ours.net, [m for m in theirs if not isinstance(m, torch.nn.GELU)], strict=True))
    for a, b in linked:
        torch.nn.init.normal_(a.weight)
        torch.nn.init.normal_(a.bias)
        b.load_state_dict(a.state_dict())
    probe = torch.randn(70, 3, dtype=torch.float64)
    for _ in range(2):
        y, z = torch.cat(list(ours([x[:, :30], x[:, 30:]]))), theirs(x.T)
        torch.testing.assert_close(y, z)
        (y * probe).sum().backward()
        (z * probe).sum().backward()
    for a, b in linked:
        torch.testing.assert_close(a.weight.grad, b.weight.grad)
        torch.testing.assert_close(a.bias.grad, b.bias.grad, atol=1e-10, rtol=1e-6)
        for name, value in b.named_buffers():
            torch.testing.assert_close(a.get_buffer(name), value)
    torch.testing.assert_close(torch.cat(list(ours.eval()([x]))), theirs.eval()(x.T))


def test_a_rectified_stack_equals_one_of_ordinary_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpm.model.sets.norm_stack.CHUNK", 16)
    torch.manual_seed(0)
    x = (3 * torch.randn(70, 4, dtype=torch.float64) + 1).requires_grad_()
    shapes = [(4,), (4,), (5, 4), (5,), (5,), (5,), (3, 5), (3,), (3,), (3,)]
    parameters = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    probe = torch.randn(70, 3, dtype=torch.float64)
    y, mean, variance = NormStack.apply(x, 1e-5, True, *parameters)
    ours = torch.autograd.grad((y * probe).sum(), [x, *parameters])
    z, at = x, 0
    for layer in range(3):
        if layer:
            z = torch.nn.functional.linear(z, parameters[at], parameters[at + 1])
            at += 2
        assert torch.allclose(mean[4 * (layer > 0) + 5 * (layer > 1) :][: z.shape[1]], z.mean(0))
        z = torch.nn.functional.batch_norm(z, None, None, parameters[at], parameters[at + 1], training=True).relu()
        at += 2
    torch.testing.assert_close(y, z)
    assert variance.shape == mean.shape == (12,)
    theirs = torch.autograd.grad((z * probe).sum(), [x, *parameters])
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-6)


def test_dropout_keeps_the_mean_and_drops_as_often_as_said() -> None:
    torch.manual_seed(0)
    drop, x = Dropout(0.3), torch.full((999, 101), 2.0, requires_grad=True)
    y = drop(x)
    kept = y != 0
    assert abs(float(kept.float().mean()) - 0.7) < 0.01
    assert torch.allclose(y[kept], torch.tensor(2 / 0.7), rtol=1e-4)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad != 0, kept)
    assert not torch.equal(drop(x) != 0, kept)
    assert torch.equal(drop.eval()(x), x)
    for p in (0.0, 1.0):
        assert bool((Dropout(p)(x) == x * (1 - p)).all())


# The published code, with equal weights


def peer(**change: float) -> torch.nn.Module:
    """A small Particle Transformer of weaver."""
    module = pytest.importorskip("weaver.nn.model.ParticleTransformer", reason="weaver-core is not installed")
    torch.manual_seed(0)
    sizes = {"num_heads": 4, "num_layers": 2, "embed_dims": (16, 32, 16), "pair_embed_dims": (8, 8, 8)}
    model: torch.nn.Module = module.ParticleTransformer(
        input_dim=3, num_classes=2, trim=False, **sizes,
        block_params={"dropout": 0.0, "attn_dropout": 0.0, "activation_dropout": 0.0},
    )  # fmt: skip
    return model


def both(batch: Batch) -> tuple[torch.nn.Module, Model]:
    """Weaver's model and ours, with equal weights."""
    theirs = peer()
    ours = build(batch, replace(CONFIG, heads={"label": CONFIG.heads["label"]}))
    for p in theirs.parameters():
        p.data += 0.1 * torch.randn_like(p)
    theirs.train()(*padded(ours, batch))
    load_weaver(ours, theirs.state_dict())
    return theirs, ours


def padded(model: Model, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Features, four-momenta and mask as weaver takes them, four places longer than needed."""
    tokens = model.encode(batch)["particle"].ragged
    out = []
    for rows in (tokens.values, CONFIG.backbone.momenta(batch)):
        x, mask = tokens.with_values(rows).padded()
        out.append(torch.nn.functional.pad(x, (0, 0, 0, 4)).transpose(1, 2))
    return out[0], out[1], torch.nn.functional.pad(mask, (0, 4))[:, None]


def ask(model: Model, batch: Batch) -> Tensor:
    """Log-odds of the classes."""
    head = model.head("label")
    out: Tensor = head.logits(model.hidden(batch, model.encode(batch), head.view))
    return out


def test_equal_to_weaver_in_evaluation(toy_jets: Jets) -> None:
    batch = toy_jets(50)
    theirs, ours = both(batch)
    theirs.eval()
    ours.eval()
    a, b = theirs(*padded(ours, batch)), ask(ours, batch)
    assert bool(a.std() > 0.1)
    torch.testing.assert_close(b, a, atol=1e-5, rtol=1e-5)
    index = batch.field("jet.label").values.long()
    for logits in (a, b):
        torch.nn.functional.cross_entropy(logits, index).backward()
    mine = dict(ours.named_parameters())
    for name, gradient in from_weaver({n: p.grad for n, p in theirs.named_parameters()}).items():
        if name.endswith("qkv.bias"):  # the keys' part is zero but for rounding
            gradient, own = gradient[[*range(16), *range(32, 48)]], mine[name].grad[[*range(16), *range(32, 48)]]
        else:
            own = mine[name].grad
        torch.testing.assert_close(own, gradient, atol=1e-4 * float(gradient.abs().max()) + 1e-6, rtol=1e-3)


def test_equal_to_weaver_in_training_but_for_the_norm_of_the_features(toy_jets: Jets) -> None:
    batch = toy_jets(50)
    theirs, ours = both(batch)
    x, p, mask = padded(ours, batch)
    assert not torch.allclose(ask(ours.train(), batch), theirs.train()(x, p, mask), atol=1e-2)
    theirs, ours = both(batch)
    theirs.train()
    ours.train()
    for norm in (theirs.embed.input_bn, ours.backbone.norm_features):
        norm.eval()
    torch.testing.assert_close(ask(ours, batch), theirs(x, p, mask), atol=1e-4, rtol=1e-4)
    after = from_weaver(theirs.state_dict())
    for name, value in ours.state_dict().items():
        if "running" in name:
            torch.testing.assert_close(value, after[name], atol=1e-4, rtol=1e-4)


def test_weights_of_weaver_are_used_each_once(toy_jets: Jets) -> None:
    theirs, ours = both(toy_jets(20))
    state = theirs.state_dict()
    wrapped = {f"mod.{n}".replace("in_proj.", "in_proj_"): t for n, t in state.items()}
    load_weaver(ours, wrapped)
    with pytest.raises(ValueError, match=r"no place for weaver's fc\.1\.weight"):
        from_weaver({**state, "fc.1.weight": state["fc.0.weight"]})
    with pytest.raises(ValueError, match=r"two of weaver's tensors belong to backbone\.norm\.weight"):
        from_weaver({**state, "mod.norm.weight": state["norm.weight"]})
    with pytest.raises(ValueError, match=r"differ from the model in backbone\.norm\.bias"):
        load_weaver(ours, {n: t for n, t in state.items() if n != "norm.bias"})
    with pytest.raises(ValueError, match=r"differ from the model in backbone\.norm\.bias"):
        load_weaver(ours, {**state, "norm.bias": state["norm.bias"][:3]})


def test_the_defaults_have_the_published_size(toy_jets: Jets) -> None:
    body = ParticleTransformerConfig()
    model = Model(replace(CONFIG, backbone=body, heads={"label": CONFIG.heads["label"]}), toy_jets(2).schema)
    count = sum(p.numel() for p in model.parameters())
    # 2,143,486 with 17 features instead of 3 (two norms, one matrix) and 10 classes instead of 2
    assert count == 2_143_486 - 14 * (2 + 2 + 128) - 8 * (128 + 1)
