"""Subjets and Lund planes: those of FastJet, jet by jet, and what they conserve."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lpm.physics.lund import exclusive, lund_plane


def jets(sizes: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Massless particles of jets of the given sizes, each of two or three bunches."""
    g = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    centre = torch.tensor([[0.3, 0.1], [-0.3, 0.2], [0.0, -0.4]])[torch.randint(0, 3, (n,), generator=g)]
    eta, phi = (centre + 0.12 * torch.randn(n, 2, generator=g)).double().unbind(1)
    pt = torch.empty(n, dtype=torch.float64).exponential_(generator=g) * 20 + 0.3
    p4 = torch.stack([pt * phi.cos(), pt * phi.sin(), pt * eta.sinh(), pt * eta.cosh()], 1)
    return p4, torch.tensor(sizes)


SIZES = [40, 1, 25, 3, 60, 2, 33]


def test_subjets_are_those_of_fastjet() -> None:
    fastjet, ak = pytest.importorskip("fastjet"), pytest.importorskip("awkward")
    p4, lengths = jets(SIZES)
    prongs = torch.tensor([3, 1, 4, 2, 2, 2, 3])
    found = exclusive(p4, lengths, prongs)
    start = 0
    for jet, (size, n) in enumerate(zip(SIZES, prongs.tolist(), strict=True)):
        part = p4[start : start + size].numpy()
        flat = ak.zip(dict(zip(("px", "py", "pz", "E"), part.T, strict=True)), with_name="Momentum4D")
        sequence = fastjet.ClusterSequence(flat, fastjet.JetDefinition(fastjet.kt_algorithm, 100.0))
        expected = {frozenset(x) for x in ak.to_list(sequence.exclusive_jets_constituent_index(min(n, size)))}
        of = found.of[start : start + size]
        assert {frozenset((of == k).nonzero()[:, 0].tolist()) for k in of.unique()} == expected
        assert (found.jet == jet).sum() == min(n, size)
        start += size


def test_the_plane_is_that_of_fastjet() -> None:
    fastjet, ak = pytest.importorskip("fastjet"), pytest.importorskip("awkward")
    p4, lengths = jets(SIZES, seed=3)
    whole = exclusive(p4, lengths, torch.ones_like(lengths))
    found = lund_plane(p4, whole, pt_min=0.0)
    start = 0
    for jet, size in enumerate(SIZES):
        part = p4[start : start + size].numpy()
        start += size
        mine = (found.subjet == jet).nonzero()[:, 0]
        if size < 2:
            assert not len(mine)
            continue
        flat = ak.zip(dict(zip(("px", "py", "pz", "E"), part.T, strict=True)), with_name="Momentum4D")
        sequence = fastjet.ClusterSequence(flat, fastjet.JetDefinition(fastjet.cambridge_algorithm, 100.0))
        expected = sequence.exclusive_jets_lund_declusterings(1)[0]
        for name, values in (("Delta", found.delta), ("kt", found.kt)):
            np.testing.assert_allclose(np.sort(values[mine].numpy()), np.sort(ak.to_numpy(expected[name])), rtol=1e-6)


def test_momentum_is_conserved_and_the_hardest_comes_first() -> None:
    p4, lengths = jets(SIZES)
    found = exclusive(p4, lengths, torch.full((len(SIZES),), 3))
    assert len(found.of) == len(p4)
    px = torch.zeros(len(found)).double().index_add_(0, found.of, p4[:, 0])
    py = torch.zeros(len(found)).double().index_add_(0, found.of, p4[:, 1])
    torch.testing.assert_close(torch.hypot(px, py), found.pt)
    for jet in range(len(SIZES)):
        assert bool((found.pt[found.jet == jet].diff() <= 0).all())


def test_companions_and_order_change_nothing() -> None:
    p4, lengths = jets(SIZES)
    prongs = torch.full((len(SIZES),), 2)
    together = lund_plane(p4, exclusive(p4, lengths, prongs))
    start, at = 0, 0
    for size in SIZES:
        part = p4[start : start + size][torch.randperm(size, generator=torch.Generator().manual_seed(1))]
        few = exclusive(part, torch.tensor([size]), torch.tensor([2]))
        alone = lund_plane(part, few)
        mine = (together.subjet >= at) & (together.subjet < at + len(few))
        torch.testing.assert_close(alone.kt.sort().values, together.kt[mine].sort().values)
        start, at = start + size, at + len(few)


def test_soft_particles_are_left_out_and_empty_jets_survive() -> None:
    p4, _ = jets([30])
    lengths = torch.tensor([0, 30, 0])
    found = exclusive(p4, lengths, torch.tensor([2, 2, 1]))
    assert found.jet.tolist() == [1, 1]
    all_of_it, hard = lund_plane(p4, found, pt_min=0.0), lund_plane(p4, found, pt_min=5.0)
    assert 0 < len(hard) < len(all_of_it) <= 30 - 2
    assert not len(lund_plane(p4, found, pt_min=1e6))
    with pytest.raises(ValueError, match="expected at least one subjet a jet, got 0"):
        exclusive(p4, lengths, torch.zeros(3).long())
