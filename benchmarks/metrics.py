"""Metrics beside those of others: the same numbers, and the time they take.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py

FPD, KPD and W1 are compared with `jetnet` 0.2.5. It has no sliced Wasserstein distance and no ROC curve: there the
peers are loops over `scipy.stats.wasserstein_distance`, with which jetnet finds its W1, and over scikit-learn's
`roc_auc_score`. Both sides get the same events, number of bootstrap samples and seeds, so that they draw the same
events, and both answers, the value and its error, must agree to 1e-6: otherwise the program stops. Then both sides take
turns, as many as `--repeats` times, in one process and on one thread. What counts are CPU seconds, so that other work
on the machine does not. A ratio is that of two turns that follow one another; the median is given with the interval
that holds 68% of the medians of resampled turns.

Jets have up to 30 particles, as those of JetNet: jetnet gets them padded, lpm packed, both ready-made. The W1 of the
mass includes the computation of the masses. jetnet's value of W1 is the mean over bootstrap samples; lpm's estimate is
that of the samples themselves, and `replicated` gives jetnet's.

jetnet 0.2.5 imports `wasserstein`, whose wheel was built for numpy 1:

    pip install jetnet==0.2.5
    pip install --no-build-isolation --no-deps --no-binary wasserstein wasserstein   # needs swig
"""

from __future__ import annotations

import hashlib
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from record import Record, Table, median, options_of
from scipy.stats import wasserstein_distance
from sklearn.metrics import roc_auc_score

from lpm.data.batch import Ragged
from lpm.metrics.estimate import Array, Estimate, interval
from lpm.metrics.frechet import fpd
from lpm.metrics.kernel import kpd
from lpm.metrics.roc import roc_auc
from lpm.metrics.wasserstein import replicated, sliced_wasserstein
from lpm.physics.kinematics import cartesian, mass

TOLERANCE = 1e-6
LONGEST = 30
FIELDS = ("eta", "phi", "pt")
BATCHES = 5  # bootstrap samples of W1: jetnet's default
DIRECTIONS = 16
RESAMPLES = 100  # of the AUC

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Pair:
    """One metric: what it is, the peer's way to all its numbers, and ours."""

    name: str
    peer: str
    theirs: Callable[[], Numbers]
    ours: Callable[[], Numbers]


def jets(count: int, seed: int, scale: float) -> tuple[Array, Array]:
    """Jets of 20 to 30 particles: (count, 30, 3) padded, and (count,) lengths. Numbers are those of float32."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(20, LONGEST + 1, count)
    x = np.empty((count, LONGEST, 3), dtype=np.float32)
    x[..., 0], x[..., 1] = scale * 0.2 * rng.normal(size=(2, count, LONGEST))
    x[..., 2] = rng.exponential(0.04 * scale, (count, LONGEST))
    x[np.arange(LONGEST) >= lengths[:, None]] = 0
    return x.astype(np.float64), lengths


def packed(padded: Array, lengths: Array) -> Ragged:
    """The same jets as a Batch holds them."""
    rows = padded[np.arange(LONGEST) < lengths[:, None]]
    return Ragged.from_lengths(torch.from_numpy(rows), torch.from_numpy(lengths))


def masses(particles: Ragged) -> Array:
    """(B,) masses of jets of massless particles."""
    eta, phi, pt = particles.values.T.contiguous()  # one column after the other: sines of those are twice as fast
    p = torch.stack([*cartesian(pt, eta, phi), pt * eta.cosh()], 1)
    return mass(*particles.with_values(p).sum().unbind(1)).numpy()


def of_estimate(e: Estimate) -> Numbers:
    """Value and error."""
    return e.value, e.error


def of_replicas(*found: tuple[float, Array]) -> Numbers:
    """What jetnet calls value and error of W1, for each field."""
    return (*(float(r.mean()) for _, r in found), *(float(r.std()) for _, r in found))


def jetnet_pairs(count: int, quick: bool) -> list[Pair]:
    """FPD, KPD and W1."""
    try:
        import jetnet.evaluation.gen_metrics as jetnet
    except ImportError as error:
        if quick:
            return []
        sys.exit(f"the peer is missing: {error}; see the head of this file")
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=(2, count, 10)), rng.normal(size=(2, count, 36)) / 4
    few[1] *= 1.02
    many[1] *= 1.02
    sizes = {"min_samples": count // 5, "max_samples": count}
    size = count // 10
    jetnet.kpd(few[0][:50], few[1][:50], batch_size=20)  # numba compiles
    (x, n), (y, m) = jets(count, 1, 1.0), jets(count, 2, 1.05)
    a, b = packed(x, n), packed(y, m)

    def drawn(call: Callable[..., Any], *data: Array) -> Numbers:
        jetnet.rng = np.random.default_rng(0)  # else it draws others than we each time
        return tuple(float(v) for part in call(*data, num_eval_samples=count) for v in np.atleast_1d(part))

    def particles() -> Numbers:
        rows = {"x_event": a.event.numpy(), "y_event": b.event.numpy(), "samples": BATCHES}
        fields = range(len(FIELDS))
        return of_replicas(*(replicated(a.values[:, i].numpy(), b.values[:, i].numpy(), **rows) for i in fields))

    return [
        *(
            Pair(f"FPD, {s.shape[2]} features", "jetnet", lambda s=s: jetnet.fpd(*s, **sizes),
                 lambda s=s: of_estimate(fpd(*s, **sizes)))
            for s in (few, many)
        ),
        *(
            Pair(f"KPD, {s.shape[2]} features", "jetnet", lambda s=s: jetnet.kpd(*s, batch_size=size),
                 lambda s=s: of_estimate(kpd(*s, batch_size=size)))
            for s in (few, many)
        ),
        Pair("W1 of η, φ and pT of particles", "jetnet", lambda: drawn(jetnet.w1p, x, y), particles),
        Pair("W1 of the jet mass", "jetnet", lambda: drawn(jetnet.w1m, x, y),
             lambda: of_replicas(replicated(masses(a), masses(b), samples=BATCHES))),
    ]  # fmt: skip


def loops(count: int) -> list[Pair]:
    """Sliced W1 and AUC, beside loops over the functions of scipy and scikit-learn."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, count, 10))
    x *= 1.1
    label = np.arange(2 * count) % 2
    score = (rng.normal(size=2 * count) + label).astype(np.float32)

    def slices() -> Numbers:
        rng = np.random.default_rng(0)
        u = rng.normal(size=(10, DIRECTIONS))
        u /= np.linalg.norm(u, axis=0)
        p, q = ((s - y.mean(0)) / y.std(0) @ u for s in (x, y))
        events = [(np.arange(count),) * 2] + [(rng.integers(0, count, count), rng.integers(0, count, count))
                                              for _ in range(BATCHES)]  # fmt: skip
        value, *drawn = (
            float(np.mean([wasserstein_distance(p[i, k], q[j, k]) for k in range(DIRECTIONS)])) for i, j in events
        )
        return of_estimate(interval(value, np.array(drawn), method="normal"))

    def areas() -> Numbers:
        rng = np.random.default_rng(0)
        rows = [rng.integers(0, len(label), len(label)) for _ in range(RESAMPLES)]
        drawn = np.array([roc_auc_score(label[r], score[r]) for r in rows])
        return of_estimate(interval(float(roc_auc_score(label, score)), drawn))

    return [
        Pair("sliced W1, 10 features", "scipy", slices,
             lambda: of_estimate(sliced_wasserstein(x, y, directions=DIRECTIONS, samples=BATCHES))),
        Pair("AUC", "scikit-learn", areas, lambda: of_estimate(roc_auc(score, label, samples=RESAMPLES))),
    ]  # fmt: skip


