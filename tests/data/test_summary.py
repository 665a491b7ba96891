import json
import math

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.schema import Collection, Field, Schema
from lpm.data.summary import summarise

SCHEMA = Schema(
    name="things",
    collections=(
        Collection(
            name="hit",
            fields=(
                Field(name="energy", unit="GeV", low=0.0, high=5.0),
                Field(name="kind", kind="category", labels=("a", "b")),
            ),
        ),
    ),
)


def batch(energy: list[float], kind: list[float], lengths: list[int]) -> Batch:
    return Batch.build(
        SCHEMA, {"hit.energy": torch.tensor(energy), "hit.kind": torch.tensor(kind)}, {"hit": torch.tensor(lengths)}
    )


def test_counts_ranges_and_faults_over_batches():
    nan, inf = float("nan"), float("inf")
    made = summarise(
        [batch([1.0, 2.0, 9.0], [0, 1, 1], [2, 0, 1]), batch([nan, -1.0, inf], [nan, 0, 5], [1, 1, 1])], SCHEMA
    )
    e, kind = made.fields["hit.energy"], made.fields["hit.kind"]
    assert (made.events, made.bad) == (6, 3)
    assert (e.count, e.nan, e.inf, e.low, e.high, e.min, e.max) == (6, 1, 1, 1, 1, -1.0, 9.0)
    assert e.mean == pytest.approx(11 / 4)
    assert e.std == pytest.approx(torch.tensor([1.0, 2, 9, -1]).std(correction=0).item())
    assert kind.categories == {"a": 2, "b": 2}
    assert (kind.nan, kind.high) == (1, 1)
    hits = made.collections["hit"]
    assert (hits.rows, hits.min, hits.max, hits.mean) == (6, 0, 2, 1.0)
    assert sum(e.histogram) == 4


def test_large_samples_are_thinned_but_exact_where_it_matters():
    g = torch.Generator().manual_seed(0)
    parts = [(torch.randn(250_000, generator=g) + 1000).tolist() for _ in range(4)]
    made = summarise((batch(p, [0.0] * len(p), [len(p)]) for p in parts), SCHEMA).fields["hit.energy"]
    x = torch.tensor(parts, dtype=torch.float64).flatten()
    assert made.count == 1_000_000
    assert made.mean == pytest.approx(float(x.mean()), abs=1e-4)
    assert made.std == pytest.approx(1.0, abs=1e-2)
    assert made.quantiles[2] == pytest.approx(1000.0, abs=0.02)
    assert made.min == pytest.approx(float(x.min()), abs=1e-3)


def test_the_thinned_sample_is_of_the_whole_file():
    """As many rows are kept as were ever to be; a file sorted by class is not told by its first half."""
    parts = [[value] * 190_000 for value in (1.0, 3.0)]
    made = summarise((batch(p, [0.0] * len(p), [len(p)]) for p in parts), SCHEMA).fields["hit.energy"]
    assert made.quantiles == (1.0, 1.0, pytest.approx(2.0, abs=1.0), 3.0, 3.0)
    assert made.edges == (1.0, 3.0)
    assert sum(made.histogram) == 190_000
    assert made.histogram[0] == made.histogram[-1] == 95_000


def test_nothing_at_all_is_json():
    made = summarise([], SCHEMA)
    assert made.events == 0
    assert math.isnan(made.fields["hit.energy"].mean)
    text = json.dumps(made.to_json(), allow_nan=False)
    assert json.loads(text)["fields"]["hit.energy"]["mean"] is None
    one = summarise([batch([1.0], [0.0], [1])], SCHEMA).fields["hit.energy"]
    assert one.histogram == (1,)
