"""Recipes for jet origin and four tops: they train on what is simulated, and never see the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import FOUR_TOPS, ORIGINS, events_schema
from lpm.recipes import RECIPES
from lpm.recipes.apply import predict
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny
from lpm.recipes.origin import Identity, origin, seen
from lpm.sim.pair import SCHEMA


def toy(schema, n: int = 40, classes: int = 11) -> Batch:  # type: ignore[no-untyped-def]
    """Events of a schema with numbers at random; what cannot be seen of an event decides its label."""
    g = torch.Generator().manual_seed(1)
    name = schema.names[0]
    lengths = torch.randint(2, 6, (n,), generator=g)
    columns = {}
    for c in schema.collections:
        rows = n if c.single else int(lengths.sum())
        for f in c.fields:
            values = torch.rand(rows, generator=g) + 0.1
            columns[f"{c.name}.{f.name}"] = (values * f.size).floor().clamp_max(f.size - 1) if f.size else values
    label = f"{schema.names[1]}.label"
    columns[label] = (torch.arange(n) % classes).float()
    return Batch.build(schema, columns, {name: lengths})


@pytest.mark.parametrize("identity", get_args(Identity))
def test_jets_are_told_by_eleven_scores(identity: Identity, tmp_path: Path) -> None:
    run = tiny(origin(2, identity=identity))
    batch = toy(SCHEMA)
    model = execute(replace(run, data=replace(run.data, limit=0)), tmp_path / "run", batch=batch)
    [scored] = predict(model, [batch], "toy")
    total = sum(scored.field(f"jet.score_{n}").values for n in ORIGINS)
    torch.testing.assert_close(total, torch.ones(40))


def test_what_is_known_of_particles_grows() -> None:
    none, leptons, hadrons = (seen(i) for i in get_args(Identity))
    assert len(none.fields) < len(leptons.fields) == len(hadrons.fields)
    assert leptons.classes < hadrons.classes
    assert not any(t.field.startswith("d") and t.field[1] in "0z" for t in seen("none", displaced=False).fields)
    with pytest.raises(ValueError, match="expected one of none, leptons, hadrons"):
        seen("kaons")  # type: ignore[arg-type]


@pytest.mark.parametrize("pairs", [True, False])
def test_four_tops_get_one_score_whatever_the_order(pairs: bool, tmp_path: Path) -> None:
    run = tiny(RECIPES["events.four_tops"](2, pairs=pairs))
    batch = toy(events_schema(("ht",), FOUR_TOPS), classes=5)
    model = execute(replace(run, data=replace(run.data, limit=0)), tmp_path / "run", batch=batch)
    [scored] = predict(model, [batch], "toy")
    rows = batch.collections["object"]
    turned = torch.cat(
        [torch.arange(int(b) - 1, int(a) - 1, -1) for a, b in zip(rows.offsets, rows.offsets[1:], strict=False)]
    )
    other = Batch(batch.schema, {**batch.collections, "object": rows.with_values(rows.values[turned])})
    [again] = predict(model, [other], "toy")
    torch.testing.assert_close(again.field("event.score").values, scored.field("event.score").values, rtol=0, atol=1e-6)
