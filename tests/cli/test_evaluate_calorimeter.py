"""`lpm evaluate calorimeter` prints the challenge's metrics in the form that others script."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from lpm.cli.evaluate import evaluate
from lpm.cli.showers import _labels
from lpm.data.io import open_file
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


def test_everything_else_and_a_page(tmp_path, monkeypatch):
    for plot in ("histogram", "rings", "curve"):  # half a minute of plots
        monkeypatch.setattr(f"lpm.report.showers.{plot}", lambda *_, **__: "<svg></svg>")
    geometry = GEOMETRIES["1-photons"]
    paths = []
    (tmp_path / "far").mkdir()
    for seed in range(4):
        g = torch.Generator().manual_seed(seed)
        x = (
            torch.empty(260, geometry.voxels).exponential_(generator=g)
            * (torch.rand(260, 368, generator=g) < 0.2)
            * 0.01
        )
        energy = torch.tensor([0.5, 1.0]).repeat(130)
        if seed == 0:
            energy = torch.tensor([0.7, 1.0]).repeat(130)
        paths.append(tmp_path / ("far/0.hdf5" if seed == 3 else f"{seed}.hdf5"))
        write_showers(paths[-1], [cells_of(x, geometry, {"energy": energy})], geometry)
    names = "classifier-low,classifier-high,classifier-normalised,multiclass,prdc,memorisation,energies,interpolation"
    options = (
        "--hidden",
        8,
        "--epochs",
        2,
        "--steps",
        4,
        "--scaled",
        "--seeds",
        2,
        "--training",
        paths[2],
        "--other",
        paths[3],
        "--other",
        paths[0],
    )
    result = run(*paths[:2], "--metrics", names, "--json", *options, "--report", tmp_path / "page.html")
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout.partition("\n")[0] if result.stdout.startswith("{") else result.stdout)
    for name in ("low", "high", "normalised"):
        told = found[f"classifier-{name}"]
        assert 0.2 < told["auc"]["value"] < 1
        assert len(told["auc_of_seeds"]) == len(told["jsd_of_seeds"]) == len(told["kept_after"]) == 2
    assert found["settings"]["classifiers"] | {"steps": 4, "scaled": True} == found["settings"]["classifiers"]
    assert set(found["multiclass"]) == {"generated", "far/0.hdf5", f"{tmp_path.name}/0.hdf5"}
    assert set(found["memorisation"]) == {"memorised", "copies"}
    assert {"precision", "recall", "density", "coverage"} <= set(found)
    assert list(found["energies"]) == ["1 GeV"]
    assert list(found["interpolation"]) == ["0.7 GeV"]
    assert "Single showers" in (tmp_path / "page.html").read_text()
    assert (
        "classifier-low, auc"
        in run(*paths[:2], "--metrics", "classifier-low", "--hidden", 8, "--epochs", 1, "--steps", 1).stdout
    )


def test_the_binning_of_a_data_set_has_its_threshold(files, shared_data):
    """By its XML as by its name; another threshold is asked for."""
    xml = shared_data / "calorimeter" / "binning_dataset_1_photons.xml"
    found = {}
    for name, options in {
        "named": ("--dataset", "1-photons"), "read": ("--dataset", xml), "none": ("--threshold", 0),
        "high": ("--dataset", xml, "--threshold", 1000),
    }.items():  # fmt: skip
        result = run(*files, *options, "--metrics", "separation,energies", "--json")
        assert result.exit_code == 0, result.exception
        found[name] = json.loads(result.stdout)
    assert found["named"] == found["read"]
    thresholds = {name: f["settings"]["threshold_mev"] for name, f in found.items()}
    assert thresholds == {"named": 1.0, "read": 1.0, "none": 0.0, "high": 1000.0}
    assert found["high"]["separation"]["Sparsity layer 1"] != found["named"]["separation"]["Sparsity layer 1"]
    assert found["high"]["outside"]["Voxel distribution"]["generated"]["below"] == 0  # the bins begin there
    for wrong in ("-1", "nan", "inf"):
        assert "--threshold: expected MeV, 0 or more" in str(run(*files, "--threshold", wrong).exception)


def test_separations_at_each_energy(tmp_path):
    geometry, paths = GEOMETRIES["1-photons"], (tmp_path / "a.hdf5", tmp_path / "b.hdf5")
    for seed, path in enumerate(paths):
        x = torch.rand(60, geometry.voxels, generator=torch.Generator().manual_seed(seed)) * 0.02
        energy = torch.tensor([0.256, 1.024, 4194.304]).repeat(20)
        write_showers(path, [cells_of(x, geometry, {"energy": energy})], geometry)
    found = json.loads(run(*paths, "--metrics", "separation", "--json").stdout)
    wanted = [f"Etot / Einc at E = {e}" for e in ("256.0", "1024.0", "4194304.0")]
    for part in ("separation", "separation_error", "separation_floor", "outside"):
        assert [name for name in found[part] if " at E" in name] == wanted


def test_all_needs_are_looked_at_first(files, monkeypatch):
    def early(*_, **__):
        pytest.fail("measured before it was seen that fpd cannot be")

    monkeypatch.setattr("lpm.tasks.showers.separations", early)
    result = run(*files, "--metrics", "separation,fpd")
    assert "fpd: draws up to 50,000 showers" in str(result.exception)


def test_labels_tell_files_apart(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    paths = [Path(p) for p in ("a/run/s.hdf5", "b/run/s.hdf5", "b/t.hdf5", "c/generated")]
    assert _labels(tuple(paths)) == ["a/run/s.hdf5", "b/run/s.hdf5", "t.hdf5", "c/generated"]
    with pytest.raises(ValueError, match=r"--other: b/t\.hdf5 is named 2 times"):
        _labels((*paths, tmp_path / "b" / "t.hdf5"))


def test_advice_can_be_followed(files, tmp_path):
    """No option of this command leaves showers out."""
    path = tmp_path / "bad.hdf5"
    path.write_bytes(files[0].read_bytes())
    with h5py.File(path, "r+") as file:
        file["showers"][3, 200] = -1
    message = str(run(path, files[1]).exception)
    assert message.endswith("entry 3: voxel 200 is -0.001 GeV, expected a finite number ≥ 0; mend the file")


def test_what_a_metric_needs_is_said(files):
    for name, match in (
        ("classifier-low", "needs 250 showers of each sample, got 200"),
        ("cnn", "needs equal layers, geometry 1-photons has others"),
        ("multiclass", "name the files of the others with --other"),
        ("memorisation", "name it with --training"),
        ("interpolation", "the spectrum is continuous"),
    ):
        result = run(*files, "--metrics", name)
        assert match in str(result.exception), name


def test_showers_of_geant4_in_boxes_are_judged(shared_data, tmp_path):
    """Halves of the public sample are alike; a generated file in HDF5 stands beside the ROOT file."""
    path = shared_data / "calorimeter" / "geant4_em_showers_1000.root"
    with open_file(path) as reader:
        batch = reader.read(0, 500)
        write_showers(tmp_path / "half.hdf5", [batch], reader.geometry)
        write_showers(tmp_path / "rest.hdf5", [reader.read(500, 1000)], reader.geometry)
    found = {}
    for name, reference in (("half", tmp_path / "rest.hdf5"), ("whole", path)):
        result = run(tmp_path / "half.hdf5", reference, "--dataset", "12x12x12", "--metrics", "separation", "--json")
        assert result.exit_code == 0, result.exception
        found[name] = json.loads(result.stdout)
    for name in ("E layer 3", "EC r layer 5", "Width Eta layer 2", "Sparsity layer 6"):
        assert found["half"]["separation"][name] < 5 * found["half"]["separation_floor"][name]
        assert found["whole"]["separation"][name] < found["half"]["separation"][name]
    unnamed = run(tmp_path / "half.hdf5", path)
    assert "an XML, or cells such as 12x12x12" in str(unnamed.exception)


def test_a_file_of_something_else_is_refused(tmp_path):
    other = tmp_path / "points.csv"
    other.write_text("x,y\n1,2\n")
    result = run(sample(tmp_path / "a.hdf5", 1), other)
    assert result.exit_code == 1
    assert str(other) in str(result.exception)
