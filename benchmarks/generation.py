"""Generated jets look like true ones: distances of one or several generators beside the truth-against-truth floor.

    python benchmarks/generation.py jets-base runs/binned runs/quantised --truth sample:jets

Every distance is taken between samples of the same size: generated against half A of the truth, and for the floor half
B against half A. A perfect generator scores the floor. Without `--classes` a model chooses the classes itself, as it
met them in training; the truth should then hold the same mixture.
"""

from __future__ import annotations

from pathlib import Path

import torch
from record import KINEMATICS, Cell, Record, Table, options_of, short, trained_on

from lpm.data.batch import Batch
from lpm.data.io.parquet import write_batches
from lpm.metrics.generation import METRICS, compare
from lpm.model.checkpoint import load
from lpm.recipes.apply import sample_jets
from lpm.tasks.jets import COMPARED, describe


def truth_of(record: Record, paths: list[str], most: int) -> Batch:
    """True jets of all files with their observables, in random order."""
    jets = Batch.cat([record.read(p, KINEMATICS, most) for p in paths])
    order = torch.randperm(len(jets), generator=torch.Generator().manual_seed(0))
    return describe(jets[order])


def main() -> None:
    """Generate, compare and record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("runs", nargs="*", default=["jets-base"], help="runs that generate jets")
    parser.add_argument("--truth", nargs="+", default=["sample:jets"], help="files the runs were trained on")
    parser.add_argument("-n", type=int, default=5_000, help="jets of each run")
    parser.add_argument("--most", type=int, default=0, help="true jets of each file; 0 for all")
    parser.add_argument("--classes", default="", help="classes to generate in equal parts, by commas")
    parser.add_argument("--keep", type=Path, help="folder to write the generated jets to")
    o = parser.parse_args()
    metrics = list(METRICS)
    if o.quick:
        o.n, o.most, metrics = 60, 120, ["w1", "sliced_w1"]
    if len({short(run) for run in o.runs}) < len(o.runs):
        parser.error(f"expected runs whose folders have different names, got {', '.join(o.runs)}; rename one")
    record = Record(o, "Generated jets beside those of the files that the generators were trained on, and the floor.")
    truth = truth_of(record, o.truth, o.most)
    classes = tuple(c for c in o.classes.split(",") if c)
    # One size for all samples, so that one floor serves all runs.
    size = min(o.n, len(truth) // 2)
    columns: dict[str, dict[str, Cell]] = {}
    for run in o.runs:
        made = Batch.cat(list(sample_jets(load(run), o.n, classes=classes)))
        made = made[made.collections["particle"].lengths > 0]
        name = short(run)
        if o.keep:
            write_batches(o.keep / f"{name}.parquet", [made], schema=made.schema, provenance={"run": name})
        table = compare(made, truth, COMPARED, metrics=metrics, max_events=size)
        columns[f"`{name}`"] = {metric: row["generated"] for metric, row in table.items()}
        columns.setdefault("floor", {metric: row["floor"] for metric, row in table.items()})
        record.notes.append(f"`{name}` was trained on {', '.join(trained_on(run))}.")
    columns["floor"] = columns.pop("floor")
    rows: list[tuple[Cell, ...]] = [
        (metric, *(column[metric] for column in columns.values())) for metric in columns["floor"]
    ]
    title = f"{size:,} generated against {size:,} true jets"
    record.tables = [Table(title, ("distance", *columns), rows)]
    record.save()


if __name__ == "__main__":
    main()
