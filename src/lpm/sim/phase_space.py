r"""Hard events that fill phase space evenly: parton densities and kinematics, and no matrix element.

For those who have neither Sherpa nor another generator. The cross section that is sampled is

.. math:: \mathrm{d}\sigma \propto \sum_{ab} x_1 f_a(x_1)\, x_2 f_b(x_2)\, \frac{1}{\hat s}\,
          \frac{\mathrm{d}\Phi_n(\hat s)}{\hat s^{\,n-2}}\, \frac{\mathrm{d}\hat s}{\hat s}\, \mathrm{d}y,

with the n-body phase space :math:`\Phi_n`: a squared amplitude that depends on the energy alone, as its dimension
demands, and is the same for gluons and quarks. Angles are flat in the centre of mass (RAMBO: Kleiss, Stirling, Ellis,
Comput. Phys. Commun. 40 (1986) 359), parton densities are those of Pythia's default at one scale, half the sum of the
masses. Compared with a matrix element, events are more central and more spherical; total rates mean nothing. Colours
are drawn as in `lpm.sim.colour`; Pythia showers, hadronises and decays what comes out.

Shapes: E events, n particles of the final state.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpm.records.config import from_dict
from lpm.sim.card_files import file_of, table_of
from lpm.sim.colour import coloured

__all__ = ["MASSES", "Process", "hard_events", "rambo", "read_process"]

Array = NDArray[np.float64]

MASSES = {6: 172.5, 23: 91.19, 24: 80.38, 25: 125.2}
"""Masses in GeV by |PDG number|."""

POOL = 20_000
"""Points from which the largest weight is taken."""

SEED = 20260102
"""Of these points: so every chunk unweights alike."""

FALL = 1.5
"""Power with which trial values of τ = ŝ/s fall."""

GRID = 600
"""Points of the tables of parton densities, even in ln x."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """What is produced.

    Args:
        text: One sentence.
        initial: Pairs of PDG numbers; both directions count.
        final: PDG numbers of the final state, keys of `MASSES`.
        conjugate: Also with all particles and antiparticles exchanged.
    """

    text: str
    initial: tuple[tuple[int, int], ...]
    final: tuple[int, ...]
    conjugate: bool = False


def read_process(name: str) -> Process:
    """The process of that name in `cards/phase-space`, or at that path.

    Raises:
        ValueError: If there is none, or it cannot be read, or a mass is not known.

    Example:
        >>> read_process("ttZ").final
        (6, -6, 23)
    """
    path = file_of(name, "phase-space", ".toml")
    raw = table_of(path)
    process: Process = from_dict(Process, raw, str(path))
    unknown = [p for p in process.final if abs(p) not in MASSES]
    if unknown or len(process.final) < 2:
        raise ValueError(f"{path}: final: expected two or more of {', '.join(map(str, MASSES))}, got {process.final}")
    return process


@contextmanager
def hard_events(card: str, count: int, energy: float, seed: int) -> Iterator[Path]:
    """A Les Houches file of unweighted events, gone afterwards.

    Args:
        card: Name or path of a process.
        count: Number of events.
        energy: Of the proton-proton collision in GeV.
        seed: Equal seeds give equal events.

    Raises:
        ValueError: If there is no such card, or Pythia is missing.
    """
    process = read_process(card)
    with tempfile.TemporaryDirectory(prefix="lpm-phase-space-") as name:
        path = Path(name) / "events.lhe"
        with path.open("w", encoding="utf-8") as out:
            lines = (line for part in _parts(process, count, energy, seed) for line in part.splitlines(keepends=True))
            out.writelines(coloured(lines, seed))
        yield path


def rambo(energy: Array, masses: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Momenta that fill phase space evenly once they are weighted.

    Args:
        energy: (E,) in the centre of mass, GeV.
        masses: (n,) in GeV, together below the energy.
        rng: Source of randomness.

    Returns:
        (E, n, 4) momenta (px, py, pz, E) in GeV, at rest in sum; (E,) weights that, averaged, are the volume of
        massive phase space over that of massless particles.

    Example:
        >>> p, w = rambo(np.array([500.0]), np.array([172.5, 172.5]), np.random.default_rng(0))
        >>> p.sum(1).round(6).tolist(), round(float(w[0]), 4)  # of two particles the weight is their velocity
        ([[0.0, 0.0, 0.0, 500.0]], 0.7238)
    """
    n, size = len(masses), len(energy)
    cos, phi = rng.uniform(-1, 1, (size, n)), rng.uniform(0, 2 * np.pi, (size, n))
    q0 = -np.log(rng.random((size, n)) * rng.random((size, n)))
    sin = np.sqrt(1 - cos**2)
    q = np.stack([q0 * sin * np.cos(phi), q0 * sin * np.sin(phi), q0 * cos], -1)
    # Conformal transformation to rest and to the right energy.
    total, total0 = q.sum(1), q0.sum(1)
    mass = np.sqrt(total0**2 - (total**2).sum(-1))
    b, gamma, x = -total / mass[:, None], total0 / mass, energy / mass
    a = 1 / (1 + gamma)
    along = np.einsum("ei,eni->en", b, q)
    k0 = x[:, None] * (gamma[:, None] * q0 + along)
    k = x[:, None, None] * (q + b[:, None] * q0[..., None] + a[:, None, None] * along[..., None] * b[:, None])
    scale = _scale(k0, masses, energy)
    p = k * scale[:, None, None]
    p0 = np.sqrt(masses**2 + (scale[:, None] * k0) ** 2)
    size3 = scale[:, None] * k0
    weight = (size3.sum(1) / energy) ** (2 * n - 3) * (size3 / p0).prod(1) * energy / (size3**2 / p0).sum(1)
    return np.concatenate([p, p0[..., None]], -1), weight


