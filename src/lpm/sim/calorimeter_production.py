"""Making a sample of showers: chunks with seeds of their own, written into one file of the CaloChallenge's form.

A chunk depends on the card, the seed and its number only. The file appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from lpm.data.batch import Batch
from lpm.data.io.showers import write_showers
from lpm.data.showers import DATA_SETS, cells_of
from lpm.sim import geant4
from lpm.sim.calorimeter import incident_energies, simulate
from lpm.sim.calorimeter_card import CalorimeterCard, read_calorimeter_card
from lpm.sim.geant4 import StackCard

__all__ = ["produce_showers"]

Engine = Literal["parametrised", "geant4"]

_NAMES = {"parametrised": "lpm, parametrised showers; not Geant4", "geant4": "Geant4, a stack of planes"}

_CHUNK = 8_000_000
"""Voxels simulated together: 64 MB."""

_FEW = 200
"""Showers of one process of Geant4, which takes seconds to start."""


def produce_showers(
    n: int,
    out: str | Path,
    *,
    card: str = "1-photons",
    engine: Engine = "parametrised",
    seed: int = 0,
    command: str = "",
    done: Callable[[int], None] = lambda showers: None,
) -> dict[str, Any]:
    """Simulate a sample of showers.

    Args:
        n: Number of showers.
        out: The HDF5 file.
        card: Name or path of a card, of `lpm.sim.calorimeter_card` or, for Geant4, of `lpm.sim.geant4`.
        engine: `parametrised`, or `geant4` where it and its data files are installed.
        seed: Any whole number from 0.
        command: The command line, for the record.
        done: Called with the number of showers of each chunk.

    Returns:
        The manifest, as written into the attribute `simulation` of the file.

    Raises:
        ValueError: If a number is out of range, there is no such card or engine, or `out` exists or cannot be written.
    """
    if n < 1 or seed < 0:
        raise ValueError(f"expected at least 1 shower and a seed from 0, got {n} and {seed}")
    out = Path(out)
    if out.exists():
        raise ValueError(f"{out}: exists already; remove it or choose another name")
    if out.suffix not in (".hdf5", ".h5"):
        raise ValueError(f"{out}: showers are written as HDF5; choose a name that ends in .hdf5")
    if engine not in get_args(Engine):
        raise ValueError(f"engine {engine!r}: expected one of {', '.join(get_args(Engine))}")
    read = read_calorimeter_card(card) if engine == "parametrised" else geant4.read_stack_card(card)
    if engine == "geant4":
        geant4.ready()
    manifest = {
        "simulation": _NAMES[engine], "request": {"n": n, "card": asdict(read), "seed": seed}, "command": command,
    }  # fmt: skip
    geometry = DATA_SETS[read.dataset].geometry
    note = {"simulation": json.dumps(manifest)}
    write_showers(out, _chunks(n, read, seed, done), geometry, attributes=note)
    return manifest


def _chunks(n: int, card: CalorimeterCard | StackCard, seed: int, done: Callable[[int], None]) -> Iterator[Batch]:
    geometry = DATA_SETS[card.dataset].geometry
    energies = incident_energies(n, card.dataset, _random(seed, "energies"))
    size = _FEW if isinstance(card, StackCard) else max(1, _CHUNK // geometry.voxels)
    for chunk in range(-(-n // size)):
        energy, random = energies[chunk * size : (chunk + 1) * size], _random(seed, f"chunk {chunk}")
        grid = torch.from_numpy(
            geant4.simulate(energy, card, int(random.integers(1, 1 << 31)))
            if isinstance(card, StackCard)
            else simulate(energy, card, random)
        )
        yield cells_of(grid, geometry, {"energy": torch.from_numpy(energy)})
        done(len(energy))


def _random(seed: int, what: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{what}/showers".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8]))
