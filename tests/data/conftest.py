"""Files of every format, written by these tests in the layout its authors document."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import uproot

from lpm.data.batch import Batch
from lpm.data.fields import (
    FOUR_TOPS,
    JETCLASS,
    OBJECT,
    OBJECT_TYPES,
    collisions_schema,
    events_schema,
    jets_schema,
)
from lpm.data.io import open_file, write_batches
from lpm.data.io.exchange import write_csv, write_hdf5
from lpm.data.io.root import write_root

N = 7


class Sample:
    """Random jets in all the forms the layouts need, and the answers the readers should give."""

    def __init__(self, seed: int = 0) -> None:
        g = np.random.default_rng(seed)
        self.counts = g.integers(2, 6, N)
        n = self.counts.sum()
        event = np.repeat(np.arange(N), self.counts)
        pt = np.sort(g.uniform(1, 100, n))[::-1]
        order = np.argsort(event, kind="stable")
        self.pt = pt[np.lexsort((-pt, event))]
        self.axis_eta, self.axis_phi = g.uniform(-2, 2, N), g.uniform(-3.1, 3.1, N)
        self.eta = self.axis_eta[event] + g.normal(0, 0.2, n)
        self.phi = (self.axis_phi[event] + g.normal(0, 0.2, n) + np.pi) % (2 * np.pi) - np.pi
        self.px, self.py = self.pt * np.cos(self.phi), self.pt * np.sin(self.phi)
        self.pz = self.pt * np.sinh(self.eta)
        self.e = np.sqrt((self.pt * np.cosh(self.eta)) ** 2 + 0.13957**2)
        self.charge = g.integers(-1, 2, n)
        self.d0 = np.where(self.charge == 0, 0.0, g.normal(0, 0.1, n))
        self.label = g.integers(0, 2, N)
        self.event = event[order]

    def ragged(self, x: np.ndarray) -> ak.Array:
        return ak.unflatten(x, self.counts)

    def padded(self, columns: list[np.ndarray], m: int = 8) -> np.ndarray:
        out = np.zeros((N, m, len(columns)))
        out[np.arange(m) < self.counts[:, None]] = np.stack(columns, 1)
        return out

    def total(self, x: np.ndarray) -> np.ndarray:
        return np.bincount(self.event, x, N)


@pytest.fixture(scope="session")
def sample() -> Sample:
    return Sample()


def _jetclass_columns(s: Sample) -> dict[str, ak.Array]:
    r = s.ragged
    zero = np.zeros(len(s.pt))
    part = {
        "px": s.px, "py": s.py, "pz": s.pz, "energy": s.e, "deta": zero, "dphi": zero, "d0val": s.d0,
        "d0err": np.abs(s.d0), "dzval": s.d0, "dzerr": np.abs(s.d0), "charge": s.charge.astype(float),
        "isChargedHadron": s.charge != 0, "isNeutralHadron": zero, "isPhoton": s.charge == 0, "isElectron": zero,
        "isMuon": zero,
    }  # fmt: skip
    out = {f"part_{k}": r(np.asarray(v, np.float32)) for k, v in part.items()}
    px, py, pz = s.total(s.px), s.total(s.py), s.total(s.pz)
    pt = np.hypot(px, py)
    jet = {"pt": pt, "eta": np.arcsinh(pz / pt), "phi": np.arctan2(py, px), "energy": s.total(s.e)}
    jet |= {name: np.full(N, 0.5) for name in ("sdmass", "tau1", "tau2", "tau3", "tau4")}
    return out | {f"jet_{k}": np.asarray(v, np.float32) for k, v in jet.items()}


def _jetclass_labels(s: Sample) -> dict[str, np.ndarray]:
    return {f"label_{name}": (s.label == i).astype(np.int32) for i, name in enumerate(JETCLASS)}


def jetclass_tree(path: Path, s: Sample) -> None:
    columns = _jetclass_columns(s) | _jetclass_labels(s)
    with uproot.recreate(path) as f:
        f.mktree("tree", {k: v.type if isinstance(v, ak.Array) else v.dtype for k, v in columns.items()})
        f["tree"].extend(columns)


def jetclass_rntuple(path: Path, s: Sample) -> None:
    with uproot.recreate(path) as f:
        f.mkrntuple("tree", _jetclass_columns(s) | _jetclass_labels(s))


def jetclass2(path: Path, s: Sample) -> None:
    columns = {k: pa.array(ak.to_list(v)) for k, v in _jetclass_columns(s).items()}
    pq.write_table(pa.table(columns | {"jet_label": pa.array(s.label, pa.int32())}), path)


def top_tagging(path: Path, s: Sample) -> None:
    names = [f"{q}_{i}" for i in range(8) for q in ("E", "PX", "PY", "PZ")]
    block = s.padded([s.e, s.px, s.py, s.pz]).reshape(N, -1).astype(np.float32)
    kind = np.dtype([("index", "<i8"), ("values_block_0", "<f4", (32,)), ("values_block_1", "<i8", (2,))])
    rows = np.zeros(N, kind)
    rows["values_block_0"], rows["values_block_1"][:, 1] = block, s.label
    with h5py.File(path, "w") as f:
        table = f.create_group("table").create_dataset("table", data=rows)
        table.attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(names, 0))
        table.attrs["values_block_1_kind"] = np.bytes_(pickle.dumps(["ttv", "is_signal_new"], 0))


def energyflow(path: Path, s: Sample) -> None:
    pdg = np.where(s.charge == 0, 22, 211 * s.charge)
    m = np.where(s.charge == 0, 0, 0.13957)
    rapidity = np.arcsinh(s.pt * np.sinh(s.eta) / np.hypot(s.pt, m))
    np.savez_compressed(path, X=s.padded([s.pt, rapidity, s.phi, pdg]), y=s.label.astype(float))


def jetnet(path: Path, s: Sample) -> None:
    jet = _jetclass_columns(s)
    pt, eta, phi = (jet[f"jet_{k}"] for k in ("pt", "eta", "phi"))
    dphi = (s.phi - phi[s.event] + np.pi) % (2 * np.pi) - np.pi
    x = s.padded([s.eta - eta[s.event], dphi, s.pt / pt[s.event], np.ones(len(s.pt))], 30)
    with h5py.File(path, "w") as f:
        f["particle_features"] = x
        f["jet_features"] = np.stack([pt, eta, np.full(N, 50.0), s.counts], 1)


def aspen(path: Path, s: Sample) -> None:
    pdg = np.where(s.charge == 0, 22, 211 * s.charge)
    track = np.where(s.charge == 0, -1.0, 0.02)
    columns = [s.px, s.py, s.pz, s.e, track, track, track, track, s.charge, pdg, np.ones(len(s.pt))]
    jet = _jetclass_columns(s)
    with h5py.File(path, "w") as f:
        f["PFCands"] = s.padded(columns, 150).astype(np.float32)
        f["jet_kinematics"] = np.stack([jet[f"jet_{k}"] for k in ("pt", "eta", "phi", "sdmass")], 1)
        f["jet_tagging"] = np.full((N, 13), 0.5)
        f["event_info"] = np.zeros((N, 3), np.int64)


def momenta_npz(path: Path, s: Sample) -> None:
    offsets = np.concatenate([[0], np.cumsum(s.counts)])
    p4 = np.stack([s.px, s.py, s.pz, s.e], 1).astype(np.float32)
    np.savez(path, px_py_pz_e=p4, offsets=offsets, label=s.label.astype(np.int8))


def padded_npz(path: Path, s: Sample) -> None:
    mass = np.full(len(s.pt), 0.13957)
    np.savez_compressed(path, pt_eta_phi_m=s.padded([s.pt, s.eta, s.phi, mass]), y=s.label)


def momenta_hdf5(path: Path, s: Sample) -> None:
    with h5py.File(path, "w") as f:
        f["e_px_py_pz"] = s.padded([s.e, s.px, s.py, s.pz])
        f["labels"] = s.label


def shard(path: Path, s: Sample) -> None:
    schema = jets_schema(["pt", "deta", "dphi", "energy"], ["pt", "eta", "phi", "mass", "energy"], ("a", "b"))
    n = torch.tensor(s.counts)
    zero = torch.zeros(len(s.pt))
    jet = dict.fromkeys(["jet.pt", "jet.eta", "jet.phi", "jet.mass", "jet.energy"], torch.ones(N))
    columns = {"particle.pt": torch.tensor(s.pt.copy()), "particle.deta": zero, "particle.dphi": zero}
    columns |= {"particle.energy": torch.tensor(s.e), **jet, "jet.label": torch.tensor(s.label)}
    write_batches(path, [Batch.build(schema, columns, {"particle": n})], schema=schema)


def pfnano(path: Path, s: Sample) -> None:
    """All jets in one collision, every candidate in one jet."""
    jet = _jetclass_columns(s)
    pdg = np.where(s.charge == 0, 22, 211 * s.charge)
    err = np.where(s.charge == 0, -1.0, 0.02)
    candidates = {"pt": s.pt, "eta": s.eta, "phi": s.phi, "mass": np.full(len(s.pt), 0.13957), "charge": s.charge}
    candidates |= {"pdgId": pdg, "d0": err, "d0Err": err, "dz": err, "dzErr": err, "puppiWeight": np.ones(len(s.pt))}
    columns = {f"PFCands_{k}": v for k, v in candidates.items()}
    columns |= {f"FatJet_{k}": jet[f"jet_{k}"] for k in ("pt", "eta", "phi")}
    columns |= {"FatJet_mass": np.full(N, 50.0), "FatJet_msoftdrop": np.full(N, 40.0)}
    columns |= {"FatJetPFCands_jetIdx": s.event, "FatJetPFCands_pFCandsIdx": np.arange(len(s.pt))}
    lists = {k: ak.Array([np.asarray(v)]) for k, v in columns.items()}
    with uproot.recreate(path) as f:
        f.mktree("Events", {k: v.type for k, v in lists.items()})
        f["Events"].extend(lists)


JETS: dict[str, tuple[str, str, Callable[[Path, Sample], None]]] = {
    "jetclass": ("jetclass", "a.root", jetclass_tree),
    "jetclass-rntuple": ("jetclass", "a.root", jetclass_rntuple),
    "jetclass2": ("jetclass2", "a.parquet", jetclass2),
    "top-tagging": ("top-tagging", "a.h5", top_tagging),
    "energyflow": ("energyflow", "a.npz", energyflow),
    "jetnet": ("jetnet", "t30.hdf5", jetnet),
    "aspen": ("aspen", "RunG_batch0.h5", aspen),
    "momenta-npz": ("momenta-npz", "a.npz", momenta_npz),
    "padded-npz": ("momenta-npz", "a.npz", padded_npz),
    "momenta-hdf5": ("momenta-hdf5", "a.h5", momenta_hdf5),
    "pfnano": ("cms-jets", "a.root", pfnano),
}


def muons_tree(path: Path, s: Sample) -> None:
    with uproot.recreate(path) as f:
        names = {"pt": s.pt, "eta": s.eta, "phi": s.phi, "charge": s.charge.astype(np.int32), "dxy": s.d0}
        lists = {f"Muon_{k}": s.ragged(v) for k, v in names.items()}
        f.mktree("Events", {k: v.type for k, v in lists.items()} | {"MET_pt": "float32", "MET_phi": "float32"})
        f["Events"].extend(lists | {"MET_pt": np.ones(N), "MET_phi": np.zeros(N)})


def muons_csv(path: Path, s: Sample) -> None:
    lines = ["Run,Event,pt1,eta1,phi1,Q1,dxy1,pt2,eta2,phi2,Q2,dxy2"]
    for i in range(N):
        a = np.flatnonzero(s.event == i)[:2]
        values = [f"{s.pt[k]},{s.eta[k]},{s.phi[k]},{s.charge[k]},{s.d0[k]}" for k in a]
        lines.append(f"1,{i}," + ",".join(values))
    path.write_text("\n".join(lines) + "\n")


ALICE = ("index", "pT", "eta", "phi", "p", "dEdxITS", "NclusterPIDTPC", "dEdxTPC", "ITSclsMap", "NclusterTPC",
         "NcrossedRowsTPC", "NFindableTPC")  # fmt: skip


def alice_tracks(path: Path, s: Sample) -> None:
    """A track an event; the last was not measured by the silicon, the first not by the gas."""
    x = np.ceil(np.abs(np.resize(s.pt, (N, len(ALICE))))).astype(np.float32)  # whole, as counts of clusters are
    x[:, ALICE.index("eta")], x[:, ALICE.index("phi")] = s.axis_eta, s.axis_phi + np.pi
    x[:, ALICE.index("ITSclsMap")] = np.arange(N) + 40
    x[-1, ALICE.index("dEdxITS")] = x[0, ALICE.index("dEdxTPC")] = 0
    np.savez(path, x=x, columns=np.array(ALICE), species=(np.arange(N) % 4).astype(np.int8))


def objects(s: Sample) -> Batch:
    """Each jet's particles as jets, and missing momentum, as events of four tops or of two with a W boson."""
    rows = torch.tensor(np.stack([s.pt, s.eta, s.phi, s.e, 0 * s.pt], 1), dtype=torch.float32)
    met = torch.tensor([[9.0, 0.0, 1.0, 9.0, float(OBJECT_TYPES.index("met"))]])
    events = [torch.cat([part, met]) for part in rows.split(s.counts.tolist())]
    columns = {f"object.{f.name}": torch.cat(events)[:, i] for i, f in enumerate(OBJECT)}
    columns |= {"event.weight": torch.ones(N), "event.label": torch.tensor(s.label) * 2.0}
    return Batch.build(events_schema(("weight",), FOUR_TOPS), columns, {"object": torch.tensor(s.counts + 1)})


