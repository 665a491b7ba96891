"""Files as such: finding them, and replacing them only when the new one is whole."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lpm.data.samples import locate

__all__ = ["atomic", "find_files"]


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place once the block ends well.

    The bytes reach the disk before the name changes, so a reader finds the old file or the new one, never a part of
    one. If the block raises, the temporary file is removed and `path` is as it was.

    Args:
        path: File to write; missing folders are made.

    Yields:
        The name to write to.

    Raises:
        ValueError: If the file cannot be written (no permission, disk full).

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with atomic(target) as part:
        ...     _ = part.write_text("whole")
        >>> target.read_text(), len(list(target.parent.iterdir()))
        ('whole', 1)
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as f:
            os.fsync(f.fileno())
        part.replace(path)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
        raise ValueError(f"{path}: cannot write: {why}; free some space or choose another place") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def find_files(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """All files meant by paths, folders (searched to the bottom), patterns such as `data/*.root`, and `sample:NAME`.

    In folders, hidden files, notes (`.json`, `.md`, `.txt`, …), archives and unfinished files (`.tmp`, `.part`) are
    passed over: they lie beside data sets, but hold no events.

    Args:
        paths: One or several.

    Returns:
        Files in the order given, each folder and pattern sorted by name, none twice.

    Raises:
        ValueError: If one of the paths leads to no file, or there is no such sample.

    Example:
        >>> [f.name for f in find_files("sample:jets")]
        ['jets.parquet']
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    found: dict[Path, None] = {}
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
        found.update(dict.fromkeys(hits))
    return list(found)


_BESIDE = frozenset({".json", ".jsonl", ".log", ".md", ".part", ".tar", ".tmp", ".toml", ".txt", ".yaml", ".yml"})


def _beside(path: Path) -> bool:
    return path.suffix in _BESIDE or any(part.startswith(".") for part in path.parts)
