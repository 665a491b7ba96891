"""Every benchmark runs in its quick mode: what starts one, and toys to give it."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quick import FOLDER, Start

from lpm.data.batch import Batch
from lpm.data.fields import JETCLASS
from lpm.data.io.parquet import write_batches
from lpm.recipes import RECIPES
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Start:
    """Runs a script as the command line would and returns its record."""
    monkeypatch.syspath_prepend(FOLDER)

    def call(name: str, *words: object) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words), "--quick", "--out", str(tmp_path)])
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        return dict(json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")))

    return call


@pytest.fixture
def jets(toy_jets: Callable[..., Batch]) -> Batch:
    """Jets whose two classes bear names of JetClass."""
    batch = toy_jets(400)
    field = replace(batch.schema.field("jet.label"), labels=JETCLASS)
    return batch.with_field("jet", field, batch.field("jet.label").values * JETCLASS.index("Tbqq"))


@pytest.fixture
def shard(jets: Batch, tmp_path: Path) -> Path:
    """The jets in a file."""
    write_batches(tmp_path / "jets.parquet", [jets], schema=jets.schema, provenance={})
    return tmp_path / "jets.parquet"


@pytest.fixture
def body(jets: Batch, tmp_path: Path) -> Path:
    """A run of the tiny twin of the pre-trained body."""
    execute(tiny(RECIPES["jets.base"](size=2)), tmp_path / "body", device="cpu", batch=jets)
    return tmp_path / "body"
