"""Baselines of showers from the recipe to showers that add up, one shower at a time or many."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lpm.model.checkpoint import load
from lpm.model.heads import HeadConfig
from lpm.recipes import RECIPES
from lpm.recipes.calorimeter import patches_of
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny
from lpm.recipes.showers import incident, sample_showers
from lpm.sim.calorimeter_production import produce_showers

BASELINES = ("autoencoder", "adversarial", "coupling", "layers", "codes")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("showers") / "train.hdf5"
    produce_showers(100, path, card="1-photons", seed=1)
    return path


def smallest(head: HeadConfig) -> HeadConfig:
    """The same head, two couplings at most."""
    return replace(head, couplings=2) if hasattr(head, "couplings") else head


@pytest.mark.parametrize("name", BASELINES)
def test_what_a_recipe_trains_makes_showers_that_add_up(name: str, file: Path, tmp_path: Path) -> None:
    config = tiny(RECIPES[f"calorimeter.{name}"](size=1, data=(str(file),)))
    heads = {n: smallest(h) for n, h in config.model.heads.items()}
    config = replace(config, model=replace(config.model, heads=heads), data=replace(config.data, limit=40))
    execute(config, tmp_path / "run", device="cpu")
    model, patches = load(tmp_path / "run"), patches_of("1-photons")
    given = incident(model, 30, like=file)
    for batch in sample_showers(model, given, batch=20, seed=1):
        cells = patches.grid(batch)
        assert bool(cells.isfinite().all())
        assert bool(((cells == 0) | (cells >= 1e-3 * (1 - 1e-6))).all())
        sums = torch.stack([part.sum(1) for part in cells.split_with_sizes(patches.sizes, 1)], 1)
        torch.testing.assert_close(sums, batch.field("layer.energy").values.view(len(batch), -1), rtol=1e-5, atol=1e-6)
    assert len(next(sample_showers(model, given[:1], seed=1))) == 1


@pytest.mark.parametrize("dataset", ["1-pions", "2"])
def test_all_baselines_are_built_for_other_data_sets(dataset: str) -> None:
    for name in BASELINES:
        run = RECIPES[f"calorimeter.{name}"](size=1, dataset=dataset)
        built = {n: t.build() for n, t in run.model.tokenizers.items()}
        head = run.model.heads["cells"].build(8, built)
        assert head.voxels == patches_of(dataset).geometry.voxels
