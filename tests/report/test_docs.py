"""The examples on the pages about metrics and reports run as they stand."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["metrics.md", "report.md", pytest.param("use.md", marks=pytest.mark.slow)])
def test_examples_run(page, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {"__name__": "example"})
    assert capsys.readouterr().out


def test_every_event_that_a_report_draws_is_documented():
    folder = Path(__file__).parents[2] / "src/lpm/report"
    names = ("recorded", "figures", "explain", "runs")
    source = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in names)
    drawn = set(re.findall(r"(?:events\.get|last|of_kind)\((?:runs, )?\"(\w+)\"", source))
    assert len(drawn) == 13
    listed = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "report.md").read_text(encoding="utf-8"), flags=re.M))
    assert drawn <= listed
