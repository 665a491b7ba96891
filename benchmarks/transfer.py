"""What a wrong simulation costs in particle identification, and how much of it adapting to unlabelled data brings back.

    python benchmarks/transfer.py

Tracks of the card `mismodelled` play the simulation, those of `alice` the data. Models learn from labelled simulation
and from data without labels; the last learns from labelled data and says what could be had at best. All have the same
architecture and see as many labelled tracks. On other tracks of data, which no training sees, the efficiency to select
a species is read off where a given share of all other tracks passes. How well the domains can still be told is the AUC
of boosted trees, trained for this on half of the states of both kinds of tracks and asked about the other half; the
simulated ones are thinned or transported where those of the training are.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from record import Cell, Record, Table, mean, options_of

from lpm.data.batch import Batch
from lpm.data.tracks import DOMAINS
from lpm.metrics.estimate import Estimate
from lpm.metrics.identification import efficiency_at
from lpm.metrics.roc import roc_auc
from lpm.model.heads import ClassifyConfig
from lpm.model.model import Model
from lpm.recipes import RunConfig, pid
from lpm.recipes.execute import execute
from lpm.sim.pid import simulate
from lpm.tasks.pid import truth_of
from lpm.tasks.transfer import density_ratio, drawn, mixed, morphed, recovered, thinned

SPECIES = ("e", "mu", "pi", "K", "p")
ASKED = ("e", "pi", "K", "p")
SIGNALS = ("its.dedx", "tpc.dedx", "tof.beta", "trd.charge", "trd.late")
WITHOUT, ADVERSARIAL, BEST = "simulation alone", "adversarial", "labelled data (best)"


def trained(config: RunConfig, batch: Batch, o: argparse.Namespace, seed: int, labelled: float = 1.0) -> Model:
    """A model of a recipe after so many steps; a step has as many labelled tracks whatever else is in it."""
    most = round(512 / labelled)
    train = replace(config.train, steps=o.steps, warmup=o.steps // 10, valid_every=0, save_every=0)
    data = replace(config.data, held=0.001, budget=2 * most, most=most)
    with tempfile.TemporaryDirectory() as folder:
        return execute(replace(config, train=train, data=data, seed=seed), Path(folder), batch=batch, device="cpu")


def adversarial(simulation: Batch, data: Batch, o: argparse.Namespace, seed: int) -> Model:
    """Trained on both, the simulated ones seen as often as data, with a head whose answer the body must unlearn."""
    run = pid.transfer(strength=o.strength)
    head = replace(run.model.heads["domain"], batches=o.steps)
    run = replace(run, model=replace(run.model, heads={**run.model.heads, "domain": head}))
    run = replace(run, train=replace(run.train, weights={"domain": o.weight}))
    return trained(
        run, mixed(thinned(simulation, data, "track.pt"), data, "track.species", "track.domain"), o, seed, labelled=0.5
    )


def reweighted(simulation: Batch, data: Batch, o: argparse.Namespace, seed: int) -> Model:
    """Trained on simulated tracks drawn by the ratio of densities that a model of the domain gives."""
    run = pid.multi()
    head = ClassifyConfig(target="track.domain", classes=DOMAINS)
    run = replace(run, model=replace(run.model, heads={"domain": head}))
    both = mixed(simulation, data, "track.species", "track.domain")
    teller = trained(run, both, o, seed)
    score = np.concatenate([
        teller.predict(simulation[i : i + 4096], ("domain",))["domain"][:, 1].double().numpy()
        for i in range(0, len(simulation), 4096)
    ])  # fmt: skip
    return trained(pid.multi(), drawn(simulation, density_ratio(score), seed), o, seed)


def transport(simulation: Batch, data: Batch) -> Batch:
    """Simulated tracks that are seen as often as data, their signals where data have the same quantile."""
    return morphed(thinned(simulation, data, "track.pt"), data, SIGNALS, "track.p")


def transported(simulation: Batch, data: Batch, o: argparse.Namespace, seed: int) -> Model:
    """Trained on transported simulation."""
    return trained(pid.multi(), transport(simulation, data), o, seed)


def states(model: Model, batch: Batch) -> torch.Tensor:
    """(N, D) what the model makes of each track, before any head."""
    view = model.head("species").view
    with torch.no_grad():
        parts = [model.hidden(b, model.encode(b), view).pooled
                 for b in (batch[i : i + 4096] for i in range(0, len(batch), 4096))]  # fmt: skip
    return torch.cat(parts)


def domain_auc(model: Model, simulation: Batch, data: Batch, rounds: int) -> float:
    """How well trees tell simulation from data by these states."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = torch.cat([states(model, simulation), states(model, data)]).numpy()
    y = np.repeat([0, 1], [len(simulation), len(data)])
    half = np.random.default_rng(0).random(len(y)) < 0.5
    trees = HistGradientBoostingClassifier(max_iter=rounds, random_state=0).fit(x[half], y[half])
    return roc_auc(trees.predict_proba(x[~half])[:, 1], y[~half], samples=2).value


