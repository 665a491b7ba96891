"""Jet origin at an electron-positron Higgs factory: eleven classes, and what they are worth for rare Higgs decays.

    python benchmarks/jet_origin.py
    lpm simulate jets train/ -n 220000 --preset jet-origin-higgs --seed 1    # or with jets made before:
    lpm simulate jets test/ -n 44000 --preset jet-origin-higgs --seed 2
    python benchmarks/jet_origin.py --train train/ --test test/

Each seed trains a model from scratch (recipe `jets.origin`) and judges it on the same test jets: tagging efficiency
and charge-flip rate as defined by Liang et al., arXiv 2310.03440, whose numbers stand beside ours. `--identities` says
which knowledge of particles to try; all but the first are tried with one seed.

Each result is kept in the record by identity and seed, and a run adds what is missing: it can be made in pieces, as
long as data and budget stay the same. `--anew` makes those asked for once more.

The migration matrix of all seeds then gives expected upper limits on Higgs decays that are rare or forbidden, by a
fit of 66 categories, the unordered pairs of tags of the two jets. Yields: 46.29 fb of e+ e- -> nu nu H at 240 GeV
(conceptual design report of CEPC, arXiv 1811.10545), 20 ab-1, branching ratios of a Higgs boson of 125 GeV (LHC Higgs
working group, arXiv 1610.07922), and half of the events kept by a selection that we do not simulate. What is not a
Higgs boson is taken to have the flavours of Z decays, and to be absent, or as many events as there are Higgs decays to
two jets. All normalisations are left to the fit. H -> WW, ZZ and tau tau are left out. So the limits show what the
tagger is worth, and are no forecast of an experiment.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from parts import Parts, again
from record import RESULTS, Cell, Record, Table, mean, options_of

from lpm.data.batch import Batch
from lpm.data.fields import ORIGINS
from lpm.metrics.estimate import Estimate
from lpm.metrics.limits import expected_limit
from lpm.metrics.migration import origin_metrics, pair_template, shares
from lpm.recipes.apply import predict
from lpm.recipes.execute import execute
from lpm.recipes.origin import Identity, origin, seen
from lpm.records.files import atomic_file
from lpm.report import origin as report
from lpm.sim.chunk import Request
from lpm.sim.production import produce
from lpm.tasks.origin import migration

PUBLISHED = {
    "efficiency[b]": 0.92, "flip[b]": 0.18, "efficiency[c]": 0.79, "flip[c]": 0.07, "efficiency[s]": 0.67,
    "flip[s]": 0.15, "efficiency[u]": 0.37, "flip[u]": 0.15, "efficiency[d]": 0.41, "flip[d]": 0.19,
}  # fmt: skip
"""From the abstract of the second version of arXiv 2310.03440, at ideal identification of leptons and hadrons."""

TARGETS = {"efficiency[b]": 0.90, "efficiency[c]": 0.75, "efficiency[s]": 0.60}

HIGGS = 46.29 * 20_000
"""Events of nu nu H: cross section in fb times luminosity in fb-1."""

KEPT = 0.5

DECAYS = {"bb": 0.582, "cc": 0.0289, "gg": 0.0818}
Z_DECAYS = {"bb": 0.1512, "cc": 0.1203, "ss": 0.1560, "uu": 0.1160, "dd": 0.1560}
"""Branching ratios."""

BESIDE = ("Higgs decays alone", "with as many other events")
"""What else there is: nothing, and as many events as Higgs decays to two jets."""

Found = list[NDArray[np.int64]]
"""Counts of migration, one matrix a seed."""

RARE = ("ss", "uu", "dd", "sb", "db", "uc", "ds")


def template(matrix: NDArray[np.float64], decay: str) -> NDArray[np.float64]:
    """(66,) categories of a decay: `sb` stands for s with anti-b and anti-s with b in equal parts."""
    a, b = decay
    if decay == "gg":
        return pair_template(matrix, ORIGINS.index("g"), ORIGINS.index("g"))
    pairs = ((a, f"{b}bar"), (b, f"{a}bar"))
    return np.mean([pair_template(matrix, ORIGINS.index(x), ORIGINS.index(y)) for x, y in pairs], axis=0)


def limit(matrix: NDArray[np.float64], decay: str, continuum: float) -> Estimate:
    """Upper limit on the branching ratio of a decay in units of 10⁻³.

    Args:
        matrix: Migration.
        decay: One of `RARE`.
        continuum: Events without a Higgs boson, over those of Higgs decays to two jets.
    """
    n = HIGGS * KEPT
    backgrounds = {name: n * share * template(matrix, name) for name, share in DECAYS.items()}
    if continuum:
        flavours = sum(share * template(matrix, name) for name, share in Z_DECAYS.items()) / sum(Z_DECAYS.values())
        backgrounds["continuum"] = continuum * n * sum(DECAYS.values()) * flavours
    return expected_limit(1e-3 * n * template(matrix, decay), backgrounds, free=tuple(backgrounds))


def simulated(folder: Path, jets: int, seed: int) -> Path:
    """Jets, made anew."""
    produce(Request(n=jets, preset="jet-origin-higgs", seed=seed), folder, workers=os.cpu_count() or 1)
    return folder


def trained(o: argparse.Namespace, identity: Identity, seed: int, jets: Batch, test: Batch) -> NDArray[np.int64]:
    """Counts of migration of a model that is trained from scratch."""
    run = origin(o.size, (str(o.train),), identity=identity, edges=o.edges)
    train = replace(
        run.train, steps=o.steps, lr=o.lr, optimiser=o.optimiser, warmup=max(1, o.steps // 20), valid_every=0,
        save_every=0, ema=0.998 if o.steps > 2000 else 0.9,
    )  # fmt: skip
    run = replace(run, train=train, seed=seed, data=replace(run.data, budget=o.budget, held=0.001))
    with tempfile.TemporaryDirectory() as folder:
        model = execute(run, Path(folder), batch=jets)
    parts = predict(model, (test[i : i + 256] for i in range(0, len(test), 256)), "the test jets")
    return migration(Batch.cat([p.select(["jet"]) for p in parts]))


def rows(found: dict[str, Found]) -> list[tuple[Cell, ...]]:
    """Each number for each identity: over seeds the mean with its error, of one seed with its binomial interval."""
    metrics = {i: [origin_metrics(c, ORIGINS) for c in counts] for i, counts in found.items()}
    out: list[tuple[Cell, ...]] = []
    for name in next(iter(metrics.values()))[0]:
        cells = [m[0][name] if len(m) == 1 else mean([x[name].value for x in m]) for m in metrics.values()]
        out.append((name, *cells, f"{PUBLISHED[name]:.2f}" if name in PUBLISHED else "", target(name, cells[0])))
    return out


def target(name: str, value: Estimate) -> str:
    """Whether the target is reached."""
    if name.startswith("flip"):
        return "≤ 24%: " + ("reached" if value.value <= 0.24 else "missed")
    return (
        f"≥ {TARGETS[name]:.2f}: {'reached' if value.value >= TARGETS[name] else 'missed'}" if name in TARGETS else ""
    )


def main() -> None:
    """Measure and record."""
    parser = options_of(__doc__ or "", seeds=3)
    parser.add_argument("--train", type=Path, help="simulated jets to train on; made with seed 1 if absent")
    parser.add_argument("--test", type=Path, help="other simulated jets; made with seed 2 if absent")
    parser.add_argument(
        "--jets", type=int, default=220_000, help="jets to make for training; for the test a fifth of that"
    )
    parser.add_argument("--steps", type=int, default=8_000)
    parser.add_argument("--size", type=int, default=3, help="the dial of the recipe")
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--optimiser", choices=("adamw", "muon"), default="muon")
    parser.add_argument("--budget", type=int, default=2_048, help="particles in a batch")
    parser.add_argument("--no-edges", dest="edges", action="store_false", help="without `lpm.model.edges`")
    again(parser)
    parser.add_argument("--identities", default="hadrons", help=f"by commas, out of {', '.join(get_args(Identity))}")
    o = parser.parse_args()
    if o.quick:
        o.seeds, o.steps, o.jets = 1, 2, 220
    record = Record(o, "Jets of a Higgs factory know from which of eleven partons they come.")
    paths = [f"particle.{t.field}" for i in ("leptons", "hadrons") for t in seen(i).fields]  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        made = [(o.train, "train", o.jets, 1), (o.test, "test", o.jets // 5, 2)]
        jets, test = (
            record.read(given or simulated(Path(folder) / name, count, seed), (*paths, "jet.label"))
            for given, name, count, seed in made
        )
    identities: list[Identity] = o.identities.split(",")
    wanted = [(i, seed) for i in identities for seed in range(o.seeds if i == identities[0] else 1)]
    budget = {"steps": o.steps, "size": o.size, "lr": o.lr, "optimiser": o.optimiser, "budget": o.budget,
              "edges": o.edges}  # fmt: skip
    settings = {"train": record.data[0]["sha256"], "test": record.data[1]["sha256"], **budget}

    def make(identity: Identity, seed: int) -> dict[str, Any]:
        return {"counts": trained(o, identity, seed, jets, test).tolist()}

    def tables(results: list[dict[str, Any]]) -> None:
        found: dict[str, Found] = {}
        for r in sorted(results, key=lambda r: r["identity"] != identities[0]):
            found.setdefault(r["identity"], []).append(np.array(r["counts"]))
        fill(record, o, found)

    record.notes = [
        f"{len(jets):,} jets to train on, {o.steps:,} steps of {o.budget:,} particles, {len(test):,} test jets.",
        "Published numbers: the abstract of arXiv 2310.03440v2, with full simulation; its limits, with the backgrounds "
        "of a real selection, lie between 0.2 and 1 in the units of the last table.",
    ]
    Parts(record, settings, ("identity", "seed"), tables).make(wanted, make)


def fill(record: Record, o: argparse.Namespace, found: dict[str, Found]) -> None:
    """Tables and pictures."""
    matrix = shares(np.sum(next(iter(found.values())), axis=0))
    names = tuple(f"{i} ({len(c)} seed{'s' if len(c) > 1 else ''})" for i, c in found.items())
    migrated = [(name, *(f"{x:.3f}" for x in row)) for name, row in zip(ORIGINS, matrix, strict=True)]
    decays = RARE[:1] if o.quick else RARE
    limits = {name: {d: limit(matrix, d, continuum) for d in decays} for continuum, name in enumerate(BESIDE)}
    record.tables = [
        Table("Efficiency and charge flip, by what is known of particles", ("", *names, "published", ""), rows(found)),
        Table("Migration: share of the jets of a row that are taken for the column", ("", *ORIGINS), migrated),
        Table(
            "Expected upper limits on branching ratios in 10⁻³, at 95% by CLs",
            ("H →", *BESIDE),
            [(d, *(found[d] for found in limits.values())) for d in decays],
        ),
    ]
    draw(o, "migration", report.migration(matrix, ORIGINS))
    draw(o, "limits", report.limits(limits, x_label="branching ratio [10⁻³]"))
    record.more["migration"] = {"names": list(ORIGINS), "shares": np.round(matrix, 5).tolist()}


def draw(o: argparse.Namespace, name: str, picture: str) -> None:
    """Keep a picture beside the record."""
    folder = o.out or (None if o.quick else RESULTS)
    if folder is not None:
        with atomic_file(folder / f"jet_origin-{name}.svg") as path:
            path.write_text(picture + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
