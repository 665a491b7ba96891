"""Cards: the files that say what to simulate and with which detector, found by name or path.

Three kinds lie in `cards/`: processes for the generator (`QCD.cmnd`), detectors (`detector/cms.toml`) and presets
(`preset/jetclass.toml`), which name the others and the cuts on jets. Wherever a name of a detector or preset is
expected, the path of a file of the same form does as well. What a file says is in `lpm.sim.card`.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from lpm.sim.card import (
    Calorimeter,
    Detector,
    Efficiency,
    Energy,
    Impact,
    Isolated,
    Momentum,
    Preset,
    Reconstruction,
    Region,
    Species,
    Tag,
    Tracker,
)

__all__ = ["CARDS", "digest", "file_of", "hard_file", "process", "read_detector", "read_preset", "table_of"]

CARDS = Path(__file__).parent / "cards"
"""The cards that come with the package."""


def _names(folder: str, suffix: str) -> list[str]:
    return sorted(p.stem for p in (CARDS / folder).glob(f"*{suffix}"))


def file_of(name: str, folder: str, suffix: str, extra: tuple[str, ...] = ()) -> Path:
    """The card of that name in a folder of `CARDS`, or the file at that path.

    Args:
        name: Name or path.
        folder: Folder of `CARDS`; empty for processes.
        suffix: Ending of such files.
        extra: Further names to mention.

    Raises:
        ValueError: If there is none.
    """
    for path in (CARDS / folder / f"{name}{suffix}", Path(name)):
        if path.suffix == suffix and path.is_file():
            return path
    known = ", ".join([*_names(folder, suffix), *extra])
    raise ValueError(f"no {folder or 'process'} card {name!r}: expected one of {known}, or the path of a {suffix} file")


def _build(cls: Any, raw: Any, where: str) -> Any:
    """A frozen dataclass from nested TOML values; lists become tuples."""
    if not isinstance(raw, dict):
        raise ValueError(f"{where}: expected a table, got {raw!r}")
    nested: dict[str, Any] = {
        "tracker": Tracker, "hadron": Species, "electron": Species, "muon": Species, "efficiency": Efficiency,
        "ecal": Calorimeter, "hcal": Calorimeter, "d0": Impact, "dz": Impact,
        "resolution": Energy if cls is Calorimeter else Momentum,
    }  # fmt: skip
    if cls is Detector:
        nested["objects"] = Reconstruction
    if cls is Reconstruction:
        nested = dict.fromkeys(("b", "c", "light"), Tag) | dict.fromkeys(("electron", "muon", "photon"), Isolated)
    elif cls is Isolated:
        nested = {}
    values = {}
    for key, value in raw.items():
        if key == "granularity":
            values[key] = tuple(_build(Region, v, f"{where}: {key}") for v in value)
        elif key in nested:
            values[key] = _build(nested[key], value, f"{where}: {key}")
        else:
            values[key] = _tuples(value)
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {str(error).split('__init__() ')[-1]}; compare the cards in {CARDS}") from None


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(v) for v in value)
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return value


def table_of(path: Path) -> dict[str, Any]:
    """What a card says, as nested tables.

    Raises:
        ValueError: If it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not TOML: {error}") from None


def read_detector(name: str) -> Detector | None:
    """The detector card of that name or path; `none` gives None, the perfect detector.

    Raises:
        ValueError: If there is no such card or a value is missing, unknown or malformed.

    Example:
        >>> read_detector("cms").field
        3.8
    """
    if name == "none":
        return None
    path = file_of(name, "detector", ".toml", ("none",))
    detector: Detector = _build(Detector, table_of(path), str(path))
    return detector


def read_preset(name: str) -> Preset:
    """The preset of that name or path.

    Raises:
        ValueError: If there is no such preset or a value is missing, unknown or malformed.

    Example:
        >>> read_preset("jetclass").pt
        (500.0, 1000.0)
    """
    path = file_of(name, "preset", ".toml")
    preset: Preset = _build(Preset, table_of(path), str(path))
    return preset


def process(name: str) -> tuple[str, ...]:
    """The settings in the process card of that name or path, one string a line, comments dropped.

    Raises:
        ValueError: If there is no such card.

    Example:
        >>> process("Tbqq")[0]
        'Top:gg2ttbar = on'
    """
    lines = (line.split("!")[0].strip() for line in file_of(name, "", ".cmnd").read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line)


def digest(name: str, folder: str) -> str:
    """SHA-256 of a card: folder is `detector`, `preset`, or for processes `pythia`, `sherpa` or `lhe`."""
    if folder == "lhe":
        path = hard_file(name)
    else:
        suffix = {"pythia": ".cmnd", "sherpa": ".yaml"}.get(folder, ".toml")
        path = file_of(name, "" if folder == "pythia" else folder, suffix)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hard_file(name: str) -> Path:
    """A Les Houches file, plain or compressed.

    Raises:
        ValueError: If there is none of that name.
    """
    path = Path(name)
    if not path.is_file() or not path.name.endswith((".lhe", ".lhe.gz")):
        raise ValueError(f"{name}: expected an existing .lhe or .lhe.gz file of hard events")
    return path
