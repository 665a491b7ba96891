"""Events as sets of objects: hard events of a file are showered, seen, and turned into jets, leptons and momentum."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import FOUR_TOPS, OBJECT_TYPES
from lpm.physics.pdg import has_quark
from lpm.sim.card import Isolated, Reconstruction
from lpm.sim.card_files import read_detector
from lpm.sim.chunk import Request, simulate_chunk
from lpm.sim.detector import TYPE, Objects
from lpm.sim.objects import SCHEMA, find_objects, isolated, tagged
from lpm.sim.pythia import Events, Particles, generate

pytest.importorskip("pythia8mc", reason="needs the sim extra")

HARD = Path(__file__).with_name("hard")
CUTS = Isolated(pt_min=10.0, eta_max=2.5, efficiency=1.0, cone=0.4, share=0.1)


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Hard events of files, without multiparton interactions."""
    path = tmp_path_factory.mktemp("cards") / "files.toml"
    classes = "\n".join(f'{name} = ["{(HARD / name).with_suffix(".lhe")}"]' for name in ("ttZ", "ttW", "tttt"))
    path.write_text(f"""text = "hard events of files"
find = "objects"
generator = "lhe"
energy = 13000.0
mpi = false
detector = "atlas-delphes"
[classes]
{classes}
""")
    return str(path)


@pytest.fixture(scope="module")
def events(preset: str) -> Batch:
    return simulate_chunk(Request(n=30, preset=preset, seed=1), 0)


def card() -> Reconstruction:
    detector = read_detector("atlas-delphes")
    assert detector is not None
    assert detector.objects is not None
    return detector.objects


def objects_of(rows: list[tuple[int, str, float, float, float, float]]) -> Objects:
    """Rows of (event, type, pt, eta, phi, charge)."""
    event, kind, pt, eta, phi, charge = (np.asarray(c) for c in zip(*rows, strict=True))
    zero = np.zeros(len(rows))
    number = np.array([TYPE[k] for k in kind])
    return Objects(
        event=event, pt=pt, eta=eta, phi=phi, energy=pt * np.cosh(eta), charge=charge, type=number, pdg_id=0 * number,
        d0=zero, d0_err=zero, dz=zero, dz_err=zero,
    )  # fmt: skip


def hadrons(*rows: tuple[int, int, float, float]) -> Particles:
    """Rows of (event, pdg id, eta, phi), of 50 GeV."""
    event, pdg, eta, phi = (np.asarray(c) for c in zip(*rows, strict=True)) if rows else (np.zeros(0, int),) * 4
    zero = np.zeros(len(event))
    return Particles(event=event, pdg_id=pdg, px=50 * np.cos(phi), py=50 * np.sin(phi), pz=50 * np.sinh(eta),
                     energy=50 * np.cosh(eta), x=zero, y=zero, z=zero)  # fmt: skip


def test_events_of_files(events: Batch) -> None:
    assert events.schema == SCHEMA
    assert len(events) == 30
    label = events.field("event.label").values
    assert torch.bincount(label.long(), minlength=5).tolist() == [10, 10, 10, 0, 0]
    signal = label == FOUR_TOPS.index("tttt")
    for name in ("ht", "jets", "b_jets"):
        found = events.field(f"event.{name}").values
        assert found[signal].mean() > found[~signal].mean()
    kind, rows = events.field("object.type").values, events.collections["object"]
    met = rows.with_values((kind == OBJECT_TYPES.index("met")).float()).sum()
    assert (met == 1).all()
    jet = torch.isin(kind, torch.tensor([0.0, 1.0]))
    assert float(events.field("event.jets").values.mean()) > 4
    torch.testing.assert_close(rows.with_values(jet.float()).sum(), events.field("event.jets").values)
    ht = rows.with_values(events.field("object.pt").values * jet).sum()
    torch.testing.assert_close(ht, events.field("event.ht").values)
    assert (events.field("object.pt").values[jet] > 25).all()
    assert float(events.field("event.b_jets").values.mean()) > 0.5
    first = kind[rows.offsets[:-1]]
    assert len(first.unique()) > 1, "in no particular order"


