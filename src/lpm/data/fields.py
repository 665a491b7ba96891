"""The standard fields of jets and of whole collisions: one definition of each, shared by all readers and simulators.

A reader builds its schema from these with `jets_schema` or `collisions_schema`, naming those its file holds. Two
files that hold the same quantities thus get equal schemas, whatever their format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lpm.data.schema import Collection, Field, Schema

__all__ = [
    "COLLISION",
    "EVENT",
    "FOUR_TOPS",
    "JET",
    "JETCLASS",
    "OBJECT",
    "OBJECT_TYPES",
    "ORIGINS",
    "PARTICLE",
    "PARTICLE_TYPES",
    "SPECIES",
    "TAU_CLASSES",
    "TAU_DECAYS",
    "collisions_schema",
    "events_schema",
    "jets_schema",
    "label_field",
]

JETCLASS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
"""The ten classes of the JetClass data set (Qu, Li, Qian, arXiv 2202.03772), in its order."""

PARTICLE_TYPES = ("charged_hadron", "neutral_hadron", "photon", "electron", "muon")
"""Particle-flow types, in the order of the JetClass flags."""

SPECIES = ("electron", "muon", "pion", "kaon", "proton", "photon", "neutral_hadron")
"""Particle-flow types with charged hadrons told apart, as by an ideal identification."""

ORIGINS = ("b", "bbar", "c", "cbar", "s", "sbar", "u", "ubar", "d", "dbar", "g")
"""Where a jet comes from: a quark, an antiquark or a gluon (Liang et al., arXiv 2310.03440)."""

FOUR_TOPS = ("tttt", "ttZ", "ttW", "ttWW", "ttH")
"""Four top quarks, and two with what is mistaken for them (Builtjes et al., arXiv 2211.05143)."""

OBJECT_TYPES = ("jet", "b_jet", "electron", "positron", "muon", "antimuon", "photon", "met")
"""Kinds of reconstructed objects of an event; every event has one `met`, the missing transverse momentum."""

TAU_CLASSES = ("jet", "electron", "muon", "tau")
"""What is taken for a hadronic tau decay, and the decay itself."""

TAU_DECAYS = ("h", "h_pi0", "h_2pi0", "3h", "3h_pi0")
"""Hadronic decays of a tau by charged hadrons and neutral pions; still more of the latter count with the last."""

PARTICLE = {
    f.name: f
    for f in (
        Field(name="pt", unit="GeV", low=0.0, text="transverse momentum"),
        Field(name="deta", low=-6.0, high=6.0, text="pseudorapidity relative to the jet axis"),
        Field(name="dphi", unit="rad", kind="angle", low=-3.1416, high=3.1416, text="azimuth relative to the jet axis"),
        Field(name="energy", unit="GeV", low=0.0, text="energy"),
        Field(name="charge", unit="e", low=-1.0, high=1.0, text="electric charge"),
        Field(name="type", kind="category", labels=PARTICLE_TYPES, text="particle-flow type"),
        Field(name="d0", unit="mm", text="transverse impact parameter"),
        Field(name="d0_err", unit="mm", low=0.0, text="its uncertainty; 0 for neutrals"),
        Field(name="dz", unit="mm", text="longitudinal impact parameter"),
        Field(name="dz_err", unit="mm", low=0.0, text="its uncertainty; 0 for neutrals"),
        Field(name="puppi", low=0.0, high=1.0, text="PUPPI weight"),
        Field(name="species", kind="category", labels=SPECIES, text="identity, charged hadrons told apart"),
        Field(name="d0_sig", text="d0 over its uncertainty, positive if the jet axis is met ahead of the vertex"),
        Field(name="dz_sig", text="dz over its uncertainty, positive if the jet axis is met ahead of the vertex"),
        Field(name="kind", kind="category", labels=("track", "photon", "neutral_hadron"),
              text="track or cluster, leptons not told apart"),
        Field(name="em_share", low=0.0, high=1.0, text="electromagnetic share of its energy in the calorimeters"),
        Field(name="calo_ratio", low=0.0, text="energy in the calorimeters over momentum of a track"),
        Field(name="chambers", kind="count", low=0.0, text="muon chambers with a hit on a track"),
    )
}  # fmt: skip

JET = {
    f.name: f
    for f in (
        Field(name="pt", unit="GeV", low=0.0, text="transverse momentum"),
        Field(name="eta", low=-6.0, high=6.0, text="pseudorapidity"),
        Field(name="phi", unit="rad", kind="angle", low=-3.1416, high=3.1416, text="azimuth"),
        Field(name="mass", unit="GeV", low=0.0, text="invariant mass of all constituents"),
        Field(name="energy", unit="GeV", low=0.0, text="energy"),
        Field(name="sdmass", unit="GeV", low=0.0, text="soft-drop mass (beta = 0, z_cut = 0.1)"),
        Field(name="tau1", low=0.0, text="1-subjettiness"),
        Field(name="tau2", low=0.0, text="2-subjettiness"),
        Field(name="tau3", low=0.0, text="3-subjettiness"),
        Field(name="tau4", low=0.0, text="4-subjettiness"),
        Field(name="score", low=0.0, high=1.0, text="classifier score"),
        Field(name="weight", text="event weight"),
        Field(name="event", kind="count", text="number of the collision the jet comes from"),
        Field(name="parton", kind="category", labels=("d", "u", "s", "c", "b", "t", "g"), truth=True,
              text="flavour of the hard parton matched to the jet"),
        Field(name="decay", kind="category", labels=TAU_DECAYS, truth=True, text="decay of the matched tau"),
        Field(name="parton_pt", unit="GeV", low=0.0, truth=True, text="transverse momentum of the matched particle"),
    )
}  # fmt: skip

_PT = Field(name="pt", unit="GeV", low=0.0, text="transverse momentum")
_ETA = Field(name="eta", low=-6.0, high=6.0, text="pseudorapidity")
_PHI = Field(name="phi", unit="rad", kind="angle", low=-3.1416, high=3.1416, text="azimuth")
_MASS = Field(name="mass", unit="GeV", low=0.0, text="invariant mass")
_CHARGE = Field(name="charge", unit="e", low=-1.0, high=1.0, text="electric charge")
_ISO = Field(name="iso", low=0.0, text="momentum in a cone around it, over its own")
_D0 = Field(name="d0", unit="mm", text="transverse impact parameter")
_DZ = Field(name="dz", unit="mm", text="longitudinal impact parameter")
_TAUS = (JET["tau1"], JET["tau2"], JET["tau3"], JET["tau4"])

COLLISION: Mapping[str, tuple[Field, ...]] = {
    "muon": (_PT, _ETA, _PHI, _MASS, _CHARGE, _ISO, _D0, _DZ),
    "electron": (_PT, _ETA, _PHI, _MASS, _CHARGE, _ISO, _D0, _DZ),
    "photon": (_PT, _ETA, _PHI, _ISO),
    "tau": (_PT, _ETA, _PHI, _MASS, _CHARGE),
    "jet": (_PT, _ETA, _PHI, _MASS, Field(name="btag", low=0.0, high=1.0, text="b-jet score; below 0 if undefined")),
    "fatjet": (_PT, _ETA, _PHI, _MASS, JET["sdmass"], *_TAUS),
    "met": (_PT, _PHI),
}
"""Reconstructed objects of a collision and their fields. Every event has exactly one `met`, the missing momentum."""


OBJECT = (
    _PT,
    _ETA,
    _PHI,
    Field(name="energy", unit="GeV", low=0.0, text="energy"),
    Field(name="type", kind="category", labels=OBJECT_TYPES, text="kind of object"),
)
"""Fields of the reconstructed objects of an event, of all kinds in one collection."""

EVENT = {
    f.name: f
    for f in (
        Field(name="weight", text="event weight"),
        Field(name="ht", unit="GeV", low=0.0, text="sum of the transverse momenta of all jets"),
        Field(name="met", unit="GeV", low=0.0, text="missing transverse momentum"),
        Field(name="jets", kind="count", low=0.0, text="number of jets, b jets among them"),
        Field(name="b_jets", kind="count", low=0.0, text="number of jets with a b tag"),
        Field(name="leptons", kind="count", low=0.0, text="number of electrons and muons"),
        Field(name="photons", kind="count", low=0.0, text="number of photons"),
        JET["score"],
    )
}
"""Fields of a whole event."""


def label_field(labels: Sequence[str]) -> Field:
    """The truth field `label` with the given categories."""
    return Field(name="label", kind="category", labels=tuple(labels), truth=True, text="class of the jet")


def jets_schema(particle: Sequence[str], jet: Sequence[str], labels: Sequence[str] = ()) -> Schema:
    """Schema of single jets, from the names of standard fields.

    Args:
        particle: Names out of `PARTICLE`.
        jet: Names out of `JET`.
        labels: Categories of the truth field `jet.label`; empty if the class is not known.

    Example:
        >>> jets_schema(["pt", "deta", "dphi"], ["pt", "eta"], ["QCD", "top"]).paths
        ('particle.pt', 'particle.deta', 'particle.dphi', 'jet.pt', 'jet.eta', 'jet.label')
    """
    fields = [JET[n] for n in jet] + ([label_field(labels)] if labels else [])
    collections = (
        Collection(name="particle", fields=tuple(PARTICLE[n] for n in particle)),
        Collection(name="jet", fields=tuple(fields), single=True),
    )
    return Schema(name="jets", collections=collections)


def collisions_schema(objects: Mapping[str, Sequence[str]]) -> Schema:
    """Schema of whole collisions, from the names of standard objects and fields.

    Args:
        objects: {name out of `COLLISION`: names of its fields}.

    Example:
        >>> collisions_schema({"muon": ["pt", "eta"], "met": ["pt"]}).paths
        ('muon.pt', 'muon.eta', 'met.pt')
    """
    made = [
        Collection(name=name, fields=tuple(f for f in COLLISION[name] if f.name in wanted), single=name == "met")
        for name, wanted in objects.items()
    ]
    return Schema(name="collisions", collections=tuple(made))


def events_schema(event: Sequence[str], labels: Sequence[str] = ()) -> Schema:
    """Schema of events as sets of objects, from the names of standard fields.

    Args:
        event: Names out of `EVENT`.
        labels: Categories of the truth field `event.label`; empty if the class is not known.

    Example:
        >>> events_schema(["ht"], ["tttt", "ttW"]).paths[-3:]
        ('object.type', 'event.ht', 'event.label')
    """
    label = [Field(name="label", kind="category", labels=tuple(labels), truth=True, text="process")] if labels else []
    collections = (
        Collection(name="object", fields=OBJECT),
        Collection(name="event", fields=(*(EVENT[n] for n in event), *label), single=True),
    )
    return Schema(name="events", collections=collections)
