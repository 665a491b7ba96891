"""Run all benchmarks, or those named, and write the page of results from their records.

python benchmarks/run.py                      # all: more than half an hour on two cores
python benchmarks/run.py generation           # one; options after -- go to it: generation -- jets-base -n 2000
python benchmarks/run.py --page               # only the page, from the records that are there
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from record import RESULTS, Table

from lpm.records.files import atomic_file

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "results.md"

BENCHMARKS = {
    "public_taggers": "Taggers on public samples",
    "label_efficiency": "What pre-training is worth",
    "generation": "Generated jets",
    "tokenizers": "Tokenizers",
    "particle_transformer": "The same Particle Transformer, faster",
    "sampling": "Sampling",
    "generative_training": "Generative training without padding",
    "optimisers": "Optimisers",
}
"""Scripts of this folder and the headings of their sections, in the order of the page."""

INTRODUCTION = """# Results

Every number on this page comes from a record in `benchmarks/results`, written by the command that stands above its
table; `make bench` runs all commands and `python benchmarks/run.py --page` writes this page. Intervals hold 68%. What
was tried and did not help is on the page of [negative results](negative-results.md).
"""


def section(name: str, folder: Path) -> str:
    """The part of the page about one benchmark."""
    heading, path = f"## {BENCHMARKS[name]}", folder / f"{name}.json"
    if not path.is_file():
        return f"{heading}\n\nNot measured yet: `python benchmarks/{name}.py`\n"
    record = json.loads(path.read_text(encoding="utf-8"))
    trial = "\n**A tiny trial of the script: these numbers mean nothing.**\n" if record["quick"] else ""
    tables = "\n\n".join(Table.from_json(t).markdown() for t in record["tables"])
    notes = "".join(f"- {n}\n" for n in [*record["notes"], *origin(record)])
    return f"{heading}\n\n{record['claim']}\n{trial}\n```\n{record['command']}\n```\n\n{tables}\n\n{notes}"


def origin(record: dict[str, Any]) -> list[str]:
    """Data, machine, versions and commit of a record, as sentences."""
    data = ", ".join(f"{d['name']} ({d['jets']:,} jets, SHA-256 {d['sha256'][:12]}…)" for d in record["data"])
    machine, versions = record["hardware"], record["versions"]
    gpus = f", {', '.join(machine['gpus'])}" if machine["gpus"] else ""
    return [
        f"Data: {data}.",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB{gpus}; "
        f"{record['seconds']:,.0f} s.",
        f"Python {versions['python']}, torch {versions['torch']}, lpm {versions.get('lpm', 'from source')}, "
        f"commit {record['commit'] or 'unknown'}, {record['date']}.",
    ]


def page(folder: Path) -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(section(name, folder) for name in BENCHMARKS)])


def main() -> int:
    """Run, then write the page; 1 if a benchmark failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"out of {', '.join(BENCHMARKS)}; all if absent")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the records")
    parser.add_argument("--to", type=Path, default=PAGE, help="the page")
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    o = parser.parse_args(words[:cut])
    unknown = [n for n in o.names if n not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    failed = []
    for name in [] if o.page else o.names or BENCHMARKS:
        print(f"# {name}", flush=True)
        where = [] if o.results == RESULTS else ["--out", str(o.results)]
        call = [sys.executable, str(HERE / f"{name}.py"), *where, *words[cut + 1 :]]
        failed += [name] if subprocess.run(call, check=False).returncode else []
    with atomic_file(o.to) as path:
        path.write_text(page(o.results), encoding="utf-8")
    print(f"wrote {o.to.name}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
