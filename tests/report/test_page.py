"""Pages are complete, escaped and never half written."""

import html.parser
import json
import re

import pytest

from lpm.metrics.estimate import Estimate
from lpm.records.run import Run
from lpm.report.display import add_display
from lpm.report.names import title_of
from lpm.report.page import Page
from lpm.report.recorded import Recorded, losses
from lpm.report.runs import report_events, report_runs


class Balance(html.parser.HTMLParser):
    """Checks that elements close in the order in which they opened."""

    VOID = ("meta", "link", "br", "img", "input")

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.faults = [], [], []

    def handle_starttag(self, tag, attrs):
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def test_page_is_well_formed(text):
    parser = Balance()
    parser.feed(text)
    assert parser.faults == []
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))


def test_page_asks_the_network_for_nothing(text):
    """Names of XML name spaces are no addresses; all else that could load must be inline."""
    without_names = re.sub(r"xmlns(:\w+)?=['\"][^'\"]*['\"]", "", text)
    assert not re.search(r"(?:https?:)?//[\w.-]+\.\w", re.sub(r"//[^\n]*\n", "\n", without_names))
    assert not re.search(r"<(?:img|script|iframe|link)[^>]+(?:src|href)=[\"'](?!data:|#)", without_names)
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_every_section_is_there_in_order(text):
    titles = re.findall(r'<h2><a href="#s\d+">([^<]+)', text)
    assert titles == ["Results", "Generated against true", "Curves", "Distributions", "Event display", "Training",
                      "Energy", "Provenance"]  # fmt: skip


def test_values_errors_and_provenance_are_shown(text):
    for shown in ("0.970 ± 0.010", "&gt; 0.96", "rejection at 30% signal", "W1, jet mass", "0123456789ab", "12 Wh",
                  "4 g", "0:06:51", "weights.safetensors", "800 events/s",
                  "Beyond the axis: generated 25%"):  # fmt: skip
        assert shown in text, shown


def test_text_from_the_record_is_escaped(text):
    assert "a </script> CPU" not in text
    assert "a &lt;/script&gt; CPU" in text


def test_equal_metrics_of_two_tables_share_a_table(text):
    assert re.search(r"<th scope=\"col\">tagging</th><th scope=\"col\">scratch</th>", text)


def test_several_runs_are_told_apart(events):
    kept = [e for e in events if e["event"] in ("start", "metrics", "jets")]
    page = report_events({"one": kept, "two": kept})
    text = page.render()
    assert "2 runs" in page.subtitle
    assert "one: tagging" in text
    assert "two: tagging" in text
    assert text.count("<canvas") == 4
    assert text.count("function display(root)") == 1


def test_an_empty_record_still_gives_a_page():
    assert "Provenance" in report_events({"empty": []}).render()


def test_folders_are_read_and_twins_get_their_parents_name(tmp_path):
    for parent in ("a", "b"):
        Run(tmp_path / parent / "run").write("start", recipe="tiny", seed=1)
    assert report_runs([tmp_path / "a" / "run", tmp_path / "b" / "run"]).title == "a/run, b/run"


def test_names_grow_until_they_differ(tmp_path):
    """Three levels up for two of them, one for the third; a folder that is named twice is one run."""
    folders = [tmp_path / p for p in ("exp1/seed0/run", "exp2/seed0/run", "exp2/seed1/run", "exp2/other")]
    for folder in folders:
        Run(folder).write("start", recipe="tiny", seed=1)
    page = report_runs([*folders, folders[0] / ".." / "run"])
    assert page.title == "exp1/seed0/run, exp2/seed0/run, seed1/run, other"
    assert page.render().count("full record of the start") == 4


def test_energy_is_that_of_all_legs_of_a_run():
    legs = [{"event": "pause", "energy_kwh": 1.0, "seconds": 60}, {"event": "end", "energy_kwh": 2.0, "seconds": 30}]
    used = Recorded.of("run", legs).used()
    assert used == {"energy_kwh": 3.0, "seconds": 90.0}
    assert Recorded.of("run", []).used() == {}


