r"""Families of Feynman integrals: loop momenta, propagators and kinematics.

A family is all integrals

.. math:: I[a_1 \dots a_N] = \int \prod_l \mathrm{d}^d k_l \; \prod_i D_i^{-a_i}, \qquad D_i = q_i^2 - m_i^2,

over the same propagators, whose momenta :math:`q_i` are sums of loop and external momenta. There must be as many
propagators as there are scalar products with a loop momentum, so that each of these is a sum of propagators; those that
no diagram has are numerators, whose index is never positive.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

from lpm.theory.parse import Expression, parse

__all__ = ["FAMILIES", "Family", "inverted", "read_family"]

FAMILIES = Path(__file__).parent / "families"
"""The families that come with the package."""

Index = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of integrals.

    Args:
        name: Its name.
        loops: Loop momenta.
        external: Independent external momenta.
        propagators: The momentum of each propagator: `k1 + p1`.
        masses: Squared mass of each propagator; 0 where none is given.
        products: {"p1*p3": scalar product of external momenta}; each pair once.
        numerators: How many of the propagators, the last ones, are numerators only.
        text: What it is.

    Raises:
        ValueError: If anything is missing or does not fit.

    Example:
        >>> bubble = Family(name="bubble", loops=("k",), external=("p",), propagators=("k", "k+p"),
        ...                 products={"p*p": "s"})
        >>> bubble.momenta
        ((Fraction(1, 1), Fraction(0, 1)), (Fraction(1, 1), Fraction(1, 1)))
        >>> bubble.symbols
        ('d', 's')
    """

    name: str
    loops: tuple[str, ...]
    external: tuple[str, ...]
    propagators: tuple[str, ...]
    masses: tuple[str, ...] = ()
    products: dict[str, str] = field(default_factory=dict)
    numerators: int = 0
    text: str = ""

    def __post_init__(self) -> None:
        vectors = (*self.loops, *self.external)
        if not self.loops or len(set(vectors)) < len(vectors):
            raise ValueError(f"family {self.name}: expected loop momenta and different names, got {', '.join(vectors)}")
        if self.masses and len(self.masses) != len(self.propagators):
            raise ValueError(f"family {self.name}: {len(self.masses)} masses for {len(self.propagators)} propagators")
        if not 0 <= self.numerators < len(self.propagators):
            raise ValueError(f"family {self.name}: numerators: expected fewer than propagators, got {self.numerators}")
        wanted = len(self.scalar_products)
        if len(self.propagators) != wanted:
            raise ValueError(
                f"family {self.name}: expected {wanted} propagators, one for each scalar product with a loop momentum, "
                f"got {len(self.propagators)}; add numerators"
            )
        if len(self.inverse) < wanted:
            raise ValueError(f"family {self.name}: its propagators are not independent; exchange one of them")
        if missing := [f"{a}*{b}" for a, b in combinations_with_replacement(self.external, 2) if not self._pair(a, b)]:
            raise ValueError(f"family {self.name}: no value for the scalar products {', '.join(missing)}")

    def __hash__(self) -> int:
        return hash((self.name, self.propagators, self.masses, tuple(self.products.items())))

    def _pair(self, a: str, b: str) -> str:
        """The text of an external scalar product, in either order."""
        plain = {k.replace(" ", ""): v for k, v in self.products.items()}
        return plain.get(f"{a}*{b}") or plain.get(f"{b}*{a}") or ""

    @property
    def vectors(self) -> tuple[str, ...]:
        """Loop momenta, then external ones."""
        return (*self.loops, *self.external)

    @cached_property
    def momenta(self) -> tuple[tuple[Fraction, ...], ...]:
        """The momentum of each propagator as a sum of `vectors`."""
        return tuple(self._linear(text) for text in self.propagators)

    def _linear(self, text: str) -> tuple[Fraction, ...]:
        try:
            form = parse(text)
            zero = dict.fromkeys(self.vectors, Fraction(0))
            at = [form.evaluate({**zero, v: Fraction(n)}, Fraction) for v in self.vectors for n in (1, 2)]
            both = form.evaluate(dict.fromkeys(self.vectors, Fraction(1)), Fraction)
        except (ValueError, ZeroDivisionError) as error:
            raise ValueError(f"family {self.name}: momentum {text!r}: {error}") from None
        ones = tuple(at[::2])
        if [2 * x for x in ones] != at[1::2] or sum(ones) != both or not any(ones[: len(self.loops)]):
            raise ValueError(f"family {self.name}: momentum {text!r}: expected a sum of momenta with a loop momentum")
        return ones

    @cached_property
    def scalar_products(self) -> tuple[tuple[int, int], ...]:
        """Pairs of places in `vectors`, the first of a loop momentum."""
        return tuple((i, j) for i in range(len(self.loops)) for j in range(i, len(self.vectors)))

    @cached_property
    def inverse(self) -> tuple[tuple[Fraction, ...], ...]:
        """Each scalar product as a sum of propagators, constants left out; empty if they are not independent."""
        rows = [[q[i] * q[j] * (1 if i == j else 2) for i, j in self.scalar_products] for q in self.momenta]
        return inverted(rows)

    @cached_property
    def external_products(self) -> dict[tuple[int, int], Expression]:
        """Scalar product of each two external momenta, by their places in `vectors`."""
        out, first = {}, len(self.loops)
        for i, a in enumerate(self.external, first):
            for j, b in enumerate(self.external, first):
                try:
                    out[i, j] = parse(self._pair(a, b))
                except ValueError as error:
                    raise ValueError(f"family {self.name}: product {a}*{b}: {error}") from None
        return out

    @cached_property
    def squared_masses(self) -> tuple[Expression, ...]:
        """Of all propagators."""
        return tuple(parse(m) for m in self.masses or ("0",) * len(self.propagators))

    @property
    def symbols(self) -> tuple[str, ...]:
        """What needs a value: the dimension, and kinematics."""
        found = [e.names for e in (*self.squared_masses, *self.external_products.values())]
        return ("d", *sorted(frozenset[str]().union(*found) - {"d"}))

    @property
    def lines(self) -> int:
        """Propagators that may be denominators."""
        return len(self.propagators) - self.numerators

    def check(self, index: Index) -> Index:
        """The same index.

        Raises:
            ValueError: If it is none of an integral of this family.
        """
        if len(index) != len(self.propagators):
            raise ValueError(f"{show(index)}: family {self.name} has {len(self.propagators)} indices, got {len(index)}")
        if any(a > 0 for a in index[self.lines :]):
            raise ValueError(
                f"{show(index)}: the last {self.numerators} of family {self.name} are numerators: never positive"
            )
        return index


