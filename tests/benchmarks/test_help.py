"""Every benchmark can be asked what it takes, also those that only a slow test runs."""

from __future__ import annotations

import runpy
import sys

import pytest
from quick import FOLDER

SCRIPTS = [p.stem for p in sorted(FOLDER.glob("*.py")) if "__main__" in p.read_text(encoding="utf-8")]


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) > 30


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_says_what_it_takes(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as leaving:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert leaving.value.code == 0, leaving.value.code
    assert "usage: " in capsys.readouterr().out
