"""Two ranks on one machine give what one process gives: data parallel and fully sharded."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lpm.records.weights import load_tensors
from lpm.train.loop import fit
from lpm.train.parallel import world
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


def test_cuda_is_refused_where_there_is_none() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ValueError, match="no CUDA device"), world("cuda"):
        pass
