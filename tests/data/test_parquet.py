import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.io.parquet import ShardReader, read_provenance, read_schema, write_batches
from lpm.data.io.root import RootReader, write_root
from lpm.data.io.spec import check_shard
from lpm.data.schema import Collection, Field, Schema

SCHEMA = Schema(
    name="things",
    collections=(
        Collection(
            name="hit",
            fields=(
                Field(name="t", unit="ns"),
                Field(name="layer", kind="count"),
                Field(name="kind", kind="category", labels=("a", "b", "c")),
                Field(name="good_one", kind="flag"),
            ),
        ),
        Collection(name="event", fields=(Field(name="pt", unit="GeV"), Field(name="label", kind="flag")), single=True),
    ),
)
NAN = float("nan")


def batch(n: int = 20, seed: int = 0) -> Batch:
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 5, (n,), generator=g)
    rows = int(lengths.sum())
    columns = {
        "hit.t": torch.randn(rows, generator=g),
        "hit.layer": torch.randint(-3, 100, (rows,), generator=g),
        "hit.kind": torch.randint(0, 3, (rows,), generator=g),
        "hit.good_one": torch.randint(0, 2, (rows,), generator=g),
        "event.pt": torch.rand(n, generator=g),
        "event.label": torch.randint(0, 2, (n,), generator=g).float(),
    }
    columns["event.label"][2] = NAN
    columns["event.pt"][3] = NAN
    return Batch.build(SCHEMA, columns, {"hit": lengths})


def same(a: Batch, b: Batch) -> bool:
    return all(
        torch.equal(a.collections[n].offsets, b.collections[n].offsets)
        and torch.equal(a.collections[n].values.nan_to_num(-99), b.collections[n].values.nan_to_num(-99))
        for n in a.schema.names
    )


def test_round_trip_in_row_groups(tmp_path):
    parts = [batch(4, 0), batch(8, 1), batch(4, 2), batch(8, 3)]
    path = tmp_path / "x.parquet"
    assert write_batches(path, iter(parts), schema=SCHEMA, row_group=5, provenance={"seed": 3}) == 24
    assert read_schema(path) == SCHEMA
    assert read_provenance(path) == {"creator": "lpm", "seed": 3}
    with ShardReader(path) as reader:
        assert reader.groups == [(0, 5), (5, 10), (10, 15), (15, 20), (20, 24)]
        assert same(Batch.cat(list(reader.batches(size=2))), Batch.cat(parts))
    assert check_shard(path) == []


def test_others_can_read_it(tmp_path):
    path = tmp_path / "x.parquet"
    b = batch()
    write_batches(path, [b], schema=SCHEMA)
    table = pq.read_table(path)
    assert table.column_names == ["hit_t", "hit_layer", "hit_kind", "hit_good_one", "event_pt", "event_label"]
    assert table.schema.field("hit_kind").type == pa.list_(pa.int16())
    assert table.column("event_label")[2].as_py() is None
    assert table.column("hit_layer").to_pylist() == [[int(v) for v in r[:, 1]] for r in b.collections["hit"]]
    frame = table.to_pandas()
    assert frame["event_pt"].isna().tolist() == [i == 3 for i in range(20)]
    assert json.loads(table.schema.metadata[b"lpm.schema"])["name"] == "things"
    assert table.schema.metadata[b"lpm.format"] == b"1"
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_empty_shard(tmp_path):
    path = tmp_path / "x.parquet"
    assert write_batches(path, [], schema=SCHEMA) == 0
    with ShardReader(path) as reader:
        assert len(reader) == 0
        assert list(reader.batches()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("kind", 3.0), ("kind", -1.0), ("kind", 0.5), ("good_one", 2.0), ("layer", 1.5), ("layer", 3e9)],
)
def test_values_their_kind_forbids(tmp_path, field, value):
    b = batch()
    b.field(f"hit.{field}").values[1] = value
    with pytest.raises(ValueError, match=rf"hit\.{field}: a \w+ must be a whole number"):
        write_batches(tmp_path / "x.parquet", [b], schema=SCHEMA)
    assert list(tmp_path.iterdir()) == []


def test_failure_on_the_way_keeps_the_old_shard(tmp_path):
    path = tmp_path / "x.parquet"
    write_batches(path, [batch(4)], schema=SCHEMA)

    def breaks():
        yield batch(6)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_batches(path, breaks(), schema=SCHEMA, row_group=2)
    assert len(ShardReader(path)) == 4
    assert list(tmp_path.iterdir()) == [path]


