"""Sampling: the cache gives what a full pass gives, seeds repeat, options do what they say."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from lpm.data.batch import Batch
from lpm.model.backbone import Backbone, Cache
from lpm.model.draw import Chooser, uniform_of
from lpm.model.model import ConditionConfig, Model
from lpm.model.sample import SampleConfig, generate
from lpm.model.waves import _GrowingBias
from lpm.recipes.jets import kinematics
from lpm.tokens import BinnedConfig, ContinuousConfig, QuantisedConfig
from tests.model.test_model import CONFIG, build, of_codes

CPU = torch.device("cpu")
CODES = replace(CONFIG, heads=of_codes())
WAVES, SLOTS = SampleConfig(), SampleConfig(batch=150, slots=True)
PLAIN = replace(CODES, pairs=None, condition=None)


@torch.no_grad()
@pytest.mark.parametrize("pairs", [True, False])
def test_cached_steps_equal_a_full_pass(pairs: bool, toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(1)
    model = build(replace(CONFIG, pairs=CONFIG.pairs if pairs else None, condition=None), toy_jets(100)).eval()
    streams = model.encode(batch)
    full = model.hidden(batch, streams, model.head("next").view).x
    cache = Cache(model.config.backbone, 1, model.prefix)
    bias = _GrowingBias(model, "particle", 1)
    steps = [model.backbone.step(x[None], [cache]) for x in model.prefix]
    embedded = model.embeds["particle"](streams["particle"])
    for x, values in zip(embedded, batch.collections["particle"].values, strict=True):
        steps.append(model.backbone.step(x[None], [cache], [bias.next(values[None])]))
    torch.testing.assert_close(torch.cat(steps), full, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_waves_of_different_length_share_a_step(toy_jets: Callable[..., Batch]) -> None:
    model = build(PLAIN, toy_jets(100)).eval()
    body, g = model.backbone, torch.Generator().manual_seed(0)
    x_TBD = torch.randn(5, 7, body.config.width, generator=g)
    alone = Cache(body.config, 7, x_TBD)
    wanted = [body.step(x, [alone]) for x in x_TBD]
    long, start = Cache(body.config, 3, x_TBD), Cache(body.config, 4, x_TBD)
    for x in x_TBD[:2]:
        body.step(x[:3], [long])
    body.step(x_TBD[0, 3:], [start])
    short = start.of(torch.tensor([2, 2, 0, 3]))
    for i in range(1, 4):
        x = torch.cat([x_TBD[i + 1, :3], x_TBD[i, 3:][[2, 2, 0, 3]]])
        found = body.step(x, [long, short])
        torch.testing.assert_close(found[:3], wanted[i + 1][:3], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[3:], wanted[i][3:][[2, 2, 0, 3]], atol=1e-5, rtol=1e-5)


def chooser(config: SampleConfig) -> Chooser:
    return Chooser(config, uniform_of(torch.Generator().manual_seed(0), CPU), CPU)


def decided(toy_jets: Callable[..., Batch]) -> Model:
    """A model of sixteen classes that leaves nothing to chance: each class has one jet, of a length of its own."""
    pytest.importorskip("vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed")
    seen = ContinuousConfig(collection="particle", fields=kinematics())
    condition = ConditionConfig(field="jet.label", classes=tuple("abcdefghijklmnop"))
    vq = QuantisedConfig(seen=seen, codes=64, width=16, depth=1, heads=2)  # decodes without a draw
    heads = {"next": CODES.heads["next"]}  # alone, so that other heads do not change its weights
    model = build(replace(PLAIN, heads=heads, tokenizers={"particle": vq}, condition=condition), toy_jets(200)).eval()
    stop = model.head("next").stop
    torch.nn.init.constant_(stop.bias, -3e4)
    for seed in range(100):
        torch.nn.init.normal_(stop.weight, std=1e4, generator=torch.Generator().manual_seed(seed))
        whole = Batch.cat(list(generate(model, 16, classes=torch.arange(16), config=SampleConfig(longest=20, top_k=1))))
        lengths = whole.collections["particle"].lengths
        if len(set(lengths.tolist())) > 5 and lengths.float().mean() > 5:
            return model
    raise AssertionError("no weights give jets of different lengths")


def test_filled_places_change_no_jet(toy_jets: Callable[..., Batch]) -> None:
    model, n = decided(toy_jets), 40
    classes = torch.arange(n) * 7 % 16
    jets: dict[tuple[int, bool], list[torch.Tensor]] = {}
    for batch, slots in ((n, False), (12, False), (12, True)):  # all at once; with places filled again
        config = SampleConfig(batch=batch, longest=20, top_k=1, slots=slots)
        made = list(generate(model, n, classes=classes, config=config))
        assert [len(b) for b in made] == [batch] * (n // batch) + [n % batch] * (n % batch > 0)
        whole = Batch.cat(made)
        assert whole.field("jet.label").values.tolist() == classes.tolist()
        jets[batch, slots] = list(whole.collections["particle"])
    wanted = jets[n, False]
    assert len({len(j) for j in wanted}) > 3
    for found in (jets[12, False], jets[12, True]):
        for a, b in zip(wanted, found, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_memory_is_that_of_the_places(toy_jets: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch) -> None:
    """However many jets are asked for: never more grow together, and what has ended does not wait for long."""
    model = decided(toy_jets)
    most: list[tuple[int, int]] = []
    step = Backbone.step

    def watched(self: Backbone, x: torch.Tensor, caches: list[Cache], *rest: Any) -> torch.Tensor:
        most.append((len(x), sum(c.kv.shape[2] * c.kv.shape[4] for c in caches)))
        return step(self, x, caches, *rest)

    monkeypatch.setattr(Backbone, "step", watched)
    classes = torch.arange(200) % 16
    made = generate(model, 200, classes=classes, config=SampleConfig(batch=20, longest=20, top_k=1))
    begun = 0
    for i, batch in enumerate(made):
        begun += len(batch)
        assert len(most) < 40 * (i + 1)
    assert begun == 200
    assert max(size for size, _ in most) <= 20
    assert max(room for _, room in most) <= 20 * 36
    assert sum(size for size, _ in most[5:-20]) > 0.75 * 20 * len(most[5:-20])  # the places stay filled


@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize("kind", ["hybrid", "codes", "product", "vq"])
def test_generated_events_are_batches(kind: str, slots: bool, toy_jets: Callable[..., Batch]) -> None:
    binned = BinnedConfig(collection="particle", fields=kinematics(), bins=(8, 8, 8))
    vq = QuantisedConfig(
        seen=ContinuousConfig(collection="particle", fields=kinematics()), codes=32, width=16, depth=1, heads=2
    )
    tokenizer = {
        "hybrid": CODES.tokenizers["particle"],
        "codes": binned,
        "product": replace(binned, product=True),
        "vq": vq,
    }
    pairs = None if kind == "vq" or slots else CONFIG.pairs
    config = replace(CODES, tokenizers={"particle": tokenizer[kind]}, pairs=pairs)
    model = build(config, toy_jets(200))
    classes, options = torch.arange(50) % 2, SampleConfig(batch=20, longest=12, slots=slots)
    made = list(generate(model, 50, classes=classes, config=options, seed=3))
    assert [len(b) for b in made] == [20, 20, 10]
    whole = Batch.cat(made)
    assert whole.field("jet.label").values.tolist() == classes.tolist()
    assert whole.schema["particle"].names == ("pt", "deta", "dphi")
    assert int(whole.collections["particle"].lengths.max()) <= 12
    assert bool(whole.collections["particle"].values.isfinite().all())
    again = Batch.cat(list(generate(model, 50, classes=classes, config=options, seed=3)))
    assert torch.equal(whole.collections["particle"].values, again.collections["particle"].values)
    other = Batch.cat(list(generate(model, 50, classes=classes, config=options, seed=4)))
    assert whole.collections["particle"].values.shape != other.collections["particle"].values.shape or not torch.equal(
        whole.collections["particle"].values, other.collections["particle"].values
    )


def test_learned_multiplicity_is_sampled(toy_jets: Callable[..., Batch]) -> None:
    """After a little training, generated events have the length of the true ones."""
    torch.manual_seed(0)
    true = toy_jets(600)
    model = build(replace(CONFIG, heads={"next": CONFIG.heads["next"]}, pairs=None, condition=None), true)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(120):
        model(true[step % 10 * 60 : step % 10 * 60 + 60])["next"].mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    expected, waves, slots = (
        b.collections["particle"].lengths.float()
        for b in (true, *(Batch.cat(list(generate(model, 600, config=c, seed=1))) for c in (WAVES, SLOTS)))
    )
    error = (waves.var() / 600 + expected.var() / 600).sqrt()
    assert abs(waves.mean() - expected.mean()) < 5 * error + 0.3  # the model itself is off by a little
    error = (waves.var() / 600 + slots.var() / 600).sqrt()
    assert abs(waves.mean() - slots.mean()) < 4 * error  # they sample the same one


def test_top_p_keeps_the_most_probable() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(2000, 1)
    drawn = chooser(SampleConfig(top_p=0.7))(logits)
    assert set(drawn.tolist()) == {0, 1}
    share = (drawn == 0).float().mean()
    assert abs(float(share) - 0.625) < 0.05


def test_draws_follow_the_probabilities_and_never_meet_none() -> None:
    p = torch.tensor([0.0, 0.6, 0.0, 0.3, 0.1, 0.0])
    drawn = chooser(SampleConfig())(p.log().repeat(20_000, 1))
    share = torch.bincount(drawn, minlength=6) / 20_000
    assert share[p == 0].sum() == 0
    assert bool(((share - p).abs() <= 5 * (p * (1 - p) / 20_000).sqrt()).all())


def test_temperature_follows_the_power_law() -> None:
    logits = torch.log(torch.tensor([[0.8, 0.2]])).repeat(20_000, 1)
    drawn = chooser(SampleConfig(temperature=0.5))(logits)
    assert abs(float((drawn == 0).float().mean()) - 0.64 / 0.68) < 0.01


def test_what_cannot_generate_says_so(toy_jets: Callable[..., Batch]) -> None:
    model = build(replace(CONFIG, condition=None), toy_jets())
    with pytest.raises(ValueError, match="cannot generate"):
        next(generate(model, 5, head="label"))
    with pytest.raises(ValueError, match="not conditioned"):
        next(generate(model, 5, classes=torch.zeros(5)))
    with pytest.raises(ValueError, match="positive number"):
        next(generate(model, 0))
    with pytest.raises(ValueError, match="pairwise bias"):
        next(generate(model, 5, config=SampleConfig(slots=True)))
    model = build(PLAIN, toy_jets())
    model.head("next").chain.outs[0].weight.data[0] = torch.nan
    for slots in (False, True):
        with pytest.raises(ValueError, match="not finite"):
            next(generate(model, 5, config=SampleConfig(slots=slots)))
    with pytest.raises(ValueError, match="top_p"):
        SampleConfig(top_p=0.0)
