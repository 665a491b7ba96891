"""Tracks of ALICE: an absent detector is an absent row, cluster maps become flags, damage is refused by name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.io import open_file


def whole(path: Path) -> Batch:
    with open_file(path) as reader:
        return Batch.cat(list(reader.batches()))


def test_detectors_that_saw_nothing_have_no_row(write: Callable[..., Path]) -> None:
    batch = whole(write("alice-tracks"))
    assert batch.collections["its"].lengths.tolist() == [1, 1, 1, 1, 1, 1, 0]
    assert batch.collections["tpc"].lengths.tolist() == [0, 1, 1, 1, 1, 1, 1]
    hits = batch.collections["its"].values[:, 1:]
    assert (hits * 2.0 ** torch.arange(6)).sum(1).tolist() == [40, 41, 42, 43, 44, 45]
    assert batch.schema.field("track.species").labels == ("e", "pi", "K", "p")
    assert batch.field("track.species").values.tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert float(batch.field("track.phi").values.abs().max()) <= torch.pi


def change(path: Path, **arrays: np.ndarray) -> Path:
    with np.load(path) as archive:
        old = dict(archive)
    np.savez(path, **{**old, **arrays})
    return path


def test_what_does_not_fit_is_named(write: Callable[..., Path]) -> None:
    path = write("alice-tracks")
    with pytest.raises(ValueError, match=r"tracks\.npz: \(3,\) species for 7 tracks"):
        whole(change(path, species=np.zeros(3, np.int8)))
    with pytest.raises(ValueError, match=r"x \(7, 12\): expected .* missing are pT, eta"):
        whole(change(write("alice-tracks"), columns=np.array(["a"] * 5 + ["b"] + ["c"] * 6)))


def test_real_tracks_lie_on_the_curves_of_their_species(shared_data: Path) -> None:
    with open_file(shared_data / "pid/alice_2010_tracks_100k.npz") as reader:
        (batch,) = list(reader.batches(25_000, 27_000)) if len(reader) else []
    p, signal = batch.field("track.p").values, batch.field("tpc.dedx")
    soft = signal.values[(p > 0.4)[signal.event] & (p < 0.6)[signal.event]]
    assert 45 < float(soft.median()) < 60  # pions near the minimum, in the chamber's unit
