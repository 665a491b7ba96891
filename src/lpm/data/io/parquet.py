"""The shard: one Parquet file of events with their schema inside (specified in docs/data-format.md).

The field `particle.pt` is the column `particle_pt`, a list of float32 in each row; a field of a collection with one
row an event (`jet.pt`) is a plain column `jet_pt`. Whole numbers are stored as such, null where a Batch holds NaN.
Any Parquet reader opens it; the schema travels as JSON under the metadata key `lpm.schema`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from lpm.data.batch import Batch, Ragged
from lpm.data.io.base import REMEDY, OnBad, Reader, reason
from lpm.data.schema import FORMAT_VERSION, Collection, Field, Schema
from lpm.records.files import atomic_file

__all__ = ["ShardReader", "read_provenance", "read_schema", "write_batches"]


def write_batches(
    path: str | Path,
    batches: Iterable[Batch],
    *,
    schema: Schema,
    row_group: int = 10_000,
    provenance: Mapping[str, Any] | None = None,
) -> int:
    """Write events to one shard. Only a whole shard appears under `path`.

    Args:
        path: The file to write or replace.
        batches: Any number of batches of any size.
        schema: Schema of all of them.
        row_group: Events in one row group, the smallest piece read at once.
        provenance: Where the events come from: any JSON.

    Returns:
        Number of events written.

    Raises:
        ValueError: If a batch has another schema, holds a value its kind forbids, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> s = Schema(name="x", collections=(Collection(name="hit", fields=(Field(name="t", unit="ns"),)),))
        >>> b = Batch.build(s, {"hit.t": torch.tensor([1.0, 2.0])}, {"hit": torch.tensor([2, 0])})
        >>> path = Path(tempfile.mkdtemp()) / "x.parquet"
        >>> write_batches(path, [b], schema=s)
        2
        >>> [x.field("hit.t").values.tolist() for x in ShardReader(path).batches()]
        [[1.0, 2.0]]
    """
    if row_group < 1:
        raise ValueError(f"row_group: expected at least 1 event, got {row_group}")
    metadata = {
        "lpm.schema": schema.to_json(),
        "lpm.format": str(FORMAT_VERSION),
        "lpm.provenance": json.dumps({"creator": "lpm", **(provenance or {})}, sort_keys=True),
    }
    arrow = arrow_schema(schema).with_metadata(metadata)
    count = 0
    with atomic_file(path) as part:
        writer: pq.ParquetWriter | None = None
        try:
            for batch in _regroup(batches, schema, row_group):
                table = _to_table(batch, arrow)
                writer = writer or _open_writer(part, arrow, table)
                writer.write_table(table, row_group_size=row_group)
                count += len(batch)
            writer = writer or pq.ParquetWriter(part, arrow)
        finally:
            if writer is not None:
                writer.close()
    return count


def read_schema(path: str | Path) -> Schema:
    """The schema of a shard.

    Raises:
        ValueError: If the file is no Parquet file or holds no schema.
    """
    return Schema.from_json(_metadata(Path(path), "lpm.schema"))


def read_provenance(path: str | Path) -> dict[str, Any]:
    """What the writer of a shard said about its origin."""
    made: dict[str, Any] = json.loads(_metadata(Path(path), "lpm.provenance"))
    return made


class ShardReader(Reader):
    """Events of one shard; see `Reader`."""

    format = "lpm"

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        self._file = open_parquet(self.path)
        self.schema = read_schema(self.path)
        missing = [c for c in arrow_schema(self.schema).names if c not in self._file.schema_arrow.names]
        if missing:
            raise ValueError(f"{self.path}: missing columns {', '.join(missing)}; {REMEDY}")
        meta = self._file.metadata
        self._bounds = np.cumsum([0] + [meta.row_group(i).num_rows for i in range(meta.num_row_groups)])

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """Parquet with a schema of ours in its metadata."""
        if not is_parquet(path):
            return False
        with open_parquet(path) as file:
            return b"lpm.schema" in (file.metadata.metadata or {})

    def __len__(self) -> int:
        return int(self._bounds[-1])

    @property
    def groups(self) -> list[tuple[int, int]]:
        """The row groups."""
        return [(int(a), int(b)) for a, b in pairwise(self._bounds)]

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """Events of a range; row groups and columns outside it are not touched."""
        hit = [i for i, (a, b) in enumerate(self.groups) if a < stop and b > start]
        table = self._file.read_row_groups(hit, columns=arrow_schema(schema).names, use_threads=False)
        first = int(self._bounds[hit[0]]) if hit else 0
        return _from_table(table.slice(start - first, stop - start), schema)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def is_parquet(path: Path) -> bool:
    """Whether a file begins and ends as Parquet files do."""
    with path.open("rb") as f:
        head = f.read(4)
        f.seek(0, 2)
        f.seek(max(f.tell() - 4, 0))
        return head == b"PAR1" and f.read(4) == b"PAR1"


def open_parquet(path: Path) -> pq.ParquetFile:
    """An open Parquet file.

    Raises:
        ValueError: If it is damaged or none.
    """
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a readable Parquet file: {reason(error)}; {REMEDY}") from error


def _metadata(path: Path, key: str) -> str:
    with open_parquet(path) as file:
        raw = (file.metadata.metadata or {}).get(key.encode())
    if raw is None:
        raise ValueError(f"{path}: Parquet without {key} in its metadata: no shard; make one with `lpm convert`")
    return str(raw, "utf-8")


def column_name(c: Collection, f: Field) -> str:
    """Name of the Parquet column of a field."""
    return f"{c.name}_{f.name}"


def _arrow_type(f: Field) -> pa.DataType:
    if f.kind == "flag":
        return pa.int8()
    if f.kind == "category":
        return pa.int16() if f.size <= 2**15 else pa.int32()
    return pa.int32() if f.kind == "count" else pa.float32()


def arrow_schema(schema: Schema) -> pa.Schema:
    """The Arrow columns of a schema."""
    pairs = [(c, f, _arrow_type(f)) for c in schema.collections for f in c.fields]
    return pa.schema([(column_name(c, f), t if c.single else pa.list_(t)) for c, f, t in pairs])


def _regroup(batches: Iterable[Batch], schema: Schema, size: int) -> Iterator[Batch]:
    """The same events in batches of exactly `size`, the last one shorter."""
    held: list[Batch] = []
    n = 0
    for batch in batches:
        if batch.schema != schema:
            raise ValueError(f"expected batches of schema {schema.name} {schema.paths}, got {batch.schema.paths}")
        held.append(batch)
        n += len(batch)
        if n >= size:
            joined = Batch.cat(held)
            whole = n - n % size
            yield from (joined[i : i + size] for i in range(0, whole, size))
            held, n = [joined[whole:]], n - whole
    if n:
        yield Batch.cat(held)


def _to_table(batch: Batch, arrow: pa.Schema) -> pa.Table:
    columns = []
    for c in batch.schema.collections:
        r = batch.collections[c.name]
        values = r.values.detach().cpu().numpy()
        offsets = pa.array(r.offsets.cpu().numpy().astype(np.int32))
        for i, f in enumerate(c.fields):
            flat = _to_array(np.ascontiguousarray(values[:, i]), c, f)
            columns.append(flat if c.single else pa.ListArray.from_arrays(offsets, flat))
    return pa.Table.from_arrays(columns, schema=arrow)


def _to_array(x: np.ndarray[Any, np.dtype[Any]], c: Collection, f: Field) -> pa.Array:
    kind = _arrow_type(f)
    if kind == pa.float32():
        return pa.array(x)
    empty = np.isnan(x)
    whole = np.where(empty, 0, x)
    top = {"flag": 1, "category": f.size - 1}.get(f.kind, 2**31 - 129)  # the largest float32 an int32 holds
    wrong = (whole != np.rint(whole)) | (np.abs(whole) > top) | ((whole < 0) & (f.kind != "count"))
    if wrong.any():
        raise ValueError(f"{c.name}.{f.name}: a {f.kind} must be a whole number up to {top}, got {x[wrong][0]:g}")
    return pa.array(whole.astype(kind.to_pandas_dtype()), mask=empty)


def _open_writer(path: Path, arrow: pa.Schema, first: pa.Table) -> pq.ParquetWriter:
    """A writer whose encodings suit the first row group.

    Few different values (charges, labels, rounded numbers) go to a dictionary. Others have their bytes separated,
    since exponents repeat where mantissas do not: the file is a fifth smaller and no slower to read.
    """
    few: list[str] = []
    many: list[str] = []
    for name in arrow.names:
        column, kind = first.column(name), arrow.field(name).type
        nested = pa.types.is_list(kind)
        flat = (column.combine_chunks().flatten() if nested else column)[:20_000]
        leaf = f"{name}.list.element" if nested else name
        dense = len(flat) and len(flat.unique()) > len(flat) // 4
        (many if dense and pa.types.is_floating(kind.value_type if nested else kind) else few).append(leaf)
    return pq.ParquetWriter(
        path,
        arrow,
        compression="zstd",
        use_dictionary=few,
        use_byte_stream_split=many,
        write_page_checksum=True,
    )


def _from_table(table: pa.Table, schema: Schema) -> Batch:
    out = {}
    for c in schema.collections:
        offsets: np.ndarray[Any, np.dtype[Any]] | None = None
        values = np.empty((0, len(c.fields)), dtype=np.float32)
        for i, f in enumerate(c.fields):
            array = table.column(column_name(c, f)).combine_chunks()
            if not c.single:
                bounds = np.zeros(1, np.int64) if not len(array) else array.offsets.to_numpy().astype(np.int64)
                bounds = bounds - bounds[0]
                if offsets is not None and not np.array_equal(offsets, bounds):
                    raise ValueError(f"lists of {column_name(c, f)} and {column_name(c, c.fields[0])} differ in length")
                offsets, array = bounds, array.flatten()
            if i == 0:
                values = np.empty((len(array), len(c.fields)), dtype=np.float32)
            values[:, i] = array.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
        tensor = torch.from_numpy(values)
        out[c.name] = Ragged.single(tensor) if offsets is None else Ragged(tensor, torch.from_numpy(offsets))
    return Batch(schema, out)
