"""Recipes of the generators that a new one is measured by: all share the energies of layers, and what is given.

Each is `calorimeter.flow` with another head for the cells, which makes all voxels of a shower in one go, given the
incident particle and the layers as the backbone has read them.
"""

from __future__ import annotations

from dataclasses import replace

from lpm.model.backbone import BackboneConfig
from lpm.model.heads import AutoencodeConfig, CoupleConfig, HeadConfig, RivalConfig
from lpm.recipes.base import RunConfig
from lpm.recipes.calorimeter import flow
from lpm.train.loop import TrainConfig

__all__ = ["adversarial", "autoencoder", "coupling"]

GIVEN = ("shower", "layer")
"""What the backbone reads."""


def autoencoder(
    size: int = 4,
    data: tuple[str, ...] = ("showers.hdf5",),
    valid: tuple[str, ...] = (),
    dataset: str = "1-photons",
) -> RunConfig:
    """A variational autoencoder (as ATLAS, arXiv 2210.06204).

    Args:
        size: The dial.
        data: Training files, of the CaloChallenge or of `lpm simulate calorimeter`.
        valid: Validation files.
        dataset: Name of the data set: `1-photons`, `1-pions`, `2` or `3`.
    """
    head = AutoencodeConfig(of="patch", given=GIVEN, hidden=64 * size, latent=8 * size)
    return _with(size, flow(size, data, valid, dataset), "autoencoder", "by a variational autoencoder", head)


def coupling(
    size: int = 4,
    data: tuple[str, ...] = ("showers.hdf5",),
    valid: tuple[str, ...] = (),
    dataset: str = "1-photons",
) -> RunConfig:
    """A coupling flow on voxels, as CaloINN (arXiv 2312.09290).

    Args:
        size: The dial.
        data: Training files.
        valid: Validation files.
        dataset: As for `autoencoder`.
    """
    head = CoupleConfig(of="patch", given=GIVEN, hidden=32 * size, couplings=2 * size)
    return _with(size, flow(size, data, valid, dataset), "coupling", "by a coupling flow on voxels", head)


def adversarial(
    size: int = 4,
    data: tuple[str, ...] = ("showers.hdf5",),
    valid: tuple[str, ...] = (),
    dataset: str = "1-photons",
) -> RunConfig:
    """A conditional generative adversarial network, as ATLAS (arXiv 2210.06204).

    Args:
        size: The dial.
        data: Training files.
        valid: Validation files.
        dataset: As for `autoencoder`.
    """
    head = RivalConfig(of="patch", given=GIVEN, hidden=64 * size, noise=16 * size)
    run = _with(size, flow(size, data, valid, dataset), "adversarial", "by a generator and its critic", head)
    return replace(run, train=replace(run.train, betas=(0.0, 0.99), lr=1e-3))


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
