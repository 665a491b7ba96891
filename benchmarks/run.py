"""Run all benchmarks, or those named, and write the pages of results and of speed from their records.

python benchmarks/run.py                      # all, with the options of their records, which took 17 hours
python benchmarks/run.py generation           # one; options after -- go to it: generation -- jets-base -n 2000
python benchmarks/run.py --page               # only the pages, from the records that are there

Data files that a command names are looked for in the present folder; the head of each script says how they are made. A
benchmark that fails leaves its record as it is, and the others run.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, Table

from lpm.records.files import atomic_file

HERE = Path(__file__).resolve().parent
PAGES = HERE.parent / "docs"

RESULTS_OF = {
    "public_taggers": "Taggers on public samples",
    "taggers": "Ten classes, every body",
    "fine_taggers": "Fine classes and masses",
    "jet_origin": "Jet origin",
    "four_tops": "Four tops",
    "label_efficiency": "What pre-training is worth",
    "generation": "Generated jets",
    "tokenizers": "Tokenizers",
    "omnijet": "The tokenizer of OmniJet-α",
    "optimisers": "Optimisers",
    "dilogarithms": "Dilogarithms",
    "spinors": "Spinor brackets",
    "learned_reduction": "A learned reduction of Feynman integrals",
    "pid": "Particle identification with missing detectors",
    "pid_tracks": "Particle identification on recorded tracks",
    "pid_signals": "The same tracks without the numbers of their clusters",
    "transfer": "From simulation to data",
    "flash": "Flash simulation of a spectrometer",
    "flash_objects": "Flash simulation of leptons, photons and jets",
    "tau": "Tau identification",
    "phase_space": "Four tops without a matrix element",
    "shower_generators": "Generators of showers",
    "new_geometry": "A calorimeter that a generator has not seen",
}
"""Scripts of this folder that measure physics, and the headings of their sections, in the order of the page."""

SPEED_OF = {
    "particle_transformer": "The same Particle Transformer, faster",
    "best_tagger": "Our taggers beside weaver's",
    "generative_training": "Generative training without padding",
    "sampling": "Sampling",
    "data_parallel": "Two processes",
    "loader": "Parquet to batches",
    "converter": "ROOT to Parquet",
    "metrics": "Metrics",
    "calorimeter_judge": "The judge of showers",
    "tokenizer_speed": "Jets to tokens and back",
    "quick_start": "The quick start",
    "laporta": "Reduction of Feynman integrals",
    "start_up": "Start-up",
    "onnx_latency": "One jet at a time, in torch and ONNX Runtime",
}
"""Scripts that measure speed beside a named peer."""

BENCHMARKS = {**RESULTS_OF, **SPEED_OF}

INTRODUCTION = """# Results

Every number on this page that is not called published comes from a record in `benchmarks/results`, written by the
command that stands above its table, or by the parts that are named below it. The record also holds the seeds, hashes of
the data, machine, versions and commit. Many commands need data files and options; the head of each script says which.
`make bench` runs them again, as far as their data lie there; `python benchmarks/run.py --page` writes this page.

Intervals hold 68%, but for those over seeds (*mean ± standard error over seeds*, *mean of 3 seeds*): ± is s/√n there,
which for two or three seeds holds 50 to 58%. Most seeds share one test sample, whose own fluctuation is not in it. What
was tried and did not help is on the page of [negative results](negative-results.md), speed on that of
[benchmarks](benchmarks.md).
"""

INTRODUCTION_OF_SPEED = """# Benchmarks

Speed beside a named peer: both sides in one run, in turn, on the same data, with a ratio and its 68% interval. Times
of two machines are not comparable, ratios are. As on the page of [results](results.md), every number comes from a
record in `benchmarks/results`, written by the command above its table. A target that is missed is printed as missed,
and explained on the page of [negative results](negative-results.md). `pip install '.[peers]'` in a checkout brings the
peers that come as packages; a benchmark whose peer is missing says what to install.
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
    if figure(record):
        tables += f"\n\n![Peak memory against weight](figures/{name}.svg)"
    for picture in sorted(folder.glob(f"{name}-*.svg")):
        what = picture.stem.removeprefix(f"{name}-")
        tables += f"\n\n![{what.capitalize()}](figures/{picture.name})"
    return f"{heading}\n\n{record['claim']}\n{trial}\n```\n{record['command']}\n```\n\n{tables}\n\n{notes}"


