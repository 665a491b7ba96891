"""The standard fields of identified tracks: one definition of each, shared by readers and the simulator.

One event is one track. What each detector measured is a collection of its own, of one row, or of none where the
detector saw nothing: an absent detector is an absent row, never a number that stands for absence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lpm.data.schema import Collection, Field, Schema

__all__ = ["DETECTOR", "DOMAINS", "LAYERS", "SPECIES", "TRACK", "domain_field", "species_field", "tracks_schema"]

SPECIES = ("e", "mu", "pi", "K", "p", "d")
"""Kinds of charged particles that live long enough to be identified by a track, particles and antiparticles alike."""

DOMAINS = ("simulation", "data")
"""Where a track comes from, for models that must not tell the two apart."""

LAYERS = tuple(f"layer{i}" for i in range(1, 7))
"""Flags of the six silicon layers, from the innermost."""

TRACK = {
    f.name: f
    for f in (
        Field(name="p", unit="GeV", low=0.0, text="momentum"),
        Field(name="pt", unit="GeV", low=0.0, text="transverse momentum"),
        Field(name="eta", low=-6.0, high=6.0, text="pseudorapidity"),
        Field(name="phi", unit="rad", kind="angle", low=-3.1416, high=3.1416, text="azimuth"),
        Field(name="charge", unit="e", low=-1.0, high=1.0, text="electric charge"),
        Field(name="score", low=0.0, high=1.0, text="classifier score"),
        Field(name="weight", text="event weight"),
    )
}
"""What tracking alone knows."""

DETECTOR: Mapping[str, Mapping[str, Field]] = {
    "its": {
        f.name: f
        for f in (
            Field(name="dedx", low=0.0, text="energy loss in silicon, truncated mean, in the detector's unit"),
            *(Field(name=n, kind="flag", low=0.0, high=1.0, text=f"hit in silicon {n}") for n in LAYERS),
        )
    },
    "tpc": {
        f.name: f
        for f in (
            Field(name="dedx", low=0.0, text="energy loss in gas, truncated mean, in the detector's unit"),
            Field(name="samples", kind="count", low=0.0, text="clusters used for the energy loss"),
            Field(name="clusters", kind="count", low=0.0, text="clusters on the track"),
            Field(name="crossed", kind="count", low=0.0, text="rows of pads that the track crossed"),
            Field(name="findable", kind="count", low=0.0, text="clusters that could have been found"),
        )
    },
    "tof": {
        f.name: f
        for f in (
            Field(name="time", unit="ns", text="time of flight from the collision"),
            Field(name="length", unit="mm", low=0.0, text="length of the flight"),
            Field(name="beta", low=0.0, text="velocity, length over time in units of c"),
        )
    },
    "trd": {
        f.name: f
        for f in (
            Field(name="charge", low=0.0, text="mean signal a layer, in units of a minimum ionising particle"),
            Field(name="late", low=0.0, text="the same of the last third of the drift, where transition photons end"),
            Field(name="layers", kind="count", low=0.0, high=6.0, text="layers with a signal"),
        )
    },
}
"""Detectors that identify, and the fields of their measurements."""


def species_field(species: Sequence[str] = SPECIES) -> Field:
    """The truth field `species` with the given names."""
    return Field(name="species", kind="category", labels=tuple(species), truth=True, text="kind of particle")


def domain_field() -> Field:
    """The truth field `domain`: known to whoever mixes the samples, and never to be seen by a tokenizer."""
    return Field(name="domain", kind="category", labels=DOMAINS, truth=True, text="where the track comes from")


def tracks_schema(track: Sequence[str], detectors: Mapping[str, Sequence[str]], species: Sequence[str] = ()) -> Schema:
    """Schema of single tracks, from the names of standard fields.

    Args:
        track: Names out of `TRACK`.
        detectors: {name out of `DETECTOR`: names of its fields}.
        species: Categories of the truth field `track.species`; empty if the species are not known.

    Example:
        >>> tracks_schema(["p", "eta"], {"tof": ["beta"]}, ["pi", "K"]).paths
        ('track.p', 'track.eta', 'track.species', 'tof.beta')
    """
    fields = [TRACK[n] for n in track] + ([species_field(species)] if species else [])
    collections = [Collection(name="track", fields=tuple(fields), single=True)]
    collections += [
        Collection(name=name, fields=tuple(DETECTOR[name][f] for f in wanted)) for name, wanted in detectors.items()
    ]
    return Schema(name="tracks", collections=tuple(collections))
