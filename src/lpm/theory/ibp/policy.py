"""A state of a reduction as a Batch: its terms and the steps that it allows are rows, for a head to choose among.

The model sees which integrals there are, never their coefficients: it ranks steps, exact arithmetic takes them. So a
policy that was trained modulo one prime serves all, and what it chooses can make a reduction slow but not wrong.

Shapes: A steps of a state, T terms of the longest identity, N propagators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.data.schema import Collection, Field, Schema
from lpm.theory.ibp.family import Family, Index
from lpm.theory.ibp.identities import identities
from lpm.theory.ibp.paths import State
from lpm.theory.ibp.steps import PATTERN, Step, code, heavy, level, order

__all__ = ["COUNTS", "Options", "batch_of", "options", "schema"]

SEEN = 32
"""Terms of a sum that the model sees, the most complex ones."""

COUNTS = ("terms", "present", "solved", "new", "heavier", "level", "expanded", "brought", "above")
"""What is counted of a step: its integrals; those among the terms, solved before, neither; of the last, those above the
target, and those of its level or above; of the integrals that solved ones stand for, all, those not among the terms,
and of these those above the target."""


def schema(family: Family) -> Schema:
    """What a state of a reduction of a family is made of.

    Example:
        >>> from lpm.theory.ibp.family import read_family
        >>> schema(read_family("box")).names
        ('state', 'term', 'action')
    """
    places = range(1, len(family.propagators) + 1)
    point = dict.fromkeys(family.symbols, 1) | {s: 2 + i for i, s in enumerate(family.symbols)}
    names = tuple(i.name for i in identities(family, point, PATTERN))
    state = [Field(name=f"line{i}", kind="flag", text="in the sector") for i in places]
    state += [Field(name=f"a{i}", kind="count", text="index of the target") for i in places]
    state += [Field(name=n, kind="count") for n in ("terms", "solved")]
    term = [Field(name=f"a{i}", kind="count", text="index relative to the target") for i in places]
    term += [Field(name="up", kind="count"), Field(name="down", kind="count")]
    action = [Field(name="identity", kind="category", labels=names), Field(name="direct", kind="flag")]
    action += [Field(name=f"a{i}", kind="count", text="seed relative to the target") for i in places]
    action += [Field(name="up", kind="count"), Field(name="down", kind="count")]
    action += [Field(name=n, kind="count") for n in COUNTS]
    action += [Field(name="taken", kind="flag", truth=True)]
    return Schema(
        name="reductions",
        collections=(
            Collection(name="state", fields=tuple(state), single=True),
            Collection(name="term", fields=tuple(term)),
            Collection(name="action", fields=tuple(action)),
        ),
    )


@dataclass(frozen=True, eq=False)
class Options:
    """The steps that a state allows.

    Args:
        identity: (A,) numbers of identities.
        seed: (A, N).
        direct: (A,) whether the identity holds the target itself, not only an integral that was solved with it.
        counts: (A, 9) `COUNTS`.
    """

    identity: NDArray[np.int64]
    seed: NDArray[np.int64]
    direct: NDArray[np.bool_]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.identity)

    def step(self, i: int) -> Step:
        """One of them."""
        return int(self.identity[i]), tuple(self.seed[i].tolist())

    def place(self, step: Step) -> int:
        """Where a step stands; -1 if it is none of them."""
        found = np.flatnonzero((self.identity == step[0]) & (self.seed == np.array(step[1])).all(1))
        return int(found[0]) if len(found) else -1

    def only(self, kept: NDArray[np.int64]) -> Options:
        """Some of them."""
        return Options(self.identity[kept], self.seed[kept], self.direct[kept], self.counts[kept])


def options(state: State, most: int | None = None) -> Options:
    """The steps that a state allows: identities that hold its target, or an integral solved with it; none twice.

    Args:
        state: The state.
        most: If there are more, those that bring in the fewest new integrals, counted less those that are there.
    """
    anchors = [state.target, *(i for i, row in state.solved.items() if state.target in row)]
    near = [state.sector.around(i) for i in anchors]
    identity, at = (np.concatenate([getattr(n, name) for n in near]) for name in ("identity", "at"))
    first = _first(identity, at)
    if state.used:
        same = np.isin(at[first], np.array([code(s[1]) for s in state.used], dtype=np.int64))
        used = {(s[0], code(s[1])) for s in state.used}
        for k in np.flatnonzero(same).tolist():
            same[k] = (int(identity[first[k]]), int(at[first[k]])) in used
        first = first[~same]
    seed, codes, heavies = (np.concatenate([getattr(n, name) for n in near]) for name in ("seed", "code", "heavy"))
    out = Options(
        identity[first], seed[first], first < len(near[0].identity), _counts(state, codes[first], heavies[first])
    )
    if most is None or len(out) <= most:
        return out
    of = {name: out.counts[:, i] for i, name in enumerate(COUNTS)}
    return out.only(np.sort(np.argsort(of["new"] + of["brought"] - of["present"], kind="stable")[:most]))


def _first(identity: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each step stands for the first time."""
    order = np.lexsort((identity, at))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(identity[order]) != 0) | (np.diff(at[order]) != 0)
    return np.sort(order[new])


