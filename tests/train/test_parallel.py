"""Two ranks on one machine give what one process gives: data parallel and fully sharded."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from lpm.records.weights import load_tensors
from lpm.train.loop import fit
from lpm.train.memory import Portions
from lpm.train.parallel import World, world, wrap
from lpm.train.validate import validate
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
    best = [json.loads((f / "training" / "state.json").read_text())["best"] for f in (tmp_path, alone)]
    assert best[0] == pytest.approx(best[1], rel=1e-4)  # three batches of validation, of which one went to both


@pytest.mark.parametrize("accumulate", [1, 4])
def test_gradients_are_exchanged_once_a_step(accumulate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many batches make a step. A group of one process, which the loop takes for one of two."""
    exchanged = []

    def count(model: nn.Module, *_: Any) -> nn.Module:
        ddp = nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)

        def hook(_: Any, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
            exchanged.append(bucket.buffer())
            done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
            done.set_result(bucket.buffer())
            return done

        ddp.register_comm_hook(None, hook)
        return ddp

    monkeypatch.setattr("lpm.train.loop.wrap", count)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        models = []
        for place in (World(0, 2, torch.device("cpu")), World(0, 1, torch.device("cpu"))):
            torch.manual_seed(0)
            models.append(Line())
            config = replace(CONFIG, steps=5, valid_every=0, ema=0.0, patience=0, accumulate=accumulate)
            if place.size == 1:
                monkeypatch.undo()
            fit(models[-1], Counted(), config, record=Notes(), place=place)
    finally:
        dist.destroy_process_group()
    assert len(exchanged) == 5
    for x, y in zip(*(m.parameters() for m in models), strict=True):
        torch.testing.assert_close(x, y, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("ranks", "batches"), [(1, 3), (2, 3), (3, 7), (4, 2)])
def test_validation_is_divided_among_ranks(ranks: int, batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks go through equally many batches, each of which counts once, with the draws of a single process."""
    held = [torch.full((n + 1,), float(n)) for n in range(batches)]
    passes: list[int] = []

    class Drawn(nn.Module):
        def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
            passes[-1] += 1
            return {"x": batch + torch.rand(len(batch))}

    def found(rank: int, size: int) -> list[torch.Tensor]:
        sums: list[torch.Tensor] = []
        monkeypatch.setattr("lpm.train.validate.mean_over_ranks", lambda x, _: sums.append(x) or torch.ones(()))
        passes.append(0)
        place = World(rank, size, torch.device("cpu"))
        validate(Drawn(), held, portions=Portions(None, place), cast=nullcontext(), place=place)
        return sums

    parts = [torch.stack(found(rank, ranks)) for rank in range(ranks)]
    assert set(passes) == {-(-batches // ranks)}
    torch.testing.assert_close(torch.stack(parts).sum(0), torch.stack(found(0, 1)))


def test_only_the_outermost_of_nested_lists_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block gathers all that is its own: what lies in it must not be gathered once more by itself."""
    split: list[nn.Module] = []
    monkeypatch.setattr("torch.distributed.fsdp.fully_shard", split.append)
    inner = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])})
    alone, empty = nn.Linear(2, 2), nn.ReLU()
    model = nn.ModuleDict({"blocks": nn.ModuleList([inner, empty, nn.ModuleList([alone])]), "out": nn.Linear(2, 2)})
    assert wrap(model, "fsdp", World(0, 2, torch.device("cpu"))) is model
    assert split == [inner, alone, model]


def test_one_gpu_is_refused_for_several_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="use --device cuda, each rank takes its own"), world("cuda:1"):
        pass


def test_cuda_is_refused_where_there_is_none() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ValueError, match="no CUDA device"), world("cuda"):
        pass
