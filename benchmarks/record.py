"""What all benchmarks share: options, the JSON record of a result, and its tables in Markdown.

A record says by which command, seeds, data, machine and commit a number was made; `run.py` writes the page of results
from these records and from nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lpm.data.batch import Batch
from lpm.data.io import open_file
from lpm.data.io.files import find_files
from lpm.data.samples import locate
from lpm.metrics.estimate import Estimate, interval
from lpm.model.checkpoint import resolve
from lpm.records.environment import environment
from lpm.records.files import atomic_file
from lpm.records.hashing import hash_file
from lpm.records.run import read

RESULTS = Path(__file__).with_name("results")
KINEMATICS = ("particle.pt", "particle.deta", "particle.dphi")

Cell = Estimate | str


def hash_files(files: Sequence[Path]) -> str:
    """SHA-256 of a file; of several that of theirs, one behind the other."""
    hashes = [hash_file(file) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


@dataclass(frozen=True)
class Table:
    """Title, head and rows; a cell is text or a value with its interval."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]

    def markdown(self) -> str:
        """The table as text."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        return "\n".join([f"**{self.title}**", "", *("| " + " | ".join(map(str, row)) + " |" for row in lines)])

    def to_json(self) -> dict[str, Any]:
        """Estimates as `{"value", "low", "high"}`."""
        rows = [[c.to_json() if isinstance(c, Estimate) else c for c in row] for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Table:
        """Inverse of `to_json`."""
        rows = [tuple(Estimate.from_json(c) if isinstance(c, dict) else c for c in row) for row in raw["rows"]]
        return cls(raw["title"], tuple(raw["columns"]), rows)


@dataclass
class Record:
    """One benchmark: notes of what was done, tables, and further numbers such as curves.

    Args:
        options: Parsed command line, of `options_of`.
        claim: What the numbers are evidence for, one sentence.
    """

    options: argparse.Namespace
    claim: str
    data: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    # At the start: the sources may go on changing while a benchmark runs.
    environment: dict[str, Any] = field(default_factory=environment)
    start: float = field(default_factory=time.perf_counter)

    def read(
        self, path: str | Path, paths: Sequence[str] = (*KINEMATICS, "jet.label"), most: int = 0, of: str = "particle"
    ) -> Batch:
        """Jets of a file or folder (all of them, or the first of each file), noted among the data.

        Jets without a particle are left out; or events of another kind, without a row of the collection `of`.
        """
        parts, files = [], find_files(locate(path))
        for file in files:
            with open_file(file) as reader:
                kept = [p for p in paths if p in reader.schema]
                count = min(len(reader), most or len(reader))
                parts += [b.select(kept) for b in reader.batches(0, count)]
        batch = Batch.cat(parts)
        batch = batch[batch.collections[of].lengths > 0]
        kind = {} if of == "particle" else {"events": "events"}
        self.data.append({"name": short(path), "sha256": hash_files(files), "jets": len(batch), **kind})
        return batch

    def drawn(self, batch: Batch, what: str = "") -> Batch:
        """Jets that were drawn at random, noted among the data."""
        whole = hashlib.sha256(batch.collections["particle"].values.numpy().tobytes()).hexdigest()
        name = f"drawn jets, {what}" if what else "drawn jets"
        self.data.append({"name": name, "sha256": whole, "jets": len(batch)})
        return batch

    @property
    def path(self) -> Path | None:
        """Where it is kept; None for a trial."""
        folder = self.options.out or (None if self.options.quick else RESULTS)
        return folder / f"{Path(sys.argv[0]).stem}.json" if folder else None

    def save(self) -> None:
        """Print the tables; write the record unless this was only a trial."""
        print("\n\n".join([*(t.markdown() for t in self.tables), *self.notes]))
        if self.path is None:
            return
        content = {
            "name": self.path.stem, "claim": self.claim, "command": command(), "quick": self.options.quick,
            "date": datetime.now(UTC).date().isoformat(), "seconds": round(time.perf_counter() - self.start, 1),
            "seeds": list(range(getattr(self.options, "seeds", 1))), "data": self.data, "notes": self.notes,
            "tables": [t.to_json() for t in self.tables], **self.more, **self.environment,
        }  # fmt: skip
        with atomic_file(self.path) as path:
            path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def options_of(text: str, seeds: int = 0) -> argparse.ArgumentParser:
    """A parser with what every benchmark knows; `--seeds` only for those that repeat, so many times by default."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    if seeds:
        parser.add_argument("--seeds", type=int, default=seeds, help="repetitions, with the seeds 0, 1, …")
    parser.add_argument("--quick", action="store_true", help="tiny trial; its record is kept only where --out says")
    parser.add_argument("--out", type=Path, help="folder of the record; benchmarks/results if absent")
    return parser


def command() -> str:
    """The command line, with absolute paths cut to the last name and without `--out`: they say nothing to others."""
    given = [w for i, w in enumerate(sys.argv[1:]) if "--out" not in (w, sys.argv[i])]
    words = [short(w) if Path(w).is_absolute() else w for w in given]
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def short(path: str | Path) -> str:
    """Last name of a path; names of samples and of shipped models as they are."""
    return Path(path).name


def mean(values: Sequence[float]) -> Estimate:
    """Mean with its standard error."""
    x = np.asarray(values, dtype=np.float64)
    error = x.std(ddof=1) / len(x) ** 0.5 if len(x) > 1 else float("nan")
    return Estimate.symmetric(float(x.mean()), float(error))


def over_seeds(results: Sequence[dict[str, Any]], name: str) -> Cell:
    """Mean with its error over the results that have a number; a single one as it is, for its error is not known."""
    values = [r[name] for r in results if r[name] is not None]
    return mean(values) if len(values) > 1 else f"{values[0]:.4g}" if values else "—"


def median(values: Sequence[float]) -> Estimate:
    """Median with the interval of its bootstrap."""
    x = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(0).integers(0, len(x), (1000, len(x)))
    return interval(float(np.median(x)), np.median(x[drawn], axis=1))


def trained_on(run: str) -> tuple[str, ...]:
    """Names of the files a run was trained on."""
    recipe = next(e["recipe"] for e in read(resolve(run)) if e["event"] == "start")
    return tuple(short(p) for p in recipe["data"]["train"])