def origin(record: dict[str, Any]) -> list[str]:
    """Data, machine, versions and commit of a record, as sentences."""
    data = ", ".join(
        f"{d['name']} ({d['jets']:,} {d.get('events', 'jets')}, SHA-256 {d['sha256'][:12]}…)" for d in record["data"]
    )
    machine, versions = record["hardware"], record["versions"]
    gpus = f", {', '.join(machine['gpus'])}" if machine["gpus"] else ""
    return [
        *([f"Data: {data}."] if data else []),
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB{gpus}; "
        f"{record['seconds']:,.0f} s.",
        f"Python {versions['python']}, torch {versions['torch']}, lpm {versions.get('lpm', 'from source')}, "
        f"commit {record['commit'] or 'unknown'}, {record['date']}.",
    ]


def figure(record: dict[str, Any]) -> str:
    """Peak memory of both reductions of integrals, the largest of each weight, as `<svg>`; empty for other records."""
    if not record.get("integrals"):
        return ""
    from lpm.report.plots import Band, curve

    lines: dict[str, Band] = {}
    for name, method in (("Laporta, the process", "laporta"), ("learned, a worker", "learned")):
        most: dict[int, float] = {}
        for one in record["integrals"]:
            # Of a worker that had nothing to do there is nothing to say.
            if peak := one[method].get("peak"):
                most[sum(one["weight"])] = max(peak, most.get(sum(one["weight"]), 0.0))
        lines[name] = Band(np.array(sorted(most), dtype=float), np.array([most[x] for x in sorted(most)]))
    return curve(lines, x_label="weight: sum of all indices without sign", y_label="peak memory (MB)")


def figures(folder: Path) -> dict[str, str]:
    """All figures, by name: those drawn from records, and those that benchmarks have left beside theirs."""
    left = {p.stem: p.read_text(encoding="utf-8").rstrip() for n in BENCHMARKS for p in folder.glob(f"{n}-*.svg")}
    read = {n: json.loads(p.read_text(encoding="utf-8")) for n in BENCHMARKS if (p := folder / f"{n}.json").is_file()}
    return left | {name: drawn for name, record in read.items() if (drawn := figure(record))}


def pages(folder: Path) -> dict[str, str]:
    """Both pages, by name."""
    parts = {"results": (INTRODUCTION, RESULTS_OF), "benchmarks": (INTRODUCTION_OF_SPEED, SPEED_OF)}
    return {name: "\n".join([head, *(section(n, folder) for n in of)]) for name, (head, of) in parts.items()}


def options_of_record(name: str, folder: Path) -> list[str]:
    """The options that made a record, without the place where it was kept; none if there is no record."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return []
    words = shlex.split(json.loads(path.read_text(encoding="utf-8"))["command"])[2:]
    if "--out" in words:
        at = words.index("--out")
        del words[at : at + 2]
    return words


def main() -> int:
    """Run, then write the pages; 1 if a benchmark failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"out of {', '.join(BENCHMARKS)}; all if absent")
    parser.add_argument("--page", action="store_true", help="run nothing, write the pages")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the records")
    parser.add_argument("--to", type=Path, default=PAGES, help="folder of the pages")
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
        options = words[cut + 1 :] or options_of_record(name, o.results)
        call = [sys.executable, str(HERE / f"{name}.py"), *options, *where]
        failed += [name] if subprocess.run(call, check=False).returncode else []
    written = pages(o.results)
    for name, text in written.items():
        with atomic_file(o.to / f"{name}.md") as path:
            path.write_text(text, encoding="utf-8")
    for name, drawn in figures(o.results).items():
        (o.to / "figures").mkdir(exist_ok=True)
        with atomic_file(o.to / "figures" / f"{name}.svg") as path:
            path.write_text(drawn + "\n", encoding="utf-8")
    print(f"wrote {' and '.join(written)}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