def show(index: Index) -> str:
    """An integral as text.

    Example:
        >>> show((1, 0, -2))
        'I[1,0,-2]'
    """
    return f"I[{','.join(map(str, index))}]"


def read_family(name: str) -> Family:
    """The family of that name or of a JSON file.

    Raises:
        ValueError: If there is none, or the file is no family.

    Example:
        >>> read_family("trianglebox").symbols
        ('d', 'm1', 'm2', 'm3')
    """
    own = {p.stem: p for p in FAMILIES.glob("*.json")}
    path = own.get(name, Path(name))
    if not path.is_file():
        raise ValueError(f"no family {name!r}: expected one of {', '.join(sorted(own))}, or the path of a JSON file")
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        return Family(**{"name": path.stem, **values})
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: no family of integrals: {error}; compare those in {FAMILIES}") from None


def inverted(rows: Sequence[Sequence[Fraction]]) -> tuple[tuple[Fraction, ...], ...]:
    """The inverse of a square matrix, empty if there is none.

    Example:
        >>> inverted([[Fraction(2), Fraction(1)], [Fraction(1), Fraction(1)]])
        ((Fraction(1, 1), Fraction(-1, 1)), (Fraction(-1, 1), Fraction(2, 1)))
        >>> inverted([[Fraction(1)] * 2] * 2)
        ()
    """
    n = len(rows)
    whole = [[*map(Fraction, row), *(Fraction(i == j) for j in range(n))] for i, row in enumerate(rows)]
    for c in range(n):
        pivot = next((r for r in range(c, n) if whole[r][c]), None)
        if pivot is None:
            return ()
        whole[c], whole[pivot] = whole[pivot], whole[c]
        whole[c] = [x / whole[c][c] for x in whole[c]]
        for r in range(n):
            if r != c and whole[r][c]:
                whole[r] = [x - whole[r][c] * y for x, y in zip(whole[r], whole[c], strict=True)]
    return tuple(tuple(row[n:]) for row in whole)