def _scale(k0: Array, masses: Array, energy: Array) -> Array:
    """(E,) factor on massless momenta after which energies with masses add up; by Newton's method from above."""
    scale = np.sqrt(np.maximum(1 - (masses.sum() / energy) ** 2, 1e-12))
    for _ in range(30):
        p0 = np.sqrt(masses**2 + (scale[:, None] * k0) ** 2)
        scale = scale - (p0.sum(1) - energy) / (scale[:, None] * k0**2 / p0).sum(1)
    return np.asarray(scale)


@dataclass(frozen=True)
class _Points:
    """Weighted points: momenta in the frame of the collision, fractions, and initial states."""

    p: Array
    x: Array
    pair: NDArray[np.int64]
    weight: Array


def _parts(process: Process, count: int, energy: float, seed: int) -> Iterator[str]:
    beam = energy / 2
    yield '<LesHouchesEvents version="1.0">\n<!-- phase space and parton densities, no matrix element -->\n<init>\n'
    yield f" 2212 2212 {beam} {beam} 0 0 0 0 3 1\n 1.0 0.0 1.0 1\n</init>\n"
    rng, made = np.random.default_rng(seed), 0
    largest = _largest(process, energy)
    pairs = _pairs(process)
    while made < count:
        points = _draw(process, energy, POOL, rng)
        for i in np.flatnonzero(rng.random(POOL) * largest < points.weight)[: count - made].tolist():
            initial, flip = pairs[points.pair[i]]
            final = [_conjugate(f) if flip else f for f in process.final]
            yield _event(initial, final, points.p[i], points.x[i] * beam)
            made += 1
    yield "</LesHouchesEvents>\n"


def _event(initial: tuple[int, int], final: list[int], p: Array, beams: Array) -> str:
    scale = 0.5 * sum(MASSES[abs(f)] for f in final)
    rows = [f" {len(final) + 2} 1 1.0 {scale:.6e} -1.0 -1.0"]
    for pdg, e, sign in zip(initial, beams.tolist(), (1, -1), strict=True):
        rows.append(f" {pdg} -1 0 0 0 0 0.0 0.0 {sign * e:.10e} {e:.10e} 0.0 0 9")
    for pdg, four in zip(final, p.tolist(), strict=True):
        rows.append(f" {pdg} 1 1 2 0 0 {' '.join(f'{v:.10e}' for v in four)} {MASSES[abs(pdg)]:.10e} 0 9")
    return "<event>\n" + "\n".join(rows) + "\n</event>\n"


