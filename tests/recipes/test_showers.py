"""Showers from training to the judge: recipes of calorimeters, what they make, and what they refuse."""

import json

import h5py
import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from lpm.cli.evaluate import evaluate
from lpm.cli.generate import generate
from lpm.data.io import open_file
from lpm.data.io.parquet import write_batches
from lpm.data.io.showers import CaloChallengeReader
from lpm.data.showers import SHOWER
from lpm.model.checkpoint import load
from lpm.recipes import RECIPES
from lpm.recipes.calorimeter import patches_of
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny
from lpm.recipes.showers import energies_known, incident, makes_showers, patches_for, sample_showers
from lpm.sim.calorimeter_production import produce_showers

THRESHOLD = 1e-3


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("showers")
    for name, seed in (("train", 1), ("test", 2)):
        produce_showers(150, folder / f"{name}.hdf5", card="1-photons", seed=seed)
    return folder


@pytest.fixture(scope="module")
def run(files):
    config = tiny(RECIPES["calorimeter.flow"](size=2, data=(str(files / "train.hdf5"),)))
    execute(config, files / "run", device="cpu")
    return files / "run"


@pytest.fixture(scope="module")
def student(files, run):
    config = tiny(RECIPES["calorimeter.distilled"](size=2, data=(str(files / "train.hdf5"),), start=str(run)))
    execute(config, files / "student", device="cpu")
    return files / "student"


def lpm_generate(*arguments):
    app = typer.Typer()
    app.command()(generate)
    return CliRunner().invoke(app, [str(a) for a in (*arguments, "--quiet")])


def test_the_judge_times_a_generator(run, files, monkeypatch):
    monkeypatch.setattr("lpm.tasks.showers.REPEATS", {1: 2, 30: 2})
    app = typer.Typer()
    app.command()(evaluate)
    words = ["calorimeter", str(files / "test.hdf5"), str(files / "train.hdf5"), "--metrics", "timing", "--json"]
    found = json.loads(CliRunner().invoke(app, [*words, "--run", str(run)]).stdout)
    assert list(found["timing"]) == ["ms a shower, batch 1", "ms a shower, batch 30"]
    assert all(t["value"] > 0 and t["error"] >= 0 for t in found["timing"].values())
    parameters = sum(p.numel() for p in load(run).parameters())
    assert found["generator"] == {"parameters": parameters, "device": "cpu", "threads": torch.get_num_threads()}
    with pytest.raises(ValueError, match="timing: runs the generator; name the folder of its training with --run"):
        CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.mark.parametrize("which", ["run", "student"])
def test_energies_add_up(which, files, request):
    model = load(request.getfixturevalue(which))
    given = incident(model, 60, like=files / "test.hdf5")
    patches = patches_of("1-photons")
    for batch in sample_showers(model, given, batch=25, seed=1):
        cells = patches.grid(batch)
        assert bool(((cells == 0) | (cells >= THRESHOLD * (1 - 1e-6))).all())
        sizes = [layer.voxels for layer in patches.geometry.layers]
        sums = torch.stack([part.sum(1) for part in cells.split_with_sizes(sizes, 1)], 1)
        torch.testing.assert_close(sums, batch.field("layer.energy").values.view(len(batch), -1), rtol=1e-5, atol=1e-6)
        assert bool(cells.isfinite().all())


