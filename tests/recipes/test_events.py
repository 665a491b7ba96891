"""The events of a run: what is held out, and what each event is called."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import JETCLASS
from lpm.data.io import write_batches
from lpm.recipes import RECIPES, DataConfig
from lpm.recipes.events import open_data
from lpm.train.parallel import World


def test_events_that_went_through_memory_are_named_by_their_file(
    toy_jets: Callable[..., Batch], tmp_path: Path
) -> None:
    """A share is held out, the rest is shuffled in memory, then once more by the stream: the names still fit."""
    batch = toy_jets(60)
    field = replace(batch.schema.field("jet.label"), labels=JETCLASS)
    labels = batch.field("jet.label").values * JETCLASS.index("Tbqq")
    labels[::7] = torch.nan  # not known: such events cannot teach
    batch = batch.with_field("jet", field, labels)
    write_batches(tmp_path / "a.parquet", [batch[:25]], schema=batch.schema)
    write_batches(tmp_path / "b.parquet", [batch[25:]], schema=batch.schema)
    config = RECIPES["jets.top"](data=(str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")), size=2)
    config = replace(config, data=replace(config.data, valid=(), budget=100))
    data = open_data(config, World(0, 1, torch.device("cpu")))
    iterator = iter(data.train)
    next(iterator)
    found = next(iterator)
    names = data.train.names(data.train.state(), list(range(len(found))))
    for name, event in zip(names, found.field("particle.pt"), strict=True):
        file, _, entry = name.partition(":")
        number = int(entry) + (25 if file == "b.parquet" else 0)
        assert number % 7
        torch.testing.assert_close(event, batch[number : number + 1].field("particle.pt").values)


def test_what_is_trained_on_is_not_validated_on(toy_jets: Callable[..., Batch], tmp_path: Path) -> None:
    batch = toy_jets(20)
    (tmp_path / "valid").mkdir()
    for name in ("a.parquet", "valid/b.parquet"):
        write_batches(tmp_path / name, [batch], schema=batch.schema)
    config = RECIPES["jets.base"](data=(str(tmp_path),), valid=(str(tmp_path / "valid" / ".." / "valid"),), size=2)
    with pytest.raises(ValueError, match=r"b\.parquet: among the files to train on and among those to validate on"):
        open_data(config, World(0, 1, torch.device("cpu")))


@pytest.mark.parametrize("held", [1.0, 1.5, -0.1, math.nan])
def test_a_share_that_is_none_is_refused(held: float) -> None:
    with pytest.raises(ValueError, match=r"got data\.held="):
        DataConfig(train=("a.parquet",), held=held)


def test_each_pass_begins_with_the_first_event(toy_jets: Callable[..., Batch], tmp_path: Path) -> None:
    """Every tokenizer is fitted on the same events, though a pass may be left before its end."""
    batch = toy_jets(60)
    for name in ("a", "b"):
        write_batches(tmp_path / f"{name}.parquet", [batch], schema=batch.schema)
    config = RECIPES["jets.base"](data=(str(tmp_path / "a.parquet"),), valid=(str(tmp_path / "b.parquet"),), size=2)
    config = replace(config, data=replace(config.data, budget=100))
    for given in (None, batch):
        data = open_data(config, World(0, 1, torch.device("cpu")), given)
        for again in (data.once, data.valid):
            first = next(iter(again())).field("particle.pt").values
            assert torch.equal(next(iter(again())).field("particle.pt").values, first)
        assert sum(len(b) for b in data.once()) == data.events
