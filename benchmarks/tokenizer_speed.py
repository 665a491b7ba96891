"""How many jets a second become tokens, and jets again, beside the tokenizer of OmniJet-α.

    OMP_NUM_THREADS=1 python benchmarks/tokenizer_speed.py

The same jets are encoded and decoded by each tokenizer, in batches of a budget of particles, turn by turn on one
thread; what counts are CPU seconds. The peer has the published configuration (see `omnijet.py`, where its quality is
compared); no codebook is trained, for the time does not depend on what it learned. A ratio is that of two turns that
follow one another; the median is given with the interval that holds 68% of the medians of resampled turns.
"""

from __future__ import annotations

import time

import torch
from loader import jets
from omnijet import OmniJetTokenizer
from record import Cell, Record, Table, median, options_of
from tokenizers import configs

from lpm.data.batch import Batch
from lpm.data.source import Source
from lpm.metrics.estimate import Estimate
from lpm.tokens import Tokenizer

PEER = "OmniJet-α"


def main() -> None:
    """Check, time, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--jets", type=int, default=2_000, help="jets of a turn")
    parser.add_argument("--codes", type=int, default=8_192, help="size of the codebooks")
    parser.add_argument("--budget", type=int, default=4_096, help="particles in a batch")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side")
    o = parser.parse_args()
    if o.quick:
        o.jets, o.codes, o.repeats = 50, 64, 1
    torch.set_num_threads(1)
    record = Record(o, "How many jets a second become tokens, and jets again, beside the tokenizer of OmniJet-α.")
    batch = record.drawn(jets(o.jets, 0))
    parts = list(Source.from_batch(batch, budget=o.budget, seed=0, shuffle=False, epochs=1))
    made = {name: config.build().fit(parts).eval() for name, config in configs([o.codes]).items()}
    made[PEER] = OmniJetTokenizer(o.codes).fit(parts).eval()
    for tokenizer in made.values():  # the first turn is not like the others
        turn(tokenizer, parts[:1])
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in made}
    for _ in range(o.repeats):
        for name, tokenizer in made.items():
            spent[name].append(turn(tokenizer, parts))
    record.tables = [table(spent, o.jets)]
    record.notes = [
        f"Median of {o.repeats} turns of {o.jets:,} jets, {len(batch.collections['particle'].values) / o.jets:.1f} "
        f"particles in the mean, batches of {o.budget:,} particles; {PEER} is padded to the longest jet of a batch.",
    ]
    record.save()


@torch.no_grad()
def turn(tokenizer: Tokenizer, parts: list[Batch]) -> tuple[float, float]:
    """CPU seconds to encode all jets, and to decode their tokens."""
    begun = time.process_time()
    tokens = [tokenizer.encode(part) for part in parts]
    middle = time.process_time()
    for some in tokens:
        tokenizer.decode(some)
    return middle - begun, time.process_time() - middle


def table(spent: dict[str, list[tuple[float, float]]], count: int) -> Table:
    """Rates, and their ratios to the peer's."""
    rows: list[tuple[Cell, ...]] = []
    for name, turns in spent.items():
        cells: list[Cell] = []
        for side in range(2):
            peer = [t[side] for t in spent[PEER]]
            mine = [t[side] for t in turns]
            ratio: Estimate | str = median([p / m for p, m in zip(peer, mine, strict=True)]) if name != PEER else ""
            cells += [median([count / m for m in mine]), ratio]
        rows.append((name, *cells))
    return Table(
        "Tokenizers on one core, by CPU seconds", ("", "encoded (jets/s)", "ratio", "decoded (jets/s)", "ratio"), rows
    )


if __name__ == "__main__":
    main()