def _conjugate(pdg: int) -> int:
    return pdg if pdg in (21, 22, 23, 25) else -pdg


def _pairs(process: Process) -> list[tuple[tuple[int, int], bool]]:
    """Initial states in both directions, each with whether the final state is conjugate."""
    out: list[tuple[tuple[int, int], bool]] = []
    for a, b in process.initial:
        for flip in (False, True) if process.conjugate else (False,):
            one, two = (_conjugate(a), _conjugate(b)) if flip else (a, b)
            out += [((one, two), flip)] + ([((two, one), flip)] if one != two else [])
    return out


@functools.lru_cache(maxsize=16)
def _largest(process: Process, energy: float) -> float:
    """Largest weight among many points; the few above it count as one event, too."""
    return float(np.quantile(_draw(process, energy, 5 * POOL, np.random.default_rng(SEED)).weight, 0.9999))


def _draw(process: Process, energy: float, size: int, rng: np.random.Generator) -> _Points:
    masses = np.array([MASSES[abs(f)] for f in process.final])
    low = (masses.sum() / energy) ** 2
    # τ from a power law between threshold and 1; rapidity even between its bounds.
    u = rng.random(size)
    tau = (low**-FALL + u * (1 - low**-FALL)) ** (-1 / FALL)
    span = -np.log(tau)
    y = (rng.random(size) - 0.5) * span
    x = np.stack([np.sqrt(tau) * np.exp(y), np.sqrt(tau) * np.exp(-y)], 1)
    p, volume = rambo(energy * np.sqrt(tau), masses, rng)
    pairs = _pairs(process)
    densities = {f: _density(f, 0.5 * float(masses.sum())) for pair, _ in pairs for f in pair}
    parts = np.stack([_at(densities[a], x[:, 0]) * _at(densities[b], x[:, 1]) for (a, b), _ in pairs], 1)
    total = parts.sum(1)
    pair = (parts.cumsum(1) < (rng.random(size) * total)[:, None]).sum(1).clip(max=len(pairs) - 1)
    # dτ/τ over the density of the trial, and 1/ŝ; massless phase space falls with the power that is divided out.
    weight = total * volume * span * tau**FALL / tau
    return _Points(_boosted(p, y), x, pair, weight)


def _boosted(p: Array, y: Array) -> Array:
    cosh, sinh = np.cosh(y)[:, None], np.sinh(y)[:, None]
    out = p.copy()
    out[..., 2], out[..., 3] = cosh * p[..., 2] + sinh * p[..., 3], cosh * p[..., 3] + sinh * p[..., 2]
    return out


def _at(table: Array, x: Array) -> Array:
    return np.interp(np.log(x), np.linspace(np.log(1e-5), 0.0, GRID), table)


@functools.lru_cache(maxsize=64)
def _density(flavour: int, scale: float) -> Array:
    """(GRID,) x f(x) of a parton in the proton."""
    beam, _ = _proton()
    x = np.exp(np.linspace(np.log(1e-5), 0.0, GRID))
    return np.array([beam.xf(flavour, min(float(v), 0.999999), scale**2) for v in x])


@functools.cache
def _proton() -> tuple[Any, Any]:
    """Parton densities of Pythia's default, and the Pythia that owns them."""
    try:
        import pythia8mc
    except ImportError:
        raise ValueError("simulation needs the generator Pythia 8: pip install 'lpm[sim]'") from None
    pythia = pythia8mc.Pythia("", False)
    for line in ("Print:quiet = on", "ProcessLevel:all = off"):
        pythia.readString(line)
    pythia.init()
    return pythia.getPDFPtr(2212), pythia