def test_missing_momentum_balances_what_is_seen() -> None:
    seen = objects_of([(0, "photon", 30.0, 0.0, 0.0, 0.0), (0, "charged_hadron", 40.0, 1.0, np.pi / 2, 1.0)])
    batch = find_objects(seen, hadrons(), 1, "tttt", card(), np.random.default_rng(0))
    at = batch.field("object.type").values == OBJECT_TYPES.index("met")
    assert float(batch.field("object.pt").values[at]) == pytest.approx(50)
    assert float(batch.field("object.phi").values[at]) == pytest.approx(np.arctan2(-40, -30))
    assert float(batch.field("event.met").values) == pytest.approx(50)


def test_charges_name_leptons() -> None:
    lepton = card().electron
    sure = Reconstruction(**{**vars_of(card()), "electron": Isolated(**{**vars_of(lepton), "efficiency": 1.0}),
                             "muon": Isolated(**{**vars_of(lepton), "efficiency": 1.0})})  # fmt: skip
    seen = objects_of([
        (0, "electron", 40.0, 0.0, 0.0, -1.0), (0, "electron", 40.0, 1.0, 2.0, 1.0),
        (0, "muon", 40.0, -1.0, -2.0, -1.0), (0, "muon", 40.0, -2.0, 1.0, 1.0),
    ])  # fmt: skip
    batch = find_objects(seen, hadrons(), 1, "tttt", sure, np.random.default_rng(0))
    names = {OBJECT_TYPES[int(k)] for k in batch.field("object.type").values}
    assert names == {"electron", "positron", "muon", "antimuon", "met"}
    assert float(batch.field("event.leptons").values) == 4
    assert float(batch.field("event.jets").values) == 0, "what is isolated is in no jet"


def vars_of(card: object) -> dict:
    return {name: getattr(card, name) for name in type(card).__dataclass_fields__}  # type: ignore[attr-defined]


def test_leptons_in_jets_are_not_isolated() -> None:
    rows = [
        (0, "muon", 40.0, 0.0, 3.1, 1.0),
        (0, "charged_hadron", 30.0, 0.1, -3.1, 1.0),
        (1, "muon", 40.0, 0.0, 0.0, 1.0),
    ]
    assert isolated(objects_of(rows), TYPE["muon"], CUTS)[0].tolist() == [2]
    assert isolated(objects_of(rows[:1]), TYPE["muon"], CUTS)[0].tolist() == [0]
    assert (
        isolated(objects_of([(0, "muon", 9.0, 0.0, 0.0, 1.0), (0, "muon", 90.0, 2.6, 0.0, 1.0)]), TYPE["muon"], CUTS)[
            0
        ].size
        == 0
    )


def test_tags_follow_the_hadrons_in_a_jet() -> None:
    n = 4000
    event, pt, zero = np.arange(n), np.full(n, 80.0), np.zeros(n)
    c = card()

    def share(*rows: tuple[int, float]) -> float:
        heavy = hadrons(*[(i, pdg, 0.1, phi) for i in range(n) for pdg, phi in rows])
        return float(tagged(event, pt, zero, zero, heavy, c, np.random.default_rng(0)).mean())

    b, c_tag, light = (float(t.at(np.array([80.0]))[0]) for t in (c.b, c.c, c.light))
    assert share((511, 0.1)) == pytest.approx(b, abs=0.03)
    assert share((421, 0.1)) == pytest.approx(c_tag, abs=0.03)
    assert share((421, 0.1), (-511, 0.1)) == pytest.approx(b, abs=0.03)
    assert share((511, 1.0)) == pytest.approx(light, abs=0.01), "too far"


