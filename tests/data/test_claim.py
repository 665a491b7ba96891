"""A folder belongs to one request and to one process, and says which; what is no request is refused in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lpm.data.farm.claim import MANIFEST, check, claimed

ASKED = {"request": {"seed": 1, "classes": ("a", "b")}, "command": "lpm"}


def test_a_free_folder_is_claimed_and_says_for_what(tmp_path: Path) -> None:
    out = tmp_path / "new" / "sample"
    check(out, ASKED, resume=False)
    assert not out.exists()
    with claimed(out, ASKED, resume=False), pytest.raises(ValueError, match="another process writes to it"):  # noqa: SIM117
        with claimed(out, ASKED, resume=True):
            pass
    assert json.loads((out / MANIFEST).read_text())["request"] == {"seed": 1, "classes": ["a", "b"]}
    with claimed(out, ASKED, resume=True):
        pass
    for cards in ({}, {"cards": {"x": "1"}}):
        with pytest.raises(ValueError, match="was made with another request" + " or other cards" * len(cards)):
            check(out, {**ASKED, "request": {"seed": 2}, **cards}, resume=True)
    with pytest.raises(ValueError, match="holds a sample already; add --resume"):
        check(out, ASKED, resume=False)


@pytest.mark.parametrize("left", [f".{MANIFEST}.7-ab.tmp", ".part-00000.parquet.7-ab.tmp"])
def test_what_a_killed_process_left_stands_in_nobodys_way(left: str, tmp_path: Path) -> None:
    (tmp_path / left).write_text("{")
    with claimed(tmp_path, ASKED, resume=False):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == [".farm", MANIFEST]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe"])
def test_a_note_that_says_nothing_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    said = re.escape(str(tmp_path / MANIFEST))
    with pytest.raises(ValueError, match=rf"^{said}: does not say how the shards were made") as error:
        check(tmp_path, ASKED, resume=True)
    assert "\n" not in str(error.value)


def test_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("x")
    with pytest.raises(ValueError, match=rf"is not empty and holds no {MANIFEST}"), claimed(tmp_path, ASKED, True):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(ValueError, match="cannot write: Not a directory"):
        check(tmp_path / "letter.txt", ASKED, resume=False)
