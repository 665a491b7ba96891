"""Whole numbers modulo a prime: where identities are checked exactly and fast.

A rational number a/b of not too large numerator and denominator is known from its residue (`reconstruct`); residues
modulo several primes are joined by the Chinese remainder theorem (`join`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["LARGEST", "PRIMES", "Residue", "check_prime", "is_prime", "join", "reconstruct", "residue"]

LARGEST = 2**63
"""Primes lie below this, so that sums of two residues fit into a machine word."""

PRIMES = (
    9223372036854775783,
    9223372036854775643,
    9223372036854775549,
    9223372036854775507,
    9223372036854775433,
    9223372036854775421,
    9223372036854775417,
    9223372036854775399,
)
"""The largest primes below `LARGEST`."""

_WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
"""Enough to tell all primes below 3.3e24 (Sorenson, Webster, Math. Comp. 86 (2017) 985)."""


def is_prime(n: int) -> bool:
    """Whether n < 2⁶⁴ is prime, by the test of Miller and Rabin with bases that leave no doubt.

    Example:
        >>> is_prime(1009), is_prime(2**31 - 1), is_prime(1001)
        (True, True, False)
    """
    if n < 2 or any(n % p == 0 for p in _WITNESSES):
        return n in _WITNESSES
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in _WITNESSES:
        x = pow(base, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def check_prime(p: int) -> int:
    """The same prime.

    Raises:
        ValueError: If it is even, no prime, or too large.
    """
    if not 2 < p < LARGEST or not is_prime(p):
        raise ValueError(f"prime {p}: expected an odd prime below 2^63, such as {PRIMES[0]}")
    return p


@dataclass(frozen=True)
class Residue:
    """A number modulo a prime, with the arithmetic of a field.

    Example:
        >>> x = Residue(17, 1009) / 2
        >>> x, x * 2
        (Residue(value=513, prime=1009), Residue(value=17, prime=1009))
    """

    value: int
    prime: int

    def _of(self, value: int) -> Residue:
        return Residue(value % self.prime, self.prime)

    def __add__(self, other: Residue | int) -> Residue:
        return self._of(self.value + _int(other))

    def __sub__(self, other: Residue | int) -> Residue:
        return self._of(self.value - _int(other))

    def __mul__(self, other: Residue | int) -> Residue:
        return self._of(self.value * _int(other))

    def __truediv__(self, other: Residue | int) -> Residue:
        divisor = _int(other) % self.prime
        if not divisor:
            raise ZeroDivisionError(f"division by zero modulo {self.prime}")
        return self._of(self.value * pow(divisor, -1, self.prime))

    def __pow__(self, power: int) -> Residue:
        if power < 0 and not self.value:
            raise ZeroDivisionError(f"division by zero modulo {self.prime}")
        return self._of(pow(self.value, power, self.prime))

    def __neg__(self) -> Residue:
        return self._of(-self.value)


def _int(x: Residue | int) -> int:
    return x.value if isinstance(x, Residue) else x


def residue(x: Fraction | int, prime: int) -> int:
    """A rational number modulo a prime.

    Raises:
        ZeroDivisionError: If the prime divides the denominator.

    Example:
        >>> residue(Fraction(1, 2), 1009)
        505
    """
    x = Fraction(x)
    if x.denominator % prime == 0:
        raise ZeroDivisionError(f"{x} has no value modulo {prime}")
    return x.numerator * pow(x.denominator, -1, prime) % prime


def join(residues: Sequence[int], primes: Sequence[int]) -> tuple[int, int]:
    """The residue modulo the product of different primes, and that product.

    Example:
        >>> join([2, 3], [5, 7])
        (17, 35)
    """
    value, modulus = 0, 1
    for r, p in zip(residues, primes, strict=True):
        value += modulus * ((r - value) * pow(modulus, -1, p) % p)
        modulus *= p
    return value, modulus


def reconstruct(value: int, modulus: int) -> Fraction | None:
    """The fraction a/b with this residue and |a|, b ≤ √(modulus/2); there is at most one, or None.

    Wang, ACM SIGSAM Bulletin 16 (1982) 2: Euclid's algorithm, stopped half-way.

    Example:
        >>> reconstruct(residue(Fraction(-22, 7), 1_000_003), 1_000_003)
        Fraction(-22, 7)
    """
    bound = math.isqrt(modulus // 2)
    r, s = (modulus, value % modulus), (0, 1)
    while r[1] > bound:
        q = r[0] // r[1]
        r, s = (r[1], r[0] - q * r[1]), (s[1], s[0] - q * s[1])
    if not s[1] or abs(s[1]) > bound or math.gcd(r[1], s[1]) != 1:
        return None
    return Fraction(r[1], s[1])
