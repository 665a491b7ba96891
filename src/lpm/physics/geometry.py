r"""Where the cells of a calorimeter lie: cylinders of layers with radial and angular bins, and boxes of cells.

A shower runs along z; each layer is cut into rings (edges in r) and sectors (bins in α), as many as it likes, so that
layers may differ. A shower as one row of numbers lists r fastest, then α, then the layers (CaloChallenge,
arXiv 2410.21611): the voxel of ring i and sector j of a layer with R rings is first + j R + i. In the plane of a layer
η = r cos α and φ = r sin α, in mm, where r and α are the middles of the bins and α runs from -π to π.

Shapes: V voxels, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["GEOMETRIES", "Box", "Geometry", "Layer", "Planes", "geometry_of", "read_binning"]

MOST_VOXELS = 10_000_000
"""Above this a binning is taken for a mistake."""


@dataclass(frozen=True)
class Layer:
    """One layer of a cylinder.

    Args:
        number: What the experiment calls it.
        r_edges: Edges of the rings in mm, rising from 0 or above.
        sectors: Bins in α.

    Raises:
        ValueError: If the edges do not rise, or there is no ring or no sector.
    """

    number: int
    r_edges: tuple[float, ...]
    sectors: int

    def __post_init__(self) -> None:
        e = self.r_edges
        rise = all(a < b for a, b in pairwise(e)) and all(np.isfinite(e))
        if len(e) < 2 or e[0] < 0 or not rise:
            raise ValueError(
                f"layer {self.number}: expected two or more edges in r that rise from 0, got {list(e)[:8]}"
            )
        if self.sectors < 1:
            raise ValueError(f"layer {self.number}: expected at least one bin in alpha, got {self.sectors}")

    @property
    def rings(self) -> int:
        """Bins in r."""
        return len(self.r_edges) - 1

    @property
    def voxels(self) -> int:
        """Cells of the layer."""
        return self.rings * self.sectors


@dataclass(frozen=True)
class Geometry:
    """A cylinder of layers, regular or not.

    Args:
        name: As on the command line.
        layers: L layers in the order in which a shower meets them.

    Raises:
        ValueError: If there is no layer, two share a number, or there are more than ten million voxels.

    Example:
        >>> small = Geometry("small", (Layer(0, (0.0, 5.0, 10.0), 1), Layer(3, (0.0, 5.0), 4)))
        >>> small.voxels, small.places[3].tolist(), small.regular
        (6, [1, 0, 1], False)
        >>> int(small.voxel(1, 0, 1))
        3
    """

    name: str
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        numbers = [layer.number for layer in self.layers]
        if not numbers or len(set(numbers)) != len(numbers):
            raise ValueError(f"geometry {self.name}: expected layers of different numbers, got {numbers}")
        if self.voxels > MOST_VOXELS:
            raise ValueError(f"geometry {self.name}: {self.voxels:,} voxels, expected at most {MOST_VOXELS:,}")

    axes = ("layer", "r", "alpha")
    """Names of the three places of a cell."""

    @property
    def voxels(self) -> int:
        """Number of voxels V."""
        return sum(layer.voxels for layer in self.layers)

    @property
    def regular(self) -> bool:
        """Whether all layers have the same bins: then a shower is an array (layer, alpha, r)."""
        return len({(layer.r_edges, layer.sectors) for layer in self.layers}) == 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(layers, most sectors, most rings) of a layer."""
        return len(self.layers), max(la.sectors for la in self.layers), max(la.rings for la in self.layers)

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """(L,) first voxel of each layer."""
        return np.cumsum([0, *(layer.voxels for layer in self.layers)])[:-1].astype(np.int64)

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """(V, 3) place of each voxel: layer, ring and sector, counted from 0."""
        made = []
        for i, layer in enumerate(self.layers):
            inside = np.arange(layer.voxels)
            made.append(np.stack([np.full(layer.voxels, i), inside % layer.rings, inside // layer.rings], 1))
        return np.concatenate(made).astype(np.int64)

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """(V, 3) η, φ and r of the middle of each voxel in mm."""
        made = []
        for layer in self.layers:
            edges, around = np.asarray(layer.r_edges), np.linspace(-np.pi, np.pi, layer.sectors + 1)
            # As the challenge does: its last digit decides on which side of 0 the cosine of a right angle lies.
            r = np.tile(edges[:-1] + np.diff(edges) / 2, layer.sectors)
            alpha = np.repeat(around[:-1] + np.diff(around) / 2, layer.rings)
            made.append(np.stack([r * np.cos(alpha), r * np.sin(alpha), r], 1))
        return np.concatenate(made)

    def voxel(self, layer: ArrayLike, r: ArrayLike, alpha: ArrayLike) -> NDArray[np.int64]:
        """Voxel of places as in `places`; any shape.

        Raises:
            ValueError: If a place lies outside.
        """
        la, i, j = (np.asarray(x).astype(np.int64) for x in (layer, r, alpha))
        rings, sectors = (np.array([getattr(x, name) for x in self.layers]) for name in ("rings", "sectors"))
        good = (la >= 0) & (la < len(self.layers))
        known = np.where(good, la, 0)
        good &= (i >= 0) & (i < rings[known]) & (j >= 0) & (j < sectors[known])
        if not good.all():
            raise ValueError(f"geometry {self.name}: a cell lies outside its {len(self.layers)} layers or their bins")
        return np.asarray(self.first[la] + j * rings[la] + i)


@dataclass(frozen=True)
class Box:
    """A box of equal cells, x fastest, then y, then z.

    Args:
        name: As on the command line.
        cells: Number of cells along x, y and z.
        size: Of a cell along x, y and z in mm; None where it is not known.

    Raises:
        ValueError: If there is no cell.

    Example:
        >>> Box("b", (2, 3, 4)).places[7].tolist()
        [1, 1, 0]
    """

    name: str
    cells: tuple[int, int, int]
    size: tuple[float, float, float] | None = None

    axes = ("layer", "x", "y")
    """Names of the three places of a cell; the layers lie along z."""

    def __post_init__(self) -> None:
        if min(self.cells) < 1 or self.voxels > MOST_VOXELS:
            raise ValueError(f"box {self.name}: expected 1 to {MOST_VOXELS:,} cells, got {self.cells}")

    @property
    def voxels(self) -> int:
        """Number of cells."""
        return int(np.prod(self.cells))

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """(V, 3) place of each voxel: layer, x and y, counted from 0."""
        x, y, _ = self.cells
        v = np.arange(self.voxels)
        return np.stack([v // (x * y), v % x, v // x % y], 1)

    def voxel(self, layer: ArrayLike, x: ArrayLike, y: ArrayLike) -> NDArray[np.int64]:
        """Voxel of places as in `places`; any shape.

        Raises:
            ValueError: If a place lies outside.
        """
        z, i, j = (np.asarray(a).astype(np.int64) for a in (layer, x, y))
        for place, count in zip((i, j, z), self.cells, strict=True):
            if ((place < 0) | (place >= count)).any():
                raise ValueError(f"box {self.name}: a cell lies outside {self.cells}")
        return np.asarray((z * self.cells[1] + j) * self.cells[0] + i)


@dataclass(frozen=True)
class Planes(Geometry):
    """A box seen as layers, each of rows (sectors) and columns (rings), in the same order of voxels.

    So boxes are judged as cylinders are: η and φ are x and y from the axis, r is the distance from it. Edges count
    cells along x in mm.
    """

    @classmethod
    def of(cls, box: Box) -> Planes:
        """The layers of a box; cells whose size is not known count as 10 mm.

        Example:
            >>> planes = Planes.of(Box("2x2x3", (2, 2, 3)))
            >>> planes.name, planes.shape, planes.centres[:3].round(2).tolist()
            ('2x2x3', (3, 2, 2), [[-5.0, -5.0, 7.07], [5.0, -5.0, 7.07], [-5.0, 5.0, 7.07]])
        """
        (x, y, z), step = box.cells, (box.size or (10.0, 10.0, 10.0))[0]
        return cls(box.name, tuple(Layer(i, tuple(step * k for k in range(x + 1)), y) for i in range(z)))

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """(V, 3) x, y and distance from the axis of the middle of each voxel, in mm."""
        layer = self.layers[0]
        step = layer.r_edges[1]
        x = (self.places[:, 1] - (layer.rings - 1) / 2) * step
        y = (self.places[:, 2] - (layer.sectors - 1) / 2) * step
        return np.stack([x, y, np.hypot(x, y)], 1)


def read_binning(text: str, name: str) -> Geometry:
    """Geometry from the binning XML of the CaloChallenge: `<Bins><Bin><Layer id r_edges n_bin_alpha/>…`.

    Layers whose only edge is 0 have no voxels and are left out.

    Args:
        text: The XML.
        name: Name of the geometry.

    Raises:
        ValueError: If it is no such XML, declares entities, or describes no sensible layers.

    Example:
        >>> text = '<Bins><Bin><Layer id="0" r_edges="0,5,10" n_bin_alpha="2"/></Bin></Bins>'
        >>> read_binning(text, "mine").voxels
        4
    """
    if "<!" in text.replace("<!--", ""):
        raise ValueError(f"binning {name}: declares a document type or entities; a binning needs neither: remove them")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"binning {name}: no XML ({error}); expected <Bins><Bin><Layer …/></Bin></Bins>") from None
    particles = root.findall("Bin")
    if root.tag != "Bins" or len(particles) != 1:
        raise ValueError(f"binning {name}: expected <Bins> with one <Bin>, got <{root.tag}> with {len(particles)}")
    layers = []
    for element in particles[0].findall("Layer"):
        try:
            number, sectors = int(element.attrib["id"]), int(element.attrib["n_bin_alpha"])
            edges = tuple(float(e) for e in element.attrib["r_edges"].split(","))
        except (KeyError, ValueError) as error:
            raise ValueError(f"binning {name}: layer {element.get('id')}: expected id, r_edges and n_bin_alpha as "
                             f"numbers: {error}") from None  # fmt: skip
        if edges != (0.0,):
            layers.append(Layer(number, edges, sectors))
    return Geometry(name, tuple(layers))


def geometry_of(voxels: int) -> Geometry:
    """The geometry of the CaloChallenge with so many voxels.

    Raises:
        ValueError: If there is none.

    Example:
        >>> geometry_of(6480).name
        '2'
    """
    for geometry in GEOMETRIES.values():
        if geometry.voxels == voxels:
            return geometry
    known = ", ".join(f"{g.voxels:,} ({name})" for name, g in GEOMETRIES.items())
    raise ValueError(
        f"showers of {voxels:,} voxels: expected {known}, or name their binning: an XML, or cells such as 12x12x12"
    )


def _steps(step: float, count: int) -> tuple[float, ...]:
    """Edges at equal steps, rounded as they stand in the XML."""
    return tuple(round(step * i, 6) for i in range(count + 1))


_FRONT = (0.0, 5.0, 10.0, 30.0, 50.0, 100.0, 200.0, 400.0, 600.0)
_BACK = (0.0, 50.0, 100.0, 200.0, 400.0, 600.0)
_STRIPS = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 40.0, 50.0, 70.0, 90.0, 120.0, 150.0, 200.0)
_MIDDLE = (0.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 130.0, 160.0, 200.0, 250.0,
           300.0, 350.0, 400.0)  # fmt: skip
_TILE = (0.0, 10.0, 20.0, 30.0, 50.0, 80.0, 100.0, 130.0, 160.0, 200.0, 250.0, 300.0, 350.0, 400.0)

GEOMETRIES: dict[str, Geometry] = {
    g.name: g
    for g in (
        Geometry("1-photons", (
            Layer(0, _FRONT, 1), Layer(1, _STRIPS, 10), Layer(2, _MIDDLE, 10), Layer(3, _BACK, 1),
            Layer(12, (0.0, 100.0, 200.0, 400.0, 1000.0, 2000.0), 1),
        )),
        Geometry("1-pions", (
            Layer(0, _FRONT, 1), Layer(1, (0.0, 1.0, 4.0, 7.0, 10.0, 15.0, 30.0, 50.0, 90.0, 150.0, 200.0), 10),
            Layer(2, (0.0, 5.0, 10.0, 20.0, 30.0, 50.0, 80.0, 130.0, 200.0, 300.0, 400.0), 10), Layer(3, _BACK, 1),
            Layer(12, (*_TILE, 1000.0, 2000.0), 10), Layer(13, (*_TILE, 600.0, 1000.0, 2000.0), 10),
            Layer(14, (0.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 600.0, 1000.0, 2000.0), 1),
        )),
        Geometry("2", tuple(Layer(i, _steps(4.65, 9), 16) for i in range(45))),
        Geometry("3", tuple(Layer(i, _steps(2.325, 18), 50) for i in range(45))),
    )
}  # fmt: skip
"""The geometries of the CaloChallenge's data sets."""
