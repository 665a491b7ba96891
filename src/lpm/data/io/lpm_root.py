"""ROOT trees that lpm wrote, read back with the schema that lies beside them."""

from __future__ import annotations

from pathlib import Path

import torch
import uproot
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.io.base import OnBad
from lpm.data.io.root import SCHEMA_KEY, RootReader, counts, is_integer, is_root, pick
from lpm.data.schema import Collection, Schema

__all__ = ["TreeReader"]


class TreeReader(RootReader):
    """Trees as `lpm.data.io.root.write_root` writes them: branches `collection_field`, -1 for what is not known."""

    format = "lpm-root"
    usual_tree = "events"
    signature = frozenset()

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        with uproot.open(self.path) as file:
            self.schema = Schema.from_json(str(file[SCHEMA_KEY]))

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """A ROOT file with a schema of lpm."""
        if not is_root(path):
            return False
        with uproot.open(path) as file:
            return SCHEMA_KEY in file.keys(cycle=False, recursive=False)

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        return Batch(schema, {c.name: self._rows(c, start, stop) for c in schema.collections})

    def _rows(self, c: Collection, start: int, stop: int) -> Ragged:
        names = [f"{c.name}_{f.name}" for f in c.fields]
        columns = self.columns(names, start, stop)
        found = [_known(pick(columns, n), is_integer(f.kind)) for n, f in zip(names, c.fields, strict=True)]
        values = torch.stack(found, 1)
        return Ragged.single(values) if c.single else Ragged.from_lengths(values, counts(columns, names, self.path))


def _known(values: Tensor, integer: bool) -> Tensor:
    """As numbers of a batch: what is not known is NaN, which integers do not have."""
    return (torch.where(values == -1, torch.nan, values) if integer else values).float()
