"""Every `lpm` command that the README, the documentation and the benchmarks show is one that lpm takes."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from lpm.cli.main import app
from lpm.cli.train import _chosen
from lpm.model.checkpoint import shipped
from lpm.recipes import RECIPES
from lpm.tasks import TASKS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "benchmarks").glob("*.py"))]
MADE = {"results.md", "benchmarks.md"}
"""Pages that hold records, commands of earlier commits among them."""


def shown(path: Path) -> list[tuple[str, bool]]:
    """The commands of a page: lines of code that begin with lpm, which are whole, and those between backticks."""
    text = path.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^ *(?:\$ )?(lpm [a-z].*)$", code, re.MULTILINE)
    return [*((line, True) for line in lines), *((said, False) for said in re.findall(r"`(lpm [a-z][^`\n]*)`", text))]


COMMANDS = [(p.name, *command) for p in PAGES if p.name not in MADE for command in shown(p)]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 100
    assert {"README.md", "use.md", "simulation.md", "flash.md"} <= {name for name, *_ in COMMANDS}


@pytest.mark.parametrize(("page", "command", "whole"), COMMANDS)
def test_a_command_that_is_shown_is_taken(page: str, command: str, whole: bool) -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    words = shlex.split(command.replace("…", " ").replace("|", " "), comments=True)
    assert words[1] in verbs, f"{page}: no verb {words[1]}"
    verb = verbs[words[1]]
    context = verb.context_class(verb, info_name=words[1], resilient_parsing=True)
    values, _, _ = verb.make_parser(context).parse_args(words[2:])  # raises for options that are not there
    if whole and "--help" not in words:
        missing = [p.name for p in verb.params if p.required and p.name not in values]
        assert not missing, f"{page}: {command} lacks {missing}"
    named = {p.name: values.get(p.name) for p in verb.params}
    recipe, task = named.get("recipe"), named.get("task")
    if words[1] == "train" and recipe and recipe.islower() and ":" not in recipe and "*" not in recipe:
        assert recipe in RECIPES, f"{page}: {command}"
        if values.get("start") in (None, *shipped()):  # then it can be told what would be trained
            size = int(values["size"]) if values.get("size") else None
            given = [values.get(n) for n in ("start", "choice", "seed")]
            _chosen(recipe, None, values.get("data"), values.get("valid"), size, *given, False, values.get("change"))
    if words[1] == "evaluate" and task and task.islower():
        assert task in TASKS, f"{page}: {command}"