def test_bottom_hadrons_are_found_in_real_events() -> None:
    lines = ["Beams:frameType = 4", f"Beams:LHEF = {HARD / 'ttZ.lhe'}", "PartonLevel:MPI = off"]
    found = list(generate(lines, 2, 5))
    assert sum(e.size for e in found) == 12, "to the end of the file"
    for e in found:
        bottom = has_quark(e.heavy.pdg_id, 5)
        assert (np.bincount(e.heavy.event[bottom], minlength=e.size) >= 2).all()


def test_a_file_that_is_too_short_is_named(preset: str) -> None:
    with pytest.raises(ValueError, match=r"ttZ: .*ttZ\.lhe holds too few hard events, 3 are missing"):
        simulate_chunk(Request(n=45, preset=preset, seed=1), 0)


def test_chunks_take_their_own_part_of_a_file(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Request, "chunks", 2)
    request = Request(n=24, preset=preset, seed=1, classes=("ttW",))
    with pytest.raises(ValueError, match="too few hard events, 6 are missing"):
        simulate_chunk(request, 1)
    half = Request(n=12, preset=preset, seed=1, classes=("ttW",))
    assert len(simulate_chunk(half, 0)) == len(simulate_chunk(half, 1)) == 6


def events_of(text: str) -> list[str]:
    return re.findall(r"<event>\n.*?</event>\n", text, re.DOTALL)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("chunks", [1, 5, 20])
def test_no_two_chunks_read_one_hard_event(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: int, packed: bool
) -> None:
    """However many a chunk needs for one jet, those of the others are not among them, and none is left out."""
    text = (HARD / "ttW.lhe").read_text()
    whole, read = tmp_path / ("w.lhe.gz" if packed else "w.lhe"), []
    whole.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    card = tmp_path / "one.toml"
    card.write_text(Path(preset).read_text().replace(str(HARD / "ttW.lhe"), str(whole)))

    def kept(settings: list[str], seed: int, batch: int) -> Iterator[Events]:
        lines = dict(line.split(" = ") for line in settings)
        read.append(Path(lines["Beams:LHEF"]).read_text())
        yield from ()

    monkeypatch.setattr("lpm.sim.chunk.generate", kept)
    monkeypatch.setattr(Request, "chunks", chunks)
    for chunk in range(chunks):
        with pytest.raises(ValueError, match="too few hard events, 2 are missing"):
            simulate_chunk(Request(n=2 * chunks, preset=str(card), classes=("ttW",)), chunk)
    assert [event for part in read for event in events_of(part)] == events_of(text)
    assert {len(events_of(part)) for part in read} <= {12 // chunks, 12 // chunks + 1}
    assert {part.partition("<event>")[0].removesuffix("</LesHouchesEvents>\n") for part in read} == {
        text.partition("<event>")[0]
    }


def test_a_chunk_without_hard_events_is_refused(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Request, "chunks", 20)
    with pytest.raises(ValueError, match=r"ttW\.lhe holds too few hard events, 1 are missing"):
        simulate_chunk(Request(n=20, preset=preset, classes=("ttW",)), 0)


def test_a_file_that_cannot_be_unpacked_is_named(preset: str, tmp_path: Path) -> None:
    whole, card = tmp_path / "w.lhe.gz", tmp_path / "one.toml"
    whole.write_bytes(gzip.compress((HARD / "ttW.lhe").read_bytes())[:500])
    card.write_text(Path(preset).read_text().replace(str(HARD / "ttW.lhe"), str(whole)))
    with pytest.raises(ValueError, match=r"w\.lhe\.gz: unreadable: .*; fetch or write it again"):
        simulate_chunk(Request(n=2, preset=str(card), classes=("ttW",)), 0)


def test_a_detector_without_objects_is_refused(preset: str) -> None:
    with pytest.raises(ValueError, match="no section `objects`"):
        simulate_chunk(Request(n=2, preset=preset, detector="cepc"), 0)


def test_missing_files_are_named(tmp_path: Path, preset: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(Path(preset).read_text().replace("ttZ.lhe", "none.lhe"))
    with pytest.raises(ValueError, match=r"none\.lhe: expected an existing \.lhe"):
        simulate_chunk(Request(n=2, preset=str(path)), 0)
