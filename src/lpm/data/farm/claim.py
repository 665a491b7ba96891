"""A folder of shards that belongs to one request: beside the shards lies what they are to be, and one process fills it.

A folder half filled is completed only by the same request, so that no sample is a mixture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lpm.data.farm.piece import BESIDE
from lpm.records.files import atomic_file, locked

__all__ = ["MANIFEST", "check", "claimed", "folder_of"]

MANIFEST = "simulation.json"
"""Name of the file that says how the shards beside it were made."""

DECIDES = {"request": "another request", "cards": "other cards"}
"""What of a manifest decides the content of the shards."""


def folder_of(out: Path) -> Path:
    """Where the shards of an output are made: in itself, or, if it is one file, in a folder beside it.

    Example:
        >>> folder_of(Path("a/jets")).as_posix(), folder_of(Path("a/jets.parquet")).as_posix()
        ('a/jets', 'a/jets.parquet.parts')
    """
    return out.with_name(f"{out.name}.parts") if out.suffix == ".parquet" else out


def check(folder: Path, manifest: dict[str, Any], resume: bool) -> None:
    """See that a folder is free or holds a part of the same sample; writes nothing.

    Args:
        folder: It need not be there.
        manifest: With `request`, and `cards` if there are any.
        resume: Accept a part of the same sample.

    Raises:
        ValueError: If the folder holds anything else, or cannot be read.
    """
    try:
        # What a killed process left half written says nothing of the folder.
        inside = any(p.name != BESIDE and not p.name.endswith(".tmp") for p in folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise ValueError(f"{folder}: cannot write: {error.strerror}; choose another place") from error
    if not inside:
        return
    note = folder / MANIFEST
    if not note.is_file():
        raise ValueError(f"{folder}: is not empty and holds no {MANIFEST}; choose another place")
    if not resume:
        raise ValueError(f"{folder}: holds a sample already; add --resume to complete it, or choose another place")
    # JSON knows no tuples: compare what would be read back.
    old, wanted = _read(note), json.loads(json.dumps(manifest))
    decides = [k for k in DECIDES if k in wanted]
    if any(old.get(k) != wanted[k] for k in decides):
        what = " or ".join(DECIDES[k] for k in decides)
        raise ValueError(f"{folder}: was made with {what} (see {MANIFEST}); choose another place")


@contextmanager
def claimed(folder: Path, manifest: dict[str, Any], resume: bool) -> Iterator[Path]:
    """Keep a folder for one sample and for this process, and say what it is to hold.

    Args:
        folder: Made if there is none.
        manifest: With `request`, and `cards` if there are any.
        resume: Accept a part of the same sample.

    Yields:
        The folder for markers and logs beside the shards.

    Raises:
        ValueError: If the folder holds anything else, is in use, or cannot be written.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp()) / "sample"
        >>> with claimed(out, {"request": {"seed": 1}}, resume=False) as beside:
        ...     beside.name, sorted(p.name for p in out.iterdir())
        ('.farm', ['.farm', 'simulation.json'])
    """
    check(folder, manifest, resume)  # before anything is written
    beside = folder.absolute() / BESIDE
    try:
        beside.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder}: cannot write: {error.strerror}; choose another place") from error
    with locked(beside):
        check(folder, manifest, resume)  # another process may have been faster
        for name in ("part-*", f"{MANIFEST}.*"):
            for rest in folder.glob(f".{name}.tmp"):
                rest.unlink(missing_ok=True)
        with atomic_file(folder / MANIFEST) as part:
            part.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        yield beside


def _read(note: Path) -> dict[str, Any]:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{note}: cannot read: {error.strerror}; choose another place") from error
    except ValueError:  # neither UTF-8 nor JSON
        found = None
    if not isinstance(found, dict):
        raise ValueError(
            f"{note}: does not say how the shards were made (expected a JSON object); choose another place"
        )
    return found
