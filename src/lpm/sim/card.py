"""What cards say: a detector, or what to simulate with it, as frozen dataclasses; `lpm.sim.card_files` reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Calorimeter",
    "Detector",
    "Efficiency",
    "Energy",
    "Find",
    "Generator",
    "Impact",
    "Isolated",
    "Momentum",
    "Preset",
    "Reconstruction",
    "Region",
    "Species",
    "Tag",
    "Tracker",
]

Array = NDArray[np.float64]

Generator = Literal["pythia", "sherpa", "lhe", "phase-space"]
"""Where hard events come from: Pythia itself, Sherpa, Les Houches files of any other generator, or phase space with
parton densities and no matrix element (`lpm.sim.phase_space`)."""

Find = Literal["jets", "fine", "pair", "objects", "matched", "taus"]
"""What is looked for in each event: large or small anti-kT `jets`, or such with `fine` labels; the `pair` of jets of an
e+ e- collision; all `objects` of the event, jets, leptons, photons and missing momentum; generated objects, `matched`
with reconstructed ones; small jets that are, or are taken for, `taus`."""


def _bin(edges: tuple[float, ...], eta: Array) -> NDArray[np.int64]:
    """Row of |eta| among upper bin edges; beyond the last edge it is the last row."""
    return np.minimum(np.searchsorted(np.asarray(edges), np.abs(eta)), len(edges) - 1)


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """Probability to find a track in bins of |eta| (upper edges) and transverse momentum (lower edges, GeV).

    Example:
        >>> e = Efficiency(eta=(1.5, 2.5), pt=(0.1, 1.0), value=((0.70, 0.95), (0.60, 0.85)))
        >>> e.at(np.array([0.05, 0.5, 20.0]), np.array([0.0, 2.0, -2.0])).tolist()
        [0.0, 0.6, 0.85]
    """

    eta: tuple[float, ...]
    pt: tuple[float, ...]
    value: tuple[tuple[float, ...], ...]

    def at(self, pt: Array, eta: Array) -> Array:
        """(N,) probability; 0 below the first pt edge and beyond the last eta edge."""
        column = np.searchsorted(np.asarray(self.pt), pt) - 1
        found = np.asarray(self.value)[_bin(self.eta, eta), np.maximum(column, 0)]
        return np.asarray(np.where((column >= 0) & (np.abs(eta) <= self.eta[-1]), found, 0.0))


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """Relative resolution of pt, `hypot(constant, slope * pt)`, in bins of |eta| (upper edges)."""

    eta: tuple[float, ...]
    constant: tuple[float, ...]
    slope: tuple[float, ...]

    def at(self, pt: Array, eta: Array) -> Array:
        """(N,) relative uncertainty for pt in GeV, never above 1."""
        i = _bin(self.eta, eta)
        return np.asarray(np.minimum(np.hypot(np.asarray(self.constant)[i], np.asarray(self.slope)[i] * pt), 1.0))


@dataclass(frozen=True, kw_only=True)
class Impact:
    """Resolution of an impact parameter, `hypot(constant, slope / pt)` in mm, in bins of |eta| (upper edges)."""

    eta: tuple[float, ...]
    constant: tuple[float, ...]
    slope: tuple[float, ...]

    def at(self, pt: Array, eta: Array) -> Array:
        """(N,) uncertainty in mm for pt in GeV."""
        i = _bin(self.eta, eta)
        return np.asarray(np.hypot(np.asarray(self.constant)[i], np.asarray(self.slope)[i] / np.maximum(pt, 1e-3)))


@dataclass(frozen=True, kw_only=True)
class Species:
    """How one kind of charged particle is tracked."""

    efficiency: Efficiency
    resolution: Momentum


@dataclass(frozen=True, kw_only=True)
class Tracker:
    """The tracker: acceptance, and the tables of each kind of charged particle."""

    eta_max: float
    pt_min: float
    d0: Impact
    dz: Impact
    hadron: Species
    electron: Species
    muon: Species


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Energy resolution in bins of |eta| (upper edges): the root of (constant E)² + stochastic² E + noise², GeV."""

    eta: tuple[float, ...]
    constant: tuple[float, ...]
    stochastic: tuple[float, ...]
    noise: tuple[float, ...]

    def at(self, energy: Array, eta: Array) -> Array:
        """(N,) uncertainty in GeV of energies in GeV.

        Example:
            >>> e = Energy(eta=(3.0,), constant=(0.0,), stochastic=(0.5,), noise=(0.0,))
            >>> e.at(np.array([100.0]), np.array([0.0])).tolist()
            [5.0]
        """
        i = _bin(self.eta, eta)
        c, s, n = (np.asarray(x)[i] for x in (self.constant, self.stochastic, self.noise))
        return np.asarray(np.sqrt((c * energy) ** 2 + s**2 * energy + n**2))


@dataclass(frozen=True, kw_only=True)
class Region:
    """Towers of one size: up to `eta_max`, `step` wide in pseudorapidity, `towers` around the beam."""

    eta_max: float
    step: float
    towers: int


