"""Which reader takes a file: the container is told by its first bytes, the format by what lies inside."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import get_args

from lpm.data.io.base import OnBad, Reader, explained
from lpm.data.samples import locate

__all__ = ["FORMATS", "READERS", "open_file"]

READERS: dict[str, tuple[str, str, str]] = {
    "lpm": ("Parquet", "parquet", "ShardReader"),
    "jetclass2": ("Parquet", "jetclass", "JetClass2Reader"),
    "lpm-root": ("ROOT", "lpm_root", "TreeReader"),
    "jetclass": ("ROOT", "jetclass", "JetClassReader"),
    "delphes-jets": ("ROOT", "delphes", "DelphesJetsReader"),
    "delphes-events": ("ROOT", "delphes", "DelphesEventsReader"),
    "cms-jets": ("ROOT", "cms", "CmsJetsReader"),
    "cms-events": ("ROOT", "cms", "CmsEventsReader"),
    "cms-matched": ("ROOT", "matched", "CmsMatchedReader"),
    "delphes-matched": ("ROOT", "matched", "DelphesMatchedReader"),
    "shower-boxes": ("ROOT", "boxes", "BoxesReader"),
    "lpm-hdf5": ("HDF5", "exchange", "ArraysReader"),
    "top-tagging": ("HDF5", "hdf5", "TopTaggingReader"),
    "jetnet": ("HDF5", "hdf5", "JetNetReader"),
    "aspen": ("HDF5", "hdf5", "AspenReader"),
    "calochallenge": ("HDF5", "showers", "CaloChallengeReader"),
    "momenta-hdf5": ("HDF5", "hdf5", "FourMomentaHdf5Reader"),
    "momenta-npz": ("zip", "npz", "FourMomentaNpzReader"),
    "energyflow": ("zip", "npz", "EnergyFlowReader"),
    "alice-tracks": ("zip", "alice", "AliceTracksReader"),
    "objects-csv": ("text", "exchange", "ObjectsReader"),
    "fastcalosim": ("text", "showers", "FastCaloSimReader"),
    "csv": ("text", "csv", "CsvReader"),
}
"""{format: (container, module of `lpm.data.io`, class)}; of one container, the first that knows a file takes it."""

FORMATS = ("auto", *READERS)
"""What `open_file` accepts as format."""

_MAGIC = {b"root": "ROOT", b"\x89HDF": "HDF5", b"PAR1": "Parquet", b"PK\x03\x04": "zip"}


def open_file(path: str | Path, format: str = "auto", on_bad: OnBad = "stop", tree: str | None = None) -> Reader:  # noqa: A002
    """Open one file of events.

    Args:
        path: The file, or `sample:NAME` for a sample that comes with lpm.
        format: One of `FORMATS`; `auto` looks at the content, never at the name.
        on_bad: What to do with events that cannot be used: "stop" with an error, "skip" and count, or "keep" them.
        tree: Which tree, table or kind of jets, where a file holds several.

    Raises:
        ValueError: If the file is missing, empty, damaged or of no known format.

    Example:
        >>> open_file("nowhere.root")
        Traceback (most recent call last):
        ValueError: nowhere.root: no such file; check the path
    """
    path = locate(path)
    if format not in FORMATS:
        raise ValueError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    if on_bad not in get_args(OnBad):
        raise ValueError(f"on_bad {on_bad!r}: expected one of {', '.join(get_args(OnBad))}")
    container = _container(path)
    if format != "auto":
        if READERS[format][0] != container:
            raise ValueError(f"{path}: format {format} is a kind of {READERS[format][0]}, but this is {container}")
        with explained(path):
            return _reader(path, format)(path, tree=tree, on_bad=on_bad)
    with explained(path):
        for name, (kind, _, _) in READERS.items():
            if kind == container and (reader := _reader(path, name)).sniff(path):
                return reader(path, tree=tree, on_bad=on_bad)
    if container == "Parquet" and not _ends_as(path, b"PAR1"):
        raise ValueError(f"{path}: Parquet file that is cut short; fetch or write it again")
    known = ", ".join(name for name, (kind, _, _) in READERS.items() if kind == container)
    raise ValueError(f"{path}: {container} file of unknown layout; known are {known}; see docs/data-format.md")


def _ends_as(path: Path, mark: bytes) -> bool:
    with path.open("rb") as f:
        f.seek(-len(mark), 2)
        return f.read() == mark


def _container(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; check the path")
    try:
        with path.open("rb") as f:
            head = f.read(4)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error
    if not head:
        raise ValueError(f"{path}: empty file; fetch or write it again")
    return _MAGIC.get(head, "text")


def _reader(path: Path, name: str) -> type[Reader]:
    _, module, cls = READERS[name]
    try:
        found: type[Reader] = getattr(import_module(f"lpm.data.io.{module}"), cls)
    except ModuleNotFoundError as error:
        if error.name not in ("uproot", "awkward"):
            raise
        raise ValueError(f"{path}: ROOT files need uproot: pip install 'lpm[root]'") from error
    return found
