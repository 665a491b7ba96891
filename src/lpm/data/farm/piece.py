"""A piece of work that makes one file, and the marker that proves it made.

The marker of `DIR/x.parquet` is `DIR/.farm/x.parquet.json`. It holds the key of the piece, and the size and SHA-256 of
the file. A file counts as made only if all three hold; a marker without its file, of a cut file or of another key is
worth nothing.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lpm import __version__
from lpm.records.files import atomic_file
from lpm.records.hashing import hash_file

__all__ = ["BESIDE", "Failure", "Made", "Note", "Piece", "Watch", "finished", "marker", "perform"]

BESIDE = ".farm"
"""Folder beside the files made: markers, logs of a cluster, the lock."""

Note = dict[str, Any]
"""What a piece tells of its file: plain JSON, kept in the marker."""

Watch = Callable[[int], None]
"""Told how much of a piece is done; the unit is that of the piece."""


@dataclass(frozen=True)
class Piece:
    """One file to make.

    Args:
        name: What a report of its failure names: the input file, or the number of a chunk.
        output: The file.
        key: Hash of all that its content depends on: input, settings, versions.
        work: Makes the file whole or raises; returns a note. If there is nothing to write it returns None, or a note
            of 0 `events`. A function of a module, or a `functools.partial` of one, so that another process can call it.
        version: Version of lpm that planned the piece; a worker with another one refuses it.
    """

    name: str
    output: Path
    key: str
    work: Callable[[Path, Watch], Note | None]
    version: str = __version__


@dataclass(frozen=True)
class Made:
    """A piece that is done.

    Args:
        note: What it told; None if there was nothing to write and nothing to tell.
        kept: Whether an earlier run made it.
    """

    note: Note | None
    kept: bool = False


@dataclass(frozen=True)
class Failure:
    """A piece that could not be made.

    Args:
        name: That of the piece.
        reason: Why, in one line.
        trace: Where in the code, if it was not the input's fault.
    """

    name: str
    reason: str
    trace: str = ""

    @classmethod
    def of(cls, name: str, error: BaseException) -> Failure:
        """The failure that an exception means; a ValueError speaks for itself.

        Example:
            >>> Failure.of("a.root", ValueError("a.root: cut short")).reason
            'a.root: cut short'
            >>> Failure.of("a.root", MemoryError()).reason
            'a.root: MemoryError'
        """
        text = " ".join(str(error).split())
        if isinstance(error, ValueError) and text:
            return cls(name, text if name in text else f"{name}: {text}")
        reason = f"{name}: {type(error).__name__}" + (f": {text}" if text else "")
        return cls(name, reason[:500], "".join(traceback.format_exception(error))[-4000:])

    def to_json(self) -> dict[str, str]:
        """Plain JSON."""
        return {k: v for k, v in asdict(self).items() if v}


def marker(output: Path) -> Path:
    """Where the marker of a file lies."""
    return output.parent / BESIDE / f"{output.name}.json"


def finished(piece: Piece) -> Note | None:
    """The note of a piece whose file is there, whole, and of its key; else None. Reads the whole file.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp()) / "x.txt"
        >>> piece = Piece("x", out, "k1", lambda path, watch: {"bytes": path.write_text("abc")})
        >>> finished(piece), perform(piece), finished(piece)
        (None, Made(note={'bytes': 3}, kept=False), {'bytes': 3})
        >>> _ = piece.output.write_text("xyz")
        >>> finished(piece) is None
        True
    """
    try:
        said = json.loads(marker(piece.output).read_text(encoding="utf-8"))
        note: Note = said["note"]
        sound = (
            said["key"] == piece.key
            and said["size"] == piece.output.stat().st_size
            and said["sha256"] == hash_file(piece.output)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if sound else None


def perform(piece: Piece, watch: Watch = lambda done: None) -> Made | Failure:
    """Make a piece unless it is made. May be called again, anywhere, at any time."""
    if piece.version != __version__:
        return Failure(piece.name, f"{piece.name}: planned by lpm {piece.version}, but the worker has {__version__}")
    note = finished(piece)
    if note is not None:
        return Made(note, kept=True)
    mark = marker(piece.output)
    try:
        mark.unlink(missing_ok=True)
        note = piece.work(piece.output, watch)
        if note is None or note.get("events") == 0:
            piece.output.unlink(missing_ok=True)
            return Made(note)
        said = {"key": piece.key, "size": piece.output.stat().st_size, "sha256": hash_file(piece.output), "note": note}
        with atomic_file(mark) as part:
            part.write_text(json.dumps(said) + "\n", encoding="utf-8")
    except Exception as error:  # whatever it is, it is about this piece alone
        return Failure.of(piece.name, error)
    return Made(note)
