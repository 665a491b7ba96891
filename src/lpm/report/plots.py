"""The plots of a report: losses, ROC curves, histograms with their ratio, curves with error bars, jet images.

Every function takes plain arrays and returns one `<svg>` element, see `lpm.report.svg`. Series keep their colour in all
plots of a page: the first is the truth or the reference, in grey; lines differ in dash as well as in colour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from lpm.report.svg import MUTED, SERIES, STYLE, SURFACE, svg

__all__ = ["Band", "curve", "histogram", "images", "losses", "powers_of_ten", "roc"]

_DASHES = ("-", "-", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)), "-")
# The same margins in all plots: side by side, their axes line up.
_LEFT, _RIGHT = 0.135, 0.975
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, eq=False)
class Band:
    """The points of one line, with an interval if there is one.

    Args:
        x: (P,) abscissae.
        y: (P,) values; NaN leaves a gap.
        low: (P,) lower ends of the intervals.
        high: (P,) upper ends.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None


def losses(training: Mapping[str, Band], validation: Mapping[str, Band] | None = None, *, x_label: str = "step") -> str:
    """Losses over training steps, a panel each: raw values faint, a running mean on top, validation as points.

    Example:
        >>> x = np.arange(1.0, 50.0)
        >>> losses({"next token": Band(x, 1 / x)}).startswith("<svg")
        True
    """
    valid = validation or {}
    names = list(dict.fromkeys([*training, *valid]))
    columns = min(3, max(1, len(names)))
    rows = -(-max(1, len(names)) // columns)
    with mpl.rc_context(STYLE):
        if len(names) > 1:
            figure = Figure(figsize=(2.9 * columns, 2.1 * rows + 0.3), layout="constrained")
            panels = list(np.atleast_1d(figure.subplots(rows, columns, sharex=True)).flat)
        else:
            figure, axes = _figure()
            panels = [axes]
        for axes, name in zip(panels, names, strict=False):
            _draw_loss(axes, training.get(name), valid.get(name))
            if len(names) > 1:
                axes.set_title(name, fontsize=10.5, loc="left")
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        for axes in panels[max(0, len(names) - columns) : len(names)]:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(x_label)
        panels[0].set_ylabel("loss" if len(names) != 1 else f"loss: {names[0]}")
        return svg(figure, "loss against " + x_label)


def _draw_loss(axes: Axes, fitted: Band | None, valid: Band | None) -> None:
    if fitted is not None:
        axes.plot(fitted.x, fitted.y, color=_colour(1), alpha=0.28, linewidth=0.8)
        axes.plot(fitted.x, _smooth(fitted.y), "." if len(fitted.x) == 1 else "-", color=_colour(1))
    if valid is not None:
        axes.plot(valid.x, valid.y, "o", color=_colour(2), mfc=SURFACE, ms=5)
    y = np.concatenate([b.y[np.isfinite(b.y)] for b in (fitted, valid) if b is not None])
    if len(y) and y.min() > 0 and y.max() / y.min() > 30:
        _log(axes, "y")
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_minor_locator(NullLocator())


def roc(curves: Mapping[str, Band], *, points: Sequence[float] = (0.3, 0.5)) -> str:
    """Background rejection 1/ε_B against signal efficiency, with the working points marked.

    Args:
        curves: x is the signal efficiency ε_S, y the background efficiency ε_B.
        points: Signal efficiencies to mark with a dotted line.

    Example:
        >>> e = np.linspace(0.01, 1, 50)
        >>> "svg" in roc({"tagger": Band(e, e**3)})
        True
    """
    with mpl.rc_context(STYLE):
        figure, axes = _figure()
        for i, (name, band) in enumerate(curves.items()):
            good = (band.y > 0) & np.isfinite(band.y)
            axes.plot(band.x[good], 1 / band.y[good], color=_colour(i + 1), linestyle=_dash(i + 1), label=name)
            if band.low is not None and band.high is not None:
                low, high = np.maximum(band.low[good], 1e-9), np.maximum(band.high[good], 1e-9)
                axes.fill_between(band.x[good], 1 / high, 1 / low, color=_colour(i + 1), alpha=0.18, linewidth=0)
        x = np.linspace(0.02, 1, 60)
        axes.plot(x, 1 / x, color=MUTED, linewidth=1, linestyle=(0, (1, 2)), label="guessing")
        for p in points:
            axes.axvline(p, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        _log(axes, "y")
        axes.set(xlabel="signal efficiency", ylabel="background rejection (1 / efficiency)", xlim=(0, 1))
        axes.set_ylim(bottom=0.8)
        axes.legend()
        return svg(figure, "background rejection against signal efficiency")


def histogram(
    edges: ArrayLike,
    series: Mapping[str, ArrayLike],
    *,
    label: str,
    outside: Mapping[str, float] | None = None,
    log: bool = False,
    ratio: bool = True,
) -> str:
    """Histograms of the same quantity, each normalised to one, above their ratio to the first.

    The first series is drawn filled, with its statistical error as a band; all errors are square roots of counts.

    Args:
        edges: (K + 1,) bin edges.
        series: (K,) counts by name; the first is the reference.
        label: Label of the x axis, with the unit.
        outside: Counts beyond the edges by name; they belong to the norm.
        log: Logarithmic y axis.
        ratio: Draw the lower panel.

    Raises:
        ValueError: If counts and edges do not fit.

    Example:
        >>> "truth" in histogram([0, 1, 2], {"truth": [40, 60], "generated": [50, 50]}, label="jet mass [GeV]")
        True
    """
    e = np.asarray(edges, dtype=np.float64)
    counts = {name: np.asarray(c, dtype=np.float64) for name, c in series.items()}
    if e.ndim != 1 or not counts or any(c.shape != (len(e) - 1,) for c in counts.values()):
        raise ValueError(f"histogram {label}: expected {len(e) - 1} counts a series for {len(e)} edges")
    beyond = outside or {}
    scale = {name: 1 / max(c.sum() + beyond.get(name, 0.0), 1) / np.diff(e) for name, c in counts.items()}
    with mpl.rc_context(STYLE):
        both = ratio and len(counts) > 1
        figure, axes, lower = _two_panels() if both else (*_figure(), None)
        for i, (name, c) in enumerate(counts.items()):
            _draw_histogram(axes, e, c * scale[name], np.sqrt(c) * scale[name], i, name)
        if lower is not None:
            _draw_ratio(lower, e, counts, scale)
            lower.set(xlabel=label, ylabel="ratio", xlim=(e[0], e[-1]))
        else:
            axes.set_xlabel(label)
        axes.set(ylabel="density", xlim=(e[0], e[-1]))
        axes.yaxis.set_major_locator(MaxNLocator(6))
        if log:
            _log(axes, "y")
        else:
            _short_numbers(axes)
            axes.set_ylim(bottom=0, top=1.3 * max((c * scale[n]).max() for n, c in counts.items()) or 1)
        axes.legend()
        return svg(figure, f"histogram of {label}")


def curve(lines: Mapping[str, Band], *, x_label: str, y_label: str, x_log: bool = False, y_log: bool = False) -> str:
    """Lines with points and error bars: label efficiency, resolution against momentum, scaling.

    Example:
        >>> x = np.array([100.0, 1000.0])
        >>> "svg" in curve({"pre-trained": Band(x, x, x - 1, x + 1)}, x_label="labels", y_label="AUC", x_log=True)
        True
    """
    with mpl.rc_context(STYLE):
        figure, axes = _figure()
        for i, (name, b) in enumerate(lines.items()):
            colour, few = _colour(i + 1), len(b.x) <= 40
            marker = ("o", "s", "D", "^", "v")[i % 5] if few else None
            axes.plot(b.x, b.y, color=colour, linestyle=_dash(i + 1), marker=marker, ms=5, mfc=SURFACE, label=name)
            if b.low is not None and b.high is not None:
                axes.fill_between(b.x, b.low, b.high, color=colour, alpha=0.16, linewidth=0)
                if few:
                    bars = np.clip([b.y - b.low, b.high - b.y], 0, None)
                    axes.errorbar(b.x, b.y, bars, color=colour, fmt="none", capsize=3, linewidth=1.2)
        for axis, log in (("x", x_log), ("y", y_log)):
            if log:
                _log(axes, axis)
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.legend()
        return svg(figure, f"{y_label} against {x_label}")


def images(series: Mapping[str, ArrayLike], *, extent: tuple[float, float, float, float], x_label: str = "Δη",
           y_label: str = "Δφ", label: str = "mean pT in a cell [GeV]") -> str:  # fmt: skip
    """Mean jet images side by side on one logarithmic colour scale.

    Args:
        series: (H, W) image by name, row 0 at the lowest y.
        extent: x and y of the edges: left, right, bottom, top.
        x_label: Label of the x axis.
        y_label: Label of the y axis.
        label: Label of the colour scale.

    Example:
        >>> "svg" in images({"truth": np.eye(4)}, extent=(-0.8, 0.8, -0.8, 0.8))
        True
    """
    arrays = {name: np.asarray(a, dtype=np.float64) for name, a in series.items()}
    top = max(float(a.max()) for a in arrays.values()) or 1.0
    norm = mpl.colors.LogNorm(top * 1e-4, top, clip=True)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(3.1 * len(arrays) + 1.0, 3.1), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(arrays), sharey=True))
        for axes, (name, a) in zip(panels, arrays.items(), strict=True):
            drawn = axes.imshow(
                a.clip(top * 1e-4), origin="lower", extent=extent, norm=norm, cmap="viridis", interpolation="nearest"
            )
            axes.set(title=name, xlabel=x_label)
        panels[0].set_ylabel(y_label)
        bar = figure.colorbar(drawn, ax=list(panels), label=label, pad=0.02)
        powers_of_ten(bar.ax.yaxis)
        return svg(figure, "mean jet images: " + ", ".join(arrays))


