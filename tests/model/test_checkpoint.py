"""Checkpoints: the same model comes back; everything else is refused in one line that names the file."""

import pickle
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import JET, PARTICLE
from lpm.model.adapt import adapt, merge
from lpm.model.checkpoint import check_schema, load, load_part, resolve, save
from lpm.model.model import Model
from lpm.tokens import ContinuousConfig, Transform
from tests.model.test_model import CONFIG, build


@pytest.fixture
def saved(tmp_path: Path, toy_jets: Callable[..., Batch]) -> tuple[Model, Path]:
    model = build(CONFIG, toy_jets()).eval()
    save(model, tmp_path, "# card\n")
    return model, tmp_path


def test_round_trip(saved: tuple[Model, Path], toy_jets: Callable[..., Batch]) -> None:
    model, folder = saved
    copy, batch = load(folder), toy_jets(10)
    assert copy.config == model.config
    for name, answer in model.predict(batch, ("label", "pt", "next")).items():
        assert torch.equal(answer, copy.predict(batch, (name,))[name])
    assert {p.name for p in folder.iterdir()} == {"config.json", "weights.safetensors", "schema.json", "card.md"}


def test_a_pickle_is_never_loaded(saved: tuple[Model, Path]) -> None:
    _, folder = saved
    weights = folder / "weights.safetensors"
    with weights.open("wb") as file:
        pickle.dump({"weight": torch.zeros(2)}, file)
    with pytest.raises(ValueError, match=r"weights\.safetensors: not a safetensors file.*pickles are never loaded"):
        load(folder)
    with pytest.raises(ValueError, match="pickled checkpoints are never loaded"):
        resolve(folder / "model.ckpt")


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "schema.json"])
def test_truncated_files_are_refused_by_name(name: str, saved: tuple[Model, Path]) -> None:
    _, folder = saved
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="restore"):
        load(folder)


def test_missing_files_are_refused(saved: tuple[Model, Path]) -> None:
    _, folder = saved
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match="no such file"):
        load(folder)
    with pytest.raises(ValueError, match="jets-base"):
        resolve(folder / "nowhere")


def test_weights_of_another_size_are_refused(saved: tuple[Model, Path], toy_jets: Callable[..., Batch]) -> None:
    _, folder = saved
    other = build(replace(CONFIG, backbone=replace(CONFIG.backbone, depth=3)), toy_jets())
    with pytest.raises(ValueError, match="part 'backbone' differs"):
        load_part(other, folder, ("backbone",))
    with pytest.raises(ValueError, match="differs"):
        load_part(other, folder, ("back",))


def test_loading_a_body_leaves_the_heads(saved: tuple[Model, Path], toy_jets: Callable[..., Batch]) -> None:
    model, folder = saved
    fresh = build(replace(CONFIG, heads={"label": CONFIG.heads["label"]}), toy_jets(), seed=5)
    before = fresh.state_dict()["heads.label.out.weight"].clone()
    load_part(fresh, folder, ("backbone", "embeds", "prefix", "tokenizers"))
    assert torch.equal(fresh.state_dict()["heads.label.out.weight"], before)
    for name, tensor in fresh.backbone.state_dict().items():
        assert torch.equal(tensor, model.backbone.state_dict()[name])


def test_other_schemas_are_refused(saved: tuple[Model, Path], toy_jets: Callable[..., Batch]) -> None:
    model, _ = saved
    batch = toy_jets()
    check_schema(model, batch.schema, "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet: the model reads particle\.deta"):
        check_schema(model, batch.select(["particle.pt", "particle.dphi", "jet"]).schema, "a.parquet")
    wrong = batch.with_field("particle", replace(PARTICLE["deta"], unit="mm"), batch.field("particle.deta").values)
    with pytest.raises(ValueError, match="in mm"):
        check_schema(model, wrong.schema, "a.parquet")
    more = batch.with_field("jet", JET["mass"], torch.ones(len(batch)))
    check_schema(model, more.schema, "a.parquet")


def test_categories_of_other_labels_are_refused(toy_jets: Callable[..., Batch]) -> None:
    """They are numbers: in another order each would mean another thing."""
    batch = toy_jets()
    kinds = torch.zeros(len(batch.field("particle.pt").values))
    batch = batch.with_field("particle", PARTICLE["type"], kinds)
    fields = (Transform(field="type", form="category"),)
    seen = ContinuousConfig(collection="particle", fields=fields, classes=(5,))
    model = build(replace(CONFIG, tokenizers={"particle": seen}, heads={"label": CONFIG.heads["label"]}), batch)
    check_schema(model, batch.schema, "a.parquet")
    turned = replace(PARTICLE["type"], labels=PARTICLE["type"].labels[::-1])
    other = batch.with_field("particle", turned, kinds)
    with pytest.raises(ValueError, match=r"a\.parquet: particle\.type has the labels .*; convert it with the same"):
        check_schema(model, other.schema, "a.parquet")


def test_tokenizers_of_other_units_are_not_loaded(saved: tuple[Model, Path], toy_jets: Callable[..., Batch]) -> None:
    _, folder = saved
    batch = toy_jets()
    field = replace(batch.schema.field("particle.pt"), unit="mm")
    other = build(CONFIG, batch.with_field("particle", field, batch.field("particle.pt").values))
    with pytest.raises(ValueError, match=r"the data: particle\.pt is a real in mm, .* was trained on a real in GeV"):
        load_part(other, folder, ("tokenizers", "backbone"))
    load_part(other, folder, ("backbone",))


def test_low_rank_adaptation_starts_as_nothing_and_merges_exactly(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(20)
    model = build(CONFIG, batch).eval()
    before = model.predict(batch, ("label",))["label"]
    names = set(model.state_dict())
    adapt(model.backbone, rank=4)
    torch.testing.assert_close(model.predict(batch, ("label",))["label"], before)
    trained = [n for n, p in model.backbone.named_parameters() if p.requires_grad]
    assert trained
    assert all(n.endswith((".a", ".b")) for n in trained)
    for n, p in model.backbone.named_parameters():
        if n.endswith(".b"):
            p.data.normal_(std=0.1)
    changed = model.predict(batch, ("label",))["label"]
    assert not torch.allclose(changed, before)
    merge(model)
    assert set(model.state_dict()) == names
    torch.testing.assert_close(model.predict(batch, ("label",))["label"], changed, atol=1e-5, rtol=1e-4)


def test_a_full_disk_ends_in_one_line(saved: tuple[Model, Path]) -> None:
    resource = pytest.importorskip("resource")
    model, folder = saved
    before = (folder / "weights.safetensors").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(ValueError, match=r"cannot write .*weights\.safetensors.*free space"):
            save(model, folder, "# card\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert (folder / "weights.safetensors").read_bytes() == before


def test_a_run_that_is_not_finished_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(ValueError, match="--resume"):
        resolve(tmp_path)
