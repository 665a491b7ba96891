"""A training step of a generative transformer: ours on packed jets, beside one on jets padded to 128 rows.

    python benchmarks/generative_training.py --threads 1

Both have the size of OmniJet-α (see `generators.py`) and learn the next of 8,192 codes or the end, on the same jets, as
long as those of JetClass. A step is forward, loss, backward and AdamW. The peer gets its padded words ready-made, and
its loss runs over all 128 rows, as published; ours makes codes from values within the measured time. The peer runs
twice: with attention written out, as published, and with PyTorch's fused attention, which it could have.

The sides take turns in one process; seconds are those of the processor, which other work on the machine does not slow.
A ratio is that of two turns that follow one another; the median is given with the interval that holds 68% of the
medians of resampled turns. A second table says what the vocabulary takes of a step: log-odds and cross-entropy of all
rows with their gradients, timed alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from generators import CODES, Padded, ours, padded, parameters, speeds
from particle_transformer import jets, training_step
from record import Cell, Record, Table, median, options_of
from torch import nn

TARGET = 3
PUBLISHED = "padded, attention as published"


def vocabulary(rows: int, words: int) -> Callable[[], object]:
    """Log-odds and cross-entropy of so many rows, and their gradients."""
    x, last, target = torch.randn(rows, 256), nn.Linear(256, words), torch.randint(0, words, (rows,))
    x.requires_grad_()
    return lambda: F.cross_entropy(last(x), target).backward()


def main() -> None:
    """Train, time, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--jets", type=int, default=128, help="jets of a step")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each side")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    o = parser.parse_args()
    if o.quick:
        o.jets, o.repeats = 2, 1
    threads = torch.get_num_threads()
    torch.set_num_threads(o.threads)
    record = Record(o, "Generative training on packed jets does no work on padding.")
    batch = record.drawn(jets(o.jets, seed=1))
    model = ours(batch).train()
    codes = model.encode(batch)["particle"].codes
    assert codes is not None
    words, asked = padded(codes, batch)
    peers = {PUBLISHED: Padded().train(), "padded, fused attention": Padded(fused=True).train()}
    sides = {"lpm": (o.jets, training_step(model, lambda: torch.mean(model(batch)["next"])))}
    for name, peer in peers.items():
        loss = lambda p=peer: F.cross_entropy(p(words).flatten(0, 1), asked.flatten())  # noqa: E731
        sides[name] = (o.jets, training_step(peer, loss))
    counts = {"lpm": len(codes), PUBLISHED: asked.numel()}
    parts = {"lpm": vocabulary(len(codes), CODES), PUBLISHED: vocabulary(asked.numel(), CODES + 2)}
    speeds(sides, 1)  # the first turns make buffers and are not counted
    found = speeds(sides, o.repeats)
    alone = speeds({n: (o.jets, part) for n, part in parts.items()}, min(3, o.repeats))
    torch.set_num_threads(threads)
    title, columns = (
        f"Speed on the CPU, {o.threads} threads, by processor time",
        ("", "parameters", "jets/s", "lpm is faster by"),
    )
    rows: list[tuple[Cell, ...]] = [("lpm", parameters(model), median(found["lpm"]), "")]
    rows += [(n, parameters(p), median(found[n]), median(found["lpm"] / found[n])) for n, p in peers.items()]
    columns2, shares = ("", "rows", "step (s)", "vocabulary (s)", "share"), list[tuple[Cell, ...]]()
    for name, count in counts.items():
        step, part = median(o.jets / found[name]), median(o.jets / alone[name])
        shares.append((name, f"{count:,}", step, part, f"{part.value / step.value:.0%}"))
    record.tables = [Table(title, columns, rows), Table("What the vocabulary takes", columns2, shares)]
    reached = median(found["lpm"] / found[PUBLISHED]).value >= TARGET
    record.notes = [
        f"Target: {TARGET} times the padded step as published: {'reached' if reached else 'missed'}. The padded step "
        f"has {asked.numel() / (len(codes) + o.jets):.2f} times the rows of ours: "
        "work that grows with the rows gains no more.",
        f"Median of {o.repeats} turns, {o.jets} jets a step, {len(codes) / o.jets:.1f} particles a jet in the mean.",
        "The vocabulary of ours is asked for particles only; the end of a jet is an output of its own.",
    ]
    record.save()


if __name__ == "__main__":
    main()
