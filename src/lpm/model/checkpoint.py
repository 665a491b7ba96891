"""A trained model on disk: one folder, no pickle.

`config.json` (the `ModelConfig`), `weights.safetensors`, `schema.json`, `card.md`, `run.jsonl`. Wherever a folder is
expected, the name of a shipped model will do.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lpm.data.schema import Field, Schema
from lpm.model.model import Model, ModelConfig
from lpm.records.config import from_dict, to_dict
from lpm.records.files import atomic_file
from lpm.records.weights import load_tensors

__all__ = ["check_schema", "load", "load_part", "read_config", "resolve", "save", "shipped"]

_SHIPPED = Path(__file__).with_name("shipped")
_PICKLES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin")


def shipped() -> tuple[str, ...]:
    """Names of the models that come with lpm.

    Example:
        >>> "jets-base" in shipped()
        True
    """
    return tuple(sorted(p.name for p in _SHIPPED.iterdir() if p.is_dir())) if _SHIPPED.is_dir() else ()


def resolve(run: str | Path) -> Path:
    """Folder of a run, or of a shipped model by its name.

    Raises:
        ValueError: If there is neither, or the path is a pickle.
    """
    path = Path(run)
    if (path / "config.json").is_file():
        return path
    if str(run) in shipped():
        return _SHIPPED / str(run)
    if path.suffix in _PICKLES:
        raise ValueError(f"{path}: pickled checkpoints are never loaded, they can run code; expected a run folder")
    if (path / "recipe.json").is_file():
        raise ValueError(
            f"{run}: its training has not come to an end; go on with lpm train RECIPE --out {run} --resume"
        )
    what = "no config.json in it" if path.is_dir() else "no such folder"
    raise ValueError(f"{run}: {what}; expected a run folder or one of the shipped models: {', '.join(shipped())}")


def save(model: Model, folder: Path, card: str) -> None:
    """Write configuration, weights, schema and card; each file appears whole or not at all.

    Args:
        model: The trained model.
        folder: Of the run.
        card: Markdown: what it is, how it was made, how good it is.

    Raises:
        ValueError: If the folder cannot be written or the disk is full.
    """
    weights = folder / "weights.safetensors"
    try:
        with atomic_file(weights) as path:
            save_file({n: t.contiguous() for n, t in model.state_dict().items()}, path)
    except SafetensorError as error:
        raise ValueError(f"cannot write {weights}: {error}; free space, then --resume saves it again") from error
    texts = {
        "schema.json": model.schema.to_json(),
        "card.md": card,
        "config.json": json.dumps(to_dict(model.config), indent=2) + "\n",
    }
    for name, text in texts.items():
        with atomic_file(folder / name) as path:
            path.write_text(text, encoding="utf-8")


def load(run: str | Path) -> Model:
    """A trained model, in evaluation mode.

    Raises:
        ValueError: If the folder is incomplete, altered, or of another version; the message names the file.
    """
    folder = resolve(run)
    model = Model(read_config(folder), _read_schema(folder))
    _fill(model, load_tensors(folder / "weights.safetensors"), folder)
    return model.eval()


def read_config(run: str | Path) -> ModelConfig:
    """What a trained model is made of.

    Raises:
        ValueError: If there is none, or its description cannot be read.

    Example:
        >>> read_config("jets-base").backbone.depth
        3
    """
    folder = resolve(run)
    try:
        return from_dict(ModelConfig, json.loads((folder / "config.json").read_text(encoding="utf-8")))  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder}: cannot read the checkpoint: {error}; restore the whole folder") from error


def load_part(model: Model, run: str | Path, parts: tuple[str, ...]) -> list[str]:
    """Load the named parts of another model's weights, strictly: all tensors of a part, with equal shapes.

    Args:
        model: Changed in place.
        run: The other model.
        parts: Prefixes of names, such as `backbone` or `heads.next`. A part of the model may be without weights, but
            then in both.

    Returns:
        Names of the tensors loaded.

    Raises:
        ValueError: If there is no such part, its weights do not fit, or tokenizers learned from fields in other units
            or with other labels than those of this model's data.
    """
    folder, mine = resolve(run), model.state_dict()
    theirs = load_tensors(folder / "weights.safetensors")
    loaded: dict[str, Tensor] = {}
    for part in parts:
        here = {n for n in mine if n == part or n.startswith(part + ".")}
        there = {n for n in theirs if n == part or n.startswith(part + ".")}
        if here != there or not (here or hasattr(model, part)):
            odd = sorted(here ^ there)[:3] or [part]
            raise ValueError(
                f"{run}: part {part!r} differs from this model's in {', '.join(odd)}; use its --size, and no --tiny"
            )
        loaded |= {n: theirs[n] for n in here}
    came = [n for n in model.tokenizers if {"tokenizers", f"tokenizers.{n}"} & set(parts)]
    trained = _read_schema(folder)
    for path in dict.fromkeys(p for n in came for p in model.tokenizer(n).paths if p in trained):
        _same(trained.field(path), model.schema.field(path), path, str(run), "the data")
    _fill(model, {**mine, **loaded}, folder)
    return sorted(loaded)


def check_schema(model: Model, schema: Schema, source: str) -> None:
    """Refuse data that the model was not made for.

    Raises:
        ValueError: If a field that the model reads is missing or has another unit, kind, or other labels.
    """
    wanted = [p for n in model.tokenizers for p in model.tokenizer(n).paths]
    for path in dict.fromkeys([*wanted, *model.config.kinematics]):
        if path not in schema:
            raise ValueError(f"{source}: the model reads {path}, which is not there; it has {', '.join(schema.paths)}")
        _same(model.schema.field(path), schema.field(path), path, "the model", source)


def _same(trained: Field, given: Field, path: str, model: str, source: str) -> None:
    """Refuse a field that does not mean what it meant in training. Categories are numbers: their order counts."""
    if (trained.unit, trained.kind) != (given.unit, given.kind):
        raise ValueError(
            f"{source}: {path} is a {given.kind} in {given.unit}, {model} was trained on a {trained.kind} in "
            f"{trained.unit}; convert it first"
        )
    if trained.labels != given.labels:
        raise ValueError(
            f"{source}: {path} has the labels {', '.join(given.labels)}, {model} was trained on "
            f"{', '.join(trained.labels)}; convert it with the same labels in the same order"
        )


def _read_schema(folder: Path) -> Schema:
    try:
        return Schema.from_json((folder / "schema.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder}: cannot read the checkpoint: {error}; restore the whole folder") from error


def _fill(model: Model, weights: dict[str, Tensor], folder: Path) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        last = str(error).splitlines()[-1].strip()
        raise ValueError(f"{folder}: the weights do not fit config.json: {last}") from error
