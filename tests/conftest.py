"""Fixtures shared by all tests."""

from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import jets_schema
from lpm.data.schema import Field

# The same examples every time, and no limit on the clock: the first call of a test may import half of torch.
hypothesis.settings.register_profile("lpm", deadline=None, derandomize=True)
hypothesis.settings.load_profile("lpm")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real public samples; tests that need it are skipped where it is absent."""
    folder = Path(__file__).parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real samples: {folder.parent.name}/{folder.name} is not beside the project")
    return folder


@pytest.fixture
def toy_jets() -> Callable[..., Batch]:
    """A maker of jets of two classes that differ in width and hardness, for tests that need learning but no physics."""

    def make(n: int = 64, seed: int = 0) -> Batch:
        g = torch.Generator().manual_seed(seed)
        label = torch.randint(0, 2, (n,), generator=g).float()
        lengths = torch.randint(3, 12, (n,), generator=g)
        event = torch.repeat_interleave(torch.arange(n), lengths)
        spread = 0.1 + 0.2 * label[event]
        pt = torch.empty(len(event)).exponential_(generator=g) * (20 + 40 * label[event]) + 0.5
        columns = {"particle.pt": pt, "jet.label": label, "jet.pt": torch.full((n,), 500.0)}
        for name in ("deta", "dphi"):
            columns[f"particle.{name}"] = torch.randn(len(event), generator=g) * spread
        return Batch.build(jets_schema(["pt", "deta", "dphi"], ["pt"], ["QCD", "top"]), columns, {"particle": lengths})

    return make


@pytest.fixture
def flagged_jets(toy_jets: Callable[..., Batch]) -> Callable[..., Batch]:
    """The same, with a flag on the hardest particle."""

    def make(n: int = 64, seed: int = 0) -> Batch:
        batch = toy_jets(n, seed)
        pt = batch.field("particle.pt")
        most = torch.zeros(n).scatter_reduce(0, pt.event, pt.values, "amax")
        flag = (pt.values == most[pt.event]).float()
        return batch.with_field("particle", Field(name="hardest", kind="flag", truth=True), flag)

    return make
