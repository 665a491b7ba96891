"""Observables of showers against a plain loop over dense arrays, and the cases in which nothing can be divided."""

import numpy as np
import pytest

from lpm.physics.geometry import GEOMETRIES, Geometry, Layer
from lpm.physics.showers import layers_of


def loop(geometry: Geometry, grid: np.ndarray) -> dict[str, np.ndarray]:
    """The definitions as they stand in the paper, layer by layer."""
    out = {name: [] for name in ("energy", "sparsity", "eta", "phi", "r", "eta_width", "phi_width", "r_width")}
    for i, layer in enumerate(geometry.layers):
        part = slice(geometry.first[i], geometry.first[i] + layer.voxels)
        e = grid[:, part]
        total = e.sum(1)
        out["energy"].append(total)
        out["sparsity"].append((e == 0).mean(1))
        for name, x in zip(("eta", "phi", "r"), geometry.centres[part].T, strict=True):
            centre = (x * e).sum(1) / (total + 1e-19)
            width = np.sqrt(np.maximum((x * x * e).sum(1) / (total + 1e-19) - centre**2, 0))
            known = layer.sectors > 1 or name == "r"
            out[name].append(centre if known else centre * np.nan)
            out[f"{name}_width"].append(width if known else width * np.nan)
    return {name: np.stack(columns, 1) for name, columns in out.items()}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_agrees_with_a_loop_over_dense_layers(name):
    geometry = GEOMETRIES[name]
    rng = np.random.default_rng(1)
    grid = rng.exponential(size=(6, geometry.voxels)) * (rng.random((6, geometry.voxels)) < 0.4)
    event, voxel = grid.nonzero()
    found = layers_of(geometry, 6, event, voxel, grid[event, voxel])
    for key, wanted in loop(geometry, grid).items():
        scale = np.nanmax(np.abs(wanted))
        np.testing.assert_allclose(found[key], wanted, rtol=1e-6, atol=1e-6 * scale, err_msg=key)


def test_layers_without_energy_are_zero():
    geometry = GEOMETRIES["2"]
    found = layers_of(geometry, 2, np.array([1]), np.array([0]), np.array([2.0]))
    assert found["sparsity"][0].tolist() == [1.0] * 45
    for name in ("energy", "eta", "phi", "r", "eta_width", "r_width"):
        assert not found[name][0].any()
    assert found["r"][1, 0] == pytest.approx(2.325)
    assert found["r_width"][1, 0] == 0


def test_a_turn_of_the_shower_turns_its_centres():
    """A quarter of a turn takes eta to phi, and leaves r, energy and sparsity as they are."""
    geometry = Geometry("g", (Layer(0, (0.0, 1.0, 3.0), 8),))
    rng = np.random.default_rng(2)
    grid = rng.random((3, 8, 2))
    a, b = (x.reshape(3, -1) for x in (grid, np.roll(grid, 2, axis=1)))
    before, after = (layers_of(geometry, 3, *x.nonzero(), x[x.nonzero()]) for x in (a, b))
    np.testing.assert_allclose(after["phi"], before["eta"], atol=1e-6)
    np.testing.assert_allclose(after["eta"], -before["phi"], atol=1e-6)
    for name in ("energy", "sparsity", "r", "r_width"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-6)
