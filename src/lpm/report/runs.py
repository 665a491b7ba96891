"""From the records of runs to a page: which events become which plots and tables.

Every section is made from the events it can find and left out where there are none; events that are not known here are
passed over, so a record of a later version, or of another kind of run, can still be read.
"""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lpm.metrics.estimate import Estimate
from lpm.records.run import read
from lpm.report.explain import explanations
from lpm.report.figures import curves, displays, distributions, training
from lpm.report.names import title_of
from lpm.report.page import Page
from lpm.report.recorded import Event, Recorded

__all__ = ["report_events", "report_runs"]

_HEADLINES = ("auc", "accuracy", "rejection", "c2st", "fpd")


def report_runs(
    folders: Sequence[Path], *, title: str = "", more: Callable[[Path], Sequence[Event]] = lambda folder: ()
) -> Page:
    """The page of one or more run folders.

    Args:
        folders: Folders with a `run.jsonl`.
        title: Heading; made from the recipes if empty.
        more: Further events of the run in a folder, made for this page and not recorded.

    Raises:
        ValueError: If there is no folder, or one holds no readable record.
    """
    if not folders:
        raise ValueError("expected at least one run folder; name those to report")
    # A folder that is named twice is one run.
    once = {Path(f).resolve(): Path(f) for f in folders}
    events = {_name(path, once): [*read(f), *more(f)] for path, f in once.items()}
    return report_events(events, title=title)


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
    found = [Recorded.of(name, events) for name, events in runs.items()]
    page = Page(title or ", ".join(r.name for r in found), _subtitle(found))
    _tiles(page, found)
    for add in (
        _metrics, _generation, explanations, curves, distributions, displays, training, _energy, _provenance
    ):  # fmt: skip
        add(page, found)
    return page


def _tiles(page: Page, runs: Sequence[Recorded]) -> None:
    """Up to four headline numbers: taggers first, then generators, in the order of the record."""
    several = sum(bool(r.tables()) for r in runs) > 1
    shown = [
        (_HEADLINES.index(stem), title_of(metric), estimate, f"{r.name} · {table}" if several else table)
        for r in runs
        for table, rows in r.tables().items()
        for metric, estimate in rows.items()
        if not metric.endswith(".floor") and (stem := metric.partition("@")[0].partition("[")[0]) in _HEADLINES
    ]
    for _, label, estimate, note in sorted(shown, key=lambda row: row[0])[:4]:
        page.tile(label, estimate, note)


def _metrics(page: Page, runs: Sequence[Recorded]) -> None:
    """Tables of metrics; those that hold the same metrics become columns of one table."""
    groups: dict[tuple[str, ...], list[tuple[str, dict[str, Estimate]]]] = defaultdict(list)
    several = sum(any(not _has_floor(rows) for rows in r.tables().values()) for r in runs) > 1
    for r in runs:
        for name, rows in r.tables().items():
            if not _has_floor(rows):
                groups[tuple(rows)].append((f"{r.name}: {name}" if several else name, rows))
    if not groups:
        return
    section = page.section("Results", "Each value with its 68% interval; point at a value to read both ends.")
    for metrics, columns in groups.items():
        cells: list[list[str | Estimate]] = [[title_of(m), *(rows[m] for _, rows in columns)] for m in metrics]
        section.table(["metric", *(head for head, _ in columns)], cells)


def _generation(page: Page, runs: Sequence[Recorded]) -> None:
    """Distances beside their truth-against-truth floor."""
    tables = [(r, name, rows) for r in runs for name, rows in r.tables().items() if _has_floor(rows)]
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


def _energy(page: Page, runs: Sequence[Recorded]) -> None:
    measured = [(r.name, used) for r in runs if (used := r.used()).get("energy_kwh") or used.get("co2_kg")]
    if not measured:
        return
    keys = ("energy_kwh", "co2_kg", "seconds")
    if len(measured) > 1:
        measured.append(("all", {k: sum(float(end.get(k) or 0) for _, end in measured) for k in keys}))
    section = page.section("Energy", "Measured or estimated on the machine that ran it.")
    rows = [
        [name, _amount(end.get("energy_kwh"), "kWh", "Wh"), _amount(end.get("co2_kg"), "kg", "g"), _duration(end)]
        for name, end in measured
    ]
    section.table(["run", "energy", "CO₂ equivalent", "time"], rows)


def _provenance(page: Page, runs: Sequence[Recorded]) -> None:
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


def _facts(r: Recorded) -> dict[str, str]:
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


def _has_floor(rows: Mapping[str, Estimate]) -> bool:
    return any(m.endswith(".floor") for m in rows)


def _excess(e: Estimate, floor: Estimate) -> str:
    """By how many standard errors a distance differs from its floor."""
    error = float(np.hypot(e.error, floor.error))
    return f"{(e.value - floor.value) / error:+.1f} σ" if error > 0 else "–"


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


def _subtitle(runs: Sequence[Recorded]) -> str:
    times = [e["time"] for r in runs for e in r.events.get("start", []) if isinstance(e.get("time"), int | float)]
    day = datetime.datetime.fromtimestamp(max(times), datetime.UTC).strftime("%d %B %Y, %H:%M UTC") if times else ""
    count = "" if len(runs) == 1 else f"{len(runs)} runs"
    seeds = {str(r.last("start").get("seed")) for r in runs if r.last("start").get("seed") is not None}
    seed = f"seed {', '.join(sorted(seeds))}" if seeds else ""
    return " · ".join(p for p in (count, day, seed) if p)


def _name(path: Path, paths: Collection[Path]) -> str:
    """The folder's name, with as many of its parents' as it takes to tell it from all others."""
    last = 1
    while sum(p.parts[-last:] == path.parts[-last:] for p in paths) > 1:
        last += 1
    return Path(*path.parts[-last:]).as_posix()
