"""Fine classes of jets: what flat weights cost and save, whether scores are probabilities, how well masses are found.

    lpm simulate jets fine -n 60000 --preset fine --seed 7
    python benchmarks/fine_taggers.py --data fine --steps 3000

Two taggers of the 42 fine classes are trained on the same jets with the same budget: with weights under which mass and
transverse momentum are flat in each class, and with the jets as simulated. A part of the jets is seen by no training.
Half of it fits cuts that move with mass and momentum, and calibrations; the other half judges everything. Sculpting is
1/JSD of the soft-drop mass of QCD jets at a background efficiency of 10%; its ceiling is what random choices reach.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from record import Record, Table, mean, options_of

from lpm.data.batch import Batch
from lpm.data.fine import FINE
from lpm.metrics.calibration import FLOOR, fit_isotonic, fit_temperature
from lpm.metrics.classification import calibration_error
from lpm.metrics.decorrelation import fit_cut, sculpting, threshold
from lpm.metrics.discriminant import PUBLISHED
from lpm.metrics.roc import roc_auc
from lpm.model.heads.base import class_index
from lpm.recipes.apply import predict
from lpm.recipes.execute import execute
from lpm.recipes.fine import fine
from lpm.tasks.fine import MASS_EDGES, evaluate, members, scores_of

FLAT, PLAIN, MOVING = "flat weights", "as simulated", "as simulated, moving cut"
FIELDS = ("jet.pt", "jet.mass", "jet.sdmass", "jet.mass_factor", "jet.target_mass", "jet.label", "particle")

Numbers = dict[str, float]


def trained(o: argparse.Namespace, batch: Batch, test: Batch, seed: int, decorrelate: bool) -> Batch:
    """Test jets with the scores of a tagger."""
    run = fine(o.size, inputs=o.inputs, body=o.body, decorrelate=decorrelate)
    train = replace(run.train, steps=o.steps, warmup=max(1, o.steps // 15), valid_every=0, save_every=0, patience=0)
    data = replace(run.data, held=0.001)
    with tempfile.TemporaryDirectory() as folder:
        model = execute(replace(run, train=train, data=data, seed=seed), Path(folder), batch=batch)
    parts = predict(model, (test[i : i + 512] for i in range(0, len(test), 512)), "the test jets")
    return Batch.cat(list(parts))


def quarks(batch: Batch) -> np.ndarray:
    """(N,) which jets are of QCD, with a mass within the bins."""
    mass = batch.field("jet.sdmass").values.numpy()
    return members(batch, ["QCD"]) & (mass >= MASS_EDGES[0]) & (mass < MASS_EDGES[-1])


def judged(fit: Batch, judge: Batch, share: float) -> tuple[dict[str, Numbers], dict[str, Numbers]]:
    """AUC and sculpting of each discriminant, with a fixed cut and with one that moves."""
    fixed: dict[str, Numbers] = {}
    moving: dict[str, Numbers] = {}
    for d in PUBLISHED:
        signal, background = members(judge, d.signal), members(judge, d.background)
        value, either = d.value(scores_of(judge), FINE), signal | background
        auc = roc_auc(value[either], signal[either], samples=2).value
        here, there = quarks(judge), quarks(fit)
        mass, pt = (judge.field(f"jet.{n}").values.double().numpy()[here] for n in ("sdmass", "pt"))
        at = [fit.field(f"jet.{n}").values.double().numpy()[there] for n in ("sdmass", "pt")]
        bins = (10, 2) if there.sum() * share >= 60 else (2, 1)
        cut = fit_cut(d.value(scores_of(fit), FINE)[there], *at, share, bins=bins)
        ways = {"fixed": value[here] >= threshold(value[here], share), "moving": cut.passes(value[here], mass, pt)}
        found = {n: sculpting(mass, passed, MASS_EDGES, samples=20) for n, passed in ways.items()}
        fixed[d.name] = {"auc": auc, "sculpting": 1 / found["fixed"].jsd.value, "ceiling": found["fixed"].ceiling.value}
        moving[d.name] = {"auc": auc, "sculpting": 1 / found["moving"].jsd.value}
    return fixed, moving


def calibrations(fit: Batch, judge: Batch) -> dict[str, Numbers]:
    """Calibration error and cross entropy of scores as they are and calibrated."""
    (p, y), (q, z) = (
        (np.stack(list(scores_of(b).values()), 1), class_index(b, "jet.label", FINE.leaves, {}).numpy())
        for b in (fit, judge)
    )
    made = {"as they are": q, "temperature": fit_temperature(p, y, FINE.leaves)(q)}
    made["isotonic"] = fit_isotonic(p, y, FINE.leaves)(q)
    return {
        name: {
            "ece": calibration_error(x, z, samples=2).value,
            "cross entropy": float(-np.log(np.maximum(x[np.arange(len(z)), z], FLOOR)).mean()),
        }
        for name, x in made.items()
    }


def main() -> None:
    """Measure and record."""
    parser = options_of(__doc__ or "", seeds=3)
    parser.add_argument("--data", type=Path, required=True, help="jets of the preset fine")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--size", type=int, default=3, help="the dial, for body lpm")
    parser.add_argument("--body", default="particle_transformer")
    parser.add_argument("--inputs", default="full")
    parser.add_argument("--test", type=float, default=0.3, help="share of the jets that no training sees")
    parser.add_argument(
        "--efficiency", type=float, default=0.1, help="share of QCD jets that pass where masses are judged"
    )
    o = parser.parse_args()
    if o.quick:
        o.seeds, o.steps, o.efficiency = 2, 2, 0.5
    record = Record(o, "Flat weights keep the mass spectrum of QCD jets where a tagger would change it.")
    batch = record.read(o.data, FIELDS)
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
    cut = [round(o.test / 2 * len(batch)), round(o.test * len(batch))]
    fit, judge, train = (batch[order[a:b]] for a, b in ((0, cut[0]), (cut[0], cut[1]), (cut[1], len(batch))))
    found: dict[str, list[dict[str, Numbers]]] = {FLAT: [], PLAIN: [], MOVING: []}
    scores: list[dict[str, Numbers]] = []
    masses: list[Numbers] = []
    for seed in range(o.seeds):
        for name in (FLAT, PLAIN):
            scored = trained(o, train, Batch.cat([fit, judge]), seed, name == FLAT)
            first, second = scored[: len(fit)], scored[len(fit) :]
            fixed, moving = judged(first, second, o.efficiency)
            found[name].append(fixed)
            if name == PLAIN:
                found[MOVING].append(moving)
                scores.append(calibrations(first, second))
            else:
                masses.append({k: e.value for k, e in evaluate(second, None, seed).items() if k.startswith("mass_")})
            print(seed, name, fixed, flush=True)
    record.tables = tables(found, scores, masses, o)
    record.notes = [
        f"{len(train):,} jets to train on, {len(fit):,} to fit cuts and calibrations, {len(judge):,} to judge; body "
        f"{o.body}, inputs {o.inputs}, {o.steps:,} steps."
    ]
    record.more = {"found": found, "scores": scores, "masses": masses}
    record.save()


def tables(
    found: dict[str, list[dict[str, Numbers]]],
    scores: list[dict[str, Numbers]],
    masses: list[Numbers],
    o: argparse.Namespace,
) -> list[Table]:
    """Means over seeds."""
    over = f"mean ± standard error over {o.seeds} seeds"
    names = [d.name for d in PUBLISHED]
    first = Table(
        f"Area under the ROC curve and 1/JSD of the QCD mass at {o.efficiency:.0%}, {over}",
        ("discriminant", *(f"AUC, {n}" for n in (FLAT, PLAIN)), *(f"1/JSD, {n}" for n in found), "ceiling"),
        [
            (
                name, *(mean([f[name]["auc"] for f in found[n]]) for n in (FLAT, PLAIN)),
                *(mean([f[name]["sculpting"] for f in found[n]]) for n in found),
                mean([f[name]["ceiling"] for f in found[FLAT]]),
            )
            for name in names
        ],
    )  # fmt: skip
    second = Table(
        f"Are the scores probabilities ({PLAIN})? {over}",
        ("scores", "calibration error", "cross entropy [nat]"),
        [(n, *(mean([s[n][k] for s in scores]) for k in ("ece", "cross entropy"))) for n in scores[0]],
    )
    third = Table(
        f"Relative bias and width of the mass, {over}",
        ("jets", "mass", "bias", "width"),
        [
            (node, way, *(mean([m[f"mass_{k}[{node}].{way}"] for m in masses]) for k in ("bias", "width")))
            for node in ("H", "top")
            for way in ("regressed", "sdmass")
        ],
    )
    return [first, second, third]


if __name__ == "__main__":
    main()
