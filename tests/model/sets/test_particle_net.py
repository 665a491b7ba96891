"""ParticleNet: equal to the published formula edge by edge, and of the published size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lpm.data.batch import Batch
from lpm.model.pair_terms import KINEMATIC, STANDARD_MODEL, PairTermsConfig
from lpm.model.sets import ParticleNetConfig
from lpm.model.sets.buckets import ByLength
from lpm.model.sets.neighbours import Neighbours, Room
from lpm.model.sets.particle_net import EdgeConv


def test_a_block_is_the_formula_of_the_paper() -> None:
    """The first layer is computed for each particle; here it is written out for each edge."""
    torch.manual_seed(0)
    block, x = EdgeConv(3, (5, 6), terms=0).double(), torch.randn(9, 3, dtype=torch.float64)
    near = Neighbours.of(x, Room.of(ByLength.of(torch.tensor([0, 2, 9])), k=4))
    own, other = x[near.own], x[near.other]
    edge = torch.cat([own, other - own], 1) @ block.first.weight.T
    edge = torch.nn.functional.batch_norm(edge, None, None, training=True).relu() @ block.layers[0].weight.T
    edge = torch.nn.functional.batch_norm(edge, None, None, training=True).relu()
    mean = torch.stack([edge[near.own == i].mean(0) for i in range(9)])
    skip = torch.nn.functional.batch_norm(x @ block.skip.weight.T, None, None, training=True)
    torch.testing.assert_close(block.train()(x, near, None), (skip + mean).relu())


def test_the_defaults_have_the_published_size() -> None:
    body = ParticleNetConfig().make(7)
    edges = sum(p.numel() for n, p in body.named_parameters() if n.startswith("blocks"))
    sizes = [(7, 64), (64, 128), (128, 256)]
    # three layers of edges, one of the shortcut, and two numbers a channel of each of their four norms
    assert edges == sum(2 * i * c + 2 * c * c + i * c + 8 * c for i, c in sizes)
    assert (body.config.neighbours, body.config.size) == (16, 256)


def test_terms_of_pairs_reach_the_edges(toy_jets: Callable[..., Batch]) -> None:
    torch.manual_seed(0)
    physics = PairTermsConfig(terms=KINEMATIC + STANDARD_MODEL, species="object.type")
    config = ParticleNetConfig(neighbours=3, blocks=((8, 8),), physics=physics)
    body = config.make(2).eval()
    features, offsets, token = torch.randn(6, 2), torch.tensor([0, 2, 6]), torch.zeros(1, 8)
    p = torch.tensor([[30.0, 10.0, 5.0, 40.0]]) * torch.rand(6, 1).add(0.5)
    p[:, 1] += torch.arange(6.0)
    a = body(features, p, offsets, token, torch.zeros(6, dtype=torch.int64))[1]
    b = body(features, p, offsets, token, torch.full((6,), 2))[1]  # six electrons share no vertex
    assert not torch.allclose(a, b)


@pytest.mark.parametrize("change", [{"neighbours": 0}, {"blocks": ()}, {"blocks": ((8,), ())}])
def test_bodies_of_nothing_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="at least one layer"):
        ParticleNetConfig(**change)  # type: ignore[arg-type]
