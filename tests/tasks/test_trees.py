"""Boosted trees: features from the rows alone, and what they learn."""

from __future__ import annotations

import builtins
from collections.abc import Callable

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import OBJECT, OBJECT_TYPES, PARTICLE, events_schema
from lpm.tasks.trees import Trees, TreesConfig, event_features, jet_features

CONFIG = TreesConfig(target="jet.label", classes=("QCD", "top"), rounds=10)

Jets = Callable[..., Batch]


def test_features_of_jets_do_not_know_the_order_of_particles(toy_jets: Jets) -> None:
    batch = toy_jets(30)
    rows = batch.collections["particle"]
    order = (rows.event * 1000.0 + torch.rand(len(rows.values))).argsort()
    mixed = Batch(batch.schema, {**batch.collections, "particle": rows.with_values(rows.values[order])})
    a, b = jet_features(batch), jet_features(mixed)
    assert {"mass", "tau21", "efp_line", "multiplicity"} <= set(a)
    for name, values in a.items():
        torch.testing.assert_close(values, b[name], atol=1e-3, rtol=1e-3, equal_nan=True, msg=name)


def test_charges_kinds_and_displaced_tracks_are_used_where_they_are(toy_jets: Jets) -> None:
    batch = toy_jets(30)
    few = jet_features(batch)
    size = len(batch.field("particle.pt").values)
    for name, value in {"charge": 1.0, "type": 4.0, "d0": -3.0, "d0_err": 0.5}.items():
        batch = batch.with_field("particle", PARTICLE[name], torch.full((size,), value))
    many = jet_features(batch)
    assert torch.equal(many["charged"], many["multiplicity"])
    torch.testing.assert_close(many["share_muon"], torch.ones(30))
    assert float(many["d0_1"].max()) == 6.0
    assert "charged" not in few
    # A jet of three particles has no fourth.
    assert torch.equal(many["d0_4"].isnan(), many["multiplicity"] < 4)


def test_trees_learn_and_no_truth_is_asked(toy_jets: Jets) -> None:
    batch = toy_jets(600)
    trees = Trees(CONFIG)
    features = jet_features(batch.select(["particle"]))
    scores = trees.fit(features, trees.labels(batch)).predict(features)
    assert scores.shape == (600, 2)
    assert float((scores.argmax(1) == trees.labels(batch)).float().mean()) > 0.95
    again = Trees(CONFIG).fit(features, trees.labels(batch)).predict(features)
    assert torch.equal(scores, again)


def test_a_feature_that_no_event_has_is_left_out() -> None:
    x = torch.randn(100, generator=torch.Generator().manual_seed(0))
    features = {"never": torch.full((100,), torch.nan), "x": x}
    trees = Trees(CONFIG).fit(features, (x > 0).long())
    assert trees.names == ("x",)
    assert trees.predict({"x": x}).argmax(1).tolist() == (x > 0).tolist()


def test_events_are_described_by_kind() -> None:
    kinds = torch.tensor([0.0, 1, 1, 2, 7])
    n = torch.ones(5)
    columns = {"object.pt": torch.tensor([30.0, 50, 40, 20, 60]), "object.eta": 0 * n, "object.phi": 0 * n,
               "object.energy": torch.tensor([30.0, 50, 40, 20, 60]), "object.type": kinds}  # fmt: skip
    schema = events_schema(("ht",))
    assert schema["object"].fields == OBJECT
    columns |= {p: torch.zeros(1) for p in schema.paths if p.startswith("event.")}
    found = event_features(Batch.build(schema, columns, {"object": torch.tensor([5])}))
    names = ("pt_b_jet_1", "pt_b_jet_2", "count_b_jet", "ht_jets", "count_leptons", "charge")
    assert [float(found[n]) for n in names] == [
        50, 40, 2, 120, 1, -1
    ]  # fmt: skip
    assert bool(found["pt_b_jet_3"].isnan())
    assert OBJECT_TYPES[7] == "met"


def test_what_cannot_be_learned_is_said(toy_jets: Jets, monkeypatch: pytest.MonkeyPatch) -> None:
    x = {"x": torch.zeros(3)}
    with pytest.raises(ValueError, match="no event of class top"):
        Trees(CONFIG).fit(x, torch.tensor([0, 0, -1]))
    with pytest.raises(ValueError, match="not trained yet"):
        Trees(CONFIG).predict(x)
    trees = Trees(CONFIG).fit(x, torch.tensor([0, 1, -1]))
    with pytest.raises(ValueError, match="trained with 'x'"):
        trees.predict({"y": torch.zeros(3)})
    load = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return load(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"lpm\[trees\]"):
        Trees(CONFIG).fit(x, torch.tensor([0, 1, -1]))
