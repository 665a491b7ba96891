"""What a policy chooses makes a reduction fast or slow, never wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from lpm.model.checkpoint import load, resolve
from lpm.recipes.execute import execute
from lpm.recipes.theory import ibp
from lpm.theory.ibp.driver import Memo, Work, reduce
from lpm.theory.ibp.family import read_family
from lpm.theory.ibp.laporta import weight
from lpm.theory.ibp.learned import Lowered, Lowering
from lpm.theory.ibp.paths import PathConfig, masters, paths
from lpm.theory.ibp.policy import batch_of, options, schema
from lpm.theory.ibp.reduce import reduce_at
from lpm.theory.ibp.sample import CHUNK, PathRequest, draw, general
from lpm.theory.ibp.sectors import sector_of
from lpm.theory.ibp.steps import PATTERN, level
from lpm.theory.shards import write_shards

FAMILY = read_family("trianglebox")
POINT = {"d": 41, "m1": 1, "m2": 31, "m3": 47}


HARDER = b'{"integral": [1, 1, 0, 1, 0, 1, 0], "terms": [[[2, 1, 0, 1, 0, 1, 0], 3]]}'
NO_RESIDUE = b'{"integral": [2, 1, 0, 1, 0, 1, 0], "terms": [[[1, 1, 0, 1, 0, 1, 0], "3"]]}'


def work(prime: int = 1009) -> Work:
    return Work(FAMILY, tuple(POINT.items()), prime, resolve("ibp-trianglebox"))


@pytest.mark.parametrize("solved", [0, 1])
def test_paths_lead_back_to_masters_and_the_seed_decides_them(solved: int) -> None:
    known = masters(FAMILY, general(FAMILY))
    path, again = (
        next(paths(FAMILY, general(FAMILY), PathConfig(solved=solved), np.random.default_rng(5))) for _ in range(2)
    )
    assert [steps for _, steps in path] == [steps for _, steps in again]
    for (state, steps), (after, _) in pairwise(path):
        assert state.take(steps[0]) == (after.terms, after.solved)
        assert not set(after.solved) & {i for row in after.solved.values() for i in row}
    last = path[-1][0].take(path[-1][1][0])
    assert last is not None
    first = path[0][0].target
    assert all(i in known or (solved and level(i) < level(first)) for i in last[0])


def test_what_was_done_is_among_what_is_allowed() -> None:
    found = paths(FAMILY, general(FAMILY), PathConfig(), np.random.default_rng(1))
    path = max((next(found) for _ in range(4)), key=len)
    choices = [options(state) for state, _ in path]
    taken = [[o.place(step) for step in steps] for o, (_, steps) in zip(choices, path, strict=True)]
    assert min(min(right) for right in taken) >= 0
    batch = batch_of([state for state, _ in path], choices, taken)
    assert batch.field("action.taken").sum().tolist() == [len(right) for right in taken]
    assert batch.schema["action"]["taken"].truth
    assert batch.collections["action"].lengths.tolist() == [len(o) for o in choices]
    for o, (state, _) in zip(choices, path, strict=True):
        every = [o.step(i) for i in range(len(o))]
        assert len(set(every)) == len(every)
        assert not state.used & set(every)


def test_coefficients_are_not_seen() -> None:
    found = paths(FAMILY, general(FAMILY), PathConfig(), np.random.default_rng(2))
    state = next(found)[0][0]
    other = replace(state, terms={i: 7 * c % PATTERN for i, c in state.terms.items()})
    a, b = (batch_of([s], [options(s)]) for s in (state, other))
    for name in a.collections:
        torch.testing.assert_close(a.collections[name].values, b.collections[name].values, equal_nan=True)


def test_shards_of_paths(tmp_path: Path) -> None:
    request = PathRequest(n=2, family=read_family("box"), seed=3, shown=8)
    states = write_shards(request, tmp_path / "paths", draw, CHUNK)
    assert states == len(draw(request, 0))
    with pytest.raises(ValueError, match="holds a sample already; add --resume"):
        write_shards(request, tmp_path / "paths", draw, CHUNK)
    assert write_shards(request, tmp_path / "paths", draw, CHUNK, resume=True) == states
    assert int(draw(request, 0).collections["action"].lengths.max()) <= 8


def test_the_recipe_reads_no_truth() -> None:
    run = ibp(1, family="box")
    seen = {f"{n}.{t.field}" for n, c in run.model.tokenizers.items() for t in c.fields}
    assert not seen & {
        f"{c.name}.{f.name}" for c in schema(read_family("box")).collections for f in c.fields if f.truth
    }


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ((0, 1, 1, 1, 0, 0, -1), None),
        ((1, 1, 0, 1, -1, 2, 0), None),
        ((1, 0, 1, 0, 0, 2, 0), None),
        pytest.param((0, 2, 1, 1, 0, 0, 0), [700], marks=pytest.mark.slow),
        pytest.param((2, 0, 2, 0, 1, 1, 0), [107, 303, 915, 752], marks=pytest.mark.slow),
        pytest.param((1, 1, 1, 1, 1, 1, -1), None, marks=pytest.mark.slow),
    ],
)
def test_equal_to_laporta(index: tuple[int, ...], expected: list[int] | None) -> None:
    found = reduce(work(), {index: 1})
    assert found == reduce_at(FAMILY, {index: Fraction(1)}, POINT, 1009).terms
    if expected:
        assert list(found.values()) == expected


def test_any_prime_will_do() -> None:
    prime = 2**61 - 1
    index = (1, 1, 0, 1, -1, 2, 0)
    assert reduce(work(prime), {index: 1}) == reduce_at(FAMILY, {index: Fraction(1)}, POINT, prime).terms


def test_each_step_is_lower() -> None:
    lower = Lowering(FAMILY, POINT, 1009, load("ibp-trianglebox"))
    index = (2, 1, 1, 1, 1, 1, -3)
    found = lower(index)
    for i in found.terms:
        assert i in lower.masters or sector_of(i) != sector_of(index) or level(i) < level(index)
        assert weight(i) < weight(index)


def test_a_reduction_goes_on_from_what_was_found(tmp_path: Path) -> None:
    index, told = (1, 1, 0, 1, -1, 2, 0), list[tuple[int, ...]]()
    path = tmp_path / "memo.jsonl"
    found = reduce(work(), {index: 1}, memo=Memo(work(), path), tell=lambda i, _: told.append(i))
    lines = path.read_text().splitlines()
    assert len(lines) == len(told) + 1
    # Killed while a line was written: what is whole counts.
    path.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:30])
    told.clear()
    assert reduce(work(), {index: 1}, memo=Memo(work(), path), tell=lambda i, _: told.append(i)) == found
    assert len(told) == 1
    assert len(Memo(work(), path).known) == len(lines) - 1


def test_findings_of_another_prime_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "memo.jsonl"
    Memo(work(), path)
    with pytest.raises(ValueError, match=r"with family trianglebox, .* prime 1009; its residues are wrong here"):
        Memo(work(2**31 - 1), path)
    for content in (json.dumps({"a": 1}).encode(), b"\xff\xfe\n", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="holds no reduction"):
            Memo(work(), path)


@pytest.mark.parametrize("line", [b'{"integral": [1, 1', b"\xff\xfe", b"123", b'{"integral": [1]}', HARDER, NO_RESIDUE])
def test_a_line_that_holds_no_finding_is_passed_over(tmp_path: Path, line: bytes) -> None:
    path, index = tmp_path / "memo.jsonl", (2, 1, 0, 1, 0, 1, 0)
    Memo(work(), path)
    with path.open("ab") as file:
        file.write(line)
    Memo(work(), path).add(index, Lowered({(1, 1, 0, 1, 0, 1, 0): 3}, (), 0))
    assert Memo(work(), path).known == {index: {(1, 1, 0, 1, 0, 1, 0): 3}}


def test_what_is_read_counts_as_trusted_where_it_is_used(tmp_path: Path) -> None:
    path, index = tmp_path / "memo.jsonl", (1, 1, 0, 1, -1, 2, 0)
    fresh = Memo(work(), path)
    found = reduce(work(), {index: 1}, memo=fresh)
    assert reduce(work(), {index: 1}, memo=fresh) == found
    assert not fresh.trusted  # all was checked here
    read = Memo(work(), path)
    assert not read.trusted
    reduce(work(), {index: 1}, memo=read)
    assert read.trusted == set(read.known)


@pytest.mark.slow
def test_several_workers() -> None:
    index = (0, 0, 1, 1, 2, 1, 0)
    assert reduce(work(), {index: 1}, workers=2) == reduce(work(), {index: 1})


def test_the_recipe_trains_a_policy_that_reduces(tmp_path: Path) -> None:
    family = read_family("box")
    run = ibp(1, family="box")
    train = replace(run.train, steps=20, warmup=2, valid_every=0, save_every=0)
    lessons = draw(PathRequest(n=8, family=family, config=PathConfig(solved=1)), 0)
    execute(replace(run, train=train, data=replace(run.data, held=0.1)), tmp_path / "run", batch=lessons)
    task = Work(family, (("d", 11), ("s", 1), ("t", 3)), 10007, tmp_path / "run")
    point = dict(task.point)
    assert reduce(task, {(2, 1, 1, 1): 1}) == reduce_at(family, {(2, 1, 1, 1): Fraction(1)}, point, 10007).terms
