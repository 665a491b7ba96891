"""The contract of all readers: write = read, slices and columns agree with the whole, damage is refused by name."""

import re

import h5py
import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.io import FORMATS, READERS, open_file
from lpm.physics.kinematics import delta_phi

N = 7


def same(a: Batch, b: Batch) -> bool:
    return a.schema == b.schema and all(
        torch.equal(a.collections[n].offsets, b.collections[n].offsets)
        and torch.equal(a.collections[n].values.nan_to_num(-99), b.collections[n].values.nan_to_num(-99))
        for n in a.schema.names
    )


def whole(path, **options) -> Batch:
    with open_file(path, **options) as reader:
        return Batch.cat(list(reader.batches()))


def test_every_format_has_a_layout_here(format_of):
    without = {"delphes-jets", "delphes-events"}  # their references between objects cannot be written, only read
    by_name = {"cms-matched", "delphes-matched"}  # a second look at such files, see test_matched.py
    assert set(READERS) - without - by_name == set(format_of.values())
    assert set(FORMATS) == {"auto", *READERS}


def test_jets_come_back_as_written(jets_layout, write, sample, format_of):
    path = write(jets_layout)
    with open_file(path) as reader:
        assert reader.format == format_of[jets_layout]
        assert len(reader) == N
        batch = Batch.cat(list(reader.batches()))
    assert batch.collections["particle"].lengths.tolist() == sample.counts.tolist()
    order = np.lexsort((-sample.pt, sample.event))
    jet_eta, jet_phi = batch.field("jet.eta").values, batch.field("jet.phi").values
    event = torch.tensor(sample.event)
    torch.testing.assert_close(
        batch.field("particle.pt").values, torch.tensor(sample.pt[order]).float(), rtol=2e-5, atol=0
    )
    eta = torch.tensor(sample.eta[order]).float()
    if jets_layout != "jetnet":  # its momenta are relative, so rounding enters twice
        torch.testing.assert_close(
            batch.field("particle.energy").values, torch.tensor(sample.e[order]).float(), rtol=1e-3, atol=0
        )
    torch.testing.assert_close(batch.field("particle.deta").values, eta - jet_eta[event], rtol=1e-4, atol=5e-5)
    if jets_layout != "jetnet":  # it does not keep the azimuth of the jet
        phi = torch.tensor(sample.phi[order]).float()
        torch.testing.assert_close(
            batch.field("particle.dphi").values, delta_phi(phi, jet_phi[event]), rtol=1e-4, atol=5e-5
        )
    px, py = sample.total(sample.px), sample.total(sample.py)
    torch.testing.assert_close(batch.field("jet.pt").values, torch.tensor(np.hypot(px, py)).float(), rtol=2e-5, atol=0)
    if "jet.label" in batch.schema and jets_layout != "jetnet":
        assert batch.field("jet.label").values.tolist() == sample.label.tolist()


