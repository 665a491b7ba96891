"""What each tokenizer keeps of a jet: resolution of fields, of jet mass and substructure after decoding, codebook use.

    python benchmarks/tokenizers.py --steps 300

Constants and codebooks are fitted on the first 80% of the jets (in random order), everything is measured on the rest.
The resolution is half the width of the central 68% of decoded − true and the bias its median, relative for momenta and
masses; one without the other says little, for a tokenizer that returns always the same jet has no width. Use is the
share of codes that occur in the test jets, perplexity the exponential of the entropy of their frequencies; for several
code columns both are means over the columns. Bins are decoded to their centres.

The published tokenizer of OmniJet-α is compared with ours in `omnijet.py`.
"""

from __future__ import annotations

import argparse

import torch
from record import KINEMATICS, Cell, Record, Table, options_of

from lpm.data.batch import Batch
from lpm.data.source import Source
from lpm.metrics.estimate import Estimate
from lpm.metrics.resolution import resolution
from lpm.recipes.jets import hybrid, kinematics
from lpm.tasks.jets import describe
from lpm.tokens import BinnedConfig, ContinuousConfig, Quantised, QuantisedConfig, Tokenizer, TokenizerConfig, Tokens
from lpm.train.config import TrainConfig
from lpm.train.loop import fit

FIELDS = {"particle.pt": True, "particle.deta": False, "particle.dphi": False}
JET = {"jet.pt": True, "jet.mass": True, "jet.sdmass": True, "jet.tau21": False, "jet.tau32": False}
"""Observables, and whether their residuals are relative."""


def configs(codes: list[int]) -> dict[str, TokenizerConfig]:
    """All tokenizers by the name of their row."""
    seen = ContinuousConfig(collection="particle", fields=kinematics())
    fields = kinematics()
    levels = (8, 8, 8, 16)
    return {
        "continuous": seen,
        "binned, 128 a field": BinnedConfig(collection="particle", fields=fields, bins=(128,) * 3),
        "binned, 20³ joint": BinnedConfig(collection="particle", fields=fields, bins=(20,) * 3, product=True),
        "hybrid, 128 a field": hybrid(),
        **{f"VQ, {n} codes": QuantisedConfig(seen=seen, codes=n) for n in codes},
        "FSQ, 8 × 8 × 8 × 16": QuantisedConfig(seen=seen, codes=8192, method="fsq", levels=levels),
    }


def trained(tokenizer: Tokenizer, train: Batch, o: argparse.Namespace, lr: float = 2e-3) -> Tokenizer:
    """A tokenizer fitted and, if its codes are learned, trained."""
    torch.manual_seed(0)
    tokenizer.fit(Source.from_batch(train, budget=16_384, shuffle=False, seed=0, epochs=1))
    if isinstance(tokenizer, Quantised):
        how = TrainConfig(steps=o.steps, lr=lr, warmup=max(1, o.steps // 20), ema=0.0)
        fit(tokenizer, Source.from_batch(train, budget=o.budget, seed=0), how, record=lambda event, **content: None)
    return tokenizer.eval()


def round_trip(tokenizer: Tokenizer, jets: Batch) -> tuple[Batch, Tokens]:
    """Jets after encoding and decoding, a few at a time, and their tokens."""
    parts, tokens = [], []
    for i in range(0, len(jets), 256):
        batch = jets[i : i + 256]
        tokens.append(tokenizer.encode(batch))
        parts.append(Batch(batch.schema, {**batch.collections, "particle": tokenizer.decode(tokens[-1])}))
    codes = None if tokens[0].codes is None else torch.cat([t.codes for t in tokens if t.codes is not None])
    return Batch.cat(parts), Tokens(jets.collections["particle"].offsets, codes=codes)


def use(codes: torch.Tensor | None, vocab: tuple[int, ...]) -> tuple[str, str]:
    """Share of the codes that occur, and perplexity."""
    if codes is None:
        return "—", "—"
    shares, perplexities = [], []
    for column, size in zip(codes.unbind(1), vocab, strict=True):
        p = torch.bincount(column, minlength=size).double() / len(column)
        shares.append(float((p > 0).double().mean()))
        perplexities.append(float(torch.special.entr(p).sum().exp()))
    return f"{sum(shares) / len(shares):.1%}", f"{sum(perplexities) / len(perplexities):,.0f}"


def percent(e: Estimate, relative: bool) -> Estimate:
    """Relative resolutions in percent, angles and ratios in thousandths."""
    factor = 100 if relative else 1000
    return Estimate(*(factor * x for x in (e.value, e.low, e.high)))


def errors(found: Batch, true: Batch, fields: dict[str, bool], most: int = 100_000) -> list[dict[str, Estimate]]:
    """Bias and width of each observable; of the first so many particles, to spare memory."""
    out = []
    for path, relative in fields.items():
        a, b = (batch.field(path).values[:most].numpy() for batch in (found, true))
        out.append({k: percent(e, relative) for k, e in resolution(a, b, relative=relative).items()})
    return out


def main() -> None:
    """Fit, measure and record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--data", default="sample:jets")
    parser.add_argument("--codes", type=int, nargs="+", default=[512, 8_192], help="sizes of codebooks (VQ)")
    parser.add_argument("--steps", type=int, default=300, help="training steps of learned codes")
    parser.add_argument("--budget", type=int, default=4_096, help="particles in a training batch")
    parser.add_argument("--most", type=int, default=0, help="use only the first jets; 0 for all")
    o = parser.parse_args()
    if o.quick:
        o.steps, o.most, o.codes = 2, 200, [32, 64]
    record = Record(o, "What is lost between numbers and tokens is known, field by field and for whole jets.")
    train, test = split(record, o)
    made = {}
    for name, config in configs(o.codes).items():
        torch.manual_seed(0)
        made[name] = trained(config.build(), train, o)
    record.tables = tables(made, test)
    record.notes = [f"Learned codes: {o.steps} steps of {o.budget:,} particles on {len(train):,} jets."]
    record.save()


def split(record: Record, o: argparse.Namespace) -> tuple[Batch, Batch]:
    """Jets to fit and to measure."""
    jets = record.read(o.data, KINEMATICS, o.most)
    jets = jets[torch.randperm(len(jets), generator=torch.Generator().manual_seed(0))]
    count = round(0.8 * len(jets))
    return jets[:count], jets[count:]


def tables(tokenizers: dict[str, Tokenizer], test: Batch) -> list[Table]:
    """Widths, use of codes, and biases."""
    true = describe(test)
    rows: dict[str, list[tuple[Cell, ...]]] = {"width": [], "bias": []}
    for name, tokenizer in tokenizers.items():
        found, tokens = round_trip(tokenizer, test)
        kept = [*errors(found, test, FIELDS), *errors(describe(found), true, JET)]
        rows["width"].append((name, *(e["width"] for e in kept), *use(tokens.codes, tokenizer.vocab)))
        rows["bias"].append((name, *(e["bias"] for e in kept)))
    units = ("% " if r else "10⁻³ " for r in (FIELDS | JET).values())
    columns = [f"{p} ({u.strip()})" for p, u in zip(FIELDS | JET, units, strict=True)]
    title = f"Resolution after decoding, {len(test):,} test jets"
    return [
        Table(title, ("tokenizer", *columns, "codes used", "perplexity"), rows["width"]),
        Table("Bias after decoding, the same jets", ("tokenizer", *columns), rows["bias"]),
    ]


if __name__ == "__main__":
    main()
