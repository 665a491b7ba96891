r"""Sparse linear equations modulo a prime, at machine speed.

Rows are taken one by one, the simplest first. A row is reduced by what is known, from its most complex unknown
downwards; what remains says what its most complex unknown is in terms of simpler ones. This is Gaussian elimination in
the order of Laporta, hep-ph/0102033. A row under reduction lies in a dense array, with a heap of the unknowns that it
has touched, so that a step costs what the row it adds has terms.

Products modulo a prime below :math:`2^{63}` are those of Montgomery, Math. Comp. 44 (1985) 519.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lpm.theory.modular import check_prime

__all__ = ["Rows", "Solved", "check", "solve"]

Whole = NDArray[np.int64]
Word = NDArray[np.uint64]

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


@dataclass(frozen=True, eq=False)
class Rows:
    """Sparse rows over ordered unknowns.

    Args:
        starts: (R + 1,) where each row starts.
        unknowns: (T,) number of the unknown of each term; higher ones are more complex.
        values: (T,) residues.
    """

    starts: Whole
    unknowns: Whole
    values: Word

    def __len__(self) -> int:
        return len(self.starts) - 1


@njit(cache=True, inline="always")
def _high(a: Any, b: Any) -> Any:
    """The upper word of a product."""
    a0, a1, b0, b1 = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    low, mid, other = a0 * b0, a1 * b0, a0 * b1
    carry = ((low >> _HALF) + (mid & _LOW) + (other & _LOW)) >> _HALF
    return a1 * b1 + (mid >> _HALF) + (other >> _HALF) + carry


@njit(cache=True, inline="always")
def _times(a: Any, b: Any, p: Any, inverse: Any) -> Any:
    """A b / 2⁶⁴ modulo p, where `inverse` is 1/p modulo 2⁶⁴."""
    high, low = _high(a, b), a * b
    taken = _high(low * inverse, p)
    return high - taken if high >= taken else high - taken + p


@njit(cache=True)
def _power(a: Any, n: Any, one: Any, p: Any, inverse: Any) -> Any:
    out, zero, single = one, np.uint64(0), np.uint64(1)
    while n > zero:
        if n & single:
            out = _times(out, a, p, inverse)
        a = _times(a, a, p, inverse)
        n = n >> single
    return out


@njit(cache=True, inline="always")
def _push(heap: Any, size: Any, key: Any) -> Any:
    """Put a key on a heap whose top is the largest; its new size."""
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if heap[parent] >= key:
            break
        heap[i] = heap[parent]
        i = parent
    heap[i] = key
    return size + 1


@njit(cache=True, inline="always")
def _sink(heap: Any, size: Any) -> Any:
    """Take the top, `heap[0]`, off; the new size."""
    size -= 1
    key, i = heap[size], 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= key:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = key
    return size


@njit(cache=True)
def _reduce(
    unknowns: Any, values: Any, begin: Any, end: Any, known: Any, length: Any, cols: Any, vals: Any,
    dense: Any, heap: Any, marked: Any, out_cols: Any, out_vals: Any, put_cols: Any, put_vals: Any,
    p: Any, inverse: Any,
) -> Any:  # fmt: skip
    """A row once all that is known has been put in, the most complex unknown first: how many terms, how many put in."""
    size, count, puts, zero = 0, 0, 0, np.uint64(0)
    for t in range(begin, end):
        c = unknowns[t]
        if not marked[c]:
            marked[c] = True
            size = _push(heap, size, c)
        x = dense[c] + values[t]
        dense[c] = x - p if x >= p else x
    while size:
        c, x = heap[0], dense[heap[0]]
        size = _sink(heap, size)
        marked[c] = False
        dense[c] = zero
        if x == zero:
            continue
        if known[c] < 0:
            out_cols[count], out_vals[count] = c, x
            count += 1
            continue
        put_cols[puts], put_vals[puts] = c, x
        puts += 1
        for t in range(known[c], known[c] + length[c]):
            other = cols[t]
            if not marked[other]:
                marked[other] = True
                size = _push(heap, size, other)
            y = dense[other] + _times(x, vals[t], p, inverse)
            dense[other] = y - p if y >= p else y
    return count, puts


@njit(cache=True)
def _grown(cols: Any, vals: Any, used: Any, more: Any) -> Any:
    """The same two arrays, with room for more."""
    if used + more <= len(cols):
        return cols, vals
    new_cols, new_vals = np.empty(2 * (used + more), np.int64), np.empty(2 * (used + more), np.uint64)
    new_cols[:used], new_vals[:used] = cols[:used], vals[:used]
    return new_cols, new_vals


@njit(cache=True)
def _eliminate(
    starts: Any, unknowns: Any, values: Any, order: Any, number: Any, p: Any, inverse: Any, one: Any, most: Any
) -> Any:
    """What each unknown is in terms of simpler ones, and how each was found."""
    known, length = np.full(number, -1, np.int64), np.zeros(number, np.int64)
    cols, vals = np.empty(4 * len(unknowns) + 16, np.int64), np.empty(4 * len(unknowns) + 16, np.uint64)
    used_cols, used_vals = np.empty(4 * len(unknowns) + 16, np.int64), np.empty(4 * len(unknowns) + 16, np.uint64)
    found, source, factors = np.empty(number, np.int64), np.empty(number, np.int64), np.empty(number, np.uint64)
    ends = np.zeros(number + 1, np.int64)
    dense, marked, heap = np.zeros(number, np.uint64), np.zeros(number, np.bool_), np.empty(number + 1, np.int64)
    out_cols, out_vals = np.empty(number, np.int64), np.empty(number, np.uint64)
    put_cols, put_vals = np.empty(number, np.int64), np.empty(number, np.uint64)
    terms, steps, rank = 0, 0, 0
    for row in order:
        count, puts = _reduce(
            unknowns, values, starts[row], starts[row + 1], known, length, cols, vals,
            dense, heap, marked, out_cols, out_vals, put_cols, put_vals, p, inverse,
        )  # fmt: skip
        if count == 0:
            continue
        if terms + count + steps + puts > most:
            rank = -1
            break
        cols, vals = _grown(cols, vals, terms, count)
        used_cols, used_vals = _grown(used_cols, used_vals, steps, puts)
        used_cols[steps : steps + puts], used_vals[steps : steps + puts] = put_cols[:puts], put_vals[:puts]
        steps += puts
        factor = _power(out_vals[0], p - np.uint64(2), one, p, inverse)
        known[out_cols[0]], length[out_cols[0]] = terms, count - 1
        for i in range(1, count):
            cols[terms], vals[terms] = out_cols[i], p - _times(out_vals[i], factor, p, inverse)
            terms += 1
        found[rank], source[rank], factors[rank], ends[rank + 1] = out_cols[0], row, factor, steps
        rank += 1
    return known, length, cols[:terms], vals[:terms], found, source, factors, ends, used_cols, used_vals, rank


@njit(cache=True)
def _witness(
    weights: Any, found: Any, source: Any, factors: Any, ends: Any, cols: Any, vals: Any, rank: Any, rows: Any,
    p: Any, inverse: Any,
) -> Any:  # fmt: skip
    """(R,) factor of each row, from the (U,) factors of what is known; goes back from what was found last."""
    out, zero = np.zeros(rows, np.uint64), np.uint64(0)
    for k in range(rank - 1, -1, -1):
        x = weights[found[k]]
        if x == zero:
            continue
        x = _times(x, factors[k], p, inverse)
        out[source[k]] = x
        for t in range(ends[k], ends[k + 1]):
            y = weights[cols[t]] + (p - _times(x, vals[t], p, inverse))
            weights[cols[t]] = y - p if y >= p else y
    return out


class Solved:
    """What elimination has found.

    Attributes:
        rank: Number of unknowns that are known in terms of others.
        terms: Number of terms of all that is known.
    """

    def __init__(self, rows: Rows, number: int, prime: int, order: Whole, memory: int) -> None:
        self.prime, self.number, self.rows = check_prime(prime), number, rows
        p, word = np.uint64(prime), 2**64
        self._p, self._inverse = p, np.uint64(pow(prime, -1, word))
        self._one, self._square = np.uint64(word % prime), np.uint64(word * word % prime)
        found = _eliminate(
            rows.starts, rows.unknowns, self._in(rows.values), order, number, p, self._inverse, self._one, memory // 32
        )
        *self._known, self.rank = found
        if self.rank < 0:
            raise MemoryError(f"the equations need more than {memory / 2**30:.1f} GiB; choose fewer seeds")
        self.terms = len(self._known[2])

    def known(self, unknown: int) -> bool:
        """Whether an unknown is known in terms of others."""
        return bool(self._known[0][unknown] >= 0)

    def reduce(self, unknowns: Whole, values: Word) -> dict[int, int]:
        """{unknown: residue} of a sum of unknowns, in terms of those that are not known.

        Args:
            unknowns: (T,) their numbers.
            values: (T,) residues.
        """
        (cols, vals), _ = self._put_in(unknowns, values)
        return dict(zip(cols.tolist(), self._out(vals).tolist(), strict=True))

    def witness(self, unknowns: Whole, values: Word) -> dict[int, int]:
        """{row: residue}: the sum of the rows times these is the given sum minus what `reduce` makes of it."""
        _, (cols, vals) = self._put_in(unknowns, values)
        weights = np.zeros(self.number, np.uint64)
        weights[cols] = vals
        found, source, scale, ends, cols, vals = self._known[4:]
        factors = self._out(
            _witness(weights, found, source, scale, ends, cols, vals, self.rank, len(self.rows), self._p, self._inverse)
        )
        return {r: int(factors[r]) for r in np.flatnonzero(factors).tolist()}

    def _put_in(self, unknowns: Whole, values: Word) -> tuple[tuple[Whole, Word], tuple[Whole, Word]]:
        """What a sum becomes, and what is put in on the way."""
        dense, marked = np.zeros(self.number, np.uint64), np.zeros(self.number, np.bool_)
        heap, cols, others = (np.empty(self.number + 1, np.int64) for _ in range(3))
        vals, factors = (np.empty(self.number + 1, np.uint64) for _ in range(2))
        known, length, known_cols, known_vals = self._known[:4]
        count, puts = _reduce(
            unknowns, self._in(values), 0, len(unknowns), known, length, known_cols, known_vals,
            dense, heap, marked, cols, vals, others, factors, self._p, self._inverse,
        )  # fmt: skip
        return (cols[:count], vals[:count]), (others[:puts], factors[:puts])

    def _in(self, values: Word) -> Word:
        return np.asarray(_montgomery(values, self._square, self._p, self._inverse))

    def _out(self, values: Word) -> Word:
        return np.asarray(_montgomery(values, np.uint64(1), self._p, self._inverse))


def check(rows: Rows, witness: dict[int, int], prime: int) -> dict[int, int]:
    """{unknown: residue} of the sum of rows times the given factors, in plain whole numbers.

    Args:
        rows: The rows.
        witness: {row: factor}.
        prime: The modulus.

    Example:
        >>> rows = Rows(np.array([0, 2]), np.array([1, 0]), np.array([2, 3], dtype=np.uint64))
        >>> check(rows, {0: 5}, 7)
        {1: 3, 0: 1}
    """
    out: dict[int, int] = {}
    for row, factor in witness.items():
        terms = slice(int(rows.starts[row]), int(rows.starts[row + 1]))
        for unknown, value in zip(rows.unknowns[terms].tolist(), rows.values[terms].tolist(), strict=True):
            out[unknown] = (out.get(unknown, 0) + factor * value) % prime
    return {u: v for u, v in out.items() if v}


@njit(cache=True)
def _montgomery(values: Any, factor: Any, p: Any, inverse: Any) -> Any:
    """Each value times a factor, over 2⁶⁴."""
    out = np.empty(len(values), np.uint64)
    for i in range(len(values)):
        out[i] = _times(values[i], factor, p, inverse)
    return out


def solve(rows: Rows, number: int, prime: int, memory: int = 2**34) -> Solved:
    """Eliminate, the rows with the simplest unknowns first.

    Args:
        rows: Each a sum of unknowns that vanishes.
        number: Number of unknowns.
        prime: The modulus.
        memory: Most bytes for what is found.

    Raises:
        ValueError: If the modulus is no prime.
        MemoryError: If what is found needs more.

    Example:
        >>> x = np.array  # 2 u1 + 3 u0 = 0 and u2 - u1 = 0, modulo 7
        >>> rows = Rows(x([0, 2, 4]), x([1, 0, 2, 1]), x([2, 3, 1, 6], dtype=np.uint64))
        >>> solve(rows, 3, 7).reduce(x([2]), x([1], dtype=np.uint64))  # u2 = -3/2 u0 = 2 u0
        {0: 2}
    """
    lengths = np.diff(rows.starts)
    top = np.full(len(rows), -1, np.int64)
    filled = lengths > 0
    top[filled] = np.maximum.reduceat(rows.unknowns, rows.starts[:-1][filled]) if filled.any() else top[filled]
    return Solved(rows, number, prime, np.lexsort((lengths, top)), memory)
