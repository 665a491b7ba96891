"""Parametrised showers: profiles by their closed forms, energy conserved, resolution as stated, seeds reproduce."""

import json
import tomllib
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.integrate import quad

from lpm.data.io import open_file
from lpm.data.showers import DATA_SETS
from lpm.sim import calorimeter_production
from lpm.sim.calorimeter import incident_energies, simulate
from lpm.sim.calorimeter_card import Material, read_calorimeter_card
from lpm.sim.calorimeter_production import produce_showers
from lpm.sim.card_files import CARDS
from lpm.sim.shower_profiles import electromagnetic_shape, longitudinal, radii, rings

LEAD = Material(critical=0.0115, charge=65.0, moliere=(40.0,), sampling=3.7, response=0.75)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_maximum_moves_with_the_logarithm_of_the_energy():
    depth = {e: np.median(electromagnetic_shape(np.full(4000, e), LEAD, rng())[0]) for e in (1.0, 10.0, 100.0)}
    assert depth[10.0] - depth[1.0] == pytest.approx(np.log(10), abs=0.15)
    assert depth[100.0] - depth[10.0] == pytest.approx(np.log(10), abs=0.15)
    assert 3 < depth[1.0] < 5


def test_depth_and_shape_are_correlated_as_published():
    t, alpha = electromagnetic_shape(np.full(20_000, 50.0), LEAD, rng())
    ln_y = np.log(50.0 / LEAD.critical)
    assert np.corrcoef(np.log(t), np.log(alpha))[0, 1] == pytest.approx(0.784 - 0.023 * ln_y, abs=0.02)
    assert np.log(t).std() == pytest.approx(1 / (-2.5 + 1.25 * ln_y), rel=0.03)
    assert np.log(alpha).std() == pytest.approx(1 / (-0.82 + 0.79 * ln_y), rel=0.03)


def test_longitudinal_shares_are_integrals_of_the_gamma_distribution():
    share = longitudinal(np.array([4.0]), np.array([0.5]), np.array([1.0]), [0.0, 2.0, 9.0, 500.0])
    wanted = [quad(lambda t: 0.5 * (0.5 * t) ** 3 * np.exp(-0.5 * t) / 6, a, b)[0] for a, b in ((0, 1), (1, 8))]
    np.testing.assert_allclose(share[0, :2], wanted, rtol=1e-6)
    assert share.sum() == pytest.approx(1)


def test_radial_shares_are_integrals_of_core_and_tail():
    def density(r, size):
        return 2 * r * size**2 / (r**2 + size**2) ** 2

    found = rings([0.0, 3.0, 10.0], np.array([2.0]), np.array([9.0]), np.array([0.7]))
    wanted = [quad(lambda r: 0.7 * density(r, 2.0) + 0.3 * density(r, 9.0), a, b)[0] for a, b in ((0, 3), (3, 10))]
    np.testing.assert_allclose(found[0], wanted, rtol=1e-6)


def test_showers_widen_with_depth():
    core, tail, share = radii(np.array([[0.3, 1.0, 2.0]]), np.array([20.0]), LEAD)
    assert (np.diff(core[0]) > 0).all()
    assert (tail >= core).all()
    assert ((share >= 0) & (share <= 1)).all()


@pytest.mark.parametrize(("name", "energy", "low"), [("1-photons", 65.5, 0.97), ("2", 100.0, 0.95), ("3", 20.0, 0.95),
                                                     ("1-pions", 65.5, 0.7)])  # fmt: skip
def test_no_energy_is_made(name, energy, low):
    card = read_calorimeter_card(name)
    response = simulate(np.full(60, energy), card, rng()).sum(1, dtype=np.float64) / energy
    assert low < response.mean() < 1.005
    worst = 5 * np.sqrt(card.grain * (1 + 1 / card.shape) / energy + card.constant**2)
    assert response.max() < 1 + worst + (0.3 if name == "1-pions" else 0)


def test_resolution_is_as_the_card_says():
    card = replace(read_calorimeter_card("2"), constant=0.0)
    response = simulate(np.full(400, 10.0), card, rng()).sum(1, dtype=np.float64) / 10.0
    assert response.std() == pytest.approx(np.sqrt(card.grain * (1 + 1 / card.shape) / 10.0), rel=0.15)


def test_cells_are_empty_or_above_the_threshold():
    for name, which in DATA_SETS.items():
        grid = simulate(np.full(5, 5.0), read_calorimeter_card(name), rng())
        assert grid.shape == (5, which.geometry.voxels)
        assert (grid[grid > 0] >= np.float32(which.threshold)).all()
        assert ((grid == 0).sum() > 0) & ((grid > 0).sum() > 0)


def test_noise_fills_cells_above_the_threshold():
    card = read_calorimeter_card("1-photons")
    quiet, loud = (simulate(np.full(20, 0.256), replace(card, noise=n), rng()) for n in (0.0, 2e-3))
    assert (loud > 0).mean() > (quiet > 0).mean() + 0.2


