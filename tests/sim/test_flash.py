"""A spectrometer in detail: it bends, fits, rings, showers and identifies as it should, equally for equal seeds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.check import bad_events
from lpm.data.flash import NEUTRALS, OUTCOMES, SPECIES, TRACKS
from lpm.data.io import open_file
from lpm.physics.energyloss import MASS
from lpm.sim import flash_production
from lpm.sim.flash import CELLS, generated, gun, neutrals, particles_of, photon_gun, reconstruct
from lpm.sim.flash_card import read_flash_card
from lpm.sim.flash_production import produce_flash, simulate
from lpm.sim.flight import Generated, fly, layers
from lpm.sim.kalman import fit
from lpm.sim.lead import clusters, deposit
from lpm.sim.rich import angle, likelihoods
from lpm.sim.transport import field, propagate
from lpm.tasks.flash import masses, states

CARD = read_flash_card("forward")


def beam(n: int, species: str, p: float, seed: int = 0) -> Generated:
    """Particles of one kind and momentum from the origin."""
    rng = np.random.default_rng(seed)
    tangent, phi = 1 / np.sinh(rng.uniform(2.5, 4.0, n)), rng.uniform(-np.pi, np.pi, n)
    slope = tangent[:, None] * np.stack([np.cos(phi), np.sin(phi)], 1)
    return Generated(np.zeros((n, 3)), slope, np.full(n, p), rng.choice([-1.0, 1.0], n), np.full(n, species))


@pytest.fixture(scope="module")
def sample() -> Batch:
    return reconstruct(gun(900, np.random.default_rng(4)), CARD, seed=5)


def of(batch: Batch, species: str) -> tuple[torch.Tensor, Batch]:
    some = batch[batch.field("particle.species").values == SPECIES.index(species)]
    return some.field("particle.outcome").values, some


def test_the_field_has_no_curl_and_no_sources() -> None:
    y, h = np.linspace(-500, 500, 11), 0.1
    for z in (2500.0, 5200.0, 7000.0):
        by, bz = field(y, z, CARD.magnet)
        curl = (field(y, z + h, CARD.magnet)[0] - field(y, z - h, CARD.magnet)[0]) / (2 * h)
        curl -= (field(y + h, z, CARD.magnet)[1] - field(y - h, z, CARD.magnet)[1]) / (2 * h)
        source = (field(y + h, z, CARD.magnet)[0] - field(y - h, z, CARD.magnet)[0]) / (2 * h)
        source += (field(y, z + h, CARD.magnet)[1] - field(y, z - h, CARD.magnet)[1]) / (2 * h)
        assert np.abs(curl).max() < 1e-9
        assert np.abs(source).max() < 5e-5  # T / mm; without what is added off the axis 3e-4
        assert by.min() > 0
        assert abs(bz[5]) < 1e-12


def test_there_and_back_again() -> None:
    x = np.array([[3.0, -2.0, 0.05, -0.1, 0.2], [0.0, 0.0, -0.2, 0.02, -0.05]])
    there = propagate(x, 100.0, 9000.0, CARD.magnet, 20.0)
    np.testing.assert_allclose(propagate(there, 9000.0, 100.0, CARD.magnet, 20.0), x, atol=1e-5)
    fine = propagate(x, 100.0, 9000.0, CARD.magnet, 5.0)
    np.testing.assert_allclose(there, fine, atol=1e-3)
    straight = propagate(np.array([[0.0, 0.0, 0.1, 0.2, 0.0]]), 0.0, 1000.0, CARD.magnet, 20.0)
    np.testing.assert_allclose(straight[0, :2], [100.0, 200.0])


def test_what_a_fit_says_of_its_errors_is_true() -> None:
    some = beam(400, "mu", 12.0)
    flight = fly(some, CARD, np.random.default_rng(1))
    z = np.array([layer.z for layer in layers(CARD)])
    good = (flight.seen[:, z < 1000].sum(1) >= 4) & (flight.seen[:, z > 5200].sum(1) >= 10)
    assert good.mean() > 0.9
    found = fit(flight.hits[good], flight.seen[good], some.place[good, 2], CARD)
    truth = np.concatenate([some.place[:, :2], some.slope, (some.charge / some.p)[:, None]], 1)[good]
    pull = (found.state - truth) / np.sqrt(found.covariance[:, range(5), range(5)])
    width = (np.quantile(pull, 0.84, axis=0) - np.quantile(pull, 0.16, axis=0)) / 2
    assert ((width > 0.85) & (width < 1.15)).all(), width
    assert np.abs(np.median(pull, axis=0)).max() < 0.25
    assert 0.9 < (found.chi2 / found.freedom).mean() < 1.1


def test_rings_tell_kaons_from_pions() -> None:
    n, rng = 200, np.random.default_rng(0)
    p, slope, lives = np.full(n, 20.0), np.full(n, 0.05), np.ones(n, dtype=bool)
    pi, kaon = SPECIES.index("pi"), SPECIES.index("K")
    for name, sign in (("pi", -1), ("K", 1)):
        found, used = likelihoods(p, np.full(n, MASS[name]), p, slope, lives, CARD.rich[0], rng)
        assert used.all()
        assert ((found[:, kaon] - found[:, pi]) * sign > 0).mean() > 0.97
    found, used = likelihoods(p, np.full(n, MASS["pi"]), p, slope * 100, lives, CARD.rich[0], rng)
    assert not used.any()
    assert (found == 0).all()
    assert float(angle(np.array([2.0]), np.array([MASS["K"]]), 1.0014)[0]) == 0


def test_showers_keep_their_energy_and_become_clusters() -> None:
    rng, c = np.random.default_rng(0), CARD.calorimeter
    place = np.array([[480.0, 480.0], [480.0, 480.0], [720.0, 480.0], [480.0, 480.0], [500.0, 470.0]])
    grid = deposit(np.full(5, 20.0), place, np.array([0, 1, 1, 2, 2]), 3, CELLS, c, rng)
    np.testing.assert_allclose(grid.sum((1, 2)), [20.0, 40.0, 40.0], rtol=0.12)
    owner, rows = clusters(grid, c)
    assert np.bincount(owner).tolist() == [1, 2, 1]  # one photon, two apart, two that are one
    np.testing.assert_allclose(rows[:, 0], [20.0, 20.0, 20.0, 40.0], rtol=0.15)
    np.testing.assert_allclose(rows[0, 1:3], [480.0, 480.0], atol=15)


def test_numbers_are_fit_for_use(sample: Batch) -> None:
    assert not bool(bad_events(sample).any())
    for c in TRACKS.collections:
        values = sample.collections[c.name].values
        assert bool(values.isfinite().all())
        for i, f in enumerate(c.fields):
            assert f.low is None or float(values[:, i].min()) >= f.low, f.name
            assert f.high is None or float(values[:, i].max()) <= f.high, f.name
    tracks = sample.collections["track"].lengths
    outcome = sample.field("particle.outcome").values
    assert torch.equal(tracks > 0, outcome >= OUTCOMES.index("found"))


def test_species_differ_where_they_should(sample: Batch) -> None:
    muon = OUTCOMES.index("muon")
    shares = {s: float((of(sample, s)[0] == muon).float().mean()) for s in SPECIES}
    assert shares["mu"] > 0.5
    assert max(shares[s] for s in ("e", "pi", "p")) < 0.05
    missed = {s: float((of(sample, s)[0] == OUTCOMES.index("missed")).float().mean()) for s in SPECIES}
    assert missed["K"] > missed["mu"] + 0.05  # decays and interactions
    ep = {s: float(of(sample, s)[1].field("track.ep").values.median()) for s in ("e", "mu")}
    assert ep["e"] > 0.85
    assert ep["mu"] < 0.1
    lost = {s: float((of(sample, s)[1].field("track.dp").values < -0.05).float().mean()) for s in ("e", "mu")}
    assert lost["e"] > 0.15  # electrons radiate ahead of the magnet
    assert lost["mu"] < 0.01


def test_equal_seeds_give_equal_samples() -> None:
    one, two, other = (simulate(60, seed=s) for s in (1, 1, 2))
    for name in TRACKS.names:
        assert torch.equal(one.collections[name].values, two.collections[name].values)
    assert not torch.equal(one.collections["particle"].values, other.collections["particle"].values)
    again = particles_of(one)
    np.testing.assert_allclose(generated(again).field("particle.p").values, one.field("particle.p").values)


def test_groups_of_photons(tmp_path: Path) -> None:
    lengths, photons = photon_gun(60, np.random.default_rng(0))
    batch = neutrals(lengths, photons, CARD, seed=1)
    assert batch.schema == NEUTRALS
    total = states(batch).field("cluster.energy").values.sum() / batch.field("photon.energy").values.sum()
    assert 0.9 < float(total) < 1.15
    number = batch.collections["cluster"].lengths
    assert 0.6 < float(number.sum() / lengths.sum()) < 1.0  # some merge
    told = batch.collections["told"].with_values(batch.field("told.clusters").values[:, None])
    assert torch.equal(told.sum()[:, 0].long(), number)
    alone = torch.from_numpy(lengths == 1) & (number == 1)
    away = batch.field("cluster.dx").values[alone[batch.collections["cluster"].event]]
    assert float(away.abs().max()) < 60.0  # within a cell of its photon
    assert float(away.std()) < 15.0


def test_a_sample_is_completed_and_refused(tmp_path: Path) -> None:
    first = produce_flash(40, tmp_path / "a", seed=3)
    assert first["request"]["process"] == "charged"
    with pytest.raises(ValueError, match="holds a sample already"):
        produce_flash(40, tmp_path / "a", seed=3)
    produce_flash(40, tmp_path / "a", seed=3, resume=True)
    with pytest.raises(ValueError, match="made with another request"):
        produce_flash(40, tmp_path / "a", seed=4, resume=True)
    produce_flash(40, tmp_path / "b.parquet", seed=3)
    with open_file(tmp_path / "b.parquet") as one, open_file(tmp_path / "a" / "part-00000.parquet") as two:
        assert torch.equal(*(next(iter(r.batches())).collections["track"].values for r in (one, two)))
    with pytest.raises(ValueError, match="exists already"):
        produce_flash(40, tmp_path / "b.parquet")


def test_a_shard_that_was_cut_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash_production, "CHUNK", 10)
    monkeypatch.setattr(flash_production, "_SHARD", 2)
    told: list[int] = []
    produce_flash(45, tmp_path, seed=3, done=told.append)
    assert told == [10, 10, 10, 10, 5]
    parts = sorted(tmp_path.glob("*.parquet"))
    whole = [p.read_bytes() for p in parts]
    parts[1].write_bytes(whole[1][:100])
    told.clear()
    produce_flash(45, tmp_path, seed=3, resume=True, done=told.append)
    assert [p.read_bytes() for p in parts] == whole
    assert told == [20, 10, 10, 5]


def test_decays_have_the_mass_of_their_mother() -> None:
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    batch = simulate(60, "bu2jpsik", seed=2)
    assert set(batch.field("particle.mother").values.abs().tolist()) == {521.0}
    counts = batch.field("particle.event").values.unique(return_counts=True)[1]
    assert set(counts.tolist()) == {3}
    made = masses(batch, 3, smeared=False)
    assert len(made) > 3
    np.testing.assert_allclose(made, 5.279, atol=2e-3)
    smeared = masses(batch, 3)
    assert np.median(smeared) < 5.285
    assert smeared.min() > 1.0


def test_what_cannot_be_simulated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="process 'z2mumu': expected one of charged, photons, bu2jpsik"):
        simulate(10, "z2mumu")
    with pytest.raises(ValueError, match="expected at least 1 particle"):
        produce_flash(0, tmp_path / "x")
    with pytest.raises(ValueError, match="no flash card 'atlas': expected one of forward"):
        simulate(10, card="atlas")
    with pytest.raises(ValueError, match="follow one another along z"):
        replace(CARD, plane=CARD.plane[::-1])
    with pytest.raises(ValueError, match="both sides of the magnet"):
        replace(CARD, plane=CARD.plane[:2])
    bad = generated(beam(3, "pi", 5.0))
    wrong = bad.with_field("particle", bad.schema.field("particle.p"), torch.tensor([1.0, -1.0, 2.0]))
    with pytest.raises(ValueError, match=r"particle\.p: expected finite numbers and momenta above 0"):
        particles_of(wrong)
    cells = replace(CARD, calorimeter=replace(CARD.calorimeter, cell=40.0))
    with pytest.raises(ValueError, match="cells of 60 mm, got 40"):
        neutrals(np.array([1]), np.array([[5.0, 480.0, 480.0]]), cells)
