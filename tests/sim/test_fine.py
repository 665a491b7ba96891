"""Fine labels: what lies in a jet decides its class, prongs are those of the label, masses those of resonances."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fine import FINE, PRONGS
from lpm.sim.card_files import CARDS
from lpm.sim.chunk import Request, simulate_chunk
from lpm.sim.fine import PROCESSES, SCHEMA, Decay, leaf, qcd_leaf


@pytest.mark.parametrize(
    ("process", "decay", "name"),
    [
        ("Hff", Decay(("b", "b"), ("b", "b")), "H_bb"),
        ("Hff", Decay(("b",), ("b", "b")), None),
        ("Hff", Decay(("u", "u"), ("u", "u")), "H_qq"),
        ("Hff", Decay(("tau", "tau"), ("tau", "tau"), ("h", "h")), "H_tauhtauh"),
        ("Hff", Decay(("tau", "tau"), ("tau", "tau"), ("e", "h")), "H_tauhtaue"),
        ("Hff", Decay(("tau", "tau"), ("tau", "tau"), ("e", "m")), None),
        ("HWW", Decay(("c", "s", "c", "s"), ("c", "s", "c", "s")), "H_WW_4q2c"),
        ("HWW", Decay(("u", "d", "s"), ("u", "d", "c", "s")), "H_WW_3q0c"),
        ("HWW", Decay(("u", "d"), ("u", "d", "c", "s")), None),
        ("HWW", Decay(("u", "d", "e"), ("u", "d", "e")), "H_WW_evqq0c"),
        ("HWW", Decay(("u", "d"), ("u", "d", "e")), None),
        ("HWW", Decay(("c", "s", "tau"), ("c", "s", "tau"), ("h",)), "H_WW_tauhvqq1c"),
        ("HWW", Decay(("c", "s", "tau"), ("c", "s", "tau"), ("m",)), "H_WW_taumvqq"),
        ("HWW", Decay(("e", "mu"), ("e", "mu")), None),
        ("top", Decay(("b", "u", "d"), ("b", "u", "d")), "top_bqq0c"),
        ("top", Decay(("b", "s"), ("b", "c", "s")), "top_bq0c"),
        ("top", Decay(("c", "s"), ("b", "c", "s")), None),
        ("top", Decay(("b",), ("b", "c", "s")), None),
        ("top", Decay(("b", "mu"), ("b", "mu")), "top_bmv"),
        ("top", Decay(("b", "tau"), ("b", "tau"), ("e",)), "top_btauev"),
        ("W", Decay(("c", "s"), ("c", "s")), "W_1c"),
        ("W", Decay(("e",), ("e",)), None),
        ("Z", Decay(("s", "s"), ("s", "s")), "Z_ss"),
    ],
)
def test_what_lies_in_the_jet_decides(process: str, decay: Decay, name: str | None) -> None:
    assert leaf(process, decay) == name
    assert name is None or name in FINE.leaves


def test_quark_and_gluon_jets_fall_by_their_heavy_hadrons() -> None:
    found = {qcd_leaf(b, c) for b in range(3) for c in range(3)}
    assert found == set(FINE.below("QCD"))


@pytest.fixture(scope="module")
def jets(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """A few jets of all processes, without multiparton interactions, as generated."""
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    path = tmp_path_factory.mktemp("cards") / "quick.toml"
    text = (CARDS / "preset" / "fine.toml").read_text()
    path.write_text(text.replace("mpi = true", "mpi = false").replace('"cms"', '"none"'))
    return simulate_chunk(Request(n=240, preset=str(path), seed=5), 0)


def names(batch: Batch) -> list[str]:
    return [FINE.leaves[int(i)] for i in batch.field("jet.label").values]


def test_all_processes_are_there(jets: Batch) -> None:
    assert jets.schema == SCHEMA
    found = Counter(next(n for n in ("H", "top", "W", "Z", "QCD") if label in FINE.below(n)) for label in names(jets))
    assert set(found) == {"H", "top", "W", "Z", "QCD"}
    assert len(set(names(jets))) > 15
    assert len(PROCESSES) == 6


def test_prongs_are_those_of_the_label(jets: Batch) -> None:
    prongs = jets.collections["prong"]
    table = jets.schema["prong"]
    kinds = prongs.with_values(prongs.values[:, table.index("kind")])
    for label, of in zip(names(jets), kinds, strict=True):
        kind = Counter(PRONGS[int(k)] for k in of)
        if label.startswith("H_WW"):
            assert sum(kind.values()) == (4 if "_4q" in label else 3)
            if label[-2:] in ("0c", "1c", "2c"):
                assert kind["c"] == int(label[-2])
        elif label.startswith("top"):
            assert kind["b"] == 1
        elif label in ("H_bb", "Z_bb"):
            assert kind == {"b": 2}
    near = torch.hypot(prongs.values[:, table.index("deta")], prongs.values[:, table.index("dphi")])
    assert float(near.max()) < 0.8
    pt = prongs.with_values(prongs.values[:, table.index("pt")])
    assert all(bool((x.diff() <= 0).all()) for x in pt)


def test_masses_are_those_of_resonances(jets: Batch) -> None:
    mass, label = jets.field("jet.target_mass").values, names(jets)
    higgs = mass[torch.tensor([x.startswith("H") for x in label])]
    assert float(higgs.min()) >= 15
    assert float(higgs.max()) <= 250
    assert float(higgs.std()) > 30, "masses are spread"
    bosons = mass[torch.tensor([x.startswith("Z") for x in label])]
    assert float((bosons - 91).abs().median()) < 3
    factor = jets.field("jet.mass_factor").values * jets.field("jet.mass").values
    known = mass.isfinite()
    torch.testing.assert_close(factor[known], mass[known])
    # As generated and whole, the mass of a jet is that of its resonance, but for radiation and neutrinos.
    whole = torch.tensor([x in ("H_qq", "H_ss", "Z_qq", "W_0c", "H_WW_4q0c") for x in label])
    assert float((jets.field("jet.mass_factor").values[whole] - 1).abs().median()) < 0.15


def test_truth_stays_truth() -> None:
    for path in (
        "jet.label",
        "jet.target_mass",
        "jet.mass_factor",
        *(p for p in SCHEMA.paths if p.startswith("prong")),
    ):
        assert SCHEMA.field(path).truth


def test_cuts_of_the_request_are_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="compact: is for presets of single jets"):
        Request(n=10, preset="fine", compact=True)
    assert Request(n=10, preset="fine", pt=(300.0, 400.0)).pt == (300.0, 400.0)
