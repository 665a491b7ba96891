"""Events of phase space alone: momenta add up, volumes are those of closed forms, colours close, Pythia takes them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from lpm.sim.chunk import Request, simulate_chunk
from lpm.sim.phase_space import MASSES, hard_events, rambo, read_process

pytest.importorskip("pythia8mc", reason="needs the sim extra")


def rows_of(path) -> list[list[list[float]]]:
    """Momenta and masses of each event's lines: status, PDG number, colour, anticolour, px, py, pz, E, m."""
    events: list[list[list[float]]] = []
    for line in path.read_text().splitlines():
        words = line.split()
        if line.startswith("<event"):
            events.append([])
        elif events and len(words) == 13:
            events[-1].append([float(words[i]) for i in (1, 0, 4, 5, 6, 7, 8, 9, 10)])
    return events


def test_momenta_add_up_on_shell() -> None:
    masses = np.array([172.5, 172.5, 91.19])
    p, weight = rambo(np.array([450.0, 600.0, 3000.0]).repeat(50), masses, np.random.default_rng(1))
    np.testing.assert_allclose(p.sum(1)[:, :3], 0.0, atol=1e-6)
    np.testing.assert_allclose(p.sum(1)[:, 3], np.array([450.0, 600.0, 3000.0]).repeat(50), rtol=1e-9)
    np.testing.assert_allclose(
        p[..., 3] ** 2 - (p[..., :3] ** 2).sum(-1), np.broadcast_to(masses**2, (150, 3)), rtol=1e-6
    )
    assert (weight > 0).all()


def test_volume_of_three_particles_is_that_of_the_dalitz_integral() -> None:
    energy, m = 700.0, np.array([172.5, 172.5, 91.19])
    _, weight = rambo(np.full(20_000, energy), m, np.random.default_rng(2))

    def momentum(s: float, a: float, b: float) -> float:
        return np.sqrt(max((s - (a + b) ** 2) * (s - (a - b) ** 2), 0.0)) / (2 * np.sqrt(s))

    def inner(s12: float) -> float:
        return momentum(s12, m[0], m[1]) / np.sqrt(s12) * momentum(energy**2, np.sqrt(s12), m[2]) / energy

    exact = quad(inner, (m[0] + m[1]) ** 2, (energy - m[2]) ** 2)[0]
    massless = energy**2 / 8  # the same integral of massless particles
    error = float(weight.std() / len(weight) ** 0.5)
    assert float(weight.mean()) == pytest.approx(exact / massless, abs=5 * error)


def test_events_are_whole_and_their_colours_close() -> None:
    with hard_events("tttt", 20, 13000.0, 7) as path:
        events = rows_of(path)
        text = path.read_text()
    with hard_events("tttt", 20, 13000.0, 7) as path:
        assert path.read_text() == text
    assert len(events) == 20
    for event in events:
        e = np.array(event)
        incoming = e[:, 0] < 0
        np.testing.assert_allclose(e[incoming, 4:8].sum(0), e[~incoming, 4:8].sum(0), rtol=1e-6, atol=1e-4)
        assert sorted(e[~incoming, 1].tolist()) == [-6, -6, 6, 6]
        ends = np.where(incoming, -1, 1)[:, None] * np.array([1, -1])
        for line in set(e[:, 2:4].flatten().tolist()) - {0.0}:
            assert ends[e[:, 2:4] == line].sum() == 0, "each colour line has two ends"


def test_charge_is_conserved_in_both_directions() -> None:
    with hard_events("ttW", 60, 13000.0, 3) as path:
        events = rows_of(path)
    charge = {24: 3, -24: -3, 6: 2, -6: -2, 2: 2, -2: -2, 1: -1, -1: 1}
    signs = set()
    for event in events:
        total = {s: sum(charge[int(pdg)] for status, pdg, *_ in event if status == s) for s in (-1.0, 1.0)}
        assert total[-1.0] == total[1.0]
        signs.add(total[1.0])
    assert signs == {3, -3}


def test_pythia_showers_and_decays_them() -> None:
    batch = simulate_chunk(Request(n=10, preset="four-tops-phase-space", seed=1, classes=("tttt", "ttW")), 0)
    assert len(batch) == 10
    jets = batch.field("event.jets").values
    assert float(jets.mean()) > 4


def test_what_is_no_process_is_named(tmp_path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text('text = "odd"\ninitial = [[21, 21]]\nfinal = [6, -6, 9]\n')
    with pytest.raises(ValueError, match=r"odd\.toml: final: expected two or more"):
        read_process(str(path))
    assert set(MASSES) == {6, 23, 24, 25}
