"""Observables against closed forms and against FastJet."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lpm.physics.clustering import Objects, recombine
from lpm.physics.substructure import axes, girth, jet_mass, observables, soft_drop_mass, subjettiness


def make_jets(n: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Jets of two or three prongs of soft and collinear particles: pt, eta, phi (N,) and lengths (B,)."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 60, (n,), generator=g)
    total = int(lengths.sum())
    prong = torch.randint(0, 3, (total,), generator=g)
    pt = torch.exp(1.5 * torch.randn(total, generator=g) + 1)
    centre = torch.tensor([[0.0, 0.0], [0.35, 0.1], [-0.2, 0.4]])[prong]
    eta, phi = (centre + 0.08 * torch.randn(total, 2, generator=g)).unbind(1)
    return pt, eta, phi, lengths


def momenta(pt: Tensor, eta: Tensor, phi: Tensor) -> Tensor:
    pt, eta, phi = pt.double(), eta.double(), phi.double()
    return torch.stack([pt * phi.cos(), pt * phi.sin(), pt * eta.sinh(), pt * eta.cosh()], 1)


def test_one_particle_has_no_substructure() -> None:
    found = observables(torch.tensor([7.0]), torch.zeros(1), torch.zeros(1), None, torch.tensor([1]))
    assert {n: float(v) for n, v in found.items()} == dict.fromkeys(found, 0.0)


def test_tau_of_n_particles_vanishes_with_n_axes() -> None:
    pt, eta = torch.tensor([5.0, 4.0, 3.0, 2.0]), torch.tensor([0.0, 0.3, -0.3, 0.1])
    phi = torch.tensor([0.0, 0.1, 0.2, -0.4])
    tau = subjettiness(pt, eta, phi, torch.tensor([4]))[0]
    assert tau[3] == 0
    assert (tau[:3].diff() < 0).all()


def test_tau1_of_two_particles_is_the_softer_share_times_distance() -> None:
    tau = subjettiness(torch.tensor([3.0, 1.0]), torch.tensor([0.0, 0.4]), torch.zeros(2), torch.tensor([2]))
    assert tau[0, 0].item() == pytest.approx(1.0 * 0.4 / (0.8 * 4.0))


def test_two_particle_mass_closed_form() -> None:
    """m² = 2 pt₁ pt₂ (cosh Δη − cos Δφ)."""
    pt, eta, phi = torch.tensor([30.0, 50.0]), torch.tensor([0.2, -0.1]), torch.tensor([0.3, 0.0])
    mass = jet_mass(momenta(pt, eta, phi), torch.tensor([2])).item()
    assert mass == pytest.approx(math.sqrt(2 * 30 * 50 * (math.cosh(0.3) - math.cos(0.3))), rel=1e-6)


def test_soft_drop_removes_a_soft_particle_and_keeps_a_hard_one() -> None:
    pt, eta, phi = torch.tensor([100.0, 30.0, 5.0]), torch.tensor([0.0, 0.3, -0.6]), torch.zeros(3)
    hard = jet_mass(momenta(pt[:2], eta[:2], phi[:2]), torch.tensor([2]))
    groomed = soft_drop_mass(momenta(pt, eta, phi), torch.tensor([3]))
    torch.testing.assert_close(groomed, hard)
    assert soft_drop_mass(momenta(pt, eta, phi), torch.tensor([3]), z_cut=0.01).item() > hard.item() + 1


def test_soft_drop_of_an_empty_jet_and_of_none() -> None:
    assert soft_drop_mass(torch.zeros(0, 4), torch.tensor([0])).tolist() == [0.0]
    assert soft_drop_mass(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_results_do_not_depend_on_neighbours_or_order() -> None:
    pt, eta, phi, lengths = make_jets(40)
    all_at_once = observables(pt, eta, phi, None, lengths)
    start = lengths.cumsum(0) - lengths
    for i in (0, 7, 39):
        rows = start[i] + torch.randperm(int(lengths[i]), generator=torch.Generator().manual_seed(i))
        alone = observables(pt[rows], eta[rows], phi[rows], None, lengths[i : i + 1])
        for name, value in alone.items():
            assert value.item() == pytest.approx(all_at_once[name][i].item(), rel=1e-4, abs=1e-5), name


def test_observables_are_invariant_under_rotation_about_the_beam() -> None:
    pt, eta, phi, lengths = make_jets(30)
    turned = observables(pt, eta, phi + 3.0, None, lengths)
    for name, value in observables(pt, eta, phi, None, lengths).items():
        torch.testing.assert_close(turned[name], value, rtol=1e-3, atol=1e-3)


def test_girth_of_a_ring_is_its_radius() -> None:
    angle = torch.arange(8) * math.pi / 4
    assert girth(torch.ones(8), 0.3 * angle.cos(), 0.3 * angle.sin(), torch.tensor([8])).item() == pytest.approx(0.3)


def test_recombine_refuses_unsorted_jets() -> None:
    two = torch.ones(2, 3)
    with pytest.raises(ValueError, match="falling"):
        list(recombine(Objects(two, two, two), torch.tensor([2, 3]), power=1.0))


def test_axes_of_small_jets_repeat_the_first() -> None:
    o = Objects(torch.tensor([[2.0]]), torch.tensor([[0.5]]), torch.tensor([[0.1]]))
    eta, _ = axes(o, torch.tensor([1]), 3)[3]
    assert eta.tolist() == [[0.5, 0.5, 0.5]]


def test_soft_drop_mass_agrees_with_fastjet() -> None:
    fastjet = pytest.importorskip("fastjet", reason="needs the sim extra")
    ak = pytest.importorskip("awkward", reason="needs the sim extra")
    pt, eta, phi, lengths = make_jets(200)
    p4 = momenta(pt, eta, phi)
    ours = soft_drop_mass(p4, lengths)
    flat = ak.zip(dict(zip(("px", "py", "pz", "E"), p4.T.numpy(), strict=True)), with_name="Momentum4D")
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, 10.0)
    found = fastjet.ClusterSequence(ak.unflatten(flat, lengths.numpy()), definition).exclusive_jets_softdrop_grooming(
        njets=1, beta=0, symmetry_cut=0.1, R0=0.8
    )
    theirs = torch.tensor(ak.to_numpy(found["msoftdrop"]).reshape(-1)).float()
    many = lengths > 1
    torch.testing.assert_close(ours[many], theirs[many], rtol=1e-3, atol=0.02)


def test_kt_history_agrees_with_fastjet() -> None:
    """The directions of the last kT objects with the momentum scheme are the exclusive jets of FastJet."""
    fastjet = pytest.importorskip("fastjet", reason="needs the sim extra")
    pt, eta, phi, lengths = make_jets(20, seed=3)
    start = 0
    for n in lengths.tolist():
        if n < 4:
            start += n
            continue
        p4 = momenta(pt[start : start + n], eta[start : start + n], phi[start : start + n])
        start += n
        state = Objects.from_momenta(p4[None])
        steps = recombine(state, torch.tensor([n]), power=1.0)
        last = next(s.objects.pt[0, :3].clone() for s in steps if s.count == 3)
        inputs = [fastjet.PseudoJet(*row) for row in p4.tolist()]
        sequence = fastjet.ClusterSequence(inputs, fastjet.JetDefinition(fastjet.kt_algorithm, 100.0))
        theirs = sorted(j.pt() for j in sequence.exclusive_jets(3))
        assert sorted(last.tolist()) == pytest.approx(theirs, rel=1e-6)


def test_subjettiness_against_a_plain_loop() -> None:
    """The batched clustering finds the axes that a literal reading of the definition finds."""
    pt, eta, phi, lengths = make_jets(15, seed=5)
    tau = subjettiness(pt, eta, phi, lengths)
    start = 0
    for i, n in enumerate(lengths.tolist()):
        rows = slice(start, start + n)
        start += n
        expected = _plain_taus(pt[rows].tolist(), eta[rows].tolist(), phi[rows].tolist())
        assert tau[i].tolist() == pytest.approx(expected, abs=1e-5)


def _plain_taus(pt: list[float], eta: list[float], phi: list[float]) -> list[float]:
    objects = list(zip(pt, eta, phi, strict=True))
    out = [0.0] * 4
    while objects:
        if len(objects) <= 4:
            near = [min(math.hypot(e - a, f - b) for _, a, b in objects) for e, f in zip(eta, phi, strict=True)]
            out[len(objects) - 1] = sum(p * d for p, d in zip(pt, near, strict=True)) / (0.8 * sum(pt))
        if len(objects) == 1:
            break
        pairs = [(i, j) for i in range(len(objects)) for j in range(i)]
        i, j = min(
            pairs,
            key=lambda q: (
                min(objects[q[0]][0], objects[q[1]][0]) ** 2
                * ((objects[q[0]][1] - objects[q[1]][1]) ** 2 + (objects[q[0]][2] - objects[q[1]][2]) ** 2)
            ),
        )
        harder = max(objects[i], objects[j])
        merged = (objects[i][0] + objects[j][0], harder[1], harder[2])
        objects = [o for k, o in enumerate(objects) if k not in (i, j)] + [merged]
    return out
