"""The public data sets that `lpm fetch` knows: where they lie, under which licence, and the checksums of their files.

The entries are in `catalog.json` beside this file. Checksums are those published by the repositories; a file without
one there (`null`) is hashed after its first download and compared with that later.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

__all__ = ["CATALOG", "DataSet", "RemoteFile", "load_catalog"]


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to download.

    Args:
        name: Its name.
        urls: Where it lies, in order of preference.
        checksum: `md5:…` or `sha256:…`, or None if none is published.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A public data set.

    Args:
        name: What `lpm fetch` calls it.
        title: What its authors call it.
        text: What it holds, in a line.
        licence: SPDX name of the licence.
        doi: To cite and to look up.
        paper: Where it is described.
        files: Its files.
    """

    name: str
    title: str
    text: str
    licence: str
    doi: str
    paper: str
    files: tuple[RemoteFile, ...]


def load_catalog(text: str) -> tuple[DataSet, ...]:
    """Data sets from JSON: a list of objects like `DataSet`, with `mirrors` (folders) and `files` (name: checksum).

    Raises:
        ValueError: If the text is not such JSON.

    Example:
        >>> entry = '{"name": "x", "title": "X", "text": "", "licence": "CC0-1.0", "doi": "", "paper": ""'
        >>> made, = load_catalog(f'[{entry}, "mirrors": ["http://a/"], "files": {{"b.h5": null}}}}]')
        >>> made.files[0].urls
        ('http://a/b.h5',)
    """
    try:
        return tuple(
            DataSet(
                name=e["name"], title=e["title"], text=e["text"], licence=e["licence"], doi=e["doi"], paper=e["paper"],
                files=tuple(
                    RemoteFile(name=name, urls=tuple(mirror + name for mirror in e["mirrors"]), checksum=checksum)
                    for name, checksum in e["files"].items()
                ),
            )
            for e in json.loads(text)
        )  # fmt: skip
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a catalogue: {error!r}; expected a list of data sets as in catalog.json") from error


CATALOG = load_catalog(resources.files("lpm.data").joinpath("catalog.json").read_text("utf-8"))
"""The data sets known."""
