"""A trained tagger in ONNX Runtime: as fast as in torch or faster where jets come one by one, with the same answers.

    python benchmarks/onnx_latency.py

The same models, with weights at random, answer the same jets in torch (`Model.predict`, packed, and its padded form,
which is what is exported) and in ONNX Runtime, on one thread, in turn, so that whatever else the machine does meets all
of them. Preprocessing is part of what is timed: raw fields go in, probabilities come out. Time to read files is not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from record import Cell, Record, Table, median, options_of

from lpm.data.batch import Batch
from lpm.metrics.estimate import Estimate
from lpm.model import checkpoint
from lpm.model.backbone import BackboneConfig
from lpm.model.export import export
from lpm.model.heads import ClassifyConfig
from lpm.model.model import Model, ModelConfig
from lpm.model.padded import Padded
from lpm.model.pairs import PairBiasConfig
from lpm.model.sets import DeepSetsConfig, ParticleTransformerConfig
from lpm.recipes.jets import kinematics
from lpm.tokens import ContinuousConfig

SIZES = (1, 10, 100)


def configs(tiny: bool) -> dict[str, ModelConfig]:
    """The models, at their usual sizes."""
    seen = {"particle": ContinuousConfig(collection="particle", fields=kinematics())}
    head = {"label": ClassifyConfig(target="jet.label", classes=("QCD", "Tbqq"))}
    pairs = PairBiasConfig(of="particle", pt="particle.pt", eta="particle.deta", phi="particle.dphi")
    transformer = ParticleTransformerConfig()
    bodies = {
        "Deep Sets": (DeepSetsConfig(), None),
        "plain body, size 4": (BackboneConfig.sized(1 if tiny else 4), None),
        "plain body with pairs, size 4": (BackboneConfig.sized(1 if tiny else 4), pairs),
        "Particle Transformer": (transformer.tiny() if tiny else transformer, None),
    }
    return {
        n: ModelConfig(backbone=b, tokenizers=dict(seen), heads=dict(head), pairs=p) for n, (b, p) in bodies.items()
    }


def ways(model: Model, folder: Path) -> tuple[Padded, dict[str, Callable[[Batch], torch.Tensor]]]:
    """How a batch can be answered, by name."""
    import onnxruntime

    checkpoint.save(model, folder, "a model for timing")
    export(folder, folder / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    graph = Padded(model).eval()

    def fed(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        paths = graph.inputs["particle"]
        rows = batch.collections["particle"]
        values = torch.stack([batch.field(p).values for p in paths], 1)
        return rows.with_values(values).padded()[0], rows.lengths

    def in_onnx(batch: Batch) -> torch.Tensor:
        values, lengths = fed(batch)
        return torch.from_numpy(
            session.run(None, {"particle": values.numpy(), "particle_length": lengths.numpy()})[0]
        )  # fmt: skip

    def padded(batch: Batch) -> torch.Tensor:
        with torch.inference_mode():
            out: torch.Tensor = graph(*fed(batch))[0]
            return out

    return graph, {
        "torch, packed": lambda batch: model.predict(batch, ("label",))["label"],
        "torch, padded": padded,
        "ONNX Runtime": in_onnx,
    }


def timed(
    made: dict[str, Callable[[Batch], torch.Tensor]], jets: Batch, size: int, repeats: int
) -> tuple[dict[str, list[float]], float]:
    """Milliseconds a jet of each way, all in turn on the same jets, and the largest difference between answers."""
    found: dict[str, list[float]] = {n: [] for n in made}
    apart = 0.0
    for i in range(repeats + 2):
        at = i * size % (len(jets) - size + 1)
        batch, answers = jets[at : at + size], {}
        for name, answer in made.items():
            start = time.perf_counter()
            answers[name] = answer(batch)
            if i > 1:  # the first ones warm up
                found[name].append(1e3 * (time.perf_counter() - start) / size)
        apart = max(apart, float((answers["ONNX Runtime"] - answers["torch, packed"]).abs().max()))
    return found, apart


def main() -> None:
    """Measure and record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--data", default="sample:jets", help="jets to answer")
    parser.add_argument("--repeats", type=int, default=60, help="of each measurement")
    o = parser.parse_args()
    if o.quick:
        o.repeats = 2
    torch.set_num_threads(1)
    record = Record(o, "Exported models answer as they do in lpm, and single jets faster.")
    record.tables = [
        Table("Milliseconds a jet on one thread, median", ("model", "jets at once", *_WAYS, "ratio"), rows(record, o))
    ]
    record.notes += [
        f"{o.repeats} repetitions each, in turn. The ratio is the time of packed torch over that of ONNX Runtime, the "
        "median of the ratios of single repetitions. The jets have "
        f"{record.more['mean_particles']:.0f} particles on average.",
        "Largest difference between probabilities of ONNX Runtime and of lpm: "
        + ", ".join(f"{n} {x:.1e}" for n, x in record.more["largest_difference"].items()) + ".",
    ]  # fmt: skip
    record.save()


_WAYS = ("torch, packed", "torch, padded", "ONNX Runtime")


def rows(record: Record, o: argparse.Namespace) -> list[tuple[Cell, ...]]:
    """A row for each model and number of jets."""
    jets = record.read(o.data, most=400)
    record.more |= {"mean_particles": float(jets.collections["particle"].lengths.double().mean())}
    apart: dict[str, float] = {}
    out: list[tuple[Cell, ...]] = []
    for name, config in configs(o.quick).items():
        torch.manual_seed(0)
        model = Model(replace(config), jets.schema)
        model.tokenizer("particle").fit([jets])
        with torch.no_grad():  # heads of transformers start at zero; answers that are all alike would prove nothing
            for p in model.heads.parameters():
                p += 0.1 * torch.randn_like(p)
        with tempfile.TemporaryDirectory() as folder:
            _, made = ways(model.eval(), Path(folder))
            for size in SIZES:
                found, most = timed(made, jets, size, max(2, o.repeats // (4 if size == 100 else 1)))
                apart[name] = max(apart.get(name, 0.0), most)
                ratio: Estimate = median(
                    [a / b for a, b in zip(found["torch, packed"], found["ONNX Runtime"], strict=True)]
                )
                out.append((name, str(size), *(median(found[w]) for w in _WAYS), ratio))
    record.more |= {"largest_difference": apart}
    return out


if __name__ == "__main__":
    main()
