"""Reductions: published numbers, closed forms, and numerical integrals."""

import math
from fractions import Fraction

import numpy as np
import pytest
from flint import nmod_mat

from lpm.theory.ibp.family import Family, Index, read_family
from lpm.theory.ibp.laporta import Reducer, Seeds, seeds_for, text_of, weight
from lpm.theory.modular import PRIMES, reconstruct
from lpm.theory.rational import rational_functions

P = 1009
POINT = {"d": 41, "m1": 1, "m2": 31, "m3": 47}
BIG = PRIMES[0]
MASTERS = [
    (0, 1, 1, 1, 0, 0, 0), (1, 0, 1, 0, 1, 0, 0), (0, 0, 1, 1, 1, 0, 0), (1, 0, 1, 0, 0, 1, 0), (1, 1, 0, 1, 1, 0, 0),
    (1, 0, 1, 1, 1, 0, 0), (1, -1, 1, 1, 1, 0, 0), (0, 1, 1, 1, 1, 0, 0), (-1, 1, 1, 1, 1, 0, 0),
    (1, 1, 0, 1, 0, 1, 0), (1, 0, 1, 0, 1, 1, 0), (1, -1, 1, 0, 1, 1, 0), (1, 0, 0, 1, 1, 1, 0), (1, 1, 1, 1, 1, 0, 0),
    (1, 1, 0, 1, 1, 1, 0), (1, 0, 1, 1, 1, 1, 0),
]  # fmt: skip


def reduced(target: Index, **more: int) -> dict[Index, int]:
    reducer = Reducer(read_family("trianglebox"), POINT, P, seeds_for([target], **more))
    result = reducer.reduce({target: 1})
    assert reducer.certify({target: 1}, result)
    return result


def test_published_reductions() -> None:
    assert reduced((0, 2, 1, 1, 0, 0, 0)) == {(0, 1, 1, 1, 0, 0, 0): 700}
    names = [(1, 0, 1, 0, 1, 1, 0), (1, -1, 1, 0, 1, 1, 0), (1, 0, 1, 0, 1, 0, 0), (1, 0, 1, 0, 0, 1, 0)]
    assert reduced((2, 0, 2, 0, 1, 1, 0)) == dict(zip(names, (303, 107, 752, 915), strict=True))
    assert reduced((1, 0, 2, 0, 1, 1, 0)) == dict(zip(names, (739, 393, 616, 616), strict=True))


def test_the_top_sector() -> None:
    assert len(reduced((1, 1, 1, 1, 1, 1, 0))) == 12
    found = reduced((1, 1, 1, 1, 1, 1, -3))
    assert sorted(found, key=weight) == sorted(MASTERS, key=weight)
    some = {(1, 0, 1, 1, 1, 1, 0): 784, (1, 1, 0, 1, 1, 1, 0): 822, (1, 1, 1, 1, 1, 0, 0): 514}
    assert {i: found[i] for i in some} == some


def test_masters_and_zero_sectors() -> None:
    reducer = Reducer(read_family("trianglebox"), POINT, P, Seeds(sectors=(63,), dots=1, rank=2))
    assert set(reducer.masters(dots=1, rank=1)) == set(MASTERS)
    assert reducer.reduce({(1, 1, 0, 0, 0, 0, 0): 5, (0, 1, 1, 1, 0, 0, 0): 0}) == {}


