"""Benchmarks of symbolic theory and of phase space."""

from __future__ import annotations

import runpy

import pytest
from quick import FOLDER, Start


@pytest.mark.slow
def test_phase_space(start: Start) -> None:
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    means, told = start("phase_space")["tables"]
    assert means["rows"][0][0] == "ht"
    assert 0.3 < told["rows"][0][1]["value"] <= 1


def test_laporta(start: Start) -> None:
    record = start("laporta")
    (row,) = record["tables"][0]["rows"]
    assert row[:4] == ["1", "3,978", "2,955", "15"]
    assert row[7]["value"] == pytest.approx(row[6]["value"] / row[4]["value"])


def test_learned_reduction(start: Start) -> None:
    record = start("learned_reduction", "--integrals", "0")
    scrambled, solved = record["tables"]
    for table in (scrambled, solved):
        assert [row[0] for row in table["rows"]][:2] == ["policy", "fewest new integrals"]
        assert all(0 <= row[1]["value"] <= row[2]["value"] <= 1 for row in table["rows"][:2])
    assert [row[0] for row in scrambled["rows"]][2:] == ["SAILIR, published", "target"]


def test_memory_of_reductions_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    names = runpy.run_path(str(FOLDER / "run.py"))
    one = {"integral": "I[1]", "weight": [1, 0], "learned": {"peak": 270.0}, "laporta": {"peak": 500.0}}
    two = one | {"weight": [2, 2], "learned": {"failed": "no way"}, "laporta": {"peak": 900.0}}
    drawn = names["figure"]({"integrals": [one, two]})
    assert drawn.startswith("<svg")
    assert "Laporta" in drawn
    assert names["figure"]({"integrals": []}) == names["figure"]({}) == ""


def test_dilogarithms(start: Start) -> None:
    record = start("dilogarithms")
    first, *deeper = record["tables"][0]["rows"]
    assert first[:3] == ["published mix", "8", "8"]
    assert len(deeper) == 3
    assert first[3]["low"] < first[3]["value"] == 1.0
    assert [row[1:3] for row in record["tables"][1]["rows"]] == [["equal", "10"], ["not equal", "0"]]


def test_spinors(start: Start) -> None:
    sums, longer, gluons, judge = start("spinors")["tables"]
    assert [row[0] for row in sums["rows"]] == ["4", "5", "6"]
    assert [row[4] for row in longer["rows"][:2]] == ["all", "by what they leave"]
    assert all(row[5] in ("0/1", "1/1") for row in longer["rows"])
    assert gluons["rows"][0][2]["value"] == 1.0
    assert [row[2] for row in judge["rows"]] == ["10", "0"]
