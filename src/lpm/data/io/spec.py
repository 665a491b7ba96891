"""Is this file a shard as docs/data-format.md specifies it?"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lpm.data.io.parquet import arrow_schema, column_name, open_parquet
from lpm.data.schema import FORMAT_VERSION, Collection, Field, Schema

__all__ = ["check_shard"]

_LARGEST_GROUP = 200_000


def check_shard(path: str | Path) -> list[str]:
    """Everything in which a Parquet file departs from the specification, one line each.

    Args:
        path: A Parquet file.

    Returns:
        The problems; empty for a good shard.

    Raises:
        ValueError: If it is no Parquet file or cannot be read.
    """
    with open_parquet(Path(path)) as file:
        meta = file.metadata.metadata or {}
        if b"lpm.schema" not in meta:
            return ["metadata: no key lpm.schema"]
        try:
            schema = Schema.from_json(meta[b"lpm.schema"].decode())
        except (ValueError, UnicodeDecodeError) as error:
            return [f"metadata: lpm.schema: {error}"]
        problems = [*_check_metadata(meta), *_check_columns(file.schema_arrow, schema)]
        if not problems:
            for i in range(file.metadata.num_row_groups):
                problems += [f"row group {i}: {p}" for p in _check_group(file.read_row_group(i), schema)]
    return problems


def _check_metadata(meta: dict[bytes, bytes]) -> list[str]:
    problems = []
    version = meta.get(b"lpm.format", b"").decode(errors="replace")
    if version != str(FORMAT_VERSION):
        problems.append(f"metadata: lpm.format is {version or 'missing'}, expected {FORMAT_VERSION}")
    try:
        origin: Any = json.loads(meta.get(b"lpm.provenance", b""))
        if not isinstance(origin, dict):
            problems.append("metadata: lpm.provenance is no JSON object")
    except json.JSONDecodeError:
        problems.append("metadata: lpm.provenance is missing or no JSON")
    return problems


def _check_columns(have: pa.Schema, schema: Schema) -> list[str]:
    want = arrow_schema(schema)
    problems = [f"column {n}: missing" for n in want.names if n not in have.names]
    problems += [f"column {n}: not in the schema" for n in have.names if n not in want.names]
    for n in want.names:
        if n in have.names and not _same(have.field(n).type, want.field(n).type):
            problems.append(f"column {n}: type {have.field(n).type}, expected {want.field(n).type}")
    return problems


def _same(a: pa.DataType, b: pa.DataType) -> bool:
    if pa.types.is_list(b):
        return bool((pa.types.is_list(a) or pa.types.is_large_list(a)) and a.value_type == b.value_type)
    return bool(a == b)


def _check_group(table: pa.Table, schema: Schema) -> list[str]:
    problems = []
    if len(table) > _LARGEST_GROUP:
        problems.append(f"{len(table)} events, expected at most {_LARGEST_GROUP}")
    for c in schema.collections:
        lengths = []
        for f in c.fields:
            array = table.column(column_name(c, f)).combine_chunks()
            if not c.single:
                if array.null_count:
                    problems.append(f"{column_name(c, f)}: {array.null_count} lists are null, expected empty lists")
                lengths.append(np.diff(array.offsets.to_numpy()))
                array = array.flatten()
            problems += _check_values(array, c, f)
        if any(not np.array_equal(a, b) for a, b in pairwise(lengths)):
            problems.append(f"{c.name}: lists of its columns differ in length")
    return problems


def _check_values(array: pa.Array, c: Collection, f: Field) -> list[str]:
    if f.kind not in ("category", "flag") or len(array) == array.null_count:
        return []
    top = f.size - 1 if f.kind == "category" else 1
    found = pc.min_max(array)
    if found["min"].as_py() < 0 or found["max"].as_py() > top:
        return [f"{column_name(c, f)}: values outside 0 to {top}"]
    return []
