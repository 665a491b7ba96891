"""What docs/data-format.md and the cards say is so."""

import re
from pathlib import Path

import numpy as np

from lpm.data.catalog import CATALOG
from lpm.data.io import READERS, open_file
from lpm.data.schema import Schema

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "data-format.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_schema_shown_is_one():
    (text,) = blocks("json")
    schema = Schema.from_json(text)
    assert schema.paths == ("particle.pt", "particle.type", "jet.label")
    assert schema.field("jet.label").truth
    assert Schema.from_json(schema.to_json()) == schema


def test_every_format_is_in_the_table():
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert all(any(f"`{name}`" in row for row in rows) for name in READERS)


def test_own_jets_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = (b for b in blocks("python") if "savez" in b)
    arrays = {"momenta": np.array([[3.0, 0, 0, 5]] * 3), "offsets": np.array([0, 1, 3]), "label": np.array([0, 1])}
    exec(code, arrays)
    with open_file(tmp_path / "jets.npz") as reader:
        (batch,) = reader.batches()
    assert batch.field("jet.mass").values.tolist() == [4.0, 8.0]


def test_every_data_set_has_a_card():
    for entry in CATALOG:
        card = "calochallenge" if entry.name.startswith("calochallenge-") else entry.name  # four on one page
        text = (DOCS / "datasets" / f"{card}.md").read_text()
        for part in (entry.doi, entry.licence, entry.paper, f"lpm fetch {entry.name}", "lpm convert data/"):
            assert part in text, (entry.name, part)
        asked = re.findall(r"--file (\S+)", text)
        assert all(any(a in f.name for f in entry.files) for a in asked)
