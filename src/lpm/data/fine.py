"""The fine classes of large-radius jets: what decayed, into how many prongs, of which flavours.

`FINE` is like the classes on which the global particle transformer of CMS was trained (CMS Collaboration, arXiv
2604.09809): a Higgs boson to a pair of W bosons, of which four or three quarks, or a lepton and two quarks, lie in the
jet; to two quarks, gluons or τ leptons; top quarks of which all or a part lie in the jet; W; Z; and jets of quarks and
gluons by the heavy hadrons in them. `0c`, `1c`, `2c` count charm quarks; `q` is any of u, d and s, and in pairs, where
s is a class of its own, u or d.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lpm.data.schema import Collection, Field, Schema
from lpm.data.tree import Tree, tree

__all__ = ["FINE", "JETCLASS_NODES", "MASS", "PRONG", "PRONGS", "by_pattern", "with_prongs"]

FINE = tree(
    "jet",
    tree(
        "H",
        tree(
            "H_WW",
            tree("H_WW_4q", "H_WW_4q0c", "H_WW_4q1c", "H_WW_4q2c"),
            tree("H_WW_3q", "H_WW_3q0c", "H_WW_3q1c", "H_WW_3q2c"),
            tree(
                "H_WW_lvqq",
                tree("H_WW_evqq", "H_WW_evqq0c", "H_WW_evqq1c"),
                tree("H_WW_mvqq", "H_WW_mvqq0c", "H_WW_mvqq1c"),
                tree("H_WW_tauvqq", "H_WW_tauevqq", "H_WW_taumvqq", "H_WW_tauhvqq0c", "H_WW_tauhvqq1c"),
            ),
        ),
        "H_bb", "H_cc", "H_ss", "H_qq", "H_gg",
        tree("H_tautau", "H_tauhtaue", "H_tauhtaum", "H_tauhtauh"),
    ),
    tree(
        "top",
        tree("top_bqq", "top_bqq0c", "top_bqq1c"),
        tree("top_bq", "top_bq0c", "top_bq1c"),
        tree("top_blv", "top_bev", "top_bmv", tree("top_btauv", "top_btauev", "top_btaumv", "top_btauhv")),
    ),
    tree("W", "W_0c", "W_1c"),
    tree("Z", "Z_bb", "Z_cc", "Z_ss", "Z_qq"),
    tree("QCD", "QCD_bb", "QCD_b", "QCD_cc", "QCD_c", "QCD_others"),
)  # fmt: skip
"""All fine classes; its leaves are what a fine-grained tagger answers."""

JETCLASS_NODES = {
    "Hbb": "H_bb", "Hcc": "H_cc", "Hgg": "H_gg", "H4q": "H_WW_4q", "Hqql": "H_WW_lvqq", "Zqq": "Z", "Wqq": "W",
    "Tbqq": "top_bqq", "Tbl": "top_blv",
}  # fmt: skip
"""The classes of JetClass (arXiv 2202.03772) as classes of `FINE`; QCD has the same name. Most stop at inner nodes."""

PRONGS = ("d", "u", "s", "c", "b", "g", "e", "mu", "tau")
"""What a prong of a jet can be: a quark, a gluon, a charged lepton."""

PRONG = (
    Field(name="pt", unit="GeV", low=0.0, truth=True, text="transverse momentum"),
    Field(name="deta", low=-6.0, high=6.0, truth=True, text="pseudorapidity relative to the jet axis"),
    Field(name="dphi", unit="rad", kind="angle", low=-3.1416, high=3.1416, truth=True, text="azimuth, likewise"),
    Field(name="kind", kind="category", labels=PRONGS, truth=True, text="quark flavour, gluon or charged lepton"),
)
"""Fields of the prongs of a jet: the partons and charged leptons of the decay that lie within its radius."""

MASS = {
    f.name: f
    for f in (
        Field(name="target_mass", unit="GeV", low=0.0, truth=True,
              text="mass of the resonance; of QCD jets, soft-drop mass of the generated jet"),
        Field(name="mass_factor", low=0.0, truth=True, text="target_mass over the invariant mass of the jet"),
    )
}  # fmt: skip
"""What the mass of a jet should be."""


def with_prongs(jets: Schema) -> Schema:
    """A schema of jets with the collection `prong` added."""
    return jets.replace(Collection(name="prong", fields=PRONG))


def by_pattern(labels: Sequence[str]) -> Tree:
    """The classes of JetClass-II (arXiv 2405.12972) as a tree, from the pattern of their names.

    X decays to two bodies, or through Y to three or four, with zero, one or two charged leptons among them; QCD jets
    fall by their heaviest flavours.

    Args:
        labels: `X_bb`, `X_YY_qqb`, `X_YY_bcev`, `QCD_bcs`, …

    Raises:
        ValueError: If a label has another pattern; the message names it.

    Example:
        >>> t = by_pattern(["X_bb", "X_tauhtaue", "X_YY_bbcq", "X_YY_bcev", "X_YY_bbe", "QCD_bbc", "QCD_light"])
        >>> t.below("X_YY"), t.below("QCD")
        (('X_YY_bbcq', 'X_YY_bcev', 'X_YY_bbe'), ('QCD_bbc', 'QCD_light'))
    """
    found: dict[str, dict[str, list[str]]] = {}
    for label in labels:
        above, node = _place(label)
        found.setdefault(above, {}).setdefault(node, []).append(label)
    two_bodies = [tree(node, *of) for node, of in found.pop("X", {}).items()]
    if "X_YY" in found:
        two_bodies.append(tree("X_YY", *(tree(node, *of) for node, of in found.pop("X_YY").items())))
    rest = [tree(above, *(tree(node, *of) for node, of in nodes.items())) for above, nodes in found.items()]
    return tree("jet", *([tree("X", *two_bodies)] if two_bodies else []), *rest)


def _place(label: str) -> tuple[str, str]:
    """Names of the two classes above a label of JetClass-II."""
    kind, _, content = label.partition("_")
    if kind == "QCD" and re.fullmatch("b{0,2}c{0,2}s{0,2}|light", content):
        heavy = content[:2] if content[:2] in ("bb", "cc") else content[:1] if content[:1] in "bc" else "no"
        return "QCD", f"QCD_{heavy}_heavy"
    inside = content.removeprefix("YY_")
    match = re.fullmatch("([bcsqg]{0,4})((?:tau[ehm]|[em]){0,2})(v?)", inside)
    if kind != "X" or not match or not inside:
        raise ValueError(f"class {label!r}: expected names as in JetClass-II, e.g. X_bb, X_YY_bcev or QCD_bcs")
    quarks, leptons, neutrino = match.groups()
    count = len(re.findall("tau[ehm]|[em]", leptons))
    above = "X_YY" if content.startswith("YY_") else "X"
    what = "j" * len(quarks) + ("tau" if "tau" in leptons else "l") * count + neutrino
    return above, f"{above}_to_{what}"
