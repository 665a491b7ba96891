r"""Amplitudes of massless particles in spinor brackets: sums of products of ⟨ij⟩ and [ij], simplified and judged.

Brackets are antisymmetric, and three kinds of relations connect their products (Dixon, arXiv 1310.5353, section 2):

.. math:: \langle ij\rangle\langle kl\rangle - \langle ik\rangle\langle jl\rangle + \langle il\rangle\langle jk\rangle
          = 0, \qquad \sum_k \langle ik\rangle [kj] = 0, \qquad
          \sum_{a<b\in A} \langle ab\rangle [ab] = \sum_{a<b\notin A} \langle ab\rangle [ab],

the first for square brackets too. Each may be multiplied by any product of brackets, powers below zero included. A step
takes one term away with a relation in which it stands; it pays if most of the other terms are there already. This is
searched (`lpm.theory.engine`). Of four particles some relations have two terms only: what they make equal is written in
one way (`fold`). Which terms would be there is asked of all relations at once: products are added up as
numbers, a random one for each bracket, so that a product of products is a sum.

Two sums are equal if they are at random points of a finite field that conserve momentum (`value`): a false answer has a
chance of about the degree over the prime, 10⁻¹⁷.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lpm.theory.engine import Found, search
from lpm.theory.modular import PRIMES, reconstruct, residue
from lpm.theory.parse import parse

__all__ = [
    "Brackets",
    "Relation",
    "Step",
    "Sums",
    "equal",
    "example",
    "fold",
    "read",
    "relations",
    "simplify",
    "single",
    "tidy",
    "value",
    "weights",
]

Powers = tuple[int, ...]
"""Power of each bracket: ⟨12⟩, ⟨13⟩, …, ⟨23⟩, …, then the same for square brackets."""

_BRACKET = re.compile(r"[<⟨]\s*(\d+)\s*[\s,|]?\s*(\d+)\s*[>⟩]|\[\s*(\d+)\s*[\s,|]?\s*(\d+)\s*\]")


@lru_cache
def pairs(n: int) -> tuple[tuple[int, int], ...]:
    """Pairs of labels in the order of their brackets.

    Example:
        >>> pairs(3)
        ((1, 2), (1, 3), (2, 3))
    """
    return tuple(combinations(range(1, n + 1), 2))


def _place(n: int, i: int, j: int, square: bool) -> tuple[int, int]:
    """Place and sign of a bracket."""
    at = pairs(n).index((min(i, j), max(i, j)))
    return at + square * len(pairs(n)), 1 if i < j else -1


@dataclass(frozen=True)
class Brackets:
    """A sum of products of brackets of n particles: ((powers, coefficient), …), sorted, without zeros.

    Example:
        >>> print(read("<12><34> + <14><23>", 4))
        <12><34> + <14><23>
    """

    n: int
    terms: tuple[tuple[Powers, Fraction], ...]

    @classmethod
    def of(cls, n: int, terms: Iterable[tuple[Powers, Fraction]]) -> Brackets:
        """From terms in any order; equal products are added up."""
        out: dict[Powers, Fraction] = {}
        for m, c in terms:
            out[m] = out.get(m, Fraction(0)) + c
        return cls(n, tuple(sorted((m, c) for m, c in out.items() if c)))

    def __len__(self) -> int:
        return len(self.terms)

    def __str__(self) -> str:
        return self._text("<{}{}>", "[{}{}]", "^{}", ("{}/{}", "{}/({})"))

    def latex(self) -> str:
        """As LaTeX."""
        return self._text(r"\langle {} {} \rangle", "[{} {}]", "^{{{}}}", (r"\frac{{{}}}{{{}}}",) * 2)

    def _text(self, angle: str, square: str, power: str, fractions: tuple[str, str]) -> str:
        parts = []
        comma = "," if self.n > 9 and " " not in angle else ""
        names = [angle.format(i, f"{comma}{j}") for i, j in pairs(self.n)]
        names += [square.format(i, f"{comma}{j}") for i, j in pairs(self.n)]
        for m, c in sorted(self.terms, key=lambda t: [-e for e in t[0]]):
            high, low = (
                "".join(names[i] + (power.format(s * e) if s * e > 1 else "") for i, e in enumerate(m) if s * e > 0)
                for s in (1, -1)
            )
            fraction = fractions[sum(e < 0 for e in m) > 1]
            size = "" if abs(c) == 1 and high else f"{abs(c)}{'*' if high else ''}"
            parts.append(f"{'-' if c < 0 else '+'} {fraction.format(size + high, low) if low else size + high}")
        text = " ".join(parts) or "0"
        return text[2:] if text.startswith("+ ") else text.replace("- ", "-", 1)

    def __add__(self, other: Brackets) -> Brackets:
        return Brackets.of(self.n, [*self.terms, *other.terms])

    def __neg__(self) -> Brackets:
        return Brackets(self.n, tuple((m, -c) for m, c in self.terms))

    def __sub__(self, other: Brackets) -> Brackets:
        return self + -other

    def __mul__(self, other: Brackets) -> Brackets:
        return Brackets.of(self.n, [(_times(a, b), x * y) for a, x in self.terms for b, y in other.terms])

    def __truediv__(self, other: Brackets) -> Brackets:
        if not len(other):
            raise ZeroDivisionError("division by zero")
        if len(other) > 1:
            raise ValueError("a sum in a denominator; multiply it out, denominators are products of brackets")
        ((m, c),) = other.terms
        return self * Brackets(self.n, ((tuple(-e for e in m), 1 / c),))

    def __pow__(self, power: int) -> Brackets:
        one = Brackets(self.n, (((0,) * (2 * len(pairs(self.n))), Fraction(1)),))
        out = one
        for _ in range(abs(power)):
            out = out * self
        return out if power >= 0 else one / out


def _times(a: Powers, b: Powers) -> Powers:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def read(text: str, n: int) -> Brackets:
    """A sum of products of brackets from text: `<12>^3/(<23><34>[14]) - 2*[12]`. A sum in brackets is multiplied out.

    Args:
        text: Labels of two digits are set apart by a comma, `<1,12>`; ⟨ and ⟩ are read as < and >.
        n: Number of particles.

    Raises:
        ValueError: If the text is malformed, with the column; a label is no particle; terms differ in little group.
    """

    def name(found: re.Match[str]) -> str:
        # As long as what it stands for, so that columns of errors are those of the text.
        kind, digits = ("a", found.group(1, 2)) if found.group(1) else ("s", found.group(3, 4))
        return f"{kind}{digits[0]}_{digits[1]}".ljust(len(found.group()), "_")

    plain = _BRACKET.sub(lambda m: "\x00" + name(m), text)
    # Brackets that follow one another are multiplied.
    plain = re.sub(r"(?<=[\w)])\s*\x00", "*", plain).replace("\x00", "")
    form = parse(plain)
    values = {}
    for word in form.names:
        parts = re.fullmatch(r"([as])(\d+)_(\d+)_*", word)
        if not parts:
            raise ValueError(f"expected brackets such as <12> or [12], got {word}")
        i, j = int(parts[2]), int(parts[3])
        if not (1 <= i <= n and 1 <= j <= n):
            raise ValueError(f"bracket of {i} and {j}: there are {n} particles; give the number with --points")
        at, sign = _place(n, i, j, parts[1] == "s") if i != j else (0, 0)
        powers = tuple(int(k == at) for k in range(2 * len(pairs(n))))
        values[word] = Brackets.of(n, [(powers, Fraction(sign))])
    unit = (0,) * (2 * len(pairs(n)))
    try:
        out: Brackets = form.evaluate(values, lambda c: Brackets.of(n, [(unit, Fraction(c))]))
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    weights(out)
    return out


def weights(e: Brackets) -> tuple[int, ...]:
    """Little-group weight of each particle: angle minus square brackets that hold it, the same in every term.

    Raises:
        ValueError: If terms differ: such a sum is no amplitude, and its value depends on phases.

    Example:
        >>> weights(read("<12>^3/(<23><31>)", 3))
        (2, 2, -2)
    """
    found = []
    half = len(pairs(e.n))
    for m, _ in e.terms:
        of = [0] * e.n
        for at, power in enumerate(m):
            for label in pairs(e.n)[at % half]:
                of[label - 1] += power if at < half else -power
        found.append(tuple(of))
    for k, other in enumerate(found):
        if other != found[0]:
            first, here = (Brackets(e.n, (e.terms[i],)) for i in (0, k))
            raise ValueError(
                f"terms of different little-group weights: {first} has {found[0]}, {here} has {other}; "
                "they cannot be added"
            )
    return found[0] if found else (0,) * e.n


@dataclass(frozen=True)
class Relation:
    """Products that add up to nothing.

    Args:
        name: What it says.
        terms: ((powers, sign), …).
    """

    name: str
    terms: tuple[tuple[Powers, int], ...]


@lru_cache
def relations(n: int) -> tuple[Relation, ...]:
    """Schouten identities and momentum conservation of n particles.

    Example:
        >>> relations(4)[0].name, len(relations(4)), len(relations(5)), len(relations(6))
        ('Schouten of <1 2 3 4>', 21, 45, 91)
    """
    size = 2 * len(pairs(n))
    labels = range(1, n + 1)

    def product(*brackets: tuple[int, int, bool]) -> tuple[Powers, int]:
        powers, sign = [0] * size, 1
        for i, j, square in brackets:
            at, s = _place(n, i, j, square)
            powers[at] += 1
            sign *= s
        return tuple(powers), sign

    out = []
    for square, name in ((False, "<{}>"), (True, "[{}]")):
        for i, j, k, m in combinations(labels, 4):
            three = [((i, j), (k, m)), ((i, k), (m, j)), ((i, m), (j, k))]
            terms = tuple(product((*a, square), (*b, square)) for a, b in three)
            out.append(Relation(f"Schouten of {name.format(f'{i} {j} {k} {m}')}", terms))
    for i in labels:
        for j in labels:
            terms = tuple(product((i, k, False), (k, j, True)) for k in labels if k not in (i, j))
            out.append(Relation(f"momentum between <{i}| and |{j}]", terms))
    # A pair against the others; of four particles each pair stands for two.
    for count in range(2, n // 2 + 1):
        for chosen in combinations(labels, count):
            if 2 * count == n and 1 not in chosen:
                continue
            rest = [k for k in labels if k not in chosen]
            sides = [(p, 1) for p in combinations(chosen, 2)] + [(p, -1) for p in combinations(rest, 2)]
            terms = tuple((product((*p, False), (*p, True))[0], sign) for p, sign in sides)
            out.append(Relation(f"squared momentum of {', '.join(map(str, chosen))}", terms))
    return tuple(out)


@dataclass(frozen=True)
class Step:
    """Take a term away with a relation in which it stands.

    Args:
        relation: Its number among `relations`.
        role: The place of the term in it.
        away: The term.
    """

    relation: int
    role: int
    away: Powers

    def text(self, n: int) -> str:
        """In words."""
        return f"{relations(n)[self.relation].name}, for {Brackets(n, ((self.away, Fraction(1)),))}"


@lru_cache
def _table(n: int) -> tuple[list[tuple[int, int]], NDArray[np.int64], NDArray[np.int64]]:
    """All (relation, role), the numbers (R, K) by which its other terms differ from the term, and their count (R,)."""
    roles, shifts = [], []
    for r, relation in enumerate(relations(n)):
        codes = [_code(m, n) for m, _ in relation.terms]
        for role in range(len(codes)):
            roles.append((r, role))
            shifts.append([c - codes[role] for k, c in enumerate(codes) if k != role])
    most = max(map(len, shifts))
    table = np.zeros((len(shifts), most), dtype=np.int64)
    for i, row in enumerate(shifts):
        table[i, : len(row)] = np.array([_wrapped(x) for x in row])
    return roles, table, np.array([len(s) for s in shifts])


@lru_cache
def _equivalent(n: int) -> tuple[tuple[int, Powers, int], ...]:
    """Relations of two terms, of four particles only: each says how to do without one bracket.

    Each is (place of the bracket, powers that can be added, sign that this gives); in Hermite's normal form.
    """
    from flint import fmpz_mat

    two = [r.terms for r in relations(n) if len(r.terms) == 2]
    if not two:
        return ()
    rows = [[*(x - y for x, y in zip(a, b, strict=True)), int(s == t)] for (a, s), (b, t) in two]
    form = fmpz_mat(rows).hnf()
    found = [[int(form[i, j]) for j in range(len(rows[0]))] for i in range(form.nrows())]
    out = []
    for row in found:
        if any(row[:-1]):
            place = next(j for j, x in enumerate(row) if x)
            assert row[place] == 1
            out.append((place, tuple(row[:-1]), (-1) ** (row[-1] % 2)))
    return tuple(out)


def fold(e: Brackets) -> Brackets:
    """The same sum with one way of writing for all products that relations of two terms make equal.

    Example:
        >>> len(fold(read("<12>[23] + <14>[43]", 4)))
        0
    """
    out = []
    for m, c in e.terms:
        for place, powers, sign in _equivalent(e.n):
            k = m[place]
            m, c = tuple(x - k * y for x, y in zip(m, powers, strict=True)), c * sign ** (k % 2)
        out.append((m, c))
    return Brackets.of(e.n, out)


def tidy(e: Brackets) -> Brackets:
    """The same terms, each written with few brackets.

    Example:
        >>> print(fold(read("<12>^2", 4)), "is", tidy(fold(read("<12>^2", 4))))
        <34>^2[34]^2/[12]^2 is <12>^2
    """
    out = []
    moves = [(p, s) for _, p, s in _equivalent(e.n)]
    moves += [(_times(a, tuple(-x for x in b)), s * t) for (a, s), (b, t) in combinations(moves, 2)]
    for m, c in e.terms:
        while True:
            near = [
                (sum(map(abs, made)), made, c * s)
                for p, s in moves
                for made in (_times(m, p), _times(m, tuple(-x for x in p)))
            ]
            if not near or min(near)[0] >= sum(map(abs, m)):
                break
            _, m, c = min(near)
        out.append((m, c))
    return Brackets.of(e.n, out)


@lru_cache
def _mix(n: int) -> tuple[int, ...]:
    """A random number for each bracket; products that are equal by relations of two terms have equal sums."""
    out = [int(x) for x in np.random.default_rng(n).integers(1, 2**62, size=2 * len(pairs(n)))]
    for place, powers, _ in reversed(_equivalent(n)):
        out[place] = -sum(p * out[j] for j, p in enumerate(powers) if j != place)
    return tuple(out)


def _code(m: Powers, n: int) -> int:
    return sum(e * w for e, w in zip(m, _mix(n), strict=True))


def _wrapped(x: int) -> int:
    """As a signed 64-bit number."""
    return (x + 2**63) % 2**64 - 2**63


class Sums:
    """Sums of products of brackets: steps take one term away.

    Args:
        n: Number of particles.
        new: Most terms that a step may bring in.
    """

    def __init__(self, n: int, new: int) -> None:
        self.n, self.new = n, new

    def steps(self, e: Brackets) -> Sequence[Step]:
        """All that bring in few enough terms, the best first."""
        if not len(e):
            return []
        roles, shifts, counts = _table(self.n)
        codes = np.array([_wrapped(_code(m, self.n)) for m, _ in e.terms], dtype=np.int64)
        with np.errstate(over="ignore"):
            others = codes[:, None, None] + shifts[None]
        there = np.isin(others, codes) & (np.arange(shifts.shape[1]) < counts[:, None])
        missing = counts - there.sum(2)
        term, role = np.nonzero((missing <= self.new) & (missing < counts) & (counts > 1))
        order = np.argsort(missing[term, role], kind="stable")
        return [Step(roles[role[k]][0], roles[role[k]][1], e.terms[term[k]][0]) for k in order.tolist()]

    def apply(self, e: Brackets, step: Step) -> Brackets:
        """The sum without the term."""
        terms = relations(self.n)[step.relation].terms
        own, sign = terms[step.role]
        factor = -dict(e.terms)[step.away] * sign
        rest = tuple(x - y for x, y in zip(step.away, own, strict=True))
        return fold(Brackets.of(self.n, [*e.terms, *((_times(rest, m), factor * s) for m, s in terms)]))

    def cost(self, e: Brackets) -> tuple[int, ...]:
        """Number of terms, then brackets below and above the line."""
        powers = [p for m, _ in e.terms for p in m]
        return len(e), -sum(p for p in powers if p < 0), sum(p for p in powers if p > 0)


def simplify(e: Brackets, *, beam: int = 20, patience: int = 4, seconds: float = 60.0) -> Found:
    """A sum of as few products as are found.

    A single product is read off (`single`). Else steps are searched, first those that bring in one term at most, then
    two, then three.

    Args:
        e: The sum.
        beam: Sums that are followed at a time; 1 is greedy.
        patience: Rounds without a simpler one after which to stop.
        seconds: Time after which to stop.

    Returns:
        The sum; the steps are text.

    Example:
        >>> found = simplify(read("<12><34> + <14><23>", 5))
        >>> print(found.expression)
        <13><24>
    """
    if len(e) > 1 and (one := single(e)) is not None:
        return Found(one, (f"zeros and poles, for all {len(e)} terms",), 1, True)
    out = Found(fold(e), (), 1, True)
    for new in (1, 2, 3):
        if len(out.expression) > 1:
            more = search(Sums(e.n, new), out.expression, beam=beam, patience=patience, seconds=seconds / 3, fewest=1)
            out = Found(
                more.expression, (*out.steps, *more.steps), out.seen + more.seen, out.complete and more.complete
            )
    return Found(tidy(out.expression), tuple(s.text(e.n) for s in out.steps), out.seen, out.complete)


def example(n: int, rng: np.random.Generator) -> tuple[Brackets, Brackets]:
    """A simple sum, and an equal one that is not, after arXiv 2408.04720.

    One to three products in the numerator, each bracket with a power drawn from a Poisson distribution of mean 0.75,
    over one product; the further products are the first with its labels exchanged between brackets, so that all have
    the same weights. One to three times, one of these is done: a bracket of a numerator is replaced with a relation; a
    term is multiplied by one, written as a relation over one of its terms; or a term and its opposite are added, one of
    them written otherwise.

    Args:
        n: Number of particles.
        rng: Decides all.
    """
    size = 2 * len(pairs(n))
    low = tuple(-int(x) for x in rng.poisson(0.75, size))
    first = tuple(int(x) for x in rng.poisson(0.75, size))
    tops = [first, *(_exchanged(first, n, rng) for _ in range(int(rng.integers(3))))]

    def coefficient() -> Fraction:
        return Fraction(int(rng.integers(1, 6)) * (1 if rng.random() < 0.5 else -1))

    simple = Brackets.of(n, [(_times(m, low), coefficient()) for m in tops])
    if not len(simple):
        return example(n, rng)
    items = [*simple.terms]
    for _ in range(int(rng.integers(1, 4))):
        kind = int(rng.integers(3))
        if kind == 2:
            m, c = _times(_exchanged(first, n, rng), low), coefficient()
            items += [(m, -c), *_replaced((m, c), n, rng, anywhere=True)]
        else:
            i = int(rng.integers(len(items)))
            items[i : i + 1] = _replaced(items[i], n, rng, anywhere=kind == 1)
    return simple, Brackets.of(n, items)


def _exchanged(m: Powers, n: int, rng: np.random.Generator) -> Powers:
    """The same labels in other brackets of the same kind."""
    half, out = len(pairs(n)), list(m)
    for start in (0, half):
        labels = [x for at, pair in enumerate(pairs(n)) for x in pair * out[start + at]]
        for _ in range(100):
            rng.shuffle(labels)
            made = list(zip(labels[::2], labels[1::2], strict=True))
            if all(i != j for i, j in made):
                out[start : start + half] = [0] * half
                for i, j in made:
                    out[_place(n, i, j, start > 0)[0]] += 1
                break
    return tuple(out)


def _replaced(
    term: tuple[Powers, Fraction], n: int, rng: np.random.Generator, anywhere: bool
) -> list[tuple[Powers, Fraction]]:
    """A term written with a relation: in place of a bracket that it has, or of any."""
    (m, c), every = term, relations(n)
    while True:
        relation = every[int(rng.integers(len(every)))]
        own, sign = relation.terms[int(rng.integers(len(relation.terms)))]
        if anywhere or any(e and p > 0 for e, p in zip(own, m, strict=True)):
            rest = tuple(x - y for x, y in zip(m, own, strict=True))
            return [(_times(rest, o), -c * sign * s) for o, s in relation.terms if o != own]


def single(e: Brackets) -> Brackets | None:
    """The one product that a sum is equal to, or None: read off from its zeros and poles, without search.

    Where one bracket is made as small as a prime, in whole numbers modulo a high power of it, the sum is as small as
    the power with which that bracket stands in it (De Laurentis, Page, arXiv 2203.04269).

    Example:
        >>> print(single(read("<12><34> + <14><23>", 5)), single(read("<12>[24] + 2*<13>[34]", 5)))
        <13><24> None
    """
    size = 2 * len(pairs(e.n))
    powers = []
    for at in range(size):
        found = _valuation(e, at)
        if found is None:
            return None
        powers.append(found)
    one = Brackets(e.n, ((tuple(powers), Fraction(1)),))
    try:
        if weights(one) != weights(e):
            return None
    except ValueError:
        return None
    prime = PRIMES[0]
    ratios = [value(e, seed) * pow(value(one, seed), -1, prime) % prime for seed in range(3)]
    c = reconstruct(ratios[0], prime)
    if c is None or not c or any(r != ratios[0] for r in ratios):
        return None
    return Brackets(e.n, ((tuple(powers), c),))


_SMALL, _DIGITS = 2**31 - 1, 40


def _valuation(e: Brackets, at: int) -> int | None:
    """The power of a prime that divides the sum where it divides one bracket; None if it cannot be told."""
    modulus, rng = _SMALL**_DIGITS, np.random.default_rng(at)
    point = _point(e.n, rng, modulus, at)
    sizes = [_split(x, modulus) for x in point]
    terms = []
    for m, c in e.terms:
        power = sum(p * sizes[i][0] for i, p in enumerate(m))
        unit = residue(c, modulus)
        for i, p in enumerate(m):
            if p:
                unit = unit * pow(sizes[i][1], p, modulus) % modulus
        terms.append((power, unit))
    low = min(power for power, _ in terms)
    total = sum(unit * _SMALL ** (power - low) for power, unit in terms) % modulus
    # Digits that were cut off leave nothing to be told of a sum that is too small.
    size = _split(total, modulus)[0]
    return None if size > _DIGITS // 2 else low + size


def _split(x: int, modulus: int) -> tuple[int, int]:
    """Power of the prime, and the rest."""
    count = 0
    while x and x % _SMALL == 0:
        x, count = x // _SMALL, count + 1
    return (count, x % modulus) if x else (_DIGITS, 1)


def value(e: Brackets, seed: int, prime: int = PRIMES[0]) -> int:
    """The value at a random point of a finite field that conserves momentum.

    Args:
        e: The sum.
        seed: Decides the point; one at which a denominator vanishes is drawn again.
        prime: The modulus.
    """
    rng = np.random.default_rng(seed)
    while True:
        try:
            point = _point(e.n, rng, prime)
            total = 0
            for m, c in e.terms:
                product = residue(c, prime)
                for at, power in enumerate(m):
                    if power:
                        product = product * pow(point[at], power, prime) % prime
                total += product
            return total % prime
        except (ZeroDivisionError, ValueError):
            continue


def _point(n: int, rng: np.random.Generator, modulus: int, small: int = -1) -> list[int]:
    """All brackets of random spinors whose momenta add up to nothing, perhaps one of them small."""
    left, right = ([[int(x) for x in rng.integers(1, 2**31, size=2)] for _ in range(n)] for _ in range(2))
    half = len(pairs(n))
    # The last two square spinors are chosen such that all adds up to nothing; neither is one of a small bracket.
    solved = [n - 2, n - 1]
    if small >= 0:
        i, j = (x - 1 for x in pairs(n)[small % half])
        solved = [k for k in range(n) if k not in (i, j)][-2:]
        side = left if small < half else right
        side[j] = [(7 * a + _SMALL * (3 + b)) % modulus for a, b in zip(side[i], side[j], strict=True)]

    def bracket(a: Sequence[int], b: Sequence[int]) -> int:
        return (a[0] * b[1] - a[1] * b[0]) % modulus

    first, second = solved
    p, q = left[first], left[second]
    inverse = pow(bracket(p, q), -1, modulus)
    others = [k for k in range(n) if k not in solved]
    for at, other, sign in ((first, q, -1), (second, p, 1)):
        right[at] = [
            sign * sum(bracket(left[k], other) * right[k][c] for k in others) * inverse % modulus for c in (0, 1)
        ]
    angles = [bracket(left[i - 1], left[j - 1]) for i, j in pairs(n)]
    return angles + [bracket(right[i - 1], right[j - 1]) for i, j in pairs(n)]


def equal(a: Brackets, b: Brackets, points: int = 2) -> bool:
    """Whether two sums are equal, at random points of a finite field.

    Example:
        >>> equal(read("<12>[23]", 4), read("-<14>[43]", 4)), equal(read("<12>[23]", 4), read("<14>[43]", 4))
        (True, False)
    """
    rest = a - b
    return all(value(rest, seed) == 0 for seed in range(points))
