"""Identification of tracks: one number a species, whatever is missing; deviations as Gaussians have them."""

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.schema import Field
from lpm.data.tracks import SPECIES
from lpm.sim.pid import simulate
from lpm.tasks import TASKS
from lpm.tasks.nsigma import FAR, calibrate
from lpm.tasks.pid import patterns, truth_of, without

KNOWN = ("e", "mu", "pi", "K", "p")


@pytest.fixture(scope="module")
def tracks() -> Batch:
    return simulate(6_000, seed=5)


def answered(batch: Batch, scores: torch.Tensor) -> Batch:
    for i, name in enumerate(KNOWN):
        batch = batch.with_field("track", Field(name=f"score_{name}", low=0.0, high=1.0), scores[:, i])
    return batch


def test_perfect_answers_are_perfect(tracks: Batch) -> None:
    truth = torch.nn.functional.one_hot(truth_of(tracks, KNOWN), len(KNOWN)).float()
    found = TASKS["pid"].evaluate(answered(tracks, truth), None, 0)
    assert all(e.value == 1 for e in found.values())
    assert {f"{k}[{s}]" for k in ("f1", "purity", "efficiency") for s in KNOWN} <= set(found)
    assert any(name.startswith("f1[K]@") for name in found)
    assert found == TASKS["pid"].evaluate(answered(tracks, truth), tracks, 0)


def test_tracks_of_other_species_are_left_out(tracks: Batch) -> None:
    label = tracks.field("track.species").values.clone()
    label[:10], label[10:20] = SPECIES.index("d"), torch.nan
    some = tracks.with_field("track", tracks.schema.field("track.species"), label)
    scores = torch.rand(len(tracks), len(KNOWN), generator=torch.Generator().manual_seed(0))
    part = TASKS["pid"].evaluate(answered(some, scores), None, 0)
    assert part == TASKS["pid"].evaluate(answered(some, scores)[20:], None, 0)


def test_what_is_missing_is_named(tracks: Batch) -> None:
    with pytest.raises(ValueError, match=r"expected fields track\.score_<species>"):
        TASKS["pid"].evaluate(tracks, None, 0)
    bare = answered(tracks.select(["track.pt", "track.p"]), torch.rand(len(tracks), len(KNOWN)))
    with pytest.raises(ValueError, match=r"no track\.species to compare with"):
        TASKS["pid"].evaluate(bare, None, 0)
    other = tracks.with_field("track", tracks.schema.field("track.species"), torch.full((len(tracks),), 5.0))
    with pytest.raises(ValueError, match="no track is one of the species"):
        TASKS["pid"].evaluate(answered(other, torch.rand(len(tracks), len(KNOWN))), None, 0)


def test_measurements_are_dropped_at_random(tracks: Batch) -> None:
    half, none = without(tracks, 0.5, seed=1), without(tracks, 1.0)
    assert bool((patterns(none) == 0).all())
    assert len(half) == len(none) == len(tracks)
    for name in ("its", "tpc", "tof", "trd"):
        before, after = (b.collections[name].lengths for b in (tracks, half))
        assert bool((after <= before).all())
        assert 0.4 < float(after.sum() / before.sum()) < 0.6
    assert torch.equal(patterns(half), patterns(without(tracks, 0.5, seed=1)))
    assert torch.equal(patterns(without(tracks, 0.0)), patterns(tracks))
    # What stays is as it was.
    rows = half.collections["tpc"]
    whole = tracks.collections["tpc"]
    assert torch.equal(rows.values, whole.values[torch.isin(whole.event, rows.event)])


def test_deviations_are_those_of_gaussians(tracks: Batch) -> None:
    response = calibrate(simulate(40_000, seed=6), KNOWN)
    pulls, labels = response.pulls(tracks), truth_of(tracks, KNOWN).numpy()
    for j in (2, 3, 4):
        own = pulls[labels == j, response.signals.index("tpc.dedx"), j]
        own = own[np.isfinite(own)]
        assert abs(np.median(own)) < 0.15
        assert 0.85 < (np.quantile(own, 0.84) - np.quantile(own, 0.16)) / 2 < 1.2
    distance, probability = response.distance(tracks), response.probability(tracks)
    np.testing.assert_allclose(probability.sum(1), 1.0)
    assert (distance[patterns(tracks).numpy() == 0] == FAR).all()
    assert (probability.argmax(1) == labels).mean() > 0.85
    # Without any detector only the abundances are left, and they know the momentum.
    assert probability[patterns(tracks).numpy() == 0].max() < 0.95


def test_a_detector_without_tracks_of_a_species_tells_nothing_of_it(tracks: Batch) -> None:
    """Neither for nor against: tracks are as far from it as the other detectors say."""
    whole = calibrate(tracks, KNOWN)
    i, j = whole.signals.index("tof.beta"), KNOWN.index("K")
    kaons = truth_of(tracks, KNOWN) == j
    few = tracks.with_field(
        "tof", tracks.schema.field("tof.beta"),
        torch.where(kaons[tracks.collections["tof"].event], torch.nan, tracks.field("tof.beta").values),
    )  # fmt: skip
    part = calibrate(few, KNOWN)
    assert np.isnan(part.mean[i, j]).all()
    assert np.isnan(part.spread[i, j]).all()
    pulls = part.pulls(tracks)
    assert np.isnan(pulls[:, i, j]).all()
    rest = np.delete(pulls[:, :, j], i, axis=1)
    seen = np.isfinite(rest).any(1)
    np.testing.assert_allclose(part.distance(tracks)[seen, j], np.sqrt(np.nanmean(rest[seen] ** 2, 1)).clip(max=FAR))
    assert (part.distance(tracks)[~seen, j] == FAR).all()
    np.testing.assert_array_equal(np.delete(part.distance(tracks), j, 1), np.delete(whole.distance(tracks), j, 1))
    np.testing.assert_allclose(part.probability(tracks).sum(1), 1.0)


def test_a_response_needs_tracks_of_each_species(tracks: Batch) -> None:
    with pytest.raises(ValueError, match="cannot calibrate: no tracks of d"):
        calibrate(tracks, (*KNOWN, "d"))
    with pytest.raises(ValueError, match="no signal to identify by"):
        calibrate(tracks.select(["track"]), KNOWN)
