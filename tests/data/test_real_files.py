"""Real public files beside the project: right counts, right numbers."""

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.io import open_file
from lpm.data.io.convert import convert
from lpm.physics.kinematics import cartesian, mass

FILES = {
    "jets/top_landscape_1000.npz": ("momenta-npz", 1000, 1000),
    "jets/quark_gluon_1000.npz": ("momenta-npz", 1000, 1000),
    "jets/jetclass_hbb_2000.npz": ("momenta-npz", 2000, 2000),
    "jets/JetClassII_example.parquet": ("jetclass2", 100, 100),
    "jets/pfnano_MC_10ev.root": ("cms-jets", 24, 10),
    "events/cms_2012_dimuon_83k.root": ("cms-events", 83343, 83343),
    "events/cms_2012_dimuon_1000ev_rntuple.root": ("cms-events", 1000, 1000),
    "events/cms_zmumu_2011.csv": ("csv", 10583, 10583),
    "events/nanoaod_2018_data_40ev.root": ("cms-events", 40, 40),
    "events/nanoaod_v15_ttbar_200ev.root": ("cms-events", 200, 200),
    "events/delphes_10ev.root": ("delphes-jets", 22, 10),
    "pid/alice_2010_tracks_100k.npz": ("alice-tracks", 100000, 100000),
}


def read(path, **options) -> Batch:
    with open_file(path, **options) as reader:
        return Batch.cat(list(reader.batches()))


@pytest.mark.parametrize("name", sorted(FILES))
def test_counts_and_conversion(shared_data, tmp_path, name):
    kind, events, entries = FILES[name]
    with open_file(shared_data / name) as reader:
        assert (reader.format, len(reader), reader.entries) == (kind, events, entries)
        batch = Batch.cat(list(reader.batches()))
    assert len(batch) == events
    result = convert([shared_data / name], tmp_path / "out.parquet")
    assert result.events == events
    back = read(tmp_path / "out.parquet")
    for n in batch.schema.names:
        torch.testing.assert_close(
            back.collections[n].values, batch.collections[n].values, equal_nan=True, rtol=0, atol=0
        )


def test_jets_have_the_momenta_their_authors_selected(shared_data):
    top = read(shared_data / "jets/top_landscape_1000.npz")
    pt, m, label = (top.field(f"jet.{f}").values for f in ("pt", "mass", "label"))
    assert pt.min() > 549
    assert pt.max() < 651
    assert top.schema.field("jet.label").labels == ("background", "signal")
    assert 160 < m[label == 1].median() < 180
    assert m[label == 0].median() < 100
    qg = read(shared_data / "jets/quark_gluon_1000.npz").field("jet.pt").values
    assert qg.min() > 499
    assert qg.max() < 551
    higgs = read(shared_data / "jets/jetclass_hbb_2000.npz").field("jet.mass").values
    assert 110 < higgs.median() < 140


def test_jetclass2_agrees_with_its_own_jet_quantities(shared_data):
    jets = read(shared_data / "jets/JetClassII_example.parquet")
    rows = jets.collections["particle"]
    pt, deta, dphi, energy = (jets.field(f"particle.{f}").values.double() for f in ("pt", "deta", "dphi", "energy"))
    phi = dphi + jets.field("jet.phi").values[rows.event]
    eta = deta + jets.field("jet.eta").values[rows.event]
    p = [rows.with_values(x[:, None]).sum()[:, 0] for x in (*cartesian(pt, eta, phi), energy)]
    torch.testing.assert_close(torch.hypot(p[0], p[1]).float(), jets.field("jet.pt").values, rtol=1e-3, atol=0)
    torch.testing.assert_close(mass(*p).float(), jets.field("jet.mass").values, rtol=1e-3, atol=0.2)
    # The jets of the file are seen from another vertex than their constituents: 4% in energy.
    torch.testing.assert_close(p[3].float(), jets.field("jet.energy").values, rtol=0.05, atol=0)
    assert jets.field("jet.label").values.max() < 188


