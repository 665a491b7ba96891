"""The standard fields of jets and of whole collisions: one definition of each, shared by all readers and simulators.

A reader builds its schema from these with `jets_schema` or `collisions_schema`, naming those its file holds. Two
files that hold the same quantities thus get equal schemas, whatever their format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lpm.data.schema import Collection, Field, Schema

__all__ = [
    "COLLISION",
    "JET",
    "JETCLASS",
    "PARTICLE",
    "PARTICLE_TYPES",
    "collisions_schema",
    "jets_schema",
    "label_field",
]

JETCLASS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
"""The ten classes of the JetClass data set (Qu, Li, Qian, arXiv 2202.03772), in its order."""

PARTICLE_TYPES = ("charged_hadron", "neutral_hadron", "photon", "electron", "muon")
"""Particle-flow types, in the order of the JetClass flags."""

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
    )
}

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
