"""ROOT trees that lpm writes: the same events come back, for lpm and for whoever reads them with uproot alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import jets_schema
from lpm.data.io import open_file

uproot = pytest.importorskip("uproot", reason="needs the root extra")


def jets() -> Batch:
    """Three jets, one of them empty, with fields of every kind; some are not known."""
    schema = jets_schema(["pt", "charge", "type"], ["pt", "event"], ["QCD", "top"])
    columns = {
        "particle.pt": torch.tensor([3.0, 1.0, 2.0]),
        "particle.charge": torch.tensor([-1.0, 0.0, torch.nan]),
        "particle.type": torch.tensor([0.0, 2.0, torch.nan]),
        "jet.pt": torch.tensor([4.0, 0.0, 2.0]),
        "jet.event": torch.tensor([7.0, torch.nan, 9.0]),
        "jet.label": torch.tensor([1.0, torch.nan, 0.0]),
    }
    return Batch.build(schema, columns, {"particle": torch.tensor([2, 0, 1])})


@pytest.fixture
def written(tmp_path: Path) -> Path:
    from lpm.data.io.root import write_root

    batch, path = jets(), tmp_path / "jets.root"
    assert write_root(path, [batch[:1], batch[1:]], schema=batch.schema) == 3
    return path


def test_the_same_events_come_back(written: Path) -> None:
    with open_file(written) as reader:
        assert (reader.format, len(reader)) == ("lpm-root", 3)
        again, part = reader.read(0, 3), reader.read(1, 3)
    batch = jets()
    assert again.schema == batch.schema
    for name, r in batch.collections.items():
        assert torch.equal(again.collections[name].offsets, r.offsets)
        torch.testing.assert_close(again.collections[name].values, r.values, equal_nan=True, rtol=0, atol=0)
    assert part.collections["particle"].lengths.tolist() == [0, 1]


def test_others_find_one_counter_and_a_branch_a_field(written: Path) -> None:
    with uproot.open(written) as file:
        tree = file["events"]
        names = {"nparticle", "particle_pt", "particle_charge", "particle_type", "jet_pt", "jet_event", "jet_label"}
        assert set(tree.keys()) == names
        arrays = tree.arrays(library="np")
    assert arrays["nparticle"].tolist() == [2, 0, 1]
    assert [x.tolist() for x in arrays["particle_pt"]] == [[3.0, 1.0], [], [2.0]]
    assert arrays["jet_label"].tolist() == [1, -1, 0]
    assert arrays["jet_pt"].dtype == np.float32


def test_a_file_cut_short_is_refused_by_name(written: Path) -> None:
    written.write_bytes(written.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"jets\.root: cut short"):
        open_file(written)
