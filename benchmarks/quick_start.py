"""How long the quick start takes: from jets to a report, on the machine at hand.

    python benchmarks/quick_start.py

`lpm quickstart` is run once as a user would, in a fresh process; what its parts take is read from the lines it prints.
Data, model and steps are fixed, so the time is the machine's, and that of what else it does.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from itertools import pairwise

from record import Cell, Record, Table, options_of

from lpm.data.samples import locate

TARGET = 8 * 60
LINE = re.compile(r"^\s*(\d+) s\s+(\S.*)$")


def main() -> None:
    """Run, time, record."""
    o = options_of(__doc__ or "").parse_args()
    record = Record(o, "The whole story, from jets to a tagger and a report, takes minutes on a laptop.")
    record.read(str(locate("sample:jets")))
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "lpm.cli", "quickstart", "--out", f"{folder}/story", "--quiet"]
        begun = time.perf_counter()
        done = subprocess.run(
            words + (["--quick"] if o.quick else []), capture_output=True, text=True, check=False,
            env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        seconds = time.perf_counter() - begun
    if done.returncode:
        sys.exit(f"lpm quickstart failed: {done.stderr.strip()}")
    record.tables = [Table("Parts of the quick start", ("part", "seconds"), rows(done.stdout, seconds))]
    record.notes = [
        f"By the clock, one run on {os.cpu_count()} cores. Target: {TARGET} s: "
        f"{'met' if seconds <= TARGET else 'missed'}."
    ]
    record.save()


def rows(told: str, seconds: float) -> list[tuple[Cell, ...]]:
    """What each part took: a line is printed as a part begins."""
    found = [LINE.match(line) for line in told.splitlines()]
    starts = [(int(m.group(1)), m.group(2)) for m in found if m]
    parts: list[tuple[Cell, ...]] = [("start, and a look at the data", f"{starts[0][0]}")]
    parts += [(text, f"{after - at}") for (at, text), (after, _) in pairwise(starts)]
    return [*parts, ("all", f"{seconds:.0f}")]


if __name__ == "__main__":
    main()
