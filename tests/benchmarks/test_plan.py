"""The plan of a large training counts what it says, and its page is what it prints."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lpm.model.backbone import Backbone

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What plan.py prints."""
    monkeypatch.syspath_prepend(FOLDER)

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["plan.py", *words])
        runpy.run_path(str(FOLDER / "plan.py"), run_name="__main__")
        return capsys.readouterr().out

    return call


def test_the_plan_on_its_page_is_what_the_script_prints(planned: Callable[..., str]) -> None:
    page = (FOLDER.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert planned().strip() in page
    hours = re.search(r"GPU hours, without waiting \| ([\d,]+)", planned("--mfu", "0.033"))
    assert hours
    assert f"{hours[1]} GPU hours" in page


def test_plan_scales_as_it_must(planned: Callable[..., str]) -> None:
    def number(name: str, *words: str) -> float:
        found = re.search(rf"^\| {name}[^|]*\| ([\d.,e+]+)", planned(*words), re.MULTILINE)
        assert found, name
        return float(found[1].replace(",", ""))

    work = number("operations, 6ND")
    assert number("operations, 6ND", "--jets", "2e8") == pytest.approx(2 * work, rel=0.01)
    assert number("tokens a second a GPU", "--gpu", "A100") == pytest.approx(
        number("tokens a second a GPU") * 312 / 989, rel=0.01
    )
    assert number("moments", "--optimiser", "adamw") == pytest.approx(2 * number("moments"), rel=0.01)
    assert "does not fit" in planned("--gpu", "V100")
    with pytest.raises(SystemExit, match="--gpus"):
        planned("--gpus", "0")


def test_plan_counts_the_body_and_its_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    names = runpy.run_path(str(FOLDER / "plan.py"))
    _, config, count = names["body"](1e5)
    counted = sum(p.numel() for p in Backbone(config).parameters() if p.ndim == 2)
    assert count == counted >= 1e5
    assert names["measure"]() == pytest.approx(names["OPTIONS"]["activations"][0], rel=0.02)
