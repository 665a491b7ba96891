"""Running couplings and vertices: values at known scales, and what the Standard Model allows."""

from __future__ import annotations

import itertools

import pytest
import torch

from lpm.data.fields import OBJECT_TYPES
from lpm.physics.couplings import (
    COUPLINGS,
    M_B,
    M_TOP,
    M_Z,
    OBJECTS,
    alpha_em,
    alpha_strong,
    alpha_weak,
    strengths,
    vertices,
)


def test_objects_are_those_that_events_name() -> None:
    assert OBJECTS == OBJECT_TYPES


@pytest.mark.parametrize(
    ("q", "strong", "em"), [(M_Z, 0.118, 1 / 127.9), (M_TOP, 0.1081, 1 / 127.0), (10.0, 0.173, 1 / 131.0)]
)
def test_values_at_known_scales(q: float, strong: float, em: float) -> None:
    """At the top mass α_s is 0.108 (Review of Particle Physics), at 10 GeV 0.178 with more loops."""
    at = torch.tensor(q, dtype=torch.float64)
    assert float(alpha_strong(at)) == pytest.approx(strong, rel=2e-3)
    assert float(alpha_em(at)) == pytest.approx(em, rel=2e-3)


@pytest.mark.parametrize(("coupling", "sign"), [(alpha_strong, -1), (alpha_em, 1), (alpha_weak, -1)])
def test_couplings_run_the_right_way_and_without_steps(coupling, sign: int) -> None:  # type: ignore[no-untyped-def]
    q = torch.logspace(-2, 4, 4000, dtype=torch.float64)
    values = coupling(q)
    assert bool((sign * values.diff() >= 0).all())
    assert float(values.diff().abs().max() / values.min()) < 0.01
    assert bool(((values > 0) & (values < 0.3)).all())
    for threshold in (M_B, M_Z, M_TOP):
        below, above = coupling(torch.tensor([threshold * (1 - 1e-9), threshold * (1 + 1e-9)], dtype=torch.float64))
        assert float(below) == pytest.approx(float(above), rel=1e-6)


def test_who_couples_to_whom() -> None:
    table = vertices()
    assert torch.equal(table, table.transpose(0, 1))
    allowed = {
        frozenset((a, b)): {c for c, x in zip(COUPLINGS, table[i, j].tolist(), strict=True) if x > 0}
        for (i, a), (j, b) in itertools.product(enumerate(OBJECTS), repeat=2)
    }
    assert allowed[frozenset(("jet",))] == {"strong", "electromagnetic", "weak"}
    assert allowed[frozenset(("jet", "b_jet"))] == {"strong", "weak"}
    assert allowed[frozenset(("electron", "positron"))] == {"electromagnetic", "weak"}
    assert allowed[frozenset(("muon", "photon"))] == {"electromagnetic"}
    assert allowed[frozenset(("antimuon", "met"))] == {"weak"}
    none = [("electron",), ("electron", "muon"), ("electron", "antimuon"), ("photon",), ("jet", "muon"), ("jet", "met"),
            ("photon", "met"), ("met",), ("b_jet", "positron")]  # fmt: skip
    assert all(not allowed[frozenset(pair)] for pair in none)
    assert float(table[-1].abs().sum()) == 0  # of no known kind


def test_strength_is_charge_times_coupling_at_the_scale() -> None:
    b, photon = (torch.tensor(OBJECTS.index(n)) for n in ("b_jet", "photon"))
    q = torch.tensor([5.0, 500.0], dtype=torch.float64)
    found = strengths(b.expand(2), photon.expand(2), q)
    torch.testing.assert_close(found[:, 1], alpha_em(q) / 9, rtol=1e-6, atol=0)
    assert float(found[:, [0, 2]].abs().max()) == 0
