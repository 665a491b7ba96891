r"""Which reconstructed objects can meet at a vertex of the Standard Model, and how strongly at the scale of the pair.

Couplings run at one loop (Particle Data Group, Review of Particle Physics, "Quantum chromodynamics", eq. 9.3, and
"Electroweak model"): the inverse of each is a straight line in :math:`\ln Q^2`, with other slopes where quarks join,

.. math:: \frac{d\alpha_s^{-1}}{d\ln Q^2} = \frac{33 - 2 n_f}{12\pi},\qquad
          \frac{d\alpha^{-1}}{d\ln Q^2} = -\frac{1}{3\pi}\sum_f N_c Q_f^2,\qquad
          \frac{d\alpha_W^{-1}}{d\ln Q^2} = \frac{19}{24\pi}.

The electromagnetic one counts fermion loops only; the weak one, :math:`\alpha_W = \alpha / \sin^2\theta_W`, stays as
it is at :math:`M_Z` below. The idea of giving a network these numbers for each pair of objects, as bias of attention or
as a feature of edges, is that of the four-tops study (Builtjes et al., arXiv 2211.05143). What follows is our own
reading of it, derived from the Feynman rules and not from its table: a pair couples if both can be legs of one
three-point vertex, any third leg allowed, and the number is the coupling times the squared charges at that vertex.

- strong: jets and b jets with each other (q → q g, g → g g, g → q q̄); colour factors are left out.
- electromagnetic: a charged fermion and its antiparticle, or a charged fermion and a photon, times :math:`Q_f^2`. A jet
  counts as the average of the four light quarks, 5/18.
- weak: a lepton and the missing momentum, which stands for its neutrino (W; factor 1/2); fermion and antifermion (Z;
  :math:`(g_L^2 + g_R^2)/\cos^2\theta_W`); two jets by both. Of a light quark with a b quark only |V_cb|² is left.

The scale is the invariant mass of the pair. It is no less than 2 GeV, so that no coupling comes near its pole.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["COUPLINGS", "OBJECTS", "alpha_em", "alpha_strong", "alpha_weak", "strengths", "vertices"]

OBJECTS = ("jet", "b_jet", "electron", "positron", "muon", "antimuon", "photon", "met")
"""Kinds of reconstructed objects, as the category `object.type` names them."""

COUPLINGS = ("strong", "electromagnetic", "weak")
"""The three interactions, in the order of `vertices` and `strengths`."""

M_Z, M_B, M_TOP = 91.1876, 4.18, 172.57
LOWEST = 2.0
ALPHA_STRONG, ALPHA_EM, SIN2 = 0.118, 1 / 127.9, 0.23122
"""Values at M_Z, the last the sine squared of the weak mixing angle (Review of Particle Physics, 2024)."""


def _running(q: Tensor, at_mz: float, below: float, between: float, above: float) -> Tensor:
    """Coupling whose inverse has these slopes in ln Q² below M_B, up to M_TOP, and above."""
    low, z, b, top = (2 * math.log(m) for m in (LOWEST, M_Z, M_B, M_TOP))
    x = (2 * q.clamp_min(LOWEST).log()).clamp_min(low)
    inverse = (
        1 / at_mz + between * (x.clamp(b, top) - z) + below * (x.clamp_max(b) - b) + above * (x - top).clamp_min(0)
    )
    return 1 / inverse


def alpha_strong(q: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Strong coupling at scales q in GeV.

    Example:
        >>> [round(float(alpha_strong(torch.tensor(q))), 3) for q in (10.0, M_Z, 1000.0)]
        [0.173, 0.118, 0.089]
    """
    slopes = [(33 - 2 * flavours) / (12 * math.pi) for flavours in (4, 5, 6)]
    return _running(q, ALPHA_STRONG, *slopes)


def alpha_em(q: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Electromagnetic coupling at scales q in GeV.

    Example:
        >>> round(1 / float(alpha_em(torch.tensor(M_Z))), 1), round(1 / float(alpha_em(torch.tensor(2.0))), 1)
        (127.9, 133.3)
    """
    sums = (19 / 3, 20 / 3, 8.0)  # three leptons and u, d, s, c; then b; then t
    return _running(q, ALPHA_EM, *(-s / (3 * math.pi) for s in sums))


def alpha_weak(q: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Weak coupling at scales q in GeV.

    Example:
        >>> round(float(alpha_weak(torch.tensor(M_Z))), 4), round(float(alpha_weak(torch.tensor(1000.0))), 4)
        (0.0338, 0.0325)
    """
    x = 2 * (q / M_Z).clamp_min(1.0).log()
    return 1 / (SIN2 / ALPHA_EM + 19 / (24 * math.pi) * x)


def vertices() -> Float[Tensor, "9 9 3"]:
    """Squared charges with which two objects meet at a vertex, by kind, kind and interaction; 0 if they cannot.

    The last row and column are for objects of no known kind.

    Example:
        >>> table = vertices()
        >>> e, p, met, jet = (OBJECTS.index(n) for n in ("electron", "positron", "met", "jet"))
        >>> table[e, met].tolist(), table[e, e].tolist(), table[e, jet].tolist()
        ([0.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
        >>> [round(x, 3) for x in table[e, p].tolist()]
        [0.0, 1.0, 0.164]
    """

    def z(charge: float, isospin: float) -> float:
        left, right = isospin - charge * SIN2, -charge * SIN2
        return (left**2 + right**2) / (1 - SIN2)

    up, down, lepton = z(2 / 3, 0.5), z(-1 / 3, -0.5), z(-1.0, -0.5)
    light, vcb2 = 5 / 18, 0.0408**2
    pairs = {
        ("jet", "jet"): (1.0, light, 0.5 + (up + down) / 2),
        ("jet", "b_jet"): (1.0, 0.0, 0.5 * vcb2),
        ("b_jet", "b_jet"): (1.0, 1 / 9, down),
        ("jet", "photon"): (0.0, light, 0.0),
        ("b_jet", "photon"): (0.0, 1 / 9, 0.0),
    }
    for particle, anti in (("electron", "positron"), ("muon", "antimuon")):
        pairs[particle, anti] = (0.0, 1.0, lepton)
        for one in (particle, anti):
            pairs[one, "photon"], pairs[one, "met"] = (0.0, 1.0, 0.0), (0.0, 0.0, 0.5)
    table = torch.zeros(len(OBJECTS) + 1, len(OBJECTS) + 1, len(COUPLINGS))
    for (a, b), values in pairs.items():
        i, j = OBJECTS.index(a), OBJECTS.index(b)
        table[i, j] = table[j, i] = torch.tensor(values)
    return table


def strengths(a: Int[Tensor, "*n"], b: Int[Tensor, "*n"], q: Float[Tensor, "*n"]) -> Float[Tensor, "*n 3"]:
    """How strongly objects of kinds a and b couple at scales q: strong, electromagnetic, weak.

    Args:
        a: Indices into `OBJECTS`; `len(OBJECTS)` for an unknown kind.
        b: The same of the other object.
        q: Invariant mass of the pair in GeV.

    Example:
        >>> one = torch.tensor(1)  # two b jets at M_Z
        >>> [round(x, 4) for x in strengths(one, one, torch.tensor(M_Z)).tolist()]
        [0.118, 0.0009, 0.0081]
    """
    table = vertices().to(device=q.device, dtype=q.dtype)
    return table[a, b] * torch.stack([alpha_strong(q), alpha_em(q), alpha_weak(q)], -1)