def test_no_run_or_table_hides_another():
    """The energy of a run named as the sum is; tables whose names read the same with the run's before them."""
    value = {"value": 0.9, "low": 0.8, "high": 1.0}
    end = {"event": "end", "energy_kwh": 1.0}
    runs = {
        name: [{"event": "metrics", "name": table, "values": {"auc": value}}, end]
        for name, table in (("all", "a: b"), ("all: a", "b"))
    }
    text = report_events(runs).render()
    assert text.count('<th scope="col">all: a: b</th>') == 2
    assert text.count('<th scope="row">all</th>') == 2


@pytest.mark.parametrize("name", ["auc@test", "f1[K]@0.5-1", "$_$", r"$p_\mathrm{T}$", "[", ""])
def test_no_name_stops_a_report(name):
    value = {"value": 0.9, "low": 0.8, "high": 1.0}
    odd = [
        {"event": "metrics", "name": name, "values": {name: value, f"{name}.floor": value}},
        {"event": "metrics", "name": "other", "values": {name: value}},
        {"event": "curve", "name": name, "x": [1, 2], "series": {"a": [1, 2], name: [2, 3]}},
        {"event": "histogram", "name": name, "unit": name, "edges": [0, 1, 2], "series": {"a": [3, 4], name: [1, 2]}},
        {"event": "step", "step": 1, "loss": {name: 1.0}},
    ]
    parser = Balance()
    parser.feed(report_events({name: odd}).render())
    assert parser.faults == []
    assert parser.open == []


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("auc@test", "auc@test"), ("f1[K]@0.5-1", "f1[K]@0.5-1"), ("auc@nan", "auc@nan"), ("accuracy@5", "accuracy@5"),
        ("rejection@0.3", "rejection at 30% signal"),
    ],
)  # fmt: skip
def test_a_point_that_is_no_share_leaves_the_name_as_it_is(name, title):
    assert title_of(name) == title


def test_missing_record_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"run\.jsonl"):
        report_runs([tmp_path])
    with pytest.raises(ValueError, match="at least one run"):
        report_runs([])


def test_failed_write_keeps_the_old_page(tmp_path, monkeypatch):
    target = tmp_path / "report.html"
    Page("first").write(target)
    before = target.read_bytes()
    monkeypatch.setattr(Page, "render", lambda self: "\ud800")
    with pytest.raises(UnicodeEncodeError):
        Page("second").write(target)
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_table_sets_estimates_with_their_interval():
    section = Page("t").section("s")
    section.table(["metric", "value"], [["a<b", Estimate(-1.0, -1.5, -0.5)]])
    assert "a&lt;b" in section.blocks[0]
    assert 'title="[-1.5, -0.5]">−1.00 ± 0.50<' in section.blocks[0]


def test_display_refuses_jets_without_particles():
    page = Page("t")
    with pytest.raises(ValueError, match="deta, dphi, pt"):
        add_display(page, page.section("s"), {"truth": [{"particles": {"pt": [1.0]}}]})


def test_no_name_ends_the_data_of_a_display(events):
    """A comment that opens in a script would keep the script's end from ending it."""
    name, jets = "<!--<script></script>", next(e["series"]["truth"] for e in events if e["event"] == "jets")
    page = Page("t")
    add_display(page, page.section("s"), {name: jets})
    data = re.search(r'<script type="application/json">(.*?)</script>', page.render())[1]
    assert "<" not in data
    assert list(json.loads(data)) == [name]


def test_facts_that_all_runs_share_stand_once(events):
    kept = [e | {"versions": {"python": "3.11.7", "lpm": "0.1.0"}} for e in events if e["event"] == "start"]
    other = [kept[0] | {"seed": 12}]
    text = report_events({"one": kept, "two": other}).render()
    assert "All runs" in text
    assert text.count("<dt>lpm</dt>") == 1
    assert text.count("<dt>seed</dt>") == 2


def test_resumed_run_keeps_one_curve_and_says_so(events):
    start = events[0]
    steps = [{"event": "step", "step": s, "loss": {"a": float(s)}} for s in (1, 2, 3)]
    again = [{"event": "step", "step": s, "loss": {"a": 10.0 + s}} for s in (3, 4)]
    found = losses([*steps, *again])["a"]
    assert found.x.tolist() == [1, 2, 3, 4]
    assert found.y.tolist() == [1, 2, 13, 14]
    assert "1 times" in report_events({"run": [start, *steps, start, *again]}).render()
