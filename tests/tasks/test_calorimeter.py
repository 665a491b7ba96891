"""Showers are described once and judged as the challenge does: its own numbers, and vectors that run everywhere."""

import json
import math
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from lpm.data.io.parquet import write_batches
from lpm.data.io.showers import CaloChallengeReader, write_showers
from lpm.data.showers import DATA_SETS, cells_of, grid_of
from lpm.metrics.calorimeter import (
    features,
    observables,
    physics_distances,
    separations,
    separations_of_energies,
)
from lpm.metrics.shower_classifiers import Training, tell_apart
from lpm.metrics.shower_inputs import both, inputs
from lpm.physics.geometry import GEOMETRIES, Geometry, Layer
from lpm.sim.calorimeter_production import produce_showers
from lpm.tasks import TASKS
from lpm.tasks.calorimeter import describe, geometry_in
from lpm.tasks.showers import JUDGES, Judging, read_showers

PHOTONS = GEOMETRIES["1-photons"]


def showers(n: int, seed: int, scale: float = 1.0, geometry: Geometry = PHOTONS):
    """Fake showers: exponential energies around a tenth of a GeV, and two thirds of the cells empty."""
    g = torch.Generator().manual_seed(seed)
    x = torch.empty(n, geometry.voxels).exponential_(generator=g) * 0.1 * scale
    x *= torch.rand(n, geometry.voxels, generator=g) < 0.3
    incident = x.sum(1) * torch.empty(n).uniform_(0.8, 1.2, generator=g) / scale
    columns = {"energy": incident, "geometry": torch.full((n,), float(list(GEOMETRIES).index(geometry.name)))}
    return cells_of(x, geometry, columns), x


def test_the_threshold_takes_cells_away():
    x = torch.zeros(1, 368)
    x[0, :4] = torch.tensor([0.5e-3, 1e-3, 2e-3, 0.99e-3])
    batch = describe(cells_of(x, PHOTONS, {"energy": torch.ones(1)}), PHOTONS)
    assert batch.field("cell.energy").values.tolist() == pytest.approx([1e-3, 2e-3])
    assert batch.field("shower.total").values.tolist() == pytest.approx([3e-3])
    assert batch.field("layer.number").values.tolist() == [0, 1, 2, 3, 12]
    assert batch.field("layer.sparsity").values[0] == 1 - 2 / 8
    assert bool(batch.field("layer.eta").values[[0, 3, 4]].isnan().all())  # one sector tells no direction
    assert DATA_SETS["2"].threshold == pytest.approx(15.15e-6, rel=1e-3)


def test_features_in_the_order_of_the_challenge():
    batch, x = showers(5, 1)
    batch = describe(batch, PHOTONS, 0.0)
    f = features(batch, PHOTONS)
    assert f.shape == (5, 30)
    np.testing.assert_allclose(f[:, 0], np.log10(1e3 * batch.field("shower.energy").values.numpy()), rtol=1e-6)
    first = [*PHOTONS.first, 368]
    for i in range(5):
        energy = x[:, first[i] : first[i + 1]].numpy().astype(np.float64).sum(1) * 1e3
        np.testing.assert_allclose(f[:, 1 + i], np.log10(energy + 1e-8), rtol=1e-6)
        np.testing.assert_allclose(f[:, 15 + i], (x[:, first[i] : first[i + 1]] == 0).double().mean(1), rtol=1e-12)
    np.testing.assert_allclose(f[:, 14], np.log10(1e3 * x.double().sum(1).numpy()), rtol=1e-6)


@pytest.mark.parametrize(("name", "length"), [("1-photons", 30), ("1-pions", 1 + 7 + 16 + 1 + 7 + 14), ("2", 362)])
def test_lengths_of_the_vector(name, length):
    batch, _ = showers(2, 1, geometry=GEOMETRIES[name])
    assert features(describe(batch, GEOMETRIES[name]), GEOMETRIES[name]).shape == (2, length)


def test_names_and_ranges_of_the_observables():
    a, b = (describe(showers(20, s)[0], PHOTONS) for s in (1, 2))
    found = {o.name: o for o in observables(a, b, PHOTONS)}
    assert len(found) == 30
    assert list(found)[:3] == ["Etot / Einc", "E layer 0", "E layer 1"]
    assert (found["EC Eta layer 1"].edges[0], found["EC Eta layer 1"].edges[-1]) == (-100, 100)
    assert found["EC r layer 12"].edges[-1] == 1500
    assert (len(found["E layer 12"].edges), len(found["Voxel distribution"].edges)) == (40, 50)
    pions = GEOMETRIES["1-pions"]
    c = describe(showers(20, 1, geometry=pions)[0], pions)
    tile = {o.name: o.edges[-1] for o in observables(c, c, pions)}
    assert (tile["EC Eta layer 12"], tile["Width Eta layer 13"], tile["Width r layer 14"]) == (500, 400, 1500)


