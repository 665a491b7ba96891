"""`lpm evaluate calorimeter` prints the challenge's metrics in the form that others script."""

import json

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from lpm.cli.evaluate import evaluate
from lpm.data.io.showers import write_showers
from lpm.data.showers import cells_of
from lpm.physics.geometry import GEOMETRIES

DRAWS = ("--min-samples", "50", "--max-samples", "200")


def run(*arguments):
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, ["calorimeter", *(str(a) for a in arguments)], env={"COLUMNS": "100"})


def sample(path, seed, count=200, name="1-photons"):
    geometry, g = GEOMETRIES[name], torch.Generator().manual_seed(seed)
    x = torch.empty(count, geometry.voxels).exponential_(generator=g)
    x *= torch.rand(count, geometry.voxels, generator=g) < 0.3
    write_showers(path, [cells_of(x, geometry, {"energy": x.sum(1)})], geometry)
    return path


@pytest.fixture
def files(tmp_path):
    return sample(tmp_path / "generated.hdf5", 1), sample(tmp_path / "reference.hdf5", 2)


def test_json_has_the_agreed_form(files):
    result = run(*files, "--dataset", "1-photons", "--metrics", "separation,fpd,kpd", "--json", *DRAWS)
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)
    assert set(found["separation"]) == set(found["separation_error"]) == set(found["outside"])
    assert {"E layer 0", "Etot / Einc", "Voxel distribution", "Width r layer 12"} <= set(found["separation"])
    assert all(0 <= v <= 1 for v in found["separation"].values())
    for name in ("fpd", "kpd"):
        assert set(found[name]) == {"value", "error"}
        assert found[name]["error"] >= 0
    assert found["outside"]["E layer 0"]["generated"].keys() == {"below", "above"}
    assert found["settings"]["generated"] == 200
    assert run(*files, "--metrics", "separation,fpd,kpd", "--json", *DRAWS).stdout == result.stdout


def test_only_what_is_asked_for(files):
    found = json.loads(run(*files, "--metrics", "kpd", "--json", *DRAWS).stdout)
    assert set(found) == {"kpd", "settings"}


def test_table(files):
    result = run(*files, "--metrics", "separation,fpd", *DRAWS)
    assert result.exit_code == 0
    assert "separation, E layer 0" in result.stdout
    assert "fpd" in result.stdout


def test_bad_input_is_one_line(files, tmp_path):
    other = sample(tmp_path / "other.hdf5", 3, 20, "2")
    for arguments, match in (
        ((files[0],), "third argument"),
        ((*files, "--metrics", "beauty"), "unknown metric 'beauty'; this task has: separation, fpd, kpd"),
        ((*files, "--dataset", "2", "--metrics", "fpd"), "368 voxels a shower, expected 6,480 of geometry 2"),
        ((other, files[1], "--metrics", "fpd"), "has the binning 1-photons"),
        ((*files, "--metrics", "fpd"), "draws up to 50,000"),
        ((tmp_path / "none.hdf5", files[1], "--metrics", "fpd"), "none.hdf5"),
        ((*files, "--dataset", "9"), "no geometry '9'"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert isinstance(result.exception, ValueError)
        assert match in str(result.exception)
        assert "\n" not in str(result.exception)


def test_the_official_numbers(shared_data):
    folder = shared_data / "calorimeter" / "parity"
    files = [folder / f"dataset_1-photons_{name}.hdf5" for name in ("generated", "reference")]
    wanted = json.loads((folder / "dataset_1-photons_expected.json").read_text())
    draws = ("--min-samples", 1000, "--max-samples", 3000)
    found = json.loads(
        run(*files, "--dataset", "1-photons", "--metrics", "separation,fpd,kpd", "--json", *draws).stdout
    )
    for name, value in wanted["separation_power"].items():
        np.testing.assert_allclose(found["separation"][name], value, rtol=1e-6)
    assert found["fpd"]["value"] == pytest.approx(wanted["fpd"]["value"], rel=1e-6)
    assert abs(found["kpd"]["value"] - wanted["kpd"]["value"]) < wanted["kpd"]["error"]
