import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.check import bad_events, first_fault
from lpm.data.fields import jets_schema

NAN, INF = float("nan"), float("inf")


def jets(**change: float) -> Batch:
    """Three jets of two particles; the second has the changed values, of its second particle or of the jet."""
    schema = jets_schema(["pt", "deta", "energy", "d0"], ["pt", "phi", "parton"], ["a", "b"])
    columns = {f"particle.{f}": torch.ones(6) for f in ("pt", "deta", "energy", "d0")}
    columns |= {f"jet.{f}": torch.ones(3) for f in ("pt", "phi", "parton", "label")}
    for path, value in change.items():
        name = path.replace("__", ".")
        columns[name][3 if name.startswith("particle") else 1] = value
    return Batch.build(schema, columns, {"particle": torch.tensor([2, 2, 2])})


@pytest.mark.parametrize(
    "change",
    [
        {"particle__pt": NAN},
        {"particle__deta": NAN},
        {"particle__pt": -1.0},
        {"particle__energy": -0.1},
        {"particle__d0": INF},
        {"jet__pt": -INF},
        {"jet__pt": -2.0},
    ],
)
def test_faults(change):
    batch = jets(**change)
    assert bad_events(batch).tolist() == [False, True, False]
    fault = first_fault(batch)
    assert fault.event == 1
    assert fault.text.startswith(next(iter(change)).replace("__", "."))


@pytest.mark.parametrize(
    "change", [{}, {"particle__d0": NAN}, {"jet__phi": NAN}, {"jet__label": NAN}, {"jet__parton": NAN}]
)
def test_what_was_not_measured_is_no_fault(change):
    batch = jets(**change)
    assert not bad_events(batch).any()
    assert first_fault(batch) is None


def test_jets_of_nothing():
    schema = jets_schema(["pt"], ["pt"])
    columns = {"particle.pt": torch.zeros(0), "jet.pt": torch.ones(1)}
    none = Batch.build(schema, columns, {"particle": torch.tensor([0])})
    assert first_fault(none).text == "no particle in it"
