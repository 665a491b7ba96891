"""The Lorentz-equivariant body: the answer is the same in every inertial frame, or in those that it is told to keep."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lpm.model.sets import LorentzConfig
from lpm.model.sets.lorentz import Lorentz, square

OFFSETS = torch.tensor([0, 12, 13, 13, 30])


def boost(axis: int, rapidity: float) -> Tensor:
    """A matrix that acts on (px, py, pz, E)."""
    out = torch.eye(4, dtype=torch.float64)
    out[axis, axis] = out[3, 3] = math.cosh(rapidity)
    out[axis, 3] = out[3, axis] = math.sinh(rapidity)
    return out


def turn(a: int, b: int, angle: float) -> Tensor:
    """A rotation in the plane of two axes."""
    out = torch.eye(4, dtype=torch.float64)
    out[a, a] = out[b, b] = math.cos(angle)
    out[a, b], out[b, a] = -math.sin(angle), math.sin(angle)
    return out


FRAMES = {
    "turned about the beam": (turn(0, 1, 2.0), {"lorentz", "boost", "rotation"}),
    "boosted along the beam": (boost(2, 0.8), {"lorentz", "boost"}),
    "boosted and turned about the beam": (boost(2, -0.5) @ turn(0, 1, -1.0), {"lorentz", "boost"}),
    "boosted across": (boost(0, 0.7), {"lorentz"}),
    "turned across": (turn(0, 2, 1.0), {"lorentz"}),
    "anyhow": (boost(1, 1.2) @ turn(1, 2, 0.4) @ boost(2, -2.0) @ turn(0, 1, 3.0), {"lorentz"}),
}


def made(symmetry: str) -> Lorentz:
    torch.manual_seed(0)
    body = LorentzConfig(symmetry=symmetry).tiny().make(2).double()  # type: ignore[arg-type]
    for p in body.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return body


def event() -> tuple[Tensor, Tensor]:
    """Features that no frame changes, and particles of 0 to 5 GeV of mass; one event has a single one, one has none."""
    g = torch.Generator().manual_seed(1)
    p = torch.randn(30, 3, generator=g, dtype=torch.float64) * 30 + torch.tensor([80.0, 0.0, 20.0])
    m = 5 * torch.rand(30, generator=g, dtype=torch.float64)
    return torch.randn(30, 2, generator=g, dtype=torch.float64), torch.cat(
        [p, (p.square().sum(1) + m**2).sqrt()[:, None]], 1
    )


@pytest.mark.parametrize("symmetry", ["lorentz", "boost", "rotation"])
@pytest.mark.parametrize("frame", FRAMES)
@torch.no_grad()
def test_the_answer_in_another_frame(frame: str, symmetry: str) -> None:
    body, (features, p), (matrix, kept) = made(symmetry), event(), FRAMES[frame]
    token = torch.randn(1, body.config.size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (rows, events), (rows2, events2) = (body(features, q, OFFSETS, token) for q in (p, p @ matrix.T))
    assert float(events.std()) > 0.1
    if symmetry in kept:
        torch.testing.assert_close(events, events2, atol=1e-8, rtol=0)
        torch.testing.assert_close(rows, rows2, atol=1e-8, rtol=0)
    else:
        assert float((events - events2).abs().max()) > 1e-4


def test_momenta_matter() -> None:
    body, (features, p) = made("lorentz"), event()
    token = torch.zeros(1, body.config.size, dtype=torch.float64)
    other = p.clone()
    other[3, :3] = -other[3, :3]
    assert not torch.allclose(body(features, p, OFFSETS, token)[1], body(features, other, OFFSETS, token)[1], atol=1e-4)


def test_single_precision_is_close_to_double() -> None:
    """Jets of a TeV: components are large where products are not."""
    body, (features, p) = made("rotation"), event()
    p = p @ boost(0, 2.0).T
    token = torch.zeros(1, body.config.size, dtype=torch.float64)
    double = body(features, p, OFFSETS, token)[1]
    single = body.float()(features.float(), p.float(), OFFSETS, token.float())[1]
    torch.testing.assert_close(single.double(), double, atol=2e-2, rtol=0)


def test_half_precision_of_autocast_is_kept_out() -> None:
    body, (features, p) = made("rotation").float(), event()
    token = torch.zeros(1, body.config.size)
    whole = body(features.float(), p.float(), OFFSETS, token)[1]
    with torch.autocast("cpu", torch.bfloat16):
        half = body(features.float(), p.float(), OFFSETS, token)[1]
    assert torch.equal(half, whole)


def test_products_of_vectors() -> None:
    v = torch.tensor([[[1.0, 2.0, 3.0, 10.0]]])
    assert square(v, v).item() == 100 - 14


def test_heads_must_divide_the_widths() -> None:
    with pytest.raises(ValueError, match="must be multiples of heads 4"):
        LorentzConfig(vectors=6)
