"""How close simulated jets are to a public sample: quartiles side by side, as a Markdown table.

    lpm simulate jets sim.parquet -n 20000 --preset top-landscape
    python benchmarks/simulation_against_public.py top_landscape_1000.npz sim.parquet

The public file is an npz of four-vectors: `px_py_pz_e` (N, 4) in GeV, `offsets` (B + 1,) and `label` (B,). Label 1 is
compared with the simulated top jets (or light-quark jets, with `--quark-gluon`), label 0 with QCD (or gluon) jets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.io import open_file
from lpm.data.io.files import find_files
from lpm.physics.kinematics import collider, wrap_phi
from lpm.physics.substructure import observables

SOFT, HARD = 1.0, 10.0


def describe(pt: Tensor, deta: Tensor, dphi: Tensor, lengths: Tensor, eta: Tensor | None) -> dict[str, Tensor]:
    """(B,) observables of massless particles."""
    event = torch.repeat_interleave(torch.arange(len(lengths)), lengths)

    def total(x: Tensor) -> Tensor:
        return torch.zeros(len(lengths)).index_add_(0, event, x.float())

    distance = torch.hypot(deta, dphi)
    found = observables(pt, deta, dphi, None, lengths, eta)
    lead = torch.zeros(len(lengths)).scatter_reduce_(0, event, pt.float(), "amax")
    return {
        "particles": lengths.float(),
        "below 1 GeV": total((pt < SOFT).float()),
        "above 10 GeV": total((pt > HARD).float()),
        "mass (GeV)": found["mass"],
        "soft-drop mass (GeV)": found["sdmass"],
        "τ21": found["tau2"] / found["tau1"].clamp_min(1e-9),
        "τ32": found["tau3"] / found["tau2"].clamp_min(1e-9),
        "pT share of the hardest": lead / total(pt),
        "pT share within ΔR < 0.1": total(pt * (distance < 0.1)) / total(pt),
        "mean ΔR": total(distance) / lengths,
    }


def public(path: Path) -> tuple[dict[str, Tensor], Tensor, tuple[float, float]]:
    """Observables, labels and range of jet pt of the public file."""
    with np.load(path) as file:
        p4, offsets, label = (torch.from_numpy(file[n]) for n in ("px_py_pz_e", "offsets", "label"))
    lengths = offsets.diff()
    event = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    jets = torch.zeros(len(lengths), 4).index_add_(0, event, p4)
    pt, eta, phi = collider(*p4.T[:3])
    jet_pt, jet_eta, jet_phi = collider(*jets.T[:3])
    found = describe(pt, eta - jet_eta[event], wrap_phi(phi - jet_phi[event]), lengths, jet_eta)
    return found, label == 1, (float(jet_pt.min()), float(jet_pt.max()))


def simulated(path: Path, window: tuple[float, float], quark_gluon: bool) -> tuple[dict[str, Tensor], Tensor]:
    """Observables and labels of the simulated jets in the same range of pt."""
    parts = []
    for file in find_files(path):
        with open_file(file) as reader:
            parts += list(reader.batches())
    batch = Batch.cat(parts)
    jet_pt = batch.field("jet.pt").values
    batch = batch[(jet_pt > window[0]) & (jet_pt < window[1])]
    if quark_gluon:
        parton = batch.field("jet.parton").values
        batch = batch[~parton.isnan()]
        label = batch.field("jet.parton").values < 5
    else:
        label = batch.field("jet.label").values > 0
    pt, deta, dphi = (batch.field(f"particle.{n}").values for n in ("pt", "deta", "dphi"))
    return describe(pt, deta, dphi, batch.collections["particle"].lengths, batch.field("jet.eta").values), label


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("public", type=Path)
    parser.add_argument("simulated", type=Path, help="a file, or a folder of shards")
    parser.add_argument("--quark-gluon", action="store_true")
    options = parser.parse_args()
    theirs, their_label, window = public(options.public)
    ours, our_label = simulated(options.simulated, window, options.quark_gluon)
    names = ("gluon", "quark") if options.quark_gluon else ("QCD", "top")
    quantiles = torch.tensor([0.25, 0.5, 0.75])
    print(f"Quartiles (25 %, 50 %, 75 %); {len(their_label):,} public and {len(our_label):,} simulated jets.\n")
    print("| class | observable | public | simulated |\n|---|---|---|---|")
    for value, name in enumerate(names):
        for key in theirs:
            cells = [
                ", ".join(f"{q:.3g}" for q in x[key][mask == bool(value)].float().quantile(quantiles).tolist())
                for x, mask in ((theirs, their_label), (ours, our_label))
            ]
            print(f"| {name} | {key} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
