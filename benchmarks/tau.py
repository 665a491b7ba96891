"""Tau identification: efficiency at fixed misidentification, and what adapting brings back of a wrong simulation.

    python benchmarks/tau.py --make FOLDER          # simulates both samples; about 25 ms a candidate
    python benchmarks/tau.py --data FOLDER

`FOLDER/taus` plays the data, `FOLDER/mismodelled` the simulation. The first table is of a model that learned from
labelled data. The second compares, at one share of quark and gluon jets that pass, models that learned from labelled
simulation, and from data without labels in three ways (`lpm.tasks.transfer`), with the one that learned from labelled
data, which is what could be had at best. All have the same body, steps and number of labelled candidates; the best also
learns the decay, which the first table judges.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from record import Cell, Record, Table, mean, options_of

from lpm.data.batch import Batch
from lpm.data.fields import TAU_CLASSES
from lpm.data.io import find_files, open_file
from lpm.data.tracks import DOMAINS
from lpm.metrics.estimate import Estimate
from lpm.metrics.identification import efficiency_at
from lpm.metrics.roc import roc_auc
from lpm.model.heads import ClassifyConfig
from lpm.model.model import Model
from lpm.recipes import RunConfig, tau
from lpm.recipes.apply import predict
from lpm.recipes.execute import execute
from lpm.records.hashing import hash_file
from lpm.sim.chunk import Request
from lpm.sim.production import produce
from lpm.tasks.tau import TAU, against
from lpm.tasks.transfer import density_ratio, drawn, mixed, morphed, recovered

SIGNALS = ("particle.em_share", "particle.calo_ratio", "particle.d0", "particle.dz", "particle.pt")
WITHOUT, BEST = "simulation alone", "labelled data (best)"
BACKGROUNDS = TAU_CLASSES[:-1]


def read(record: Record, folder: Path, o: argparse.Namespace) -> Batch:
    """All candidates of a folder."""
    parts = []
    for file in find_files(folder):
        with open_file(file) as reader:
            parts += list(reader.batches())
        record.data.append({"name": f"{folder.name}/{file.name}", "sha256": hash_file(file)})
    batch = Batch.cat(parts)
    return batch[: o.most] if o.most else batch


def trained(config: RunConfig, batch: Batch, o: argparse.Namespace, seed: int, labelled: float = 1.0) -> Model:
    """A model of a recipe after so many steps; a step has as many labelled candidates whatever else is in it."""
    most = round(o.batch / labelled)
    train = replace(config.train, steps=o.steps, warmup=max(1, o.steps // 10), valid_every=0, save_every=0)
    data = replace(config.data, held=0.001, budget=64 * most, most=most)
    with tempfile.TemporaryDirectory() as folder:
        return execute(replace(config, train=train, data=data, seed=seed), Path(folder), batch=batch, device="cpu")


def reweighted(simulation: Batch, data: Batch, o: argparse.Namespace, seed: int) -> Model:
    """Trained on simulated candidates drawn by the ratio of densities that a model of the domain gives."""
    run = tau.tau(o.size, decay=False)
    head = ClassifyConfig(target="jet.domain", classes=DOMAINS)
    teller = trained(
        replace(run, model=replace(run.model, heads={"domain": head})),
        mixed(simulation, data, "jet.label", "jet.domain"), o, seed,
    )  # fmt: skip
    score = np.concatenate([
        teller.predict(simulation[i : i + 1024], ("domain",))["domain"][:, 1].double().numpy()
        for i in range(0, len(simulation), 1024)
    ])  # fmt: skip
    return trained(run, drawn(simulation, density_ratio(score), seed), o, seed)


def adversarial(simulation: Batch, data: Batch, o: argparse.Namespace, seed: int) -> Model:
    """Trained on both, with a head whose answer the body must unlearn."""
    run = tau.transfer(o.size, strength=o.strength)
    head = replace(run.model.heads["domain"], batches=o.steps)
    run = replace(run, model=replace(run.model, heads={**run.model.heads, "domain": head}))
    return trained(run, mixed(simulation, data, "jet.label", "jet.domain"), o, seed, labelled=0.5)


def transport(simulation: Batch, data: Batch) -> Batch:
    """Simulated candidates whose signals lie where data have the same quantile, in bins of transverse momentum.

    Energies follow transverse momenta: directions are not moved.
    """
    out = morphed(simulation, data, SIGNALS, "jet.pt", bins=12)
    pt, before = (b.field("particle.pt").values for b in (out, simulation))
    energy = simulation.field("particle.energy").values * pt / before
    return out.with_field("particle", out.schema.field("particle.energy"), energy)


def scored(model: Model, test: Batch) -> Batch:
    """Test candidates with their scores."""
    return Batch.cat(list(predict(model, (test[i : i + 512] for i in range(0, len(test), 512)), "the test candidates")))


def labels_of(batch: Batch, name: str) -> np.ndarray:
    """(N,) whether candidates are of a class."""
    return (batch.field("jet.label").values == TAU_CLASSES.index(name)).numpy()


def efficiencies(answered: Batch, o: argparse.Namespace) -> dict[str, float]:
    """Efficiency of taus at the given share of each background, and the AUC against jets."""
    wanted, out = labels_of(answered, "tau"), {}
    for name in BACKGROUNDS:
        mine = wanted | labels_of(answered, name)
        score = against(answered, name).numpy()[mine]
        out[name] = efficiency_at(score, wanted[mine], o.misid, samples=2).value
        if name == "jet":
            out["auc"] = roc_auc(score, wanted[mine], samples=2).value
    return out


def measure(
    simulation: Batch, data: Batch, test: Batch, o: argparse.Namespace, seed: int
) -> tuple[dict[str, dict[str, float]], Batch]:
    """Efficiencies of every way to learn, and the answers of the best."""
    run = tau.tau(o.size, decay=False)
    makers = {
        WITHOUT: lambda: trained(run, simulation, o, seed),
        "adversarial": lambda: adversarial(simulation, data, o, seed),
        "reweighted": lambda: reweighted(simulation, data, o, seed),
        "transported": lambda: trained(run, transport(simulation, data), o, seed),
        BEST: lambda: trained(tau.tau(o.size), data, o, seed),
    }
    out: dict[str, dict[str, float]] = {}
    answered = test
    for name, make in makers.items():
        answered = scored(make(), test)
        out[name] = efficiencies(answered, o)
        print(f"seed {seed} {name:22s} " + " ".join(f"{k} {v:.4f}" for k, v in out[name].items()), flush=True)
    return out, answered


def share(found: list[dict[str, dict[str, float]]], name: str, of: str) -> Estimate:
    """Share of a loss that is recovered, of the means over seeds; its error by leaving out one seed at a time."""

    def ratio(some: list[dict[str, dict[str, float]]]) -> float:
        without, adapted, best = (float(np.mean([f[n][of] for f in some])) for n in (WITHOUT, name, BEST))
        return recovered(without, adapted, best)

    count = len(found)
    parts = np.array([ratio(found[:i] + found[i + 1 :]) for i in range(count)] if count > 1 else [np.nan])
    return Estimate.symmetric(ratio(found), float(np.sqrt((count - 1) * np.mean((parts - parts.mean()) ** 2))))


def make(folder: Path, o: argparse.Namespace) -> None:
    """Simulate both samples."""
    for name, preset, seed in (("taus", "taus", 1), ("mismodelled", "taus-mismodelled", 2)):
        produce(Request(n=o.number, preset=preset, seed=seed), folder / name, workers=o.workers, resume=True)


def options() -> argparse.Namespace:
    """The command line."""
    parser = options_of(__doc__ or "", seeds=3)
    parser.add_argument("--make", type=Path, help="folder in which to simulate both samples, and nothing else")
    parser.add_argument("--number", type=int, default=24_000, help="candidates of each sample")
    parser.add_argument("--workers", type=int, default=1, help="processes that simulate")
    parser.add_argument("--data", type=Path, help="folder with taus and mismodelled")
    parser.add_argument("--most", type=int, default=0, help="candidates of each sample that are used; 0 for all")
    parser.add_argument("--size", type=int, default=2, help="the dial")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=128, help="labelled candidates of a step")
    parser.add_argument("--strength", type=float, default=0.3, help="of the adversary")
    parser.add_argument("--misid", type=float, default=0.01, help="share of a background that passes")
    o = parser.parse_args()
    if o.quick:
        o.seeds, o.number, o.steps, o.size, o.batch = 2, 120, 2, 1, 16
    return o


def main() -> None:
    """Measure and record."""
    o = options()
    if o.make:
        make(o.make, o)
        return
    record = Record(o, "Taus are identified, and half of what a wrong simulation costs is brought back.")
    with tempfile.TemporaryDirectory() as folder:
        data_folder = o.data or Path(folder)
        if o.data is None:
            make(data_folder, o)
        data, simulation = (read(record, data_folder / n, o) for n in ("taus", "mismodelled"))
    half = len(data) // 2
    test, data = data[half:], data[:half]
    simulation = simulation[: len(data)]
    torch.set_num_threads(1)
    found, answers = zip(*(measure(simulation, data, test, o, seed) for seed in range(o.seeds)), strict=True)
    fill(record, o, list(found), answers[0])
    record.notes.append(
        f"{len(data):,} candidates to train on, {len(test):,} of data to measure with; {o.steps} steps of {o.batch} "
        f"labelled candidates, size {o.size}; adversary of strength {o.strength:g}."
    )
    record.save()


def fill(record: Record, o: argparse.Namespace, found: list[dict[str, dict[str, float]]], best: Batch) -> None:
    """The tables of what was found."""
    judged = TAU.evaluate(best, None, 0)
    rows: list[tuple[Cell, ...]] = [(n, e) for n, e in judged.items()]
    keys = (*BACKGROUNDS, "auc")
    record.tables = [
        Table("A model that learned from labelled data, the first seed", ("quantity", "value"), rows),
        Table(
            f"Efficiency on data where {o.misid:.0%} of a background pass, mean ± standard error over {o.seeds} seeds",
            ("trained on", *(f"against {b}" for b in BACKGROUNDS), "AUC against jets"),
            [(n, *(mean([f[n][k] for f in found]) for k in keys)) for n in found[0]],
        ),
        Table(
            "Share of the loss that is recovered", ("way", *(f"against {b}" for b in BACKGROUNDS), "AUC against jets"),
            [(n, *(share(found, n, k) for k in keys)) for n in found[0] if n not in (WITHOUT, BEST)],
        ),
    ]  # fmt: skip
    record.more = {"found": found}


if __name__ == "__main__":
    main()
