"""Showers of Geant4 itself, where it and its data files are installed (Agostinelli et al., NIM A 506 (2003) 250).

A particle meets a stack of planes of absorber and active material at a right angle. What is deposited in active
material is divided by the share that is deposited there, and counted in the cells of a data set. Cells below its
threshold are empty.

Geant4 runs in a process of its own (`lpm.sim.geant4_stack`): there is one of it in a process, it reads its settings
from the environment, and prints as it likes. Its data files are not a part of the package, and nothing stands in for
them: `pip install geant4-pybind`, and name the folder of the files in `GEANT4_DATA_DIR`.

Shapes: B showers, V voxels.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lpm.data.showers import DATA_SETS
from lpm.records.config import from_dict
from lpm.sim.card_files import file_of, table_of

__all__ = ["DATA", "Plane", "StackCard", "read_stack_card", "ready", "simulate"]

Array = NDArray[np.float64]

DATA = "GEANT4_DATA_DIR"
"""Environment variable that names the folder with Geant4's data files."""

NAMES = {"photon": "gamma", "electron": "e-", "positron": "e+", "pion": "pi+"}


@dataclass(frozen=True, kw_only=True)
class Plane:
    """A plane of one material.

    Args:
        material: Name in the database of materials that comes with Geant4.
        thickness: mm.
    """

    material: str
    thickness: float


@dataclass(frozen=True, kw_only=True)
class StackCard:
    """A stack of planes, each an absorber and active material.

    Args:
        text: One sentence.
        dataset: Data set of the CaloChallenge whose particle, energies, cells and threshold it takes.
        physics: Name of a reference list of physics of Geant4.
        planes: How many; a multiple of the layers of the data set.
        absorber: Met first.
        active: Behind it.
        share: Share of the energy that is deposited in active material.
    """

    text: str
    dataset: str
    physics: str
    planes: int
    absorber: Plane
    active: Plane
    share: float

    def __post_init__(self) -> None:
        if self.dataset not in DATA_SETS:
            raise ValueError(f"dataset {self.dataset!r}: expected one of {', '.join(DATA_SETS)}")
        layers = len(DATA_SETS[self.dataset].geometry.layers)
        if self.planes < layers or self.planes % layers:
            raise ValueError(f"planes: expected a multiple of {layers} layers, got {self.planes}")
        if min(self.absorber.thickness, self.active.thickness) <= 0 or not 0 < self.share <= 1:
            raise ValueError("expected thicknesses above 0 and a share above 0 and up to 1")


def read_stack_card(name: str) -> StackCard:
    """The card of that name or path.

    Raises:
        ValueError: If there is no such card or a value is missing, unknown or malformed.

    Example:
        >>> read_stack_card("2").absorber.material
        'G4_W'
    """
    path = file_of(name, "geant4", ".toml")
    raw = table_of(path)
    card: StackCard = from_dict(StackCard, raw, str(path))
    return card


def ready() -> None:
    """See that Geant4 can run here.

    Raises:
        ValueError: If the package is not installed, or its data files are not named.
    """
    if importlib.util.find_spec("geant4_pybind") is None:
        raise ValueError("--engine geant4: needs Geant4: pip install geant4-pybind")
    folder = os.environ.get(DATA, "")
    # Imported without this, the package asks for a download, or begins it.
    if not folder or not Path(folder).is_dir():
        raise ValueError(
            f"--engine geant4: expected the folder of Geant4's data files in {DATA}, got {folder or 'nothing'}; they "
            "are on the pages of Geant4, and nothing is put in their place"
        )


def simulate(energy: Array, card: StackCard, seed: int, measure: str = "energy") -> Array:
    """Showers in the cells of the card's data set.

    Args:
        energy: (B,) incident energies, GeV.
        card: The stack.
        seed: Equal seeds give equal showers.
        measure: What is counted: `energy`, or `length`, of paths of a geantino through active material in mm, which
            needs no physics.

    Returns:
        (B, V) energies in GeV, 0 below the threshold; or lengths.

    Raises:
        ValueError: If Geant4 is not ready, or fails.
    """
    ready()
    which = DATA_SETS[card.dataset]
    order = {
        "energies": energy.tolist(), "seed": seed, "measure": measure, "particle": NAMES[which.particle],
        "card": asdict(card),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="lpm-geant4-") as folder:
        out = Path(folder) / "showers.npy"
        call = [sys.executable, "-m", "lpm.sim.geant4_stack", str(out)]
        done = subprocess.run(call, input=json.dumps(order), capture_output=True, text=True, check=False)
        if done.returncode or not out.is_file():
            raise ValueError(f"Geant4 failed: {_reason(done.stdout + done.stderr)}")
        found: Array = np.load(out, allow_pickle=False)
    if measure == "energy":
        found = found / card.share
        found[found < which.threshold] = 0
    return found


def _reason(told: str) -> str:
    """The line that says why, of all that Geant4 prints."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    for i, line in enumerate(lines):
        if line.startswith("issued by") and i + 1 < len(lines):
            return lines[i + 1]
    return lines[-1] if lines else "it said nothing"
