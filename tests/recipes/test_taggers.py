"""Taggers with other bodies: the same inputs for all, and answers like those of any tagger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import JETCLASS, PARTICLE
from lpm.data.io.parquet import write_batches
from lpm.model.backbone import BackboneConfig
from lpm.model.checkpoint import load
from lpm.recipes import RECIPES
from lpm.recipes.apply import predict
from lpm.recipes.events import open_data
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny
from lpm.recipes.taggers import BODIES, seen
from lpm.train.parallel import World


@pytest.fixture
def jets(toy_jets: Callable[..., Batch]) -> Batch:
    """Jets of two classes with names of JetClass, and all that is known of simulated particles."""
    batch = toy_jets(200)
    size = len(batch.field("particle.pt").values)
    g = torch.Generator().manual_seed(0)
    for name in ("energy", "charge", "d0", "d0_err", "dz", "dz_err", "puppi"):
        batch = batch.with_field("particle", PARTICLE[name], torch.rand(size, generator=g))
    batch = batch.with_field("particle", PARTICLE["type"], torch.randint(0, 5, (size,), generator=g))
    field = replace(batch.schema.field("jet.label"), labels=JETCLASS)
    return batch.with_field("jet", field, batch.field("jet.label").values * JETCLASS.index("Tbqq"))


@pytest.mark.parametrize("body", [*BODIES, "tagger"])
def test_every_body_trains_on_all_inputs_and_predicts(body: str, jets: Batch, tmp_path: Path) -> None:
    run = RECIPES[f"jets.{body}"](size=1, inputs="full")
    assert run.name == f"jets.{body}"
    assert run.model.backbone == BODIES.get(body, BackboneConfig.sized(1))
    assert (run.model.pairs is not None) == (body == "tagger")
    assert run.model.tokenizers == {"particle": seen("full")}
    model = execute(tiny(run), tmp_path, device="cpu", batch=jets)
    assert model.tokenizer("particle").width == 17
    (answered,) = predict(load(tmp_path), [jets], "jets")
    scores = torch.stack([answered.field(f"jet.score_{n}").values for n in JETCLASS], 1)
    torch.testing.assert_close(scores.sum(1), torch.ones(200))


def test_what_backbones_read_beside_the_tokenizer_is_read_from_files(jets: Batch, tmp_path: Path) -> None:
    write_batches(tmp_path / "jets.parquet", [jets], schema=jets.schema, provenance={})
    run = RECIPES["jets.particle_net"](data=(str(tmp_path / "jets.parquet"),))
    body = replace(BODIES["particle_net"], energy="particle.energy")
    data = open_data(replace(run, model=replace(run.model, backbone=body)), World(0, 1, torch.device("cpu")))
    assert "particle.energy" in data.train.schema
    assert "particle.d0" not in data.train.schema


def test_other_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 'kinematics' or 'full'"):
        RECIPES["jets.pfn"](inputs="some")
