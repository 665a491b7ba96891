"""A full disk costs a file, not the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from lpm.data.io.new_hdf5 import new_hdf5

pytest.importorskip("resource", reason="Windows has no such limits")

PROGRAM = """
import resource, signal, sys
import torch
from lpm.data.batch import Batch
from lpm.data.fields import FOUR_TOPS, events_schema
from lpm.data.io.exchange import write_hdf5
from lpm.data.io.showers import write_showers
from lpm.data.showers import cells_of
from lpm.physics.geometry import GEOMETRIES

what, limit, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
torch.manual_seed(0)
made = 0
def batches(batch):
    global made
    for made in range(1, 20):
        yield batch
try:
    if what == "showers":
        geometry = GEOMETRIES["1-photons"]
        batch = cells_of(torch.rand(1000, geometry.voxels), geometry, {"energy": torch.ones(1000)})
        write_showers(path, batches(batch), geometry)
    else:
        schema = events_schema((), FOUR_TOPS)
        flat = {p: torch.rand(1000 if p.startswith("event") else 50_000) for p in schema.paths}
        write_hdf5(path, batches(Batch.build(schema, flat, {"object": torch.full((1000,), 50)})), schema=schema)
except ValueError as error:
    print(error)
    print(made)
"""


@pytest.mark.parametrize("limit", [1 << 10, 100_000, 2_000_000])
@pytest.mark.parametrize("what", ["showers", "arrays"])
def test_a_full_disk_ends_in_one_line(what: str, limit: int, tmp_path: Path) -> None:
    path = tmp_path / "out" / "x.h5"
    command = [sys.executable, "-c", PROGRAM, what, str(limit), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, made = done.stdout.splitlines()
    assert said == f"{path}: cannot write: File too large; free some space or choose another place"
    assert int(made) < 19  # it is not found out at the end
    assert not done.stderr
    assert list(path.parent.iterdir()) == []


def test_an_error_of_the_writer_is_told_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"

    def write(value: int) -> None:
        with new_hdf5(path) as (file, _):
            file["x"] = [1 // value]

    write(1)
    with pytest.raises(ZeroDivisionError):
        write(0)
    with h5py.File(path) as file:
        assert file["x"][:].tolist() == [1]
    assert list(tmp_path.iterdir()) == [path]
