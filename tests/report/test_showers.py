"""The page of showers holds averages, single showers, every observable and every number, and is well-formed."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

from lpm.data.showers import cells_of
from lpm.metrics.calorimeter import separations
from lpm.physics.geometry import Geometry, Layer
from lpm.report.plots import histogram
from lpm.report.showers import rings, shower_page
from lpm.tasks.calorimeter import describe

FEW = Geometry("few", (Layer(0, (0.0, 5.0, 10.0), 4), Layer(7, (0.0, 10.0), 1)))


def sample(geometry, seed, n=40):
    g = torch.Generator().manual_seed(seed)
    x = torch.empty(n, geometry.voxels).exponential_(generator=g) * (torch.rand(n, geometry.voxels, generator=g) < 0.4)
    return describe(cells_of(x, geometry, {"energy": x.sum(1).clamp_min(0.1)}), geometry)


def page(geometry, found):
    pair = sample(geometry, 1), sample(geometry, 2), geometry
    return shower_page(*pair, separations(*pair, samples=3), found, title="a <b>").render()


def test_everything_is_on_the_page(monkeypatch):
    few = iter([histogram] * 3)

    def draw(*arguments, **options):
        return next(few, lambda *_, **__: "<svg></svg>")(*arguments, **options)

    monkeypatch.setattr("lpm.report.showers.histogram", draw)
    found = {"fpd": {"value": 1e-3, "error": 1e-4}, "classifier-low": {"auc": {"value": 0.61, "error": 0.01}},
             "energies": {"1 GeV": {"response": {"generated": {"value": None, "error": None}}}},
             "settings": {"seed": 3}, "separation": {"E layer 0": 0.1}}  # fmt: skip
    text = page(FEW, found)
    assert "a &lt;b&gt;" in text
    for title in ("Averages", "Single showers", "Observables", "Numbers", "layer 7", "E layer 7", "EC r layer 0",
                  "log10 of E layer 0 [MeV]"):  # fmt: skip
        assert title in text
    assert "<b>" not in text.partition("<main")[2]
    assert re.search(r"0\.61\d*<small>", text)
    assert "energies, 1 GeV, response, generated" in text
    assert "not defined" in text
    assert not re.search(r'(src|href)="https?://', text)


def test_of_many_layers_some_are_drawn(monkeypatch):
    drawn = []
    monkeypatch.setattr("lpm.report.showers.histogram", lambda *_, label, **__: drawn.append(label) or "<svg></svg>")
    monkeypatch.setattr("lpm.report.showers.rings", lambda *_, **__: "<svg></svg>")
    text = page(Geometry("many", tuple(Layer(i, (0.0, 5.0, 10.0), 2) for i in range(12))), {})
    assert "6 of 12 layers" in text
    assert sum(label.startswith("log10 of E layer") for label in drawn) == 6
    assert "E layer 11" in text  # in the table


def test_pictures_are_well_formed():
    x = np.random.default_rng(0).random(9)
    text = rings({"$one$": x, "two": np.zeros(9)}, FEW, [0, 1], label="energy [GeV]")
    tree = ElementTree.fromstring(text)
    assert tree.attrib["role"] == "img"
    # A name is shown as it is, and powers of ten are plain text.
    assert {"layer 0", "layer 7", "$one$", "two", "10⁻⁴"} <= set(re.findall(r">([^<>]+)</text>", text))
    with pytest.raises(ValueError, match="at least one shower"):
        rings({}, FEW, [0], label="x")
