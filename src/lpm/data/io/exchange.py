"""Events for programs that know nothing of lpm: HDF5 arrays and CSV rows, which lpm reads back.

HDF5 holds a group for each collection: `values` (N, F), one column a field in the order of the attribute `fields`, and
`offsets` (B + 1,), the row at which each event starts. The attribute `schema` of the file is the schema as JSON.

CSV holds one event a line, as the samples of the Dark Machines community and of Builtjes et al. (arXiv 2211.05143) do:

    event ID; process ID; weight; MET; METphi; obj1, E1, pt1, eta1, phi1; obj2, E2, pt2, eta2, phi2; …

with objects called j, b, e-, e+, m-, m+ and g. The public samples give energies in MeV and do not say so. What lpm
writes is in GeV and begins with the line `# energies in GeV`, which readers of tables pass over as a comment.
"""

from __future__ import annotations

import contextlib
import math
import re
import statistics
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import h5py
import numpy as np
import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.fields import FOUR_TOPS, OBJECT_TYPES, events_schema
from lpm.data.io.base import OnBad, Reader
from lpm.data.io.new_hdf5 import new_hdf5
from lpm.data.schema import Schema
from lpm.records.files import atomic_file

__all__ = ["ArraysReader", "ObjectsReader", "write_csv", "write_hdf5"]

SYMBOLS = dict(zip(OBJECT_TYPES, ("j", "b", "e-", "e+", "m-", "m+", "g", "met"), strict=True))
"""What objects are called in CSV rows."""

UNITS = {"GeV": 1.0, "MeV": 1e-3}
"""GeV of each unit that CSV rows may have."""

_TOO_LARGE = 5000.0
"""Median transverse momentum above which rows that do not say their unit are not taken for GeV."""

_LOOKED_AT = 1000
"""Events of which that median is taken."""


def write_hdf5(path: str | Path, batches: Iterable[Batch], *, schema: Schema) -> int:
    """Write events as HDF5 arrays. Only a whole file appears under `path`.

    Args:
        path: The file to write or replace.
        batches: Any number of batches.
        schema: Schema of all of them.

    Returns:
        Number of events written.

    Raises:
        ValueError: If a batch has another schema, or the file cannot be written.
    """
    count = 0
    with new_hdf5(path) as (file, check):
        file.attrs["schema"] = schema.to_json()
        groups = {c.name: file.create_group(c.name) for c in schema.collections}
        for c in schema.collections:
            group = groups[c.name]
            group.attrs["fields"] = list(c.names)
            group.attrs["units"] = [f.unit for f in c.fields]
            width = len(c.fields)
            group.create_dataset("values", (0, width), "f4", maxshape=(None, width), chunks=(8192, width),
                                 compression="gzip", shuffle=True)  # fmt: skip
            group.create_dataset("offsets", data=np.zeros(1, np.int64), maxshape=(None,), chunks=(8192,))
        for batch in batches:
            if batch.schema != schema:
                raise ValueError(f"{path}: a batch has another schema, {batch.schema.name}, than {schema.name}")
            for name, r in batch.collections.items():
                values, offsets = groups[name]["values"], groups[name]["offsets"]
                rows, events = len(values), len(offsets)
                values.resize(rows + len(r.values), 0)
                values[rows:] = r.values.numpy()
                offsets.resize(events + len(r), 0)
                offsets[events:] = r.offsets[1:].numpy() + rows
            count += len(batch)
            check()
    return count


class ArraysReader(Reader):
    """HDF5 files as `write_hdf5` writes them."""

    format = "lpm-hdf5"

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        self._file = h5py.File(self.path, "r")
        self.schema = Schema.from_json(str(self._file.attrs["schema"]))

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """An HDF5 file with a schema."""
        try:
            with h5py.File(path, "r") as file:
                return "schema" in file.attrs and '"collections"' in str(file.attrs["schema"])
        except OSError:
            return False

    def __len__(self) -> int:
        return len(self._file[self.schema.names[0]]["offsets"]) - 1

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        out = {}
        for c in schema.collections:
            group = self._file[c.name]
            offsets = np.asarray(group["offsets"][start : stop + 1])
            columns = [self.schema[c.name].index(n) for n in c.names]
            values = np.asarray(group["values"][offsets[0] : offsets[-1]])[:, columns]
            out[c.name] = Ragged(torch.from_numpy(values), torch.from_numpy(offsets - offsets[0]))
        return Batch(schema, out)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def write_csv(path: str | Path, batches: Iterable[Batch], *, schema: Schema) -> int:
    """Write events as rows of objects, energies in GeV. Only a whole file appears under `path`.

    Args:
        path: The file to write or replace.
        batches: Events as sets of objects.
        schema: Schema of all of them, with the fields of `lpm.data.fields.OBJECT`.

    Returns:
        Number of events written.

    Raises:
        ValueError: If the events are no sets of objects, or the file cannot be written.
    """
    needed = [f"object.{n}" for n in ("type", "energy", "pt", "eta", "phi")]
    if missing := [p for p in needed if p not in schema]:
        raise ValueError(f"{path}: CSV rows are for sets of objects, which have {missing[0]}; write .h5 instead")
    count = 0
    with atomic_file(path) as part, part.open("w", encoding="utf-8") as out:
        out.write("# energies in GeV\n")
        for batch in batches:
            for number, line in enumerate(_lines(batch), start=count):
                out.write(f"{number};{line}\n")
            count += len(batch)
    return count


