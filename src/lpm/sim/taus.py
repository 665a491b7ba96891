r"""Small jets that are hadronic tau decays, or are taken for them: quark and gluon jets, electrons, muons.

Anti-kT jets of what the detector saw are matched to what made them: the visible products of a tau that decayed to
hadrons, an electron or muon of the hard process, or a parton. A tau identification does not know the species of a
track; what it has instead is how the calorimeters and muon chambers answer, which is drawn here from a card: the
electromagnetic share of the energy (of beta distributions, of which hadrons have two, for those that begin to shower
behind the electromagnetic calorimeter), the energy over the momentum of the track, and the chambers with a hit.

Shapes: J jets, N particles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.data.fields import PARTICLE, TAU_CLASSES, TAU_DECAYS, jets_schema
from lpm.data.schema import Schema
from lpm.records.config import from_dict
from lpm.sim.card_files import file_of, table_of
from lpm.sim.detector import TYPE, Objects
from lpm.sim.jets import Selection, cluster, nearest, wrap
from lpm.sim.pythia import Events, Partons, Taus

__all__ = ["SCHEMA", "Answer", "TauCard", "decays", "find_taus", "read_tau_card"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

PARTICLE_FIELDS = (
    "pt", "deta", "dphi", "energy", "charge", "kind", "d0", "d0_err", "dz", "dz_err",
    "em_share", "calo_ratio", "chambers",
)  # fmt: skip

SCHEMA: Schema = jets_schema(PARTICLE_FIELDS, ("pt", "eta", "phi", "mass", "energy", "parton_pt", "decay"), TAU_CLASSES)
"""Schema of tau candidates."""

RADIUS = {"tau": 0.2, "electron": 0.2, "muon": 0.2, "jet": 0.4}
"""Largest distance of a jet from what made it."""

CHAMBERS = 4


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How calorimeters and chambers answer to one kind of charged particle.

    Args:
        share: Mean electromagnetic share of the energy.
        sharp: Sum of the two parameters of its beta distribution: the larger, the narrower.
        late: Probability that it showers late, with a mean share of 0.05.
        ratio: Mean of calorimeter energy over momentum; for muons it falls as this over the momentum in GeV.
        stochastic: Relative spread of the ratio at 1 GeV, which falls with the root of the momentum.
        constant: Relative spread at any momentum.
        chamber: Probability of a hit in each muon chamber.
    """

    share: float
    sharp: float
    late: float
    ratio: float
    stochastic: float
    constant: float
    chamber: float


@dataclass(frozen=True, kw_only=True)
class TauCard:
    """What the detector knows of tracks beside their helix, and in what it may differ from another.

    Args:
        text: One sentence.
        electron: As measured.
        muon: As measured.
        hadron: As measured.
        blur: Factor on the resolution of impact parameters that is not in their quoted uncertainty.
        photons: Factor on the energy of photons.
        lost: Probability to lose a track besides that of the detector card.
    """

    text: str
    electron: Answer
    muon: Answer
    hadron: Answer
    blur: float = 1.0
    photons: float = 1.0
    lost: float = 0.0


def read_tau_card(name: str) -> TauCard:
    """The card of that name in `cards/tau`, or at that path.

    Raises:
        ValueError: If there is none, or a value is missing, unknown or malformed.

    Example:
        >>> read_tau_card("cms").electron.share > read_tau_card("cms").hadron.share
        True
    """
    path = file_of(name, "tau", ".toml")
    raw = table_of(path)
    card: TauCard = from_dict(TauCard, raw, str(path))
    return card


def find_taus(
    objects: Objects, events: Events, label: str, selection: Selection, card: TauCard, rng: np.random.Generator
) -> Batch:
    """Labelled tau candidates of one class.

    Args:
        objects: Reconstructed particles, sorted by event.
        events: The same events.
        label: One of `TAU_CLASSES`; jets that nothing of this kind made are left out.
        selection: Cuts on jets.
        card: What is known of tracks.
        rng: Source of randomness.

    Returns:
        Jets of the schema `SCHEMA`, constituents by falling pt.
    """
    objects = _mismeasured(objects, card, rng)
    jets = cluster(objects, events.size, selection)
    source, decay = _makers(events, label)
    near, row = nearest(jets.event, jets.eta, jets.phi, source, RADIUS[label])
    jets, row = jets.take(near), row[near]
    parts = objects.take(jets.rows)
    of_jet = np.repeat(np.arange(len(jets.pt)), jets.lengths)
    found = {n: vars(parts)[n] for n in ("pt", "energy", "charge", "d0", "d0_err", "dz", "dz_err")}
    found |= {"deta": parts.eta - jets.eta[of_jet], "dphi": wrap(parts.phi - jets.phi[of_jet])}
    found |= _answers(parts, card, rng)
    columns = {f"particle.{n}": np.asarray(v, dtype=np.float64) for n, v in found.items()}
    mass2 = jets.energy**2 - jets.px**2 - jets.py**2 - jets.pz**2
    own = {n: getattr(jets, n) for n in ("pt", "eta", "phi", "energy")} | {"mass": np.sqrt(np.maximum(mass2, 0.0))}
    none = np.full(len(jets.pt), np.nan)
    known = len(source.event) > 0
    own["parton_pt"] = np.hypot(source.px, source.py)[row] if known else none
    own["decay"] = decay[row] if known else none
    own["label"] = np.full(len(jets.pt), float(TAU_CLASSES.index(label)))
    columns |= {f"jet.{n}": v for n, v in own.items()}
    tensors = {n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in columns.items()}
    return Batch.build(SCHEMA, tensors, {"particle": torch.from_numpy(jets.lengths)})


