"""Ragged and Batch: every operation agrees with the same one on Python lists."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lpm.data.batch import Batch, Ragged
from lpm.data.fields import JET, label_field

lists = st.lists(st.lists(st.floats(-1e3, 1e3, width=32), max_size=6), min_size=1, max_size=8)


def ragged(rows: list[list[float]]) -> Ragged:
    flat = torch.tensor([x for row in rows for x in row], dtype=torch.float32)
    return Ragged.from_lengths(flat, torch.tensor([len(r) for r in rows]))


def as_lists(r: Ragged) -> list[list[float]]:
    return [x.tolist() for x in r]


@given(lists)
def test_padding_round_trip(rows: list[list[float]]) -> None:
    r = ragged(rows)
    back = Ragged.from_padded(*r.padded())
    assert as_lists(back) == rows


@given(lists, st.data())
def test_indexing_agrees_with_lists(rows: list[list[float]], data: st.DataObject) -> None:
    r = ragged(rows)
    index = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=10))
    assert as_lists(r[torch.tensor(index, dtype=torch.int64)]) == [rows[i] for i in index]
    a, b = sorted(data.draw(st.tuples(st.integers(0, len(rows)), st.integers(0, len(rows)))))
    assert as_lists(r[a:b]) == rows[a:b]
    mask = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    assert as_lists(r[torch.tensor(mask)]) == [x for x, keep in zip(rows, mask, strict=True) if keep]


@given(lists)
def test_sums_and_positions(rows: list[list[float]]) -> None:
    r = ragged(rows)
    expected = torch.tensor([sum(x) for x in rows], dtype=torch.float32)
    torch.testing.assert_close(r.sum(), expected, atol=1e-2, rtol=1e-4)
    assert r.position.tolist() == [i for row in rows for i in range(len(row))]
    assert r.event.tolist() == [e for e, row in enumerate(rows) for _ in row]


@pytest.mark.parametrize(
    "offsets", [torch.tensor([0, 2]), torch.tensor([1, 3]), torch.tensor([0, 4, 3]), torch.tensor([0.0, 3.0])]
)
def test_bad_offsets_are_refused(offsets: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="offsets"):
        Ragged(torch.zeros(3), offsets)


def test_joining_undoes_slicing(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(20)
    joined = Batch.cat([batch[:7], batch[7:7], batch[7:]])
    for name, r in batch.collections.items():
        assert torch.equal(joined.collections[name].values, r.values)
        assert torch.equal(joined.collections[name].offsets, r.offsets)


def test_with_field_adds_or_exchanges(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(5).with_field("jet", JET["mass"], torch.arange(5.0))
    assert batch.schema.paths[-1] == "jet.mass"
    again = batch.with_field("jet", JET["mass"], torch.ones(5))
    assert again.schema.paths == batch.schema.paths
    assert again.field("jet.mass").values.tolist() == [1.0] * 5
    made = batch.with_field("event", JET["weight"], torch.ones(5))
    assert made.schema["event"].single


def test_select_keeps_schema_order_and_refuses_unknown(toy_jets: Callable[..., Batch]) -> None:
    assert toy_jets(3).select(["jet.label", "particle.pt"]).schema.paths == ("particle.pt", "jet.label")
    with pytest.raises(ValueError, match="mass"):
        toy_jets(3).select(["particle.mass"])


def test_inconsistent_batches_are_refused(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(4)
    with pytest.raises(ValueError, match="expected collections"):
        Batch(batch.schema, {"particle": batch.collections["particle"]})
    with pytest.raises(ValueError, match="events beside"):
        Batch(batch.schema, {**batch.collections, "jet": batch.collections["jet"][:2]})
    with pytest.raises(ValueError, match="different schemas"):
        Batch.cat([batch, batch.with_field("jet", label_field(["a"]), torch.zeros(4))])
    with pytest.raises(ValueError, match="zero batches"):
        Batch.cat([])
