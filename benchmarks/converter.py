"""From ROOT to Parquet, beside weaver that only reads the same file.

    OMP_NUM_THREADS=1 python benchmarks/converter.py

A file has the layout of JetClass: a tree with the particles' momenta, impact parameters, charges and types, ten
numbers of the jet and ten labels; 46 particles a jet in the mean, 128 at most, written by uproot with its usual
compression. `lpm convert` reads it, checks every event, computes what the fields ask for (pT, Δη, Δφ, ordered in pT),
and writes a shard with checksums. weaver reads it into padded arrays of 128 particles with the 17 features of its
published training on JetClass, momenta and mask, in batches of 512. It does so in two ways: a hundredth of the file
at a time (`fetch_step=0.01`, its default and that of the published training), and the whole file at once, which is its
fastest way and needs the memory. Both sides must find the same jets: their number, that of their particles and the sum
of their energies are compared first.

Then they take turns, as many as `--repeats` times, in one process and on one thread; the file lies in the memory of the
system. What counts are CPU seconds, so that other work on the machine does not; the clock is in the notes. A ratio is
that of two turns that follow one another; the median is given with the interval that holds 68% of the medians of
resampled turns.

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
from typing import Any

import awkward as ak
import numpy as np
import torch
import uproot
from record import Record, Table, median, options_of

from lpm.data.fields import JETCLASS
from lpm.data.io import open_file
from lpm.data.io.convert import convert
from lpm.metrics.estimate import Estimate
from lpm.records.hashing import hash_file

LONGEST = 128
BATCH = 512
FLAGS = tuple(f"part_is{n}" for n in ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon"))
LABELS = tuple(f"label_{n}" for n in JETCLASS)
WHOLE = {"fetch_by_files": True, "fetch_step": 1}
STEPS = {"fetch_step": 0.01}
TARGET = 5.0

COMPUTED = {
    "pt": "np.hypot(part_px, part_py)", "log_pt": "np.log(pt)", "log_e": "np.log(part_energy)",
    "log_pt_share": "np.log(pt / jet_pt)", "log_e_share": "np.log(part_energy / jet_energy)",
    "dr": "np.hypot(part_deta, part_dphi)", "d0": "np.tanh(part_d0val)", "dz": "np.tanh(part_dzval)",
    "exists": "ak.ones_like(part_px)",
}  # fmt: skip
SEEN = {
    "momenta": [f"part_{n}" for n in ("px", "py", "pz", "energy")],
    "mask": ["exists"],
    "features": [
        "log_pt", "log_e", "log_pt_share", "log_e_share", "dr", "d0", "dz", "part_d0err", "part_dzerr", "part_charge",
        *FLAGS, "part_deta", "part_dphi",
    ],
}  # fmt: skip
CONFIG = {
    "treename": "tree", "preprocess": {"method": "manual"}, "new_variables": COMPUTED,
    "inputs": {k: {"length": LONGEST, "vars": [[n, None] for n in names]} for k, names in SEEN.items()},
    "labels": {"type": "simple", "value": LABELS},
}  # fmt: skip
"""The 17 features of arXiv 2202.03772, momenta and mask; no feature is standardised."""


def write_jetclass(path: Path, count: int, seed: int) -> None:
    """A ROOT file as those of JetClass, 10,000 jets in a basket."""
    g = np.random.default_rng(seed)
    lengths = g.gamma(6.5, 46 / 6.5, count).round().clip(1, LONGEST).astype(np.int64)
    jet, n = np.repeat(np.arange(count), lengths), lengths.sum()
    pt = g.exponential(10, n) + 0.5
    pt = pt[np.lexsort((-pt, jet))]
    axis, spread = np.stack([g.uniform(-2, 2, count), g.uniform(-3.1, 3.1, count)]), 0.2 * g.normal(size=(2, n))
    eta, phi = axis[:, jet] + spread
    kind = g.integers(0, len(FLAGS), n)
    charge = np.where(np.isin(kind, (1, 2)), 0, g.choice([-1, 1], n))
    shift = np.where(charge == 0, 0.0, 0.1 * g.normal(size=(2, n)))
    part = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "energy": pt * np.cosh(eta)}
    part |= {"deta": spread[0] * np.sign(axis[0, jet]), "dphi": spread[1], "charge": charge}
    part |= {"d0val": shift[0], "d0err": 0.1 * np.abs(shift[0]), "dzval": shift[1], "dzerr": 0.1 * np.abs(shift[1])}
    flat = {f"part_{k}": v.astype(np.float32) for k, v in part.items()} | {f: kind == i for i, f in enumerate(FLAGS)}
    columns: dict[str, Any] = {k: ak.unflatten(v, lengths) for k, v in flat.items()}
    total = {k: np.bincount(jet, part[k], count) for k in ("px", "py", "pz", "energy")}
    jet_pt = np.hypot(total["px"], total["py"])
    jets = {"pt": jet_pt, "eta": np.arcsinh(total["pz"] / jet_pt), "phi": np.arctan2(total["py"], total["px"])}
    jets |= {"energy": total["energy"], "sdmass": g.exponential(50, count), "nparticles": lengths}
    jets |= {f"tau{k}": g.random(count) / k for k in (1, 2, 3, 4)}
    columns |= {f"jet_{k}": v.astype(np.float32) for k, v in jets.items()}
    label = g.integers(0, len(LABELS), count)
    columns |= {name: (label == i).astype(np.int32) for i, name in enumerate(LABELS)}
    with uproot.recreate(path) as file:
        file.mktree("tree", {k: v.type if isinstance(v, ak.Array) else v.dtype for k, v in columns.items()})
        for i in range(0, count, 10_000):
            file["tree"].extend({k: v[i : i + 10_000] for k, v in columns.items()})


def weaver(path: Path, how: dict[str, Any]) -> Iterator[dict[str, torch.Tensor]]:
    """One epoch of weaver's data set, with its usual loader."""
    from torch.utils.data import DataLoader
    from weaver.utils.dataset import SimpleIterDataset

    config = path.with_suffix(".yaml")
    config.write_text(json.dumps(CONFIG), encoding="utf-8")  # JSON is YAML
    data = SimpleIterDataset({"jets": [str(path)]}, str(config), name="train", **how)
    for x, _, _ in DataLoader(data, batch_size=BATCH, num_workers=0):
        yield x


