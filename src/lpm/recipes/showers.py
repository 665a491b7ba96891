"""Sample calorimeter showers from a trained model."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.patches import Patches, energies_of
from lpm.model.conditional import fill
from lpm.model.flow_sample import FlowSampleConfig
from lpm.model.model import Model
from lpm.tokens import CellsConfig

__all__ = ["patches_in", "sample_showers"]


def patches_in(model: Model) -> Patches:
    """How the showers that a model makes are cut.

    Raises:
        ValueError: If it makes no showers.
    """
    found = [t.patches for t in model.config.tokenizers.values() if isinstance(t, CellsConfig)]
    if not found:
        raise ValueError("this model makes no showers; train one with lpm train calorimeter.flow")
    return found[0]


def sample_showers(
    model: Model, given: Batch, *, config: FlowSampleConfig | None = None, seed: int = 0
) -> Iterator[Batch]:
    """Showers of incident particles.

    The energies of the cells add up to those of their layers, none is negative, and none is below the threshold.

    Args:
        model: That makes showers: with heads `energies` and `cells`.
        given: What comes in: `shower.energy` and whatever else the model was given in training.
        config: How to follow the flow, and how many showers at a time.
        seed: The same seed and configuration give the same showers.

    Yields:
        Showers in patches (`lpm.data.patches`), `config.batch` at a time, in the order of `given`.

    Raises:
        ValueError: If the model makes no showers, or its training has diverged.
    """
    patches, config = patches_in(model), config or FlowSampleConfig()
    generator = torch.Generator().manual_seed(seed)
    was_training = model.training
    model.eval()
    try:
        for first in range(0, len(given), config.batch):
            part = given[first : first + config.batch]
            incident = part.field("shower.energy").values
            shares = fill(model, patches.lay_out(part), "energies", generator=generator).to("cpu")
            energy = energies_of(_by_shower(shares, "layer.share").double(), incident.double()).to(incident.dtype)
            energy = torch.where(energy >= patches.threshold, energy, 0)
            shell = patches.lay_out(part, energy, _by_shower(shares, "layer.share"))
            yield patches.settle(fill(model, shell, "cells", config=config, generator=generator).to("cpu"))
    finally:
        model.train(was_training)


def _by_shower(batch: Batch, path: str) -> Tensor:
    rows: Ragged = batch.field(path)
    return rows.values.view(len(batch), -1)
