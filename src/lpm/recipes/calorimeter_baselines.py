"""Recipes of the generators that a new one is measured by: all share the energies of layers, and what is given.

Each is `calorimeter.flow` with another head for the cells, which makes all voxels of a shower in one go, given the
incident particle and the layers as the backbone has read them.
"""

from __future__ import annotations

from dataclasses import replace

from lpm.model.backbone import BackboneConfig
from lpm.model.heads import AutoencodeConfig, CascadeConfig, CoupleConfig, HeadConfig, RivalConfig, SpellConfig
from lpm.recipes.base import RunConfig
from lpm.recipes.calorimeter import flow
from lpm.train.config import TrainConfig

__all__ = ["adversarial", "autoencoder", "codes", "coupling", "layers"]

GIVEN = ("shower", "layer")
"""What the backbone reads."""


def autoencoder(
    size: int = 4,
    data: tuple[str, ...] = ("showers.hdf5",),
    valid: tuple[str, ...] = (),
    dataset: str = "1-photons",
    given: tuple[str, ...] = ("energy",),
) -> RunConfig:
    """A variational autoencoder (as ATLAS, arXiv 2210.06204).

    Args:
        size: The dial.
        data: Training files, of the CaloChallenge or of `lpm simulate calorimeter`.
        valid: Validation files.
        dataset: Name of the data set: `1-photons`, `1-pions`, `2` or `3`.
        given: What is told of the incident particle, as for `flow`.
    """
    head = AutoencodeConfig(of="patch", given=GIVEN, hidden=64 * size, latent=8 * size)
    return _with(size, flow(size, data, valid, dataset, given), "autoencoder", "by a variational autoencoder", head)


def coupling(
    size: int = 4,
    data: tuple[str, ...] = ("showers.hdf5",),
    valid: tuple[str, ...] = (),
    dataset: str = "1-photons",
    given: tuple[str, ...] = ("energy",),
) -> RunConfig:
    """A coupling flow on voxels, as CaloINN (arXiv 2312.09290).

    Args:
        size: The dial.
        data: Training files.
        valid: Validation files.
        dataset: As for `autoencoder`.
        given: As for `autoencoder`.
    """
    head = CoupleConfig(of="patch", given=GIVEN, hidden=32 * size, couplings=2 * size)
    return _with(size, flow(size, data, valid, dataset, given), "coupling", "by a coupling flow on voxels", head)


def adversarial(
    size: int = 4,
    data: tuple[str, ...] = ("showers.hdf5",),
    valid: tuple[str, ...] = (),
    dataset: str = "1-photons",
    given: tuple[str, ...] = ("energy",),
) -> RunConfig:
    """A conditional generative adversarial network, as ATLAS (arXiv 2210.06204).

    Args:
        size: The dial.
        data: Training files.
        valid: Validation files.
        dataset: As for `autoencoder`.
        given: As for `autoencoder`.
    """
    head = RivalConfig(of="patch", given=GIVEN, hidden=64 * size, noise=16 * size)
    run = _with(size, flow(size, data, valid, dataset, given), "adversarial", "by a generator and its critic", head)
    return replace(run, train=replace(run.train, betas=(0.0, 0.99), lr=1e-3))


def layers(
    size: int = 4,
    data: tuple[str, ...] = ("showers.hdf5",),
    valid: tuple[str, ...] = (),
    dataset: str = "1-photons",
    given: tuple[str, ...] = ("energy",),
) -> RunConfig:
    """Convolutional flows from layer to layer, as L2LFlows (arXiv 2405.20407).

    Args:
        size: The dial.
        data: Training files.
        valid: Validation files.
        dataset: As for `autoencoder`.
        given: As for `autoencoder`.
    """
    head = CascadeConfig(of="patch", given=GIVEN, hidden=8 * size, planes=4 * size, couplings=2 * size)
    run = _with(size, flow(size, data, valid, dataset, given), "layers", "by flows from layer to layer", head)
    # Planes of all layers at once fill the memory.
    return replace(run, data=replace(run.data, most=128 if dataset.startswith("1") else 8))


def codes(
    size: int = 4,
    data: tuple[str, ...] = ("showers.hdf5",),
    valid: tuple[str, ...] = (),
    dataset: str = "1-photons",
    given: tuple[str, ...] = ("energy",),
) -> RunConfig:
    """Codes of patches, told one after the other, as Calo-VQ (arXiv 2405.06605) in kind.

    Args:
        size: The dial.
        data: Training files.
        valid: Validation files.
        dataset: As for `autoencoder`.
        given: As for `autoencoder`.
    """
    head = SpellConfig(of="patch", given=GIVEN, hidden=32 * size, codes=size)
    return _with(
        size, flow(size, data, valid, dataset, given), "codes", "in codes of patches, one after the other", head
    )


def _with(size: int, run: RunConfig, name: str, how: str, head: HeadConfig) -> RunConfig:
    """The run with another head for the cells."""
    train = TrainConfig(
        steps=run.train.steps, lr=2e-3, warmup=100, ema=0.995, weight_decay=0.01,
        valid_every=500, save_every=500,
    )  # fmt: skip
    return replace(
        run,
        name=f"calorimeter.{name}",
        text=f"Generator of calorimeter showers: energies of layers, then cells {how}.",
        model=replace(
            run.model, backbone=BackboneConfig.sized(max(1, size // 2)), heads={**run.model.heads, "cells": head}
        ),
        data=replace(run.data, most=256),
        train=train,
    )
