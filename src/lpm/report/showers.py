"""A page about showers: averages, single showers, all observables with their separations, and every number measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from lpm.data.batch import Batch
from lpm.data.showers import grid_of
from lpm.metrics.estimate import Estimate
from lpm.metrics.separation import Separation
from lpm.physics.geometry import Geometry
from lpm.report.page import Page
from lpm.report.plots import Band, curve, histogram, powers_of_ten
from lpm.report.svg import MUTED, STYLE, svg

__all__ = ["rings", "shower_page"]

Array = NDArray[np.float64]

DRAWN = 6
"""Most layers that are drawn; of more, those at equal steps."""

SINGLE = 3
"""Showers of each sample that are drawn."""

_LOGARITHMIC = ("E layer", "Voxel")


def shower_page(
    generated: Batch, reference: Batch, geometry: Geometry, separations: Mapping[str, Separation],
    found: Mapping[str, Any], *, title: str, seed: int = 0,
) -> Page:  # fmt: skip
    """The page of a generated and a reference sample.

    Args:
        generated: Showers as described by the task, with their cells.
        reference: The same.
        geometry: Of both.
        separations: Histograms of all observables by name.
        found: What was measured, as JSON.
        title: Heading.
        seed: Of the choice of single showers.
    """
    page = Page(title, f"{len(generated):,} generated and {len(reference):,} reference showers of {geometry.name}")
    _tiles(page, separations, found)
    samples = {"reference": reference, "generated": generated}
    layers = _chosen(len(geometry.layers))
    means = {name: grid_of(b, geometry).double().mean(0).numpy() for name, b in samples.items()}
    section = page.section("Averages", "Mean energies over all showers.")
    along = {name: _profile(b) for name, b in samples.items()}
    across = {name: _radial(m, geometry) for name, m in means.items()}
    section.figures(
        [
            (curve(along, x_label="place of the layer", y_label="mean energy [GeV]", y_log=True), "Along the shower"),
            (
                curve(across, x_label="r [mm]", y_label="mean energy in a ring [GeV]", y_log=True),
                "Across the shower, in the layer with the most energy",
            ),
        ]
    )
    drawing = rings(means, geometry, layers, label="mean energy in a cell [GeV]")
    section.figures([(drawing, _caption(geometry, layers))], wide=True)
    _single(page, samples, geometry, layers, seed)
    _observables(page, geometry, separations)
    _numbers(page, separations, found)
    return page


def rings(series: Mapping[str, ArrayLike], geometry: Geometry, layers: Sequence[int], *, label: str) -> str:
    """Showers as seen along their axis, a row a shower and a column a layer, on one logarithmic colour scale.

    Rings are drawn equally wide, whatever their radii.

    Args:
        series: (V,) energies of voxels by name.
        geometry: Of V voxels.
        layers: Places of the layers to draw.
        label: Of the colour scale.

    Raises:
        ValueError: If there is nothing to draw.

    Example:
        >>> from lpm.physics.geometry import Layer
        >>> g = Geometry("g", (Layer(0, (0.0, 5.0, 10.0), 4),))
        >>> "svg" in rings({"truth": np.arange(8.0)}, g, [0], label="energy [GeV]")
        True
    """
    arrays = {name: np.asarray(x, dtype=np.float64) for name, x in series.items()}
    if not arrays or not layers:
        raise ValueError("rings: expected at least one shower and one layer")
    top = max(float(a.max()) for a in arrays.values()) or 1.0
    norm = mpl.colors.LogNorm(top * 1e-5, top, clip=True)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(1.55 * len(layers) + 1.2, 1.6 * len(arrays) + 0.3), layout="constrained")
        panels = figure.subplots(len(arrays), len(layers), squeeze=False, subplot_kw={"projection": "polar"})
        for row, (name, a) in zip(panels, arrays.items(), strict=True):
            row[0].set_ylabel(name, labelpad=8)
            for axes, i in zip(row, layers, strict=True):
                layer, first = geometry.layers[i], geometry.first[i]
                cells = a[first : first + layer.voxels].reshape(layer.sectors, layer.rings).T
                # A sector is drawn as several: its arc would be a straight line.
                fine = -(-60 // layer.sectors)
                around = np.linspace(-np.pi, np.pi, layer.sectors * fine + 1)
                cells = np.repeat(cells, fine, axis=1)
                shown = np.where(cells > 0, cells, np.nan)
                drawn = axes.pcolormesh(
                    around, np.arange(layer.rings + 1), shown, norm=norm, cmap="viridis", rasterized=True
                )
                axes.set(xticks=[], yticks=[])
                axes.spines["polar"].set_color(MUTED)
        for axes, i in zip(panels[0], layers, strict=True):
            axes.set_title(f"layer {geometry.layers[i].number}", fontsize=9.5)
        bar = figure.colorbar(drawn, ax=panels.ravel().tolist(), label=label, pad=0.02, shrink=0.9)
        powers_of_ten(bar.ax.yaxis)
        return svg(figure, "showers along their axis: " + ", ".join(arrays))


def _caption(geometry: Geometry, layers: Sequence[int]) -> str:
    few = "" if len(layers) == len(geometry.layers) else f"{len(layers)} of {len(geometry.layers)} layers. "
    return f"{few}Seen along the axis; rings are drawn equally wide. White: no energy"


def _chosen(layers: int) -> list[int]:
    """Places of the layers to draw."""
    return list(range(layers)) if layers <= DRAWN else [round(i * (layers - 1) / DRAWN) for i in range(DRAWN)]


def _profile(batch: Batch) -> Band:
    energy = batch.field("layer.energy").values.double().reshape(len(batch), -1).numpy()
    mean, error = energy.mean(0), energy.std(0) / np.sqrt(len(batch))
    return Band(
        np.arange(energy.shape[1], dtype=np.float64), np.where(mean > 0, mean, np.nan), mean - error, mean + error
    )


def _radial(mean: Array, geometry: Geometry) -> Band:
    totals = np.add.reduceat(mean, geometry.first)
    i = int(totals.argmax())
    layer, first = geometry.layers[i], geometry.first[i]
    ring = mean[first : first + layer.voxels].reshape(layer.sectors, layer.rings).sum(0)
    edges = np.asarray(layer.r_edges)
    return Band((edges[:-1] + edges[1:]) / 2, np.where(ring > 0, ring, np.nan))


def _tiles(page: Page, separations: Mapping[str, Separation], found: Mapping[str, Any]) -> None:
    if separations:
        worst = max(separations, key=lambda name: np.nan_to_num(separations[name].estimate.value))
        page.tile("Largest separation", separations[worst].estimate, worst)
    for name, factor, note in (("fpd", 1e3, "times 1000"), ("kpd", 1e3, "times 1000")):
        if name in found:
            page.tile(
                name.upper(), Estimate.symmetric(found[name]["value"] * factor, found[name]["error"] * factor), note
            )
    for name in ("classifier-low", "classifier-high", "classifier-normalised", "cnn"):
        if name in found:
            page.tile(
                f"AUC, {name.removeprefix('classifier-')}", Estimate.symmetric(**found[name]["auc"]), "0.5: equal"
            )


def _single(page: Page, samples: Mapping[str, Batch], geometry: Geometry, layers: Sequence[int], seed: int) -> None:
    section = page.section("Single showers", "Chosen at random.")
    generator = torch.Generator().manual_seed(seed)
    for name, batch in samples.items():
        some = batch[torch.randperm(len(batch), generator=generator)[:SINGLE]]
        energy = some.field("shower.energy").values.tolist()
        drawn = {
            f"{e:.4g} GeV{' ' * i}": x.numpy()
            for i, (e, x) in enumerate(zip(energy, grid_of(some, geometry), strict=True))
        }
        section.figures([(rings(drawn, geometry, layers, label="energy in a cell [GeV]"), name)], wide=True)


def _observables(page: Page, geometry: Geometry, separations: Mapping[str, Separation]) -> None:
    numbers = {str(geometry.layers[i].number) for i in _chosen(len(geometry.layers))}
    drawn = []
    for name, s in separations.items():
        if " layer " in name and name.rpartition(" ")[2] not in numbers:
            continue
        logarithmic = name.startswith(_LOGARITHMIC)
        edges = np.log10(s.edges) if logarithmic else s.edges
        label = f"log10 of {name} [MeV]" if logarithmic else name + _unit(name)
        counts = {"reference": s.reference[1:-1], "generated": s.generated[1:-1]}
        outside = {side: float(c["below"] + c["above"]) for side, c in s.outside().items()}
        drawn.append((histogram(edges, counts, label=label, outside=outside), f"separation {s.estimate}"))
    few = "" if len(geometry.layers) <= DRAWN else f" Of {len(geometry.layers)} layers, {DRAWN} are drawn."
    lead = "In the bins of the CaloChallenge, normalised to all showers, those outside of the bins too." + few
    page.section("Observables", lead).figures(drawn)


def _unit(name: str) -> str:
    return "" if name.startswith(("Etot", "Sparsity")) else " [mm]"


def _numbers(page: Page, separations: Mapping[str, Separation], found: Mapping[str, Any]) -> None:
    section = page.section("Numbers")
    rows: list[tuple[str | Estimate, ...]] = []
    for name, s in separations.items():
        outside = s.outside()
        beyond = [f"{outside[side]['below']:,} / {outside[side]['above']:,}" for side in ("reference", "generated")]
        rows.append((name, s.estimate, f"{s.floor:.2g}", *beyond))
    head = ("observable", "separation", "floor", "reference below / above", "generated below / above")
    section.table(head, rows, caption="The floor is what two samples of one distribution have with as many showers.")
    measured: list[tuple[str | Estimate, ...]] = [(name, *_cells(value)) for name, value in _flat("", found)]
    if measured:
        section.table(("metric", "value"), measured)
    settings = {k: str(v) for k, v in found.get("settings", {}).items()}
    if settings:
        section.facts(settings, title="Settings")


def _cells(value: Any) -> tuple[str | Estimate, ...]:
    if isinstance(value, dict):
        good = value["value"] is not None and value["error"] is not None
        return (Estimate.symmetric(value["value"], value["error"]) if good else "not defined",)
    return (f"{value:.4g}",)


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    """Names and values of a nested answer, but for what has a table of its own."""
    if isinstance(value, dict) and set(value) == {"value", "error"}:
        return [(name, value)]
    if isinstance(value, dict):
        beside = ("separation", "separation_error", "separation_floor", "outside", "settings")
        inner = {k: v for k, v in value.items() if name or k not in beside}
        return [row for k, v in inner.items() for row in _flat(f"{name}, {k}" if name else k, v)]
    return [(name, value)] if isinstance(value, float) else []