def test_lorentz_invariance_adds_nothing() -> None:
    """Without the identity the same is found: what it says follows from the others (hep-ph/0804.3008)."""
    from lpm.theory.ibp import laporta

    target, family = (1, 0, 2, 0, 1, 1, 0), read_family("trianglebox")
    wanted = Reducer(family, POINT, P, seeds_for([target])).reduce({target: 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laporta, "identities", lambda *a: laporta_identities(*a)[:8])
        laporta_identities = __import__("lpm.theory.ibp.identities", fromlist=["identities"]).identities
        assert Reducer(family, POINT, P, seeds_for([target], rank=1)).reduce({target: 1}) == wanted


def test_sums_and_what_no_identity_holds() -> None:
    reducer = Reducer(read_family("trianglebox"), POINT, P, seeds_for([(0, 2, 1, 1, 0, 0, 0)]))
    far = (0, 9, 1, 1, 0, 0, 0)
    terms = {(0, 2, 1, 1, 0, 0, 0): 2, (0, 1, 1, 1, 0, 0, 0): 9, far: 4}
    found = reducer.reduce(terms)
    assert found == {far: 4, (0, 1, 1, 1, 0, 0, 0): (1400 + 9) % P}
    assert reducer.certify(terms, found)
    assert text_of(found) == "4 I[0,9,1,1,0,0,0] + 400 I[0,1,1,1,0,0,0]"
    with pytest.raises(ValueError, match="do not add up"):
        reducer.certify(terms, {**found, (0, 1, 1, 1, 0, 0, 0): 401})


def test_coefficients_as_functions_of_the_dimension() -> None:
    """The massless bubble is a ratio of Gamma functions (any textbook, e.g. Smirnov 2012, eq. A.7)."""
    bubble = Family(name="bubble", loops=("k",), external=("p",), propagators=("k", "k+p"), products={"p*p": "s"})
    target = (3, 2)

    def sample(d: int, p: int) -> dict[Index, int]:
        return Reducer(bubble, {"d": d, "s": 1}, p, seeds_for([target])).reduce({target: 1})

    found = rational_functions(sample)[1, 1]

    def euclidean(a: int, b: int, d: float) -> float:
        up = math.gamma(d / 2 - a) * math.gamma(d / 2 - b) * math.gamma(a + b - d / 2)
        return up / (math.gamma(a) * math.gamma(b) * math.gamma(d - a - b))

    for d in (4.3, 5.7, 9.1):
        assert float(found(Fraction(d))) == pytest.approx(euclidean(3, 2, d) / euclidean(1, 1, d), rel=1e-9)


def feynman(powers: tuple[int, ...], d: float, s: float, t: float) -> float:
    """The Euclidean massless box by its Feynman parameters, those of opposite lines adding up to a and 1 - a.

    Each integral from 0 to 1 by the rule of Takahasi and Mori (1974), which does not mind what happens at the ends.
    """
    step = 0.08
    y = np.arange(-3.6, 3.6 + step / 2, step)
    u, rest = 1 / (1 + np.exp(-np.pi * np.sinh(y))), 1 / (1 + np.exp(np.pi * np.sinh(y)))
    w = step * np.pi * np.cosh(y) * u * rest
    a, b = u[:, None, None], rest[:, None, None]
    x = (a * u[:, None], b * u, a * rest[:, None], b * rest)
    f = s * x[0] * x[2] + t * x[1] * x[3]
    total = sum(powers)
    value = a * b * math.prod(p ** (m - 1) for p, m in zip(x, powers, strict=True)) * f ** (d / 2 - total)
    whole = float(np.einsum("ijk,i,j,k->", value, w, w, w))
    return math.gamma(total - d / 2) / math.prod(math.gamma(m) for m in powers) * whole


def test_the_massless_box_in_seven_dimensions() -> None:
    """A reduction beside integrals done numerically, in a dimension where all of them are finite."""
    d, s, t = 7, 1, 3
    target = (2, 1, 1, 1)
    reducer = Reducer(read_family("box"), {"d": d, "s": s, "t": t}, BIG, seeds_for([target]))
    found = {i: float(rational(v)) for i, v in reducer.reduce({target: 1}).items()}
    assert set(found) == {(1, 1, 1, 1), (0, 1, 0, 1)}
    bubble = math.gamma(d / 2 - 1) ** 2 * math.gamma(2 - d / 2) / math.gamma(d - 2) * t ** (d / 2 - 2)
    value = found[1, 1, 1, 1] * feynman((1, 1, 1, 1), d, s, t) + found[0, 1, 0, 1] * bubble
    assert value == pytest.approx(feynman(target, d, s, t), rel=1e-6)


def rational(value: int) -> Fraction:
    found = reconstruct(value, BIG)
    assert found is not None
    return found


def test_the_massive_sunrise_in_one_dimension() -> None:
    """In position space it is a sum of exponentials; the relations that reduction finds between dotted ones must hold.

    Dots are derivatives by squared masses. Three lines D = q² - m² have another sign than those of Euclid, two have
    not. In one dimension, tadpoles with the numerator (k1 + p)² are left over: its mean is known.
    """
    import sympy

    masses, s = (2, 3, 5), 7
    point = {"d": 1, "s": s, **{f"m{i}": m**2 for i, m in enumerate(masses, start=1)}}
    dots = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 1), (3, 1, 1)]
    reducer = Reducer(read_family("sunrise"), point, BIG, Seeds(sectors=(7,), dots=3, rank=2))
    columns = [reducer.reduce({(*a, 0, 0): 1}) for a in dots]
    masters = sorted({i for c in columns for i in c if all(n > 0 for n in i[:3])})
    tadpoles = {i for c in columns for i in c if 0 in i[:3]}
    assert len(masters) == 4  # as many as three different masses have
    mean = {(1, 1, 0): 4 + s, (1, 0, 1): 4 + s, (0, 1, 1): 9 + 25}
    assert tadpoles == {(*a, n, 0) for a in mean for n in (0, -1)}
    null, size = nmod_mat(4, len(dots), [c.get(r, 0) for r in masters for c in columns], BIG).nullspace()
    assert size == 2
    m = sympy.symbols("m1:4", positive=True)
    line = -sum(m) / ((sum(m) ** 2 - s) * sympy.prod(m))
    for k in range(size):
        total = sympy.Integer(0)
        for t, a in enumerate(dots):
            value = line
            for x, n in zip(m, a, strict=True):
                for power in range(1, n):
                    value = sympy.diff(value, x) / (2 * x) / power
            total += rational(int(null[t, k])) * value.subs(dict(zip(m, masses, strict=True)))
        for sub in tadpoles:
            value = sum(int(null[t, k]) * c.get(sub, 0) for t, c in enumerate(columns)) % BIG
            lines = math.prod(x for x, n in zip(masses, sub[:3], strict=True) if n)
            total -= rational(value) * (mean[sub[:3]] if sub[3] else 1) / lines
        assert sympy.nsimplify(total) == 0