@dataclass(frozen=True, kw_only=True)
class Calorimeter:
    """A calorimeter: granularity from the centre outwards, energy resolution and thresholds (GeV and sigmas)."""

    energy_min: float
    significance_min: float
    granularity: tuple[Region, ...]
    resolution: Energy


@dataclass(frozen=True, kw_only=True)
class Tag:
    """Probability of a b tag, `floor + slope pt + scale tanh(rise pt) / (1 + fall pt)`, with pt in GeV.

    Example:
        >>> Tag(floor=0.002, slope=7.3e-6).at(np.array([100.0])).round(6).tolist()
        [0.00273]
    """

    floor: float = 0.0
    slope: float = 0.0
    scale: float = 0.0
    rise: float = 0.0
    fall: float = 0.0

    def at(self, pt: Array) -> Array:
        """(N,) probability for pt in GeV, within [0, 1]."""
        rising = self.scale * np.tanh(self.rise * pt) / (1 + self.fall * pt)
        return np.asarray(np.clip(self.floor + self.slope * pt + rising, 0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Isolated:
    """Which leptons or photons stand alone.

    Args:
        pt_min: Least transverse momentum in GeV.
        eta_max: Largest |pseudorapidity|.
        efficiency: Probability to be identified.
        cone: Radius around it in which others count.
        share: Most transverse momentum of the others, over its own.
    """

    pt_min: float
    eta_max: float
    efficiency: float
    cone: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """Jets, isolated leptons and photons of an event.

    Args:
        radius: Of anti-kT.
        pt_min: Least transverse momentum of a jet in GeV.
        eta_max: Largest |pseudorapidity| of a jet.
        b: Probability of a b tag for a jet with a bottom hadron.
        c: The same with a charm hadron and no bottom hadron.
        light: The same without either.
        electron: Isolation and cuts; likewise `muon` and `photon`.
        muon: As for electrons.
        photon: As for electrons.
    """

    radius: float
    pt_min: float
    eta_max: float
    b: Tag
    c: Tag
    light: Tag
    electron: Isolated
    muon: Isolated
    photon: Isolated


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A detector: solenoid field in T, face of the calorimeter in mm, tracker and two calorimeters.

    With `shared_towers` the two calorimeters have the same towers, and both report the same position. With
    `absorb` a tower that holds tracks measured worse than by the calorimeter gives them all energy that the better
    measured tracks leave, and no neutral object; otherwise the excess and a weighted mean decide (see `detector`).
    """

    text: str
    field: float
    radius: float
    half_length: float
    shared_towers: bool = False
    absorb: bool = False
    tracker: Tracker
    ecal: Calorimeter
    hcal: Calorimeter
    objects: Reconstruction | None = None


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What a sample is: collisions, detector, jets and classes.

    Args:
        text: One sentence.
        find: What is looked for in each event, see `Find`.
        generator: Where hard events come from, see `Generator`.
        energy: Centre-of-mass energy in GeV.
        mpi: Whether multiparton interactions are simulated.
        detector: Name of a detector card, or `none`.
        classes: The process cards of each class; a class of several cards takes them in turn. They are settings of
            Pythia, run cards of Sherpa, paths of `.lhe` files or processes of `cards/phase-space`, as `generator` says.
        settings: Further lines for the generator.
        weights: Share of each class in the sample, on any scale; 1 for a class that is not named.
        response: Card of what calorimeters and muon chambers see of tracks, for `taus` alone, and needed there.
        radius: Radius parameter of anti-kT. This and the following are for `jets`, `fine` and `taus`, and needed there.
        pt: Range of the transverse momentum of jets in GeV.
        eta_max: Largest absolute pseudorapidity (or rapidity, see `rapidity`) of jets.
        rapidity: Whether `eta_max` cuts on rapidity.
        margin: The hard process is generated with transverse momenta of `margin[0] * pt[0]` to `margin[1] * pt[1]`; not
            for `taus`.

    Raises:
        ValueError: If `find` or `generator` is unknown, or a cut on jets is missing or of no use.
    """

    text: str
    find: Find = "jets"
    generator: Generator = "pythia"
    energy: float
    mpi: bool
    detector: str
    classes: dict[str, tuple[str, ...]]
    settings: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    response: str = ""
    radius: float = 0.0
    pt: tuple[float, float] = (0.0, 0.0)
    eta_max: float = 0.0
    rapidity: bool = False
    margin: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name, said, known in (("find", self.find, Find), ("generator", self.generator, Generator)):
            if said not in get_args(known):
                raise ValueError(f"{name} = {said!r}: expected one of {', '.join(get_args(known))}")
        cuts = {"radius": self.radius, "pt": self.pt[1], "eta_max": self.eta_max, "margin": self.margin[1]}
        for name, value in cuts.items():
            where = ("jets", "fine") if name == "margin" else ("jets", "fine", "taus")
            if (self.find in where) != (value > 0):
                expected = " or ".join(map(repr, where))
                raise ValueError(f"{name}: expected with find = {expected}, only there; find is {self.find!r}")
        if (self.find == "taus") != bool(self.response):
            raise ValueError(f"response: expected with find = 'taus', only there; find is {self.find!r}")
