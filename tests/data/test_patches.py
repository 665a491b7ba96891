"""Showers are cut into patches and joined again without loss, and energies add up."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lpm.data.batch import Batch
from lpm.data.patches import Patches, cut_each, together
from lpm.data.showers import DATA_SETS, SHOWER, cells_of, grid_of
from lpm.physics.geometry import GEOMETRIES, Box, Geometry, Layer
from lpm.recipes.calorimeter import patches_of

SMALL = Geometry("small", (Layer(0, (0.0, 5.0, 9.0, 12.0), 2), Layer(1, (0.0, 5.0), 1), Layer(2, (0.0, 1.0, 2.0), 5)))


def showers(geometry, count, seed, density=0.3):
    g = torch.Generator().manual_seed(seed)
    x = torch.empty(count, geometry.voxels).exponential_(generator=g)
    return cells_of(x * (torch.rand(x.shape, generator=g) < density), geometry, {"energy": x.sum(1) + 0.1})


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_cell_of_the_challenge_lies_in_one_patch(name):
    patches = patches_of(name)
    real = patches.voxels[patches.voxels >= 0]
    assert sorted(real) == list(range(GEOMETRIES[name].voxels))
    places = GEOMETRIES[name].places
    for row, layer in zip(patches.voxels, patches.layers, strict=True):
        assert set(places[row[row >= 0], 0]) == {layer}
    assert patches.threshold == DATA_SETS[name].threshold


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 10_000))
def test_cut_and_join_are_inverse(sectors, rings, seed):
    patches, batch = Patches(SMALL, sectors, rings), showers(SMALL, 6, seed)
    cut = patches.cut(batch)
    assert torch.equal(grid_of(patches.join(cut), SMALL), grid_of(batch, SMALL))
    assert torch.equal(patches.join(cut).field("shower.energy").values, batch.field("shower.energy").values)
    layers = grid_of(batch, SMALL).split_with_sizes([6, 1, 10], 1)
    energy = cut.field("layer.energy").values.view(6, 3)
    torch.testing.assert_close(energy, torch.stack([part.sum(1) for part in layers], 1))
    of_patch = cut.field("patch.layer").values.view(6, -1)
    assert torch.equal(of_patch, energy[:, torch.from_numpy(patches.layers)])


def test_cells_below_the_threshold_are_taken_away():
    batch = showers(SMALL, 20, seed=1)
    cut = Patches(SMALL, 2, 2, threshold=0.5).cut(batch)
    kept = cut.collections["patch"].values[:, 2:].nan_to_num()
    assert not bool(((kept > 0) & (kept < 0.5)).any())
    before = grid_of(batch, SMALL)
    assert kept.sum() == pytest.approx(float(before[before >= 0.5].sum()), rel=1e-5)


def test_generated_cells_are_settled():
    """Whatever a model makes: cells add up to layers, none is below the threshold, none negative."""
    patches = Patches(SMALL, 2, 2, threshold=0.2)
    batch = showers(SMALL, 200, seed=2, density=0.8)
    energy = torch.rand(200, 3, generator=torch.Generator().manual_seed(3)) * 4
    energy[:20] = 0.05  # below the threshold: nothing can be there
    energy[20:40, 1] = 0.0
    cut = patches.lay_out(batch, energy, None, patches.cut(batch).collections["patch"].values[:, 2:].view(200, -1, 4))
    settled = patches.settle(cut)
    cells = patches.grid(settled)
    assert bool(((cells == 0) | (cells >= 0.2 * (1 - 1e-6))).all())
    sums = torch.stack([part.sum(1) for part in cells.split_with_sizes([6, 1, 10], 1)], 1)
    torch.testing.assert_close(sums, torch.where(energy >= 0.2, energy, 0.0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(settled.field("layer.energy").values.view(200, 3), sums)
    total = settled.field("layer.share").values.view(200, 3)[:, 0] * batch.field("shower.energy").values
    torch.testing.assert_close(total, sums.sum(1), rtol=1e-5, atol=1e-6)


def test_a_layer_of_which_nothing_was_made_goes_to_its_first_cell():
    patches, batch = Patches(SMALL, 2, 3, threshold=0.1), showers(SMALL, 1, seed=0)
    shell = patches.lay_out(batch, torch.tensor([[1.0, 0.0, 3.0]]))
    cells = patches.grid(patches.settle(shell))
    assert cells.sum(1).tolist() == [4.0]
    assert int((cells > 0).sum()) == 2


def test_patches_without_cells_are_refused():
    with pytest.raises(ValueError, match="needs a sector and a ring, got 0 and 3"):
        Patches(SMALL, 0, 3)


def test_boxes_are_cut_too():
    box = Box("b", (5, 4, 3))
    patches = Patches(box, 2, 3, threshold=0.01)
    assert sorted(patches.voxels[patches.voxels >= 0]) == list(range(60))
    g = torch.Generator().manual_seed(0)
    batch = cells_of(torch.rand(6, 60, generator=g) + 0.1, box, {"energy": torch.ones(6)})
    assert torch.equal(grid_of(patches.join(patches.cut(batch)), box), grid_of(batch, box))


def test_places_mean_the_same_in_all_geometries():
    """Depth rises from 0 to 1, patches at the axis begin at its distance, whole rings point nowhere."""
    ring = Patches(GEOMETRIES["2"], 16, 3).where
    sector = Patches(GEOMETRIES["3"], 25, 2).where
    box = Patches(Box("b", (12, 12, 12)), 12, 4).where
    for where in (ring, sector, box):
        assert 0 < where[:, 0].min() < where[:, 0].max() < 1
        assert bool((where[:, 2] <= where[:, 3]).all())
        assert abs(where).max() < 5
    assert abs(ring[:, 4:]).max() < 1e-9
    assert abs((sector[:, 4:] ** 2).sum(1) ** 0.5 - 2 / 3.14159).max() < 0.01  # the middle of half a circle
    assert set(np.sign(box[:, 4].round(6))) == {-1.0, 0.0, 1.0}


def test_patches_of_several_geometries_are_numbered_on():
    many = together([patches_of("1-photons"), Patches(SMALL, 2, 2), patches_of("2")])
    assert [p.first for p in many] == [0, 15, 21]
    assert [p.first_layer for p in many] == [0, 5, 8]
    assert {p.width for p in many} == {144}
    batch = showers(SMALL, 5, seed=0)
    cut = many[1].cut(batch)
    assert cut.field("patch.place").values[:5].tolist() == [15, 16, 17, 18, 19]
    assert cut.field("layer.place").values[:3].tolist() == [5, 6, 7]
    assert torch.equal(grid_of(many[1].join(cut), SMALL), grid_of(batch, SMALL))
    with pytest.raises(ValueError, match="geometries of different names"):
        together([patches_of("2"), patches_of("2")])
    with pytest.raises(ValueError, match="up to 4 cells, got room for 3"):
        Patches(SMALL, 2, 2, cells=3)


def mixed(names, count=4):
    parts = []
    for i, name in enumerate(names):
        which = torch.full((count,), float(list(GEOMETRIES).index(name)))
        b = showers(GEOMETRIES[name], count, seed=i)
        parts.append(b.with_field("shower", SHOWER["geometry"], which))
    return Batch.cat(parts)[torch.randperm(count * len(names), generator=torch.Generator().manual_seed(0))]


def test_showers_of_several_geometries_are_cut_each_by_its_own():
    many = together([patches_of("1-photons"), patches_of("1-pions")])
    batch = mixed(["1-pions", "1-photons"])
    cut = cut_each(many, batch)
    assert torch.equal(cut.field("shower.energy").values, batch.field("shower.energy").values)
    for i in range(len(batch)):
        p = many[int(batch.field("shower.geometry").values[i])]
        alone = p.cut(batch[i : i + 1])
        for name in ("layer", "patch"):
            a, b = (x.collections[name].values.nan_to_num(-1.0) for x in (cut[i : i + 1], alone))
            assert torch.equal(a, b)
    with pytest.raises(ValueError, match="showers of other geometries than 1-photons, 2; leave them out"):
        cut_each(together([patches_of("1-photons"), patches_of("2")]), batch)
    with pytest.raises(ValueError, match="do not say which geometry"):
        cut_each(many, showers(SMALL, 2, seed=0))
