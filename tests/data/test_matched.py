"""Generated and reconstructed objects: what belongs together, and pairs out of NanoAOD and Delphes files."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import torch
import uproot

from lpm.data.batch import Batch, Ragged
from lpm.data.io import open_file
from lpm.data.io.matched import _of_hadrons, _told_apart
from lpm.data.matched import ALONE, FATES, KINDS, MATCHED, match
from lpm.physics.pdg import has_quark

KIND = {name: float(i) for i, name in enumerate(KINDS)}


def given(*rows: tuple[float, float, float, float, str]) -> Ragged:
    return Ragged.from_lengths(torch.tensor([[*r[:4], KIND[r[4]]] for r in rows]), torch.tensor([len(rows)]))


def seen(*rows: tuple[float, float, float, float, str, float, float]) -> Ragged:
    table = torch.tensor([[*r[:4], KIND[r[4]], *r[5:]] for r in rows]).reshape(-1, 7)
    return Ragged.from_lengths(table, torch.tensor([len(rows)]))


def test_each_is_the_nearest_of_the_other() -> None:
    generated = given(
        (50, 0.0, 3.14, 5, "b_jet"), (40, 0.15, 3.14, 5, "jet"), (30, 2.0, 0.0, 0, "muon"), (20, -2.0, 0.0, 0, "muon")
    )
    # One jet across ±π, nearer to the second; a muon where one was generated; an electron where a muon was.
    found = seen(
        (44, 0.10, -3.14, 7, "jet", 0.5, 0.9), (33, 2.05, 0.01, 0, "muon", 0.2, 0.0),
        (20, -2.0, 0.0, 0, "electron", 0.0, 0.0),
    )  # fmt: skip
    batch = match(generated, found, first=7)
    assert batch.schema == MATCHED
    assert [FATES[int(i)] for i in batch.field("generated.outcome").values] == ["missed", "tagged", "found", "missed"]
    assert batch.field("generated.event").values.tolist() == [7, 7, 7, 7]
    torch.testing.assert_close(batch.field("object.response").values, torch.tensor([1.1, 1.1]))
    torch.testing.assert_close(batch.field("object.deta").values, torch.tensor([-0.05, 0.05]))
    assert float(batch.field("object.dphi").values[0]) == pytest.approx(0.003, abs=1e-6)  # stored in thousandths
    assert batch.field("object.iso").values.tolist() == [0.0, pytest.approx(0.2)]  # not of jets
    assert batch.field("object.mass").values.tolist() == [7, 0]
    near = batch.field("generated.near").values
    torch.testing.assert_close(near[:2], torch.tensor([0.15, 0.15]))


def test_collisions_without_anything() -> None:
    none = Ragged.from_lengths(torch.zeros(0, 5), torch.zeros(2, dtype=torch.int64))
    nothing = Ragged.from_lengths(torch.zeros(0, 7), torch.zeros(2, dtype=torch.int64))
    assert len(match(none, nothing)) == 0
    one = Ragged.from_lengths(torch.tensor([[50.0, 0, 0, 0, KIND["muon"]]]), torch.tensor([0, 1]))
    batch = match(one, nothing)
    assert batch.field("generated.outcome").values.tolist() == [0]
    assert batch.field("generated.event").values.tolist() == [1]
    assert batch.field("generated.near").values.tolist() == [ALONE]


def test_a_lepton_that_is_its_jet_counts_and_the_jet_does_not() -> None:
    leptons = given((45, 0.0, 0.0, 0, "electron"), (10, 1.0, 0.0, 0, "muon"), (20, 3.0, 0.0, 0, "photon"))
    jets = given((50, 0.1, 0.0, 5, "jet"), (60, 1.1, 0.0, 8, "b_jet"))
    kept = _told_apart(leptons, jets)
    assert kept.values[:, 0].tolist() == [60, 45, 20]  # the hardest first; the muon is a part of its jet


def test_ancestors_and_quarks() -> None:
    # A proton of the beam, a W, its lepton; a B meson, its lepton; one that refers to itself.
    rows = Ragged.from_lengths(torch.zeros(6, 1), torch.tensor([6]))
    pid = torch.tensor([2212.0, 24, 13, 521, 13, 22])
    status = torch.tensor([4.0, 22, 1, 2, 1, 1])
    mother = torch.tensor([-1.0, 0, 1, 0, 3, 5])
    assert _of_hadrons(rows, pid, status, mother).tolist() == [False, False, False, False, True, False]
    numbers = np.array([521, 5122, 421, 4122, 211, 5, 5103])  # the last is a diquark
    assert has_quark(numbers, 5).tolist() == [True, True, False, False, False, False, False]
    assert has_quark(numbers, 4).tolist() == [False, False, True, True, False, False, False]


def nanoaod(path: Path, leave_out: str = "") -> Path:
    """Three collisions in the layout of NanoAOD; the second has nothing."""
    columns = {
        "GenJet": {"pt": [[50, 40], [], [30]], "eta": [[0, 1], [], [2]], "phi": [[0, 1], [], [2]],
                   "mass": [[5, 4], [], [3]], "hadronFlavour": [[5, 0], [], [4]]},
        "GenDressedLepton": {"pt": [[25], [], [30]], "eta": [[-1], [], [2]], "phi": [[0], [], [2]],
                             "pdgId": [[-13], [], [11]]},
        "GenIsolatedPhoton": {"pt": [[], [], [9]], "eta": [[], [], [0]], "phi": [[], [], [0]]},
        "Jet": {"pt": [[55], [], []], "eta": [[0], [], []], "phi": [[0], [], []], "mass": [[6], [], []],
                "btagPNetB": [[0.9], [], []]},
        "Muon": {"pt": [[24], [], []], "eta": [[-1], [], []], "phi": [[0], [], []], "pfRelIso04_all": [[0.1], [], []]},
        "Electron": {"pt": [[], [], [31]], "eta": [[], [], [2]], "phi": [[], [], [2]],
                     "pfRelIso03_all": [[], [], [-1.0]]},
        "Photon": {"pt": [[], [], []], "eta": [[], [], []], "phi": [[], [], []]},
    }  # fmt: skip
    lists = {
        f"{n}_{f}": ak.values_astype(ak.Array(x), np.float32)
        for n, fields in columns.items()
        for f, x in fields.items()
    }
    lists = {n: ak.values_astype(x, np.int32) if n.endswith(("pdgId", "Flavour")) else x for n, x in lists.items()}
    kept = {n: x for n, x in lists.items() if not n.startswith(leave_out or "-")}
    with uproot.recreate(path) as f:
        f.mktree("Events", {n: x.type for n, x in kept.items()})
        f["Events"].extend(kept)
    return path


def test_pairs_of_nanoaod(tmp_path: Path) -> None:
    with open_file(nanoaod(tmp_path / "nano.root"), "cms-matched") as reader:
        assert (len(reader), reader.entries) == (4, 3)
        batch = Batch.cat(list(reader.batches()))
        late = Batch.cat(list(reader.batches(3)))
    kinds = [KINDS[int(k)] for k in batch.field("generated.kind").values]
    # The electron carries its jet, which is none then; the photon is too soft.
    assert kinds == ["b_jet", "jet", "muon", "electron"]
    assert batch.field("generated.event").values.tolist() == [0, 0, 0, 2]
    assert batch.field("generated.outcome").values.tolist() == [2, 0, 1, 1]
    assert batch.field("object.iso").values.tolist() == [0, pytest.approx(0.1), 0]
    assert late.field("generated.event").values.tolist() == [2]


def test_collisions_without_truth_are_refused(tmp_path: Path) -> None:
    path = nanoaod(tmp_path / "data.root", leave_out="GenJet")
    with pytest.raises(ValueError, match=r"data\.root: has no GenJet_pt, of what was generated; cms-matched needs"):
        open_file(path, "cms-matched")
    assert open_file(path).format == "cms-events"


@pytest.mark.parametrize(
    ("name", "form", "objects", "collisions"),
    [("nanoaod_v15_ttbar_200ev.root", "cms-matched", 1434, 200), ("delphes_10ev.root", "delphes-matched", 53, 10)],
)
def test_pairs_of_real_files(shared_data: Path, name: str, form: str, objects: int, collisions: int) -> None:
    with open_file(shared_data / "events" / name, form) as reader:
        assert (len(reader), reader.entries) == (objects, collisions)
        batch = Batch.cat(list(reader.batches()))
    found, kind = (batch.field(f"generated.{n}").values for n in ("outcome", "kind"))
    assert float((found > 0).float().mean()) > 0.8
    assert 0.9 < float(batch.field("object.response").values.median()) < 1.1
    tag = (found == FATES.index("tagged")).float()
    assert float(tag[kind == KIND["b_jet"]].mean()) > 0.4 > 10 * float(tag[kind == KIND["jet"]].mean())
