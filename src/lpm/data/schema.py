"""What the numbers mean: collections of fields, each with a name, a unit, a kind and whether it is truth.

A `Schema` holds no numbers. It travels with every `Batch`, lies in the metadata of every shard and beside every
checkpoint, and two of them can be compared: that is how a model refuses data it was not made for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

__all__ = ["FORMAT_VERSION", "Collection", "Field", "Kind", "Schema", "Unit"]

Unit = Literal["GeV", "mm", "ns", "rad", "e", "1"]
Kind = Literal["real", "angle", "count", "flag", "category"]

FORMAT_VERSION = 1
"""Version of the JSON form of a schema and of the shard format that carries it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One number of each row of a collection.

    Args:
        name: Name as in the PDG where there is one: `pt`, `eta`, `phi`, `mass`, `energy`, `charge`.
        unit: One of GeV, mm, ns, rad, e (elementary charge) or 1.
        kind: `real`, `angle` (radians, periodic), `count`, `flag` (0 or 1) or `category` (index into `labels`).
        labels: Names of the categories, for `kind="category"` only.
        truth: Known only in simulation. Tokenizers refuse such fields, heads may answer them.
        low: Smallest valid value, or None if there is no bound. Used to report values out of range.
        high: Largest valid value, or None.
        text: What it is, in a few words.

    Raises:
        ValueError: If the unit or kind is unknown, the name is no identifier, or labels and kind disagree.

    Example:
        >>> Field(name="label", kind="category", labels=("QCD", "top"), truth=True).size
        2
    """

    name: str
    unit: Unit = "1"
    kind: Kind = "real"
    labels: tuple[str, ...] = ()
    truth: bool = False
    low: float | None = None
    high: float | None = None
    text: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"field name {self.name!r}: expected letters, digits and underscores, e.g. 'd0_err'")
        if self.unit not in get_args(Unit):
            raise ValueError(f"field {self.name}: unit {self.unit!r} is not one of {', '.join(get_args(Unit))}")
        if self.kind not in get_args(Kind):
            raise ValueError(f"field {self.name}: kind {self.kind!r} is not one of {', '.join(get_args(Kind))}")
        if (self.kind == "category") != bool(self.labels):
            raise ValueError(f"field {self.name}: labels belong to kind 'category' and only to it; kind is {self.kind}")

    @property
    def size(self) -> int:
        """Number of categories; 0 for all other kinds."""
        return len(self.labels)


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """A ragged list of rows in each event: the particles of a jet, the hits of a tracker.

    Args:
        name: Singular noun: `particle`, `jet`, `hit`, `cell`, `pulse`.
        fields: The columns, in the order in which a `Batch` stores them.
        single: Each event has exactly one row of it (`jet`, `event`).

    Raises:
        ValueError: If the name is no identifier or holds an underscore, or two fields share a name.
    """

    name: str
    fields: tuple[Field, ...]
    single: bool = False

    def __post_init__(self) -> None:
        # A shard column is called `collection_field`, so the first underscore must end the collection's name.
        if not self.name.isidentifier() or "_" in self.name:
            raise ValueError(f"collection name {self.name!r}: expected one word without underscore, e.g. 'particle'")
        if len(set(self.names)) != len(self.fields):
            raise ValueError(f"collection {self.name}: two fields share a name in {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Field names in order."""
        return tuple(f.name for f in self.fields)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Field:
        return self.fields[self.index(name)]

    def index(self, name: str) -> int:
        """Column of the field `name`.

        Raises:
            ValueError: If there is no such field; the message lists those that exist.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise ValueError(f"no field {self.name}.{name}; there are: {', '.join(self.names)}") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """The collections of a kind of event.

    Args:
        name: What one event is: `jets`, `collisions`, `showers`.
        collections: At least one.

    Raises:
        ValueError: If there is no collection or two share a name.

    Example:
        >>> s = Schema(name="jets", collections=(Collection(name="particle", fields=(Field(name="pt", unit="GeV"),)),))
        >>> Schema.from_json(s.to_json()) == s
        True
        >>> s.field("particle.pt").unit
        'GeV'
    """

    name: str
    collections: tuple[Collection, ...]

    def __post_init__(self) -> None:
        if not self.collections or len(set(self.names)) != len(self.collections):
            raise ValueError(f"schema {self.name}: expected collections of different names, got {list(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Collection names in order."""
        return tuple(c.name for c in self.collections)

    @property
    def paths(self) -> tuple[str, ...]:
        """All fields as `collection.field`, in order."""
        return tuple(f"{c.name}.{f.name}" for c in self.collections for f in c.fields)

    def __contains__(self, path: str) -> bool:
        return path in self.names or path in self.paths

    def __getitem__(self, name: str) -> Collection:
        for c in self.collections:
            if c.name == name:
                return c
        raise ValueError(f"no collection {name!r} in schema {self.name}; there are: {', '.join(self.names)}")

    def field(self, path: str) -> Field:
        """The field at `collection.field`.

        Raises:
            ValueError: If the path is malformed or nothing lies there.
        """
        name, dot, field = path.partition(".")
        if not dot:
            raise ValueError(f"expected a path 'collection.field', got {path!r}")
        return self[name][field]

    def select(self, paths: Sequence[str]) -> Schema:
        """Only the given fields (`"particle.pt"`) and whole collections (`"jet"`), in the order of this schema.

        Raises:
            ValueError: If there is no such field or collection.
        """
        for p in paths:
            if p not in self:
                self.field(p)
        kept = {c: [f for f in c.fields if c.name in paths or f"{c.name}.{f.name}" in paths] for c in self.collections}
        made = tuple(Collection(name=c.name, fields=tuple(f), single=c.single) for c, f in kept.items() if f)
        return Schema(name=self.name, collections=made)

    def replace(self, collection: Collection) -> Schema:
        """The same schema with one collection added, or exchanged for the one of the same name."""
        if collection.name not in self.names:
            return Schema(name=self.name, collections=(*self.collections, collection))
        kept = tuple(collection if c.name == collection.name else c for c in self.collections)
        return Schema(name=self.name, collections=kept)

    def to_json(self) -> str:
        """JSON form, stable under round trips; absent bounds and empty labels are left out."""
        return json.dumps({"format": FORMAT_VERSION, **_lean(asdict(self))}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Read what `to_json` wrote.

        Raises:
            ValueError: If the text is not such JSON, or was written by a later version.
        """
        try:
            raw = json.loads(text)
            if raw["format"] > FORMAT_VERSION:
                raise ValueError(f"schema format {raw['format']} is newer than {FORMAT_VERSION}: update lpm")
            collections = tuple(
                Collection(
                    name=c["name"],
                    single=c.get("single", False),
                    fields=tuple(Field(**{**f, "labels": tuple(f.get("labels", ()))}) for f in c["fields"]),
                )
                for c in raw["collections"]
            )
            name = raw["name"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"not a schema: {error!r}; expected the JSON that Schema.to_json writes") from error
        return cls(name=name, collections=collections)


def _lean(value: Any) -> Any:
    """Drop None, False and empty entries of nested dictionaries."""
    if isinstance(value, dict):
        return {k: _lean(v) for k, v in value.items() if v is not None and v is not False and v not in ("", ())}
    if isinstance(value, list | tuple):
        return [_lean(v) for v in value]
    return value
