"""Finding files: paths, folders, patterns and samples."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from lpm.data.samples import locate

__all__ = ["another_file", "file_or_folder", "find_files"]


def find_files(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """All files meant by paths, folders (searched to the bottom), patterns such as `data/*.root`, and `sample:NAME`.

    In folders, hidden files, notes (`.json`, `.md`, `.txt`, …), archives and unfinished files (`.tmp`, `.part`) are
    passed over: they lie beside data sets, but hold no events.

    Args:
        paths: One or several.

    Returns:
        Files in the order given, each folder and pattern sorted by name, none twice, however it is spelled.

    Raises:
        ValueError: If one of the paths leads to no file, or there is no such sample.

    Example:
        >>> [f.name for f in find_files("sample:jets")]
        ['jets.parquet']
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    found: dict[Path, Path] = {}
    for p in paths:
        path = locate(p)
        if path.is_dir():
            hits = sorted(f for f in path.rglob("*") if f.is_file() and not _beside(f.relative_to(path)))
        elif path.exists():
            hits = [path]
        else:
            hits = sorted(f for f in map(Path, glob.glob(str(p), recursive=True)) if f.is_file())  # noqa: PTH207
        if not hits:
            raise ValueError(f"{p}: no such file, and no file in it or matching it; check the path")
        for hit in hits:
            found.setdefault(hit.resolve(), hit)
    return list(found.values())


_KNOWN = frozenset(
    {".arrow", ".csv", ".feather", ".h5", ".hdf5", ".json", ".npz", ".parq", ".parquet", ".pq", ".root", ".txt"}
)
"""Endings that are meant as those of a file."""


def file_or_folder(out: str | Path, endings: Sequence[str]) -> None:
    """Refuse an output that is named as a file of a kind that is not written; other names are those of folders.

    Args:
        out: The name.
        endings: Of files that are written.

    Raises:
        ValueError: If it ends as a file of another kind.

    Example:
        >>> file_or_folder("shards/run.3", [".parquet"])
        >>> file_or_folder("jets.root", [".parquet"])
        Traceback (most recent call last):
        ...
        ValueError: jets.root: expected a folder, or a name that ends in .parquet
    """
    path = Path(out)
    if path.suffix in _KNOWN and path.suffix not in endings and not path.is_dir():
        raise ValueError(f"{path}: expected a folder, or a name that ends in {' or '.join(endings)}")


def another_file(out: str | Path, source: str | Path) -> None:
    """Refuse to write over the file that is read, however either is spelled.

    Args:
        out: The file to write; it need not be there.
        source: The file to read.

    Raises:
        ValueError: If they are one.
    """
    if Path(out).exists() and Path(source).exists() and Path(out).samefile(source):
        raise ValueError(f"{out}: holds the events themselves that are read; name another file to write")


_BESIDE = frozenset({".json", ".jsonl", ".log", ".md", ".part", ".tar", ".tmp", ".toml", ".txt", ".yaml", ".yml"})


def _beside(path: Path) -> bool:
    return path.suffix in _BESIDE or any(part.startswith(".") for part in path.parts)
