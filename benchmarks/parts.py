"""Results that a record keeps one by one, so that a long benchmark can be made in parts.

A result is kept as soon as it is there, with the command and the commit that made it. A run adds what is missing, as
long as the settings stay the same: the data, and the budget of each training.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from record import Record, command

__all__ = ["Parts", "again"]

Result = dict[str, Any]


def again(parser: argparse.ArgumentParser) -> None:
    """Add the option that makes kept results once more."""
    parser.add_argument("--anew", action="store_true", help="make again what the record has")


@dataclass
class Parts:
    """The results of a record.

    Args:
        record: Its options are those of `options_of` and `again`.
        settings: What results of one table share.
        keys: Names of the numbers that tell results apart.
        fill: Makes the record's tables from its results.
    """

    record: Record
    settings: dict[str, Any]
    keys: tuple[str, ...]
    fill: Callable[[list[Result]], None]
    results: list[Result] = field(init=False)

    def __post_init__(self) -> None:
        self.results, anew = [], self.record.options.anew
        path = self.record.path
        if path is None or not path.is_file():
            return
        old = json.loads(path.read_text(encoding="utf-8"))
        if old.get("settings") == self.settings:
            self.results = list(old["results"])
        elif not anew:
            sys.exit(f"{path}: holds results of {old.get('settings')}; use the same options, another --out, or --anew")

    def make(self, wanted: Iterable[tuple[Any, ...]], one: Callable[..., Result]) -> None:
        """Make what is missing, keep each at once, and record.

        Args:
            wanted: Values of the keys.
            one: Makes a result, given such values.
        """
        for key in wanted:
            done = [r for r in self.results if tuple(r[k] for k in self.keys) == key]
            if done and not self.record.options.anew:
                continue
            start = time.perf_counter()
            found = dict(zip(self.keys, key, strict=True)) | one(*key)
            found |= {"command": command(), "commit": self.record.environment["commit"]}
            found["took"] = round(time.perf_counter() - start, 1)
            self.results = [r for r in self.results if r not in done] + [found]
            print({n: v for n, v in found.items() if isinstance(v, float | int | str) and n != "command"}, flush=True)
            with redirect_stdout(io.StringIO()):
                self._save()
        self._save()

    def _save(self) -> None:
        notes = list(self.record.notes)
        self.fill(self.results)
        made = dict.fromkeys((r["command"], (r["commit"] or "unknown")[:12]) for r in self.results)
        if set(made) != {(command(), (self.record.environment["commit"] or "unknown")[:12])}:
            texts = "; ".join(f"`{text}` (commit {commit})" for text, commit in made)
            self.record.notes.append(f"Made in parts, {sum(r['took'] for r in self.results):,.0f} s in all: {texts}.")
        self.record.more |= {"settings": self.settings, "results": self.results}
        self.record.save()
        self.record.notes = notes
