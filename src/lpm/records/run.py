"""The append-only record of a run: one JSON object a line, flushed as it happens.

Events, in the order in which they occur: `start` (recipe, seed, versions, hardware, commit), `step` (losses, rates),
`valid`, `metrics` (values with uncertainties), `histogram` and `curve` (what plots are made of), `artefact` (a file and
its hash), `end` (energy, duration). A run that is resumed appends a second `start`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lpm.records.hashing import hash_file

__all__ = ["Run", "read"]


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
        with (self.folder / "run.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def metrics(self, name: str, values: Mapping[str, Any]) -> None:
        """Record metrics: {name: an object with value, low, high}."""
        rows = {k: {"value": v.value, "low": v.low, "high": v.high} for k, v in values.items()}
        self.write("metrics", name=name, values=rows)

    def artefact(self, path: Path) -> None:
        """Record a file with its size and hash."""
        self.write("artefact", path=path.name, bytes=path.stat().st_size, sha256=hash_file(path))


def read(folder: Path) -> list[dict[str, Any]]:
    """All events of a run. A last line that a crash cut short is left out.

    Raises:
        ValueError: If there is no record, or a line other than the last is not JSON.
    """
    path = Path(folder) / "run.jsonl"
    if not path.is_file():
        raise ValueError(f"{folder}: expected a run folder with run.jsonl in it")
    lines = path.read_text(encoding="utf-8").splitlines()
    events = []
    for i, line in enumerate(lines):
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError as error:
            if i < len(lines) - 1:
                raise ValueError(f"{path}, line {i + 1}: not JSON ({error.msg}); the record was altered") from error
    return events


def _finite(value: Any) -> Any:
    """Non-finite numbers as null: NaN is not JSON."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