def timed(pair: Pair, repeats: int) -> tuple[float, list[float], list[float]]:
    """Largest relative difference of the answers, and CPU seconds of each turn: theirs, ours."""
    seconds: tuple[list[float], list[float]] = ([], [])
    worst = 0.0
    for _ in range(repeats):
        answers = []
        for call, spent in zip((pair.theirs, pair.ours), seconds, strict=True):
            start = time.process_time()
            answers.append(np.array(call()))
            spent.append(time.process_time() - start)
        worst = max(worst, float(np.max(np.abs(answers[0] - answers[1]) / np.abs(answers[0]))))
    return worst, *seconds


def main() -> None:
    """Compare, time, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--events", type=int, default=50_000, help="events of each sample")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side")
    o = parser.parse_args()
    if o.quick:
        o.events, o.repeats = 2_000, 1
    record = Record(o, "Metrics give the numbers of jetnet, scipy and scikit-learn in less time.")
    torch.set_num_threads(1)
    rows: list[tuple[Estimate | str, ...]] = []
    short: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # jetnet asks for 50,000 events
        pairs = [*jetnet_pairs(o.events, o.quick), *loops(o.events)]
        for pair in pairs:
            difference, theirs, ours = timed(pair, o.repeats)
            print(f"{pair.name}: largest relative difference {difference:.1e}", flush=True)
            if not difference <= TOLERANCE:
                sys.exit(f"{pair.name}: the answers differ by more than {TOLERANCE:g}: nothing is compared")
            ratio = median([a / b for a, b in zip(theirs, ours, strict=True)])
            rows.append((pair.name, pair.peer, f"{difference:.0e}", median(theirs), median(ours), ratio))
            short += [f"{pair.name} ({ratio})"] if ratio.value < 10 else []
    record.tables = [
        Table("CPU seconds on one thread", ("metric", "peer", "difference", "peer (s)", "lpm (s)", "ratio"), rows)
    ]
    record.notes = [
        f"{o.events:,} events in each sample; {o.repeats} turns of each side. FPD from {o.events // 5:,} to "
        f"{o.events:,} events, 20 draws of 10 sizes; KPD of 10 batches of {o.events // 10:,}; W1 with {BATCHES} "
        f"bootstrap samples; sliced W1 in {DIRECTIONS} directions with {BATCHES} bootstrap samples; AUC of "
        f"{2 * o.events:,} events with {RESAMPLES}.",
        "Difference: the largest relative difference between the two sides' values and errors.",
        "Target: 10 times as fast; " + (f"missed by {', '.join(short)}." if short else "met by all."),
    ]
    if len(pairs) < 3:
        record.notes.append("jetnet is not installed: only scipy and scikit-learn were compared.")
    digest = hashlib.sha256(jets(o.events, 1, 1.0)[0].tobytes()).hexdigest()
    record.data.append({"name": "drawn jets", "sha256": digest, "jets": o.events})
    record.save()


if __name__ == "__main__":
    main()
