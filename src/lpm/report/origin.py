"""The two pictures of a jet-origin study: the migration matrix, and expected limits with their bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from lpm.metrics.estimate import Estimate
from lpm.report.svg import MUTED, SERIES, STYLE, svg

__all__ = ["limits", "migration"]

PRINTED = 0.005
"""Smallest share that is printed into its cell."""

DARK = 0.5
"""Share of the scale from which numbers are printed in white."""


def migration(shares: ArrayLike, names: Sequence[str]) -> str:
    """The matrix of shares of the jets of a row that are taken for the column.

    Args:
        shares: (C, C), each row adds up to 1.
        names: C class names.

    Raises:
        ValueError: If there are not as many names as classes.

    Example:
        >>> "svg" in migration([[0.9, 0.1], [0.2, 0.8]], ["b", "bbar"])
        True
    """
    m = np.asarray(shares, dtype=np.float64)
    if m.shape != (len(names), len(names)):
        raise ValueError(f"migration: expected a ({len(names)}, {len(names)}) matrix for these names, got {m.shape}")
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(1.2 + 0.5 * len(names), 1.0 + 0.42 * len(names)), layout="constrained")
        axes = figure.subplots()
        axes.imshow(m, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        for (i, j), value in np.ndenumerate(m):
            if value >= PRINTED:
                colour = "white" if value > DARK else "black"
                axes.text(j, i, f"{value:.2f}".removeprefix("0"), ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(which="both", length=0)
        axes.set(xlabel="taken for", ylabel="origin")
        return svg(figure, "migration matrix")


def limits(found: Mapping[str, Mapping[str, Estimate]], *, x_label: str) -> str:
    """Expected limits on a logarithmic axis, a row each, with the band of one standard deviation.

    Args:
        found: {series: {row: limit}}; all series have the same rows.
        x_label: What is limited, with its unit.

    Raises:
        ValueError: If there is nothing to draw.

    Example:
        >>> "svg" in limits({"all": {"ss": Estimate(0.3, 0.2, 0.5)}}, x_label="branching ratio")
        True
    """
    if not found or not next(iter(found.values())):
        raise ValueError("limits: expected at least one series with at least one limit")
    rows = list(next(iter(found.values())))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 1.2 + 0.4 * len(rows)), layout="constrained")
        axes = figure.subplots()
        height = 0.8 / len(found)
        for s, (name, series) in enumerate(found.items()):
            y = np.arange(len(rows)) + (s - (len(found) - 1) / 2) * height
            low, value, high = (np.array([getattr(series[r], end) for r in rows]) for end in ("low", "value", "high"))
            colour = SERIES[(s + 1) % len(SERIES)]
            axes.barh(y, high - low, left=low, height=0.8 * height, color=colour, alpha=0.35, linewidth=0)
            axes.plot(value, y, marker="|", ms=12 * height + 4, mew=2, color=colour, linestyle="none", label=name)
        axes.set_yticks(range(len(rows)), rows)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
        axes.xaxis.set_minor_formatter(lambda v, _: f"{v:g}" if str(f"{v:e}")[0] in "25" else "")
        axes.tick_params(which="minor", labelsize=8, colors=MUTED)
        axes.set(xlabel=x_label)
        axes.tick_params(axis="y", which="both", length=0)
        figure.legend(loc="outside upper center", ncols=len(found))
        return svg(figure, f"expected limits on {x_label}")