def test_any_binning_can_be_judged():
    mine = Geometry("mine", (Layer(0, (0.0, 5.0, 10.0), 4), Layer(7, (0.0, 20.0), 1)))
    g = torch.Generator().manual_seed(0)
    a, b = (describe(cells_of(torch.rand(50, 9, generator=g), mine, {"energy": torch.full((50,), 5.0)}), mine)
            for _ in range(2))  # fmt: skip
    found = separations(a, b, mine, samples=5)
    assert "EC r layer 7" in found
    assert found["EC r layer 7"].edges[-1] == 20


def test_a_shift_is_seen_and_equal_samples_are_not():
    kinds = ((1, 1.0), (2, 1.0), (3, 1.1), (4, 2.0))
    reference, same, other, far = (describe(showers(2000, seed, k)[0], PHOTONS) for seed, k in kinds)
    draws = {"min_samples": 500, "max_samples": 2000}
    null, itself, shifted = (physics_distances(x, reference, PHOTONS, **draws) for x in (same, reference, far))
    # Samples of finite size are never at zero; a sample is closest to itself.
    assert itself["fpd"].value < null["fpd"].value < 0.01
    assert abs(null["kpd"].value) < 4 * null["kpd"].error
    assert shifted["fpd"].value > 3 * null["fpd"].value + 5 * shifted["fpd"].error
    assert shifted["kpd"].value > 5 * shifted["kpd"].error
    a, b = (separations(x, reference, PHOTONS)["Etot / Einc"].estimate for x in (same, other))
    assert b.low > a.high


def test_too_few_showers_are_refused_with_the_number():
    a = describe(showers(100, 1)[0], PHOTONS)
    with pytest.raises(ValueError, match=r"fpd: draws up to 50,000 .* 100 generated and 100 .*--max-samples 100"):
        physics_distances(a, a, PHOTONS)
    with pytest.raises(ValueError, match="kpd: draws up to 10,000"):
        physics_distances(a, a, PHOTONS, ("kpd",))
    with pytest.raises(ValueError, match=r"1 generated and 1 reference ones; give 50,000 of each$"):
        physics_distances(a[:1], a[:1], PHOTONS)
    with pytest.raises(ValueError, match=r"expected 2 <= --min-samples < --max-samples, got 100 and 100"):
        physics_distances(a, a, PHOTONS, min_samples=100, max_samples=100)
    for name in ("separation", "prdc"):
        with pytest.raises(ValueError, match=f"{name}: needs 20 showers of each sample, got 19 generated and 100"):
            JUDGES[name].measure(Judging(generated=a[:19], reference=a, geometry=PHOTONS))


def test_showers_without_energy_are_judged():
    x = torch.zeros(20, 368)
    x[10:, 3] = 1.0
    batch = describe(cells_of(x, PHOTONS, {"energy": torch.ones(20)}), PHOTONS)
    assert np.isfinite(features(batch, PHOTONS)).all()
    found = separations(batch, batch, PHOTONS, samples=5)
    assert found["E layer 0"].outside()["generated"] == {"below": 10, "above": 0}


def test_the_task_measures_described_or_plain_showers():
    a, b = (showers(300, s)[0] for s in (1, 2))
    task = TASKS["calorimeter"]
    assert geometry_in(a) is PHOTONS
    described = task.prepare(a)
    assert "layer.energy" in described.schema
    assert described.schema == task.prepare(described).schema
    found = task.evaluate(described, b, 0)
    assert found == task.evaluate(a, b, 0)
    assert "separation[E layer 0]" in found
    assert "fpd" not in found  # the challenge's draws need more showers
    with pytest.raises(ValueError, match="third argument"):
        task.evaluate(a, None, 0)
    c, _ = showers(3, 1, geometry=GEOMETRIES["2"])
    with pytest.raises(ValueError, match="generated showers have the binning 2, true ones 1-photons"):
        task.evaluate(c, b, 0)
    with pytest.raises(ValueError, match="do not name one geometry"):
        geometry_in(cells_of(torch.ones(1, 368), PHOTONS, {"energy": torch.ones(1)}))


@pytest.fixture(scope="module")
def parity(shared_data):
    """Both samples of the official evaluation, described, and what it says of them."""
    folder = shared_data / "calorimeter" / "parity"
    files = [folder / f"dataset_1-photons_{name}.hdf5" for name in ("generated", "reference")]
    expected = json.loads((folder / "dataset_1-photons_expected.json").read_text())
    return [[read_showers(f, cells=cells)[0] for f in files] for cells in (True, False)], expected