def test_the_same_seed_makes_the_same_showers(run):
    model = load(run)
    given = incident(model, 20, energies="5,50", seed=3)
    assert given.field("shower.energy").values[:4].tolist() == [5.0, 50.0, 5.0, 50.0]
    a, b, c = (next(sample_showers(model, given, seed=s)).collections["patch"].values.nan_to_num() for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_energies_beyond_the_training_are_told_and_flagged(run, tmp_path):
    low, high = energies_known(load(run))
    assert (low, high) == pytest.approx((0.256, 4194.304), rel=1e-5)
    result = lpm_generate(run, tmp_path / "out.hdf5", "-n", 10, "--energy", "1,9000")
    assert result.exit_code == 0, result.exception
    assert "5 of 10 energies lie beyond those of the training, 0.256 to 4194.3 GeV" in result.stderr
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert file["extrapolated"][:, 0].tolist() == [0, 1] * 5
        assert file["showers"].shape == (10, 368)
        assert "not Geant4" in json.loads(file.attrs["generator"])["text"]
    with CaloChallengeReader(tmp_path / "out.hdf5") as reader:
        assert len(reader) == 10


def test_generated_like_a_file(run, student, files, tmp_path):
    for which in (run, student):
        out = tmp_path / f"{which.name}.hdf5"
        assert lpm_generate(which, out, "-n", 40, "--like", files / "test.hdf5").exit_code == 0
        with h5py.File(out) as made, h5py.File(files / "test.hdf5") as true:
            np.testing.assert_allclose(made["incident_energies"], true["incident_energies"][:40], rtol=1e-6)
            assert "extrapolated" in made
    assert lpm_generate(run, tmp_path / "few.hdf5", "-n", 20, "--steps", 2, "--solver", "heun").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["o.parquet"], "showers are written as HDF5"),
        (["o.hdf5", "--energy", "1,-2"], "expected numbers of GeV above 0"),
        (["o.hdf5", "--energy", "1,x"], "expected numbers of GeV by commas"),
        (["o.hdf5", "--energy", "1,1e-60,1e60"], "expected numbers of GeV above 0, got 1e-60, 1e+60"),
        (["o.hdf5", "--energy", "1", "--like", "test.hdf5"], "name one of them"),
        (["o.hdf5", "--classes", "QCD"], "showers have no classes"),
        (["o.hdf5", "--like", "other.hdf5"], "has the binning 1-pions, the model makes 1-photons"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message, run, files, tmp_path):
    if "other.hdf5" in arguments and not (files / "other.hdf5").exists():
        produce_showers(5, files / "other.hdf5", card="1-pions", seed=1)
    said = [files / a if a in ("test.hdf5", "other.hdf5") else a for a in arguments]
    result = lpm_generate(run, tmp_path / said[0], *said[1:])
    assert result.exit_code == 1
    assert message in str(result.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("energy", [np.nan, np.inf, 0.0, -2000.0])
def test_files_of_impossible_energies_are_refused(energy, run, files, tmp_path):
    path = tmp_path / "like.hdf5"
    path.write_bytes((files / "test.hdf5").read_bytes())
    with h5py.File(path, "r+") as file:
        file["incident_energies"][[4, 8, 30], 0] = energy
    model = load(run)
    with pytest.raises(
        ValueError, match=rf"above 0 GeV, got 2 others among 10, first in entry 4: {energy / 1e3:g} GeV"
    ):
        incident(model, 10, like=path)
    assert len(incident(model, 4, like=path)) == 4
    with h5py.File(path, "w") as file:
        file["incident_energies"], file["showers"] = np.zeros((0, 1)), np.zeros((0, 368))
    with pytest.raises(ValueError, match="expected showers, found none"):
        incident(model, 10, like=path)


def test_data_sets_that_do_not_exist_are_refused():
    for names in (("1-photons", "4"), ("boxes",), ()):
        with pytest.raises(ValueError, match="datasets: expected names out of 1-photons, 1-pions, 2, 3, got"):
            RECIPES["calorimeter.universal"](size=2, datasets=names)


def test_a_student_keeps_to_its_steps(student, tmp_path):
    result = lpm_generate(student, tmp_path / "o.hdf5", "--steps", 3)
    assert "distilled to 4 steps of euler, got 3 of midpoint" in str(result.exception)


def test_a_student_needs_a_teacher(files, tmp_path):
    config = tiny(RECIPES["calorimeter.distilled"](size=2, data=(str(files / "train.hdf5"),)))
    with pytest.raises(ValueError, match="name its run as the start"):
        execute(config.__class__(**{**vars(config), "start": None}), tmp_path / "x", device="cpu")


def test_other_showers_than_the_model_was_made_for_are_refused(files, tmp_path):
    produce_showers(20, tmp_path / "pions.hdf5", card="1-pions", seed=1)
    config = tiny(RECIPES["calorimeter.flow"](size=2, data=(str(tmp_path / "pions.hdf5"),)))
    with pytest.raises(ValueError, match="a cell lies outside"):
        execute(config, tmp_path / "x", device="cpu")


def test_jets_make_no_showers(tmp_path):
    assert not makes_showers(load("jets-base"))
    result = lpm_generate("jets-base", tmp_path / "o.parquet", "-n", 2, "--energy", "5")
    assert "makes no showers of particles" in str(result.exception)


def test_cut_showers_can_be_kept_on_disk(files, tmp_path):
    """A recipe takes showers that are in patches already."""
    from lpm.data.io.parquet import write_batches

    with open_file(files / "train.hdf5") as reader:
        batch = patches_of("1-photons").cut(reader.read(0, 100))
    write_batches(tmp_path / "cut.parquet", [batch], schema=batch.schema, provenance={})
    config = tiny(RECIPES["calorimeter.flow"](size=2, data=(str(tmp_path / "cut.parquet"),)))
    assert makes_showers(execute(config, tmp_path / "run", device="cpu"))


@pytest.fixture(scope="module")
def universal(files):
    produce_showers(100, files / "pions.hdf5", card="1-pions", seed=1)
    data = (str(files / "train.hdf5"), str(files / "pions.hdf5"))
    config = tiny(RECIPES["calorimeter.universal"](size=2, data=data, datasets=("1-photons", "1-pions")))
    execute(config, files / "universal", device="cpu")
    return files / "universal"


def test_one_model_of_several_geometries(universal, files, tmp_path):
    model = load(universal)
    for name, voxels in (("1-photons", 368), ("1-pions", 533)):
        given = incident(model, 10, geometry=name, energies="4")
        (batch,) = sample_showers(model, given)
        patches = patches_for(model, given)
        assert patches.grid(batch).shape == (10, voxels)
        assert set(given.field("shower.particle").values.tolist()) == {float(name == "1-pions") * 3}
    like = lpm_generate(universal, tmp_path / "o.hdf5", "-n", 1, "--like", files / "pions.hdf5")
    assert like.exit_code == 0, like.exception
    assert "wrote 1 shower to" in like.stdout
    unsaid = lpm_generate(universal, tmp_path / "p.hdf5", "-n", 5)
    assert "this model makes showers of 1-photons, 1-pions; name one of them" in str(unsaid.exception)


def test_a_generator_is_told_angle_and_particle_where_the_data_say_them(files, tmp_path):
    """Shards of showers that come in at an angle; what is asked for comes from such a shard too."""
    with CaloChallengeReader(files / "train.hdf5") as reader:
        batch = reader.read(0, 100)
    for name, values in (("theta", torch.linspace(0.5, 1.5, 100)), ("particle", torch.arange(100.0) % 2)):
        batch = batch.with_field("shower", SHOWER[name], values)
    write_batches(tmp_path / "angles.parquet", [batch], schema=batch.schema)
    recipe = RECIPES["calorimeter.flow"]
    config = tiny(recipe(size=2, data=(str(tmp_path / "angles.parquet"),), given=("particle", "energy", "theta")))
    model = execute(config, tmp_path / "run", device="cpu")
    assert model.tokenizer("shower").paths == ("shower.energy", "shower.theta", "shower.particle")
    given = incident(model, 20, like=tmp_path / "angles.parquet")
    torch.testing.assert_close(given.field("shower.theta").values, torch.linspace(0.5, 1.5, 100)[:20])
    (one,) = sample_showers(model, given)
    steep = given.with_field("shower", SHOWER["theta"], torch.full((20,), 1.5))
    (other,) = sample_showers(model, steep)
    assert not torch.equal(*(patches_for(model, given).grid(b) for b in (one, other)))
    for wrong in (("theta",), ("energy", "colour"), ()):
        with pytest.raises(ValueError, match=r"given: expected energy and others out of energy, theta, phi, particle"):
            recipe(given=wrong)


def test_what_is_beyond_the_training_depends_on_the_geometry(universal):
    model = load(universal)
    model.tokenizer("layer").range[5:] = torch.tensor([100.0, 200.0])  # as if pions had been seen there only
    assert energies_known(model, "1-pions") == (100, 200)
    assert energies_known(model, "1-photons") == pytest.approx((0.256, 4194.304), rel=1e-5)
    for name, beyond in (("1-photons", 0), ("1-pions", 1)):
        (made,) = sample_showers(model, incident(model, 3, geometry=name, energies="4"))
        assert made.field("shower.extrapolated").values.tolist() == [beyond] * 3


def test_fine_tuned_to_showers_of_geant4_in_boxes(universal, shared_data, tmp_path):
    """Body and heads of the universal model; the geometry, its places and their constants are new."""
    path = shared_data / "calorimeter" / "geant4_em_showers_1000.root"
    config = tiny(RECIPES["calorimeter.adapted"](size=2, data=(str(path),), dataset="boxes", start=str(universal)))
    model, body = execute(config, tmp_path / "run", device="cpu"), load(universal)
    assert torch.equal(model.tokenizer("shower").mean, body.tokenizer("shower").mean)
    assert model.embeds["patch"].place.weight.shape == (36, 32)
    result = lpm_generate(tmp_path / "run", tmp_path / "o.hdf5", "-n", 12, "--like", path)
    assert result.exit_code == 0, result.exception
    with h5py.File(tmp_path / "o.hdf5") as file:
        showers = file["showers"][:]
        assert showers.shape == (12, 1728)
        assert showers.min() >= 0
        assert np.isfinite(showers).all()
