"""The door to ROOT: trees and RNTuples as flat numpy columns, and a writer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import torch
import uproot
from numpy.typing import NDArray
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.io.base import REMEDY, OnBad, Reader, reason
from lpm.data.schema import Schema
from lpm.records.files import atomic_file

__all__ = ["SCHEMA_KEY", "JetsOfCollisionsReader", "RootReader", "branches_of", "is_integer", "tree_of", "write_root"]

SCHEMA_KEY = "lpm_schema"
"""Name under which the schema lies beside a tree that lpm wrote."""

Column = tuple[Tensor, Tensor | None]
"""Numbers (N,) as float64, and how many (B,) belong to each entry; None where it is one an entry."""


class RootReader(Reader):
    """A tree or RNTuple of one ROOT file.

    A subclass names the branches by which it knows its files (`signature`), the usual tree (`usual_tree`), and builds
    a batch from the columns of a range of entries.
    """

    usual_tree: str
    several = True
    signature: frozenset[str]

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        found = _trees(self.path)
        name = tree or self.usual_tree
        if name not in found:
            raise ValueError(f"{self.path}: no tree {name!r}; there are: {', '.join(found) or 'none'}")
        self._tree, self.branches = found[name]
        if missing := self.signature - self.branches:
            raise ValueError(f"{self.path}: tree {name} lacks the branches {', '.join(sorted(missing))}")

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """A ROOT file whose usual tree has the branches of the signature."""
        return is_root(path) and cls.signature <= branches_of(path).get(cls.usual_tree, frozenset())

    @property
    def entries(self) -> int:
        """Number of entries of the tree."""
        return int(self._tree.num_entries)

    def __len__(self) -> int:
        return self.entries

    @abstractmethod
    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""

    def columns(self, names: Iterable[str], start: int, stop: int) -> dict[str, Column]:
        """Branches of entries start ≤ i < stop.

        Raises:
            ValueError: If a branch is missing.
        """
        names = list(dict.fromkeys(names))
        if missing := [n for n in names if n not in self.branches]:
            raise ValueError(
                f"{self.path}: missing branches {', '.join(missing)}; is it a file of format {self.format}?"
            )
        arrays = self._tree.arrays(names, entry_start=start, entry_stop=stop)
        return {n: flat(arrays[n]) for n in names}


class JetsOfCollisionsReader(RootReader):
    """A tree of collisions read jet by jet: one jet is one event.

    A subclass sets `first` to the (entries + 1,) number of the first jet of each collision, and reads whole collisions.
    """

    first: Tensor

    @abstractmethod
    def collisions(self, start: int, stop: int, schema: Schema) -> Batch:
        """All jets of a range of collisions."""

    def __len__(self) -> int:
        return int(self.first[-1])

    @property
    def groups(self) -> list[tuple[int, int]]:
        """The jets of a thousand collisions each: in a collision there are thousands of candidates."""
        bounds = [*self.first[:-1:1000].tolist(), len(self)]
        return [(a, b) for a, b in pairwise(bounds) if a < b]

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        a = max(int(torch.searchsorted(self.first, start, right=True)) - 1, 0)
        b = max(int(torch.searchsorted(self.first, stop)), a)
        skip = start - int(self.first[a])
        return self.collisions(a, b, schema)[skip : skip + stop - start]


def first_jets(lengths: Tensor) -> Tensor:
    """(entries + 1,) number of the first jet of each collision, from the jets in each."""
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def flat(array: ak.Array) -> Column:
    """Flat numbers and their count in each entry, from an awkward array of one or two dimensions."""
    if array.ndim == 1:
        return _tensor(array), None
    layout = array.layout
    if isinstance(layout, ak.contents.ListOffsetArray) and isinstance(layout.content, ak.contents.NumpyArray):
        # The usual case without awkward's general machinery, which takes longer than the reading.
        bounds = np.asarray(layout.offsets.data).astype(np.int64)
        values = np.asarray(layout.content.data)[bounds[0] : bounds[-1]]
        return torch.from_numpy(values.astype(np.float64)), torch.from_numpy(np.diff(bounds))
    return _tensor(ak.flatten(array)), torch.from_numpy(ak.to_numpy(ak.num(array)).astype(np.int64))


def _tensor(array: ak.Array) -> Tensor:
    return torch.from_numpy(ak.to_numpy(array).astype(np.float64))


def is_root(path: Path) -> bool:
    """Whether a file begins as ROOT files do."""
    with path.open("rb") as f:
        return f.read(4) == b"root"


def branches_of(path: Path) -> dict[str, frozenset[str]]:
    """The trees and RNTuples of a ROOT file (not in folders) with the names of their branches.

    Raises:
        ValueError: If the file is damaged or cut short.
    """
    return {name: branches for name, (_, branches) in _trees(path).items()}


def tree_of(path: Path, name: str) -> Any:
    """One tree of a file, as uproot has it."""
    return _trees(path)[name][0]


def _trees(path: Path) -> dict[str, tuple[Any, frozenset[str]]]:
    """The trees of a file, ready to be read, and the names of their branches."""
    stat = path.stat()
    return _trees_of(path, stat.st_mtime_ns, stat.st_size)


# Taking in the description of a tree of thousands of branches takes seconds, and several readers look at each file
# before one takes it. A file that has changed since is another entry.
@lru_cache(maxsize=4)
def _trees_of(path: Path, mtime: int, size: int) -> dict[str, tuple[Any, frozenset[str]]]:
    _require_whole(path, size)
    try:
        file = uproot.open(path)
        kinds = file.classnames(cycle=False, recursive=False)
        trees = {name: file[name] for name, kind in kinds.items() if kind == "TTree" or "RNTuple" in kind}
        return {name: (tree, frozenset(tree.keys(full_paths=False))) for name, tree in trees.items()}
    except Exception as error:
        raise ValueError(f"{path}: unreadable ROOT file: {reason(error)}; {REMEDY}") from error


def _require_whole(path: Path, size: int) -> None:
    """Compare the length a ROOT file claims in its header (bytes 4–20) with the one it has."""
    with path.open("rb") as f:
        head = f.read(32)
    version = int.from_bytes(head[4:8], "big")
    end = int.from_bytes(head[12:20] if version >= 1_000_000 else head[12:16], "big")
    if size < end:
        raise ValueError(f"{path}: cut short: {size} of {end} bytes; {REMEDY}")


def write_root(path: str | Path, batches: Iterable[Batch], *, schema: Schema, tree: str = "events") -> int:
    """Write events as a ROOT tree, one branch `collection_field` a field. Only a whole file appears under `path`.

    The branches of a ragged collection share one counter, `nparticle`, as in the files of the experiments. Counts,
    flags and categories become 32-bit integers, with -1 where the batch holds NaN.

    Args:
        path: The file to write or replace.
        batches: Batches of that schema.
        schema: The schema; its JSON lies beside the tree under the key `lpm_schema`.
        tree: Name of the tree.

    Returns:
        Number of events written.

    Raises:
        ValueError: If a batch has another schema or the file cannot be written.
    """
    count = 0
    with atomic_file(path) as part, uproot.recreate(part) as file:
        file[SCHEMA_KEY] = schema.to_json()
        made = file.mktree(tree, _branch_types(schema))
        for batch in batches:
            if batch.schema != schema:
                raise ValueError(f"expected batches of schema {schema.name} {schema.paths}, got {batch.schema.paths}")
            if len(batch):
                made.extend(_branch_arrays(batch))
                count += len(batch)
    return count


def _branch_types(schema: Schema) -> dict[str, str]:
    out: dict[str, str] = {}
    for c in schema.collections:
        kinds = {f.name: "int32" if is_integer(f.kind) else "float32" for f in c.fields}
        if c.single:
            out |= {f"{c.name}_{name}": kind for name, kind in kinds.items()}
        else:
            out[c.name] = "var * {" + ", ".join(f'"{name}": {kind}' for name, kind in kinds.items()) + "}"
    return out


def _branch_arrays(batch: Batch) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for c in batch.schema.collections:
        r = batch.collections[c.name]
        values: NDArray[np.float32] = r.values.detach().cpu().numpy()
        columns: dict[str, NDArray[Any]] = {}
        for i, f in enumerate(c.fields):
            x: NDArray[Any] = values[:, i]
            columns[f.name] = np.where(np.isnan(x), -1, x).astype(np.int32) if is_integer(f.kind) else x
        if c.single:
            out |= {f"{c.name}_{name}": x for name, x in columns.items()}
        else:
            out[c.name] = ak.unflatten(ak.zip(columns), r.lengths.cpu().numpy())
    return out


def is_integer(kind: str) -> bool:
    """Whether a field of that kind is an integer branch of the trees that lpm writes."""
    return kind not in ("real", "angle")


def pick(columns: Mapping[str, Column], name: str) -> Tensor:
    """The numbers of one column."""
    return columns[name][0]


def counts(columns: Mapping[str, Column], names: Sequence[str], path: Path) -> Tensor:
    """The (B,) lengths shared by ragged columns.

    Raises:
        ValueError: If they differ or one of the columns is flat.
    """
    first: Tensor | None = None
    for name in names:
        lengths = columns[name][1]
        if lengths is None:
            raise ValueError(f"{path}: branch {name} holds one number an entry, expected a list")
        if first is not None and not torch.equal(first, lengths):
            raise ValueError(f"{path}: branches {names[0]} and {name} differ in length; {REMEDY}")
        first = lengths
    assert first is not None
    return first
