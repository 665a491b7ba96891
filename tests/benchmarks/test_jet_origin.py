"""The benchmark of jet origin runs in its quick mode, and its templates are what they say."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import ORIGINS
from lpm.data.io import write_batches
from lpm.sim.pair import SCHEMA

pytest.importorskip("pyhf", reason="needs the stats extra")

FOLDER = Path(__file__).parents[2] / "benchmarks"


def jets(path: Path, n: int) -> Path:
    """Jets of numbers at random."""
    g = torch.Generator().manual_seed(n)
    lengths = torch.randint(2, 6, (n,), generator=g)
    columns = {}
    for c in SCHEMA.collections:
        rows = n if c.single else int(lengths.sum())
        for f in c.fields:
            values = torch.rand(rows, generator=g) + 0.1
            columns[f"{c.name}.{f.name}"] = (values * f.size).floor().clamp_max(f.size - 1) if f.size else values
    columns["jet.label"] = (torch.arange(n) % len(ORIGINS)).float()
    write_batches(path, [Batch.build(SCHEMA, columns, {"particle": lengths})], schema=SCHEMA)
    return path


def test_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    words = ["--train", jets(tmp_path / "a.parquet", 99), "--test", jets(tmp_path / "b.parquet", 44), "--size", 1]
    words += ["--identities", "hadrons,none", "--quick", "--out", tmp_path]
    monkeypatch.setattr(sys, "argv", ["jet_origin.py", *map(str, words)])
    runpy.run_path(str(FOLDER / "jet_origin.py"), run_name="__main__")
    record = json.loads((tmp_path / "jet_origin.json").read_text(encoding="utf-8"))
    efficiencies, migration, limits = record["tables"]
    assert efficiencies["columns"][1:3] == ["hadrons (1 seed)", "none (1 seed)"]
    assert [row[0] for row in migration["rows"]] == list(ORIGINS)
    np.testing.assert_allclose(np.sum(record["migration"]["shares"], axis=1), 1, atol=1e-3)
    assert {p.name for p in tmp_path.glob("*.svg")} == {"jet_origin-limits.svg", "jet_origin-migration.svg"}
    for row in limits["rows"]:
        assert 0 < row[1]["low"] < row[1]["value"] < row[1]["high"]
        assert row[1]["value"] < row[2]["value"], "more background, a weaker limit"


def test_a_perfect_tagger_meets_no_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    module = runpy.run_path(str(FOLDER / "jet_origin.py"), run_name="jet_origin")
    matrix = np.eye(len(ORIGINS))
    assert module["template"](matrix, "sb").sum() == pytest.approx(1)
    assert np.count_nonzero(module["template"](matrix, "sb")) == 2
    blurred = 0.5 * matrix + 0.5 / len(ORIGINS)
    perfect, worse = (module["limit"](m, "ss", 0.0).value for m in (matrix, blurred))
    assert perfect < 0.01 < worse
