"""Plots are well-formed pictures that take their colours from the page."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from lpm.metrics.estimate import Estimate
from lpm.report import plots
from lpm.report.explain import contributions, single_events
from lpm.report.origin import limits, migration
from lpm.report.plots import Band
from lpm.report.svg import svg

X = np.linspace(1, 10, 30)


def drawings():
    return {
        "losses": plots.losses({"a": Band(X, 1000 / X**3)}, {"a": Band(X[::9], X[::9])}),
        "roc": plots.roc({"a": Band(X / 10, np.where(X < 2, 0, (X / 10) ** 3), X / 20, X / 10)}),
        "histogram": plots.histogram(
            [0, 1, 2], {"truth": [3, 4], "generated": [0, 0], "other": [5, 1]}, label="m <GeV>"
        ),
        "log histogram": plots.histogram([0, 1, 2], {"truth": [3, 0]}, label="m", log=True),
        "curve": plots.curve({"a": Band(X, X, X - 1, X + 1)}, x_label="x", y_label="y", x_log=True, y_log=True),
        "images": plots.images({"truth": np.eye(4), "generated": np.zeros((4, 4))}, extent=(-1, 1, -1, 1)),
    }


@pytest.fixture(scope="module")
def pictures():
    return drawings()


@pytest.mark.parametrize("name", ["losses", "roc", "histogram", "log histogram", "curve", "images"])
def test_picture_is_well_formed_and_themed(pictures, name):
    text = pictures[name]
    tree = ElementTree.fromstring(text)
    assert tree.attrib["role"] == "img"
    assert tree.attrib["aria-label"]
    assert "var(--ink, " in text
    assert not re.search(r"#0[1-4]0[2-5]0[3-6]\b|#0a0b0\d", text), "a stand-in colour was left"
    assert "DejaVu" not in text


@pytest.mark.parametrize("name", [r"$p_\mathrm{T}$ & <b>", '$_$ id="#0a0b02" 1.2345'])
def test_names_are_shown_as_they_are(name):
    band, one = Band(X, X), {"title": name, "eta": [0.1], "phi": [0.0], "pt": [5.0], "value": [1.0]}
    for text in (
        plots.curve({name: band}, x_label=name, y_label=name),
        plots.roc({name: band}),
        plots.losses({name: band}),
        plots.losses({name: band, "other": band}),
        plots.histogram([0, 1, 2], {name: [3, 4], "other": [1, 2]}, label=name),
        plots.images({name: np.eye(4)}, extent=(-1, 1, -1, 1)),
        contributions([name], {name: {"value": [1.0], "error": [0.1]}}),
        single_events({"events": [one]}),
        limits({name: {name: Estimate(0.3, 0.2, 0.5)}}, x_label=name),
        migration(np.eye(6), [name] * 6),
    ):
        tree = ElementTree.fromstring(text)
        texts = [element.text or "" for element in tree.iter() if element.tag.endswith("text")]
        assert any(t.endswith(name) for t in texts)


@pytest.mark.parametrize("title", [r"$p_\mathrm{T}$ \1", 'a" onload="alert(1)', "a & b's <c>"])
def test_title_is_told_as_it_is(title):
    assert ElementTree.fromstring(svg(Figure(), title)).attrib["aria-label"] == title


def test_names_are_unique_across_pictures(pictures):
    names = [n for text in pictures.values() for n in re.findall(r'\sid="([^"]+)"', text)]
    assert len(names) == len(set(names))
    for text in pictures.values():
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
        assert used <= set(re.findall(r'\sid="([^"]+)"', text))


def test_histogram_is_normalised_and_ratio_is_one_for_scaled_counts():
    """Twice as many events of the same shape lie on the reference: all ratio points on the line at one."""
    text = plots.histogram([0, 1, 2, 3], {"truth": [10, 20, 30], "generated": [20, 40, 60]}, label="x")
    heights = set(re.findall(r'<use [^>]*y="([\d.]+)" style="fill: var\(--s2', text))
    assert len(heights) == 1


def test_events_beyond_the_axis_belong_to_the_norm():
    """Half of the generated events lie outside: their histogram is half as high."""
    inside = plots.histogram([0, 1, 2], {"truth": [50, 50], "generated": [50, 50]}, label="x")
    half = plots.histogram([0, 1, 2], {"truth": [50, 50], "generated": [50, 50]}, label="x", outside={"generated": 100})
    low, high = (
        max(float(y) for y in re.findall(r'<use [^>]*y="([\d.]+)" style="fill: var\(--s2', text))
        for text in (inside, half)
    )
    assert high > low + 10


def test_counts_must_fit_the_edges():
    with pytest.raises(ValueError, match="expected 2 counts"):
        plots.histogram([0, 1, 2], {"truth": [1, 2, 3]}, label="x")


def test_ticks_that_differ_read_differently():
    drawn = plots.losses({"label": Band(np.array([1.0, 2.0]), np.array([0.6931, 0.6925]))})
    ticks = re.findall(r">(0\.\d+)<", drawn)
    assert len(ticks) > 2
    assert len(set(ticks)) == len(ticks)


def test_every_loss_has_a_panel_of_its_own():
    names = ["next", "mass", "tau1", "tau2"]
    drawn = plots.losses({n: Band(X, X) for n in names}, {"next": Band(X, X)})
    assert all(f">{n}</text>" in drawn for n in names)


def test_no_state_is_left_in_matplotlib():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plots.losses({"a": Band(X, X)})
    assert dict(mpl.rcParams) == before
