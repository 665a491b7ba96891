"""Lund-plane scale factors: a wrong density of emissions, and a wrong coupling, are corrected towards data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch, Ragged
from lpm.data.fields import jets_schema
from lpm.data.fine import FINE, PRONGS, with_prongs
from lpm.metrics.lund import LundBins, Plane, Radiation, lund_ratio, scale_factor
from lpm.sim.card_files import CARDS
from lpm.sim.chunk import Request, simulate_chunk
from lpm.tasks.lund import badly_matched, correct, measure, quarks, resolve

BINS = LundBins(pt=(150.0, 300.0, 500.0), angle=(1.4, 2.25, 3.1), kt=(-0.1, 0.5, 1.1))
CENTRES = ((0.3, 0.0), (-0.3, 0.1), (0.0, 0.45), (-0.1, -0.45))


def toy(n: int, prongs: int, rate: float, seed: int) -> tuple[Batch, np.ndarray]:
    """Jets of so many quarks, each with `rate` emissions on average, and how many of these are above 1.6 GeV."""
    rng = np.random.default_rng(seed)
    rows, truth, hard = [], [], np.zeros(n)
    for jet in range(n):
        for eta, phi in CENTRES[:prongs]:
            pt = rng.uniform(200, 400)
            rows.append((jet, pt, eta, phi))
            truth.append((jet, pt, eta, phi))
            for _ in range(rng.poisson(rate)):
                kt, delta, turn = np.exp(rng.random()), 0.8 * np.exp(-rng.uniform(1.5, 3)), rng.uniform(0, 2 * np.pi)
                rows.append((jet, kt / delta, eta + delta * np.cos(turn), phi + delta * np.sin(turn)))
                hard[jet] += kt > 1.6
    table, true = torch.tensor(rows).double(), torch.tensor(truth).double()
    schema = with_prongs(jets_schema(["pt", "deta", "dphi"], ["pt"]))
    order = np.lexsort((-table[:, 1].numpy(), table[:, 0].numpy()))
    count = torch.bincount(table[:, 0].long(), minlength=n)
    particles = Ragged.from_lengths(table[order][:, 1:].float(), count)
    kind = torch.full((len(true), 1), float(PRONGS.index("u")))
    quark = torch.cat([true[:, 1:].float(), kind], 1)
    jets = Ragged.single(particles.with_values(particles.values[:, :1]).sum())
    made = {"particle": particles, "jet": jets, "prong": Ragged.from_lengths(quark, torch.full((n,), prongs))}
    return Batch(schema, made), hard


def test_a_wrong_rate_is_corrected_for_jets_of_more_prongs() -> None:
    data, simulation = toy(2000, 2, 0.9, 1)[0], toy(2000, 2, 0.5, 2)[0]
    ratio = measure(data, simulation, BINS)
    # A little less than 0.4: emissions close to one another are one branch of the primary plane.
    assert ((ratio.surplus > 0.2) & (ratio.surplus < 0.4)).all()
    (signal, few), (_, wanted) = toy(1500, 3, 0.5, 3), toy(1500, 3, 0.9, 4)
    cut = 1
    found = correct(ratio, signal, few >= cut)
    before, true = float((few >= cut).mean()), float((wanted >= cut).mean())
    assert true - before > 0.15
    assert found.bad < 0.05
    # Emissions that merge with one another before the quark are not in the primary plane and stay as they are.
    assert 0.5 < (found.corrected.value - before) / (true - before) < 1.2
    assert found.estimate.error < 0.2
    assert found.statistical > 0
    assert found.sample > 0


def test_equal_samples_need_no_correction() -> None:
    one = toy(600, 2, 2.0, 5)[0]
    ratio = measure(one, one, BINS)
    signal, emissions = toy(300, 3, 2.0, 6)
    found = correct(ratio, signal, emissions >= 3, toys=20)
    assert found.value == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(ratio.weights(resolve(signal, quarks(signal).lengths)[0]), 1.0)


def test_background_is_subtracted_with_negative_weights() -> None:
    data, background = toy(800, 2, 2.0, 7)[0], toy(400, 2, 3.0, 8)[0]
    both = Batch.cat([data, background, background])
    weights = np.repeat([1.0, 1.0, -1.0], [800, 400, 400])
    clean, subtracted = (measure(b, data, BINS, weights=(w, None)) for b, w in ((data, None), (both, weights)))
    np.testing.assert_allclose(subtracted.ratio, clean.ratio, rtol=1e-6)
    assert (subtracted.error >= clean.error).all()
    assert subtracted.error.sum() > 1.1 * clean.error.sum()


def test_jets_whose_prongs_merge_are_badly_matched() -> None:
    batch = toy(50, 2, 0.5, 9)[0]
    fine = badly_matched(batch, resolve(batch, torch.full((50,), 2))[1])
    assert fine.mean() < 0.05
    assert badly_matched(batch, resolve(batch, torch.full((50,), 1))[1]).all(), "two quarks and one subjet"
    prongs = batch.collections["prong"]
    far = prongs.values.clone()
    far[:, 1] += 0.5
    moved = Batch(batch.schema, {**batch.collections, "prong": prongs.with_values(far)})
    assert badly_matched(moved, resolve(moved, torch.full((50,), 2))[1]).mean() > 0.9


def radiation(pt: np.ndarray, rate: np.ndarray, prongs: int, seed: int) -> Radiation:
    """Subjets that emit independently, at given rates, within `BINS`."""
    rng = np.random.default_rng(seed)
    subjet = np.repeat(np.arange(len(pt)), rng.poisson(rate))
    delta, kt = 0.8 * np.exp(-rng.uniform(1.5, 3, len(subjet))), np.exp(rng.random(len(subjet)))
    return Radiation(len(pt) // prongs, np.arange(len(pt)) // prongs, pt, subjet, delta, kt)


def test_independent_emissions_are_corrected_exactly() -> None:
    """Rates that depend on pt, two prongs in the calibration and three in the signal: closure within the error."""
    pt = np.random.default_rng(0).uniform(150, 500, 24_000)
    right, wrong = 0.5 + (pt > 300), np.full(24_000, 0.8)
    planes = [Plane.fill(radiation(pt, r, 2, s), BINS) for s, r in enumerate((right, wrong))]
    ratio = lund_ratio(planes[0], planes[1], BINS)
    data, simulation = radiation(pt, right, 3, 2), radiation(pt, wrong, 3, 3)

    def passes(r: Radiation) -> np.ndarray:
        return np.bincount(r.jet[r.subjet], r.kt > 1.6, r.jets) >= 2

    true, before = passes(data).mean(), passes(simulation).mean()
    found = scale_factor(ratio, simulation, passes(simulation))
    assert abs(true - before) > 10 * found.corrected.error
    assert found.corrected.value == pytest.approx(true, abs=2 * np.hypot(found.corrected.error, 0.0055))


def test_harder_subjets_than_measured_cost_an_error() -> None:
    """Rates that change with pt in data only: beyond the last bin nobody knows."""
    pt = np.random.default_rng(0).uniform(150, 500, 6000)
    ratio = lund_ratio(
        Plane.fill(radiation(pt, 1 + pt / 200, 1, 1), BINS),
        Plane.fill(radiation(pt, np.full(6000, 2.5), 1, 2), BINS),
        BINS,
    )
    few, many = (
        radiation(np.full(500, 400.0), np.full(500, 2.5), 1, 3),
        radiation(np.full(500, 1500.0), np.full(500, 2.5), 1, 4),
    )
    inside, beyond = (
        scale_factor(ratio, f, np.bincount(f.subjet, minlength=500) >= 3, toys=5).extrapolation for f in (few, many)
    )
    assert inside == 0
    assert beyond > 0.01


def test_bad_input_is_named() -> None:
    batch = toy(20, 2, 2.0, 1)[0]
    ratio = measure(batch, batch, BINS)
    with pytest.raises(ValueError, match="the jets have no collection prong"):
        correct(ratio, batch.select(["particle", "jet"]), np.ones(20, bool))
    with pytest.raises(ValueError, match="expected 20 choices, some of them true"):
        correct(ratio, batch, np.zeros(20, bool))
    with pytest.raises(ValueError, match="expected subjets in data and in simulation"):
        measure(batch, batch[:0], BINS)


@pytest.mark.slow
def test_another_coupling_is_corrected_towards_the_nominal_one(tmp_path: Path) -> None:
    """Final-state radiation with αs = 0.16 against 0.1365: W jets give the ratio, jets of four prongs are corrected."""
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    card = tmp_path / "heavy.cmnd"
    card.write_text((CARDS / "fine_HWW.cmnd").read_text().replace("25:mMin = 15", "25:mMin = 160"))
    text = (CARDS / "preset" / "fine.toml").read_text()
    text = text.replace("mpi = true", "mpi = false").replace('"cms"', '"none"').replace('"fine_HWW"', f'"{card}"')
    samples = {}
    for name, coupling in (("data", 0.1365), ("simulation", 0.16)):
        path = tmp_path / f"{name}.toml"
        path.write_text(text.replace("settings = [", f'settings = ["TimeShower:alphaSvalue = {coupling}", '))
        for label, count, pt in (("W", 1500, (250.0, 1000.0)), ("HWW", 1500, (400.0, 1000.0))):
            request = Request(n=count, preset=str(path), classes=(label,), pt=pt, seed=hash_of(name + label))
            samples[name, label] = simulate_chunk(request, 0)
    ratio = measure(samples["data", "W"], samples["simulation", "W"])
    four = torch.tensor([FINE.leaves.index(leaf) for leaf in FINE.below("H_WW_4q")])
    both = [samples[name, "HWW"] for name in ("data", "simulation")]
    data, simulation = (b[torch.isin(b.field("jet.label").values.long(), four)] for b in both)
    tau43 = [b.field("jet.tau4").values / b.field("jet.tau3").values for b in (data, simulation)]
    cut = float(tau43[1].median())
    passed = [(t < cut).numpy() for t in tau43]
    found, true = correct(ratio, simulation, passed[1]), float(passed[0].mean())
    error = np.hypot(found.corrected.error, (true * (1 - true) / len(data)) ** 0.5)
    assert abs(found.corrected.value - true) < abs(found.efficiency - true)
    assert found.corrected.value == pytest.approx(true, abs=2 * error)


def hash_of(name: str) -> int:
    return sum(map(ord, name))