def test_mass_is_that_of_the_sum(write, sample):
    batch = whole(write("top-tagging"))
    total = [sample.total(x) for x in (sample.e, sample.px, sample.py, sample.pz)]
    mass = np.sqrt(total[0] ** 2 - total[1] ** 2 - total[2] ** 2 - total[3] ** 2)
    torch.testing.assert_close(batch.field("jet.mass").values, torch.tensor(mass).float(), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("layout_", ["jetclass", "energyflow", "aspen", "pfnano"])
def test_charge_type_and_tracks(layout_, write, sample):
    batch = whole(write(layout_))
    assert batch.field("particle.charge").values.tolist() == sample.charge.tolist()
    kinds = batch.schema.field("particle.type").labels
    want = [kinds.index("photon" if q == 0 else "charged_hadron") for q in sample.charge]
    assert batch.field("particle.type").values.tolist() == want
    if "particle.d0_err" in batch.schema:
        err = batch.field("particle.d0_err").values
        assert (err[torch.tensor(sample.charge) == 0] == 0).all()  # no sentinel survives
        if layout_ != "jetclass":
            torch.testing.assert_close(err.max(), torch.tensor(0.2))  # 0.02 cm in mm


def test_jetnet_takes_its_class_from_the_name(write):
    assert whole(write("jetnet")).field("jet.label").values.tolist() == [2.0] * N


def test_collisions(write, sample):
    batch = whole(write("muons"))
    assert batch.schema.names == ("muon", "met")
    torch.testing.assert_close(batch.field("muon.pt").values, torch.tensor(sample.pt).float())
    torch.testing.assert_close(batch.field("muon.d0").values, torch.tensor(10 * sample.d0).float())  # cm to mm
    assert batch.field("met.pt").values.tolist() == [1.0] * N
    table = whole(write("csv"))
    assert table.collections["muon"].lengths.tolist() == [2] * N
    first = [int(np.flatnonzero(sample.event == i)[0]) for i in range(N)]
    torch.testing.assert_close(table.field("muon.pt").values[::2], torch.tensor(sample.pt[first]).float())


def test_slices_columns_and_sizes_agree_with_the_whole(layout, write):
    path = write(layout)
    everything = whole(path)
    with open_file(path) as reader:
        n = len(reader)
        assert n == len(everything)
        for start, stop in ((0, 3), (2, 5), (n - 1, None), (3, 3), (0, 99)):
            parts = list(reader.batches(start, stop, size=2))
            assert all(len(p) <= 2 for p in parts)
            want = everything[start:stop]
            assert sum(map(len, parts)) == len(want)
            if parts:
                assert same(Batch.cat(parts), want)
        some = [reader.schema.paths[0], reader.schema.paths[-1]]
        assert same(Batch.cat(list(reader.batches(columns=some))), everything.select(some))
        assert [b for a, b in reader.groups][-1] == n


def test_other_names_do_not_deceive(layout, write, tmp_path, format_of):
    path = write(layout)
    renamed = path.rename(tmp_path / ("t.bin" if layout == "jetnet" else "renamed.bin"))
    with open_file(renamed) as reader:
        assert reader.format == format_of[layout]


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.95])
def test_truncated_files_are_refused_by_name(layout, write, keep):
    path = write(layout)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * keep)])
    if path.suffix == ".csv" and keep > 0.3:  # nothing tells how long a text should be, but half a line is noticed
        path.write_bytes(path.read_bytes().rpartition(b",")[0])
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        whole(path)
    assert "\n" not in str(caught.value)
    if path.suffix == ".parquet" and keep > 0.3:
        assert "cut short" in str(caught.value)


