"""The only door to ONNX: a trained model as one file for inference in C++ (ONNX Runtime, ROOT, experiments' software).

The graph takes the raw fields of padded events (`lpm.model.padded`), any number of events and rows. What its inputs and
outputs mean lies in the file, as metadata in JSON.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lpm import __version__
from lpm.model.checkpoint import load, resolve
from lpm.model.drawn import Drawn
from lpm.model.heads import Classify, Density, Regress
from lpm.model.model import Model
from lpm.model.padded import Padded
from lpm.records.files import atomic_file
from lpm.records.hashing import hash_file

__all__ = ["described", "export", "export_draws"]

OPSET = 20
"""Version of the operators: the first with all that is needed; ONNX Runtime 1.17 and later know it."""


def export(run: str | Path, path: str | Path) -> dict[str, str]:
    """Write a trained model as ONNX. Only a whole file appears under `path`.

    A flash simulation is written as `export_draws` says. Of others, inputs are, for each collection that the model
    reads, `<collection>` (B, L, F) float32 with the raw fields and `<collection>_length` (B,) int64 with the number of
    real rows; L is at least 1, also for empty events. Outputs are named as the heads.

    Args:
        run: Folder of a run, or name of a shipped model.
        path: The file to write or replace.

    Returns:
        The metadata of the file, see `described`.

    Raises:
        ValueError: If the `onnx` extra is not installed, or the model is of a kind that cannot be exported.
    """
    _need_onnx()
    model = load(run)
    if any(isinstance(model.head(n), Density) for n in model.heads):
        return export_draws(run, path)
    graph = Padded(model).eval().requires_grad_(False)
    names = [n for c in graph.inputs for n in (c, f"{c}_length")]
    made = described(model, graph, resolve(run))
    _write(graph, _example(graph), (_shapes(graph),), (names, list(graph.heads)), made, path)
    return made


def export_draws(run: str | Path, path: str | Path) -> dict[str, str]:
    """Write a flash simulation as ONNX: `given`, `uniform`, `normal` in, `chosen`, `made` out (`lpm.model.drawn`).

    Args:
        run: Folder of a run of one classifier and one density, as of `flash.tracks`.
        path: The file to write or replace.

    Returns:
        The metadata of the file: `inputs` and `outputs` with their fields and units in order, and the classes.

    Raises:
        ValueError: If the `onnx` extra is not installed, or the model is of another kind.
    """
    _need_onnx()
    model = load(run)
    graph = Drawn(model).eval().requires_grad_(False)
    names = {graph.given: graph.inputs, graph.of: graph.outputs}
    fields = {c: [model.schema[c][n] for n in some] for c, some in names.items()}
    of = {c: [{"name": f.name, "unit": f.unit, **({"labels": f.labels} if f.labels else {})} for f in fs]
          for c, fs in fields.items()}  # fmt: skip
    made = {
        "lpm_version": __version__,
        "weights_sha256": hash_file(resolve(run) / "weights.safetensors"),
        "inputs": json.dumps({"given": of[graph.given], "uniform": "0 to 1", "normal": len(graph.outputs)}),
        "outputs": json.dumps({"chosen": {"target": graph.target, "classes": graph.classes}, "made": of[graph.of]}),
        "schema": model.schema.to_json(),
    }
    example = (torch.ones(3, len(graph.inputs)), torch.full((3,), 0.5), torch.zeros(3, len(graph.outputs)))
    events = torch.export.Dim("events")
    _write(graph, example, ({0: events},) * 3, (["given", "uniform", "normal"], ["chosen", "made"]), made, path)
    return made


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise ValueError("writing ONNX needs the extra onnx: pip install 'lpm[onnx]'") from None


def _write(
    graph: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    shapes: tuple[Any, ...],
    names: tuple[list[str], list[str]],
    made: dict[str, str],
    path: str | Path,
) -> None:
    """Trace, describe, check and write; `names` are those of inputs and of outputs."""
    import onnx

    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph, example, dynamo=True, input_names=names[0], output_names=names[1], dynamic_shapes=shapes,
            opset_version=OPSET, verbose=False, custom_translation_table={torch.ops.prims.hypot.default: _hypot},
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    proto.producer_name, proto.producer_version = "lpm", __version__
    onnx.helper.set_model_props(proto, made)
    onnx.checker.check_model(proto, full_check=True)
    with atomic_file(path) as part:
        part.write_bytes(proto.SerializeToString())


def described(model: Model, graph: Padded, folder: Path) -> dict[str, str]:
    """What an exported file says of itself: each value is JSON or a plain word.

    Args:
        model: The model.
        graph: Its padded form.
        folder: Of the run.

    Returns:
        `inputs`: {collection: [{name, unit, kind, labels}]} in the order of the fields; `outputs`: {head: {target, and
        classes, or what the three numbers are and their unit}}; `schema`; `weights_sha256`; `lpm_version`.
    """
    fields = {c: [model.schema.field(p) for p in paths] for c, paths in graph.inputs.items()}
    inputs = {
        c: [{"name": f.name, "unit": f.unit, "kind": f.kind, **({"labels": f.labels} if f.labels else {})} for f in fs]
        for c, fs in fields.items()
    }
    outputs: dict[str, Any] = {}
    for name in graph.heads:
        head = model.head(name)
        if isinstance(head, Classify):
            outputs[name] = {"target": head.config.target, "classes": head.config.classes}
        elif isinstance(head, Regress):
            unit = model.schema.field(head.config.target).unit
            outputs[name] = {"target": head.config.target, "numbers": ("median", "low", "high"), "unit": unit}
    return {
        "lpm_version": __version__,
        "weights_sha256": hash_file(folder / "weights.safetensors"),
        "inputs": json.dumps(inputs),
        "outputs": json.dumps(outputs),
        "schema": model.schema.to_json(),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of its own insides and of packages that models of lpm do not need."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _hypot(x: Any, y: Any) -> Any:
    """What ONNX has no operator for."""
    from onnxscript import opset20 as op

    return op.Sqrt(op.Add(op.Mul(x, x), op.Mul(y, y)))


def _example(graph: Padded) -> tuple[torch.Tensor, ...]:
    """Two events of three rows: numbers that no field takes for special."""
    return tuple(
        t for paths in graph.inputs.values() for t in (torch.ones(2, 3, len(paths)), torch.tensor([3, 2]))
    )  # fmt: skip


def _shapes(graph: Padded) -> tuple[dict[int, Any], ...]:
    """Which dimensions are free: events in all inputs, rows of each collection."""
    events = torch.export.Dim("events")
    return tuple(
        s for c in graph.inputs for s in ({0: events, 1: torch.export.Dim(f"{c}_rows")}, {0: events})
    )  # fmt: skip