def powers_of_ten(axis: Axis) -> None:
    """Number a logarithmic axis in plain text: matplotlib's own powers would need its fonts."""
    axis.set_major_formatter(FuncFormatter(_power))
    axis.set_minor_formatter(NullFormatter())


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.6, 3.9))
    figure.subplots_adjust(left=_LEFT, right=_RIGHT, bottom=0.125, top=0.975)
    return figure, figure.subplots()


def _two_panels() -> tuple[Figure, Axes, Axes]:
    figure = Figure(figsize=(5.6, 4.5))
    figure.subplots_adjust(left=_LEFT, right=_RIGHT, bottom=0.11, top=0.98, hspace=0.06)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    return figure, upper, lower


def _draw_histogram(axes: Axes, e: NDArray[np.float64], y: NDArray[np.float64], error: NDArray[np.float64], i: int,
                    name: str) -> None:  # fmt: skip
    colour = _colour(i)
    if i == 0:
        axes.stairs(y, e, fill=True, color=colour, alpha=0.22, label=name)
        axes.stairs(y, e, color=colour, linewidth=1.0)
        axes.stairs(y + error, e, baseline=y - error, fill=True, color=colour, alpha=0.30)
        return
    axes.stairs(y, e, color=colour, linewidth=1.8, linestyle=_dash(i), label=name)
    axes.errorbar((e[:-1] + e[1:]) / 2, y, error, fmt="none", ecolor=colour, elinewidth=1)


