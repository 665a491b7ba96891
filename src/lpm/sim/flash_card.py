"""Cards of a forward spectrometer that is simulated in detail, so that a flash simulation has something to learn from.

They lie in `cards/flash/*.toml`; wherever a name is expected, the path of a file of the same form does as well. Lengths
are in mm along z, the beam; fields in T; energies in GeV; thicknesses in radiation lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

from lpm.records.config import from_dict
from lpm.sim.card_files import file_of, table_of

__all__ = ["Counter", "Finding", "FlashCard", "Lead", "Magnet", "Muon", "Plane", "read_flash_card"]


@dataclass(frozen=True, kw_only=True)
class Magnet:
    """A dipole whose field points up, a Gaussian in z with what Maxwell's equations add off the axis.

    Args:
        bending: Integral of the field along the beam, T m.
        middle: Of the field, mm.
        length: Deviation of the Gaussian, mm.
        step: Of the particle, mm.
        coarse: Of the fit, mm.
    """

    bending: float
    middle: float
    length: float
    step: float
    coarse: float


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Equal planes of material across the beam; they measure if they have an efficiency.

    Args:
        count: How many.
        first: z of the first.
        step: Distance between them.
        thickness: Radiation lengths of each.
        resolution: Of x and of y.
        inner: Half sides of the hole around the beam.
        outer: Half sides.
        efficiency: Probability of a hit; 0 for planes that only scatter.
    """

    count: int
    first: float
    step: float = 0.0
    thickness: float
    resolution: tuple[float, float] = (1.0, 1.0)
    inner: tuple[float, float] = (0.0, 0.0)
    outer: tuple[float, float] = (1e9, 1e9)
    efficiency: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What makes hits a track.

    Args:
        first: Fewest measurements ahead of the magnet's first half, in the silicon around the beam.
        last: Fewest measurements behind the magnet.
        missed: Probability that the hits are not put together, whatever the particle.
        chi2: Largest χ² over degrees of freedom.
    """

    first: int
    last: int
    missed: float
    chi2: float


@dataclass(frozen=True, kw_only=True)
class Counter:
    """A ring-imaging Cherenkov counter.

    Args:
        length: Of the gas along the track, mm.
        index: Refractive index in the middle of the spectrum.
        dispersion: Relative deviation of (index − 1) over the spectrum.
        photons: Share of the photons emitted from 1.75 to 7 eV that become hits.
        pixel: Side of a pixel as an angle, rad.
        background: Mean number of hits of others within 1.5 times the largest angle.
        entrance: z at which the gas begins.
        exit: z that a particle must reach.
        lowest: Smallest angle to the beam, rad.
        highest: Largest angle to the beam, rad.
    """

    length: float
    index: float
    dispersion: float
    photons: float
    pixel: float
    background: float
    entrance: float
    exit: float
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class Lead:
    """An electromagnetic calorimeter of square cells.

    Args:
        z: Of its face.
        cell: Side of a cell.
        inner: Half side of the hole around the beam.
        outer: Half sides.
        critical: Critical energy, GeV.
        charge: Effective atomic number.
        moliere: Molière radius.
        sampling: Radiation lengths over the thickness of an absorber and its gap.
        response: Response to electrons over that to minimum ionising particles.
        depth: Radiation lengths.
        grain: Energy of a spot, GeV.
        resolution: Stochastic term of the energy resolution, at 1 GeV.
        constant: Constant term.
        noise: Of a cell, GeV.
        seed: Least energy of the cell in the middle of a cluster, GeV.
        minimum: Energy that a minimum ionising particle leaves, GeV.
        interaction: Interaction lengths.
    """

    z: float
    cell: float
    inner: float
    outer: tuple[float, float]
    critical: float
    charge: float
    moliere: float
    sampling: float
    response: float
    depth: float
    grain: float
    resolution: float
    constant: float
    noise: float
    seed: float
    minimum: float
    interaction: float


@dataclass(frozen=True, kw_only=True)
class Muon:
    """Muon chambers behind absorbers.

    Args:
        absorbed: Momentum that a muon loses up to the first station, GeV.
        stations: Number of stations; up to 6 GeV the first two are asked for, up to 10 GeV one more, then all.
        efficiency: Of a station.
        punch: Probability that a shower of a hadron of 100 GeV reaches the next station; falls as the root of momentum.
        random: Probability of a hit of another particle in the window of a station, at 3 GeV; falls with momentum.
    """

    absorbed: float
    stations: int
    efficiency: float
    punch: float
    random: float


@dataclass(frozen=True, kw_only=True)
class FlashCard:
    """A forward spectrometer.

    Args:
        text: One sentence.
        magnet: Dipole.
        plane: Tracking planes, along the beam.
        finding: What makes a track.
        rich: Cherenkov counters.
        calorimeter: Calorimeter.
        muon: Muon chambers.

    Raises:
        ValueError: If the planes do not rise along the beam, or there is no magnet between those that measure.
    """

    text: str
    magnet: Magnet
    plane: tuple[Plane, ...]
    finding: Finding
    rich: tuple[Counter, ...]
    calorimeter: Lead
    muon: Muon

    def __post_init__(self) -> None:
        places = [(p.first, p.first + (p.count - 1) * p.step) for p in self.plane]
        flat = [z for pair in places for z in pair]
        if not flat or flat != sorted(flat):
            raise ValueError(f"plane: expected groups that follow one another along z, got {places}")
        ends = [z for p, (_, z) in zip(self.plane, places, strict=True) if p.efficiency > 0]
        if not ends or min(ends) > self.magnet.middle or max(ends) < self.magnet.middle:
            raise ValueError("plane: expected planes that measure on both sides of the magnet")


def read_flash_card(name: str) -> FlashCard:
    """The card of that name or path.

    Raises:
        ValueError: If there is no such card or a value is missing, unknown or malformed.

    Example:
        >>> read_flash_card("forward").magnet.bending
        4.0
    """
    path = file_of(name, "flash", ".toml")
    raw = table_of(path)
    card: FlashCard = from_dict(FlashCard, raw, str(path))
    return card
