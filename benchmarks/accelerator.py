"""Our bodies beside weaver's Particle Transformer on a GPU: time of a step and of inference, and memory.

    python benchmarks/accelerator.py --jets 512
    python benchmarks/accelerator.py --jets 512 --compile

Bodies, jets and turns are those of `best_tagger.py`, on one device, forward passes in bfloat16 (autocast) on both sides
unless `--fp32` says otherwise. All sides take turns in one process; every turn ends when the device has nothing left to
do. A ratio is that of two turns that follow one another; the median is given with the interval that holds 68% of the
medians of resampled turns. Memory is the peak that torch has taken for two turns of a side. `--compile` compiles the
training steps of all sides; what that takes is not counted.

Without `weaver` (`pip install --no-deps weaver-core==0.5.3`) ours are timed alone. Published for an H100 are 77 ms for
a training step of 512 jets, and 35 ms for a plain transformer of that size (`docs/scaling.md` has the source).
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable

import torch
from best_tagger import PEER, SIDES, built, call
from particle_transformer import WORK, jets, timed
from record import Cell, Record, Table, median, options_of
from taggers import ROWS, Weaver

TARGET = 2.0
"""Times the jets a second of the peer."""


def on(side: str, work: str, o: argparse.Namespace) -> Callable[[], None]:
    """One turn of a side on the device, waited for."""
    batch = jets(o.jets, seed=1)
    module = built(side, batch, o).to(o.device)
    if o.compile and work == WORK[0]:
        (module.net if isinstance(module, Weaver) else module).compile(dynamic=True)
    again = call(side, module, batch.to(o.device), work)

    def turn() -> None:
        with torch.autocast(o.device, torch.bfloat16, enabled=not o.fp32):
            again()
        wait(o.device)

    return turn


def has_peer() -> bool:
    """Whether weaver is there."""
    try:
        importlib.import_module("weaver.nn.model.ParticleTransformer")
    except ImportError:
        return False
    return True


def wait(device: str) -> None:
    """Until the device has nothing left to do."""
    if device == "cuda":
        torch.cuda.synchronize()


def peak(turn: Callable[[], None], device: str) -> Cell:
    """MiB of two turns; torch keeps no account of them on the CPU."""
    if device != "cuda":
        return "—"
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    turn()
    turn()
    return f"{torch.cuda.max_memory_allocated() / 2**20:,.0f}"


def row(work: str, side: str, seconds: dict[str, list[float]], memory: Cell, jets: int) -> tuple[Cell, ...]:
    """What a side took."""
    mine = seconds[side]
    times: Cell = "1" if side == PEER else "—"
    if side != PEER and PEER in seconds:
        times = median([a / b for a, b in zip(seconds[PEER], mine, strict=True)])
    return work, ROWS[side].text, median([1e3 * s for s in mine]), median([jets / s for s in mine]), times, memory


def main() -> None:
    """Time and record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--jets", type=int, default=512, help="jets of a turn")
    parser.add_argument("--repeats", type=int, default=21, help="turns of each side")
    parser.add_argument("--size", type=int, default=4, help="the dial of the plain body")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--fp32", action="store_true", help="single precision in place of bfloat16")
    parser.add_argument("--compile", action="store_true", help="compile the training steps of all sides")
    o = parser.parse_args()
    o.inputs = "full"
    if o.quick:
        o.jets, o.repeats, o.size, o.device = 4, 2, 1, "cuda" if torch.cuda.is_available() else "cpu"
    if o.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is none here; --device cpu or --quick tries the program")
    record = Record(o, "On a GPU our taggers train and infer faster than weaver's Particle Transformer.")
    sides = [s for s in SIDES if s != PEER or has_peer()]
    record.drawn(jets(o.jets, seed=1))
    rows: list[tuple[Cell, ...]] = []
    short = []
    for work in WORK:
        turns = {s: on(s, work, o) for s in sides}
        memory = {s: peak(turn, o.device) for s, turn in turns.items()}
        seconds = timed(turns, o.repeats)
        for side in sides:
            rows.append(row(work, side, seconds, memory[side], o.jets))
            times = rows[-1][4]
            if not isinstance(times, str) and times.value < TARGET:
                short.append(f"{ROWS[side].text} in {work}")
            print(*rows[-1], flush=True)
    head = ("", "body", f"ms for {o.jets} jets", "jets/s", "times weaver", "peak of memory (MiB)")
    name = torch.cuda.get_device_name() if o.device == "cuda" else "the CPU"
    how = ("single precision" if o.fp32 else "bfloat16") + (", training compiled" if o.compile else "")
    record.tables = [Table(f"On {name}, {how}", head, rows)]
    verdict = f"missed by {', '.join(short)}" if short else "reached by all"
    against = verdict if PEER in sides else "not measured, weaver is missing"
    record.notes = [
        f"Median of {o.repeats} turns; 17 features; weaver-core 0.5.3, `trim=False`, padded to the longest jet.",
        f"Target: {TARGET:g} times the jets a second of weaver's; {against}.",
    ]
    record.save()


if __name__ == "__main__":
    main()
