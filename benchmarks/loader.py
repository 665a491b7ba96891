"""From Parquet to shuffled batches, beside weaver's data set.

    OMP_NUM_THREADS=1 python benchmarks/loader.py

Jets of JetClass-like length (46 particles in the mean, 128 at most) with four numbers a particle and a label lie in two
shards. lpm reads them into packed batches of a budget of tokens, weaver into padded arrays of 128 particles, as many
jets in a batch; both shuffle. weaver reads whole files at a time (`fetch_by_files`), which is its fastest way, and no
variable is standardised. Both sides must hand out the same jets: their number, that of their particles and the sum of
each field are compared first.

Then they take turns, as many as `--repeats` times, in one process and on one thread; files lie in the memory of the
system after the first turn. What counts are CPU seconds, so that other work on the machine does not; the clock is in
the notes. A ratio is that of two turns that follow one another; the median is given with the interval that holds 68% of
the medians of resampled turns.

The peer: `pip install --no-deps weaver-core==0.5.3` and `pip install numba tqdm PyYAML`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from record import Record, Table, median, options_of

from lpm.data.batch import Batch
from lpm.data.fields import JETCLASS, jets_schema
from lpm.data.io import write_batches
from lpm.data.source import Source
from lpm.metrics.estimate import Array, Estimate
from lpm.records.hashing import hash_file

LONGEST = 128
FIELDS = ("pt", "deta", "dphi", "energy")
COLUMNS = tuple(f"particle.{n}" for n in FIELDS)
TARGET = 1e6

Turn = Callable[[], Iterator[tuple[int, Array]]]
"""Hands out, batch by batch, the number of jets and a look at their particles: rows and the sum of each field."""


def jets(count: int, seed: int) -> Batch:
    """Jets as long as those of JetClass."""
    rng, g = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    lengths = torch.tensor(rng.gamma(6.5, 46 / 6.5, count).round().clip(1, LONGEST)).long()
    size = int(lengths.sum())
    columns = {f"particle.{n}": 0.3 * torch.randn(size, generator=g) for n in ("deta", "dphi")}
    columns["particle.pt"] = torch.empty(size).exponential_(0.1, generator=g) + 0.5
    columns["particle.energy"] = columns["particle.pt"] * columns["particle.deta"].cosh()
    columns["jet.label"] = torch.randint(0, len(JETCLASS), (count,), generator=g).float()
    columns["jet.pt"] = torch.full((count,), 500.0)
    return Batch.build(jets_schema(FIELDS, ("pt",), JETCLASS), columns, {"particle": lengths})


def ours(folder: Path, budget: int, look: bool) -> Iterator[tuple[int, Array]]:
    """One epoch of a source."""
    for batch in Source(folder, budget=budget, seed=0, epochs=1, columns=[*COLUMNS, "jet.label"]):
        values = batch.collections["particle"].values
        yield len(batch), seen(len(values), values.double().sum(0)) if look else np.zeros(0)


def weaver(files: list[Path], size: int, look: bool) -> Iterator[tuple[int, Array]]:
    """One epoch of weaver's data set, with its usual loader."""
    from torch.utils.data import DataLoader
    from weaver.utils.dataset import SimpleIterDataset

    names = [p.replace(".", "_") for p in COLUMNS]
    config = {
        "preprocess": {"method": "manual"},
        "new_variables": {"mask": f"ak.ones_like({names[0]})"} if look else {},
        "inputs": {"particles": {"length": LONGEST, "vars": [[n, None] for n in names]}}
        | ({"mask": {"length": LONGEST, "vars": [["mask", None]]}} if look else {}),
        "labels": {"type": "custom", "value": {"truth": "jet_label"}},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.yaml"
        path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        data = SimpleIterDataset(
            {"jets": list(map(str, files))}, str(path), fetch_by_files=True, fetch_step=1, name="train"
        )
        for x, _, _ in DataLoader(data, batch_size=size, num_workers=0):
            values = x["particles"]
            yield len(values), seen(int(x["mask"].sum()), values.double().sum((0, 2))) if look else np.zeros(0)


def seen(rows: int, sums: torch.Tensor) -> Array:
    """Number of particles and the sum of each field."""
    return np.array([rows, *sums.tolist()])


def same(theirs: Iterator[tuple[int, Array]], mine: Iterator[tuple[int, Array]]) -> tuple[int, int, float]:
    """Jets and particles that both hand out, and the largest relative difference of the sums; stops if they differ."""
    (n, a), (m, b) = ((sum(c for c, _ in turn), sum(s for _, s in turn)) for turn in map(list, (theirs, mine)))
    difference = float(np.max(np.abs(a - b) / np.abs(b)))
    if n != m or a[0] != b[0] or difference > 1e-4:
        sys.exit(f"weaver hands out {n} jets and {a}, lpm {m} and {b}: nothing is compared")
    return m, int(b[0]), difference


def timed(
    sides: dict[str, Callable[[], Iterator[tuple[int, Array]]]], repeats: int
) -> dict[str, list[tuple[float, float]]]:
    """CPU seconds and seconds of each turn."""
    spent: dict[str, list[tuple[float, float]]] = {n: [] for n in sides}
    for _ in range(repeats):
        for name, turn in sides.items():
            cpu, clock = time.process_time(), time.perf_counter()
            for _ in turn():
                pass
            spent[name].append((time.process_time() - cpu, time.perf_counter() - clock))
    return spent


def main() -> None:
    """Write, compare, time, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--jets", type=int, default=200_000, help="jets in both shards together")
    parser.add_argument("--budget", type=int, default=16_384, help="tokens in a batch of lpm")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side")
    o = parser.parse_args()
    if o.quick:
        o.jets, o.repeats = 2_000, 1
    record = Record(o, "From Parquet to shuffled, packed batches on one core, faster than weaver to padded ones.")
    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    size = round(o.budget / 47)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [folder / f"{i}.parquet" for i in range(2)]
        for i, file in enumerate(files):
            batch = jets(o.jets // 2, i)
            write_batches(file, [batch], schema=batch.schema)
            record.data.append({"name": f"drawn jets {i}", "sha256": hash_file(file), "jets": len(batch)})
        sides: dict[str, Callable[[], Iterator[tuple[int, Array]]]] = {"lpm": lambda: ours(folder, o.budget, False)}
        try:
            count, rows, difference = same(weaver(files, size, True), ours(folder, o.budget, True))
            sides["weaver"] = lambda: weaver(files, size, False)
        except ImportError as error:
            if not o.quick:
                sys.exit(f"the peer is missing: {error}; see the head of this file")
            count, rows, difference = o.jets, 0, 0.0
        spent = timed(sides, o.repeats)
    report(record, o.budget, size, (count, rows, difference), spent)


def report(
    record: Record, budget: int, size: int, found: tuple[int, int, float], spent: dict[str, list[tuple[float, float]]]
) -> None:
    """The table and the notes."""
    count, rows, difference = found
    million = count * 60 / 1e6
    row: list[Estimate | str] = ["Parquet to batches"]
    mine = median([million / cpu for cpu, _ in spent["lpm"]])
    row.append(mine)
    clocks = {n: million / statistics.median(clock for _, clock in turns) for n, turns in spent.items()}
    if "weaver" in spent:
        row.append(median([million / cpu for cpu, _ in spent["weaver"]]))
        row.append(median([a / b for (a, _), (b, _) in zip(spent["weaver"], spent["lpm"], strict=True)]))
        record.notes.append(
            f"Both hand out {count:,} jets with {rows:,} particles; sums of fields differ by {difference:.0e} at most."
        )
    else:
        row += ["not installed", "-"]
    columns = ("", "lpm (million jets a CPU minute)", "weaver (million jets a CPU minute)", "ratio")
    record.tables = [Table("Reading on one core", columns, [tuple(row)])]
    by_clock = ", ".join(f"{n} {rate:.2f}" for n, rate in clocks.items())
    record.notes += [
        f"{len(spent['lpm'])} turns of each side; batches of {budget:,} tokens, of {size} jets padded to {LONGEST}; "
        "weaver-core 0.5.3, which reads a file at a time.",
        f"By the clock, million jets a minute: {by_clock}.",
        f"Target: a million jets a minute on one core; {'met' if mine.value * 1e6 >= TARGET else 'missed'}.",
    ]
    record.save()


if __name__ == "__main__":
    main()
