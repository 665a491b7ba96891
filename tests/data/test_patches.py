"""Showers are cut into patches and joined again without loss, and energies add up."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lpm.data.patches import Patches, energies_of, shares_of
from lpm.data.showers import DATA_SETS, cells_of, grid_of
from lpm.physics.geometry import GEOMETRIES, Geometry, Layer
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


@given(st.integers(0, 10_000))
def test_shares_tell_the_energies(seed):
    g = torch.Generator().manual_seed(seed)
    energy = torch.empty(50, 5, dtype=torch.float64).exponential_(generator=g)
    energy = energy * (torch.rand(50, 5, generator=g) < 0.6)
    incident = torch.rand(50, generator=g, dtype=torch.float64) + 0.1
    share = shares_of(energy, incident)
    assert bool((share >= 0).all())
    assert bool((share[:, 1:] <= 1).all())
    torch.testing.assert_close(energies_of(share, incident), energy, rtol=1e-9, atol=1e-12)


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
