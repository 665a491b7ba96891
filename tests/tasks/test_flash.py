"""Flash simulation as measured: what was added is added, masses come out, wrong samples are refused."""

import numpy as np
import pytest
import torch
from matching import matched_objects

from lpm.data.batch import Batch, Ragged
from lpm.data.flash import NEUTRALS, OUTCOMES, SPECIES, TRACKS, tell
from lpm.physics.energyloss import MASS
from lpm.sim.flash_production import simulate
from lpm.tasks import TASKS
from lpm.tasks.flash import comparisons, masses, states


def random_tracks(n: int, seed: int, shift: float = 0.0) -> Batch:
    """Numbers of no meaning, in the form of tracks."""
    g = torch.Generator().manual_seed(seed)
    found = torch.rand(n, generator=g) < 0.9
    columns = {}
    for c in TRACKS.collections:
        rows = n if c.single else int(found.sum())
        for f in c.fields:
            x = torch.rand(rows, generator=g)
            columns[f"{c.name}.{f.name}"] = (x * f.size).floor() if f.labels else x
    columns["track.dp"] = columns["track.dp"] + shift
    columns["particle.outcome"] = torch.where(found, OUTCOMES.index("found"), 0).float()
    return Batch.build(TRACKS, columns, {"track": found.long()})


def test_what_is_measured_is_what_was_generated_and_what_was_added() -> None:
    batch = simulate(80, seed=2)
    made = states(batch)
    rows = batch.collections["track"].event
    for name, of in (("p", "dp"), ("tx", "dtx"), ("y", "dy")):
        true, added = batch.field(f"particle.{name}").values[rows], batch.field(f"track.{of}").values
        wanted = true * (1 + added) if name == "p" else true + added
        torch.testing.assert_close(made.field(f"track.{name}").values, wanted)
    assert torch.equal(made.field("track.species").values, batch.field("particle.species").values[rows])


def test_clusters_lie_about_their_photons() -> None:
    photons = Ragged.from_lengths(
        torch.tensor([[4.0, 10.0, 0.0], [8.0, 300.0, 0.0], [2.0, 5.0, 5.0]]), torch.tensor([2, 1])
    )
    clusters = Ragged.from_lengths(
        torch.tensor([[7.0, 290.0, 1.0, 20.0], [5.0, 12.0, 0.0, 30.0], [1.0, 0.0, 0.0, 9.0]]), torch.tensor([2, 1])
    )
    batch = tell(photons, clusters, 60.0)
    assert batch.field("photon.clusters").values.tolist() == [1, 1, 1]
    assert batch.field("cluster.photon").values.tolist() == [0, 1, 0]
    made = states(batch)
    for i, name in enumerate(("energy", "x", "y")):
        torch.testing.assert_close(made.field(f"cluster.{name}").values, clusters.values[[1, 0, 2], i])


def test_masses_of_whole_decays() -> None:
    """Two pions back to back across their flight, seen twice; once one of them has no track."""
    half, along = 0.4, 20.0
    p = np.hypot(half, along)
    columns = {path: torch.zeros(4 if path.startswith("particle") else 3) for path in TRACKS.paths}
    columns["particle.p"] = torch.full((4,), p)
    columns["particle.tx"] = torch.tensor([half, -half, half, -half]) / along
    columns["particle.species"] = torch.full((4,), float(SPECIES.index("pi")))
    columns["particle.event"] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    batch = Batch.build(TRACKS, columns, {"track": torch.tensor([1, 1, 1, 0])})
    (found,) = masses(batch, 2)
    assert found == pytest.approx(2 * np.hypot(half, MASS["pi"]), rel=1e-5)
    assert masses(batch, 1).tolist() == pytest.approx([MASS["pi"]], abs=1e-3)


def test_equal_samples_agree_and_others_do_not() -> None:
    one, two, other = random_tracks(6000, 1), random_tracks(6000, 2), random_tracks(6000, 3, shift=0.1)
    same, differs = comparisons(one, two), comparisons(one, other)
    assert set(TRACKS["track"].names) <= set(same)
    assert {f"outcome[{s}]" for s in SPECIES} <= set(same)
    assert max(c.estimate.value for c in same.values()) < 3.5
    assert differs["dp"].estimate.value > 5
    assert differs["dx"].estimate.value < 2.5
    found = TASKS["flash"].evaluate(one, other, 0)
    assert found["largest"].value == max(e.value for n, e in found.items() if n != "largest")


