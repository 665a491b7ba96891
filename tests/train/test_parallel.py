"""Two ranks on one machine give what one process gives: data parallel and fully sharded."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lpm.records.weights import load_tensors
from lpm.train.loop import fit
from lpm.train.parallel import World, world, wrap
from tests.train.test_loop import CONFIG, ROOT, Notes
from tests.train.toy import Counted, Line, held


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_ranks_equal_one(kind: str, optimiser: Any, tmp_path: Path) -> None:
    """Both ranks see the same batches here, so the mean gradient is that of one process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "tests.train.ranks",
    ]
    subprocess.run([*launch, kind, optimiser, str(tmp_path)], cwd=ROOT, env=environment, check=True, timeout=240)
    torch.manual_seed(0)
    model = Line()
    model.drop.p = 0.0
    alone = tmp_path / "alone"
    fit(model, Counted(), replace(CONFIG, optimiser=optimiser), record=Notes(), valid=held, folder=alone)
    a, b = (load_tensors(f / "training" / "weights.safetensors") for f in (tmp_path, alone))
    for name, tensor in a.items():
        torch.testing.assert_close(tensor, b[name], atol=1e-5, rtol=1e-4)


def test_only_the_outermost_of_nested_lists_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block gathers all that is its own: what lies in it must not be gathered once more by itself."""
    split: list[nn.Module] = []
    monkeypatch.setattr("torch.distributed.fsdp.fully_shard", split.append)
    inner = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])})
    alone, empty = nn.Linear(2, 2), nn.ReLU()
    model = nn.ModuleDict({"blocks": nn.ModuleList([inner, empty, nn.ModuleList([alone])]), "out": nn.Linear(2, 2)})
    assert wrap(model, "fsdp", World(0, 2, torch.device("cpu"))) is model
    assert split == [inner, alone, model]


def test_cuda_is_refused_where_there_is_none() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ValueError, match="no CUDA device"), world("cuda"):
        pass
