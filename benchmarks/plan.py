r"""What a training costs before it is paid for: memory, GPU hours, network, storage, preparation, checkpoints.

    python benchmarks/plan.py --jets 100e6 --parameters 1e9 --gpus 16 --gpu H100 --mfu 0.4

Nothing is measured here but the activations, with `--measure`; all else is arithmetic on the options, whose defaults
are measured or published (docs/scaling.md says by which command and where). With N parameters and D tokens a training
takes 6ND operations (Kaplan et al., arXiv 2001.08361, eq. 2.2; attention among 49 tokens adds less than 1%), the time
is 6ND over `mfu` times the peak of all GPUs. Memory is what `lpm.train` holds: weights and gradients in single
precision, two moments of AdamW or, for the matrices, one of Muon, the average, and for DDP the buckets. FSDP divides
these among all GPUs, and moves weights twice and gradients once in each pass; DDP exchanges gradients once a step.
Checkpoints follow Young (Comm. ACM 17, 1974, 530): every :math:`\sqrt{2CM}` for the time C to write one and M between
failures.
"""

from __future__ import annotations

import argparse
import math
import sys

import torch
from record import Cell, Table
from torch import Tensor

from lpm.model.attention import plan
from lpm.model.backbone import Backbone, BackboneConfig
from lpm.train.pace import PEAK_FLOPS

MEMORY = {"H100": 80e9, "H200": 141e9, "A100": 80e9, "L40S": 48e9, "V100": 32e9}
"""Bytes, from the data sheets."""

OPTIONS: dict[str, tuple[float, str]] = {
    "jets": (100e6, "jets of one epoch"),
    "parameters": (1e9, "wanted; the dial is turned until the blocks have as many"),
    "gpus": (16, "GPUs"),
    "mfu": (0.4, "share of the GPU's peak that is reached: an assumption, see the page"),
    "epochs": (1, "how often each jet is seen"),
    "particles": (46.9, "particles of a jet in the mean"),
    "prefix": (2, "further tokens of a jet: the event, and a register"),
    "passes": (2, "passes of the body over each jet: jets.base makes two"),
    "tokens": (4096, "tokens of one portion on one GPU (train: data.budget)"),
    "accumulate": (16, "portions of a step (train.accumulate)"),
    "activations": (67.4, "bytes a token, block and unit of width that wait for the backward pass; see --measure"),
    "link": (200, "network of each GPU, Gb/s"),
    "bytes-per-jet": (1190, "of a shard"),
    "convert-rate": (25_000, "jets converted in a CPU second"),
    "simulate-rate": (11, "jets simulated in a CPU second"),
    "line": (1, "download, Gb/s"),
    "disk": (1, "writing a checkpoint, GB/s"),
    "between-failures": (50_000, "GPU hours between failures"),
}


def body(parameters: float) -> tuple[int, BackboneConfig, int]:
    """The smallest dial whose blocks have so many parameters, its configuration, and their number."""
    for size in range(1, 1000):
        c = BackboneConfig.sized(size)
        if (count := c.depth * sum(r * k for r, k in matrices(c))) >= parameters:
            return size, c, count
    raise ValueError(f"expected at most 1e13 parameters, got {parameters:g}")


def matrices(c: BackboneConfig) -> list[tuple[int, int]]:
    """Shapes of the matrices of a block."""
    return [(c.width, 3 * c.width), (c.width, c.width), (c.width, 2 * c.hidden), (c.width, c.hidden)]


def orthogonalisation(c: BackboneConfig) -> float:
    """Operations of Muon in one step, on every GPU: five times X Xᵀ, its square, and their product with X."""
    return c.depth * sum(5 * (4 * min(m) ** 2 * max(m) + 2 * min(m) ** 3) for m in matrices(c))