def _lines(batch: Batch) -> Iterable[str]:
    names = tuple(SYMBOLS.values())
    columns = [batch.field(f"object.{n}").values for n in ("type", "energy", "pt", "eta", "phi")]
    rows = torch.stack(columns, 1).double().tolist()
    bounds = batch.collections["object"].offsets.tolist()
    labels = batch.schema.field("event.label").labels if "event.label" in batch.schema else ()
    process = batch.field("event.label").values.tolist() if labels else [math.nan] * len(batch)
    weight = batch.field("event.weight").values.tolist() if "event.weight" in batch.schema else [1.0] * len(batch)
    for i in range(len(batch)):
        mine = [(names[int(kind)], four) for kind, *four in rows[bounds[i] : bounds[i + 1]]]
        met = next((four for name, four in mine if name == "met"), [0, 0, 0, 0])
        objects = [",".join([name, *(f"{x:.7g}" for x in four)]) for name, four in mine if name != "met"]
        label = labels[int(process[i])] if math.isfinite(process[i]) else "unknown"
        yield ";".join([label, f"{weight[i]:.7g}", f"{met[1]:.7g}", f"{met[3]:.7g}", *objects])


class ObjectsReader(Reader):
    """CSV rows of objects as `write_csv` writes them, one event a line; blank lines and comments (`#`) are passed over.

    Args:
        path: The file.
        tree: Unit of its energies, `GeV` or `MeV`; None if its first line says it, or for GeV.
        on_bad: As in `Reader`.

    Raises:
        ValueError: If the file says another unit, or says none and momenta are too large to be in GeV.
    """

    format = "objects-csv"
    several = True

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        self.schema = events_schema(("weight",), FOUR_TOPS)
        self._starts = _starts(self.path)
        self._unit = UNITS[self._named_unit(tree)]

    def _named_unit(self, asked: str | None) -> str:
        if asked is not None and asked not in UNITS:
            raise ValueError(f"{self.path}: unit {asked!r}: expected one of {', '.join(UNITS)}")
        with self.path.open("rb") as file:
            said = re.match(rb"#.*\b([GM]eV)\b", file.readline(1 << 16))
            unit = said[1].decode() if said else asked
            if asked not in (None, unit):
                raise ValueError(f"{self.path}: says that its energies are in {unit}; leave {asked} out")
            if unit is not None:
                return unit
            file.seek(0)
            pt = [x for _, line in islice(_events(file), _LOOKED_AT) for x in _momenta(line)]
        if pt and (median := statistics.median(pt)) > _TOO_LARGE:
            raise ValueError(
                f"{self.path}: half of the objects have pt above {median:,.0f}, which looks like MeV, and no line says "
                'the unit; say it: --tree MeV (tree="MeV"), or --tree GeV'
            )
        return "GeV"

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """Text whose first event begins with the fields of one, divided by semicolons."""
        with path.open("rb") as file:
            head = file.read(1 << 16).split(b"\n")
        parts = next((line for line in head if _is_event(line)), b"").split(b";")
        return (
            len(parts) >= 5 and parts[0].strip().isdigit() and all(p.count(b",") == 4 for p in parts[5:] if p.strip())
        )

    def __len__(self) -> int:
        return len(self._starts) - 1

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        with self.path.open("rb") as file:
            file.seek(self._starts[start])
            events = [_parsed(line.decode("utf-8"), self._unit) for _, line in islice(_events(file), stop - start)]
        objects = torch.tensor([o for e in events for o in e[0]], dtype=torch.float32).reshape(-1, 5)
        columns: dict[str, Tensor] = {f"object.{n}": objects[:, i] for i, n in enumerate(_ORDER)}
        columns["event.weight"] = torch.tensor([e[1] for e in events])
        columns["event.label"] = torch.tensor([e[2] for e in events])
        lengths = {"object": torch.tensor([len(e[0]) for e in events], dtype=torch.int64)}
        whole = Batch.build(self.schema, columns, lengths)
        return whole.select(schema.paths)


_ORDER = ("type", "energy", "pt", "eta", "phi")
_KINDS = {symbol: float(i) for i, symbol in enumerate(SYMBOLS.values())}


def _parsed(line: str, unit: float) -> tuple[list[list[float]], float, float]:
    """Objects (type, energy, pt, eta, phi), missing momentum among them, weight and process of an event.

    Args:
        line: The event.
        unit: GeV of its unit of energy.
    """
    parts = [p.strip() for p in line.strip().strip(";").split(";")]
    _, process, weight, met, met_phi = parts[:5]
    objects: list[list[float]] = []
    for part in parts[5:]:
        name, *four = (x.strip() for x in part.split(","))
        if name not in _KINDS:
            raise ValueError(f"object {name!r}: expected one of {', '.join(_KINDS)}")
        energy, pt, *direction = map(float, four)
        objects.append([_KINDS[name], energy * unit, pt * unit, *direction])
    missing = float(met) * unit
    objects.append([_KINDS["met"], missing, missing, 0.0, float(met_phi)])
    label = float(FOUR_TOPS.index(process)) if process in FOUR_TOPS else math.nan
    return objects, float(weight), label


def _momenta(line: bytes) -> list[float]:
    """Transverse momenta of the objects of an event; none if it cannot be read, which reading will name."""
    with contextlib.suppress(ValueError, IndexError):
        return [float(part.split(b",")[2]) for part in line.split(b";")[5:] if part.strip()]
    return []


def _is_event(line: bytes) -> bool:
    """Whether a line is no comment and not blank."""
    line = line.strip()
    return bool(line) and not line.startswith(b"#")


def _events(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Byte at which each event starts, counted from here, and its line."""
    at = 0
    for line in file:
        if _is_event(line):
            yield at, line
        at += len(line)


def _starts(path: Path) -> list[int]:
    """Byte at which each event starts, and the end of the file."""
    with path.open("rb") as file:
        return [*(at for at, _ in _events(file)), path.stat().st_size]
