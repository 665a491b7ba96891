"""The door to file formats: a reader for each, chosen by content, and writers that never leave half a file behind."""

from lpm.data.io.base import OnBad, Reader
from lpm.data.io.files import find_files
from lpm.data.io.formats import FORMATS, READERS, open_file
from lpm.data.io.parquet import ShardReader, read_schema, write_batches

__all__ = [
    "FORMATS",
    "READERS",
    "OnBad",
    "Reader",
    "ShardReader",
    "find_files",
    "open_file",
    "read_schema",
    "write_batches",
]
