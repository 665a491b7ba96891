"""Constituents in separate stores, as cards with energy-flow objects write them (references cannot be written here)."""

import pytest
import torch

from lpm.data.io.delphes import DelphesJetsReader, _key

COLUMNS = {
    "EFlowTrack": {"fUniqueID": [7, 9], "Eta": [0.0, 1.0], "Phi": [0.1, 0.2], "PT": [3.0, 4.0], "Charge": [1, -1],
                   "PID": [211, 13], "D0": [0.5, 0.1], "ErrorD0": [0.01, 0.02]},
    "EFlowPhoton": {"fUniqueID": [5], "Eta": [-1.0], "Phi": [3.0], "ET": [2.0], "E": [4.0]},
    "EFlowNeutralHadron": {"fUniqueID": [6], "Eta": [0.0], "Phi": [0.0], "ET": [1.0], "E": [1.0]},
}  # fmt: skip
LENGTHS = {"EFlowTrack": [1, 1], "EFlowPhoton": [0, 1], "EFlowNeutralHadron": [1, 0]}


@pytest.fixture
def reader(monkeypatch) -> DelphesJetsReader:
    made = DelphesJetsReader.__new__(DelphesJetsReader)
    made.path = "fake.root"
    made.branches = frozenset(f"{store}.{name}" for store, columns in COLUMNS.items() for name in columns)

    def columns(names, start, stop):
        parts = {n: n.split(".") for n in names}
        return {
            n: (torch.tensor(COLUMNS[s][c], dtype=torch.float64), torch.tensor(LENGTHS[s]))
            for n, (s, c) in parts.items()
        }

    monkeypatch.setattr(made, "columns", columns)
    return made


def test_tracks_and_towers_become_one_list(reader):
    key, stored = reader._stored(0, 2)
    event = torch.tensor([0, 1, 1, 0])
    assert torch.equal(key, _key(event, torch.tensor([7, 9, 5, 6])))
    assert len(key.unique()) == 4
    assert stored["charge"].tolist() == [1, -1, 0, 0]
    assert stored["type"].tolist() == [0, 4, 2, 1]  # charged hadron, muon, photon, neutral hadron
    assert stored["d0"].tolist() == [0.5, 0.1, 0, 0]
    assert stored["d0_err"].tolist() == [0.01, 0.02, 0, 0]
    assert stored["dz"].tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(
        torch.hypot(stored["p4"][:, 0], stored["p4"][:, 1]), torch.tensor([3.0, 4, 2, 1]).double()
    )
    assert stored["p4"][2:, 3].tolist() == [4.0, 1.0]
