"""The sections of a report that draw: curves, distributions, event displays, training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lpm.report import plots
from lpm.report.display import add_display
from lpm.report.names import title_of
from lpm.report.page import Page
from lpm.report.recorded import Event, Recorded, band, losses, of_kind

__all__ = ["curves", "displays", "distributions", "training"]


def curves(page: Page, runs: Sequence[Recorded]) -> None:
    """Curves with their intervals, ROC curves among them."""
    events, several = of_kind(runs, "curve")
    if not events:
        return
    section = page.section("Curves")
    section.figures([(_curve(e), _caption(e, r, several)) for r, e in events])


def _curve(e: Event) -> str:
    lines = {name: band(e["x"], series) for name, series in e["series"].items()}
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


def distributions(page: Page, runs: Sequence[Recorded]) -> None:
    """Histograms and mean images."""
    histograms, several = of_kind(runs, "histogram")
    images, several_images = of_kind(runs, "image")
    if not histograms and not images:
        return
    lead = "Normalised to one. Bands and bars are statistical errors; below, the ratio to the first series."
    section = page.section("Distributions", lead)
    figures = []
    for r, e in histograms:
        unit = e.get("unit", "1")
        label = title_of(str(e.get("name", ""))) + (f" [{unit}]" if unit not in ("1", "") else "")
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


def displays(page: Page, runs: Sequence[Recorded]) -> None:
    """Jets to turn around."""
    events, several = of_kind(runs, "jets")
    if events:
        section = page.section("Event display", "Single jets, particle by particle.")
        for r, e in events:
            if several:
                section.text(r.name)
            add_display(page, section, e["series"])


def training(page: Page, runs: Sequence[Recorded]) -> None:
    """Loss curves, one plot a run."""
    figures = []
    for r in runs:
        steps = [e for e in r.events.get("step", []) if e.get("loss")]
        if not steps:
            continue
        fitted = losses(steps)
        validation = losses([e for e in r.events.get("valid", []) if e.get("loss")])
        speed = _speed(steps)
        caption = f"{r.name}, to step {steps[-1].get('step', len(steps))}" + (f": {speed}" if speed else "")
        figures.append((plots.losses(fitted, validation), caption + "."))
    if figures:
        lead = "Faint: as recorded; strong: running mean; points: validation."
        page.section("Training", lead).figures(figures)


def _caption(e: Event, r: Recorded, told_apart: bool) -> str:
    text = str(e.get("caption") or title_of(str(e.get("name", ""))))
    return f"{r.name}: {text}" if told_apart else text


def _beyond(series: Mapping[str, Sequence[float]], outside: Mapping[str, float]) -> str:
    """The share of each series beyond the axis, where it is more than one in a hundred."""
    shares = {name: out / max(sum(series[name]) + out, 1e-9) for name, out in outside.items() if name in series}
    told = [f"{name} {share:.0%}" for name, share in shares.items() if share > 0.01]
    return f". Beyond the axis: {', '.join(told)}" if told else ""


def _speed(steps: Sequence[Event]) -> str:
    rates = [(float(np.median(v)), unit) for unit in ("events", "jets", "tokens")
             if (v := [e[f"{unit}_per_s"] for e in steps if e.get(f"{unit}_per_s")])]  # fmt: skip
    return ", ".join(f"{rate:,.0f} {unit}/s" for rate, unit in rates)
