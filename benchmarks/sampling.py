"""How many jets a second a generative transformer samples: ours beside one that computes all rows anew at every step.

    python benchmarks/sampling.py --threads 1

Both have the size of OmniJet-α (see `generators.py`) and random weights. The peer samples as OmniJet-α is published to:
128 steps for every jet, no cache, the vocabulary's log-odds of all rows, `torch.multinomial`; its speed does not depend
on where its jets stop. Ours samples jets as long as those of JetClass, 46 particles in the mean, because its stop has
been fitted to them. Between the two stands a plain cache: our weights, all jets to the end of 128 steps in one batch,
nothing dropped, nothing filled again, `torch.multinomial`.

The sides take turns in one process; seconds are those of the processor, which other work on the machine does not slow.
A ratio is that of two turns that follow one another; the median is given with the interval that holds 68% of the
medians of resampled turns. Ours includes the values of the particles, the others only their codes. The peer's turn has
fewer jets (`--peer-jets`), enough to fill its matrix products.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from generators import CODES, Padded, ours, parameters, speeds, stop_like
from particle_transformer import LONGEST, jets
from record import Cell, Record, Table, median, options_of

from lpm.data.batch import Batch
from lpm.model.backbone import Backbone, Cache
from lpm.model.draw import uniform_of
from lpm.model.embed import Embed
from lpm.model.heads.next_token import NextToken
from lpm.model.model import Model
from lpm.model.sample import SampleConfig, generate

TARGET = 30
CACHE, ANEW = "a cache alone, 128 steps", "all rows anew, 128 steps"


@torch.no_grad()
def cached(model: Model, count: int, generator: torch.Generator) -> torch.Tensor:
    """(jets, 128) codes by a cache and nothing else."""
    body, head, embed = model.backbone, model.head("next"), model.embeds["particle"]
    assert isinstance(body, Backbone)
    assert isinstance(head, NextToken)
    assert isinstance(embed, Embed)

    def draw(logits: torch.Tensor) -> torch.Tensor:
        return torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]

    uniform = uniform_of(generator, model.prefix.device)
    cache, codes = Cache(body.config, count, model.prefix), []
    state = body.step(model.prefix.expand(count, -1), [cache])
    for _ in range(LONGEST):
        codes.append(head.sample(state, draw, uniform)[0])
        state = body.step(embed.content(None, codes[-1]), [cache])
    return torch.cat(codes, 1)


def main() -> None:
    """Sample, time, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--jets", type=int, default=1_000, help="jets of a turn of ours")
    parser.add_argument("--places", type=int, default=500, help="jets that ours grows together")
    parser.add_argument("--cache-jets", type=int, default=200, help="jets of a turn of the plain cache")
    parser.add_argument("--peer-jets", type=int, default=16, help="jets of a turn of the peer")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    o = parser.parse_args()
    if o.quick:
        o.jets, o.places, o.cache_jets, o.peer_jets, o.repeats = 12, 6, 4, 1, 1
    threads = torch.get_num_threads()
    torch.set_num_threads(o.threads)
    record = Record(o, "Jets are sampled with a cache, and places are filled again as jets end.")
    true = record.drawn(jets(20 if o.quick else 500, seed=2))
    model, peer = ours(true).eval(), Padded().eval()
    stop_like(model, len(true))
    config, g = SampleConfig(longest=LONGEST, batch=o.places), torch.Generator().manual_seed(0)
    made: list[Batch] = []
    sides: dict[str, tuple[int, Callable[[], object]]] = {
        "lpm": (o.jets, lambda: made.extend(generate(model, o.jets, config=config, seed=len(made)))),
        CACHE: (o.cache_jets, lambda: cached(model, o.cache_jets, g)),
        ANEW: (o.peer_jets, lambda: peer.sample(o.peer_jets, g)),
    }
    found = speeds(sides, o.repeats)
    torch.set_num_threads(threads)
    rows: list[tuple[Cell, ...]] = [("lpm", parameters(model), median(found["lpm"]), "")]
    for name, alone in ((CACHE, model), (ANEW, peer)):
        rows.append((name, parameters(alone), median(found[name]), median(found["lpm"] / found[name])))
    reached = median(found["lpm"] / found[ANEW]).value >= TARGET
    lengths = torch.cat([b.collections["particle"].lengths for b in made]).float()
    wanted = true.collections["particle"].lengths.float()
    columns = ("", "parameters", "jets/s", "lpm is faster by")
    record.tables = [Table(f"Speed on the CPU, {o.threads} threads, by processor time", columns, rows)]
    record.notes = [
        f"Target: {TARGET} times all rows anew: {'reached' if reached else 'missed'}.",
        f"Median of {o.repeats} turns of {o.jets:,}, {o.cache_jets} and {o.peer_jets} jets, one after the other; lpm "
        f"grows {o.places} together.",
        f"Particles of a jet of lpm: {lengths.mean():.1f} in the mean, standard deviation {lengths.std():.1f}, "
        f"{lengths.max():.0f} at most; of the drawn jets: {wanted.mean():.1f}, {wanted.std():.1f}, {wanted.max():.0f}.",
        f"Both draw from {CODES:,} codes. The peer is written from its published description and counts its way: 128 "
        "steps for each jet.",
    ]
    record.save()


if __name__ == "__main__":
    main()
