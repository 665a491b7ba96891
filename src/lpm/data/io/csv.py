"""CSV tables of collisions: one line an event, objects numbered in the column names (`pt1,eta1,phi1,Q1,pt2,…`).

That is the layout of the CMS education sets, such as Z → μμ candidates of 2011; lengths are in cm there.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as arrow_csv
import torch

from lpm.data.batch import Batch, Ragged
from lpm.data.fields import collisions_schema
from lpm.data.io.base import OnBad, Reader
from lpm.data.schema import Schema

__all__ = ["CsvReader"]

_NAMES = {"pt": "pt", "eta": "eta", "phi": "phi", "mass": "mass", "m": "mass", "q": "charge", "charge": "charge"}
_NAMES |= {"dxy": "d0", "d0": "d0", "dz": "dz", "iso": "iso"}
_CM = 10.0


class CsvReader(Reader):
    """A table with columns pt1, eta1, phi1, …: the numbered objects of each event. `tree` says what they are.

    Blanks about the names of columns and empty lines are passed over.

    Args:
        path: The file.
        tree: The kind of object: `muon` (the usual), `electron`, `photon`, `tau`, `jet`.
        on_bad: As in `Reader`.
    """

    format = "csv"
    several = True

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        self._objects = _objects(_header(self.path))
        if not self._objects:
            raise ValueError(
                f"{self.path}: expected a CSV with columns pt1, eta1, phi1, …; got {_header(self.path)[:8]}"
            )
        self._kind = tree or "muon"
        self.schema = collisions_schema({self._kind: list(next(iter(self._objects.values())))})
        self._rows = _count_lines(self.path) - 1

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """Text whose first line names numbered objects."""
        return bool(_objects(_header(path)))

    def __len__(self) -> int:
        return self._rows

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        fields = schema[self._kind].names
        names = [self._objects[i][f] for i in self._objects for f in fields]
        table = self._table(names, start, stop)
        per_object = [
            torch.stack([_floats(table.column(self._objects[i][f])) * _scale(self._objects[i][f]) for f in fields], 1)
            for i in self._objects
        ]
        values = torch.stack(per_object, 1).flatten(0, 1).float()
        lengths = torch.full((len(table),), len(self._objects))
        return Batch(schema, {self._kind: Ragged.from_lengths(values, lengths)})

    def _table(self, names: list[str], start: int, stop: int) -> pa.Table:
        """Some columns of a range of lines; earlier lines are passed over in blocks."""
        options = arrow_csv.ConvertOptions(include_columns=names, column_types=dict.fromkeys(names, pa.float64()))
        parts, at = [], 0
        with arrow_csv.open_csv(self.path, convert_options=options) as reader:
            for block in reader:
                if at < stop and at + len(block) > start:
                    first = max(start - at, 0)
                    parts.append(block.slice(first, stop - at - first))
                at += len(block)
                if at >= stop:
                    break
        if sum(map(len, parts)) != stop - start:
            raise ValueError(f"expected {stop - start} lines from {start}, got {sum(map(len, parts))}")
        return pa.Table.from_batches(parts) if parts else pa.table({n: pa.array([], pa.float64()) for n in names})


def _header(path: Path) -> list[str]:
    """Names of the columns as they stand there, blanks included, since they are asked for by these."""
    with path.open("rb") as f:
        line = next((some for some in iter(lambda: f.readline(4096), b"") if some.strip(b"\r\n")), b"")
    try:
        return next(csv.reader([line.decode("utf-8")]), [])
    except (UnicodeDecodeError, csv.Error):
        return []


def _plain(name: str) -> str:
    """A name without the blanks and quotes about it."""
    return name.strip().strip('"').strip()


def _objects(header: list[str]) -> dict[int, dict[str, str]]:
    """{1: {"pt": "pt1", …}, 2: …} for objects with pt, eta and phi and the same fields."""
    found: dict[int, dict[str, str]] = {}
    for name in header:
        match = re.fullmatch(r"([A-Za-z]\w*?)(\d+)", _plain(name))
        if match and (field := _NAMES.get(match[1].lower().rstrip("_"))):
            found.setdefault(int(match[2]), {})[field] = name
    whole = {i: f for i, f in sorted(found.items()) if {"pt", "eta", "phi"} <= set(f)}
    shared = set.intersection(*map(set, whole.values())) if whole else set()
    return {i: {f: n for f, n in fields.items() if f in shared} for i, fields in whole.items()}


def _scale(name: str) -> float:
    return _CM if re.match(r"(dxy|d0|dz)", _plain(name).lower()) else 1.0


def _floats(column: pa.ChunkedArray) -> torch.Tensor:
    return torch.from_numpy(column.to_numpy().astype("float64"))


def _count_lines(path: Path) -> int:
    """Lines that are not empty."""
    with path.open("rb") as f:
        return sum(1 for line in f if line.strip(b"\r\n"))
