"""One HTML file that holds everything it shows: style, scripts, plots and data. It asks the network for nothing.

A page is a list of sections; a section is a heading with blocks of HTML. Text handed to the builder is escaped; only
`html` takes markup as it is.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from lpm.metrics.estimate import Estimate
from lpm.records.files import atomic_file

__all__ = ["Page", "Section", "asset"]


def asset(name: str) -> str:
    """Text of a file in the folder `assets`."""
    return resources.files("lpm.report").joinpath("assets", name).read_text(encoding="utf-8")


@dataclass
class Section:
    """A heading and what stands under it.

    Args:
        title: Heading.
        anchor: Name of the place on the page, for links.
        lead: One sentence under the heading.
    """

    title: str
    anchor: str
    lead: str = ""
    blocks: list[str] = field(default_factory=list)

    def html(self, markup: str) -> None:
        """Add markup as it is."""
        self.blocks.append(markup)

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self.blocks.append(f"<p>{html.escape(text)}</p>")

    def figures(self, figures: Sequence[tuple[str, str]], *, wide: bool = False) -> None:
        """Add plots side by side, as (svg, caption); wide ones take a row each."""
        cells = "".join(
            f'<figure class="plot{" wide" * wide}">{svg}<figcaption>{html.escape(caption)}</figcaption></figure>'
            for svg, caption in figures
        )
        self.blocks.append(f'<div class="figures">{cells}</div>')

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str | Estimate]], *, caption: str = "") -> None:
        """Add a table; an `Estimate` is set as value ± error with its interval as a tooltip.

        Args:
            head: Column names; the first column holds the names of the rows.
            rows: Cells.
            caption: Line above the table.
        """
        top = "".join(f'<th scope="col">{html.escape(h)}</th>' for h in head)
        body = "".join(
            f'<tr><th scope="row">{_cell(row[0])}</th>' + "".join(f"<td>{_cell(c)}</td>" for c in row[1:]) + "</tr>"
            for row in rows
        )
        title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
        self.blocks.append(
            f'<div class="scroll"><table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def facts(self, facts: Mapping[str, str], *, title: str = "") -> None:
        """Add a list of names and values: versions, hardware, seeds."""
        rows = "".join(f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in facts.items())
        head = f"<h3>{html.escape(title)}</h3>" if title else ""
        self.blocks.append(f'{head}<dl class="facts">{rows}</dl>')


@dataclass
class Page:
    """A page under construction.

    Args:
        title: Heading of the page.
        subtitle: The line under it.

    Example:
        >>> page = Page("Jets", "a first look")
        >>> page.section("Training").text("1 < 2")
        >>> "<p>1 &lt; 2</p>" in page.render()
        True
    """

    title: str
    subtitle: str = ""
    tiles: list[tuple[str, str, str]] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    styles: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)

    def tile(self, label: str, value: str | Estimate, note: str = "") -> None:
        """Add a number to the row under the heading, with a line of explanation."""
        self.tiles.append((label, str(value), note))

    def section(self, title: str, lead: str = "") -> Section:
        """Add a section and return it."""
        made = Section(title, f"s{len(self.sections) + 1}", lead)
        self.sections.append(made)
        return made

    def include(self, stem: str) -> None:
        """Add `assets/stem.css` and `assets/stem.js` to the page, once."""
        self.styles[stem], self.scripts[stem] = asset(f"{stem}.css"), asset(f"{stem}.js")

    def render(self) -> str:
        """The page as text."""
        links = "".join(f'<li><a href="#{s.anchor}">{html.escape(s.title)}</a></li>' for s in self.sections)
        body = "".join(_section(s) for s in self.sections)
        tiles = "".join(
            f'<div class="tile"><span class="label">{html.escape(label)}</span>'
            f'<span class="value">{_split(value)}</span><span class="note">{html.escape(note)}</span></div>'
            for label, value, note in self.tiles
        )
        return asset("page.html").format(
            title=html.escape(self.title),
            subtitle=html.escape(self.subtitle),
            style="\n".join([asset("page.css"), *self.styles.values()]),
            script="\n".join([asset("page.js"), *self.scripts.values()]),
            links=links,
            tiles=f'<div class="tiles">{tiles}</div>' if tiles else "",
            body=body,
        )

    def write(self, path: Path) -> None:
        """Write the page; a file that stands there is replaced only by a complete one.

        Raises:
            ValueError: If the file cannot be written.
        """
        with atomic_file(Path(path)) as temporary:
            temporary.write_text(self.render(), encoding="utf-8")


def _section(s: Section) -> str:
    lead = f'<p class="lead">{html.escape(s.lead)}</p>' if s.lead else ""
    head = f'<h2><a href="#{s.anchor}">{html.escape(s.title)}</a></h2>'
    return f'<section id="{s.anchor}">{head}{lead}{"".join(s.blocks)}</section>'


def _split(value: str) -> str:
    """Value large, error small: `0.98 ± 0.01`, or `0.98 +0.01 −0.02`."""
    if value[:1] in {">", "("}:
        return html.escape(value)
    number, space, error = value.partition(" ")
    return html.escape(number) + (f"<small>{space}{html.escape(error)}</small>" if error else "")


def _cell(cell: str | Estimate) -> str:
    if isinstance(cell, Estimate):
        return f'<span class="estimate" title="[{cell.low:.6g}, {cell.high:.6g}]">{_number(str(cell))}</span>'
    return _number(cell) if cell[:1] in "+-" else html.escape(cell)


def _number(text: str) -> str:
    """Escaped, with a minus sign where a hyphen stood for it."""
    return html.escape(text.replace("-", "−"))