def decays(taus: Taus) -> Array:
    """(N,) category of each decay among `TAU_DECAYS`, NaN for leptonic and rare ones.

    Example:
        >>> zero, count = np.zeros(3), lambda *n: np.array(n)
        >>> columns = dict.fromkeys(("event", "pdg_id", "px", "py", "pz", "energy"), zero)
        >>> decays(Taus(**columns, leptons=count(0, 0, 1), hadrons=count(1, 3, 0), pions=count(3, 0, 0))).tolist()
        [2.0, 3.0, nan]
    """
    one = np.minimum(taus.pions, 2).astype(np.float64)
    three = TAU_DECAYS.index("3h") + np.minimum(taus.pions, 1).astype(np.float64)
    out = np.select([taus.hadrons == 1, taus.hadrons == 3], [one, three], np.nan)
    return np.where(taus.leptons > 0, np.nan, out)


def _makers(events: Events, label: str) -> tuple[Partons, Array]:
    """What makes jets of a class, and how each decays."""
    if label == "tau":
        taus = events.taus.take(events.taus.leptons == 0)
        none = np.full(len(taus.event), -1)
        momenta = {n: vars(taus)[n] for n in ("event", "pdg_id", "px", "py", "pz", "energy")}
        return Partons(**momenta, root=none, root_id=0 * none), decays(taus)
    wanted = {"electron": (11,), "muon": (13,), "jet": (1, 2, 3, 4, 5, 21)}[label]
    chosen = events.partons.take(np.isin(np.abs(events.partons.pdg_id), wanted))
    return chosen, np.full(len(chosen.event), np.nan)


def _mismeasured(objects: Objects, card: TauCard, rng: np.random.Generator) -> Objects:
    """Tracks lost, impact parameters blurred and photons scaled as the card says; nothing for a right one."""
    track = objects.charge != 0
    kept = ~(track & (rng.random(len(objects)) < card.lost))
    scale = np.where(objects.type == TYPE["photon"], card.photons, 1.0)
    columns = dict(vars(objects)) | {"pt": objects.pt * scale, "energy": objects.energy * scale}
    more = np.sqrt(max(card.blur**2 - 1, 0.0))
    for name in ("d0", "dz"):
        columns[name] = columns[name] + more * columns[f"{name}_err"] * rng.normal(size=len(objects))
    return Objects(**{n: v[kept] for n, v in columns.items()})


def _answers(parts: Objects, card: TauCard, rng: np.random.Generator) -> dict[str, Array]:
    """What calorimeters and chambers say of each particle; NaN where there is nothing to say."""
    n = len(parts)
    labels = PARTICLE["kind"].labels
    kind = np.select(
        [parts.type == TYPE["photon"], parts.type == TYPE["neutral_hadron"]],
        [labels.index("photon"), labels.index("neutral_hadron")], labels.index("track"),
    )  # fmt: skip
    share = np.select([kind == labels.index("photon"), kind == labels.index("neutral_hadron")], [1.0, 0.0], np.nan)
    ratio, hits = np.full(n, np.nan), np.full(n, np.nan)
    for answer, pdg in ((card.electron, 11), (card.muon, 13), (card.hadron, 0)):
        track = kind == labels.index("track")
        mine = track & ((parts.pdg_id == pdg) if pdg else ~np.isin(parts.pdg_id, (11, 13)))
        rows = np.flatnonzero(mine)
        p = parts.energy[rows]
        mean = np.where(rng.random(len(rows)) < answer.late, 0.05, answer.share)
        share[rows] = rng.beta(mean * answer.sharp, (1 - mean) * answer.sharp)
        centre = answer.ratio / np.maximum(p, 1.0) if pdg == 13 else np.full(len(rows), answer.ratio)
        spread = np.hypot(answer.stochastic / np.sqrt(np.maximum(p, 1.0)), answer.constant)
        ratio[rows] = np.maximum(centre * (1 + spread * rng.normal(size=len(rows))), 0.0)
        hits[rows] = rng.binomial(CHAMBERS, answer.chamber, len(rows))
    return {"kind": kind.astype(np.float64), "em_share": share, "calo_ratio": ratio, "chambers": hits}
