"""Muon: orthogonal steps for matrices, AdamW for all else."""

import pytest
import torch
from torch import nn

from lpm.train.muon import Muon, orthogonal
from lpm.train.optim import parameter_groups


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 6, 20), (2, 20, 6)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    y = orthogonal(x)
    u, _, vh = torch.linalg.svd(x, full_matrices=False)
    turned = u.mT @ y @ vh.mT
    values = turned.diagonal(dim1=1, dim2=2)
    assert bool((values > 0.3).all())  # a singular value near 0 is not yet there after five steps
    assert bool((values < 1.25).all())
    assert float((turned - torch.diag_embed(values)).abs().max()) < 1e-4


def test_nothing_moves_without_a_gradient() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 3, 4)), torch.zeros(1, 3, 4))


def test_one_step_is_the_formula() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4))
    groups = parameter_groups(net, lr=0.1, weight_decay=0.5)
    optimiser = Muon(groups, lr=0.1, betas=(0.9, 0.99))
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    (net(torch.randn(5, 6)) ** 3).sum().backward()
    gradient = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    optimiser.step()
    step = orthogonal(gradient["0.weight"][None])[0]  # its length does not matter, so neither does the momentum
    wanted = before["0.weight"] * (1 - 0.1 * 0.5) - 0.1 * 0.2 * 6**0.5 * step
    torch.testing.assert_close(net[0].weight.detach(), wanted, atol=1e-5, rtol=1e-4)
    # AdamW's first step has the length of the rate, in the direction of the sign.
    torch.testing.assert_close(net[1].bias.detach(), before["1.bias"] - 0.1 * gradient["1.bias"].sign())


def test_entries_of_all_shapes_move_by_the_rate() -> None:
    for shape in ((8, 8), (4, 64), (64, 4)):
        weight = nn.Linear(shape[1], shape[0], bias=False)
        optimiser = Muon(parameter_groups(weight, lr=0.01, weight_decay=0.0), lr=0.01)
        before = weight.weight.detach().clone()
        weight.weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        optimiser.step()
        moved = (weight.weight.detach() - before).square().mean().sqrt()
        assert float(moved) == pytest.approx(0.2 * 0.01, rel=0.3)
