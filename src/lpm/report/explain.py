"""The section of a report that says why a classifier answers as it does: by field, and particle by particle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lpm.report.page import Page
from lpm.report.recorded import Event, Recorded, of_kind
from lpm.report.svg import INK, MUTED, SERIES, STYLE, svg

__all__ = ["contributions", "explanations", "single_events"]

AREA = 700.0
"""Area of the disc of a row that carries all transverse momentum, in square points."""


def explanations(page: Page, runs: Sequence[Recorded]) -> None:
    """Contributions by field, and single events."""
    events, several = of_kind(runs, "attribution")
    if not events:
        return
    section = page.section(
        "Why",
        "Integrated gradients: what each number contributes to the log-odds of the answer, against a baseline where "
        "nothing is known of the same number of rows.",
    )
    for r, e in events:
        head = f"{r.name}: {e['head']}" if several else str(e["head"])
        caption = (
            f"{head}, {e['events']:,} events. Baseline: {e['baseline']}. The contributions add up to the difference of "
            f"log-odds, on average {e['span']:.3g}, but for at most {e['gap']:.2g}."
        )
        section.figures([(contributions(e["fields"], e["series"]), caption)], wide=True)
    for r, e in of_kind(runs, "looks")[0]:
        text = (
            "Single events. Area: share of the transverse momentum. Above, orange is for the answer, violet against it"
        )
        seen = "; below, the darker the more attention." if "attention" in e["events"][0] else "."
        section.figures([(single_events(e), (f"{r.name}: " if several else "") + text + seen)], wide=True)


def contributions(fields: Sequence[str], series: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """A bar for each field and answer, with the error of the mean.

    Args:
        fields: K names.
        series: {answer: {"value": K means, "error": K errors}}.

    Raises:
        ValueError: If there is nothing to draw.

    Example:
        >>> "svg" in contributions(["pt", "deta"], {"top": {"value": [1.0, -0.5], "error": [0.1, 0.1]}})
        True
    """
    if not fields or not series:
        raise ValueError("contributions: expected at least one field and one answer")
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        height = 1.1 + len(fields) * max(0.3, 0.13 * len(series))
        figure = Figure(figsize=(6.4, height), layout="constrained")
        axes = figure.subplots()
        thick = 0.8 / len(series)
        for s, (name, values) in enumerate(series.items()):
            y = np.arange(len(fields)) + (s - (len(series) - 1) / 2) * thick
            colour = SERIES[1 + s % (len(SERIES) - 1)]
            axes.barh(
                y, values["value"], xerr=values["error"], height=0.85 * thick, color=colour, label=name,
                alpha=1.0 if s < len(SERIES) - 1 else 0.5, error_kw={"ecolor": INK, "elinewidth": 0.8},
            )  # fmt: skip
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_yticks(range(len(fields)), fields)
        axes.invert_yaxis()
        axes.tick_params(axis="y", which="both", length=0)
        axes.set(xlabel="mean contribution to the log-odds of the answer")
        figure.legend(loc="outside upper center", ncols=min(5, len(series)), title="answer")
        return svg(figure, "contributions of fields")


def single_events(e: Event) -> str:
    """Rows of single events in the plane of pseudorapidity and azimuth: contributions, and attention if there is any.

    Args:
        e: Event of kind `looks`.

    Example:
        >>> one = {"title": "top", "eta": [0.1], "phi": [0.0], "pt": [5.0], "value": [1.0]}
        >>> "svg" in single_events({"events": [one], "relative": True})
        True
    """
    shown: Sequence[Mapping[str, Any]] = e["events"]
    kinds = ["value", "attention"] if "attention" in shown[0] else ["value"]
    sign = "Δ" if e.get("relative") else ""
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        size = (2.3 * len(shown) + 0.4, 2.35 * len(kinds) + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(kinds), len(shown), squeeze=False, sharex="col", sharey="col")
        for column, one in enumerate(shown):
            eta, phi, pt = (np.asarray(one[n], dtype=np.float64) for n in ("eta", "phi", "pt"))
            area = AREA * pt / max(float(pt.sum()), 1e-12) + 4
            wide = 1.15 * max(float(np.abs(x - x.mean()).max()) for x in (eta, phi)) + 0.05
            for row, kind in enumerate(kinds):
                axes = panels[row, column]
                values = np.asarray(one[kind], dtype=np.float64)
                order = np.argsort(-area)
                axes.scatter(eta[order], phi[order], s=area[order], c=_colours(values, kind)[order], linewidths=0.4,
                             edgecolors=MUTED)  # fmt: skip
                for set_limits, x in ((axes.set_xlim, eta), (axes.set_ylim, phi)):
                    set_limits(float(x.mean()) - wide, float(x.mean()) + wide)
                axes.set_box_aspect(1)
                if row == 0:
                    axes.set_title(one["title"], fontsize=10)
                if column == 0:
                    axes.set_ylabel(f"{sign}φ [rad]")
                if row == len(kinds) - 1:
                    axes.set_xlabel(f"{sign}η")
        return svg(figure, "single events, row by row")


def _colours(values: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """(T, 4) colours: orange for what speaks for the answer, violet against it; grey to black for attention."""
    top = max(float(np.abs(values).max()), 1e-12) if len(values) else 1.0
    # Roots, so that what is a tenth of the largest is still seen.
    strength = np.sqrt(np.abs(values) / top)
    if kind == "attention":
        return np.asarray(mpl.colormaps["Greys"](0.05 + 0.95 * strength))
    return np.asarray(mpl.colormaps["PuOr_r"](0.5 + 0.5 * np.sign(values) * strength))
