"""The flow: what its view shows, what its head learns, and that few steps from noise give the events it was taught."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Collection, Field, Schema
from lpm.model.backbone import BackboneConfig
from lpm.model.checkpoint import load, load_part, save
from lpm.model.flow_sample import FlowSampleConfig, generate, solve
from lpm.model.heads import FlowConfig
from lpm.model.model import ConditionConfig, Model, ModelConfig
from lpm.model.view import Noised
from lpm.recipes.apply import flows, sample_jets
from lpm.tokens import ContinuousConfig, Transform
from tests.model.test_model import CONFIG, build, of_codes

FLOW = replace(CONFIG, heads={"flow": CONFIG.heads["flow"]}, pairs=None)
CATEGORY = Transform(field="pt", form="category")
NOISED = Noised(of="particle", conditioned=True)

CLASSES = ("narrow", "wide")
CENTRE, WIDTH, ROWS = torch.tensor([-1.0, 2.0]), torch.tensor([0.2, 0.6]), torch.tensor([2, 4])


def hits(n: int, seed: int = 0) -> Batch:
    """Events of two classes: hits of one Gaussian number each, of a mean, a width and a multiplicity of the class."""
    g = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % 2
    event = torch.repeat_interleave(label, ROWS[label])
    x = CENTRE[event] + WIDTH[event] * torch.randn(len(event), generator=g)
    kind = Field(name="kind", kind="category", labels=CLASSES, truth=True)
    schema = Schema(
        name="toys",
        collections=(
            Collection(name="hit", fields=(Field(name="x"),)),
            Collection(name="event", fields=(kind,), single=True),
        ),
    )
    return Batch(
        schema,
        {"hit": Ragged.from_lengths(x[:, None], ROWS[label]), "event": Ragged.single(label[:, None].float())},
    )


@pytest.fixture(scope="module")
def taught() -> Model:
    """A small model of the toys, after two hundred steps."""
    torch.manual_seed(0)
    true = hits(4_000)
    config = ModelConfig(
        backbone=BackboneConfig(width=32, depth=1, heads=2),
        tokenizers={"hit": ContinuousConfig(collection="hit", fields=(Transform(field="x"),))},
        heads={"flow": FlowConfig(of="hit", by="event.kind", classes=CLASSES, longest=8)},
        condition=ConditionConfig(field="event.kind", classes=CLASSES),
    )
    model = Model(config, true.schema)
    model.tokenizer("hit").fit([true])
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 200)
    for step in range(200):
        model(true[step * 100 % 4_000 :][:100])["flow"].mean().backward()
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
    return model


def made(model: Model, n: int, seed: int = 0, said: bool = True, **config: object) -> Batch:
    classes = torch.arange(n) % 2 if said else None
    return Batch.cat(list(generate(model, n, config=FlowSampleConfig(**config), classes=classes, seed=seed)))


def far_off(batch: Batch) -> float:
    """Largest error of mean and width of both classes, in units of the class's width.

    Of events with as many hits as their class has: a wrong number would tell the model of the other class.
    """
    label = batch.field("event.kind").values.long()
    right = batch.collections["hit"].lengths == ROWS[label]
    rows, label = batch.collections["hit"][right], label[right]
    errors = []
    for i in range(2):
        x = rows.values[label[rows.event] == i, 0]
        errors += [abs(x.mean() - CENTRE[i]) / WIDTH[i], abs(x.std() - WIDTH[i]) / WIDTH[i]]
    return float(torch.stack(errors).max())


# The view


def test_the_view_mixes_noise_and_data_on_straight_lines(toy_jets: Callable[..., Batch]) -> None:
    model = build(FLOW, toy_jets(40))
    streams = model.encode(toy_jets(40))
    data = streams["particle"].features
    seen = NOISED(streams, torch.Generator().manual_seed(0))["particle"]
    assert seen.codes is None
    rest = (1 - seen.time[seen.ragged.event])[:, None] * seen.velocity
    torch.testing.assert_close(seen.features + rest, data)
    noise = data - seen.velocity
    assert abs(float(noise.mean())) < 0.2
    assert abs(float(noise.std()) - 1) < 0.15
    assert torch.equal(seen.features, NOISED(streams, torch.Generator().manual_seed(0))["particle"].features)


@pytest.mark.parametrize(("times", "middle"), [("uniform", 0.5), ("logit_normal", 0.728)])
def test_times_are_drawn_as_named(times: str, middle: float, toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(2_000)
    streams = build(FLOW, batch).encode(batch)
    t = replace(NOISED, times=times)(streams, torch.Generator().manual_seed(0))["particle"].time
    assert bool(((t > 0) & (t < 1)).all())
    assert abs(float(((t - 0.5).abs() < 0.25).float().mean()) - middle) < 0.05


def test_the_data_are_told_only_as_far_as_time_has_come(toy_jets: Callable[..., Batch]) -> None:
    """At time 0 nothing of the data reaches the hidden states, not even through pairwise physics; later it does."""
    batch, other = toy_jets(10), toy_jets(10)
    rows = other.collections["particle"]
    other = Batch(other.schema, {**other.collections, "particle": rows.with_values(rows.values * 0.5)})
    model = build(CONFIG, batch).eval()

    def hidden(which: Batch, time: float) -> Tensor:
        noised = NOISED(model.encode(which), torch.Generator().manual_seed(1))["particle"]
        data = model.encode(which)["particle"].features
        at = data - (1 - time) * noised.velocity
        tokens = replace(noised, features=at, time=torch.full((10,), time))
        return model.hidden(which, {"particle": tokens}, NOISED).x

    torch.testing.assert_close(hidden(batch, 0.0), hidden(other, 0.0), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(hidden(batch, 0.5), hidden(other, 0.5), atol=1e-3)


# The head


def test_order_of_rows_is_the_order_of_velocities(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(12)
    model = build(FLOW, batch).eval()
    rows = batch.collections["particle"]
    order = (rows.event * 1000.0 + torch.rand(len(rows.values))).argsort()
    seen = NOISED(model.encode(batch))["particle"]
    mixed = replace(seen, features=seen.features[order])
    head = model.head("flow")
    a, b = (head.predict(model.hidden(batch, s, NOISED), s) for s in ({"particle": seen}, {"particle": mixed}))
    torch.testing.assert_close(a[order], b, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(a, b)


def test_time_matters(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(12)
    model = build(FLOW, batch).eval()
    seen = NOISED(model.encode(batch))["particle"]
    late = replace(seen, time=1 - seen.time)
    assert not torch.allclose(
        model.hidden(batch, {"particle": seen}, NOISED).x, model.hidden(batch, {"particle": late}, NOISED).x
    )


def test_it_overfits_eight_events(toy_jets: Callable[..., Batch]) -> None:
    torch.manual_seed(0)
    batch = toy_jets(8)
    model = Model(FLOW, batch.schema)
    model.tokenizer("particle").fit([batch])
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    history = []
    for _ in range(40):
        torch.manual_seed(1)  # the same noise and times: what is left is to remember them
        loss = model(batch)["flow"].mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        history.append(float(loss.detach()))
    assert history[-1] < 0.5 * history[0]


def test_events_without_rows_have_no_error_of_velocity(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(3)
    rows = batch.collections["particle"]
    few = Batch(
        batch.schema, {**batch.collections, "particle": rows.from_lengths(rows.values[:4], torch.tensor([0, 4, 0]))}
    )
    model = build(FLOW, batch)
    model.head("flow").numbers.data.zero_()
    loss = model(few)["flow"]
    torch.testing.assert_close(loss[[0, 2]], torch.ones(2))  # a flat distribution costs 1
    assert float(loss[1].detach()) > 1.1


def test_untrained_it_knows_the_gaussian_of_unit_width(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(100)
    torch.manual_seed(0)
    model = Model(FLOW, batch.schema)
    model.tokenizer("particle").fit([batch])
    whole = Batch.cat(list(generate(model, 100, config=FlowSampleConfig(steps=16))))
    features = model.encode(whole)["particle"].features
    assert float(features.mean(0).abs().max()) < 0.15
    assert float((features.std(0) - 1).abs().max()) < 0.15


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (replace(CONFIG.tokenizers["particle"].seen, fields=(CATEGORY,), classes=(3,)), "categories"),
        (CONFIG.tokenizers["particle"].told, "no features"),
    ],
)
def test_what_does_not_flow_is_refused(tokenizer: ContinuousConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FlowConfig(of="particle").build(8, {"particle": tokenizer.build()})


# Sampling


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2)])
def test_solvers_converge_in_their_order(solver: str, order: int) -> None:
    def error(steps: int) -> float:
        config = FlowSampleConfig(steps=steps, solver=solver)
        end = solve(lambda x, t: x * math.cos(t), torch.tensor(1.0).double(), config)
        return abs(float(end) - math.exp(math.sin(1.0)))

    assert error(16) / error(32) == pytest.approx(2**order, rel=0.2)


def test_mean_width_and_number_of_each_class_are_learned(taught: Model) -> None:
    whole = made(taught, 1_000)
    rows, label = whole.collections["hit"], whole.field("event.kind").values.long()
    assert label.tolist() == [0, 1] * 500
    assert far_off(whole) < 0.25
    assert float((rows.lengths == ROWS[label]).float().mean()) > 0.97


def test_more_steps_are_not_worse(taught: Model) -> None:
    rough, coarse, fine = (far_off(made(taught, 1_000, steps=s, solver="euler")) for s in (1, 4, 32))
    assert fine < coarse + 0.05
    assert fine < 0.5 * rough


def test_no_class_said_gives_both(taught: Model) -> None:
    whole = made(taught, 1_000, said=False)
    assert whole.schema.names == ("hit",)
    rows = whole.collections["hit"]
    four = rows.lengths == 4
    assert abs(float(four.float().mean()) - 0.5) < 0.05
    assert float((rows.mean()[four] - CENTRE[1]).abs().median()) < 0.5
    assert float((rows.mean()[rows.lengths == 2] - CENTRE[0]).abs().median()) < 0.5


def test_the_same_seed_gives_the_same_events(taught: Model) -> None:
    a, b, c = (made(taught, 50, seed=s, batch=20, steps=2) for s in (3, 3, 4))
    assert torch.equal(a.collections["hit"].values, b.collections["hit"].values)
    assert not torch.equal(a.collections["hit"].values[:20], c.collections["hit"].values[:20])
    assert [len(x) for x in generate(taught, 50, config=FlowSampleConfig(batch=20, steps=1))] == [20, 20, 10]


def test_companions_change_nothing(taught: Model) -> None:
    """Packed together or one by one, events follow the same flow."""
    batch = hits(9)
    seen = Noised(of="hit", conditioned=True)(taught.encode(batch), torch.Generator().manual_seed(0))["hit"]
    head = taught.eval().head("flow")
    together = head.predict(taught.hidden(batch, {"hit": seen}, head.view), {"hit": seen})
    for i in range(9):
        a, b = batch.collections["hit"].offsets[i : i + 2].tolist()
        one = replace(
            seen, offsets=torch.tensor([0, b - a]), features=seen.features[a:b], time=seen.time[i : i + 1],
            velocity=seen.velocity[a:b],
        )  # fmt: skip
        alone = head.predict(taught.hidden(batch[i : i + 1], {"hit": one}, head.view), {"hit": one})
        torch.testing.assert_close(together[a:b], alone, atol=1e-5, rtol=1e-5)


def test_round_trip_through_a_checkpoint(taught: Model, tmp_path: Path) -> None:
    save(taught, tmp_path, "# card\n")
    copy = load(tmp_path)
    assert copy.config == taught.config
    a, b = made(taught, 20, steps=2), made(copy, 20, steps=2)
    assert torch.equal(a.collections["hit"].values, b.collections["hit"].values)


def test_its_body_serves_other_heads(toy_jets: Callable[..., Batch], tmp_path: Path) -> None:
    batch = toy_jets(10)
    save(build(FLOW, batch), tmp_path, "# card\n")
    tagger = build(replace(CONFIG, heads={"label": CONFIG.heads["label"]}, pairs=None, condition=None), batch, seed=1)
    loaded = load_part(tagger, tmp_path, ("tokenizers", "embeds", "prefix", "backbone"))
    assert not any(n.startswith("time") for n in loaded)


def test_models_without_a_flow_know_no_time() -> None:
    model = load("jets-base")
    assert model.time is None
    assert not flows(model)


def test_jets_of_a_flow_are_jets(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(40)
    model = build(FLOW, batch)
    assert flows(model)
    assert not flows(build(CONFIG, batch))
    (jets,) = sample_jets(model, 30, classes=("QCD", "top"))
    assert all(bool((x.diff() <= 0).all()) for x in jets.field("particle.pt"))
    assert {"jet.pt", "jet.mass", "jet.label"} <= set(jets.schema.paths)
    assert bool(jets.collections["particle"].values.isfinite().all())


def test_what_cannot_generate_says_so(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(10)
    with pytest.raises(ValueError, match="cannot generate"):
        next(generate(build(replace(CONFIG, heads=of_codes()), batch), 5))
    other = replace(FLOW, heads={"flow": replace(FLOW.heads["flow"], classes=("QCD",))})
    with pytest.raises(ValueError, match="not conditioned"):
        next(generate(build(other, batch), 5, classes=torch.zeros(5)))
    model = build(FLOW, batch)
    with pytest.raises(ValueError, match="positive number"):
        next(generate(model, 0))
    model.head("flow").out.bias.data[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        next(generate(model, 5))
    model.head("flow").numbers.data[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        next(generate(model, 5))
    for wrong in ({"steps": 0}, {"batch": 0}):
        with pytest.raises(ValueError, match="expected steps"):
            FlowSampleConfig(**wrong)