def lpm_hdf5(path: Path, s: Sample) -> None:
    batch = objects(s)
    write_hdf5(path, [batch[:3], batch[3:]], schema=batch.schema)


def objects_csv(path: Path, s: Sample) -> None:
    batch = objects(s)
    write_csv(path, [batch[:3], batch[3:]], schema=batch.schema)


def calochallenge(path: Path, s: Sample) -> None:
    """The shower of an event has as many cells as its jet has particles, and the first has none."""
    grid = np.zeros((N, 368), np.float32)
    grid[s.event, np.arange(len(s.pt))] = s.pt
    grid[0] = 0
    with h5py.File(path, "w") as f:
        f.create_dataset("incident_energies", data=2.0 ** np.arange(8, 8 + N)[:, None], compression="gzip")
        f.create_dataset("showers", data=grid, compression="gzip")


def shower_boxes(path: Path, s: Sample) -> None:
    grid = np.full((N, 3, 2, 2, 1), -5.0)
    grid[:, 1, 0, 1, 0] = 3.0
    columns = {"evt": np.arange(N, dtype=np.int32), "primary": (np.arange(N) % 3 - 1).astype(np.int32),
               "en_in": np.full(N, 2e6), "theta": s.axis_eta, "phi": s.axis_phi, "shower": grid}  # fmt: skip
    with uproot.recreate(path) as f:
        f.mktree("h", {k: (v.dtype, v.shape[1:]) for k, v in columns.items()})
        f["h"].extend(columns)


