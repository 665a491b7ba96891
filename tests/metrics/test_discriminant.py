"""Discriminants: values, the tree below them, what cannot be divided, text, LaTeX and JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lpm.data.fine import FINE
from lpm.data.tree import tree
from lpm.metrics.discriminant import PUBLISHED, Discriminant, score

TREE = tree("jet", tree("H", tree("WW", "4q", "3q"), "bb"), tree("top", "bqq", "bq"), "QCD")
RNG = np.random.default_rng(0)
SCORES = dict(zip(TREE.leaves, RNG.dirichlet(np.ones(6), 50).T, strict=True))


def test_nodes_are_sums_of_leaves() -> None:
    d = Discriminant(name="T", signal=("WW",), background=("QCD", "top"))
    up = SCORES["4q"] + SCORES["3q"]
    expected = up / (up + SCORES["QCD"] + SCORES["bqq"] + SCORES["bq"])
    np.testing.assert_allclose(d.value(SCORES, TREE), expected, rtol=1e-14)


def test_arithmetic_is_that_of_numbers() -> None:
    a, b = score("4q"), score("3q", "QCD")
    formula = 2 * (a - b) / (1 + a * b) - 0.5 + 1 / (3 - a)
    x, y = SCORES["4q"], SCORES["3q"] + SCORES["QCD"]
    expected = 2 * (x - y) / (1 + x * y) - 0.5 + 1 / (3 - x)
    np.testing.assert_allclose(formula.value({**SCORES}), expected, rtol=1e-14)
    assert formula.classes == ("4q", "3q", "QCD")
    # What is printed is Python once P is defined: the parentheses stand where they must.
    np.testing.assert_allclose(_read(str(formula)), expected, rtol=1e-14)
    nested = a - (b - a) / (a / (b * a))
    np.testing.assert_allclose(_read(str(nested)), nested.value({**SCORES}), rtol=1e-14)


def _read(text: str) -> np.ndarray:
    names = {f"P({n})": f"p[{n!r}]" for n in SCORES}
    for shown, meant in names.items():
        text = text.replace(shown, meant)
    return np.asarray(eval(text, {"__builtins__": {}}, {"p": SCORES}))


def test_neither_signal_nor_background() -> None:
    zero = {n: np.zeros(2) for n in TREE.leaves}
    d = Discriminant(name="T", signal=("WW",), background=("QCD",))
    assert d.value(zero, TREE).tolist() == [0.0, 0.0]
    half = Discriminant(name="T", signal=("WW",), background=("QCD",), neither=0.5)
    assert half.value(zero, TREE).tolist() == [0.5, 0.5]


def test_bad_scores_are_named() -> None:
    d = Discriminant(name="T", signal=("WW",), background=("QCD",))
    with pytest.raises(ValueError, match="T: no score of 3q, which the formula needs"):
        d.value({"4q": [0.5], "QCD": [0.5]}, TREE)
    with pytest.raises(ValueError, match="T: the score of WW is not finite for 1 events"):
        d.value({**SCORES, "4q": np.where(np.arange(50) == 3, np.nan, SCORES["4q"])}, TREE)
    with pytest.raises(ValueError, match="no class 'Z'"):
        Discriminant(name="T", signal=("Z",), background=("QCD",)).value(SCORES, TREE)
    ratio = Discriminant(name="R", signal=("WW",), background=("QCD",), formula=score("WW") / score("QCD"))
    with pytest.raises(ValueError, match="R: 50 values are infinite"):
        ratio.value({**SCORES, "QCD": np.zeros(50)}, TREE)
    with pytest.raises(ValueError, match="discriminant T: expected at least one class of signal"):
        Discriminant(name="T", signal=(), background=("QCD",))


@pytest.mark.parametrize(
    "d", [*PUBLISHED, Discriminant(name="X", signal=("H",), background=("QCD",), formula=score("H") * 2.0)]
)
def test_stored_and_read_back(d: Discriminant) -> None:
    assert Discriminant.from_json(json.loads(json.dumps(d.to_json()))) == d
    assert d.latex().count("{") == d.latex().count("}")


def test_published_discriminants_are_of_fine_classes() -> None:
    by_name = {d.name: d for d in PUBLISHED}
    assert set(by_name) == {"HbbvsQCD", "HccvsQCD", "THVV", "WvsQCD", "TvsQCD"}
    p = dict(zip(FINE.leaves, RNG.dirichlet(np.ones(len(FINE.leaves)), 20).T, strict=True))

    def total(*nodes: str) -> np.ndarray:
        return np.sum([p[leaf] for node in nodes for leaf in FINE.below(node)], axis=0)

    up = total("H_WW_4q", "H_WW_3q")
    np.testing.assert_allclose(by_name["THVV"].value(p, FINE), up / (total("QCD", "top") + up))


def test_latex() -> None:
    formula = score("H_bb") / (score("H_bb") + 0.5 * score("QCD", "top"))
    top, low = r"P_\mathrm{H\,bb}", r"0.5 \cdot \left(P_\mathrm{QCD} + P_\mathrm{top}\right)"
    assert formula.latex() == rf"\frac{{{top}}}{{{top} + {low}}}"
