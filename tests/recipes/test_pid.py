"""Recipes of tracks: their tiny twins run, answer for tracks that no detector saw, and learn."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.io import write_batches
from lpm.model.checkpoint import load
from lpm.recipes import RECIPES
from lpm.recipes.apply import predict
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny
from lpm.sim.pid import simulate
from lpm.tasks import TASKS
from lpm.tasks.pid import patterns, without
from lpm.tasks.transfer import mixed


@pytest.fixture(scope="module")
def tracks() -> Batch:
    return simulate(2_000, seed=7)


def test_tiny_twin_of_all_species(tracks: Batch, tmp_path: Path) -> None:
    execute(tiny(RECIPES["pid.set"]()), tmp_path, device="cpu", batch=tracks)
    (answered,) = predict(load(tmp_path), [tracks], "tracks")
    found = TASKS["pid"].evaluate(answered, None, 0)
    assert {"f1[pi]", "f1[K]@0.3-0.5"} <= set(found)
    scores = torch.stack([answered.field(f"track.score_{s}").values for s in ("e", "mu", "pi", "K", "p")], 1)
    torch.testing.assert_close(scores.sum(1), torch.ones(len(tracks)))
    assert bool((patterns(tracks) == 0).any())  # answered too


def test_one_species_against_the_others(tracks: Batch, tmp_path: Path) -> None:
    write_batches(tmp_path / "tracks.parquet", [tracks], schema=tracks.schema)
    config = RECIPES["pid.binary"](species="p", data=(str(tmp_path / "tracks.parquet"),))
    execute(tiny(config), tmp_path / "run", device="cpu")
    (answered,) = predict(load(tmp_path / "run"), [tracks], "tracks")
    assert bool(((answered.field("track.score").values > 0) & (answered.field("track.score").values < 1)).all())


def test_other_detectors_and_species(tracks: Batch, tmp_path: Path) -> None:
    config = RECIPES["pid.set"](detectors=("tpc",), species=("pi", "K"), charge=False)
    model = execute(tiny(config), tmp_path, device="cpu", batch=tracks.select(["track", "tpc"]))
    assert set(model.tokenizers) == {"track", "tpc"}
    with pytest.raises(ValueError, match="species: expected names out of e, mu, pi, K, p, d, got tau"):
        RECIPES["pid.set"](species=("tau",))
    with pytest.raises(ValueError, match="detectors: expected names out of its, tpc, tof, trd, got hmpid"):
        RECIPES["pid.set"](detectors=("hmpid",))


def test_companions_and_missing_detectors_change_nothing_else(tracks: Batch, tmp_path: Path) -> None:
    """A track is answered alike alone and among others, and like one whose detector is not in the data at all."""
    model = execute(tiny(RECIPES["pid.set"]()), tmp_path, device="cpu", batch=tracks)
    for p in model.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
    some = tracks[:40]
    together = model.predict(some)["species"]
    for i in (0, 9, 39):
        torch.testing.assert_close(together[i : i + 1], model.predict(some[i : i + 1])["species"], atol=1e-6, rtol=1e-5)
    none = without(some, 1.0)
    assert bool(model.predict(none)["species"].isfinite().all())


@pytest.mark.slow
def test_it_learns(tracks: Batch, tmp_path: Path) -> None:
    config = RECIPES["pid.set"]()
    train = replace(config.train, steps=150, warmup=20, ema=0.95, valid_every=0, save_every=0)
    model = execute(replace(config, train=train), tmp_path, device="cpu", batch=simulate(20_000, seed=8))
    (answered,) = predict(model, [tracks], "tracks")
    found = TASKS["pid"].evaluate(answered, None, 0)
    assert all(found[f"f1[{s}]"].value > 0.8 for s in ("e", "pi", "K", "p"))


def test_transfer_learns_from_both_domains(tracks: Batch, tmp_path: Path) -> None:
    both = mixed(simulate(300, 1, "mismodelled"), tracks[:300], "track.species", "track.domain")
    write_batches(tmp_path / "both.parquet", [both], schema=both.schema)
    config = tiny(RECIPES["pid.transfer"](data=(str(tmp_path / "both.parquet"),)))
    model = execute(config, tmp_path / "run", device="cpu")
    assert int(model.state_dict()["heads.domain.seen"]) == 2
    (answered,) = predict(model, [tracks], "tracks")  # which have no domain
    assert "track.score_K" in answered.schema
    with pytest.raises(ValueError, match=r"has no track\.domain, which head 'domain' is to learn"):
        execute(config, tmp_path / "other", device="cpu", batch=tracks)