def fastcalosim(path: Path, s: Sample) -> None:
    rows = zip(s.px.tolist(), s.py.tolist(), s.pt.tolist(), strict=True)
    path.write_text(json.dumps([{"cell_energy": e, "layer": 2, "x": x, "y": y, "z": 0.0} for x, y, e in rows]))


def lpm_root(path: Path, s: Sample) -> None:
    schema = jets_schema(["pt", "deta", "dphi", "energy"], ["pt", "eta", "phi", "mass", "energy"], ("a", "b"))
    shard(path.with_suffix(".parquet"), s)
    with open_file(path.with_suffix(".parquet")) as reader:
        write_root(path, reader.batches(), schema=schema)


def muon_shard(path: Path, s: Sample) -> None:
    schema = collisions_schema({"muon": ["pt"]})
    batch = Batch.build(schema, {"muon.pt": torch.tensor(s.pt.copy())}, {"muon": torch.tensor(s.counts)})
    write_batches(path, [batch], schema=schema)


ALL = JETS | {
    "shard": ("lpm", "a.parquet", shard),
    "muons": ("cms-events", "a.root", muons_tree),
    "csv": ("csv", "a.csv", muons_csv),
    "lpm-hdf5": ("lpm-hdf5", "a.h5", lpm_hdf5),
    "lpm-root": ("lpm-root", "own.root", lpm_root),
    "objects-csv": ("objects-csv", "a.csv", objects_csv),
    "alice-tracks": ("alice-tracks", "tracks.npz", alice_tracks),
    "calochallenge": ("calochallenge", "showers.hdf5", calochallenge),
    "shower-boxes": ("shower-boxes", "boxes.root", shower_boxes),
    "fastcalosim": ("fastcalosim", "cells.json", fastcalosim),
    "muon-shard": ("lpm", "b.parquet", muon_shard),
}


@pytest.fixture
def write(tmp_path: Path, sample: Sample) -> Callable[..., Path]:
    """Write a file of a layout of this module, of the standard sample or another."""

    def make(layout: str, folder: Path = tmp_path, s: Sample = sample) -> Path:
        path = folder / ALL[layout][1]
        ALL[layout][2](path, s)
        return path

    return make


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "jets_layout" in metafunc.fixturenames:
        metafunc.parametrize("jets_layout", sorted(JETS))
    if "layout" in metafunc.fixturenames:
        metafunc.parametrize("layout", sorted(ALL))


@pytest.fixture
def format_of() -> dict[str, str]:
    return {name: entry[0] for name, entry in ALL.items()}