def test_features_are_the_official_ones(parity):
    ways, expected = parity
    for generated, _ in ways:
        f = features(generated, PHOTONS)
        first = expected["feature_vector_first_generated_event"]
        np.testing.assert_allclose(f[0], first, rtol=1e-6)
        mean, std = np.array(expected["feature_mean_generated"]), np.array(expected["feature_std_generated"])
        np.testing.assert_allclose(f.mean(0), mean, rtol=1e-6)
        np.testing.assert_allclose(f.std(0), std, rtol=1e-6)


def test_separations_are_the_official_ones(parity):
    ways, expected = parity
    wanted = expected["separation_power"]
    for samples in ways:
        found = separations(*samples, PHOTONS, samples=2)
        assert list(found) == list(wanted)
        values = [found[name].estimate.value for name in wanted]
        np.testing.assert_allclose(values, list(wanted.values()), rtol=1e-9)


def test_separations_at_each_energy_are_the_official_ones(parity):
    """Against the challenge's selection and bins, written out."""
    (samples, _), _ = parity
    found = separations_of_energies(*samples, PHOTONS, samples=2)
    energies = [2.0**i for i in range(8, 23)]
    assert list(found) == [f"Etot / Einc at E = {e}" for e in energies]
    for i, e in enumerate(energies):
        h = []
        for batch in samples:
            total, incident = (1e3 * batch.field(f"shower.{f}").values.numpy() for f in ("total", "energy"))
            ratio = (total.astype(np.float32) / incident.astype(np.float32))[
                (incident > 0.99 * e) & (incident < 1.99 * e)
            ]
            h.append(np.histogram(ratio, np.linspace(0.9, 1.1, 21) if i > 3 else np.linspace(0.4, 1.4, 21))[0])
        a, b = (x / x.sum() for x in h)
        wanted = 0.5 * ((a - b) ** 2 / (a + b + 1e-16)).sum()
        assert found[f"Etot / Einc at E = {e}"].estimate.value == pytest.approx(wanted, rel=1e-9)


def test_energies_without_showers_and_data_sets_without_energies_have_no_separation():
    batch, _ = showers(20, 1)
    assert len(separations_of_energies(*[describe(batch, PHOTONS)] * 2, PHOTONS, samples=2)) < 15
    other, _ = showers(2, 1, geometry=GEOMETRIES["2"])
    assert not separations_of_energies(*[describe(other, GEOMETRIES["2"])] * 2, GEOMETRIES["2"])


def test_fpd_and_kpd_are_the_official_ones(parity):
    (samples, _), expected = parity
    found = physics_distances(*samples, PHOTONS, min_samples=1000, max_samples=3000)
    for name in ("fpd", "kpd"):
        assert found[name].value == pytest.approx(expected[name]["value"], rel=1e-6)
        assert found[name].error == pytest.approx(expected[name]["error"], rel=1e-6)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_dense_showers_are_described_alike(name, tmp_path):
    geometry = GEOMETRIES[name]
    batch, _ = showers(6, 1, geometry=geometry)
    batch = batch.select(["cell", "shower.energy"])
    write_showers(tmp_path / "a.hdf5", [batch], geometry)
    (full, _), (lean, _) = (read_showers(tmp_path / "a.hdf5", cells=cells) for cells in (True, False))
    for path in (*(f"layer.{f}" for f in full.schema["layer"].names), "shower.energy", "shower.total", "cell.energy"):
        torch.testing.assert_close(
            lean.field(path).values, full.field(path).values, rtol=1e-7, atol=1e-5, equal_nan=True
        )
    assert torch.equal(lean.collections["cell"].offsets, full.collections["cell"].offsets)
    np.testing.assert_allclose(features(lean, geometry), features(full, geometry), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("voxel", "energy", "match"), [
    (-1.0, 1.0, r"entry 1: voxel 5 is -0\.001 GeV.*; mend the file$"), (np.nan, 1.0, r"entry 1: voxel 5 is nan"),
    (1.0, -1.0, r"entry 1: incident energy is -0\.001 GeV.*; mend the file$"),
])  # fmt: skip
def test_faults_of_dense_showers_are_named(tmp_path, voxel, energy, match):
    x, e = np.ones((3, 368)), np.ones((3, 1))
    x[1, 5], e[1] = voxel, energy
    with h5py.File(tmp_path / "a.hdf5", "w") as f:
        f["showers"], f["incident_energies"] = x, e
    for cells in (True, False):
        with pytest.raises(ValueError, match=match):
            read_showers(tmp_path / "a.hdf5", cells=cells)


