"""Frozen dataclasses to JSON and back, strictly.

Every dataclass is written with its class name under `kind`, and read back by following the type annotations: where an
annotation allows several dataclasses, `kind` decides. Unknown keys, missing keys and wrong types are errors that name
the place, so a checkpoint made by another version is refused rather than half read.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin

__all__ = ["from_dict", "set_path", "to_dict"]

T = TypeVar("T")


def to_dict(value: Any) -> Any:
    """JSON-ready form of a dataclass, tuple, mapping or plain value.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Point:
        ...     x: float
        >>> to_dict(Point(1.0))
        {'kind': 'Point', 'x': 1.0}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_dict(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {k: to_dict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_dict(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"cannot write {type(value).__name__} as JSON; configurations hold plain values and dataclasses")


def from_dict(kind: Any, data: Any, where: str = "config") -> Any:
    """Inverse of `to_dict` for the annotated type `kind`.

    Args:
        kind: A dataclass, a union of dataclasses, or a built-in annotation such as `tuple[int, ...]`.
        data: What `json.loads` gave.
        where: Place named in error messages.

    Raises:
        ValueError: If keys are unknown or missing, or a value has the wrong type.
    """
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return data
    if origin in (typing.Union, types.UnionType):
        return _union(args, data, where)
    if origin is typing.Literal:
        if data not in args:
            raise ValueError(f"{where}: expected one of {', '.join(map(str, args))}, got {data!r}")
        return data
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise ValueError(f"{where}: expected a list, got {data!r}")
        kinds = [args[0]] * len(data) if len(args) == 2 and args[1] is Ellipsis else list(args)
        if len(kinds) != len(data):
            raise ValueError(f"{where}: expected {len(kinds)} entries, got {len(data)}")
        return tuple(from_dict(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, data, strict=True)))
    if origin in (dict, Mapping):
        if not isinstance(data, Mapping):
            raise ValueError(f"{where}: expected an object, got {data!r}")
        return {k: from_dict(args[1], v, f"{where}.{k}") for k, v in data.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind, data, where)
    return _plain(kind, data, where)


def set_path(config: T, path: str, text: str) -> T:
    """The same configuration with the field at `a.b.c` set from its JSON text, as in `--set train.steps=100`.

    Raises:
        ValueError: If there is no such field or the text does not fit its type.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Point:
        ...     x: float
        >>> set_path(Point(1.0), "x", "2")
        Point(x=2)
    """
    import json

    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text  # a bare word: --set name=run1
    data = to_dict(config)
    place = data
    *parents, last = path.split(".")
    for key in parents:
        place = place.get(key) if isinstance(place, dict) else None
    if not isinstance(place, dict) or last not in place:
        names = ", ".join(k for k in (place if isinstance(place, dict) else data) if k != "kind")
        raise ValueError(f"--set {path}: no such field; there are: {names}")
    place[last] = value
    return typing.cast(T, from_dict(type(config), data))


def _plain(kind: Any, data: Any, where: str) -> Any:
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return data
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise ValueError(f"{where}: expected {kind.__name__}, got {data!r}")
    return data


def _union(args: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None and type(None) in args:
        return None
    if isinstance(data, Mapping) and "kind" in data:
        for kind in args:
            if getattr(kind, "__name__", "") == data["kind"]:
                return from_dict(kind, data, where)
        names = ", ".join(getattr(k, "__name__", str(k)) for k in args if dataclasses.is_dataclass(k))
        raise ValueError(f"{where}: unknown kind {data['kind']!r}; expected one of {names}")
    errors = []
    for kind in args:
        try:
            return from_dict(kind, data, where)
        except ValueError as error:
            errors.append(str(error))
    raise ValueError(errors[0])


def _dataclass(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise ValueError(f"{where}: expected an object for {kind.__name__}, got {data!r}")
    if data.get("kind", kind.__name__) != kind.__name__:
        raise ValueError(f"{where}: expected {kind.__name__}, got {data['kind']!r}")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = [k for k in data if k not in fields and k != "kind"]
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; {kind.__name__} has {', '.join(fields)}")
    missing = dataclasses.MISSING
    absent = [n for n, f in fields.items() if n not in data and f.default is missing and f.default_factory is missing]
    if absent:
        raise ValueError(f"{where}: missing key {absent[0]!r} of {kind.__name__}")
    return kind(**{n: from_dict(hints[n], data[n], f"{where}.{n}") for n in fields if n in data})