def same(path: Path, shard: Path) -> tuple[int, int, float]:
    """Jets and particles on both sides, and the relative difference of the sums of energies; stops if they differ."""
    a, b = np.zeros(3), np.zeros(3)
    for x in weaver(path, WHOLE):
        a += [len(x["mask"]), float(x["mask"].sum()), float(x["momenta"][:, 3].double().sum())]
    with open_file(shard) as reader:
        for batch in reader.batches(columns=["particle.energy"]):
            values = batch.field("particle.energy").values.double()
            b += [len(batch), len(values), float(values.sum())]
    if tuple(a[:2]) != tuple(b[:2]) or abs(a[2] / b[2] - 1) > 1e-6:
        sys.exit(f"weaver finds {a}, lpm {b}: nothing is compared")
    return int(b[0]), int(b[1]), abs(float(a[2] / b[2] - 1))


def timed(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """CPU seconds and seconds of each turn."""
    spent: dict[str, list[tuple[float, float]]] = {n: [] for n in sides}
    for _ in range(repeats):
        for name, turn in sides.items():
            cpu, clock = time.process_time(), time.perf_counter()
            turn()
            spent[name].append((time.process_time() - cpu, time.perf_counter() - clock))
    return spent


def drain(items: Iterator[object]) -> None:
    """Look at every item."""
    for _ in items:
        pass


def main() -> None:
    """Write, compare, time, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--jets", type=int, default=50_000, help="jets in the file")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side")
    o = parser.parse_args()
    if o.quick:
        o.jets, o.repeats = 300, 1
    record = Record(o, "A ROOT file becomes a checked shard in less time than weaver takes to read it.")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        path, shard = Path(name) / "jets.root", Path(name) / "jets.parquet"
        write_jetclass(path, o.jets, 0)
        record.data.append({"name": "drawn jets in the layout of JetClass", "sha256": hash_file(path), "jets": o.jets})
        convert([path], shard)
        sides: dict[str, Callable[[], object]] = {"lpm, ROOT to Parquet": lambda: convert([path], shard)}
        try:
            jets, rows, difference = same(path, shard)
            record.notes.append(
                f"Both find {jets:,} jets with {rows:,} particles; the sums of energies differ by {difference:.0e}."
            )
            sides["weaver, a hundredth at a time"] = lambda: drain(weaver(path, STEPS))
            sides["weaver, the whole file at once"] = lambda: drain(weaver(path, WHOLE))
        except ImportError as error:
            if not o.quick:
                sys.exit(f"the peer is missing: {error}; see the head of this file")
            record.notes.append("weaver is not installed: nothing was compared.")
        spent = timed(sides, o.repeats)
    report(record, o.jets, spent)


def report(record: Record, jets: int, spent: dict[str, list[tuple[float, float]]]) -> None:
    """The table and the notes."""
    first, *others = spent
    rows: list[tuple[Estimate | str, ...]] = [(first, median([jets / cpu for cpu, _ in spent[first]]), "")]
    for name in others:
        ratio = median([theirs / ours for (theirs, _), (ours, _) in zip(spent[name], spent[first], strict=True)])
        rows.append((name, median([jets / cpu for cpu, _ in spent[name]]), ratio))
        record.notes.append(
            f"{name}: {ratio} times slower; the target of {TARGET:g} is {'met' if ratio.value >= TARGET else 'missed'}."
        )
    record.tables = [Table("One file on one core", ("", "jets a CPU second", "lpm is faster by"), rows)]
    clocks = ", ".join(f"{n} {statistics.median(c for _, c in turns):.1f} s" for n, turns in spent.items())
    record.notes.append(f"{len(spent[first])} turns of each side, weaver-core 0.5.3; by the clock: {clocks}.")
    record.save()


if __name__ == "__main__":
    main()
