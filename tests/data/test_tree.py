"""Trees of classes: sums, coarse labels, stored and read back, and the labels of public data sets in them."""

from __future__ import annotations

import json

import pytest

from lpm.data.fields import JETCLASS
from lpm.data.fine import FINE, JETCLASS_NODES, by_pattern
from lpm.data.io.jetclass import JETCLASS2
from lpm.data.tree import Tree, tree
from lpm.records.config import from_dict, to_dict

SMALL = tree("jet", tree("H", tree("WW", "4q", "3q"), "bb"), "QCD")


def test_leaves_lie_below_each_node_once() -> None:
    assert SMALL.leaves == ("4q", "3q", "bb", "QCD")
    assert SMALL.below("H") == ("4q", "3q", "bb")
    assert SMALL.below("bb") == ("bb",)
    assert SMALL.names == ("jet", "H", "WW", "4q", "3q", "bb", "QCD")


def test_groups_say_which_leaves_a_label_may_be() -> None:
    groups = SMALL.groups({"HWW": "WW", "gluon": "QCD"})
    assert set(groups) == set(SMALL.leaves)
    assert [leaf for leaf in SMALL.leaves if "HWW" in groups[leaf]] == ["4q", "3q"]
    assert [leaf for leaf in SMALL.leaves if "gluon" in groups[leaf]] == ["QCD"]
    assert all("jet" in g for g in groups.values())


@pytest.mark.parametrize("whole", [SMALL, FINE])
def test_a_tree_survives_json(whole: Tree) -> None:
    assert from_dict(Tree, json.loads(json.dumps(to_dict(whole)))) == whole


def test_bad_trees_are_named() -> None:
    with pytest.raises(ValueError, match="H occurs twice"):
        tree("jet", tree("H", "H"), "QCD")
    with pytest.raises(ValueError, match=r"class 'H\.bb': expected letters"):
        tree("jet", "H.bb")
    with pytest.raises(ValueError, match="no class 'Zprime' in the tree jet; there are: H, QCD"):
        SMALL.below("Zprime")
    with pytest.raises(ValueError, match="no class 'Zprime'"):
        SMALL.groups({"X": "Zprime"})


def test_fine_classes_have_every_topology_of_the_global_particle_transformer() -> None:
    for node in ("H_WW_4q", "H_WW_3q", "H_WW_lvqq", "H_tautau", "top_bqq", "top_bq", "top_blv", "W", "Z", "QCD"):
        assert len(FINE.below(node)) > 1
    assert {"H_bb", "H_cc", "H_ss", "H_qq", "H_gg", "QCD_bb", "QCD_b", "QCD_cc", "QCD_c", "QCD_others"} < set(
        FINE.leaves
    )


def test_every_class_of_jetclass_has_its_place() -> None:
    groups = FINE.groups(JETCLASS_NODES)
    for name in JETCLASS:
        assert any(name in said for said in groups.values()), name


def test_all_classes_of_jetclass_ii_fall_into_a_tree() -> None:
    found = by_pattern(JETCLASS2)
    assert sorted(found.leaves) == sorted(JETCLASS2)
    assert len(found.below("QCD")) == 27
    assert found.below("X_to_tautau") == ("X_tauhtaue", "X_tauhtaum", "X_tauhtauh")
    assert "X_YY_bctauhv" in found.below("X_YY_to_jjtauv")
    assert "X_YY_bbe" in found.below("X_YY_to_jjl")
    with pytest.raises(ValueError, match="class 'Y_bb': expected names as in JetClass-II"):
        by_pattern(["Y_bb"])