def measure(o: argparse.Namespace, seed: int) -> dict[str, dict[str, float]]:
    """Efficiencies by species, and the AUC of the domain, of every way to learn."""
    n, m = o.tracks, o.test
    simulation, data = simulate(n, 10 * seed + 1, "mismodelled"), simulate(n, 10 * seed + 2)
    other, test = simulate(m, 10 * seed + 3, "mismodelled"), simulate(m, 10 * seed + 4)
    makers = {
        WITHOUT: lambda: trained(pid.multi(), simulation, o, seed),
        ADVERSARIAL: lambda: adversarial(simulation, data, o, seed),
        "reweighted": lambda: reweighted(simulation, data, o, seed),
        "transported": lambda: transported(simulation, data, o, seed),
        BEST: lambda: trained(pid.multi(), data, o, seed),
    }
    # The domains are told from what each way makes of simulation.
    seen = {ADVERSARIAL: thinned(other, data, "track.pt"), "transported": transport(other, data)}
    labels, out = truth_of(test, SPECIES).numpy(), {}
    for name in [m for m in makers if m.startswith(tuple(o.methods.split(",")))]:
        start = time.perf_counter()
        model = makers[name]()
        p = np.concatenate([model.predict(test[i : i + 4096], ("species",))["species"].double().numpy()
                            for i in range(0, m, 4096)])  # fmt: skip
        found = {s: efficiency_at(p[:, SPECIES.index(s)], labels == SPECIES.index(s), o.misid, samples=2).value
                 for s in ASKED}  # fmt: skip
        found["mean"] = float(np.mean(list(found.values())))
        found["accuracy"] = float((p.argmax(1) == labels).mean())
        found["domain"] = domain_auc(model, seen.get(name, other), test, o.trees)
        found["seconds"] = time.perf_counter() - start
        out[name] = found
        print(f"seed {seed} {name:22s} " + " ".join(f"{k} {v:.4f}" for k, v in found.items()), flush=True)
    return out


def share(found: list[dict[str, dict[str, float]]], name: str, of: str) -> Estimate:
    """Share of a loss that is recovered, of the means over seeds; its error by leaving out one seed at a time."""

    def ratio(some: list[dict[str, dict[str, float]]]) -> float:
        without, adapted, best = (float(np.mean([f[n][of] for f in some])) for n in (WITHOUT, name, BEST))
        return recovered(without, adapted, best)

    count = len(found)
    parts = np.array([ratio(found[:i] + found[i + 1 :]) for i in range(count)] if count > 1 else [np.nan])
    error = float(np.sqrt((count - 1) * np.mean((parts - parts.mean()) ** 2)))
    return Estimate.symmetric(ratio(found), error)


def main() -> None:
    """Measure and record."""
    parser = options_of(__doc__ or "", seeds=3)
    parser.add_argument("--tracks", type=int, default=30_000, help="tracks of each domain to train on")
    parser.add_argument("--test", type=int, default=20_000, help="tracks of each domain to measure with")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--strength", type=float, default=0.1, help="of the adversary")
    parser.add_argument("--weight", type=float, default=1.0, help="of the adversary's own loss")
    parser.add_argument("--trees", type=int, default=30, help="rounds of the trees that tell domains")
    parser.add_argument("--misid", type=float, default=0.01, help="share of other tracks that pass")
    parser.add_argument("--methods", default="", help="only those whose names begin so, by commas")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    o = parser.parse_args()
    if o.quick:
        o.seeds, o.tracks, o.test, o.steps, o.trees = 2, 600, 600, 2, 3
    record = Record(o, "How much of what a wrong simulation costs adapting to unlabelled data brings back.")
    found = [measure(o, o.first + seed) for seed in range(o.seeds)]
    names = list(found[0])
    rows: list[tuple[Cell, ...]] = [
        (n, *(mean([f[n][k] for f in found]) for k in (*ASKED, "mean", "accuracy", "domain"))) for n in names
    ]
    columns = ("trained on", *(f"ε({s})" for s in ASKED), "mean", "accuracy", "AUC of the domain")
    title = f"Efficiency on data at {o.misid:.0%} misidentification, mean ± standard error over {o.seeds} seeds"
    record.tables = [Table(title, columns, rows)]
    if WITHOUT in names and BEST in names:
        back = [
            (n, *(share(found, n, k) for k in (*ASKED, "mean", "accuracy"))) for n in names if n not in (WITHOUT, BEST)
        ]
        record.tables.append(Table("Share of the loss that is recovered", ("way", *ASKED, "mean", "accuracy"), back))
    record.notes.append(
        f"{o.tracks:,} tracks of each domain to train on, {o.test:,} to measure with; {o.steps} steps of 512 labelled "
        f"tracks; adversary: strength {o.strength:g}, weight {o.weight:g}."
    )
    record.more = {"found": found}
    record.save()


if __name__ == "__main__":
    main()
