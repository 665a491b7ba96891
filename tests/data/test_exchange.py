"""Events leave lpm as HDF5, CSV and with a Croissant description, and come back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest
import torch
from typer.testing import CliRunner

from lpm.cli.main import app
from lpm.data.batch import Batch
from lpm.data.fields import FOUR_TOPS, OBJECT_TYPES, events_schema, jets_schema
from lpm.data.io import open_file, write_batches
from lpm.data.io.croissant import describe_sample
from lpm.data.io.exchange import write_csv, write_hdf5
from lpm.records.hashing import hash_file

MET = float(OBJECT_TYPES.index("met"))


def events() -> Batch:
    """Two events: a b jet, a positron and missing momentum; missing momentum alone."""
    rows = torch.tensor([[50.5, 0.5, 1.25, 60.25, 1.0], [20.0, -1.0, -2.5, 31.0, 3.0], [33.0, 0.0, 0.75, 33.0, MET],
                         [7.0, 0.0, -3.0, 7.0, MET]])  # fmt: skip
    schema = events_schema(("weight",), FOUR_TOPS)
    columns = {f"object.{n}": rows[:, i] for i, n in enumerate(schema["object"].names)}
    columns |= {"event.weight": torch.tensor([1.5, -0.25]), "event.label": torch.tensor([0.0, 2.0])}
    return Batch.build(schema, columns, {"object": torch.tensor([3, 1])})


def read(path: Path) -> Batch:
    with open_file(path) as reader:
        return Batch.cat(list(reader.batches()))


def test_rows_are_those_of_the_published_layout(tmp_path: Path) -> None:
    batch = events()
    assert write_csv(tmp_path / "a.csv", [batch], schema=batch.schema) == 2
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "# energies in GeV",
        "0;tttt;1.5;33;0.75;b,60.25,50.5,0.5,1.25;e+,31,20,-1,-2.5",
        "1;ttW;-0.25;7;-3",
    ]


def test_csv_comes_back(tmp_path: Path) -> None:
    batch = events()
    write_csv(tmp_path / "a.csv", [batch[:1], batch[1:]], schema=batch.schema)
    found = read(tmp_path / "a.csv")
    assert found.schema == batch.schema
    assert torch.equal(found.collections["object"].values, batch.collections["object"].values)
    assert torch.equal(found.collections["event"].values, batch.collections["event"].values)


def test_rows_of_others_are_read(tmp_path: Path) -> None:
    """Blanks, a semicolon at the end, and a process that lpm does not know."""
    (tmp_path / "b.csv").write_text("17; njets; 1.0; 12.5; -0.5; j, 80.0, 40.0, 1.3, 0.1; m-, 9, 9, 0, 3.1;\n")
    found = read(tmp_path / "b.csv")
    kinds = [OBJECT_TYPES[int(k)] for k in found.field("object.type").values]
    assert kinds == ["jet", "muon", "met"]
    assert found.field("event.label").values.isnan().all()


def test_rows_that_lpm_wrote_before_they_named_their_unit_are_read(tmp_path: Path) -> None:
    batch = events()
    write_csv(tmp_path / "a.csv", [batch], schema=batch.schema)
    _, _, rows = (tmp_path / "a.csv").read_text().partition("\n")
    (tmp_path / "b.csv").write_text(f"{rows}\n \n")  # blank lines are no events
    found = read(tmp_path / "b.csv")
    assert torch.equal(found.collections["object"].values, batch.collections["object"].values)
    assert found.field("event.weight").values.tolist() == [1.5, -0.25]


IN_MEV = "7;ttbar;1;102549;-2.9662;j,335587,132261,-1.57823,1.02902;j,107341,106680,-0.09898,-2.67901;\n"


@pytest.mark.parametrize(
    ("text", "tree", "scale"),
    [
        (IN_MEV, "MeV", 1e-3),
        (IN_MEV, "GeV", 1.0),  # whoever says so gets it
        (f"# energies in MeV\n{IN_MEV}", None, 1e-3),
        (f"# energies in MeV\n\n{IN_MEV}# the end\n", "MeV", 1e-3),
        (f"# energies in GeV\n{IN_MEV}", None, 1.0),
    ],
)
def test_energies_are_read_in_the_unit_that_is_said(tmp_path: Path, text: str, tree: str | None, scale: float) -> None:
    (tmp_path / "b.csv").write_text(text)
    with open_file(tmp_path / "b.csv", tree=tree) as reader:
        assert (reader.format, len(reader)) == ("objects-csv", 1)
        found = reader.read(0, 1)
    torch.testing.assert_close(found.field("object.pt").values, torch.tensor([132261, 106680, 102549]) * scale)
    torch.testing.assert_close(found.field("object.energy").values, torch.tensor([335587, 107341, 102549]) * scale)
    torch.testing.assert_close(found.field("object.phi").values, torch.tensor([1.02902, -2.67901, -2.9662]))


@pytest.mark.parametrize(
    ("text", "tree", "message"),
    [
        (IN_MEV, None, "pt above 119,470, which looks like MeV, and no line says the unit; say it: --tree MeV"),
        (f"q;\n{IN_MEV}".replace("q", "0;x;1;2;3;q"), None, "say it: --tree MeV"),  # one bad row hides nothing
        (IN_MEV, "keV", "unit 'keV': expected one of GeV, MeV"),
        (f"# energies in GeV\n{IN_MEV}", "MeV", "says that its energies are in GeV; leave MeV out"),
    ],
)
def test_units_that_are_missing_or_wrong_are_named(tmp_path: Path, text: str, tree: str | None, message: str) -> None:
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        open_file(tmp_path / "b.csv", format="objects-csv", tree=tree)
    assert str(error.value).startswith(str(tmp_path / "b.csv"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0;tttt;1;2;3;q,1,1,1,1\n", "object 'q'"),
        ("0;tttt;1;two;3;j,1,1,1,1\n", "could not convert"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "b.csv").write_text(line)
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path / "b.csv")
    assert "b.csv" in str(error.value)


def test_arrays_can_be_read_without_lpm(tmp_path: Path) -> None:
    batch = events()
    write_hdf5(tmp_path / "a.h5", [batch], schema=batch.schema)
    with h5py.File(tmp_path / "a.h5") as file:
        names = list(file["object"].attrs["fields"])
        first = slice(*file["object/offsets"][:2])
        assert file["object/values"][first, names.index("pt")].tolist() == [50.5, 20.0, 33.0]
        assert file["event/values"].shape == (2, 2)


def test_what_is_no_set_of_objects_is_no_csv(tmp_path: Path) -> None:
    schema = jets_schema(["pt"], ["pt"])
    with pytest.raises(ValueError, match=r"write \.h5 instead"):
        write_csv(tmp_path / "a.csv", [], schema=schema)
    assert not list(tmp_path.iterdir())


def test_other_schemas_do_not_spoil_a_file(tmp_path: Path) -> None:
    batch = events()
    path = tmp_path / "a.h5"
    write_hdf5(path, [batch], schema=batch.schema)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="another schema"):
        write_hdf5(path, [batch, batch.select(["object"])], schema=batch.schema)
    assert path.read_bytes() == before


def test_the_command_writes_all_and_describes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    batch = events()
    write_batches("part-0.parquet", [batch], schema=batch.schema)
    for out in ("a.h5", "a.csv", "whole.parquet"):
        result = CliRunner().invoke(app, ["convert", "part-0.parquet", out, "--croissant", "Two events."])
        assert result.exit_code == 0, result.output
        found = json.loads(Path("croissant.json").read_text())
        assert found["distribution"][0]["sha256"] == hash_file(Path(out))
        assert found["description"] == "Two events."
    fields = {f["name"]: f for f in found["recordSet"][0]["field"]}
    assert fields["object_pt"]["repeated"]
    assert not fields["event_label"]["repeated"]
    assert "0 tttt, 1 ttZ" in fields["event_label"]["description"]
    assert fields["object_type"]["dataType"] == "sc:Integer"
    assert found["conformsTo"].endswith("croissant/1.0")
    columns = {f["source"]["extract"]["column"] for f in fields.values()}
    import pyarrow.parquet as pq

    assert columns == set(pq.read_schema("whole.parquet").names)


@pytest.mark.parametrize(("files", "message"), [([], "no file"), (["a.root"], "expected a file ending")])
def test_what_cannot_be_described(files: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        describe_sample([Path(f) for f in files], events().schema, name="x", text="y")
