"""Energy flow polynomials against closed forms and plain loops."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from lpm.physics.energyflow import PRIME_D3, PRIME_N4_D4, correlations, energy_flow


def two_particles(distance: float) -> tuple[torch.Tensor, ...]:
    return torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, distance]]), torch.zeros(1, 2), torch.ones(1, 2).bool()


@pytest.mark.parametrize(("name", "power"), [("line", 1), ("line2", 2), ("line3", 3)])
def test_two_points_closed_form(name: str, power: int) -> None:
    """Σ z_i z_j θ_ij^k = 2 z (1 − z) θ^k."""
    found = energy_flow(*two_particles(0.4))[name].item()
    assert found == pytest.approx(2 * 0.25 * 0.75 * 0.4**power)


def test_triangle_of_two_particles_vanishes() -> None:
    assert energy_flow(*two_particles(0.4))["triangle"].item() == 0


def test_against_plain_loops() -> None:
    g = torch.Generator().manual_seed(0)
    pt, eta, phi = torch.rand(1, 5, generator=g), *torch.randn(2, 1, 5, generator=g).unbind(0)
    mask = torch.tensor([[True, True, False, True, True]])
    graphs = PRIME_D3 | PRIME_N4_D4
    found = energy_flow(pt, eta, phi, mask, graphs)
    rows = [i for i in range(5) if mask[0, i]]
    total = sum(pt[0, i].item() for i in rows)

    def theta(i: int, j: int) -> float:
        return math.hypot((eta[0, i] - eta[0, j]).item(), math.remainder((phi[0, i] - phi[0, j]).item(), 2 * math.pi))

    for name, graph in graphs.items():
        points = 1 + max(p for edge in graph for p in edge)
        expected = sum(
            math.prod(pt[0, i].item() / total for i in choice)
            * math.prod(theta(choice[a], choice[b]) for a, b in graph)
            for choice in itertools.product(rows, repeat=points)
        )
        assert found[name].item() == pytest.approx(expected, rel=1e-5), name


def test_padding_and_scale_of_momenta_do_not_matter() -> None:
    pt, eta, phi, mask = two_particles(0.3)
    wide = [torch.nn.functional.pad(x, (0, 3), value=7.0) for x in (5 * pt, eta, phi)]
    wide_mask = torch.nn.functional.pad(mask, (0, 3))
    for name, value in energy_flow(*wide, wide_mask).items():
        torch.testing.assert_close(value, energy_flow(pt, eta, phi, mask)[name])


def test_ratios_of_a_symmetric_triangle() -> None:
    """Three equal particles at distance d: e2 = d/3, e3 = d³/27, so D2 = 1 and C2 = d/3."""
    corners = torch.tensor([[0.0, 1.0, 0.5]]), torch.tensor([[0.0, 0.0, math.sqrt(0.75)]])
    found = correlations(torch.ones(1, 3), *corners, torch.ones(1, 3).bool())
    assert found["d2"].item() == pytest.approx(1.0)
    assert found["c2"].item() == pytest.approx(1 / 3)


def test_single_particle_gives_zero_ratios() -> None:
    one = torch.ones(1, 1)
    found = correlations(one, one, one, one.bool())
    assert [v.item() for v in found.values()] == [0, 0, 0, 0]


def test_the_five_graphs_of_jetnet_are_connected_and_different() -> None:
    degrees = set()
    for graph in PRIME_N4_D4.values():
        assert len(graph) == 4
        reached = {0}
        for _ in range(4):
            reached |= {p for edge in graph for p in edge if reached & set(edge)}
        assert reached == {0, 1, 2, 3}
        count = [sum(p in edge for edge in graph) for p in range(4)]
        degrees.add((tuple(sorted(count)), len(set(graph)), max(graph.count(e) for e in graph)))
    assert len(degrees) >= 4


def test_loop_edge_is_refused() -> None:
    with pytest.raises(ValueError, match="graph bad"):
        energy_flow(*two_particles(0.1), {"bad": ((1, 1),)})


def test_trees_need_only_pairs_of_particles() -> None:
    """A path and a star of four points over 300 particles: a sum over all tuples would need 65 GB."""
    rng = torch.Generator().manual_seed(0)
    pt, eta, phi = (torch.rand(2, 300, generator=rng) for _ in range(3))
    found = energy_flow(pt, eta, phi, torch.ones(2, 300, dtype=torch.bool))
    assert all(bool((v > 0).all()) for v in found.values())
