"""`lpm train RECIPE --out DIR`: train what a recipe describes, here, on several processes or on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from lpm.cli import launch as at
from lpm.train.launch import LAUNCHERS, LaunchConfig, check
from lpm.train.launch.command import INTERRUPTED, RESTART, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lpm.recipes.base import RunConfig
    from lpm.train.loop import Record

__all__ = ["train"]

SIZES = 65
"""Sizes below this are tried for that of a run which is started from."""


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or my_package.module:function.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    data: Annotated[list[str] | None, typer.Option(help="Training files or folders; may be given again.")] = None,
    valid: Annotated[list[str] | None, typer.Option(help="Validation files; else a share is held out.")] = None,
    size: Annotated[
        int | None,
        typer.Option(help="The one dial: width, depth, heads, rate and horizon; else that of --start, or 4.", min=1),
    ] = None,
    start: Annotated[str | None, typer.Option(help="Run or shipped model whose body to fine-tune.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides everything random; else as in the recipe.")] = None,
    choice: Annotated[
        list[str] | None, typer.Option("--with", help="Any argument of the recipe: --with inputs=full")
    ] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="Any field: --set train.steps=500")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, by its own recipe.")] = False,
    tiny: Annotated[bool, typer.Option("--tiny", help="Two steps of the smallest twin, to see that all fits.")] = False,
    mlflow: Annotated[bool, typer.Option("--mlflow", help="Also log to MLflow.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also log to TensorBoard.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    launch: at.Launch = "local",
    nodes: at.Nodes = 1,
    ranks: at.Ranks = 0,
    gpus: at.Gpus = 0,
    cpus: at.Cpus = 1,
    memory: at.Memory = "",
    time: at.Time = "",
    lead: at.Lead = 120,
    partition: at.Partition = "",
    account: at.Account = "",
    extra: at.Extra = None,
    rendezvous: at.Rendezvous = "",
    sweep: at.Sweep = None,
    dry_run: at.DryRun = False,
) -> None:
    """Train a model, here or elsewhere; safe to interrupt, --resume goes on as if nothing had happened.

    Raises:
        ValueError: If the recipe, a setting or the data do not fit, or the launcher cannot do what is asked.
    """
    where = _where(
        launch, device, nodes=nodes, ranks=ranks, gpus=gpus, cpus=cpus, memory=memory, time=time, lead=lead,
        partition=partition, account=account, extra=tuple(extra or ()), rendezvous=rendezvous,
    )  # fmt: skip
    resumed = out if resume and not sweep else None
    config = _chosen(recipe, resumed, data, valid, size, start, choice, seed, tiny, change)
    if launch == "local" and not sweep and not dry_run:
        _here(recipe, config, out, device, resume, mlflow, tensorboard, quiet)
        return
    words = [recipe, *_words("--data", data), *_words("--valid", valid), *_words("--set", change)]
    words += [*_words("--size", size), *_words("--with", choice), *_words("--start", start), *_words("--seed", seed)]
    words += [] if device == "auto" else ["--device", device]
    switches = {"--tiny": tiny, "--mlflow": mlflow, "--tensorboard": tensorboard}
    switches["--quiet"] = quiet or launch in ("slurm", "htcondor")
    words += [name for name, on in switches.items() if on]
    at.start(at.jobs(words, out, sweep or [], config, resume), where, dry_run)


def _where(launch: str, device: str, **options: Any) -> LaunchConfig:
    """Where it runs; an option that makes no sense, or that this launcher does not use, is wrong usage."""
    try:
        if launch not in LAUNCHERS:
            raise ValueError(f"--launch {launch}: expected one of {', '.join(LAUNCHERS)}")
        config = LaunchConfig(kind=cast(Kind, launch), **options)
        check(config, device)
    except ValueError as error:
        typer.echo(f"lpm: {error}", err=True)
        raise typer.Exit(2) from None
    return config


def _words(name: str, values: list[str] | str | int | None) -> list[str]:
    """An option once for each of its values."""
    every = values if isinstance(values, list) else [] if values is None else [values]
    return [word for value in every for word in (name, str(value))]


def _here(
    recipe: str, config: RunConfig, out: Path, device: str, resume: bool, mlflow: bool, tensorboard: bool, quiet: bool
) -> None:
    """Train in this process."""
    import os

    from lpm.cli.progress import training
    from lpm.recipes.execute import execute
    from lpm.recipes.track import also
    from lpm.train.memory import RestartError

    first = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun, one speaks
    mlflow, tensorboard = mlflow and first, tensorboard and first
    try:
        with (
            training(config.name, quiet=quiet or not first) as bar,
            also(out, bar, mlflow=mlflow, tensorboard=tensorboard) as tell,
        ):
            execute(config, out, resume=resume, device=device, tell=_aloud(tell))
    except KeyboardInterrupt:
        if first:
            typer.echo(f"lpm: interrupted; go on with: lpm train {recipe} --out {out} --resume", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except RestartError as error:
        typer.echo(f"lpm: {error}", err=True)
        raise typer.Exit(RESTART) from None
    if first:
        typer.echo(f"trained {config.name}: {out}. Next: lpm report {out}")


def _aloud(tell: Record) -> Record:
    """A record that also says on the terminal what nobody should have to look up."""

    def told(event: str, **content: Any) -> None:
        tell(event, **content)
        if event.endswith("out_of_memory"):
            step, tokens, largest = (content[n] for n in ("step", "tokens", "largest"))
            text = f"out of memory at step {step} with {tokens} tokens; going on in portions of at most {largest}"
            typer.echo(f"lpm: {text}; a smaller data.budget would save the trouble", err=True)

    return told


def _chosen(
    recipe: str,
    resumed: Path | None,
    data: list[str] | None,
    valid: list[str] | None,
    size: int | None,
    start: str | None,
    choice: list[str] | None,
    seed: int | None,
    tiny: bool,
    change: list[str] | None,
) -> RunConfig:
    """The recipe as asked for; of a run that is resumed, its own."""
    from dataclasses import replace

    from lpm.recipes.execute import read_recipe
    from lpm.records.config import set_path

    def asked() -> RunConfig:
        config = _config(recipe, data, valid, size, start, choice)
        config = config if seed is None else replace(config, seed=seed)
        if tiny:
            from lpm.recipes.jets import tiny as shrink

            return shrink(config)
        return config

    config = read_recipe(resumed) if resumed else asked()
    if resumed:
        given = {"--data": data, "--valid": valid, "--seed": seed}
        body = {"--size": size, "--start": start, "--with": choice, "--tiny": tiny or None}
        _agrees(config, given, asked() if any(body.values()) else None, [n for n, v in body.items() if v])
    for entry in change or []:
        path, equal, text = entry.partition("=")
        if not equal:
            raise ValueError(f"--set {entry}: expected FIELD=VALUE, such as --set train.steps=500")
        config = set_path(config, path, text)
    return config


def _agrees(before: RunConfig, given: Mapping[str, Any], asked: RunConfig | None, words: list[str]) -> None:
    """Refuse options that a run which is to go on was not started with: they would change nothing.

    Args:
        before: The run's own recipe.
        given: {option: what it says}, None for those that were left out.
        asked: What other options make of the recipe, None if there are none.
        words: These other options.
    """
    mine = {"--data": list(before.data.train), "--valid": list(before.data.valid), "--seed": before.seed}
    other = [name for name, value in given.items() if value is not None and value != mine[name]]
    if asked is not None and (asked.model, asked.start) != (before.model, before.start):
        other += words
    if other:
        raise ValueError(
            f"--resume goes on with {before.name} as it was started, not with other {', '.join(other)}; leave "
            f"{'these' if len(other) > 1 else 'this'} out, or name another --out"
        )


def _choices(function: Callable[..., RunConfig], entries: list[str]) -> dict[str, Any]:
    """Arguments of a recipe from NAME=VALUE, the value as JSON or a bare word; where it takes several, by commas.

    What a recipe takes as a word is one though it looks like a number: so data set 2 is named.
    """
    import json

    kinds = getattr(function, "__annotations__", {})
    out: dict[str, Any] = {}
    for entry in entries:
        name, equal, text = entry.partition("=")
        if not equal or not name.isidentifier():
            raise ValueError(f"--with {entry}: expected NAME=VALUE, such as --with inputs=full")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        word = value if isinstance(value, str) else text
        if kinds.get(name) in ("str", str):
            value = word
        elif kinds.get(name) in ("tuple[str, ...]", tuple[str, ...]):
            value = tuple(str(w).strip() for w in (value if isinstance(value, list) else word.split(",")))
        out[name] = value
    return out


def _config(
    recipe: str,
    data: list[str] | None,
    valid: list[str] | None,
    size: int | None,
    start: str | None,
    choice: list[str] | None,
) -> RunConfig:
    """Call the recipe with what was given; what was not keeps the recipe's own default."""
    from lpm.recipes import RECIPES
    from lpm.recipes.base import RunConfig

    function = RECIPES.get(recipe)
    if function is None:
        function = _own(recipe)
    given: dict[str, Any] = {k: tuple(v) for k, v in (("data", data), ("valid", valid)) if v}
    if start is not None:
        given["start"] = start
    chosen = _choices(function, choice or [])
    if "data" in chosen:
        raise ValueError("--with data: files to train on are named by --data")
    given |= chosen
    try:
        config = function(size=size or _dial(function, given, start), **given)
    except TypeError as error:
        raise ValueError(f"recipe {recipe}: {error}; it does not take all of {', '.join(given)}") from error
    if not isinstance(config, RunConfig):
        raise ValueError(f"recipe {recipe}: expected a RunConfig, it returned {type(config).__name__}")
    return config


def _dial(function: Callable[..., RunConfig], given: Mapping[str, Any], start: str | None) -> int:
    """The size at which a recipe has the body of the run that it starts from; 4 if there is none."""
    from lpm.model.checkpoint import read_config

    body = read_config(start).backbone if start is not None else None
    sizes = range(1, SIZES) if body is not None else ()
    return next((s for s in sizes if function(size=s, **given).model.backbone == body), 4)


def _own(recipe: str) -> Any:
    from importlib import import_module

    from lpm.recipes import RECIPES

    module, colon, name = recipe.partition(":")
    if not colon:
        raise ValueError(f"unknown recipe {recipe!r}; there are: {', '.join(RECIPES)}; or my_package.module:function")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"recipe {recipe}: {error}") from error
