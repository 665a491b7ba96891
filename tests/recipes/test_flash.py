"""Recipes of flash simulation: tiny twins run, equal seeds give equal tracks, what was not trained on is flagged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matching import matched_objects
from typer.testing import CliRunner

from lpm.cli.main import app
from lpm.data.batch import Batch
from lpm.data.flash import NEUTRALS, OUTCOMES, RINGS, STEP, TRACKS
from lpm.data.io import open_file, write_batches
from lpm.data.matched import FATES, KINDS, MATCHED
from lpm.model.model import Model
from lpm.recipes import RECIPES
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny
from lpm.recipes.reconstruct import apply, is_flash
from lpm.sim.flash import generated, generated_photons, gun, photon_gun
from lpm.sim.flash_production import simulate


@pytest.fixture(scope="module")
def charged() -> Batch:
    return simulate(300, seed=11)


@pytest.fixture(scope="module")
def tracks(charged: Batch, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    folder = tmp_path_factory.mktemp("flash") / "run"
    return execute(tiny(RECIPES["flash.tracks"]()), folder, device="cpu", batch=charged), folder


def test_tracks_of_a_tiny_twin(tracks: tuple[Model, Path], charged: Batch) -> None:
    model, _ = tracks
    assert is_flash(model)
    given = generated(gun(300, np.random.default_rng(0)))
    one, two, other = (list(apply(model, [given[:200], given[200:]], seed=s)) for s in (1, 1, 2))
    assert [len(b) for b in one] == [200, 100]
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.collections["track"].values, b.collections["track"].values)
    assert not torch.equal(one[0].field("particle.outcome").values, other[0].field("particle.outcome").values)
    whole = Batch.cat(one)
    assert set(TRACKS.paths) <= set(whole.schema.paths)
    found = whole.field("particle.outcome").values >= OUTCOMES.index("found")
    assert torch.equal(found, whole.collections["track"].lengths > 0)
    for name in RINGS:
        values = whole.field(f"track.{name}").values
        torch.testing.assert_close(values / STEP, (values / STEP).round(), atol=1e-3, rtol=1e-5)
        assert bool((values[whole.field("track.light").values == 0] == 0).all())
    assert float(whole.field("track.err_x").values.min()) >= 0


def test_what_was_reconstructed_is_not_looked_at(tracks: tuple[Model, Path], charged: Batch) -> None:
    model, _ = tracks
    bare = charged.select([f"particle.{f.name}" for f in TRACKS["particle"].fields if not f.truth])
    (one,), (two,) = (list(apply(model, [b], seed=1)) for b in (charged, bare))
    assert torch.equal(one.collections["track"].values, two.collections["track"].values)


def test_objects_of_a_tiny_twin(tmp_path: Path) -> None:
    matched = matched_objects(400, 1)
    model = execute(tiny(RECIPES["flash.objects"]()), tmp_path, device="cpu", batch=matched)
    assert is_flash(model)
    given = matched.select([f"generated.{f.name}" for f in MATCHED["generated"].fields if not f.truth])
    (one,), (two,), (other,) = (list(apply(model, [b], seed=s)) for b, s in ((matched, 1), (given, 1), (given, 2)))
    assert torch.equal(one.collections["object"].values, two.collections["object"].values)
    assert not torch.equal(one.field("generated.outcome").values, other.field("generated.outcome").values)
    found = one.field("generated.outcome").values >= FATES.index("found")
    assert torch.equal(found, one.collections["object"].lengths > 0)
    assert set(MATCHED.paths) <= set(one.schema.paths)
    jet = one.field("generated.kind").values[found] >= KINDS.index("jet")
    rows = {n: one.field(f"object.{n}").values for n in MATCHED["object"].names}
    assert bool((rows["iso"][jet] == 0).all())
    assert bool((rows["mass"][~jet] == 0).all())
    assert float(rows["response"].min()) >= 0


def test_clusters_of_a_tiny_twin(tmp_path: Path) -> None:
    batch = simulate(60, "photons", seed=3)
    model = execute(tiny(RECIPES["flash.clusters"]()), tmp_path, device="cpu", batch=batch)
    assert is_flash(model)
    given = generated_photons(*photon_gun(80, np.random.default_rng(0)))
    (one,), (two,) = (list(apply(model, [given], seed=1)) for _ in range(2))
    assert torch.equal(one.collections["cluster"].values, two.collections["cluster"].values)
    assert set(NEUTRALS.paths) <= set(one.schema.paths)
    photons, rows = one.collections["photon"], one.collections["cluster"]
    of = photons.offsets[:-1][rows.event] + one.field("cluster.photon").values.long()
    number = one.field("photon.clusters").values
    assert torch.equal(torch.bincount(of, minlength=len(number)), number.long())
    assert torch.equal(one.field("told.clusters").values, number)
    assert bool(rows.values.isfinite().all())
    assert float(one.field("cluster.response").values.min()) >= 0


def test_what_is_unlike_training_is_flagged_and_what_is_wrong_refused(tracks: tuple[Model, Path]) -> None:
    model, _ = tracks
    given = generated(gun(20, np.random.default_rng(0)))
    p = given.field("particle.p").values.clone()
    p[:3] = 1e5
    (made,) = apply(model, [given.with_field("particle", given.schema.field("particle.p"), p)])
    assert made.field("particle.unusual").values[:3].tolist() == [1, 1, 1]
    assert float(made.field("particle.unusual").values.mean()) < 0.5
    for value, message in ((torch.nan, "expected finite numbers, got 1"), (-2.0, "expected at least 0")):
        q = p.clone()
        q[0] = value
        with pytest.raises(ValueError, match=message):
            list(apply(model, [given.with_field("particle", given.schema.field("particle.p"), q)]))
    with pytest.raises(ValueError, match=r"no field particle\.tx"):
        list(apply(model, [given.select(["particle.p"])]))
    with pytest.raises(ValueError, match="no collection 'particle'"):
        list(apply(model, [generated_photons(*photon_gun(5, np.random.default_rng(0)))]))


def test_other_models_reconstruct_nothing(charged: Batch, tmp_path: Path) -> None:
    run = tiny(RECIPES["flash.tracks"]())
    model = execute(
        replace(run, model=replace(run.model, heads={"outcome": run.model.heads["outcome"]})), tmp_path, device="cpu",
        batch=charged,
    )  # fmt: skip
    assert not is_flash(model)
    with pytest.raises(ValueError, match="reconstructs nothing"):
        list(apply(model, [charged]))


def test_on_the_command_line(tracks: tuple[Model, Path], tmp_path: Path) -> None:
    def run(*words: str | Path, code: int = 0) -> str:
        result = CliRunner().invoke(app, [*map(str, words)])
        assert result.exit_code == code, result.output
        return result.output + str(result.exception or "")

    assert "40 particles of charged, in detail" in run("simulate", "flash", tmp_path / "a.parquet", "-n", "40")
    many = generated(gun(3000, np.random.default_rng(1)))
    write_batches(tmp_path / "many.parquet", [many], schema=many.schema)
    folder = tracks[1]
    told = run("predict", folder, tmp_path / "many.parquet", tmp_path / "one.parquet", "--quiet")
    assert "wrote 3000 events to" in told
    run("predict", folder, tmp_path / "many.parquet", tmp_path / "two.parquet", "--quiet", "--seed", "1")
    with open_file(tmp_path / "one.parquet") as reader:
        assert len(reader) == 3000
    out = run("evaluate", "flash", tmp_path / "one.parquet", tmp_path / "two.parquet", "--metrics", "largest", "--json")
    assert '"largest"' in out
    assert "expected a second file" in run("evaluate", "flash", tmp_path / "one.parquet", code=1)
    assert "pid: leave --process out" in run("simulate", "pid", tmp_path / "p", "-n", "9", "--process", "x", code=1)
    assert "flash: leave --compact out; it takes" in run(
        "simulate", "flash", tmp_path / "p", "-n", "9", "--compact", code=1
    )
