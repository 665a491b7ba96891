"""The recipe of fine-grained taggers: bodies, coarse labels, rare and absent classes, holes in the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.fields import JET, JETCLASS
from lpm.data.fine import FINE, MASS
from lpm.data.io.parquet import write_batches
from lpm.recipes.apply import predict
from lpm.recipes.base import RunConfig
from lpm.recipes.events import open_data
from lpm.recipes.execute import execute
from lpm.recipes.fine import fine
from lpm.recipes.jets import tiny
from lpm.tasks import TASKS
from lpm.train.parallel import World

HERE = World(0, 1, torch.device("cpu"))


@pytest.fixture
def jets(toy_jets: Callable[..., Batch]) -> Callable[[list[str]], Batch]:
    """A maker of jets with the given labels, leaves or inner nodes, and with masses."""

    def make(names: list[str]) -> Batch:
        batch = toy_jets(len(names))
        g = torch.Generator().manual_seed(len(names))
        sdmass = torch.rand(len(names), generator=g) * 200
        factor = 1 + 0.1 * torch.randn(len(names), generator=g)
        labels = FINE.names
        field = replace(batch.schema.field("jet.label"), labels=labels)
        columns = {JET["sdmass"]: sdmass, JET["mass"]: sdmass + 10, MASS["mass_factor"]: factor.abs()}
        columns[MASS["target_mass"]] = factor.abs() * (sdmass + 10)
        for name, values in columns.items():
            batch = batch.with_field("jet", name, values)
        return batch.with_field("jet", field, torch.tensor([float(labels.index(n)) for n in names]))

    return make


def leaves(n: int) -> list[str]:
    return [FINE.leaves[i % len(FINE.leaves)] for i in range(n)]


@pytest.mark.parametrize("body", ["lpm", "pfn", "particle_transformer"])
def test_scores_of_all_leaves_and_a_mass(body: str, jets: Callable[[list[str]], Batch], tmp_path: Path) -> None:
    batch = jets(leaves(210))
    run = tiny(fine(size=1, body=body))
    model = execute(replace(run, data=replace(run.data, limit=0)), tmp_path, device="cpu", batch=batch)
    (out,) = predict(model, [batch], "jets")
    scores = torch.stack([out.field(f"jet.score_{n}").values for n in FINE.leaves], 1)
    torch.testing.assert_close(scores.sum(1), torch.ones(210))
    assert bool((out.field("jet.mass_factor_pred").values > 0).all())
    found = TASKS["jets.fine"].evaluate(out, None, 0)
    names = {
        "accuracy",
        "ece",
        "auc[THVV]",
        "rejection[HbbvsQCD]@0.5",
        "mass_width[H].regressed",
        "mass_bias[top].sdmass",
    }
    assert names <= set(found)


def test_files_give_the_weights_that_memory_gives(jets: Callable[[list[str]], Batch], tmp_path: Path) -> None:
    batch = jets(leaves(300))
    for name in ("jets", "valid"):
        write_batches(tmp_path / f"{name}.parquet", [batch], schema=batch.schema)
    run = fine(size=1, data=(str(tmp_path / "jets.parquet"),), valid=(str(tmp_path / "valid.parquet"),))
    on_disk = Batch.cat(list(open_data(run, HERE).once()))
    in_memory = open_data(replace(run, data=replace(run.data, valid=(), held=0.01)), HERE, batch)
    weight = on_disk.field("jet.weight").values
    assert float(weight.mean()) == pytest.approx(1, abs=0.02)
    kept = torch.cat([b.field("jet.weight").values for b in in_memory.once()])
    assert bool(torch.isin(kept, weight).all())


def test_labels_of_jetclass_train_it_too(toy_jets: Callable[..., Batch], tmp_path: Path) -> None:
    batch = toy_jets(200)
    field = replace(batch.schema.field("jet.label"), labels=JETCLASS)
    batch = batch.with_field("jet", field, torch.arange(200) % len(JETCLASS))
    run = tiny(fine(size=1, body="pfn", mass=False, decorrelate=False))
    model = execute(run, tmp_path, device="cpu", batch=batch)
    (out,) = predict(model, [batch], "jets")
    found = TASKS["jets.fine"].evaluate(out, None, 0)
    assert {"auc[HbbvsQCD]", "auc[THVV]", "auc[TvsQCD]"} <= set(found)


def test_the_188_classes_of_jetclass_ii_can_be_asked_for(shared_data: Path, tmp_path: Path) -> None:
    """A head of all leaves trains on the labels of real files of JetClass-II, and its nodes are sums."""
    from lpm.data.fine import by_pattern
    from lpm.data.io import open_file
    from lpm.data.io.jetclass import JETCLASS2
    from lpm.model.heads import ClassifyConfig

    tree = by_pattern(JETCLASS2)
    batch = Batch.cat(list(open_file(shared_data / "jets" / "JetClassII_example.parquet").batches()))
    head = ClassifyConfig(target="jet.label", classes=tree.leaves, groups=tree.groups(), strict=True)
    run = tiny(fine(size=1, body="pfn", mass=False, decorrelate=False))
    run = replace(run, model=replace(run.model, heads={"label": head}))
    model = execute(run, tmp_path, device="cpu", batch=batch)
    p = model.predict(batch)["label"]
    assert p.shape == (100, 188)
    coarse = p[:, [tree.leaves.index(n) for n in tree.below("QCD")]].sum(1)
    assert bool(((coarse > 0) & (coarse < 1)).all())


def test_one_in_a_hundred_thousand(jets: Callable[[list[str]], Batch]) -> None:
    """A class of one event: its weight is large, and bounded."""
    batch = jets(["QCD_others"] * 399 + ["H_bb"])
    many = Batch.cat([batch[399:], *[batch[:399]] * 250])
    assert len(many) == 99_751
    run = tiny(fine(size=1, body="pfn"))
    data = open_data(replace(run, data=replace(run.data, limit=0, budget=200_000, held=0.00001)), HERE, many)
    parts = list(data.once())
    weight = torch.cat([b.field("jet.weight").values for b in parts])
    label = torch.cat([b.field("jet.label").values for b in parts])
    rare = label == FINE.names.index("H_bb")
    assert float(weight.max()) <= 110
    assert int(rare.sum()) == 1
    assert float(weight[rare]) > 5


def test_classes_absent_from_validation_are_no_obstacle(jets: Callable[[list[str]], Batch], tmp_path: Path) -> None:
    train, valid = jets(leaves(126)), jets(["QCD_b", "H_bb"] * 30)
    for name, batch in (("train", train), ("valid", valid)):
        write_batches(tmp_path / f"{name}.parquet", [batch], schema=batch.schema)
    run = tiny(fine(1, (str(tmp_path / "train.parquet"),), (str(tmp_path / "valid.parquet"),), body="pfn"))
    model = execute(replace(run, data=replace(run.data, limit=0)), tmp_path / "run", device="cpu")
    (out,) = predict(model, [valid], "jets")
    found = TASKS["jets.fine"].evaluate(out, None, 0)
    assert "auc[HbbvsQCD]" in found
    assert "auc[THVV]" not in found
    with pytest.raises(ValueError, match="no jets of both signal and background of any of HbbvsQCD, "):
        TASKS["jets.fine"].evaluate(out[::2], None, 0)


def test_missing_features_are_filled_or_named(jets: Callable[[list[str]], Batch], tmp_path: Path) -> None:
    """A feature that was not measured is taken for the mean; without its momentum a particle cannot be placed."""
    batch = jets(leaves(84))
    rows = batch.collections["particle"]
    values = rows.values.clone()
    values[::7, batch.schema["particle"].index("deta")] = torch.nan
    holes = Batch(batch.schema, {**batch.collections, "particle": rows.with_values(values)})
    run = tiny(fine(size=1, body="pfn"))
    run = replace(run, data=replace(run.data, limit=0))
    model = execute(run, tmp_path / "pfn", device="cpu", batch=holes)
    (out,) = predict(model, [holes], "jets")
    assert bool(out.field("jet.score_H_bb").values.isfinite().all())
    run = tiny(fine(size=1, body="particle_transformer"))
    run = replace(run, data=replace(run.data, limit=0))
    with pytest.raises(ValueError, match=r"the loss is not finite: label, mass of .* \(\d+ of those in memory"):
        execute(run, tmp_path / "part", device="cpu", batch=holes)


def test_what_is_missing_or_unknown_is_named(jets: Callable[[list[str]], Batch], tmp_path: Path) -> None:
    batch = jets(leaves(84))
    without = batch.select(["particle", "jet.pt", "jet.label", "jet.mass_factor"])
    with pytest.raises(ValueError, match=r"has no jet\.sdmass, by which events are weighed"):
        execute(tiny(fine(size=1)), tmp_path / "a", device="cpu", batch=without)
    field = replace(batch.schema.field("jet.label"), labels=(*FINE.names[:-1], "Zprime"))
    odd = batch.with_field("jet", field, torch.full((84,), float(len(FINE.names) - 1)))
    with pytest.raises(ValueError, match=r"jet\.label: \d+ events are Zprime, which head 'label' knows no class for"):
        execute(tiny(fine(size=1)), tmp_path / "b", device="cpu", batch=odd)
    with pytest.raises(ValueError, match="body 'resnet': expected lpm, pfn"):
        fine(body="resnet")
    with pytest.raises(ValueError, match=r"expected fields jet\.score_<class>"):
        TASKS["jets.fine"].evaluate(batch, None, 0)


def made(run: RunConfig, batch: Batch | None = None) -> Tensor:
    """The weights of what a run trains on."""
    return Batch.cat(list(open_data(run, HERE, batch).once())).field("jet.weight").values


def test_weights_that_events_come_with_count(jets: Callable[[list[str]], Batch], tmp_path: Path) -> None:
    """They are flattened, not forgotten; and negative ones are refused."""
    batch = jets(leaves(210))
    run = tiny(fine(size=1, body="pfn"))
    heavy = torch.where(torch.arange(210) % 2 == 0, 3.0, 1.0)
    plain = made(run, batch)
    weighted = made(run, batch.with_field("jet", JET["weight"], heavy))
    assert plain.shape == weighted.shape
    assert not torch.allclose(plain, weighted)
    path = tmp_path / "jets.parquet"
    for sign in (1, -1):
        signed = batch.with_field("jet", JET["weight"], torch.where(torch.arange(210) == 5, sign * heavy, heavy))
        write_batches(path, [signed], schema=signed.schema)
        files = replace(run, data=replace(run.data, train=(str(path),)))
        if sign > 0:
            torch.testing.assert_close(made(files), weighted)
        else:
            with pytest.raises(ValueError, match="weights are negative"):
                made(files)


def test_weights_are_judged_over_all_events(jets: Callable[[list[str]], Batch], tmp_path: Path) -> None:
    """A light and a heavy event read together are no reason to refuse a sample in which many are as heavy."""
    batch = jets(leaves(210))
    run = tiny(fine(size=1, body="pfn", decorrelate=False))
    head = replace(run.model.heads["label"], weight="jet.weight")
    run = replace(run, model=replace(run.model, heads={"label": head}))
    run = replace(run, data=replace(run.data, train=(str(tmp_path / "jets.parquet"),), budget=60))
    light = torch.where(torch.arange(210) % 2 == 0, 1.9999, 1e-4)
    for weight, message in ((light, None), (torch.where(torch.arange(210) == 5, 1e4, 1.0), "10,000 times the mean")):
        weighted = batch.with_field("jet", JET["weight"], weight)
        write_batches(tmp_path / "jets.parquet", [weighted], schema=weighted.schema)
        for given in (None, weighted):
            if message:
                with pytest.raises(ValueError, match=message):
                    open_data(run, HERE, given)
            else:
                assert open_data(run, HERE, given).events == 189  # a tenth is held back
