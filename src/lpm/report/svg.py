"""From a matplotlib figure to one `<svg>` element that fits the page around it.

Text stays text, in the font of the page. Colours are CSS variables (`--ink`, `--s1`, ...) with a fall-back, so a plot
follows the page into dark mode and is still a valid picture on its own. The series colours follow Petroff
(arXiv 2107.02270): sequences made to be told apart by colour-blind readers.
"""

from __future__ import annotations

import html
import io
import itertools
import re
from typing import Any

from matplotlib.figure import Figure

__all__ = ["INK", "LINE", "MUTED", "SERIES", "STYLE", "SURFACE", "svg"]

# Stand-ins that occur nowhere else: matplotlib writes them as they are, then they become CSS variables.
_VARIABLES = {
    "#010203": ("--ink", "#1c2026"),
    "#020304": ("--muted", "#68707c"),
    "#030405": ("--line", "#dfe3e8"),
    "#040506": ("--surface", "#ffffff"),
    "#0a0b01": ("--s1", "#5a6270"),
    "#0a0b02": ("--s2", "#2f6fed"),
    "#0a0b03": ("--s3", "#e8701a"),
    "#0a0b04": ("--s4", "#bd1f36"),
    "#0a0b05": ("--s5", "#832db6"),
    "#0a0b06": ("--s6", "#0f8f74"),
}
INK, MUTED, LINE, SURFACE, *SERIES = _VARIABLES
_number = itertools.count(1)

STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.5,
    "text.color": INK,
    "text.parse_math": False,  # names come from data: a dollar sign in one is a dollar sign
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "xtick.major.size": 5.0,
    "ytick.major.size": 5.0,
    "xtick.minor.size": 2.5,
    "ytick.minor.size": 2.5,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.handlelength": 1.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.hashsalt": "lpm",  # equal plots have equal names, so that a page made again is the same
}
"""Settings of matplotlib for all plots."""


def svg(figure: Figure, title: str) -> str:
    """One `<svg>` element with CSS variables for colours, names of its own and a title for screen readers."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    # Names must be unique on a page that holds many plots.
    mark = f"p{next(_number)}-"
    # What stands between the tags is for people, and stays.
    text = re.sub(r"<[^>]+>", lambda tag: _tag(tag[0], mark), re.sub(r"\s*\n\s*", " ", text)).replace("> <", "><")
    text = re.sub(r"(<svg[^>]*?) width=\"[^\"]*\"", r"\1", text, count=1)
    heading = f' role="img" aria-label="{html.escape(title)}">'
    # A function: in a text, a backslash of the title would be read as an escape.
    return re.sub(r"(<svg[^>]*)>", lambda opening: opening[1] + heading, text, count=1)


def _tag(tag: str, mark: str) -> str:
    """A tag with CSS variables for colours, marked names, and the font of the page."""
    for stand_in, (variable, colour) in _VARIABLES.items():
        tag = tag.replace(stand_in, f"var({variable}, {colour})")
    tag = re.sub(r'(?<= )id="', f'id="{mark}', tag)
    tag = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{mark}", tag)
    tag = tag.replace("font-family: 'DejaVu Sans', sans-serif", "font-family: inherit")
    # Hundredths of a pixel are enough, and half the text.
    return re.sub(r"(\d\.\d\d)\d+", r"\1", tag).replace(" rotate(-0 ", " rotate(0 ")
