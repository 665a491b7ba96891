"""The section of a report that says why."""

from pathlib import Path

import pytest

from lpm.report.explain import contributions, single_events
from lpm.report.runs import report_events, report_runs

ONE = {"title": "top, 0.9", "eta": [0.1, 0.0], "phi": [0.0, 0.2], "pt": [5.0, 1.0], "value": [1.0, -0.5]}
EVENTS = [
    {"event": "start", "recipe": "tiny", "seed": 1},
    {
        "event": "attribution", "head": "label", "fields": ["pt", "pairs"], "events": 10, "baseline": "nothing known",
        "series": {"top": {"value": [1.0, -0.2], "error": [0.1, 0.1]}}, "gap": 0.01, "span": 2.0,
    },
    {"event": "looks", "head": "label", "relative": True, "events": [{**ONE, "attention": [0.5, 0.1]}] * 2},
]  # fmt: skip


def test_the_section_tells_baseline_and_gap() -> None:
    page = report_events({"first": EVENTS})
    assert [s.title for s in page.sections] == ["Why", "Provenance"]
    text = page.render()
    assert "nothing known" in text
    assert "at most 0.01" in text
    assert "contributions of fields" in text
    assert "single events, row by row" in text


def test_events_made_for_the_page_stand_beside_the_record(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text('{"event": "start", "recipe": "tiny", "seed": 1}\n')
    assert "Why" in [s.title for s in report_runs([tmp_path], more=lambda folder: EVENTS[1:]).sections]
    assert "Why" not in [s.title for s in report_runs([tmp_path]).sections]
    assert (tmp_path / "run.jsonl").read_text().count("\n") == 1


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one field"):
        contributions([], {})
    assert "svg" in single_events({"events": [ONE], "relative": False})
