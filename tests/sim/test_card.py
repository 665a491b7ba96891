"""Cards parse, say what they must, and errors name the file and the remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lpm.data.fields import JETCLASS
from lpm.sim.card import Detector, Tag
from lpm.sim.card_files import CARDS, digest, process, read_detector, read_preset
from lpm.sim.chunk import KINDS


@pytest.mark.parametrize("name", sorted(p.stem for p in (CARDS / "preset").glob("*.toml")))
def test_presets_name_cards_that_exist(name: str) -> None:
    preset = read_preset(name)
    read_detector(preset.detector)
    assert set(preset.classes) <= set(KINDS[preset.find][1])
    for cards in preset.classes.values():
        for card in cards:
            assert digest(card, preset.generator)
            assert preset.generator != "pythia" or process(card)
    if preset.find in ("jets", "fine"):
        assert preset.pt[0] < preset.pt[1]
        assert preset.margin[0] < 1 < preset.margin[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('find = "pair"', 'find = "showers"'), "find = 'showers': expected one of jets, fine, pair, objects"),
        (('find = "pair"', 'generator = "herwig"\nfind = "pair"'), "generator = 'herwig': expected one of pythia"),
        (('find = "pair"', ""), "radius: expected with find = 'jets' or 'fine'"),
        (('find = "pair"', 'find = "pair"\nradius = 0.4'), "radius: expected with find = 'jets' or 'fine'"),
    ],
)
def test_bad_presets_are_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text((CARDS / "preset" / "jet-origin-z.toml").read_text().replace(*change))
    with pytest.raises(ValueError, match=message) as error:
        read_preset(str(path))
    assert "bad.toml" in str(error.value)


def test_tags_are_probabilities_that_rise_and_fall() -> None:
    detector = read_detector("cms")
    assert detector is not None
    assert detector.objects is not None
    pt = np.array([30.0, 100.0, 1000.0])
    b, c, light = (tag.at(pt) for tag in (detector.objects.b, detector.objects.c, detector.objects.light))
    assert (b > c).all()
    assert (c > light).all()
    assert b[0] < b[1] > b[2]
    assert 0.6 < b[1] < 0.8
    assert (Tag(floor=2.0).at(pt) == 1).all()


def test_jetclass_preset_has_all_ten_classes_in_order() -> None:
    assert tuple(read_preset("jetclass").classes) == JETCLASS


@pytest.mark.parametrize("name", ["cms", "atlas-delphes"])
def test_detectors_are_complete(name: str) -> None:
    detector = read_detector(name)
    assert isinstance(detector, Detector)
    eta = np.linspace(-2.4, 2.4, 9)
    for species in (detector.tracker.hadron, detector.tracker.electron, detector.tracker.muon):
        assert (species.efficiency.at(np.full(9, 5.0), eta) > 0.7).all()
        assert (species.resolution.at(np.full(9, 5.0), eta) < 0.3).all()
    for calorimeter in (detector.ecal, detector.hcal):
        assert (calorimeter.resolution.at(np.full(9, 100.0), eta) < 25).all()
        edges = [r.eta_max for r in calorimeter.granularity]
        assert edges == sorted(edges)
        assert edges[-1] > 4.5


def test_no_detector() -> None:
    assert read_detector("none") is None


def test_a_path_serves_as_a_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((CARDS / "detector" / "cms.toml").read_text().replace("field = 3.8", "field = 1.0"))
    detector = read_detector(str(path))
    assert detector is not None
    assert detector.field == 1.0
    assert digest(str(path), "detector") != digest("cms", "detector")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("field = 3.8", "strength = 3.8"), "strength"),
        (("field = 3.8", ""), "field"),
        (("[tracker]", "[tracker"), "not TOML"),
        (("[hcal]", "hcal = 3\n[other]"), "expected a table"),
    ],
)
def test_bad_detector_cards_are_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "bad.toml"
    text = (CARDS / "detector" / "cms.toml").read_text().replace(*change)
    if message == "expected a table":
        text = "hcal = 3\n" + (CARDS / "detector" / "cms.toml").read_text().split("[hcal]")[0]
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_detector(str(path))
    assert "bad.toml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("reader", [read_detector, read_preset, process])
def test_unknown_names_list_the_known(reader: object) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        reader("nothing")  # type: ignore[operator]
