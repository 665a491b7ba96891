"""Residues, primes and the way back to rational numbers."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpm.theory.modular import PRIMES, Residue, check_prime, is_prime, join, reconstruct, residue

P = PRIMES[0]
_fractions = st.builds(Fraction, st.integers(-(10**8), 10**8), st.integers(1, 10**8))


def test_primes_are_those_of_the_sieve() -> None:
    sieve = [True] * 2000
    for i in range(2, 45):
        sieve[i * i :: i] = [False] * len(sieve[i * i :: i])
    assert [n for n in range(2, 2000) if is_prime(n)] == [n for n in range(2, 2000) if sieve[n]]
    assert all(map(is_prime, PRIMES))
    assert not is_prime(3215031751)  # passes for the bases 2, 3, 5 and 7
    assert not is_prime(PRIMES[-1] * PRIMES[-1])


@pytest.mark.parametrize("p", [2, 1001, 2**63 + 29, -7, 0])
def test_what_is_no_modulus_is_refused(p: int) -> None:
    with pytest.raises(ValueError, match="expected an odd prime below"):
        check_prime(p)


@given(_fractions, _fractions)
def test_residues_follow_fractions(a: Fraction, b: Fraction) -> None:
    x, y = Residue(residue(a, P), P), Residue(residue(b, P), P)
    assert (x + y).value == residue(a + b, P)
    assert (x - y).value == residue(a - b, P)
    assert (x * y).value == residue(a * b, P)
    assert (-x).value == residue(-a, P)
    assert (x**3).value == residue(a**3, P)
    if b:
        assert (x / y).value == residue(a / b, P)
        assert (y**-2).value == residue(b**-2, P)
    else:
        with pytest.raises(ZeroDivisionError):
            x / y


@given(_fractions)
def test_small_fractions_come_back(a: Fraction) -> None:
    assert reconstruct(residue(a, P), P) == a


@given(st.builds(Fraction, st.integers(-(10**25), 10**25), st.integers(1, 10**25)))
def test_large_fractions_come_back_from_three_primes(a: Fraction) -> None:
    value, modulus = join([residue(a, p) for p in PRIMES[:3]], PRIMES[:3])
    assert reconstruct(value, modulus) == a


def test_a_pole_modulo_the_prime_is_said() -> None:
    with pytest.raises(ZeroDivisionError, match="no value modulo 7"):
        residue(Fraction(1, 14), 7)
