"""Geant4: the stack of planes by particles that go straight on, and refusals where something is missing."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lpm.cli.main import app
from lpm.data.showers import DATA_SETS
from lpm.sim.card_files import CARDS
from lpm.sim.geant4 import DATA, _reason, read_stack_card, ready, simulate
from lpm.sim.geant4_stack import binned

HERE = importlib.util.find_spec("geant4_pybind") is not None
needs_geant4 = pytest.mark.skipif(not HERE, reason="geant4-pybind is not installed")


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data files with nothing in them but what Geant4 asks for before it begins."""
    (tmp_path / "ENSDFSTATE.dat").touch()
    monkeypatch.setenv(DATA, str(tmp_path))
    monkeypatch.setenv("G4ENSDFSTATEDATA", str(tmp_path))
    monkeypatch.delenv("G4LEDATA", raising=False)
    return tmp_path


@needs_geant4
def test_a_straight_particle_meets_every_plane(no_data: Path) -> None:
    card = read_stack_card("2")
    grid = simulate(np.array([1.0, 50.0]), card, 1, measure="length")
    geometry = DATA_SETS["2"].geometry
    assert grid.shape == (2, geometry.voxels)
    np.testing.assert_allclose(grid.sum(1), card.planes * card.active.thickness, rtol=1e-9)
    hit = geometry.places[np.flatnonzero(grid[0])]
    assert hit[:, 0].tolist() == list(range(len(geometry.layers)))  # every layer, in the innermost ring
    assert set(hit[:, 1]) == {0}
    np.testing.assert_allclose(grid[0][grid[0] > 0], 2 * card.active.thickness, rtol=1e-9)


@needs_geant4
def test_other_stacks(no_data: Path) -> None:
    card = read_stack_card("3")
    thick = replace(card, planes=45, active=replace(card.active, thickness=2.0))
    grid = simulate(np.array([1.0]), thick, 1, measure="length")
    assert grid.sum() == pytest.approx(90.0)


@needs_geant4
def test_without_data_nothing_is_made(no_data: Path, tmp_path: Path) -> None:
    words = ["simulate", "calorimeter", str(tmp_path / "out.hdf5"), "-n", "2", "--dataset", "2", "--engine", "geant4"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert "G4LEDATA" in result.output + str(result.exception)
    assert not list(tmp_path.glob("out*"))


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(DATA, raising=False)
    if HERE:
        with pytest.raises(ValueError, match="expected the folder of Geant4's data files in GEANT4_DATA_DIR, got"):
            ready()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install geant4-pybind"):
        simulate(np.array([1.0]), read_stack_card("2"), 1)
    with pytest.raises(ValueError, match="no geant4 card '1-photons': expected one of 2, 3"):
        read_stack_card("1-photons")
    words = ["simulate", "calorimeter", str(tmp_path / "a.hdf5"), "-n", "1", "--engine", "other"]
    result = CliRunner().invoke(app, words)
    assert "expected one of parametrised, geant4" in result.output + str(result.exception)


def test_cards_are_checked(tmp_path: Path) -> None:
    text = (CARDS / "geant4" / "2.toml").read_text()
    for old, new, message in (
        ("planes = 90", "planes = 91", "multiple of 45 layers, got 91"),
        ("thickness = 1.4", "thickness = 0.0", "thicknesses above 0"),
        ('dataset = "2"', 'dataset = "9"', "expected one of 1-photons"),
        ("planes = 90", "planes = [", "not TOML"),
    ):
        path = tmp_path / "my.toml"
        path.write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=message):
            read_stack_card(str(path))


def test_steps_are_counted_where_they_are() -> None:
    geometry = DATA_SETS["3"].geometry
    g = np.random.default_rng(0)
    voxel = g.integers(0, geometry.voxels, 200)
    x, y, _ = geometry.centres[voxel].T
    layer = geometry.places[voxel, 0]
    steps = np.stack([x, y, 2 * layer + g.integers(0, 2, 200), np.ones(200)], 1)
    wanted = np.bincount(voxel, minlength=geometry.voxels)
    np.testing.assert_array_equal(binned(steps, geometry, 90), wanted)


def test_the_reason_is_found_in_what_geant4_prints() -> None:
    told = "*** G4Exception : PART70000\n      issued by : G4NuclideTable\nG4X must be set\n*** Fatal ***\n"
    assert _reason(told) == "G4X must be set"
    assert _reason("") == "it said nothing"
