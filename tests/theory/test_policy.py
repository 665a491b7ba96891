"""Policies of sums: blind to names and order, trained by the recipes, and never wrong."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.model.checkpoint import load
from lpm.model.model import Model
from lpm.recipes import RECIPES
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny
from lpm.theory import dilog, spinor
from lpm.theory.dilog.policy import policy as dilog_policy
from lpm.theory.dilog.policy import rows as dilog_rows
from lpm.theory.engine import Rank, search
from lpm.theory.ranked import batch_of
from lpm.theory.scrambles import CHUNK, DOMAINS, ScrambleRequest, draw
from lpm.theory.shards import write_shards
from lpm.theory.spinor.brackets import pairs, place_of
from lpm.theory.spinor.effects import priced
from lpm.theory.spinor.lessons import way
from lpm.theory.spinor.policy import policy as spinor_policy


@cache
def lessons(domain: str) -> Batch:
    return draw(ScrambleRequest(n=8, domain=domain), 0)


@cache
def untrained(domain: str) -> Model:
    """Weights at random, those of the head among them, which start from zero."""
    torch.manual_seed(1)
    model = Model(RECIPES[f"theory.{domain}"](size=1).model, DOMAINS[domain][1])
    for name in model.tokenizers:
        model.tokenizer(name).fit([lessons(domain)])  # type: ignore[operator]
    torch.nn.init.normal_(model.head("step").out.weight)  # type: ignore[union-attr]
    return model.eval()


def chosen(domain: str) -> Rank:
    """A policy with weights that tell steps apart."""
    return spinor_policy(load("spinor-brackets")) if domain == "spinor" else dilog_policy(untrained(domain))


def relabelled(e: spinor.Brackets, names: list[int]) -> spinor.Brackets:
    """Particle i becomes names[i - 1]."""
    half, terms = len(pairs(e.n)), []
    for m, c in e.terms:
        powers, sign = [0] * len(m), 1
        for at, power in enumerate(m):
            i, j = pairs(e.n)[at % half]
            place, s = place_of(e.n, names[i - 1], names[j - 1], at >= half)
            powers[place], sign = power, sign * s ** (power % 2)
        terms.append((tuple(powers), c * sign))
    return spinor.Brackets.of(e.n, terms)


@pytest.mark.parametrize("n", [4, 5, 6])
def test_names_of_particles_and_order_of_terms_change_no_score(n: int) -> None:
    rank, rng, compared = chosen("spinor"), np.random.default_rng(n), 0
    for _ in range(6):
        e = spinor.fold(spinor.example(n, rng, products=2, scrambles=4)[1])
        other = spinor.fold(relabelled(e, [int(x) + 1 for x in rng.permutation(n)]))
        sums = [e, other, spinor.Brackets(n, other.terms[::-1])]
        steps = [spinor.Sums(n, 3).steps(s) for s in sums]
        a, b, c = (np.sort(x) for x in rank(sums, steps))
        np.testing.assert_allclose(a, b, atol=1e-6)
        np.testing.assert_allclose(a, c, atol=1e-6)
        compared += len(a) > 1 and bool(np.ptp(a) > 1e-3)
    assert compared > 2


def test_order_of_dilogarithms_changes_no_score() -> None:
    rank, rng = chosen("dilog"), np.random.default_rng(0)
    e = dilog.fold(dilog.example(3, 1, 8, rng)[1])[0]
    turned = dilog.Dilogs(e.terms[::-1])
    domain = dilog.Classes()
    scores = [dict(zip(domain.steps(s), rank([s], [domain.steps(s)])[0], strict=True)) for s in (e, turned)]
    assert len(scores[0]) > 3
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


@pytest.mark.parametrize("n", [5, 6])
def test_what_a_step_leaves_is_known_before_it_is_taken(n: int) -> None:
    rng, domain = np.random.default_rng(n), spinor.Sums(n, 3)
    for _ in range(3):
        e = spinor.fold(spinor.example(n, rng, scrambles=6)[1])
        before, legal = domain.cost(e), domain.steps(e)
        for step, score in zip(legal, priced([e], [legal])[0], strict=True):
            more = np.subtract(domain.cost(domain.apply(e, step)), before)
            assert -score == pytest.approx(more @ [1, 1e-3, 1e-6], abs=1e-9)


def test_the_way_that_is_taught_leads_to_the_end() -> None:
    simple, e = spinor.example(5, np.random.default_rng(2), products=3, scrambles=8)
    told = way(e)
    last, right = told[-1]
    assert all(s in spinor.Sums(5, 3).steps(here) for here, steps in told for s in steps)
    assert len(spinor.Sums(5, 3).apply(last, right[0])) <= len(simple)


@pytest.mark.parametrize("domain", ["spinor", "dilog"])
def test_examples_depend_on_the_seed_only(domain: str, tmp_path: Path) -> None:
    request = ScrambleRequest(n=4, domain=domain, seed=3)
    states = write_shards(request, tmp_path / "sums", draw, CHUNK)
    a, b = (draw(request, 0) for _ in range(2))
    assert states == len(a) > 3
    torch.testing.assert_close(a.field("action.present").values, b.field("action.present").values)
    right = a.field("action.taken").sum()
    assert bool((right >= 1).all())
    with pytest.raises(ValueError, match="holds a sample already; add --resume"):
        write_shards(request, tmp_path / "sums", draw, CHUNK)
    for other in (ScrambleRequest(n=4, domain=domain, seed=4), ScrambleRequest(n=5, domain=domain, seed=3)):
        with pytest.raises(ValueError, match="was made with another request"):
            write_shards(other, tmp_path / "sums", draw, CHUNK, resume=True)
    assert write_shards(request, tmp_path / "sums", draw, CHUNK, resume=True) == states
    with pytest.raises(ValueError, match="unknown domain 'ibp'; there are: spinor, dilog"):
        ScrambleRequest(n=5, domain="ibp")


@pytest.mark.parametrize("domain", ["spinor", "dilog"])
def test_the_tiny_twin_trains(domain: str, tmp_path: Path) -> None:
    run = tiny(RECIPES[f"theory.{domain}"](size=1))
    model = execute(run, tmp_path / "run", device="cpu", batch=lessons(domain))
    assert set(model.heads) == {"step"}
    seen = {f"{n}.{t.field}" for n, c in run.model.tokenizers.items() for t in c.fields}
    assert "action.taken" not in seen


def test_a_policy_that_knows_nothing_makes_no_error() -> None:
    rank, rng = spinor_policy(untrained("spinor")), np.random.default_rng(8)
    for n in (4, 5, 6):
        _, e = spinor.example(n, rng, products=3)
        found = spinor.simplify(e, beam=2, policy=rank).expression
        assert spinor.equal(e, found)
        assert len(found) <= len(e)
    e = dilog.example(2, 1, 6, rng)[1]
    assert dilog.equal(e, dilog.simplify(e, policy=dilog_policy(untrained("dilog"))).expression)


def test_the_shipped_policy_finds_what_the_rule_finds() -> None:
    rank, rng = spinor_policy(load("spinor-brackets")), np.random.default_rng(6)
    for n in (4, 5, 6):
        simple, e = spinor.example(n, rng, products=3, scrambles=6)
        found = spinor.simplify(e, beam=1, policy=rank).expression
        assert spinor.equal(e, found)
        assert len(found) <= len(simple)


def test_a_policy_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a policy that was trained on brackets, got a model of dilogarithms"):
        spinor_policy(untrained("dilog"))


def test_a_search_takes_the_best_steps_only() -> None:
    _, e = spinor.example(5, np.random.default_rng(4), products=3, scrambles=8)
    e = spinor.fold(e)
    every = search(spinor.Sums(5, 3), e, beam=5)
    few = search(spinor.Sums(5, 3), e, beam=5, rank=priced, tried=2)
    assert few.seen < every.seen
    assert spinor.equal(few.expression, e)


def test_sums_without_steps_have_no_scores() -> None:
    one = spinor.read("<12>/[12]", 5)
    assert [len(x) for x in spinor_policy(untrained("spinor"))([one], [[]])] == [0]
    batch = batch_of(DOMAINS["dilog"][1], [dilog_rows(dilog.read("Li2(x)"), [])])
    assert batch.collections["action"].lengths.tolist() == [0]
