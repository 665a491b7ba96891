"""Carry a recipe out: data, tokenizers, weights, training, checkpoint, record."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lpm.data.batch import Batch
from lpm.data.schema import Schema
from lpm.model import checkpoint
from lpm.model.adapt import adapt, merge
from lpm.model.distil import Distilled
from lpm.model.heads import FlowConfig
from lpm.model.model import Model
from lpm.recipes.base import RunConfig, StartConfig
from lpm.recipes.events import Data, open_data
from lpm.records.config import from_dict, to_dict
from lpm.records.energy import measure
from lpm.records.environment import environment
from lpm.records.files import atomic_file, locked
from lpm.records.run import Run
from lpm.tokens import Quantised
from lpm.train.checkpoint import has_state, whole_weights
from lpm.train.loop import Fit, Record, fit
from lpm.train.parallel import World, world

__all__ = ["execute", "read_recipe"]


def execute(
    config: RunConfig,
    folder: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    tell: Record | None = None,
    batch: Batch | None = None,
) -> Model:
    """Train what a recipe describes and leave a checkpoint in `folder`.

    Args:
        config: The recipe's run.
        folder: Run folder; must not hold another run.
        resume: Go on from its last training state, or from the start if it was stopped before the first one.
        device: `cpu`, `cuda` or `auto`.
        tell: Also receives every event of the record, for a progress bar.
        batch: Events in memory, instead of those that `config.data.train` names.

    Returns:
        The trained model, in evaluation mode.

    Raises:
        ValueError: If the folder holds another run, or anything in the recipe does not fit.
        KeyboardInterrupt: On Ctrl-C or SIGTERM; the training state is saved first.
    """
    run = Run(folder)
    with world(device) as place, locked(folder) if place.first else nullcontext():
        if place.first:
            _claim(config, folder, resume)

        def record(event: str, **content: Any) -> None:
            run.write(event, **content)
            if tell is not None:
                tell(event, **content)

        if place.first:
            record("start", recipe=to_dict(config), seed=config.seed, resumed=resume, ranks=place.size, **environment())
        used: dict[str, float | str] = {}
        try:
            with measure() as used:
                model, result = _train(config, folder, resume, place, record, batch)
        except BaseException:
            if place.first:  # what was used until here counts, whether or not the run goes on
                record("pause", **used)
            raise
        if place.first:
            checkpoint.save(model, folder, card(config, result))
            run.artefact(folder / "weights.safetensors")
            record("end", step=result.step, stopped=result.stopped, **used)
    return model


def read_recipe(folder: Path) -> RunConfig:
    """The recipe with which a run was started.

    Raises:
        ValueError: If the folder holds no run.
    """
    path = folder / "recipe.json"
    try:
        return from_dict(RunConfig, json.loads(path.read_text(encoding="utf-8")))  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot read the recipe of this run: {error}") from error


def card(config: RunConfig, result: Fit) -> str:
    """The model's card, in Markdown. Files and folders go by their names: where they lie is nobody's business."""
    data = ", ".join(Path(p).name for p in config.data.train)
    losses = ", ".join(f"{n} {v:.4f}" for n, v in result.losses.items())
    lines = [f"# {config.name}", config.text]
    if config.start:
        lines.append(f"It started from `{Path(config.start.run).name}` ({', '.join(config.start.parts)}).")
    best = "" if math.isnan(result.best) else f"; best validation loss: {result.best:.4f}"
    lines += [
        f"Trained for {result.step} steps on {data}; last training losses: {losses}{best}.",
        "The whole recipe, versions, hardware, energy and curves are in `run.jsonl`.",
    ]
    return "\n\n".join(lines) + "\n"


def _claim(config: RunConfig, folder: Path, resume: bool) -> None:
    """Refuse to mix two runs in one folder; write the recipe beside the record.

    A run that failed before it saved anything, by a misspelt file say, may be started anew.
    """
    path = folder / "recipe.json"
    if resume:
        if not path.is_file():
            raise ValueError(f"{folder}: no run to resume; start without --resume")
        before = read_recipe(folder)
        # How the weights are spread over processes decides nothing; neither does the number of processes.
        if replace(before, train=replace(before.train, parallel=config.train.parallel)) != config:
            raise ValueError(f"{folder}: was started with another recipe; --resume needs the same recipe and settings")
    elif any(map(has_state, (folder / "training", *folder.glob("tokenizer-*/training")))) or _finished(folder):
        raise ValueError(f"{folder}: holds a run already; choose another folder, or --resume to go on with it")
    else:
        (folder / "memory.json").unlink(missing_ok=True)  # of a larger model, perhaps
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(to_dict(config), indent=2) + "\n", encoding="utf-8")


def _finished(folder: Path) -> bool:
    return (folder / "weights.safetensors").is_file()


def _train(
    config: RunConfig, folder: Path, resume: bool, place: World, record: Record, batch: Batch | None
) -> tuple[Model, Fit]:
    torch.manual_seed(config.seed)
    data = open_data(config, place, batch)
    model = _built(config, data.train.schema)
    begun = resume and has_state(folder / "training")  # then all weights, tokenizers included, lie in that state
    if config.start:
        if not begun:
            checkpoint.load_part(model, config.start.run, config.start.parts)
        _freeze(model, config.start)
    if not begun and (config.start is None or "tokenizers" not in config.start.parts):
        _fit_tokenizers(model, config, data, folder, resume, place, record)
    if not begun and (config.start is None or "pairs" not in config.start.parts):
        model.fit_pairs(data.once())
    model.tokenizers.requires_grad_(False)
    # The steps of a resumed run draw from a restored state; those of a new one must not depend on what came before.
    torch.manual_seed(config.seed + 1 + place.rank)
    result = fit(
        model, data.train, config.train, record=record, valid=data.valid, folder=folder, resume=begun, place=place
    )
    if place.size > 1 and config.train.parallel == "fsdp":
        model = _gathered(model, config)
    merge(model)
    return model, result


def _built(config: RunConfig, schema: Schema) -> Model:
    """A model with random weights, or one whose flows learn the steps of that which it starts from."""
    if not any(isinstance(h, FlowConfig) and h.jumps for h in config.model.heads.values()):
        return Model(config.model, schema)
    if config.start is None:
        raise ValueError("a flow of few steps learns them from a trained flow; name its run as the start")
    return Distilled(config.model, schema, checkpoint.load(config.start.run))


def _gathered(sharded: Model, config: RunConfig) -> Model:
    """An ordinary model with the weights of one that is spread over all processes."""
    weights, model = whole_weights(sharded), Model(config.model, sharded.schema)
    if config.start:
        _freeze(model, config.start)
    model.load_state_dict(weights)
    return model.eval()


def _freeze(model: Model, start: StartConfig) -> None:
    for name, p in model.named_parameters():
        if any(name == part or name.startswith(part + ".") for part in start.frozen):
            p.requires_grad_(False)
    if start.rank:
        adapt(model.backbone, start.rank)


def _fit_tokenizers(
    model: Model, config: RunConfig, data: Data, folder: Path, resume: bool, place: World, record: Record
) -> None:
    """One pass over (at most 200,000) events, and for learned codes a training of their own.

    Tokenizers that came with the weights of another run stay as they are.
    """
    came = config.start.parts if config.start else ()
    for name in (n for n in model.tokenizers if f"tokenizers.{n}" not in came):
        tokenizer = model.tokenizer(name)
        tokenizer.fit(_first(data.once(), 200_000))
        if isinstance(tokenizer, Quantised):
            c = config.train
            # As measured in benchmarks/tokenizers.py; the rates of Muon are not those of a small autoencoder.
            train = replace(c, steps=max(1, c.steps // 2), optimiser="adamw", lr=2e-3,
                            valid_every=0, patience=0, weights=None)  # fmt: skip
            if c.parallel == "fsdp":  # too small to be worth splitting, and the model is split as a whole later
                train = replace(train, parallel="ddp")
            part = folder / f"tokenizer-{name}"
            begun = resume and has_state(part / "training")
            fit(tokenizer, data.train, train, record=_quiet(record), folder=part, resume=begun, place=place)


def _quiet(record: Record) -> Record:
    """Events of the tokenizer's training under a name of their own."""

    def tell(event: str, **content: Any) -> None:
        record(f"tokenizer_{event}", **content)

    return tell


def _first(batches: Iterable[Batch], events: int) -> Iterator[Batch]:
    seen = 0
    for batch in batches:
        yield batch
        seen += len(batch)
        if seen >= events:
            return
