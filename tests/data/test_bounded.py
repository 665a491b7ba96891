"""A directory of any size is streamed in bounded memory: eight times the files need no more of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lpm.data.samples import locate

pytestmark = pytest.mark.slow

STREAM = """
import resource, sys
import torch
from lpm.data.source import Source
torch.set_num_threads(1)
events = sum(len(b) for b in Source(sys.argv[1], budget=50_000, seed=0, epochs=1, columns=["particle.pt", "jet.label"]))
print(events, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def folder(path: Path, files: int) -> Path:
    """So many names of the sample."""
    path.mkdir()
    source = Path(locate("sample:jets")).resolve()
    for i in range(files):
        try:
            os.link(source, path / f"{i:03}.parquet")
        except OSError:  # another file system
            (path / f"{i:03}.parquet").write_bytes(source.read_bytes())
    return path


def measured(script: str, *words: object) -> tuple[int, int]:
    """Events, and peak memory in MiB, of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], check=True, capture_output=True, text=True, timeout=600
    )
    events, memory = done.stdout.split()[-2:]
    return int(events), int(memory)


def test_streaming_does_not_grow_with_the_directory(tmp_path: Path) -> None:
    few, small = measured(STREAM, folder(tmp_path / "few", 4))
    many, large = measured(STREAM, folder(tmp_path / "many", 32))
    assert many == 8 * few == 8 * 4 * 16_000
    assert large < 1.15 * small + 20
