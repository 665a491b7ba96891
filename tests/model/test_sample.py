"""Sampling: the cache gives what a full pass gives, seeds repeat, options do what they say."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lpm.data.batch import Batch
from lpm.model.backbone import Cache
from lpm.model.sample import SampleConfig, _GrowingBias, chooser, generate
from lpm.recipes.jets import kinematics
from lpm.tokens import BinnedConfig, ContinuousConfig, QuantisedConfig
from tests.model.test_model import CONFIG, build


@torch.no_grad()
@pytest.mark.parametrize("pairs", [True, False])
def test_cached_steps_equal_a_full_pass(pairs: bool, toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(1)
    model = build(replace(CONFIG, pairs=CONFIG.pairs if pairs else None, condition=None), toy_jets(100)).eval()
    streams = model.encode(batch)
    full = model.hidden(batch, streams, model.head("next").view).x
    cache = Cache(model.config.backbone, 1, model.prefix)
    bias = _GrowingBias(model, "particle", 1)
    steps = [model.backbone.step(x[None], cache, bias.next(None)) for x in model.prefix]
    embedded = model.embeds["particle"](streams["particle"])
    for x, values in zip(embedded, batch.collections["particle"].values, strict=True):
        steps.append(model.backbone.step(x[None], cache, bias.next(values[None])))
    torch.testing.assert_close(torch.cat(steps), full, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["hybrid", "codes", "product", "vq"])
def test_generated_events_are_batches(kind: str, toy_jets: Callable[..., Batch]) -> None:
    binned = BinnedConfig(collection="particle", fields=kinematics(), bins=(8, 8, 8))
    vq = QuantisedConfig(
        seen=ContinuousConfig(collection="particle", fields=kinematics()), codes=32, width=16, depth=1, heads=2
    )
    tokenizer = {
        "hybrid": CONFIG.tokenizers["particle"],
        "codes": binned,
        "product": replace(binned, product=True),
        "vq": vq,
    }
    pairs = None if kind == "vq" else CONFIG.pairs
    config = replace(CONFIG, tokenizers={"particle": tokenizer[kind]}, pairs=pairs)
    model = build(config, toy_jets(200))
    classes = torch.arange(50) % 2
    made = list(generate(model, 50, classes=classes, config=SampleConfig(batch=20, longest=12), seed=3))
    assert [len(b) for b in made] == [20, 20, 10]
    whole = Batch.cat(made)
    assert whole.field("jet.label").values.tolist() == classes.tolist()
    assert whole.schema["particle"].names == ("pt", "deta", "dphi")
    assert int(whole.collections["particle"].lengths.max()) <= 12
    assert bool(whole.collections["particle"].values.isfinite().all())
    again = Batch.cat(list(generate(model, 50, classes=classes, config=SampleConfig(batch=20, longest=12), seed=3)))
    assert torch.equal(whole.collections["particle"].values, again.collections["particle"].values)
    other = Batch.cat(list(generate(model, 50, classes=classes, config=SampleConfig(batch=20, longest=12), seed=4)))
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
    made = Batch.cat(list(generate(model, 600, seed=1)))
    lengths = made.collections["particle"].lengths.float()
    expected = true.collections["particle"].lengths.float()
    error = (lengths.var() / 600 + expected.var() / 600).sqrt()
    assert abs(lengths.mean() - expected.mean()) < 5 * error + 0.3


def test_top_p_keeps_the_most_probable() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(2000, 1)
    drawn = chooser(SampleConfig(top_p=0.7), torch.Generator().manual_seed(0))(logits)
    assert set(drawn.tolist()) == {0, 1}
    share = (drawn == 0).float().mean()
    assert abs(float(share) - 0.625) < 0.05


def test_temperature_follows_the_power_law() -> None:
    logits = torch.log(torch.tensor([[0.8, 0.2]])).repeat(20_000, 1)
    drawn = chooser(SampleConfig(temperature=0.5), torch.Generator().manual_seed(0))(logits)
    assert abs(float((drawn == 0).float().mean()) - 0.64 / 0.68) < 0.01


def test_what_cannot_generate_says_so(toy_jets: Callable[..., Batch]) -> None:
    model = build(replace(CONFIG, condition=None), toy_jets())
    with pytest.raises(ValueError, match="cannot generate"):
        next(generate(model, 5, head="label"))
    with pytest.raises(ValueError, match="not conditioned"):
        next(generate(model, 5, classes=torch.zeros(5)))
    with pytest.raises(ValueError, match="positive number"):
        next(generate(model, 0))
    with pytest.raises(ValueError, match="top_p"):
        SampleConfig(top_p=0.0)