def test_another_schema_is_refused(tmp_path):
    other = batch().select(["hit.t"])
    with pytest.raises(ValueError, match="expected batches of schema things"):
        write_batches(tmp_path / "x.parquet", [other], schema=SCHEMA)
    with pytest.raises(ValueError, match="row_group: expected at least 1"):
        write_batches(tmp_path / "x.parquet", [], schema=SCHEMA, row_group=0)


def test_foreign_and_broken_parquet(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ValueError, match=r"no shard; make one with `lpm convert`"):
        read_schema(path)
    assert check_shard(path) == ["metadata: no key lpm.schema"]
    path.write_bytes(b"PAR1 and then nothing of the kind PAR1")
    with pytest.raises(ValueError, match="not a readable Parquet file"):
        check_shard(path)


def _rewrite(path, change):
    """The same shard with a change by somebody else's hand."""
    table = pq.read_table(path)
    pq.write_table(change(table), path)


def _with_metadata(key: bytes, value: bytes):
    return lambda t: t.replace_schema_metadata({**t.schema.metadata, key: value})


def _with_column(i: int, name: str, values, kind: pa.DataType):
    return lambda t: t.set_column(i, name, pa.array(values * len(t), kind))


FLOATS = pa.list_(pa.float32())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.drop_columns(["hit_t"]), "column hit_t: missing"),
        (lambda t: t.append_column("more", pa.array(range(len(t)))), "column more: not in the schema"),
        (_with_column(4, "event_pt", [1.0], pa.float64()), "column event_pt: type double, expected float"),
        (_with_column(5, "event_label", [9], pa.int8()), "event_label: values outside 0 to 1"),
        (_with_column(0, "hit_t", [[1.0]], FLOATS), "differ in length"),
        (_with_column(0, "hit_t", [None], FLOATS), "lists are null"),
        (_with_metadata(b"lpm.format", b"7"), "lpm.format is 7, expected 1"),
        (_with_metadata(b"lpm.provenance", b"{"), "no JSON"),
        (_with_metadata(b"lpm.schema", b"{"), "lpm.schema: not a schema"),
    ],
)
def test_departures_from_the_specification_are_listed(tmp_path, change, problem):
    path = tmp_path / "x.parquet"
    write_batches(path, [batch()], schema=SCHEMA)
    _rewrite(path, change)
    found = check_shard(path)
    assert any(problem in line for line in found), found


def test_missing_column_is_refused_by_name(tmp_path):
    path = tmp_path / "x.parquet"
    write_batches(path, [batch()], schema=SCHEMA)
    _rewrite(path, lambda t: t.drop_columns(["hit_t"]))
    with pytest.raises(ValueError, match=r"x\.parquet: missing columns hit_t"):
        ShardReader(path)


def test_lists_of_different_length_are_refused(tmp_path):
    path = tmp_path / "x.parquet"
    write_batches(path, [batch()], schema=SCHEMA)
    _rewrite(path, lambda t: t.set_column(0, "hit_t", pa.array([[1.0]] * len(t), pa.list_(pa.float32()))))
    with (
        ShardReader(path) as reader,
        pytest.raises(ValueError, match=r"x\.parquet: entries 0 to 19: lists of .* differ"),
    ):
        list(reader.batches())


def test_root_writer(tmp_path):
    import uproot

    path, b = tmp_path / "x.root", batch()
    assert write_root(path, [b[:5], b[5:]], schema=SCHEMA) == 20
    with uproot.open(path) as file:
        tree = file["events"]
        assert tree["hit_layer"].array().to_list() == [[int(v) for v in r[:, 1]] for r in b.collections["hit"]]
        assert tree["event_label"].array().to_list()[2] == -1
        assert tree["event_pt"].array()[0] == pytest.approx(float(b.field("event.pt").values[0]))
        assert Schema.from_json(str(file["lpm_schema"])) == SCHEMA
    with pytest.raises(ValueError, match="expected batches of schema"):
        write_root(path, [b.select(["hit.t"])], schema=SCHEMA)
    assert RootReader.__abstractmethods__
    assert [p.name for p in tmp_path.iterdir()] == ["x.root"]
