"""Rows hear of their pairs: against the sum written out, and what else only edges have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lpm.data.batch import Batch
from lpm.model import checkpoint
from lpm.model.backbone import BackboneConfig
from lpm.model.edges import Edges, EdgesConfig
from lpm.model.heads import ClassifyConfig
from lpm.model.model import Model, ModelConfig
from lpm.model.pairs import pair_features
from lpm.recipes.base import DataConfig, RunConfig, StartConfig
from lpm.recipes.execute import execute
from lpm.recipes.taggers import seen
from lpm.train.config import TrainConfig
from tests.model import test_model

Jets = Callable[..., Batch]

PAIRS = replace(test_model.PAIRS, edges=EdgesConfig(width=8, layers=2))
CONFIG = ModelConfig(
    backbone=BackboneConfig(width=16, depth=1, heads=2),
    tokenizers={"particle": seen()},
    heads={"label": ClassifyConfig(target="jet.label", classes=("QCD", "top"))},
    pairs=PAIRS,
)


def moved(edges: Edges) -> Edges:
    """None of its layers is at its start."""
    g = torch.Generator().manual_seed(1)
    for p in edges.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=g)
    return edges.eval()


def test_what_is_heard_is_the_mean_over_partners() -> None:
    torch.manual_seed(0)
    edges = moved(Edges(EdgesConfig(width=6, layers=2), width=5, terms=3))
    edges.mean, edges.std = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([2.0, 0.5, 1.0])
    x, terms, real = torch.randn(1, 4, 5), torch.randn(1, 4, 4, 3), torch.tensor([[True, True, False, True]])
    with torch.no_grad():
        found = edges.heard(x, terms, real)[0]
        for i in range(4):
            total = torch.zeros(6)
            for j in (j for j in (0, 1, 3) if j != i):
                u = (terms[0, i, j] - edges.mean) / edges.std
                a, b = (edges.norm(x[0, k]) for k in (i, j))
                total += F.gelu(edges.layers[0](F.gelu(edges.own(a) + edges.other(b) + edges.pair(u))))
            wanted = edges.out(total / 2) if i != 2 else torch.zeros(5)
            torch.testing.assert_close(found[i], wanted)


def test_a_row_alone_hears_nothing_of_itself() -> None:
    edges = moved(Edges(EdgesConfig(width=6), width=5, terms=3))
    x, real = torch.randn(1, 1, 5, generator=torch.Generator().manual_seed(0)), torch.ones(1, 1, dtype=torch.bool)
    with torch.no_grad():
        assert torch.equal(*(edges.heard(y, torch.zeros(1, 1, 1, 3), real) for y in (x, -x)))


def test_terms_are_standardised_by_pairs_of_different_rows(toy_jets: Jets) -> None:
    jets = toy_jets(50)
    model = Model(CONFIG, jets.schema)
    model.fit_pairs([jets[:20], jets[20:]])
    rows = torch.stack([jets.field(f"particle.{n}").values for n in ("pt", "deta", "dphi")], 1)
    offsets = jets.collections["particle"].offsets.tolist()
    pairs = [(i, j) for a, b in pairwise(offsets) for i in range(a, b) for j in range(a, b)]
    a, b = (rows[[p[k] for p in pairs if p[0] != p[1]]] for k in (0, 1))
    terms = pair_features(a, b).double()
    assert model.pairs is not None
    assert model.pairs.edges is not None
    torch.testing.assert_close(model.pairs.edges.mean, terms.mean(0).float())
    torch.testing.assert_close(model.pairs.edges.std, terms.std(0, correction=0).float())


def test_a_constant_term_and_no_pairs_at_all_leave_finite_numbers() -> None:
    edges = Edges(EdgesConfig(width=2), width=2, terms=2).fit([torch.tensor([[1.0, 5.0], [3.0, 5.0]])])
    assert edges.std.tolist() == [1.0, 1.0]
    assert Edges(EdgesConfig(width=2), width=2, terms=2).fit([torch.zeros(0, 2)]).std.tolist() == [1.0, 1.0]


def run_of(steps: int, start: StartConfig | None = None) -> RunConfig:
    return RunConfig(
        name="edges", model=CONFIG, data=DataConfig(train=("none",), budget=512, held=0.0), start=start,
        train=TrainConfig(steps=steps, lr=1e-3, warmup=1, log_every=1),
    )  # fmt: skip


def test_training_finds_how_to_standardise_and_keeps_it(toy_jets: Jets, tmp_path: Path) -> None:
    jets = toy_jets(64)
    trained = execute(run_of(2), tmp_path / "a", batch=jets)
    assert trained.pairs is not None
    assert trained.pairs.edges is not None
    assert float(trained.pairs.edges.std.min()) > 0.1
    assert not torch.equal(trained.pairs.edges.std, torch.ones(4))
    loaded = checkpoint.load(tmp_path / "a")
    assert torch.equal(loaded.predict(jets)["label"], trained.predict(jets)["label"])
    other = toy_jets(8)
    for parts, same in ((("tokenizers", "backbone"), False), (("tokenizers", "backbone", "pairs"), True)):
        start = StartConfig(run=str(tmp_path / "a"), parts=parts)
        tuned = execute(run_of(1, start), tmp_path / parts[-1], batch=other)
        assert tuned.pairs is not None
        assert tuned.pairs.edges is not None
        assert torch.equal(tuned.pairs.edges.mean, trained.pairs.edges.mean) == same


def test_heads_that_look_back_are_refused(toy_jets: Jets) -> None:
    with pytest.raises(ValueError, match="looks only back, edges look at all"):
        Model(replace(test_model.CONFIG, pairs=PAIRS), toy_jets(4).schema)


def test_edges_of_no_width_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0 and 3"):
        EdgesConfig(width=0)
