"""Jets of electron-positron collisions: everything is clustered, turning keeps masses, labels follow the partons."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import ORIGINS, SPECIES
from lpm.sim.card_files import read_detector, read_preset
from lpm.sim.chunk import Request, simulate_chunk
from lpm.sim.detector import reconstruct
from lpm.sim.pair import SCHEMA, cluster, find_pair, origins, turned
from lpm.sim.pythia import Partons, generate

pytest.importorskip("pythia8mc", reason="needs the sim extra")


@pytest.fixture(scope="module")
def jets() -> Batch:
    return simulate_chunk(Request(n=198, preset="jet-origin-higgs", seed=3), 0)


def two(ids: tuple[int, int], *directions: tuple[float, float, float]) -> Partons:
    p = 60 * np.asarray(directions)
    root = np.zeros(2, dtype=np.int64)
    return Partons(event=root, pdg_id=np.asarray(ids), px=p[:, 0], py=p[:, 1], pz=p[:, 2], energy=np.full(2, 60.0),
                   root=root, root_id=root + 25)  # fmt: skip


def test_labels_belong_to_the_nearest_partons() -> None:
    axis = np.array([[1.0, 0.0, 0.0], [-0.6, 0.8, 0.0]])
    assert [ORIGINS[i] for i in origins(axis, two((3, -3), (1, 0, 0), (-0.6, 0.8, 0)))] == ["s", "sbar"]
    assert [ORIGINS[i] for i in origins(axis, two((3, -3), (-0.6, 0.8, 0), (1, 0, 0)))] == ["sbar", "s"]
    assert [ORIGINS[i] for i in origins(axis, two((21, 21), (1, 0, 0), (0, 1, 0)))] == ["g", "g"]


def test_turning_is_a_rotation() -> None:
    rng = np.random.default_rng(0)
    p, axis = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    pt, eta, phi = turned(p, axis)
    q = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], 1)
    np.testing.assert_allclose(np.linalg.norm(q, axis=1), np.linalg.norm(p, axis=1))
    np.testing.assert_allclose(q[:, 0], (p * axis).sum(1), atol=1e-12)
    np.testing.assert_allclose(turned(axis, axis)[1:], 0, atol=1e-12)


def test_every_object_is_in_one_of_two_jets() -> None:
    preset, rng = read_preset("jet-origin-higgs"), np.random.default_rng(0)
    settings = ["Beams:eCM = 240.", "PartonLevel:MPI = off", *preset.settings, "HiggsSM:ffbar2HZ = on",
                "23:onMode = off", "23:onIfAny = 12"]  # fmt: skip
    events = next(generate(settings, 1, 20))
    objects = reconstruct(events.particles, read_detector("cepc"), rng)
    objects = objects.take(np.bincount(objects.event, minlength=20)[objects.event] > 1)
    jet = cluster(objects, len(np.unique(objects.event)))
    number = np.unique(objects.event, return_inverse=True)[1]
    assert (jet // 2 == number).all()
    energy = np.bincount(jet, objects.energy).reshape(-1, 2)
    assert (energy[:, 0] >= energy[:, 1]).all()
    assert (energy[:, 1] > 0).all()


def test_origins_come_in_equal_numbers(jets: Batch) -> None:
    assert jets.schema == SCHEMA
    assert len(jets) == 198
    assert (torch.bincount(jets.field("jet.label").values.long(), minlength=11) == 18).all()


def test_jets_are_physical(jets: Batch) -> None:
    energy, mass = jets.field("jet.energy").values, jets.field("jet.mass").values
    assert 55 < float(energy.median()) < 72, "half a Higgs boson of little momentum"
    assert (mass < energy).all()
    rows = jets.collections["particle"]
    inside = rows.with_values(jets.field("particle.energy").values).sum()
    torch.testing.assert_close(inside, energy, rtol=1e-4, atol=1e-3)
    pt, deta, dphi = (jets.field(f"particle.{n}").values for n in ("pt", "deta", "dphi"))
    along, across = pt * dphi.cos(), torch.stack([pt * dphi.sin(), pt * torch.sinh(deta)], 1)
    assert (rows.with_values(along).sum() > 0).all()
    torch.testing.assert_close(rows.with_values(across).sum(), torch.zeros(198, 2), rtol=0, atol=0.05)


def test_displacement_tells_bottom_from_light_and_is_mostly_ahead(jets: Batch) -> None:
    label = jets.field("jet.label").values
    charged = (jets.field("particle.charge").values != 0) & (jets.field("particle.pt").values > 1)
    significance = jets.field("particle.d0_sig").values
    event = jets.collections["particle"].event

    def of(*names: str) -> torch.Tensor:
        chosen = torch.isin(label, torch.tensor([float(ORIGINS.index(n)) for n in names]))
        return significance[charged & chosen[event]]

    bottom, light = of("b", "bbar"), of("u", "ubar", "d", "dbar")
    assert (bottom > 3).float().mean() > 3 * (light > 3).float().mean()
    assert (bottom > 5).sum() > 2 * (bottom < -5).sum(), "the sign is that of a lifetime"
    assert 0.8 < light[light.abs() < 3].std() < 1.2, "tracks from the vertex lie within their errors"


def test_strange_jets_hold_energetic_kaons(jets: Batch) -> None:
    label, event = jets.field("jet.label").values, jets.collections["particle"].event
    kaon = jets.field("particle.species").values == SPECIES.index("kaon")
    hard = kaon & (jets.field("particle.energy").values > 10)
    charge = jets.field("particle.charge").values
    s, sbar = (hard & (label[event] == ORIGINS.index(n)) for n in ("s", "sbar"))
    down = hard & torch.isin(label, torch.tensor([float(ORIGINS.index(n)) for n in ("d", "dbar")]))[event]
    assert int(s.sum() + sbar.sum()) > int(down.sum())
    assert float(charge[s].sum() - charge[sbar].sum()) < 0, "K- holds the strange quark"


def test_an_event_with_other_than_two_partons_is_left_out() -> None:
    settings = ["Beams:eCM = 240.", "Beams:idA = 11", "Beams:idB = -11", "WeakDoubleBoson:ffbar2WW = on",
                "24:onMode = off", "24:onIfAny = 1 2 3 4 5"]  # fmt: skip
    events = next(generate(settings, 1, 5))
    objects = reconstruct(events.particles, None, np.random.default_rng(0))
    assert len(find_pair(objects, events.partons, events.size)) == 0
