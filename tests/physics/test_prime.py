"""The matrix products against the general polynomials, jet by jet, and their limits."""

from __future__ import annotations

import pytest
import torch

from lpm.physics.energyflow import PRIME_D3, energy_flow
from lpm.physics.prime import PRIMES, prime_flow


def jets(lengths: list[int]) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(1)
    n = sum(lengths)
    pt = torch.rand(n, generator=g) + 0.1
    return pt, torch.randn(n, generator=g), 3 * torch.randn(n, generator=g), torch.tensor(lengths)


def test_equals_the_general_polynomials() -> None:
    pt, eta, phi, lengths = jets([3, 0, 7, 1, 5])
    found = prime_flow(pt, eta, phi, lengths)
    assert tuple(found) == PRIMES == tuple(PRIME_D3)
    for i, (p, e, f) in enumerate(zip(*(x.split(lengths.tolist()) for x in (pt, eta, phi)), strict=True)):
        if len(p):
            one = energy_flow(p[None], e[None], f[None], torch.ones(1, len(p)).bool())
            for name in PRIMES:
                assert found[name][i].item() == pytest.approx(one[name].item(), rel=1e-9, abs=1e-12)
        else:
            assert all(found[name][i] == 0 for name in PRIMES)


def test_does_not_depend_on_the_size_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    given = jets([4, 9, 2, 6])
    whole = prime_flow(*given)
    monkeypatch.setattr("lpm.physics.prime.PAIRS", 1)
    alone = prime_flow(*given)
    assert all(torch.allclose(whole[n], alone[n]) for n in PRIMES)


def test_lengths_must_add_up() -> None:
    pt, eta, phi, lengths = jets([2, 3])
    with pytest.raises(ValueError, match="add up to 5 particles, got 6"):
        prime_flow(pt, eta, phi, lengths + torch.tensor([1, 0]))
