"""Cards of calorimeters: what a shower goes through, and how well its energy is seen.

They lie in `cards/calorimeter/*.toml`, one for each data set of the CaloChallenge; wherever a name is expected, the
path of a file of the same form does as well. Lengths are in mm, energies in GeV.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from lpm.data.showers import DATA_SETS
from lpm.records.config import from_dict
from lpm.sim.card_files import file_of, table_of

__all__ = ["CalorimeterCard", "Hadronic", "Material", "read_calorimeter_card"]


@dataclass(frozen=True, kw_only=True)
class Material:
    """What electromagnetic showers need to know (Grindhammer and Peters, hep-ex/0001020).

    Args:
        critical: Critical energy, GeV.
        charge: Effective atomic number.
        moliere: Molière radius of each layer, mm.
        sampling: Sampling frequency: radiation lengths over the thickness of an absorber and its gap.
        response: Response to electrons over that to minimum ionising particles.
    """

    critical: float
    charge: float
    moliere: tuple[float, ...]
    sampling: float
    response: float


@dataclass(frozen=True, kw_only=True)
class Hadronic:
    """What showers of pions need besides.

    Args:
        depth: Ends of the layers in interaction lengths, one more than layers.
        length: Interaction length of each layer, mm.
        ionisation: Energy of a minimum ionising particle in one interaction length, GeV.
        visible: Response to what is not electromagnetic, over that to what is.
        spread: Deviation of it from shower to shower, since nuclei bind more or less.
        grain: Mean energy of a spot of the hadronic part, GeV.
        shape: Shape of the energies of its spots: their relative variance is one over it.
    """

    depth: tuple[float, ...]
    length: tuple[float, ...]
    ionisation: float
    visible: float
    spread: float
    grain: float
    shape: float


@dataclass(frozen=True, kw_only=True)
class CalorimeterCard:
    """A calorimeter and what it is shot with.

    Args:
        text: One sentence.
        dataset: Data set of the CaloChallenge whose particle, energies, cells and threshold it takes.
        depth: Ends of the layers in radiation lengths, one more than layers; what lies before the first is dead.
        material: For electromagnetic showers.
        grain: Mean energy of a spot, GeV. The energy resolution is `sqrt(grain * (1 + 1 / shape) / E)`.
        shape: Shape of the energies of spots: their relative variance is one over it.
        constant: Constant term of the resolution.
        sway: First harmonic of the azimuth of an electromagnetic shower of 1 GeV; falls as one over the root of E.
        breadth: Relative fluctuation of the width of a whole shower.
        noise: Deviation of the electronic noise of a cell, GeV.
        hadronic: For pions, or None.
    """

    text: str
    dataset: str
    depth: tuple[float, ...]
    material: Material
    grain: float
    shape: float
    constant: float
    sway: float
    breadth: float
    noise: float = 0.0
    hadronic: Hadronic | None = None

    def __post_init__(self) -> None:
        if self.dataset not in DATA_SETS:
            raise ValueError(f"dataset {self.dataset!r}: expected one of {', '.join(DATA_SETS)}")
        layers = len(DATA_SETS[self.dataset].geometry.layers)
        h = self.hadronic
        ends = {"depth": self.depth} | ({} if h is None else {"hadronic.depth": h.depth})
        for name, values in ends.items():
            if len(values) != layers + 1 or values[0] < 0 or any(a >= b for a, b in pairwise(values)):
                raise ValueError(f"{name}: expected {layers + 1} rising ends of {layers} layers, got {list(values)}")
        each = {"material.moliere": self.material.moliere} | ({} if h is None else {"hadronic.length": h.length})
        for name, values in each.items():
            if len(values) != layers or min(values) <= 0:
                raise ValueError(f"{name}: expected {layers} lengths above 0, got {list(values)}")
        if min(self.grain, self.shape) <= 0 or min(self.constant, self.noise, self.sway, self.breadth) < 0:
            raise ValueError("expected grain and shape above 0; constant, noise, sway and breadth not below 0")
        if h is not None and not (0 < h.visible < 1 and 0 < h.spread**2 < h.visible * (1 - h.visible)):
            raise ValueError("hadronic: expected visible between 0 and 1, and spread below sqrt(visible (1 - visible))")
        if DATA_SETS[self.dataset].particle == "pion" and h is None:
            raise ValueError(f"dataset {self.dataset} is of pions: the card needs a section `hadronic`")


def read_calorimeter_card(name: str) -> CalorimeterCard:
    """The card of that name or path.

    Raises:
        ValueError: If there is no such card or a value is missing, unknown or malformed.

    Example:
        >>> read_calorimeter_card("2").material.charge
        72.0
    """
    path = file_of(name, "calorimeter", ".toml")
    raw = table_of(path)
    if isinstance(raw.get("depth"), dict):  # equal layers: where the first begins, the step, and how many
        raw["depth"] = _steps(raw["depth"], str(path))
    if isinstance(raw.get("material"), dict) and isinstance(raw["material"].get("moliere"), float):
        raw["material"]["moliere"] = [raw["material"]["moliere"]] * (len(raw["depth"]) - 1)
    card: CalorimeterCard = from_dict(CalorimeterCard, raw, str(path))
    return card


def _steps(raw: dict[str, object], where: str) -> list[float]:
    first, step, layers = (raw.get(k) for k in ("first", "step", "layers"))
    if not isinstance(first, float) or not isinstance(step, float) or not isinstance(layers, int) or len(raw) != 3:
        raise ValueError(f"{where}: depth: expected a list, or first, step and layers, got {raw}")
    return [first + step * i for i in range(layers + 1)]