def test_shards_of_showers_are_read_as_their_files(tmp_path):
    """In cells, of the geometry that they name or that is named for them."""
    produce_showers(30, tmp_path / "a.hdf5", seed=1)
    with CaloChallengeReader(tmp_path / "a.hdf5", dtype=torch.float64) as reader:
        batch = reader.read(0, 30)
    write_batches(tmp_path / "a.parquet", [batch], schema=batch.schema)
    dense, geometry = read_showers(tmp_path / "a.hdf5")
    for named in (None, "1-photons"):
        found, same = read_showers(tmp_path / "a.parquet", named)
        assert same == geometry
        for name in ("layer", "shower", "cell"):
            torch.testing.assert_close(
                found.collections[name].values, dense.collections[name].values, equal_nan=True
            )  # fmt: skip
    with pytest.raises(ValueError, match="geometry 2: a cell lies outside"):
        read_showers(tmp_path / "a.parquet", "2")
    wrong = batch.with_field("shower", batch.schema.field("shower.energy"), torch.full((30,), math.nan))
    write_batches(tmp_path / "nan.parquet", [wrong], schema=wrong.schema)
    with pytest.raises(ValueError, match="mend the file"):
        read_showers(tmp_path / "nan.parquet")
    some = batch.select(["shower.energy"])
    write_batches(tmp_path / "none.parquet", [some], schema=some.schema)
    with pytest.raises(ValueError, match="or a shard of them in cells"):
        read_showers(tmp_path / "none.parquet")


def half_of_the_sway(batch):
    """Showers averaged with their mirror images: all energies stay, what is seen around the axis is smeared."""
    grid = grid_of(batch, PHOTONS)
    for layer, first in zip(PHOTONS.layers, PHOTONS.first, strict=True):
        cells = grid[:, first : first + layer.voxels].reshape(-1, layer.sectors, layer.rings)
        grid[:, first : first + layer.voxels] = ((cells + cells.flip(1)) / 2).reshape(len(grid), -1)
    return describe(cells_of(grid, PHOTONS, {"energy": batch.field("shower.energy").values}), PHOTONS)


def test_classifiers_have_the_power_to_see_a_fault_that_leaves_all_energies(tmp_path):
    """And those that are not trained to the end do not: an AUC near one half may say more of these than of showers."""
    files = [tmp_path / f"{seed}.hdf5" for seed in (1, 2)]
    for seed, path in enumerate(files, start=1):
        produce_showers(1500, path, seed=seed)
    a, b = (read_showers(f)[0] for f in files)
    wrong = half_of_the_sway(a)
    fair = Training(hidden=64, epochs=1, steps=300, batch=250, rate=1e-3, scaled=True)
    for level in ("high", "low"):
        rows = both(inputs(wrong, PHOTONS, level), inputs(b, PHOTONS, level))
        assert tell_apart(rows, len(a), fair).auc.value > 0.8
        null = tell_apart(both(inputs(a, PHOTONS, level), inputs(b, PHOTONS, level)), len(a), fair).auc
        assert abs(null.value - 0.5) < 3 * null.error
        assert tell_apart(rows, len(a), replace(fair, scaled=False)).auc.value < 0.8


@pytest.mark.slow
def test_a_null_is_not_seen_and_one_percent_is(tmp_path):
    """20,000 simulated photons a side: equal samples pass every judge, 1% too much energy is found."""
    files = [tmp_path / f"{seed}.hdf5" for seed in (1, 2)]
    for seed, path in enumerate(files, start=1):
        produce_showers(20_000, path, seed=seed)
    a, b = (read_showers(f)[0] for f in files)
    rows = both(inputs(a, PHOTONS, "high"), inputs(b, PHOTONS, "high"))
    found = tell_apart(rows, len(a), Training(hidden=64, epochs=8, seeds=3))
    assert abs(found.auc.value - 0.5) < max(3 * found.auc.error, 0.01)
    floor = physics_distances(a, b, PHOTONS, ("fpd",), min_samples=4000, max_samples=20_000)["fpd"]
    assert floor.value < 1e-3
    grid = grid_of(a, PHOTONS) * 1.01
    shifted = describe(cells_of(grid, PHOTONS, {"energy": a.field("shower.energy").values}), PHOTONS)
    null, seen = (separations(x, b, PHOTONS)["Etot / Einc"] for x in (a, shifted))
    assert null.estimate.value < 2 * null.floor
    assert seen.estimate.value > 5 * seen.floor