def measure(width: int = 256) -> float:
    """Bytes a token, block and unit of width that wait for the backward pass, in half precision, on the CPU."""

    def kept(depth: int, events: int) -> int:
        held: dict[int, Tensor] = {}

        def keep(x: Tensor) -> Tensor:
            held[x.untyped_storage().data_ptr()] = x
            return x

        model = Backbone(BackboneConfig(width=width, depth=depth, heads=width // 32))
        offsets = torch.arange(events + 1) * 49
        x = torch.randn(49 * events, width, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16), torch.autograd.graph.saved_tensors_hooks(keep, lambda y: y):
            out = model(x, plan(offsets), causal=True)
        total = sum(t.untyped_storage().nbytes() for t in held.values())
        del out
        return total

    # Differences leave out weights, which do not grow with the events, and what precedes the blocks.
    per_block = {n: kept(3, n) - kept(2, n) for n in (8, 16)}
    return (per_block[16] - per_block[8]) / (8 * 49 * width)


def memory(o: argparse.Namespace, c: BackboneConfig, count: int) -> Table:
    """Bytes on one GPU."""
    muon = o.optimiser == "muon"
    parts = {"weights": 4, "gradients": 4, "moments": 4 if muon else 8, "average": 4}
    activations = o.tokens * c.depth * c.width * o.activations * o.passes
    half, block = 2 * count, 4 * count / c.depth
    largest = c.depth * max(r * k for r, k in matrices(c)) * (4 + 3 * 2) if muon else 0
    rows: list[tuple[Cell, ...]] = [(name, gb(x * count), gb(x * count / o.gpus)) for name, x in parts.items()]
    rows += [
        ("buckets of DDP, blocks in hand of FSDP", gb(4 * count), gb(2 * block)),
        ("half-precision copies in a pass", gb(half), gb(half)),
        (f"activations of {o.tokens:,.0f} tokens, {o.passes:g} passes", gb(activations), gb(activations)),
    ]
    held = sum(parts.values()) * count
    sums = [held + 4 * count + half + activations, held / o.gpus + 2 * block + half + activations]
    fits = ["fits" if max(s, s - activations + largest) < 0.9 * MEMORY[o.gpu] else "does not fit" for s in sums]
    if muon:
        rows.append(("Muon's largest stack, when activations are gone", gb(largest), gb(largest)))
    rows.append((f"sum, of {gb(MEMORY[o.gpu])}", *(f"{gb(s)}: {f}" for s, f in zip(sums, fits, strict=True))))
    return Table(f"Memory of each {o.gpu}, {o.optimiser}", ("", "DDP", f"FSDP over {o.gpus:g}"), rows)


def time_and_network(o: argparse.Namespace, c: BackboneConfig, count: int) -> tuple[Table, float]:
    """GPU hours, and bytes on the network of each GPU; seconds of a step."""
    row_tokens = o.particles + o.prefix
    total = o.jets * o.epochs * row_tokens * o.passes
    work, reached = 6 * count * total, o.mfu * PEAK_FLOPS[o.gpu]
    in_step = o.tokens * o.accumulate * o.passes  # tokens that the body works on, on one GPU
    step = 6 * count * in_step / reached
    muon = orthogonalisation(c) / reached if o.optimiser == "muon" else 0.0
    steps = o.jets * o.epochs * row_tokens / (o.tokens * o.accumulate * o.gpus)
    ring = (o.gpus - 1) / o.gpus * 4 * count
    # Of FSDP: weights forward and back, gradients; for Muon the momenta, which it needs whole.
    ddp, fsdp = 2 * ring, 3 * ring * o.passes * o.accumulate + (ring if o.optimiser == "muon" else 0)
    speed = o.link * 1e9 / 8
    rows = [
        ("tokens, all passes", f"{total:.3g}"),
        ("operations, 6ND", f"{work:.3g}"),
        (f"tokens a second a GPU, at {o.mfu:.0%} of {PEAK_FLOPS[o.gpu] / 1e12:,.0f} TFLOP/s",
         f"{reached / (6 * count):,.0f}"),
        ("jets a second a GPU", f"{reached / (6 * count) / (row_tokens * o.passes):,.0f}"),
        ("GPU hours, without waiting", f"{work / reached / 3600:,.0f}"),
        ("steps", f"{steps:,.0f}"),
        ("jets of a step", f"{o.tokens * o.accumulate * o.gpus / row_tokens:,.0f}"),
        ("a step computes", f"{step:.2f} s"),
        ("Muon's orthogonalisation, on every GPU", f"{muon:.2f} s, {muon / (step + muon):.0%} of a step"),
        ("DDP sends in a step", f"{gb(ddp)}, {ddp / speed:.2f} s at {o.link:g} Gb/s, {ddp / speed / step:.0%}"),
        ("FSDP sends in a step", f"{gb(fsdp)}, {fsdp / speed:.2f} s at {o.link:g} Gb/s, {fsdp / speed / step:.0%}"),
        (f"days on {o.gpus:g} GPUs if all that is sent overlaps", f"{steps * (step + muon) / 86400:.2f}"),
        ("days if nothing overlaps, DDP", f"{steps * (step + muon + ddp / speed) / 86400:.2f}"),
        ("days if nothing overlaps, FSDP", f"{steps * (step + muon + fsdp / speed) / 86400:.2f}"),
    ]  # fmt: skip
    return Table("Time and network", ("", ""), list(rows)), step + muon


def disks(o: argparse.Namespace, count: int, step: float) -> Table:
    """Storage, preparation, checkpoints."""
    size = (12 if o.optimiser == "muon" else 16) * count  # weights, moments, average
    write = size / (o.disk * 1e9)
    every = math.sqrt(2 * write * o.between_failures * 3600 / o.gpus)
    stored = o.jets * o.bytes_per_jet
    rows = [
        ("shards", gb(stored)),
        (f"download of as much at {o.line:g} Gb/s", f"{stored * 8 / (o.line * 1e9) / 3600:.2g} hours"),
        ("conversion", f"{o.jets / o.convert_rate / 3600:,.1f} CPU hours"),
        ("or simulation", f"{o.jets / o.simulate_rate / 3600:,.0f} CPU hours"),
        ("a checkpoint", f"{gb(size)}, {write:.0f} s at {o.disk:g} GB/s"),
        ("between failures of some GPU", f"{o.between_failures / o.gpus:,.0f} hours"),
        ("best time between checkpoints", f"{every / 3600:.1f} hours, {every / step:,.0f} steps (train.save_every)"),
    ]
    return Table("Disks and preparation", ("", ""), list(rows))


def gb(size: float) -> str:
    """Bytes in GB."""
    return f"{size / 1e9:,.3g} GB" if size < 1e12 else f"{size / 1e12:,.3g} TB"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (value, text) in OPTIONS.items():
        parser.add_argument(f"--{name}", type=float, default=value, help=f"{text} (default {value:g})")
    parser.add_argument("--gpu", choices=[*MEMORY], default="H100", help="its peak and memory are from its data sheet")
    parser.add_argument("--optimiser", choices=["adamw", "muon"], default="muon")
    parser.add_argument("--measure", action="store_true", help="measure --activations on this machine")
    o = parser.parse_args()
    bad = [f"--{n}" for n in OPTIONS if not getattr(o, n.replace("-", "_")) > 0]
    if bad or o.mfu > 1:
        sys.exit(f"expected numbers above 0, and --mfu at most 1; change {', '.join(bad) or '--mfu'}")
    if o.measure:
        o.activations = measure()
        print(f"activations: {o.activations:.1f} bytes a token, block and unit of width\n")
    size, c, count = body(o.parameters)
    print(f"Dial {size}: width {c.width}, {c.depth} blocks, {count / 1e6:,.0f}M parameters in them.\n")
    table, step = time_and_network(o, c, count)
    print("\n\n".join(t.markdown() for t in (memory(o, c, count), table, disks(o, count, step))))


if __name__ == "__main__":
    main()
