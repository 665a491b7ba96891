"""Pictures of a jet-origin study are well-formed, and show what they are given."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from lpm.metrics.estimate import Estimate
from lpm.report.origin import limits, migration

FOUND = {
    "alone": {"ss": Estimate(0.3, 0.2, 0.5), "sb": Estimate(0.9, 0.7, 1.3)},
    "with others": {"ss": Estimate(3.0, 2.0, 5.0), "sb": Estimate(1.5, 1.1, 2.0)},
}


def well_formed(text: str) -> bool:
    tree = ElementTree.fromstring(text)
    return tree.attrib["role"] == "img" and not re.search(r"#0[1-4]0[2-5]0[3-6]\b|#0a0b0\d", text)


def test_limits() -> None:
    text = limits(FOUND, x_label="branching ratio [10⁻³]")
    assert well_formed(text)
    assert {"alone", "with others", "ss", "sb"} <= set(re.findall(r">([^<>]+)</text>", text))
    with pytest.raises(ValueError, match="at least one"):
        limits({}, x_label="x")


def test_migration_prints_what_matters() -> None:
    text = migration(np.array([[0.9, 0.1], [0.004, 0.996]]), ["b", "bbar"])
    assert well_formed(text)
    numbers = re.findall(r">(\.\d+|1\.00)</text>", text)
    assert sorted(numbers) == [".10", ".90", "1.00"]
    with pytest.raises(ValueError, match=r"expected a \(3, 3\) matrix"):
        migration(np.eye(2), ["a", "b", "c"])