def test_showers_have_no_preferred_direction():
    card = read_calorimeter_card("1-photons")
    geometry = DATA_SETS["1-photons"].geometry
    grid = simulate(np.full(2000, 8.2), card, rng())
    eta, phi, _ = geometry.centres.T
    in_sectors = slice(8, 8 + 160 + 190)
    for x in (eta, phi):
        centre = (grid * x)[:, in_sectors].sum(1) / grid[:, in_sectors].sum(1)
        assert abs(centre.mean()) < 4 * centre.std() / np.sqrt(len(centre))
        assert centre.std() > 0.3  # but each sways


def test_pions_start_late_and_photons_early():
    photons, pions = (simulate(np.full(300, 65.5), read_calorimeter_card(n), rng()) for n in ("1-photons", "1-pions"))
    behind = [g[:, DATA_SETS[n].geometry.first[4] :].sum(1) / g.sum(1) for n, g in
              (("1-photons", photons), ("1-pions", pions))]  # fmt: skip
    assert behind[0].mean() < 0.05
    assert behind[1].mean() > 0.3
    assert (behind[1] > 0.95).mean() > 0.05  # these went through the electromagnetic part as tracks


def test_energies_are_those_of_the_data_sets():
    e = incident_energies(1000, "2", rng())
    assert (e >= 1.0).all()
    assert (e <= 1000.0).all()
    assert np.log10(e).mean() == pytest.approx(1.5, abs=0.1)
    values, counts = np.unique(incident_energies(121_000, "1-photons", rng()), return_counts=True)
    assert len(values) == 15
    assert counts.tolist() == [10_000] * 11 + [5_000, 3_000, 2_000, 1_000]


def test_a_sample_is_in_the_form_of_the_challenge(tmp_path, monkeypatch):
    monkeypatch.setattr(calorimeter_production, "_CHUNK", 368 * 20)
    told = []
    manifest = produce_showers(50, tmp_path / "a.hdf5", seed=3, done=told.append)
    produce_showers(50, tmp_path / "b.hdf5", seed=3)
    produce_showers(50, tmp_path / "c.hdf5", seed=4)
    assert told == [20, 20, 10]
    a, b, c = ({k: f[k][:] for k in f} for f in (h5py.File(tmp_path / f"{n}.hdf5") for n in "abc"))
    assert all(np.array_equal(a[k], b[k]) for k in a)
    assert not np.array_equal(a["showers"], c["showers"])
    assert (a["showers"].shape, a["incident_energies"].shape) == ((50, 368), (50, 1))
    shower = a["showers"][a["showers"] > 0]
    assert shower.min() >= 1.0  # MeV
    assert set(np.log2(a["incident_energies"][:, 0]).round(4)) <= set(range(8, 23))
    with h5py.File(tmp_path / "a.hdf5") as f:
        note = json.loads(f.attrs["simulation"])
    assert "not Geant4" in note["simulation"]
    assert note == json.loads(json.dumps(manifest))
    with open_file(tmp_path / "a.hdf5") as reader:
        assert sum(len(batch) for batch in reader.batches()) == 50


def test_bad_wishes(tmp_path):
    (tmp_path / "x.hdf5").write_text("mine")
    for arguments, match in (
        ({"n": 0, "out": "a.hdf5"}, "at least 1 shower"),
        ({"n": 1, "out": "a.hdf5", "seed": -1}, "seed from 0"),
        ({"n": 1, "out": "a.parquet"}, r"ends in \.hdf5"),
        ({"n": 1, "out": "x.hdf5"}, "exists already"),
        ({"n": 1, "out": "a.hdf5", "card": "9"}, "no calorimeter card '9': expected one of 1-photons"),
    ):
        with pytest.raises(ValueError, match=match):
            produce_showers(**{**arguments, "out": tmp_path / arguments["out"]})
    assert [p.name for p in tmp_path.iterdir()] == ["x.hdf5"]
    assert (tmp_path / "x.hdf5").read_text() == "mine"


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("depth = [0.0, 1.0]", "depth: expected 6 rising ends of 5 layers"),
        ("grain = 0.0", "grain and shape above 0"),
        ("noise = -1.0", "not below 0"),
        ('dataset = "7"', "dataset '7'"),
        ('dataset = "1-pions"', "rising ends|section `hadronic`"),
        ("color = 1", "color"),
    ],
)
def test_cards_are_checked(tmp_path, line, match):
    text = (CARDS / "calorimeter" / "1-photons.toml").read_text()
    key = line.split(" = ")[0]
    kept = [t for t in text.splitlines() if not t.startswith(f"{key} =")]
    (tmp_path / "mine.toml").write_text("\n".join([line, *kept]))
    assert tomllib.loads((tmp_path / "mine.toml").read_text())
    with pytest.raises(ValueError, match=match):
        read_calorimeter_card(str(tmp_path / "mine.toml"))
