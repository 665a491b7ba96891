"""From the records of runs to a page: which events become which plots and tables.

Every section is made from the events it can find and left out where there are none; events that are not known here are
passed over, so a record of a later version, or of another kind of run, can still be read.
"""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lpm.metrics.estimate import Estimate
from lpm.records.run import read
from lpm.report import plots
from lpm.report.display import add_display
from lpm.report.names import title_of
from lpm.report.page import Page
from lpm.report.plots import Band

__all__ = ["report_events", "report_runs"]

Event: TypeAlias = Mapping[str, Any]

_HEADLINES = ("auc", "accuracy", "rejection", "c2st", "fpd")


@dataclass(frozen=True)
class _Run:
    """One run: its name and its events by kind."""

    name: str
    events: Mapping[str, list[Event]]

    def last(self, kind: str) -> Event:
        return self.events[kind][-1] if self.events.get(kind) else {}


def report_runs(folders: Sequence[Path], *, title: str = "") -> Page:
    """The page of one or more run folders.

    Args:
        folders: Folders with a `run.jsonl`.
        title: Heading; made from the recipes if empty.

    Raises:
        ValueError: If there is no folder, or one holds no readable record.
    """
    if not folders:
        raise ValueError("expected at least one run folder; name those to report")
    return report_events({_name(f, folders): read(Path(f)) for f in folders}, title=title)


def report_events(runs: Mapping[str, Sequence[Event]], *, title: str = "") -> Page:
    """The page of the events of runs.

    Args:
        runs: Events by name of run, as `lpm.records.run.read` returns them.
        title: Heading; made from the names if empty.

    Example:
        >>> page = report_events({"first": [{"event": "start", "recipe": "tiny", "seed": 1}]})
        >>> [s.title for s in page.sections]
        ['Provenance']
    """
    found = [_Run(name, _by_kind(events)) for name, events in runs.items()]
    page = Page(title or ", ".join(r.name for r in found), _subtitle(found))
    _tiles(page, found)
    for add in (_metrics, _generation, _curves, _histograms, _displays, _training, _energy, _provenance):
        add(page, found)
    return page


def _tiles(page: Page, runs: Sequence[_Run]) -> None:
    """Up to four headline numbers: taggers first, then generators, in the order of the record."""
    several = sum(bool(_tables(r)) for r in runs) > 1
    shown = [
        (_HEADLINES.index(stem), title_of(metric), estimate, f"{r.name} · {table}" if several else table)
        for r in runs
        for table, rows in _tables(r).items()
        for metric, estimate in rows.items()
        if not metric.endswith(".floor") and (stem := metric.partition("@")[0].partition("[")[0]) in _HEADLINES
    ]
    for _, label, estimate, note in sorted(shown, key=lambda row: row[0])[:4]:
        page.tile(label, estimate, note)


def _metrics(page: Page, runs: Sequence[_Run]) -> None:
    """Tables of metrics; those that hold the same metrics become columns of one table."""
    groups: dict[tuple[str, ...], dict[str, dict[str, Estimate]]] = defaultdict(dict)
    several = sum(any(not _has_floor(rows) for rows in _tables(r).values()) for r in runs) > 1
    for r in runs:
        for name, rows in _tables(r).items():
            if not _has_floor(rows):
                groups[tuple(rows)][f"{r.name}: {name}" if several else name] = rows
    if not groups:
        return
    section = page.section("Results", "Each value with its 68% interval; point at a value to read both ends.")
    for metrics, columns in groups.items():
        cells: list[list[str | Estimate]] = [[title_of(m), *(rows[m] for rows in columns.values())] for m in metrics]
        section.table(["metric", *columns], cells)


def _generation(page: Page, runs: Sequence[_Run]) -> None:
    """Distances beside their truth-against-truth floor."""
    tables = [(r, name, rows) for r in runs for name, rows in _tables(r).items() if _has_floor(rows)]
    if not tables:
        return
    several = len({r.name for r, _, _ in tables}) > 1
    lead = (
        "The floor is the same distance between two halves of the truth, of equal size: a perfect generator reaches it."
    )
    section = page.section("Generated against true", lead)
    for r, name, rows in tables:
        distances: list[list[str | Estimate]] = []
        for metric, e in rows.items():
            floor = rows.get(f"{metric}.floor")
            if floor is not None:
                distances.append([title_of(metric), e, floor, _excess(e, floor)])
        caption = f"{r.name}: {name}" if several else name
        section.table(["distance", "generated", "floor", "difference / error"], distances, caption=caption)


def _curves(page: Page, runs: Sequence[_Run]) -> None:
    events, several = _of_kind(runs, "curve")
    if not events:
        return
    section = page.section("Curves")
    section.figures([(_curve(e), _caption(e, r, several)) for r, e in events])


