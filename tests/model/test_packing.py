"""Layout, attention and bias: packed results equal the plain computation, event by event."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import TypeCheckError

from lpm.data.batch import Batch
from lpm.model.attention import attend, plan
from lpm.model.backbone import Backbone, BackboneConfig
from lpm.model.packing import Layout
from lpm.model.pairs import PairBias, PairBiasConfig, pair_features


def test_layout_of_two_collections() -> None:
    layout = Layout.of({"a": torch.tensor([0, 2, 2]), "b": torch.tensor([0, 1, 3])}, prefix=2)
    assert layout.offsets.tolist() == [0, 5, 9]
    assert layout.prefix.tolist() == [[0, 1], [5, 6]]
    assert layout.rows["a"].tolist() == [2, 3]
    assert layout.rows["b"].tolist() == [4, 7, 8]
    assert layout.ends["a"].tolist() == [3, 6]
    assert layout.ends["b"].tolist() == [4, 8]


@pytest.mark.parametrize("causal", [False, True])
def test_attention_equals_one_event_at_a_time(causal: bool) -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([5, 1, 17, 3, 9, 2, 2, 30, 4, 11])
    offsets = torch.cat([torch.zeros(1).long(), lengths.cumsum(0)])
    qkv = torch.randn(int(offsets[-1]), 3, 2, 8, requires_grad=True)
    out = attend(qkv, plan(offsets), causal)
    expected = torch.cat([
        F.scaled_dot_product_attention(*part.permute(1, 2, 0, 3), is_causal=causal).transpose(0, 1)
        for part in qkv.split(lengths.tolist())
    ])  # fmt: skip
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)
    probe = torch.randn_like(out)
    (a,) = torch.autograd.grad((out * probe).sum(), qkv)
    (b,) = torch.autograd.grad((expected * probe).sum(), qkv)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_pair_features_against_the_definition() -> None:
    a, b = torch.tensor([3.0, 0.2, 3.0]), torch.tensor([5.0, -0.1, -3.1])
    dphi = 3.0 + 3.1 - 2 * torch.pi
    delta = (0.3**2 + dphi**2) ** 0.5
    m2 = 2 * 15 * (torch.cosh(torch.tensor(0.3)) - torch.cos(torch.tensor(dphi)))
    expected = torch.tensor([delta, 3 * delta, 3 / 8, float(m2)]).log()
    torch.testing.assert_close(pair_features(a, b), expected, atol=1e-4, rtol=1e-4)


def test_bias_is_symmetric_and_blind_to_what_is_not_real(toy_jets: Callable[..., Batch]) -> None:
    torch.manual_seed(0)
    config = PairBiasConfig(of="particle", pt="particle.pt", eta="particle.deta", phi="particle.dphi")
    bias = PairBias(config, heads=3)
    torch.nn.init.normal_(bias.net[-1].weight)
    offsets = torch.tensor([0, 4, 9])
    kinematics = torch.rand(9, 3) + 0.1
    real = torch.tensor([False, True, True, True, False, True, True, True, True])
    for part in bias(kinematics, real, plan(offsets), causal=False):
        seen = part.masked_fill(part == float("-inf"), 0.0)
        valid = (part[0, 0, 0] != float("-inf")).sum()
        inner = seen[..., :valid, :valid]
        torch.testing.assert_close(inner, inner.transpose(2, 3))
        assert bool((seen[..., 0, :] == 0).all()), "the first position is no particle and must feel no bias"
        assert bool((inner[..., 1:, 1:] != 0).any())


def test_no_events_is_nothing_to_attend_to() -> None:
    empty = torch.zeros(0, 3, 2, 8)
    assert attend(empty, plan(torch.zeros(1).long()), causal=True).shape == (0, 2, 8)


def test_the_packed_kernel_is_given_half_precision() -> None:
    """It takes nothing else; norms of queries and keys alone would bring single precision back under autocast."""
    block = Backbone(BackboneConfig(width=16, depth=1, heads=2)).blocks[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert block._qkv(torch.randn(5, 16)).dtype == torch.bfloat16
    assert block._qkv(torch.randn(5, 16)).dtype == torch.float32


def test_layout_knows_its_size() -> None:
    layout = Layout.of({"a": torch.tensor([0, 2, 2]), "b": torch.tensor([0, 1, 3])}, prefix=2)
    assert layout.size == int(layout.offsets[-1])


def test_shapes_are_checked_under_pytest() -> None:
    with pytest.raises(TypeCheckError, match="qkv_S3HE"):
        attend(torch.randn(5, 2, 2, 8), plan(torch.tensor([0, 5])), causal=True)
    with pytest.raises(TypeCheckError, match="parameters of"):
        pair_features(torch.rand(4, 3), torch.rand(5, 3))
