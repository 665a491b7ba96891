"""Simulation to data: what is mixed has no labels of data, weights and maps bring one sample to the other."""

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.metrics.roc import roc_auc
from lpm.sim.pid import simulate
from lpm.tasks.transfer import density_ratio, drawn, mixed, morphed, recovered, thinned


@pytest.fixture(scope="module")
def pair() -> tuple[Batch, Batch]:
    return simulate(8_000, 1, "mismodelled"), simulate(8_000, 2)


def test_data_lose_their_labels_and_both_get_a_domain(pair: tuple[Batch, Batch]) -> None:
    simulation, data = pair
    both = mixed(simulation, data, "track.species", "track.domain")
    species, domain = (both.field(f"track.{n}").values for n in ("species", "domain"))
    n = len(simulation)
    assert torch.equal(species[:n], simulation.field("track.species").values)
    assert bool(species[n:].isnan().all())
    assert domain.tolist() == [0.0] * n + [1.0] * len(data)
    assert both.schema.field("track.domain").truth  # no tokenizer may see it
    assert torch.equal(both[n:].field("tpc.dedx").values, data.field("tpc.dedx").values)
    # Measured data have no such field at all.
    bare = data.select([p for p in data.schema.paths if p != "track.species"])
    assert torch.equal(mixed(simulation, bare, "track.species", "track.domain").field("track.domain").values, domain)
    with pytest.raises(ValueError, match="must have the same fields"):
        mixed(simulation, data.select(["track", "its"]), "track.species", "track.domain")


def test_weights_of_a_known_ratio() -> None:
    """Two Gaussians a deviation apart: the ratio at x is exp(x - 1/2), and the weighted mean moves by one."""
    x = np.random.default_rng(0).normal(0.0, 1.0, 50_000)
    weights = density_ratio(1 / (1 + np.exp(0.5 - x)), most=1e9)
    assert np.average(x, weights=weights) == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(weights / np.exp(x), (weights / np.exp(x))[0])
    assert density_ratio([0.5, 1.0], most=3.0).tolist() == [0.5, 1.5]
    # More data than simulation among the classifier's events is not a sign of data.
    assert density_ratio([0.8, 0.8], data=0.8).tolist() == [1.0, 1.0]


def test_drawn_events_follow_their_weights(pair: tuple[Batch, Batch]) -> None:
    batch = pair[0]
    seen = batch.collections["tof"].lengths > 0
    made = drawn(batch, seen.double().numpy())
    assert len(made) == len(batch)
    assert bool((made.collections["tof"].lengths > 0).all())
    assert torch.equal(made.field("track.p").values, drawn(batch, seen.double().numpy()).field("track.p").values)


def test_measurements_come_to_be_as_frequent(pair: tuple[Batch, Batch]) -> None:
    simulation, data = pair

    def shares(batch: Batch) -> torch.Tensor:
        seen = torch.stack([(batch.collections[n].lengths > 0).double() for n in ("its", "tpc", "tof", "trd")], 1)
        soft = batch.field("track.pt").values < 0.6
        return torch.stack([seen[soft].mean(0), seen[~soft].mean(0)])

    made = thinned(simulation, data, "track.pt", bins=10)
    assert float((shares(simulation) - shares(data)).max()) > 0.08
    assert float((shares(made) - shares(data)).abs().max()) < 0.02
    assert len(made) == len(simulation)
    assert torch.equal(made.collections["track"].values, simulation.collections["track"].values)
    # What stays is as it was, and a detector that is too bad stays so.
    back = thinned(data, simulation, "track.pt", bins=10)
    assert int(back.collections["tof"].lengths.sum()) > 0.97 * int(data.collections["tof"].lengths.sum())
    rows, whole = made.collections["tof"], simulation.collections["tof"]
    assert torch.equal(rows.values, whole.values[torch.isin(whole.event, rows.event)])


def test_signals_come_to_match(pair: tuple[Batch, Batch]) -> None:
    simulation, data = pair
    made = morphed(simulation, data, ["its.dedx", "tpc.dedx"], "track.p", bins=8)
    for path in ("its.dedx", "tpc.dedx"):
        before, after, wanted = (np.sort(b.field(path).values.numpy()) for b in (simulation, made, data))
        levels = np.linspace(0.05, 0.95, 50)
        far, near = (np.abs(np.quantile(x, levels) - np.quantile(wanted, levels)).mean() for x in (before, after))
        assert near < 0.5 * far
    assert made.schema == simulation.schema
    assert torch.equal(made.field("tof.beta").values, simulation.field("tof.beta").values)
    # Order within a bin is kept, so that the species stay as far apart as they were.
    labels = (
        (simulation.field("track.species").values == 4).double().numpy()[simulation.field("tpc.dedx").event.numpy()]
    )
    aucs = [roc_auc(b.field("tpc.dedx").values.double().numpy(), labels, samples=2).value for b in (simulation, made)]
    assert aucs[0] == pytest.approx(aucs[1], abs=0.02)


def test_a_sample_is_mapped_onto_itself_by_nothing(pair: tuple[Batch, Batch]) -> None:
    batch = pair[0]
    made = morphed(batch, batch, ["tpc.dedx"], "track.p")
    torch.testing.assert_close(made.field("tpc.dedx").values, batch.field("tpc.dedx").values)


def test_a_loss_that_is_none_cannot_be_recovered() -> None:
    assert recovered(0.5, 0.5, 0.9) == 0
    assert recovered(0.5, 0.9, 0.9) == 1
    assert np.isnan(recovered(0.5, 0.6, 0.5))


def test_bad_input_is_named(pair: tuple[Batch, Batch]) -> None:
    with pytest.raises(ValueError, match="score: expected"):
        density_ratio([1.5])
    for weights in ([1.0], np.full(len(pair[0]), -1.0), np.zeros(len(pair[0])), np.full(len(pair[0]), np.nan)):
        with pytest.raises(ValueError, match="weights: expected 8000 finite numbers"):
            drawn(pair[0], weights)
