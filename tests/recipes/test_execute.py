"""Recipes: the tiny twin of each runs, saves what it promises, resumes, and feeds prediction and generation."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import JET, JETCLASS
from lpm.data.fine import MASS
from lpm.data.io import write_batches
from lpm.model.checkpoint import load
from lpm.recipes import RECIPES, StartConfig
from lpm.recipes.apply import predict, sample_jets
from lpm.recipes.execute import card, execute, read_recipe
from lpm.recipes.jets import observables, tiny
from lpm.records.files import locked
from lpm.records.run import read
from lpm.tokens import Hybrid
from lpm.train.loop import Fit

FILES = {"config.json", "weights.safetensors", "schema.json", "card.md", "run.jsonl", "recipe.json", "training"}


@pytest.fixture
def labelled(toy_jets: Callable[..., Batch]) -> Batch:
    """Jets whose two classes bear names of JetClass, and of partons, with a mass as found and as it should be."""
    batch = toy_jets(400)
    width = batch.field("particle.deta").mean().abs()
    batch = batch.with_field("jet", JET["sdmass"], 400 * width).with_field("jet", MASS["mass_factor"], 1 + width)
    field, label = replace(batch.schema.field("jet.label"), labels=JETCLASS), batch.field("jet.label").values
    batch = batch.with_field("jet", JET["parton"], label * JET["parton"].labels.index("g"))
    return batch.with_field("jet", field, label * JETCLASS.index("Tbqq"))


ELSEWHERE = ("calorimeter.", "flash.", "pid.", "events.", "jets.origin", "jets.tau", "theory.")
"""Recipes that need other data than jets of JetClass: tried in tests of their own."""


@pytest.mark.parametrize("name", [n for n in RECIPES if not n.startswith(ELSEWHERE)])
def test_tiny_twin(name: str, labelled: Batch, tmp_path: Path) -> None:
    config = tiny(RECIPES[name](size=2))
    model = execute(config, tmp_path, device="cpu", batch=labelled)
    assert {p.name for p in tmp_path.iterdir()} >= FILES
    events = [e["event"] for e in read(tmp_path)]
    assert events[0] == "start"
    assert events[-1] == "end"
    assert {"step", "valid", "artefact"} <= set(events)
    assert read_recipe(tmp_path) == config
    copy = load(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), copy.state_dict().values(), strict=True))


def test_the_same_recipe_gives_the_same_weights(labelled: Batch, tmp_path: Path) -> None:
    config = tiny(RECIPES["jets.base"](size=2))
    a, b = (execute(config, tmp_path / n, device="cpu", batch=labelled) for n in "ab")
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_resumed_halfway_gives_the_same_weights(labelled: Batch, tmp_path: Path) -> None:
    config = tiny(RECIPES["jets.base"](size=2))
    config = replace(config, train=replace(config.train, steps=6, save_every=2))

    class StopError(Exception):
        """Not an error of lpm."""

    def stop(event: str, **content: object) -> None:
        if event == "step" and content["step"] == 4:
            raise StopError

    with pytest.raises(StopError):
        execute(config, tmp_path / "a", device="cpu", batch=labelled, tell=stop)
    resumed = execute(config, tmp_path / "a", device="cpu", batch=labelled, resume=True)
    legs = [e for e in read(tmp_path / "a") if e["event"] in ("start", "pause", "end")]
    assert [e["event"] for e in legs] == ["start", "pause", "start", "end"]
    assert all(e["seconds"] > 0 for e in legs[1::2])
    whole = execute(config, tmp_path / "b", device="cpu", batch=labelled)
    assert all(
        torch.equal(x, y) for x, y in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True)
    )


def test_fine_tuning_loads_the_body(labelled: Batch, tmp_path: Path) -> None:
    body = execute(tiny(RECIPES["jets.base"](size=2)), tmp_path / "base", device="cpu", batch=labelled)
    config = tiny(RECIPES["jets.top"](size=2, start=str(tmp_path / "base")))
    frozen = replace(
        config, start=replace(config.start or StartConfig(run=""), frozen=("backbone", "embeds", "prefix"))
    )
    model = execute(frozen, tmp_path / "top", device="cpu", batch=labelled)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, body.backbone.state_dict()[name])
    low = replace(config, start=replace(config.start or StartConfig(run=""), rank=2))
    adapted = execute(low, tmp_path / "low", device="cpu", batch=labelled)
    assert set(adapted.state_dict()) == set(model.state_dict())


def test_a_folder_takes_one_run(labelled: Batch, tmp_path: Path) -> None:
    config = tiny(RECIPES["jets.top"](size=2))
    with pytest.raises(ValueError, match="no run to resume"):
        execute(config, tmp_path, device="cpu", batch=labelled, resume=True)
    execute(config, tmp_path, device="cpu", batch=labelled)
    with pytest.raises(ValueError, match="holds a run already"):
        execute(config, tmp_path, device="cpu", batch=labelled)
    with pytest.raises(ValueError, match="another recipe"):
        execute(replace(config, seed=9), tmp_path, device="cpu", batch=labelled, resume=True)


def test_a_run_that_failed_before_it_saved_may_start_anew_or_resume(labelled: Batch, tmp_path: Path) -> None:
    config = tiny(RECIPES["jets.top"](size=2))
    wrong = replace(config, data=replace(config.data, train=("misspelt.parquet",)))
    with pytest.raises(ValueError, match=r"misspelt\.parquet"):
        execute(wrong, tmp_path, device="cpu")
    with pytest.raises(ValueError, match=r"misspelt\.parquet"):
        execute(wrong, tmp_path, device="cpu", resume=True)
    execute(config, tmp_path, device="cpu", batch=labelled)


def test_a_resumed_run_reads_neither_tokenizer_data_nor_the_start_again(
    labelled: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(RECIPES["jets.base"](size=2))
    whole = execute(config, tmp_path, device="cpu", batch=labelled)
    monkeypatch.setattr(Hybrid, "fit", lambda *_: pytest.fail("fitted again"))
    again = execute(config, tmp_path, device="cpu", batch=labelled, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))
    assert "last training losses: next" in (tmp_path / "card.md").read_text()


def test_two_processes_never_write_one_folder(labelled: Batch, tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ValueError, match="another process"):
        execute(tiny(RECIPES["jets.top"](size=2)), tmp_path, device="cpu", batch=labelled)


def test_the_card_tells_no_folders() -> None:
    config = RECIPES["jets.top"](data=("/home/me/secret/jets.parquet", "sample:jets"), start="/home/me/runs/base")
    text = card(config, Fit(5, {"label": 0.5}))
    assert "jets.parquet, sample:jets" in text
    assert "`base`" in text
    assert "/home" not in text
    assert "nan" not in text


def test_a_head_is_never_left_untrained(toy_jets: Callable[..., Batch], tmp_path: Path) -> None:
    """Observables that the file lacks are computed from the particles, anything else is asked for."""
    jets = toy_jets(60)
    for name in ("jets", "valid"):
        write_batches(tmp_path / f"{name}.parquet", [jets], schema=jets.schema)
    for valid in ((), (str(tmp_path / "valid.parquet"),)):
        config = tiny(RECIPES["jets.base"](size=2, data=(str(tmp_path / "jets.parquet"),), valid=valid))
        config = replace(config, data=replace(config.data, limit=0))
        model = execute(config, tmp_path / f"run{len(valid)}", device="cpu")
        assert "jet.tau4" in model.schema
        assert all(float(model.head(name).out.weight.detach().abs().max()) > 0 for name in observables())
    run = tiny(RECIPES["jets.quark_gluon"](size=2, data=(str(tmp_path / "jets.parquet"),)))
    with pytest.raises(ValueError, match=r"jets.parquet: has no jet\.parton, which head 'label' is to learn; it has"):
        execute(run, tmp_path / "other", device="cpu")


def test_a_damaged_recipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"name": 3}')
    with pytest.raises(ValueError, match=r"recipe\.json: cannot read the recipe"):
        read_recipe(tmp_path)


def test_predictions_stand_beside_the_events(labelled: Batch, tmp_path: Path) -> None:
    model = execute(tiny(RECIPES["jets.classes"](size=2)), tmp_path, device="cpu", batch=labelled)
    (out,) = predict(model, [labelled[:20]], "jets")
    scores = torch.stack([out.field(f"jet.score_{c}").values for c in JETCLASS], 1)
    torch.testing.assert_close(scores.sum(1), torch.ones(20))
    assert torch.equal(out.field("particle.pt").values, labelled[:20].field("particle.pt").values)


def test_sampled_jets_are_ordered_and_described(labelled: Batch, tmp_path: Path) -> None:
    model = execute(tiny(RECIPES["jets.base"](size=2)), tmp_path, device="cpu", batch=labelled)
    (jets,) = sample_jets(model, 30, classes=("QCD", "Tbqq"))
    pt = jets.field("particle.pt")
    assert all(bool((x.diff() <= 0).all()) for x in pt)
    assert {"jet.pt", "jet.mass", "jet.tau21", "jet.label"} <= set(jets.schema.paths)
    with pytest.raises(ValueError, match="class 'b'"):
        next(sample_jets(model, 3, classes=("b",)))
