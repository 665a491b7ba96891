"""The program that runs Geant4 through a stack of planes, see `lpm.sim.geant4`.

    python -m lpm.sim.geant4_stack OUT.npy < order.json

It writes what each event leaves in each voxel, (B, V) in GeV or mm.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpm.data.showers import DATA_SETS
from lpm.physics.geometry import Geometry

__all__ = ["binned", "run"]

Array = NDArray[np.float64]
Step = tuple[float, float, int, float]
"""x and y in mm, number of the plane, and what is left."""

_SIDE = 1000.0
"""Half the side of a plane in mm: wider than any shower."""


def binned(steps: Array, geometry: Geometry, planes: int) -> Array:
    """(V,) sums of what steps leave.

    Args:
        steps: (N, 4) x and y in mm, number of the plane, and what is left.
        geometry: The cells; a regular cylinder.
        planes: Of the stack.

    Example:
        >>> grid = binned(np.array([[1.0, 0.5, 3.0, 2.0], [99.0, 0.0, 3.0, 5.0]]), DATA_SETS["2"].geometry, 90)
        >>> at = int(grid.argmax())
        >>> float(grid.sum()), DATA_SETS["2"].geometry.places[at].tolist()  # layer 1; what lies outside is lost
        (2.0, [1, 0, 9])
    """
    first = geometry.layers[0]
    x, y, plane, left = steps.T
    edges = np.asarray(first.r_edges)
    ring = np.searchsorted(edges, np.hypot(x, y), side="right") - 1
    turn = (np.arctan2(y, x) + np.pi) / (2 * np.pi)
    sector = np.minimum((turn * first.sectors).astype(np.int64), first.sectors - 1)
    layer = plane.astype(np.int64) * len(geometry.layers) // planes
    inside = (ring >= 0) & (ring < first.rings)
    voxel = geometry.voxel(layer[inside], ring[inside], sector[inside])
    return np.bincount(voxel, left[inside], minlength=geometry.voxels).astype(np.float64)


def run(order: dict[str, Any]) -> Array:
    """(B, V) what each event leaves in each voxel.

    Args:
        order: `energies` in GeV, `particle` by Geant4's name, `seed`, `measure` and `card`, see `lpm.sim.geant4`.
    """
    import geant4_pybind as g4

    card, lengths = order["card"], order["measure"] == "length"
    geometry = DATA_SETS[card["dataset"]].geometry
    if not geometry.regular:
        raise SystemExit(f"data set {card['dataset']}: its layers differ, a stack of equal planes is none")
    steps: list[Step] = []
    grids: list[Array] = []

    def end() -> None:
        grids.append(binned(np.array(steps).reshape(-1, 4), geometry, card["planes"]))
        steps.clear()

    manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.SerialOnly)
    physics = _straight(g4) if lengths else getattr(g4, card["physics"])()
    parts = (_stack(g4, card, lambda: _active(g4, steps, lengths)), physics, _actions(g4, order, end))
    for part in parts:
        manager.SetUserInitialization(part)
    g4.HepRandom.setTheSeed(order["seed"])
    manager.Initialize()
    manager.BeamOn(len(order["energies"]))
    return np.stack(grids)


def _active(g4: Any, steps: list[Step], lengths: bool) -> Any:
    """What takes note of every step in active material."""

    class Active(g4.G4VSensitiveDetector):  # type: ignore[misc]
        def ProcessHits(self, step: Any, history: Any) -> bool:
            left = step.GetStepLength() / g4.mm if lengths else step.GetTotalEnergyDeposit() / g4.GeV
            if left:
                point = step.GetPreStepPoint()
                at = 0.5 * (point.GetPosition() + step.GetPostStepPoint().GetPosition())
                steps.append((at.x / g4.mm, at.y / g4.mm, point.GetTouchable().GetCopyNumber(), left))
            return True

    return Active("active")


def _stack(g4: Any, card: dict[str, Any], active: Callable[[], Any]) -> Any:
    """The planes, one behind the other from z = 0 on."""

    class Stack(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
        def Construct(self) -> Any:
            nist = g4.G4NistManager.Instance()
            depth = card["planes"] * (card["absorber"]["thickness"] + card["active"]["thickness"])
            world = _box(g4, "world", depth + 100.0, nist.FindOrBuildMaterial("G4_Galactic"))
            placed = g4.G4PVPlacement(None, g4.G4ThreeVector(), world, "world", None, False, 0, False)
            parts = [
                (part["thickness"], _box(g4, name, part["thickness"] / 2, nist.FindOrBuildMaterial(part["material"])))
                for name, part in (("absorber", card["absorber"]), ("active", card["active"]))
            ]
            z = 0.0
            for i in range(card["planes"]):
                for thickness, part in parts:
                    at = g4.G4ThreeVector(0, 0, (z + thickness / 2) * g4.mm)
                    g4.G4PVPlacement(None, at, part, part.GetName(), world, False, i, False)
                    z += thickness
            return placed

        def ConstructSDandField(self) -> None:
            self.seen = active()
            g4.G4SDManager.GetSDMpointer().AddNewDetector(self.seen)
            self.SetSensitiveDetector("active", self.seen)

    return Stack()


def _straight(g4: Any) -> Any:
    """Particles that go straight on: to measure the stack."""

    class Straight(g4.G4VModularPhysicsList):  # type: ignore[misc]
        def ConstructParticle(self) -> None:
            g4.G4Geantino.GeantinoDefinition()

    return Straight()


def _actions(g4: Any, order: dict[str, Any], end: Callable[[], None]) -> Any:
    """One particle an event, at a right angle; and what is done at the end of it."""

    class Gun(g4.G4VUserPrimaryGeneratorAction):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.gun = g4.G4ParticleGun(1)

        def GeneratePrimaries(self, event: Any) -> None:
            name = "geantino" if order["measure"] == "length" else order["particle"]
            self.gun.SetParticleDefinition(g4.G4ParticleTable.GetParticleTable().FindParticle(name))
            self.gun.SetParticleEnergy(order["energies"][event.GetEventID()] * g4.GeV)
            # Off the axis by nothing that counts: on it, the sector of the first steps would be that of rounding.
            self.gun.SetParticlePosition(g4.G4ThreeVector(1e-6, 1e-6, -1.0))
            self.gun.SetParticleMomentumDirection(g4.G4ThreeVector(0, 0, 1))
            self.gun.GeneratePrimaryVertex(event)

    class End(g4.G4UserEventAction):  # type: ignore[misc]
        def EndOfEventAction(self, event: Any) -> None:
            end()

    class Actions(g4.G4VUserActionInitialization):  # type: ignore[misc]
        def Build(self) -> None:
            self.SetUserAction(Gun())
            self.SetUserAction(End())

    return Actions()


def _box(g4: Any, name: str, half: float, material: Any) -> Any:
    """A volume as wide as the stack and of half this thickness."""
    side = _SIDE * (2.0 if name == "world" else 1.0)
    return g4.G4LogicalVolume(g4.G4Box(name, side * g4.mm, side * g4.mm, half * g4.mm), material, name)


def main() -> None:
    """Read the order, run, write."""
    grids = run(json.load(sys.stdin))
    np.save(Path(sys.argv[1]), grids)


if __name__ == "__main__":
    main()
