"""How long one waits for `import lpm` and for the help of the command line.

    python benchmarks/start_up.py

Each turn starts a fresh process; the sides take turns, and files are in the memory of the system after the first. Both
seconds by the clock and seconds of the processor are given: the clock counts, but also what else the machine does. The
median is given with the interval that holds 68% of the medians of resampled turns. That no process of ours loads torch
is checked first. For scale: the same Python with nothing to do, and the imports of torch and uproot.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from record import Cell, Record, Table, median, options_of

TARGET = 0.5
OURS = {
    "import lpm": ("-c", "import lpm"),
    "lpm --help": ("-m", "lpm.cli", "--help"),
    "lpm inspect --help": ("-m", "lpm.cli", "inspect", "--help"),
}
OTHERS = {"python": ("-c", "pass"), "import torch": ("-c", "import torch"), "import uproot": ("-c", "import uproot")}


def loaded(words: tuple[str, ...]) -> set[str]:
    """The packages that a process imports."""
    told = call("-X", "importtime", *words).stderr.splitlines()
    lines = [line for line in told if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


def call(*words: str) -> subprocess.CompletedProcess[str]:
    """Run Python once."""
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)


def timed(words: tuple[str, ...]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    before, start = os.times(), time.perf_counter()
    call(*words)
    seconds, after = time.perf_counter() - start, os.times()
    return seconds, sum(after[2:4]) - sum(before[2:4])


def main() -> None:
    """Check, time, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each side")
    o = parser.parse_args()
    if o.quick:
        o.repeats = 1
    record = Record(o, "Nobody waits for the command line: it is there in half a second, without torch.")
    sides = OURS | ({"python": OTHERS["python"]} if o.quick else OTHERS)
    if heavy := [name for name, words in OURS.items() if "torch" in loaded(words)]:
        sys.exit(f"torch is loaded by {', '.join(heavy)}")
    if "torch" not in loaded(("-c", "import torch")):
        sys.exit("the check for torch does not see torch")
    for words in sides.values():
        timed(words)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(o.repeats):
        for name, words in sides.items():
            spent[name].append(timed(words))
    rows: list[tuple[Cell, ...]] = [
        (f"`{name}`", median([clock for clock, _ in turns]), median([cpu for _, cpu in turns]))
        for name, turns in spent.items()
    ]
    record.tables = [Table("Start of a fresh process", ("", "seconds by the clock", "processor seconds"), rows)]
    slow = [name for name in OURS if median([clock for clock, _ in spent[name]]).value > TARGET]
    record.notes = [
        f"Median of {o.repeats} turns. Target: {TARGET} s by the clock, "
        + (f"missed by {', '.join(slow)}." if slow else "met by all of ours."),
        "No process of ours loads torch.",
    ]
    record.save()


if __name__ == "__main__":
    main()
