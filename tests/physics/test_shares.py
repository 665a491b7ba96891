"""Shares tell energies, and cells are scaled so that they add up."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from lpm.physics.shares import energies_of, settled, shares_of


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


@given(st.integers(0, 10_000))
def test_settled_cells_add_up_and_keep_their_order(seed):
    g = torch.Generator().manual_seed(seed)
    cells = torch.empty(40, 7, dtype=torch.float64).exponential_(generator=g)
    cells = cells * (torch.rand(40, 7, generator=g) < 0.7)
    energy = torch.rand(40, generator=g, dtype=torch.float64) * 3
    out = settled(cells, energy, 0.3)
    torch.testing.assert_close(out.sum(1), torch.where(energy >= 0.3, energy, 0.0))
    assert bool(((out == 0) | (out >= 0.3 * (1 - 1e-12))).all())
    kept = (out > 0) & (cells > 0)
    ratio = torch.where(kept, out / cells.clamp_min(1e-300), torch.nan)
    for row in ratio[kept.sum(1) > 1]:
        known = row[row.isfinite()]
        torch.testing.assert_close(known, known[:1].expand_as(known))