def _curve(e: Event) -> str:
    lines = {name: _band(e["x"], series) for name, series in e["series"].items()}
    if e.get("name") == "roc":
        return plots.roc(lines)
    x = np.asarray(e["x"], dtype=np.float64)
    wide = len(x) > 1 and x.min() > 0 and x.max() / x.min() >= 50
    return plots.curve(
        lines,
        x_label=e.get("x_label", "x"),
        y_label=e.get("y_label", e.get("name", "y")),
        x_log=e.get("x_log", wide),
        y_log=e.get("y_log", False),
    )


def _histograms(page: Page, runs: Sequence[_Run]) -> None:
    histograms, several = _of_kind(runs, "histogram")
    images, several_images = _of_kind(runs, "image")
    if not histograms and not images:
        return
    lead = "Normalised to one. Bands and bars are statistical errors; below, the ratio to the first series."
    section = page.section("Distributions", lead)
    figures = []
    for r, e in histograms:
        unit = e.get("unit", "1")
        label = title_of(e.get("name", "")) + (f" [{unit}]" if unit not in ("1", "") else "")
        outside = e.get("outside", {})
        drawn = plots.histogram(
            e["edges"],
            e["series"],
            label=label,
            outside=outside,
            log=bool(e.get("log", False)),
            ratio=bool(e.get("ratio", True)),
        )
        figures.append((drawn, _caption(e, r, several) + _beyond(e["series"], outside)))
    section.figures(figures)
    for r, e in images:
        left, right, bottom, top = e.get("extent", (-0.8, 0.8, -0.8, 0.8))
        drawn = plots.images(e["series"], extent=(left, right, bottom, top))
        section.figures([(drawn, _caption(e, r, several_images))], wide=True)


def _displays(page: Page, runs: Sequence[_Run]) -> None:
    events, several = _of_kind(runs, "jets")
    if events:
        section = page.section("Event display", "Single jets, particle by particle.")
        for r, e in events:
            if several:
                section.text(r.name)
            add_display(page, section, e["series"])


def _training(page: Page, runs: Sequence[_Run]) -> None:
    figures = []
    for r in runs:
        steps = [e for e in r.events.get("step", []) if e.get("loss")]
        if not steps:
            continue
        training = _losses(steps)
        validation = _losses([e for e in r.events.get("valid", []) if e.get("loss")])
        speed = _speed(steps)
        caption = f"{r.name}, to step {steps[-1].get('step', len(steps))}" + (f": {speed}" if speed else "")
        figures.append((plots.losses(training, validation), caption + "."))
    if figures:
        lead = "Faint: as recorded; strong: running mean; points: validation."
        page.section("Training", lead).figures(figures)


def _energy(page: Page, runs: Sequence[_Run]) -> None:
    measured = {r.name: end for r in runs if (end := r.last("end")).get("energy_kwh") or end.get("co2_kg")}
    if not measured:
        return
    keys = ("energy_kwh", "co2_kg", "seconds")
    if len(measured) > 1:
        measured["all"] = {k: sum(float(end.get(k) or 0) for end in measured.values()) for k in keys}
    section = page.section("Energy", "Measured or estimated on the machine that ran it.")
    rows = [
        [name, _amount(end.get("energy_kwh"), "kWh", "Wh"), _amount(end.get("co2_kg"), "kg", "g"), _duration(end)]
        for name, end in measured.items()
    ]
    section.table(["run", "energy", "CO₂ equivalent", "time"], rows)


def _provenance(page: Page, runs: Sequence[_Run]) -> None:
    """Facts of each run; those that are the same for all stand once at the head."""
    section = page.section("Provenance", "What is needed to do it again.")
    facts = {r.name: _facts(r) for r in runs}
    told = [f for f in facts.values() if "python" in f]
    shared = {k: v for k, v in told[0].items() if all(f.get(k) == v for f in told)} if len(told) > 1 else {}
    shared.pop("recipe", None)
    if shared:
        section.facts(shared, title="All runs")
    for r in runs:
        section.facts({k: v for k, v in facts[r.name].items() if shared.get(k) != v}, title=r.name)
        whole = {k: v for k, v in r.last("start").items() if k not in ("event", "time")}
        text = json.dumps(whole, indent=2, ensure_ascii=False).replace("&", "&amp;").replace("<", "&lt;")
        section.html(f"<details><summary>full record of the start</summary><pre>{text}</pre></details>")
        files = [
            [str(e.get("path", "")), f"{e.get('bytes', 0) / 1e6:.2f} MB", str(e.get("sha256", ""))[:16]]
            for e in r.events.get("artefact", [])
        ]
        if files:
            section.table(["file", "size", "SHA-256 (start)"], files)


def _facts(r: _Run) -> dict[str, str]:
    """What a run says of itself in a few words."""
    start = r.last("start")
    recipe = start.get("recipe")
    named = {"recipe": recipe} if isinstance(recipe, str) else _plain(recipe)
    if "name" in named:
        named = {"recipe": named.pop("name"), **named}
    starts = len(r.events.get("start", []))
    return {
        **named,
        **_plain({k: start.get(k) for k in ("seed", "commit")}),
        **_plain(start.get("hardware")),
        **_plain(start.get("versions")),
        **({"resumed": f"{starts - 1} times"} if starts > 1 else {}),
    }


