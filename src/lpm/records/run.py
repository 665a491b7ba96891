"""The append-only record of a run: one JSON object a line, flushed as it happens.

Events, in the order in which they occur: `start` (recipe, seed, versions, hardware, commit), `step` (losses, rates),
`valid`, `metrics` (values with uncertainties), `histogram` and `curve` (what plots are made of), `artefact` (a file and
its hash), `end` (energy, duration), `pause` (the same, of a run that was stopped). A run that is resumed appends a
second `start`, on a line of its own even where a crash cut the last one short.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lpm.records.hashing import hash_file

__all__ = ["Run", "read"]

_START = b'{"event": "start"'
"""What the line of a start begins with."""


class Run:
    """Writer of `run.jsonl` in a folder.

    Args:
        folder: Created if absent.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as d:
        ...     Run(Path(d)).write("step", step=1, loss={"label": 0.7})
        ...     [event["step"] for event in read(Path(d))]
        [1]
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"cannot write the run record to {folder}: {error.strerror}") from error

    def write(self, event: str, **content: Any) -> None:
        """Append one event with the present time (seconds since 1970) to the record."""
        line = json.dumps(_finite({"event": event, "time": round(time.time(), 3), **content}))
        with (self.folder / "run.jsonl").open("a+b") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            # An event must not join a line that a crash cut short.
            ended = file.read() in (b"", b"\n")
            file.write((line if ended else "\n" + line).encode() + b"\n")

    def metrics(self, name: str, values: Mapping[str, Any]) -> None:
        """Record metrics: {name: an object with value, low, high}."""
        rows = {k: {"value": v.value, "low": v.low, "high": v.high} for k, v in values.items()}
        self.write("metrics", name=name, values=rows)

    def artefact(self, path: Path) -> None:
        """Record a file with its size and hash."""
        self.write("artefact", path=path.name, bytes=path.stat().st_size, sha256=hash_file(path))


def read(folder: Path) -> list[dict[str, Any]]:
    """All events of a run. A line that a crash cut short is left out: it is the last, or a start follows it.

    Raises:
        ValueError: If there is no record, or any other line is no event.
    """
    path = Path(folder) / "run.jsonl"
    if not path.is_file():
        raise ValueError(f"{folder}: expected a run folder with run.jsonl in it")
    *lines, rest = path.read_bytes().split(b"\n")
    events, cut = [], ""
    for number, line in enumerate([*lines, rest] if rest else lines, 1):
        # The start of a resumed run may be cut in its turn.
        if cut and not line.startswith(_START[: len(line)]):
            raise ValueError(cut)
        try:
            event = json.loads(line.decode())
        except ValueError as error:
            why = error.msg if isinstance(error, json.JSONDecodeError) else "no UTF-8 text"
            cut = cut or f"{path}, line {number}: not JSON ({why}); the record was altered"
            continue
        if not isinstance(event, dict):
            got = line.decode()[:40]
            raise ValueError(f"{path}, line {number}: expected a JSON object, got {got}; the record was altered")
        events.append(event)
        cut = ""
    return events


def _finite(value: Any) -> Any:
    """Non-finite numbers as null: NaN is not JSON."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
