"""Elimination modulo a prime beside python-flint, and witnesses that prove what it says."""

import numpy as np
import pytest
from flint import nmod_mat

from lpm.theory.modular import PRIMES
from lpm.theory.sparse import Rows, check, solve


def drawn(seed: int, rows: int, unknowns: int, prime: int, terms: int = 4) -> Rows:
    rng = np.random.default_rng(seed)
    cols = [np.sort(rng.choice(unknowns, rng.integers(0, terms + 1), replace=False))[::-1] for _ in range(rows)]
    starts = np.cumsum([0, *map(len, cols)])
    flat = np.concatenate(cols).astype(np.int64)
    return Rows(starts, flat, rng.integers(1, prime, len(flat), dtype=np.uint64))


def dense(rows: Rows, unknowns: int, prime: int) -> list[list[int]]:
    """Reduced row echelon form, by flint, the most complex unknown first."""
    matrix = nmod_mat(len(rows), unknowns, prime)
    for r in range(len(rows)):
        for t in range(int(rows.starts[r]), int(rows.starts[r + 1])):
            matrix[r, unknowns - 1 - int(rows.unknowns[t])] = int(rows.values[t])
    form, rank = matrix.rref()
    return [[int(form[r, c]) for c in reversed(range(unknowns))] for r in range(rank)]


@pytest.mark.parametrize("prime", [3, 1009, 2**31 - 1, PRIMES[0]])
@pytest.mark.parametrize(("rows", "unknowns"), [(40, 30), (25, 30), (60, 15), (5, 40)])
def test_it_finds_what_flint_finds(rows: int, unknowns: int, prime: int) -> None:
    for seed in range(4):
        system = drawn(seed, rows, unknowns, prime)
        solved, echelon = solve(system, unknowns, prime), dense(system, unknowns, prime)
        assert solved.rank == len(echelon)
        for row in echelon:
            lead = max(c for c, v in enumerate(row) if v)
            assert solved.known(lead)
            found = solved.reduce(np.array([lead]), np.array([1], dtype=np.uint64))
            assert found == {c: prime - v for c, v in enumerate(row) if v and c != lead}


@pytest.mark.parametrize("prime", [1009, PRIMES[0]])
def test_witnesses_add_up(prime: int) -> None:
    for seed in range(10):
        system = drawn(seed, 60, 40, prime)
        solved, rng = solve(system, 40, prime), np.random.default_rng(seed)
        unknowns, values = rng.choice(40, 5, replace=False), rng.integers(1, prime, 5, dtype=np.uint64)
        result = solved.reduce(unknowns, values)
        wanted = dict(zip(unknowns.tolist(), values.tolist(), strict=True))
        for unknown, value in result.items():
            wanted[unknown] = (wanted.get(unknown, 0) - value) % prime
        assert check(system, solved.witness(unknowns, values), prime) == {u: v for u, v in wanted.items() if v}


def test_no_equations_leave_all_as_it_is() -> None:
    empty = Rows(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64))
    assert solve(empty, 3, 7).reduce(np.array([2]), np.array([5], dtype=np.uint64)) == {2: 5}


def test_too_little_memory_is_said() -> None:
    with pytest.raises(MemoryError, match="choose fewer seeds"):
        solve(drawn(0, 60, 40, 1009), 40, 1009, memory=64)