def _by_kind(events: Sequence[Event]) -> dict[str, list[Event]]:
    out: dict[str, list[Event]] = defaultdict(list)
    for e in events:
        out[str(e.get("event"))].append(e)
    return out


def _tables(r: _Run) -> dict[str, dict[str, Estimate]]:
    """The last metrics recorded under each name."""
    return {
        str(e.get("name", "metrics")): {m: Estimate.from_json(v) for m, v in e.get("values", {}).items()}
        for e in r.events.get("metrics", [])
    }


def _has_floor(rows: Mapping[str, Estimate]) -> bool:
    return any(m.endswith(".floor") for m in rows)


def _excess(e: Estimate, floor: Estimate) -> str:
    """By how many standard errors a distance differs from its floor."""
    error = float(np.hypot(e.error, floor.error))
    return f"{(e.value - floor.value) / error:+.1f} σ" if error > 0 else "–"


def _losses(events: Sequence[Event]) -> dict[str, Band]:
    """Losses by name; of a step that was repeated after a resumption the later value counts."""
    points: dict[str, dict[float, float]] = defaultdict(dict)
    for i, e in enumerate(events):
        losses = e["loss"] if isinstance(e["loss"], Mapping) else {"loss": e["loss"]}
        for name, value in losses.items():
            if value is not None:
                points[name][float(e.get("step", i))] = float(value)
    return {name: Band(*(np.array(sorted(p.items()), dtype=np.float64).T)) for name, p in points.items()}


def _band(x: Sequence[float], series: Any) -> Band:
    if isinstance(series, Mapping):
        low, high = (_numbers(series[k]) if series.get(k) else None for k in ("low", "high"))
        return Band(_numbers(x), _numbers(series["value"]), low, high)
    return Band(_numbers(x), _numbers(series))


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _caption(e: Event, r: _Run, told_apart: bool) -> str:
    text = str(e.get("caption") or title_of(str(e.get("name", ""))))
    return f"{r.name}: {text}" if told_apart else text


def _beyond(series: Mapping[str, Sequence[float]], outside: Mapping[str, float]) -> str:
    """The share of each series beyond the axis, where it is more than one in a hundred."""
    shares = {name: out / max(sum(series[name]) + out, 1e-9) for name, out in outside.items() if name in series}
    told = [f"{name} {share:.0%}" for name, share in shares.items() if share > 0.01]
    return f". Beyond the axis: {', '.join(told)}" if told else ""


def _of_kind(runs: Sequence[_Run], kind: str) -> tuple[list[tuple[_Run, Event]], bool]:
    """All events of a kind with their run, and whether they come from more than one."""
    found = [(r, e) for r in runs for e in r.events.get(kind, [])]
    return found, len({r.name for r, _ in found}) > 1


def _speed(steps: Sequence[Event]) -> str:
    rates = [(float(np.median(v)), unit) for unit in ("events", "jets", "tokens")
             if (v := [e[f"{unit}_per_s"] for e in steps if e.get(f"{unit}_per_s")])]  # fmt: skip
    return ", ".join(f"{rate:,.0f} {unit}/s" for rate, unit in rates)


def _amount(value: float | None, unit: str, milli: str) -> str:
    if value is None:
        return "–"
    return f"{value:.3g} {unit}" if value >= 0.1 else f"{1000 * value:.3g} {milli}"


def _duration(end: Event) -> str:
    seconds = end.get("seconds")
    return "–" if seconds is None else str(datetime.timedelta(seconds=round(float(seconds))))


def _plain(values: Any) -> dict[str, str]:
    """The entries that are numbers or short texts; all others stand in the full record."""
    if not isinstance(values, Mapping):
        return {}
    plain = {k: v for k, v in values.items() if isinstance(v, str | int | float) and k != "kind"}
    return {title_of(str(k)): str(v) for k, v in plain.items() if len(str(v)) <= 90}


def _subtitle(runs: Sequence[_Run]) -> str:
    times = [e["time"] for r in runs for e in r.events.get("start", []) if isinstance(e.get("time"), int | float)]
    day = datetime.datetime.fromtimestamp(max(times), datetime.UTC).strftime("%d %B %Y, %H:%M UTC") if times else ""
    count = "" if len(runs) == 1 else f"{len(runs)} runs"
    seeds = {str(r.last("start").get("seed")) for r in runs if r.last("start").get("seed") is not None}
    seed = f"seed {', '.join(sorted(seeds))}" if seeds else ""
    return " · ".join(p for p in (count, day, seed) if p)


def _name(folder: Path, folders: Sequence[Path]) -> str:
    """The folder's name, with its parent's where two are called the same."""
    folder = Path(folder).resolve()
    twins = sum(Path(f).resolve().name == folder.name for f in folders)
    return folder.name if twins == 1 else f"{folder.parent.name}/{folder.name}"