def _counts(state: State, codes: NDArray[np.int64], heavies: NDArray[np.int64]) -> NDArray[np.int64]:
    """(A, 9) `COUNTS` of steps, from their (A, T) integrals."""
    # All integrals that are there in one table: what a step holds is looked up once.
    there = sorted([(code(i), i) for i in {*state.terms, *state.solved}])
    keys = np.array([c for c, _ in there] or [-2], dtype=np.int64)
    at = np.searchsorted(keys, codes).clip(max=len(keys) - 1)
    real = codes >= 0
    found = real & (keys[at] == codes)
    held = np.zeros(len(keys), dtype=bool)
    held[at[found]] = True
    table = np.zeros((len(keys), 5), dtype=np.int64)
    for k in np.flatnonzero(held).tolist():
        table[k] = _known(state, there[k][1])
    mine = table[at]
    present, solved = (found & (mine[..., i] == 1) for i in range(2))
    fresh = real & ~present & ~solved
    limit = order(state.target)
    floor = (limit >> 50) << 50  # of the level of the target
    columns = [real, present, solved, fresh, fresh & (heavies > limit), fresh & (heavies >= floor)]
    sums = [c.sum(1) for c in columns]
    sums += [np.where(solved, mine[..., i], 0).sum(1) for i in range(2, 5)]
    return np.stack(sums, 1)


def _known(state: State, index: Index) -> tuple[int, int, int, int, int]:
    """Of an integral that is there: whether among the terms, whether solved; then how many its solution holds.

    All of them, those that are not among the terms, and of these those above the target.
    """
    row, target = state.solved.get(index), heavy(state.target)
    if row is None:
        return 1, 0, 0, 0, 0
    new = [i for i in row if i not in state.terms]
    return int(index in state.terms), 1, len(row), len(new), sum(heavy(i) > target for i in new)


def batch_of(
    states: Sequence[State],
    choices: Sequence[Options],
    taken: Sequence[Sequence[int]] | None = None,
    *,
    of: Schema | None = None,
) -> Batch:
    """States as events.

    Args:
        states: Of one family.
        choices: What each allows.
        taken: Which of it are right; None if that is not known.
        of: Their schema, if it is at hand.
    """
    of = of or schema(states[0].sector.family)
    rows: dict[str, list[NDArray[np.float32]]] = {n: [] for n in of.names}
    for k, (state, o) in enumerate(zip(states, choices, strict=True)):
        target, size = np.array(state.target), len(state.target)
        lines = [state.sector.number >> i & 1 for i in range(size)]
        rows["state"].append(np.array([[*lines, *target, len(state.terms), len(state.solved)]], dtype=np.float32))
        top = sorted(state.terms, key=heavy, reverse=True)[:SEEN]
        rows["term"].append(_relative(np.array(top).reshape(-1, size), state.target))
        label = np.full(len(o), np.nan if taken is None else 0.0)
        if taken is not None:
            label[list(taken[k])] = 1.0
        columns = (o.identity[:, None], o.direct[:, None], _relative(o.seed, state.target), o.counts, label[:, None])
        rows["action"].append(np.concatenate(columns, 1).astype(np.float32))
    filled: dict[str, torch.Tensor] = {}
    lengths: dict[str, torch.Tensor] = {}
    for c in of.collections:
        values = torch.from_numpy(np.concatenate(rows[c.name]))
        filled |= {f"{c.name}.{n}": values[:, i] for i, n in enumerate(c.names)}
        lengths[c.name] = torch.tensor([len(r) for r in rows[c.name]])
    return Batch.build(of, filled, lengths)


def _relative(index: NDArray[np.int64], target: Index) -> NDArray[np.float32]:
    """(…, N + 2) indices and levels relative to the target."""
    up, down = level(target)
    ups, downs = np.where(index > 0, index, 0).sum(1), -np.where(index < 0, index, 0).sum(1)
    out = np.concatenate([index - np.array(target), (ups - up)[:, None], (downs - down)[:, None]], 1)
    return out.astype(np.float32)