def _draw_ratio(axes: Axes, e: NDArray[np.float64], counts: Mapping[str, NDArray[np.float64]],
                scale: Mapping[str, NDArray[np.float64]]) -> None:  # fmt: skip
    first, *others = counts
    reference, middle = counts[first], (e[:-1] + e[1:]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(reference > 0, 1 / np.sqrt(reference), np.nan)
        axes.stairs(1 + relative, e, baseline=1 - relative, fill=True, color=_colour(0), alpha=0.30)
        axes.axhline(1, color=_colour(0), linewidth=1)
        for i, name in enumerate(others, 1):
            factor = scale[name] / scale[first]
            r = np.where(reference > 0, counts[name] * factor / reference, np.nan)
            error = np.sqrt(counts[name]) * factor / reference
            axes.errorbar(middle, r, np.where(np.isfinite(r), error, np.nan), fmt="o", ms=3, color=_colour(i), lw=1)
            # Arrows at the edge stand for points beyond it.
            for marker, edge, beyond in (("^", 1.43, r > 1.5), ("v", 0.57, r < 0.5)):
                axes.plot(middle[beyond], np.full(beyond.sum(), edge), marker, ms=4, color=_colour(i), ls="none")
    axes.set_ylim(0.5, 1.5)
    axes.set_yticks([0.6, 1.0, 1.4])


def _colour(i: int) -> str:
    return SERIES[i % len(SERIES)]


def _dash(i: int) -> Any:
    return _DASHES[i % len(_DASHES)]


def _smooth(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running mean over a twentieth of the points, over fewer at both ends."""
    width = max(1, len(y) // 20)
    ones = np.ones(width)
    good = np.isfinite(y)
    total = np.convolve(np.where(good, y, 0.0), ones, "same")
    count = np.convolve(good.astype(np.float64), ones, "same")
    return np.asarray(np.divide(total, count, out=np.full(len(y), np.nan), where=count > 0))


def _log(axes: Axes, axis: str) -> None:
    """Make an axis logarithmic."""
    getattr(axes, f"set_{axis}scale")("log")
    of = axes.xaxis if axis == "x" else axes.yaxis
    of.set_major_locator(LogLocator(numticks=8))
    powers_of_ten(of)


def _short_numbers(axes: Axes) -> None:
    """Densities of less than 0.01 as multiples of a power of ten, which stands in the label."""
    top = max((abs(v) for v in axes.dataLim.intervaly if math.isfinite(v)), default=1.0)
    if not 0 < top < 0.1:
        return
    exponent = math.floor(math.log10(top))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v / 10.0**exponent:g}"))
    axes.set_ylabel(f"{axes.get_ylabel()} / 10{str(exponent).translate(_SUPERSCRIPT)}")


def _power(value: float, _position: int | None = None) -> str:
    if value <= 0:
        return "0"
    exponent = round(math.log10(value))
    if not math.isclose(value, 10.0**exponent):
        return f"{value:g}"
    return f"{value:g}" if 0 <= exponent <= 2 else "10" + str(exponent).translate(_SUPERSCRIPT)
