"""Showers: cells and grids are one and the same, files come back as written, and what is wrong is said by name."""

import h5py
import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.io import open_file
from lpm.data.io.showers import CaloChallengeReader, named_geometry, write_showers
from lpm.data.showers import DATA_SETS, PARTICLES, cells_of, grid_of, points_schema
from lpm.physics.geometry import GEOMETRIES, Box, Planes

LAYERS = '<Layer id="0" r_edges="0,5,10" n_bin_alpha="2"/><Layer id="4" r_edges="0,7" n_bin_alpha="3"/>'
XML = f"<Bins><Bin>{LAYERS}</Bin></Bins>"


def grid(voxels: int, count: int = 5, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    x = torch.empty(count, voxels).exponential_(generator=g)
    return x * (torch.rand(count, voxels, generator=g) < 0.3)


@pytest.fixture
def hdf5(tmp_path):
    """Write arrays in MeV as the challenge does."""

    def make(showers, energies=None, name="s.hdf5"):
        showers = np.asarray(showers)
        energies = np.full((len(showers), 1), 1000.0) if energies is None else np.asarray(energies)
        with h5py.File(tmp_path / name, "w") as f:
            f.create_dataset("incident_energies", data=energies, compression="gzip")
            f.create_dataset("showers", data=showers, compression="gzip")
        return tmp_path / name

    return make


@pytest.mark.parametrize("geometry", [*GEOMETRIES.values(), Box("box", (3, 4, 5))], ids=lambda g: g.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cells_and_grids_are_the_same(geometry, dtype):
    x = grid(geometry.voxels, 3).to(dtype)
    batch = cells_of(x, geometry, {"energy": torch.ones(3)})
    assert int(batch.collections["cell"].lengths.sum()) == int((x != 0).sum())
    back = grid_of(batch, geometry)
    assert back.dtype == dtype
    assert torch.equal(back, x)


def test_cells_of_another_geometry_are_refused():
    batch = cells_of(grid(6480, 1), GEOMETRIES["2"], {"energy": torch.ones(1)})
    with pytest.raises(ValueError, match="lies outside"):
        grid_of(batch, GEOMETRIES["1-photons"])
    with pytest.raises(ValueError, match=r"no x, which geometry b"):
        grid_of(batch, Box("b", (1, 1, 1)))
    with pytest.raises(ValueError, match=r"expected \(showers, 368\) voxels"):
        cells_of(grid(10), GEOMETRIES["1-photons"], {})


def test_energies_of_the_data_sets():
    assert sum(DATA_SETS["1-photons"].energies.values()) == 121_000
    assert sum(DATA_SETS["1-pions"].energies.values()) == 120_800
    assert (min(DATA_SETS["1-pions"].energies), max(DATA_SETS["1-pions"].energies)) == (0.256, 4194.304)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_what_is_written_is_read(name, tmp_path):
    geometry = GEOMETRIES[name]
    x = grid(geometry.voxels, 4)
    x[2] = 0
    batch = cells_of(x, geometry, {"energy": torch.tensor([1.0, 2.0, 4.0, 8.0])})
    path = tmp_path / "out.hdf5"
    assert write_showers(path, [batch[:3], batch[3:]], geometry) == 4
    with h5py.File(path) as f:
        assert set(f) == {"incident_energies", "showers"}
        assert (f["incident_energies"].shape, f["showers"].shape) == ((4, 1), (4, geometry.voxels))
        assert f["showers"].compression == "gzip"
        assert f["incident_energies"][:, 0].tolist() == [1000, 2000, 4000, 8000]
        np.testing.assert_allclose(f["showers"][:], x * 1000, rtol=1e-6)
    with open_file(path) as reader:
        (back,) = reader.batches()
        assert reader.geometry is geometry
    torch.testing.assert_close(grid_of(back, geometry), x, rtol=2e-7, atol=0)
    assert back.collections["cell"].lengths[2] == 0
    kind = PARTICLES[int(back.field("shower.particle").values[0])]
    assert kind == {"1-photons": "photon", "1-pions": "pion"}.get(name, "electron")
    assert back.field("shower.geometry").values.tolist() == [list(GEOMETRIES).index(name)] * 4


def test_double_precision_keeps_the_numbers_of_the_file(hdf5):
    x = np.random.default_rng(0).exponential(size=(20, 368)).astype(np.float32)
    with CaloChallengeReader(hdf5(x), dtype=torch.float64) as reader:
        (batch,) = reader.batches()
    assert np.array_equal((grid_of(batch, reader.geometry).numpy() * 1e3).astype(np.float32), x)


def test_slices_bound_the_memory(hdf5, monkeypatch):
    path = hdf5(np.ones((10, 368)))
    monkeypatch.setattr("lpm.data.io.showers._SLICE", 368 * 4)
    with open_file(path) as reader:
        assert reader.groups == [(0, 4), (4, 8), (8, 10)]
        assert [len(b) for b in reader.batches()] == [4, 4, 2]


def test_shapes_of_other_authors(hdf5):
    for showers in (np.ones((2, 45, 16, 9)), np.ones((2, 6480))):
        with open_file(hdf5(showers, [1.0, 2.0])) as reader:
            assert (len(reader), reader.geometry.name) == (2, "2")


def test_a_binning_of_ones_own(hdf5, tmp_path):
    (tmp_path / "mine.xml").write_text(XML)
    with open_file(hdf5(np.ones((2, 7))), tree=str(tmp_path / "mine.xml")) as reader:
        (batch,) = reader.batches()
    assert batch.schema.paths[-1] == "shower.energy"
    assert batch.field("cell.layer").values[:7].tolist() == [0, 0, 0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match=r"no geometry 'no\.xml': expected one of 1-photons"):
        named_geometry("no.xml")


def test_the_official_binnings_are_known_by_their_layers(shared_data, tmp_path):
    for name, file in (("1-photons", "1_photons"), ("1-pions", "1_pions"), ("2", "2"), ("3", "3")):
        path = tmp_path / f"mine_{file}.xml"
        path.write_bytes((shared_data / "calorimeter" / f"binning_dataset_{file}.xml").read_bytes())
        assert named_geometry(str(path)) is GEOMETRIES[name]
    (tmp_path / "2.xml").write_text(XML)
    assert named_geometry(str(tmp_path / "2.xml")).name == "2.xml"


@pytest.mark.parametrize(
    ("showers", "energies", "tree", "match"),
    [
        (np.ones((2, 367)), None, None, r"s\.hdf5: showers of 367 voxels: expected 368"),
        (np.ones((2, 368)), None, "2", r"s\.hdf5: 368 voxels a shower, expected 6,480 of geometry 2"),
        (np.ones((2, 368)), np.ones((3, 1)), None, r"expected \(N, voxels\) and \(N, 1\)"),
        (np.ones(368), np.ones((368, 1)), None, r"expected \(N, voxels\)"),
    ],
)
def test_wrong_shapes_are_refused(hdf5, showers, energies, tree, match):
    with pytest.raises(ValueError, match=match):
        open_file(hdf5(showers, energies), tree=tree)


@pytest.mark.parametrize(
    ("voxel", "energy", "match"),
    [
        (-1.0, 1.0, r"s\.hdf5: entry 1: voxel 5 is -0\.001 GeV, expected a finite number"),
        (np.nan, 1.0, r"s\.hdf5: entry 1: voxel 5 is nan GeV"),
        (np.inf, 1.0, r"s\.hdf5: entry 1: voxel 5 is inf GeV"),
        (1.0, 0.0, r"s\.hdf5: entry 1: incident energy is 0 GeV, expected a number above 0"),
        (1.0, -1.0, r"s\.hdf5: entry 1: incident energy is -0\.001 GeV"),
        (1.0, np.nan, r"s\.hdf5: entry 1: incident energy is nan GeV"),
    ],
)
def test_faults_are_named_or_counted(hdf5, voxel, energy, match):
    x, e = np.ones((3, 368)), np.ones((3, 1))
    x[:, :5] = 0  # voxels are counted, not cells that saw something
    x[1, 5], e[1] = voxel, energy
    path = hdf5(x, e)
    with pytest.raises(ValueError, match=match):
        list(open_file(path).batches())
    with open_file(path, on_bad="skip") as reader:
        assert (sum(map(len, reader.batches())), reader.skipped) == (2, 1)


def test_nothing_is_left_of_a_failed_write(tmp_path):
    batch = cells_of(grid(6480, 1), GEOMETRIES["2"], {"energy": torch.ones(1)})
    with pytest.raises(ValueError, match="outside"):
        write_showers(tmp_path / "a.hdf5", [batch], GEOMETRIES["1-photons"])
    assert not list(tmp_path.iterdir())


def test_points(tmp_path):
    (tmp_path / "a.json").write_text('[{"cell_energy": 500.0, "layer": 2, "x": 1.0, "y": 2.0, "z": 3.0}]')
    with open_file(tmp_path / "a.json") as reader:
        (batch,) = reader.batches()
    assert batch.schema == points_schema(["total"])
    assert batch.collections["cell"].values.tolist() == [[1, 2, 3, 2, 0.5]]
    assert batch.field("shower.total").values.tolist() == [0.5]


def test_real_showers_in_boxes(shared_data):
    with open_file(shared_data / "calorimeter" / "geant4_em_showers_1000.root") as reader:
        batch = Batch.cat(list(reader.batches()))
        assert (len(batch), reader.geometry.cells) == (1000, (12, 12, 12))
    torch.testing.assert_close(batch.field("shower.energy").values, torch.full((1000,), 2.0), rtol=1e-3, atol=0)
    total = batch.field("cell.energy").sum()
    assert 0.6 < float(total.mean() / 2.0) < 0.9
    depth = torch.zeros(12).index_add_(0, batch.field("cell.layer").values.long(), batch.field("cell.energy").values)
    assert int(depth.argmax()) == 2  # the shower has its maximum in front, along the first of the three places
    counts = torch.bincount(batch.field("shower.particle").values.long(), minlength=4)
    assert counts.tolist() == [327, 319, 354, 0]  # photons, electrons, positrons


def test_the_name_of_a_box_names_it_again(write, tmp_path):
    with open_file(write("shower-boxes")) as reader:
        box = reader.geometry
        assert (box.name, box.cells) == ("2x2x3", (2, 2, 3))
        assert named_geometry(box.name) == Planes.of(box)
        write_showers(tmp_path / "a.hdf5", reader.batches(), box)
    with open_file(tmp_path / "a.hdf5", tree=box.name) as reader:
        assert len(reader.geometry.layers) == 3


def test_a_shower_of_atlas(shared_data):
    with open_file(shared_data / "calorimeter" / "atlas_fastcalosim_photon_131gev.json") as reader:
        (batch,) = reader.batches()
    assert len(batch.collections["cell"].values) == 196
    assert float(batch.field("shower.total").values) == pytest.approx(130.546, abs=1e-3)
