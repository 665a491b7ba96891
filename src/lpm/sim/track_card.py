"""Cards of identified tracks: which particles there are, and how each detector measures them.

They lie in `cards/tracks/*.toml`; wherever a name is expected, the path of a file of the same form does as well.
Lengths are in mm, times in ns, momenta in GeV.
"""

from __future__ import annotations

from dataclasses import dataclass

from lpm.records.config import from_dict
from lpm.sim.card_files import file_of, table_of

__all__ = ["Flight", "Gas", "Silicon", "Spectrum", "TrackCard", "Transition", "read_track_card"]


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """How many particles of a kind there are, and how hard they are.

    Args:
        share: Of all tracks, on any scale.
        scale: C of the Lévy-Tsallis spectrum, GeV.
        power: n of it.
        late: Probability that the track begins behind the innermost silicon layers, as of conversions and decays.
    """

    share: float
    scale: float
    power: float
    late: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Silicon:
    """Six silicon layers, of which the outer four measure the energy loss.

    Args:
        thickness: Of a layer, mm.
        gain: Factor on the signal, which is in keV a layer.
        resolution: Relative, of four samples.
        efficiency: To find a hit, layer by layer.
        dead: Share of the azimuth that is dead, layer by layer.
        samples: Fewest hits in the outer layers for a measurement.
        lost: Probability that all of the detector is lost, whatever the track.
    """

    thickness: float
    gain: float
    resolution: float
    efficiency: tuple[float, ...]
    dead: tuple[float, ...]
    samples: int
    lost: float


@dataclass(frozen=True, kw_only=True)
class Gas:
    """A time projection chamber.

    Args:
        curve: The five parameters of the ALEPH parametrisation.
        gain: Signal of a minimum ionising particle is about this times the minimum of the curve.
        tilt: Relative change of the signal a unit of ln βγ, for a chamber that does not know its own curve.
        resolution: Relative, of as many samples as there are rows.
        rows: Rows of pads.
        inner: Radius of the first row, mm.
        outer: Radius of the last row, mm.
        efficiency: To find a cluster in a row.
        used: Share of the clusters that the energy loss uses.
        gap: Degrees on both sides of a boundary between sectors in which stiff tracks lose rows.
        samples: Fewest samples for a measurement.
        tail: Share of tracks whose signal holds that of a neighbour too.
        lost: Probability that the measurement is lost, whatever the track.
    """

    curve: tuple[float, float, float, float, float]
    gain: float
    tilt: float = 0.0
    resolution: float
    rows: int
    inner: float
    outer: float
    efficiency: float
    used: float
    gap: float
    samples: int
    tail: float
    lost: float


@dataclass(frozen=True, kw_only=True)
class Flight:
    """A wall of time-of-flight counters.

    Args:
        radius: mm.
        resolution: Of the counters, ns.
        start: Of the time of the collision, ns.
        offset: Of all times, ns.
        length: Relative, of the length of the flight.
        plateau: Probability of a stiff track to be matched with a counter.
        threshold: Transverse momentum at which half of that is reached, GeV.
        width: Of the rise, GeV.
        mismatched: Share of the matches with a signal of another particle.
        lost: Probability that the measurement is lost, whatever the track.
    """

    radius: float
    resolution: float
    start: float
    offset: float = 0.0
    length: float
    plateau: float
    threshold: float
    width: float
    mismatched: float
    lost: float


@dataclass(frozen=True, kw_only=True)
class Transition:
    """Transition radiation chambers.

    Args:
        curve: The five parameters of the ALEPH parametrisation; its minimum is taken as 1.
        sectors: Which of the 18 sectors of the azimuth are installed, from −π.
        radius: mm.
        threshold: Transverse momentum that a track needs, GeV.
        efficiency: Of one of six layers.
        samples: Fewest layers.
        resolution: Relative, of one layer.
        onset: Decimal logarithm of the Lorentz factor at which half of the radiation is reached.
        width: Of the rise.
        photons: Most photons that are absorbed in a layer, on average.
        photon: Mean signal of one, in units of a minimum ionising particle.
        lost: Probability that the measurement is lost, whatever the track.
    """

    curve: tuple[float, float, float, float, float]
    sectors: tuple[int, ...]
    radius: float
    threshold: float
    efficiency: float
    samples: int
    resolution: float
    onset: float
    width: float
    photons: float
    photon: float
    lost: float


@dataclass(frozen=True, kw_only=True)
class TrackCard:
    """What a sample of identified tracks is.

    Args:
        text: One sentence.
        field: Of the solenoid, T.
        pt: Range of the transverse momentum, GeV.
        eta_max: Largest absolute pseudorapidity.
        constant: Relative resolution of the momentum.
        slope: The same, a GeV of transverse momentum.
        scattering: The same, times 1/β.
        species: Spectra by name, out of `lpm.data.tracks.SPECIES`.
        its: Silicon.
        tpc: Gas.
        tof: Time of flight.
        trd: Transition radiation.
    """

    text: str
    field: float
    pt: tuple[float, float]
    eta_max: float
    constant: float
    slope: float
    scattering: float
    species: dict[str, Spectrum]
    its: Silicon
    tpc: Gas
    tof: Flight
    trd: Transition


def read_track_card(name: str) -> TrackCard:
    """The card of that name or path.

    Raises:
        ValueError: If there is no such card or a value is missing, unknown or malformed.

    Example:
        >>> read_track_card("alice").field
        0.5
    """
    path = file_of(name, "tracks", ".toml")
    raw = table_of(path)
    card: TrackCard = from_dict(TrackCard, raw, str(path))
    return card
