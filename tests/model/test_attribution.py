"""Attributions: complete, zero for what is not looked at, and found where the answer was put; attention adds up."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.io import open_file
from lpm.model.attribution import PAIRS, integrated_gradients, log_odds
from lpm.model.checkpoint import load
from lpm.model.looks import attention
from lpm.model.padded import Padded
from lpm.recipes.explain import explain, most_important
from lpm.recipes.pid import multi
from lpm.sim.pid import simulate
from tests.model.sets import test_particle_transformer as transformer
from tests.model.test_model import build
from tests.model.test_padded import models

Jets = Callable[..., Batch]


@pytest.mark.parametrize("name", ["pairs", "plain", "edges", "deep sets", "particle transformer"])
def test_contributions_add_up_to_the_difference_of_log_odds(name: str, toy_jets: Jets) -> None:
    jets = toy_jets(64)
    model, batch = models(jets)[name], transformer.of_lengths(jets, [6, 1, 10, 3])
    index = torch.tensor([0, 1, 1, 0])
    found = integrated_gradients(model, batch, "label", index, most=2048)
    p = model.predict(batch, ("label",))["label"]
    torch.testing.assert_close(found.log_odds, log_odds(p.log(), index), rtol=1e-3, atol=1e-4)
    moved = (found.log_odds - found.baseline).abs()
    assert bool((moved > 1e-3).all()), "there is something to explain"
    assert bool((found.gap.abs() <= 0.011 * moved.clamp_min(0.1)).all())
    assert (PAIRS in found.names["particle"]) == (name in ("pairs", "edges", "particle transformer"))


@pytest.mark.parametrize("name", ["pairs", "edges"])
def test_of_the_baseline_nothing_is_known_but_how_many_rows(name: str, toy_jets: Jets) -> None:
    jets = toy_jets(64)
    batch = transformer.of_lengths(jets, [6, 6])
    found = integrated_gradients(models(jets)[name], batch, "label", torch.tensor([1, 1]))
    torch.testing.assert_close(found.baseline[0], found.baseline[1])


def test_absent_collections_contribute_nothing() -> None:
    tracks = simulate(30, seed=1)
    model = build(multi(size=1).model, tracks).eval()
    found = integrated_gradients(model, tracks[:6], "species", torch.zeros(6, dtype=torch.int64))
    assert set(found.rows) == {"track", "its", "tpc", "tof", "trd"}
    assert len(found.rows["tof"].values) == len(tracks[:6].collections["tof"].values)
    assert bool((found.gap.abs() <= 0.011 * (found.log_odds - found.baseline).abs().clamp_min(0.1)).all())


def test_what_a_head_is_not_shown_explains_nothing() -> None:
    tracks = simulate(30, seed=1)
    config = multi(size=1).model
    heads = {n: replace(h, given=("track", "tpc")) for n, h in config.heads.items()}  # type: ignore[type-var]
    model = build(replace(config, heads=heads), tracks).eval()
    index = torch.zeros(6, dtype=torch.int64)
    found = integrated_gradients(model, tracks[:6], "species", index)
    assert set(found.rows) == {"track", "tpc"}
    torch.testing.assert_close(found.log_odds, log_odds(model.predict(tracks[:6])["species"].log(), index))
    seen = attention(model, tracks[:6], "species")
    assert seen is not None
    assert set(seen) == {"track", "tpc"}
    assert [e["event"] for e in explain(model, tracks, source="tracks")] == ["attribution", "looks"]
    with pytest.raises(ValueError, match="head species is shown a part of the event only"):
        Padded(model)


def test_a_field_without_weight_contributes_nothing(toy_jets: Jets) -> None:
    jets = toy_jets(64)
    model = models(jets)["deep sets"]
    first = model.backbone.each[0]
    first.weight.data[:, 1] = 0.0  # deta
    found = integrated_gradients(model, jets[:3], "label", torch.ones(3, dtype=torch.int64))
    columns = dict(zip(found.names["particle"], found.rows["particle"].values.abs().sum(0).tolist(), strict=True))
    assert columns["deta"] == 0
    assert columns["pt"] > 0
    assert columns["share of pt"] > 0


def test_attention_adds_up_and_is_nothing_for_sums(toy_jets: Jets) -> None:
    jets = toy_jets(64)
    batch, made = transformer.of_lengths(jets, [4, 0, 9]), models(jets)
    assert attention(made["deep sets"], batch, "label") is None
    for name in ("pairs", "plain", "particle transformer"):
        found = attention(made[name], batch, "label")
        assert found is not None
        total = found["particle"].sum()
        assert found["particle"].lengths.tolist() == [4, 0, 9]
        assert bool((found["particle"].values > 0).all())
        assert float(total[1]) == 0
        assert bool((total < 1 + 1e-5).all())


def test_most_important_rows_keep_their_order_and_company(toy_jets: Jets) -> None:
    batch = transformer.of_lengths(toy_jets(64), [4, 1, 3])
    score = torch.tensor([0.1, 0.9, 0.3, 0.8, 0.0, 0.5, 0.7, 0.6])
    pt = batch.field("particle.pt").values
    kept, rest = (most_important(batch, "particle", score, 2, kept=k) for k in (True, False))
    assert torch.equal(kept.field("particle.pt").values, pt[[1, 3, 4, 6, 7]])
    assert torch.equal(rest.field("particle.pt").values, pt[[0, 2, 5]])
    assert kept.collections["particle"].lengths.tolist() == [2, 1, 2]
    assert torch.equal(kept.field("jet.pt").values, batch.field("jet.pt").values)


def test_explanations_of_a_model_that_learned() -> None:
    with open_file("sample:jets") as reader:
        batch = reader.read(0, 16)
    events = explain(load("jets-top"), batch, source="sample", shown=2)
    kinds = [e["event"] for e in events]
    assert kinds == ["attribution", "looks", "curve", "curve"]
    by_field, looks, kept, removed = events
    assert by_field["gap"] < 0.1 * by_field["span"]
    assert len(looks["events"]) == 2
    assert len(looks["events"][0]["attention"]) == len(looks["events"][0]["value"])
    best, chance = (kept["series"][n]["value"] for n in ("largest contributions", "at random"))
    assert best[2] > chance[2], "four particles chosen say more than four at random"
    best, chance = (removed["series"][n]["value"] for n in ("largest contributions", "at random"))
    assert best[2] < chance[2]


def test_no_classifier_is_refused(toy_jets: Jets) -> None:
    model = models(toy_jets(64))["pairs"]
    with pytest.raises(ValueError, match="classifier 'pt': the model has label"):
        explain(model, toy_jets(4), source="toys", head="pt")
    with pytest.raises(ValueError, match="is no classifier"):
        integrated_gradients(model, toy_jets(2), "pt", torch.zeros(2, dtype=torch.int64))
