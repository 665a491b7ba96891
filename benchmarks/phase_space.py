"""What hard events without a matrix element are worth: tt with a Higgs boson from phase space, beside Pythia's own.

    python benchmarks/phase_space.py

Pythia has the leading-order matrix elements of gg, qq → ttH, and none of four tops. Both samples go through the same
shower, detector and reconstruction; what differs is how momenta are distributed in the hard process. Compared are means
of the events' observables, and how well boosted trees of these observables tell the two samples apart: 0.5 would mean
not at all.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from record import Cell, Record, Table, mean, options_of

from lpm.data.batch import Batch
from lpm.metrics.roc import roc_auc
from lpm.sim.chunk import Request, simulate_chunk

OBSERVED = ("ht", "met", "jets", "b_jets", "leptons")

WAYS = {"matrix element": "pythia", "phase space": "phase-space"}
"""Names of the samples and their generators; for both there is a card `ttH`."""


def sample(way: str, count: int, seed: int, folder: Path) -> Batch:
    """Events of ttH as sets of objects, without multiparton interactions."""
    generator = WAYS[way]
    preset = folder / f"{generator}.toml"
    preset.write_text(
        f'text = "ttH"\nfind = "objects"\ngenerator = "{generator}"\nenergy = 13000.0\nmpi = false\n'
        'detector = "atlas-delphes"\nclasses = { ttH = ["ttH"] }\n',
        encoding="utf-8",
    )
    request = Request(n=count, preset=str(preset), seed=seed)
    return Batch.cat([simulate_chunk(request, chunk) for chunk in range(request.chunks)])


def observed(batch: Batch) -> np.ndarray:
    """(N, observables) of the events, and the largest |pseudorapidity| and transverse momentum of their jets."""
    eta, pt = batch.field("object.eta"), batch.field("object.pt")
    rows = [[float(e.abs().max()), float(p.max())] for e, p in zip(eta, pt, strict=True)]
    columns = np.stack([batch.field(f"event.{n}").values.double().numpy() for n in OBSERVED], 1)
    return np.concatenate([columns, np.array(rows)], 1)


def main() -> None:
    """Measure and record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--events", type=int, default=2_000, help="of each sample")
    o = parser.parse_args()
    if o.quick:
        o.events = 60
    record = Record(o, "How far events of phase space alone are from those of a matrix element.")
    with tempfile.TemporaryDirectory() as folder:
        x = {way: observed(sample(way, o.events, 7 + i, Path(folder))) for i, way in enumerate(WAYS)}
    names = (*OBSERVED, "largest pseudorapidity", "largest pt")
    rows: list[tuple[Cell, ...]] = []
    for i, name in enumerate(names):
        a, b = (x[w][:, i] for w in WAYS)
        rows.append((name, mean(a.tolist()), mean(b.tolist()), f"{b.mean() / a.mean():.2f}"))
    record.tables = [
        Table("Means over events of ttH", ("observable", *WAYS, "ratio"), rows),
        Table("Told apart", ("by", "AUC"), [("boosted trees of these observables", apart(*x.values()))]),
    ]
    record.notes.append(f"{o.events:,} events of each sample, GeV; half of them train the trees, the others are told.")
    record.save()


def apart(a: np.ndarray, b: np.ndarray) -> Cell:
    """AUC of trees that tell two samples."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    x, y = np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])
    half = np.random.default_rng(0).random(len(y)) < 0.5
    trees = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.05, max_leaf_nodes=4, random_state=0).fit(
        x[half], y[half]
    )
    return roc_auc(trees.predict_proba(x[~half])[:, 1], y[~half], samples=200)


if __name__ == "__main__":
    main()
