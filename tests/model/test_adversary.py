"""The head that tells domains: its own gradient goes down, that of the body goes up, as much as the schedule says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.model import checkpoint
from lpm.model.backbone import BackboneConfig
from lpm.model.heads import Adversary, AdversaryConfig, ClassifyConfig
from lpm.model.model import Model, ModelConfig
from lpm.recipes.jets import kinematics
from lpm.tokens import ContinuousConfig

HEAD = AdversaryConfig(target="jet.label", classes=("QCD", "top"), batches=10)
CONFIG = ModelConfig(
    backbone=BackboneConfig(width=32, depth=1, heads=2),
    tokenizers={"particle": ContinuousConfig(collection="particle", fields=kinematics())},
    heads={"domain": HEAD},
)


def build(batch: Batch, config: ModelConfig = CONFIG) -> Model:
    torch.manual_seed(0)
    model = Model(config, batch.schema)
    model.tokenizer("particle").fit([batch])
    return model


def head(model: Model) -> Adversary:
    out = model.head("domain")
    assert isinstance(out, Adversary)
    return out


def gradients(model: Model, batch: Batch) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(batch)["domain"].mean().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_the_gradient_of_the_body_is_reversed_and_that_of_the_head_is_not(toy_jets: Callable[..., Batch]) -> None:
    model, batch = build(toy_jets(40)), toy_jets(40)
    plain = gradients(model.eval(), batch)  # in evaluation nothing is reversed
    model.train()
    head(model).seen.fill_(5)
    factor = float(head(model).factor)
    assert factor == pytest.approx(2 / (1 + 2.718281828**-5) - 1, rel=1e-5)
    against = gradients(model, batch)
    for name, g in against.items():
        expected = plain[name] if name.startswith("heads.") else -factor * plain[name]
        torch.testing.assert_close(g, expected, atol=1e-6, rtol=1e-4)


def test_the_schedule_counts_batches_of_training(toy_jets: Callable[..., Batch], tmp_path: Path) -> None:
    model, batch = build(toy_jets(20)), toy_jets(20)
    model.train()
    factors = []
    for _ in range(12):
        factors.append(float(head(model).factor))
        model(batch)
    assert factors[0] == 0
    assert factors == sorted(factors)
    assert factors[10] == factors[11] == pytest.approx(0.9999, abs=1e-3)
    model.eval()
    model(batch)
    model.predict(batch)
    assert int(head(model).seen) == 12
    checkpoint.save(model, tmp_path, card="")
    assert int(head(checkpoint.load(tmp_path)).seen) == 12


def test_events_of_unknown_domain_weigh_nothing(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(20)
    model = build(batch)
    label = batch.field("jet.label").values.clone()
    label[:5] = torch.nan
    some = batch.with_field("jet", batch.schema.field("jet.label"), label)
    assert model(some)["domain"][:5].tolist() == [0.0] * 5
    assert bool((model(some)["domain"][5:] > 0).all())


def test_the_body_unlearns_the_domain(toy_jets: Callable[..., Batch]) -> None:
    """Of two questions with the same answer, the adversary's makes the other harder."""

    def found(strength: float) -> float:
        heads = {"domain": replace(HEAD, strength=strength)}
        batch = toy_jets(60)
        model = build(batch, replace(CONFIG, heads=heads)).train()
        optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
        for _ in range(40):
            model(batch)["domain"].mean().backward()
            optimiser.step()
            optimiser.zero_grad()
        return float(model.eval()(batch)["domain"].mean().detach())

    assert found(0.0) < 0.3  # the head alone can tell them from the states of a body at random
    assert found(1.0) > 0.5


@pytest.mark.parametrize("change", [{"classes": ("QCD",)}, {"batches": 0}, {"strength": -1.0}, {"hidden": 0}])
def test_what_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected two domains or more"):
        replace(HEAD, **change)


def test_with_a_label_one_pass_answers_both(toy_jets: Callable[..., Batch]) -> None:
    heads = {"label": ClassifyConfig(target="jet.label", classes=("QCD", "top")), "domain": HEAD}
    model = build(toy_jets(10), replace(CONFIG, heads=heads))
    assert model.head("label").view == model.head("domain").view
