"""A description of a sample in Croissant, the format by which data sets for machine learning are found and loaded.

Croissant 1.0 (MLCommons, arXiv 2403.19546) is JSON-LD over schema.org: files with their checksums, and for each record
its fields with a type and a place in a file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lpm.data.io.parquet import column_name
from lpm.data.schema import Field, Schema
from lpm.records.files import atomic_file
from lpm.records.hashing import hash_file

__all__ = ["describe_sample", "write_croissant"]

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "includes": "cr:includes",
    "key": "cr:key",
    "recordSet": "cr:recordSet",
    "repeated": "cr:repeated",
    "sc": "https://schema.org/",
    "source": "cr:source",
}

MEDIA = {
    ".parquet": "application/vnd.apache.parquet",
    ".h5": "application/x-hdf5",
    ".csv": "text/csv",
}
"""Types of the files that can be described."""


def describe_sample(
    files: Sequence[Path], schema: Schema, *, name: str, text: str, licence: str = "Apache-2.0", version: str = "1.0.0"
) -> dict[str, Any]:
    """The description as plain JSON.

    Args:
        files: Files of one sample: Parquet shards, whose columns become records, and the same as HDF5 or CSV.
        schema: What they hold.
        name: Of the sample.
        text: What it is, in a sentence or two.
        licence: SPDX name.
        version: Of the sample.

    Raises:
        ValueError: If there is no file, or one is of a kind that cannot be described.
    """
    if not files:
        raise ValueError("no file to describe; name the files of the sample")
    for path in files:
        if path.suffix not in MEDIA:
            raise ValueError(f"{path}: expected a file ending in {', '.join(MEDIA)}")
    shards = [p for p in files if p.suffix == ".parquet"]
    objects: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject",
            "@id": path.name,
            "name": path.name,
            "contentUrl": path.name,
            "encodingFormat": MEDIA[path.suffix],
            "contentSize": f"{path.stat().st_size} B",
            "sha256": hash_file(path),
        }
        for path in files
    ]
    described: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": text,
        "license": f"https://spdx.org/licenses/{licence}.html",
        "version": version,
        "distribution": objects,
    }
    if shards:
        objects.append({
            "@type": "cr:FileSet",
            "@id": "shards",
            "name": "shards",
            "encodingFormat": MEDIA[".parquet"],
            "includes": "*.parquet",
        })  # fmt: skip
        fields = [_field(c.single, column_name(c, f), f) for c in schema.collections for f in c.fields]
        described["recordSet"] = [{"@type": "cr:RecordSet", "@id": "events", "name": "events", "field": fields}]
    return described


def write_croissant(
    out: str | Path, files: Sequence[Path], schema: Schema, *, name: str, text: str, licence: str = "Apache-2.0"
) -> None:
    """Write the description of a sample, as `describe_sample` makes it.

    Raises:
        ValueError: As `describe_sample`, or if the file cannot be written.
    """
    found = describe_sample(files, schema, name=name, text=text, licence=licence)
    with atomic_file(out) as part:
        part.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _field(single: bool, column: str, field: Field) -> dict[str, Any]:
    what = [field.text] if field.text else []
    if field.unit != "1":
        what.append(f"unit {field.unit}")
    if field.labels:
        what.append("categories " + ", ".join(f"{i} {label}" for i, label in enumerate(field.labels)))
    if field.truth:
        what.append("known in simulation only")
    return {
        "@type": "cr:Field",
        "@id": f"events/{column}",
        "name": column,
        "description": "; ".join(what),
        "dataType": "sc:Integer" if field.kind in ("count", "flag", "category") else "sc:Float",
        "repeated": not single,
        "source": {"fileSet": {"@id": "shards"}, "extract": {"column": column}},
    }