def test_real_dimuons_show_the_z_and_the_jpsi(shared_data):
    events = read(shared_data / "events/cms_2012_dimuon_83k.root")
    muons = events.collections["muon"]
    charge = events.field("muon.charge")
    first, second = muons.offsets[:-1], muons.offsets[:-1] + 1
    two = (muons.lengths == 2) & (charge.values[first] != charge.values[(second).clamp_max(len(charge.values) - 1)])
    p = [events.field(f"muon.{f}").values.double() for f in ("pt", "eta", "phi")]
    px, py, pz = cartesian(*p)
    e = (px**2 + py**2 + pz**2 + 0.10566**2).sqrt()
    a, b = first[two], second[two]
    m = mass(px[a] + px[b], py[a] + py[b], pz[a] + pz[b], e[a] + e[b])
    assert int(((m > 86) & (m < 96)).sum()) > 4000
    assert int(((m > 2.9) & (m < 3.3)).sum()) > 3000
    assert int(((m > 4) & (m < 8)).sum()) < 4000


def test_cms_candidates_make_up_their_jets(shared_data):
    for kind in ("FatJet", "Jet"):
        jets = read(shared_data / "jets/pfnano_MC_10ev.root", tree=kind, on_bad="skip")
        rows = jets.collections["particle"]
        weight = jets.field("particle.puppi").values if kind == "FatJet" else torch.ones(len(rows.values))
        pt, dphi = (jets.field(f"particle.{f}").values for f in ("pt", "dphi"))
        along = rows.with_values((pt * weight * dphi.cos())[:, None]).sum()[:, 0]
        ratio = along / jets.field("jet.pt").values
        # The jet energy corrections are of a few per cent.
        assert 0.85 < ratio.median() < 1.1
    with pytest.raises(ValueError, match="expected FatJet or Jet"):
        open_file(shared_data / "jets/pfnano_MC_10ev.root", tree="Muon")


def test_delphes_constituents_make_up_their_jets(shared_data):
    jets = read(shared_data / "events/delphes_10ev.root")
    rows = jets.collections["particle"]
    pt, dphi = (jets.field(f"particle.{f}").values for f in ("pt", "dphi"))
    along = rows.with_values((pt * dphi.cos())[:, None]).sum()[:, 0]
    torch.testing.assert_close(along, jets.field("jet.pt").values, rtol=0.02, atol=0)
    collisions = read(shared_data / "events/delphes_10ev.root", format="delphes-events")
    assert len(collisions) == 10
    assert {"muon", "electron", "jet", "met"} <= set(collisions.schema.names)
    with pytest.raises(ValueError, match="no stored constituents of JetAK8"):
        open_file(shared_data / "events/delphes_10ev.root", tree="JetAK8")


@pytest.mark.parametrize("name", ["jets/pfnano_MC_10ev.root", "events/delphes_10ev.root"])
def test_jets_of_collisions_in_slices(shared_data, name):
    everything = read(shared_data / name)
    with open_file(shared_data / name) as reader:
        n = len(reader)
        for start, stop in ((0, 1), (1, 4), (3, 11), (n - 1, n), (0, n)):
            part = Batch.cat(list(reader.batches(start, stop, size=3)))
            for c in part.schema.names:
                want = everything[start:stop].collections[c].values
                torch.testing.assert_close(part.collections[c].values, want, rtol=0, atol=0, equal_nan=True)


def test_candidates_of_new_nanoaod_can_be_asked_for(shared_data):
    jets = read(shared_data / "events/nanoaod_v15_ttbar_200ev.root", format="cms-jets", on_bad="skip")
    assert len(jets) > 50
    assert set(jets.field("particle.charge").values.tolist()) == {-1.0, 0.0, 1.0}


def test_tree_and_rntuple_of_the_same_events_agree(shared_data):
    a = read(shared_data / "events/cms_2012_dimuon_1000ev_rntuple.root")
    with open_file(shared_data / "events/cms_2012_dimuon_83k.root") as reader:
        b = next(reader.batches(stop=1))
    assert a.schema == b.schema
    torch.testing.assert_close(a.collections["muon"].values[:2], b.collections["muon"].values[:2])


def test_unknown_layouts_are_refused_by_name(shared_data):
    for name in (
        "events/atlas_physlite_100ev.root",
        "events/spanet_ttbar_allhad_10k.h5",
        "anomaly/lhco_signal_region.npz",
    ):
        with pytest.raises(ValueError, match=name.rpartition("/")[2]):
            open_file(shared_data / name)
