"""The recipes of tau identification run as they stand, at their tiny size, from simulation to metrics."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import TAU_CLASSES
from lpm.model.model import Model
from lpm.recipes import RECIPES
from lpm.recipes.apply import predict
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny
from lpm.sim.chunk import Request, simulate_chunk
from lpm.tasks import TASKS
from lpm.tasks.transfer import mixed, morphed

pytest.importorskip("pythia8mc", reason="needs the sim extra")


@pytest.fixture(scope="module")
def candidates() -> Batch:
    return simulate_chunk(Request(n=80, preset="taus", seed=1), 0)


def test_from_candidates_to_metrics(candidates: Batch, tmp_path: Path) -> None:
    model = execute(tiny(RECIPES["jets.tau"]()), tmp_path, device="cpu", batch=candidates)
    (answered,) = predict(model, [candidates], "candidates")
    p = torch.stack([answered.field(f"jet.score_{n}").values for n in TAU_CLASSES], 1)
    torch.testing.assert_close(p.sum(1), torch.ones(len(p)))
    found = TASKS["jets.tau"].evaluate(answered, None, 0)
    assert "efficiency[electron]@0.01" not in found, "a dozen electrons are too few for one in a hundred"


def test_transport_leaves_what_was_not_measured(candidates: Batch) -> None:
    moved = morphed(candidates, candidates[40:], ["particle.calo_ratio"], "jet.pt", bins=2, quantiles=10)
    before, after = (b.field("particle.calo_ratio").values for b in (candidates, moved))
    assert torch.equal(before.isnan(), after.isnan())
    assert not torch.equal(before.nan_to_num(), after.nan_to_num())


def test_transfer_learns_from_both_domains(candidates: Batch, tmp_path: Path) -> None:
    both = mixed(candidates[:40], candidates[40:], "jet.label", "jet.domain")
    run = tiny(RECIPES["jets.tau_transfer"]())
    model = execute(replace(run, data=replace(run.data, held=0.1)), tmp_path, device="cpu", batch=both)
    assert isinstance(model, Model)
    assert set(model.heads) == {"label", "domain"}
