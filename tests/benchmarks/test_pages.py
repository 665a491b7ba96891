"""The pages of results are written from records alone."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
from quick import FOLDER, Start


def test_page_holds_the_records_and_nothing_else(
    shard: Path, body: Path, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = start("generation", body, "--truth", shard)
    words = ["run.py", "--page", "--results", str(tmp_path), "--to", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(FOLDER / "run.py"), run_name="__main__")
    assert end.value.code == 0
    page = "".join((tmp_path / f"{name}.md").read_text(encoding="utf-8") for name in ("results", "benchmarks"))
    assert page.count("Not measured yet") == page.count("\n## ") - 1
    assert record["command"] in page
    assert "A tiny trial" in page
    assert f"commit {record['commit'] or 'unknown'}" in page


def test_the_pages_in_the_documentation_are_those_of_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    for name, made in runpy.run_path(str(FOLDER / "run.py"))["pages"](FOLDER / "results").items():
        assert (FOLDER.parent / "docs" / f"{name}.md").read_text(encoding="utf-8") == made


def test_a_benchmark_is_run_as_its_record_was_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = {"command": "python benchmarks/sampling.py --threads 1 --out 'my results' --jets 5"}
    (tmp_path / "sampling.json").write_text(json.dumps(record), encoding="utf-8")
    monkeypatch.syspath_prepend(FOLDER)
    run = runpy.run_path(str(FOLDER / "run.py"))
    assert run["options_of_record"]("sampling", tmp_path) == ["--threads", "1", "--jets", "5"]
    assert run["options_of_record"]("loader", tmp_path) == []
    for name in run["BENCHMARKS"]:
        assert all(isinstance(word, str) for word in run["options_of_record"](name, FOLDER / "results"))
