"""An interactive view of jets: rotate, zoom, point at a particle, step through true and generated jets side by side.

The scene is drawn by a few hundred lines of plain JavaScript on a canvas and its data lie in the page, so it works from
a file, without a network and without WebGL. Each particle is a line from the collision to the place where it crosses
the plane of Δη and Δφ around the jet axis; the disc there grows with the root of its transverse momentum.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lpm.report.page import Page, Section

__all__ = ["add_display"]


def add_display(page: Page, section: Section, series: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Add an event display with one panel a series.

    Args:
        page: Gets style and script, once.
        section: Gets the display.
        series: Jets by name, as made by `lpm.metrics.shapes.jets`.

    Raises:
        ValueError: If a series is empty or a jet lacks `pt`, `deta` or `dphi`.

    Example:
        >>> page = Page("Jets")
        >>> jet = {"particles": {"pt": [1.0], "deta": [0.1], "dphi": [0.0]}, "jet": {}}
        >>> add_display(page, page.section("Display"), {"truth": [jet]})
        >>> "<canvas" in page.render()
        True
    """
    for name, jets in series.items():
        wanted = {"pt", "deta", "dphi"}
        if not jets or any(not wanted <= set(jet.get("particles", {})) for jet in jets):
            raise ValueError(f"display of {name}: expected jets with particles of {', '.join(sorted(wanted))}")
    page.include("display")
    # "</script" and "<!--" mean something in the element; JSON reads "\u003c" as the same string.
    data = json.dumps(dict(series), separators=(",", ":")).replace("<", "\\u003c")
    panels = "".join(_panel(name, len(jets)) for name, jets in series.items())
    section.html(
        '<div class="display" role="group" aria-label="Event display of jets">'
        f'<div class="panels">{panels}</div>'
        '<div class="legend" aria-hidden="true"></div>'
        '<p class="help">Drag to rotate, scroll or pinch to zoom, point at a particle to read it. '
        "Keys: <kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd> rotate, <kbd>+</kbd> <kbd>−</kbd> zoom, "
        "<kbd>[</kbd> <kbd>]</kbd> other jet, <kbd>0</kbd> start again.</p>"
        f'<script type="application/json">{data}</script></div>'
    )


def _panel(name: str, count: int) -> str:
    safe = html.escape(name, quote=True)
    return (
        f'<div class="panel" data-series="{safe}"><div class="bar-top"><strong>{safe}</strong>'
        f'<span class="pick"><button type="button" data-step="-1" aria-label="previous jet of {safe}">‹</button>'
        f'<select aria-label="jet of {safe}"></select>'
        f'<button type="button" data-step="1" aria-label="next jet of {safe}">›</button></span></div>'
        f'<canvas tabindex="0" role="img" aria-label="{count} jets of {safe}; arrow keys rotate, plus and minus zoom">'
        '</canvas><p class="read" aria-live="polite"></p><div class="tip" hidden></div></div>'
    )
