"""`lpm`: all verbs, and how errors leave.

Exit codes: 0 done, 1 failed (one line says what was expected, what came and what to do), 2 wrong usage,
130 interrupted; `lpm train` on several processes also 75, start again with `--resume`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lpm import __version__
from lpm.cli.convert import convert
from lpm.cli.evaluate import evaluate
from lpm.cli.fetch import fetch
from lpm.cli.generate import generate
from lpm.cli.inspect import inspect
from lpm.cli.predict import predict
from lpm.cli.quickstart import quickstart
from lpm.cli.report import report
from lpm.cli.simulate import simulate
from lpm.cli.train import train
from lpm.cli.unscramble import unscramble

__all__ = ["app", "main"]

EXTRAS = {"flint": "theory", "numba": "theory", "matplotlib": "report", "uproot": "root", "awkward": "root"}
"""Packages that are imported without a word of their own, and the extra that each comes with."""

app = typer.Typer(
    name="lpm",
    help="An open Large Physics Model: one transformer body, many heads, every kind of particle-physics data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"lpm {__version__}")
        raise typer.Exit


for _verb in (quickstart, inspect, convert, fetch, simulate, train, generate, predict, evaluate, report, unscramble):
    app.command(help=(_verb.__doc__ or "").partition("\n    Raises:")[0])(_verb)


def main() -> None:
    """Run the command line; errors of users become one line on standard error."""
    try:
        app()
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        sys.stderr.write(f"lpm: this needs the package {error.name}: pip install 'lpm[{extra}]'\n")
        sys.exit(1)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"lpm: {_one_line(error)}\n")
        sys.exit(1)
    except SystemExit as leaving:
        # Ctrl-C comes as the cause of an exit; a verb that says more of itself leaves without.
        if isinstance(getattr(leaving.__context__, "__cause__", None), KeyboardInterrupt):
            sys.stderr.write("lpm: interrupted; what was finished is kept, --resume goes on where the command has it\n")
        raise


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}; free space or choose another place, then run the command again"
    return " ".join(str(error).split())