def test_what_a_decay_does_not_give_is_left_out() -> None:
    """Two species, five particles of a third, one outcome of a fourth, and a field that is always the same."""
    sides = []
    for seed in (1, 2):
        batch = random_tracks(8000, seed)
        species = batch.field("particle.species").values.clone()
        species[species >= 3] = 1.0
        species[(species == 2) & (species.eq(2).cumsum(0) > 5)] = 1.0
        found = species == 0
        outcome = torch.where(found, OUTCOMES.index("found"), batch.field("particle.outcome").values)
        for name, values in (("species", species), ("outcome", outcome)):
            batch = batch.with_field("particle", TRACKS["particle"][name], values)
        sides.append(
            batch.with_field("track", TRACKS["track"]["light"], torch.ones(len(batch.collections["track"].values)))
        )
    found = comparisons(*sides)
    assert {"outcome[mu]", "dp", "dp[e]", "dp[mu]"} <= set(found)
    assert not {"outcome[e]", "outcome[pi]", "outcome[p]", "light", "light[mu]", "dp[pi]"} & set(found)
    assert TASKS["flash"].evaluate(*sides, 0)["largest"].value < 3.5


def test_groups_of_photons_are_compared() -> None:
    g = torch.Generator().manual_seed(0)

    def groups(n: int, factor: float) -> Batch:
        columns = {path: torch.rand(2 * n, generator=g) + 0.1 for path in NEUTRALS.paths}
        columns["cluster.response"] = columns["cluster.response"] * factor
        columns["cluster.photon"] = (torch.arange(2 * n) % 2).float()
        twos, other = torch.full((n,), 2), torch.arange(n) % 2 * 2 + 1  # three, one, three, …
        return Batch.build(NEUTRALS, columns, {"photon": twos, "told": twos, "cluster": other})

    same, differs = comparisons(groups(1500, 1.0), groups(1500, 1.0)), comparisons(groups(1500, 2.0), groups(1500, 1.0))
    assert same["mass"].estimate.value < 2.5
    assert differs["energy a photon"].estimate.value > 3
    assert "distance to a photon" in same


def test_photons_of_one_cluster_each_are_compared_in_what_varies() -> None:
    g = torch.Generator().manual_seed(0)

    def groups(n: int) -> Batch:
        columns = {path: torch.rand(2 * n, generator=g) + 0.1 for path in NEUTRALS.paths}
        columns["cluster.response"] = torch.ones(2 * n)
        columns["cluster.photon"] = (torch.arange(2 * n) % 2).float()
        twos = torch.full((n,), 2)
        return Batch.build(NEUTRALS, columns, {"photon": twos, "told": twos, "cluster": twos})

    found = comparisons(groups(1500), groups(1500))
    assert {"energy", "mass"} <= set(found)
    assert not {"clusters a photon", "response"} & set(found)


def test_what_cannot_be_compared_is_refused() -> None:
    small, large = random_tracks(500, 0), random_tracks(1500, 0)
    with pytest.raises(ValueError, match="expected at least 1000 events on both sides, got 500 and 1500"):
        comparisons(small, large)
    with pytest.raises(ValueError, match="expected two samples of tracks, of clusters"):
        comparisons(large, large.select(["particle"]))
    with pytest.raises(ValueError, match="expected a second file"):
        TASKS["flash"].evaluate(large, None, 0)


def test_objects_of_one_distribution_agree_and_a_wrong_scale_is_seen() -> None:
    one, two, scaled = matched_objects(4000, 1), matched_objects(4000, 2), matched_objects(4000, 3, scale=1.06)
    same, other = comparisons(one, two), comparisons(scaled, two)
    assert {"outcome[b_jet]", "response[b_jet]", "mass[jet]", "iso[muon]"} <= set(same)
    assert not {"iso[jet]", "mass[electron]"} & set(same)
    assert all(c.probability > 1e-3 for c in same.values())
    assert other["response[b_jet]"].probability < 1e-6
    with pytest.raises(ValueError, match="expected two samples of tracks, of clusters"):
        comparisons(one, random_tracks(2000, 1))


def test_objects_are_measured_where_they_were_generated() -> None:
    batch = matched_objects(50, 1)
    made, event = states(batch), batch.collections["object"].event
    pt = batch.field("generated.pt").values[event] * batch.field("object.response").values
    torch.testing.assert_close(made.field("object.pt").values, pt)
    assert float(made.field("object.phi").values.abs().max()) <= np.pi + 1e-5