@pytest.mark.parametrize("layout_", ["shard", "momenta-npz", "padded-npz", "jetclass", "muons", "top-tagging", "csv"])
def test_spoiled_bytes_end_in_one_line_or_are_harmless(layout_, write, sample):
    """Shards and archives have checksums, so nothing spoiled passes; HDF5 and small ROOT files have none."""
    path = write(layout_)
    good = whole(path)
    raw = path.read_bytes()
    noticed = 0
    places = range(200, len(raw) - 200, max(len(raw) // 16, 1))
    for i in places:
        path.write_bytes(raw[:i] + bytes(b ^ 0xFF for b in raw[i : i + 32]) + raw[i + 32 :])
        try:
            found: Batch | str = whole(path)
        except ValueError as error:
            found = str(error)
        if isinstance(found, str):
            assert found.startswith(str(path))
            assert "\n" not in found
            noticed += 1
        elif layout_ in ("shard", "momenta-npz", "padded-npz"):
            assert same(found, good)  # it hit what no event depends on
    assert noticed > len(places) // 20


def test_wrong_format_tree_and_file(write, tmp_path):
    path = write("jetclass")
    with pytest.raises(ValueError, match="no tree 'nope'; there are: tree"):
        open_file(path, format="jetclass", tree="nope")
    with pytest.raises(ValueError, match="a kind of HDF5, but this is ROOT"):
        open_file(path, format="top-tagging")
    with pytest.raises(ValueError, match="expected one of auto"):
        open_file(path, format="nope")
    with pytest.raises(ValueError, match="expected one of stop, skip, keep"):
        open_file(path, on_bad="nope")
    with pytest.raises(ValueError, match="no such file"):
        open_file(tmp_path / "nope")
    (tmp_path / "x.txt").write_text("hello\n")
    with pytest.raises(ValueError, match="unknown layout"):
        open_file(tmp_path / "x.txt")


def test_without_uproot_it_is_said_what_to_install(write, monkeypatch):
    path = write("muons")

    def absent(name: str) -> None:
        raise ModuleNotFoundError("No module named 'uproot'", name="uproot")

    monkeypatch.setattr("lpm.data.io.formats.import_module", absent)
    with pytest.raises(ValueError, match=r"a\.root: ROOT files need uproot: pip install 'lpm\[root\]'"):
        open_file(path)


def test_missing_branches_are_named(tmp_path):
    import uproot

    with uproot.recreate(tmp_path / "a.root") as f:
        f.mktree("tree", {"part_px": "float32"})
        f["tree"].extend({"part_px": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match=r"lacks the branches .*part_py"):
        open_file(tmp_path / "a.root", format="jetclass")


def test_objects_in_npz_are_refused(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, px_py_pz_e=np.array([{"a": 1}], dtype=object), offsets=np.array([0, 1]))
    with pytest.raises(ValueError, match=r"evil\.npz.*plain numbers"):
        open_file(path)


def spoil(kind: str, s) -> None:
    s.e, s.px = s.e.copy(), s.px.copy()
    match kind:
        case "nan":
            s.px[s.event == 2] = np.nan
        case "inf":
            s.e[np.flatnonzero(s.event == 2)[0]] = np.inf
        case "negative":
            s.e[np.flatnonzero(s.event == 2)[1]] = -3.0


@pytest.mark.parametrize("layout_", ["momenta-npz", "top-tagging", "jetclass", "momenta-hdf5", "jetclass2"])
@pytest.mark.parametrize("kind", ["nan", "inf", "negative"])
def test_bad_events_stop_or_are_counted(layout_, kind, write, tmp_path, sample):
    bad = type(sample)()
    spoil(kind, bad)
    path = write(layout_, s=bad)
    with pytest.raises(ValueError, match=rf"{path.name}: entry 2: (particle|jet)\.\w+.* expected .*--on-bad skip"):
        whole(path)
    with open_file(path, on_bad="skip") as reader:
        kept = list(reader.batches())
        assert (sum(map(len, kept)), reader.skipped) == (N - 1, 1)
    assert len(whole(path, on_bad="keep")) == N


def test_jet_of_nothing_is_bad(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, px_py_pz_e=np.array([[1.0, 0, 0, 1]]), offsets=np.array([0, 1, 1]))
    with pytest.raises(ValueError, match=r"entry 1: no particle in it"):
        whole(path)


def test_zero_events(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, px_py_pz_e=np.zeros((0, 4)), offsets=np.array([0]))
    with open_file(path) as reader:
        assert len(reader) == 0
        assert list(reader.batches()) == []


@pytest.mark.parametrize(
    "text",
    [
        "pt1, eta1, phi1,dxy1\n10,0.5,0.25,1\n20,1.5,-0.5,2\n",
        '"pt1","eta1", "phi1" ,"dxy1"\r\n10,0.5,0.25,1\r\n20,1.5,-0.5,2\r\n',
        "pt1,eta1,phi1,dxy1\n10,0.5,0.25,1\n\n20,1.5,-0.5,2\n\n\n",
    ],
)
def test_blanks_in_tables_are_passed_over(tmp_path, text):
    (tmp_path / "a.csv").write_bytes(text.encode())
    with open_file(tmp_path / "a.csv") as reader:
        assert (reader.format, len(reader)) == ("csv", 2)
        batch = reader.read(0, 2)
        assert same(reader.read(1, 2), batch[1:])
    assert batch.schema["muon"].names == ("pt", "eta", "phi", "d0")
    assert batch.collections["muon"].values.tolist() == [[10, 0.5, 0.25, 10], [20, 1.5, -0.5, 20]]


@pytest.mark.parametrize("suffix", ["h5", "npz"])
@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.eye(2)[[0, 1, 1, 0]], r"expected the number of the class of each jet, got shape \(4, 2\)"),
        (np.zeros(3), "3 labels for 4 jets"),
        (np.zeros((4, 1)), ""),
    ],
)
def test_labels_that_do_not_fit_are_refused_when_a_file_is_opened(tmp_path, suffix, label, message):
    path, p4 = tmp_path / f"a.{suffix}", np.ones((4, 2, 3))
    if suffix == "npz":
        np.savez(path, pt_eta_phi=p4, label=label)
    else:
        with h5py.File(path, "w") as file:
            file["pt_eta_phi"], file["label"] = p4, label
    if message:
        with pytest.raises(ValueError, match=rf"{path}: .*{message}"):
            open_file(path)
    else:
        assert whole(path).field("jet.label").values.tolist() == [0] * 4


def test_offsets_that_do_not_fit(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, px_py_pz_e=np.zeros((3, 4)), offsets=np.array([0, 5]))
    with pytest.raises(ValueError, match=r"a\.npz: offsets: expected to rise from 0 to 3"):
        open_file(path)


def test_a_tree_is_chosen_where_there_are_several_only(write):
    with pytest.raises(ValueError, match="nothing to choose in files of format jetnet; leave out 'a'"):
        open_file(write("jetnet"), tree="a")
    with pytest.raises(ValueError, match="no array of four-momenta 'a'; there are: e_px_py_pz"):
        open_file(write("momenta-hdf5"), tree="a")
