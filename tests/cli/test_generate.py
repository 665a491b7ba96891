"""`lpm generate` follows a flow where the model has one, and refuses options that the model has no use for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lpm.cli.generate import generate
from lpm.data.batch import Batch
from lpm.data.source import Source
from lpm.model.checkpoint import save
from tests.model.test_model import CONFIG, build


def test_options_go_with_the_head(toy_jets: Callable[..., Batch], tmp_path: Path) -> None:
    config = replace(CONFIG, heads={"flow": CONFIG.heads["flow"]}, pairs=None)
    model = build(config, toy_jets(40))
    model.head("flow").numbers.data[:, 5] = 10.0  # readers refuse jets without particles
    save(model, tmp_path, "# card\n")
    run, out = str(tmp_path), tmp_path / "made.parquet"
    generate(run, out, n=12, classes="all", steps=2, solver="heun", device="cpu", quiet=True)
    made = next(iter(Source(str(out), budget=10_000, seed=0, epochs=1)))
    assert len(made) == 12
    assert "jet.label" in made.schema
    with pytest.raises(ValueError, match="no codes to sharpen"):
        generate(run, out, n=12, top_k=3, device="cpu", quiet=True)
    with pytest.raises(ValueError, match="no flow to follow"):
        generate("jets-base", out, n=12, steps=4, device="cpu", quiet=True)
