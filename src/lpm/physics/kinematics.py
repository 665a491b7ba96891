r"""Four-momenta in GeV: Cartesian and collider coordinates, invariant masses, angular distances.

With transverse momentum :math:`p_T`, azimuth :math:`\phi`, pseudorapidity :math:`\eta` and mass :math:`m`,

.. math:: p = (p_T\cos\phi,\; p_T\sin\phi,\; p_T\sinh\eta), \qquad E = \sqrt{m^2 + p_T^2\cosh^2\eta}

(Particle Data Group, Review of Particle Physics, "Kinematics"). All functions act elementwise on tensors of any
shapes that broadcast (`*#n`) and keep their dtype.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["cartesian", "collider", "delta_phi", "delta_r", "energy", "mass", "wrap_phi"]


def wrap_phi(phi: Float[Tensor, "*#n"]) -> Float[Tensor, "*#n"]:
    """Angle in rad brought into [-π, π).

    Example:
        >>> round(float(wrap_phi(torch.tensor(3.5 * math.pi))), 4)
        -1.5708
    """
    return torch.remainder(phi + math.pi, 2 * math.pi) - math.pi


def delta_phi(a: Float[Tensor, "*#n"], b: Float[Tensor, "*#n"]) -> Float[Tensor, "*#n"]:
    """Azimuthal difference a - b in rad, in [-π, π)."""
    return wrap_phi(a - b)


def delta_r(deta: Float[Tensor, "*#n"], dphi: Float[Tensor, "*#n"]) -> Float[Tensor, "*#n"]:
    """Distance in the (η, φ) plane: the root of Δη² + Δφ²."""
    return torch.hypot(deta, dphi)


def energy(
    pt: Float[Tensor, "*#n"], eta: Float[Tensor, "*#n"], m: Float[Tensor, "*#n"] | float = 0.0
) -> Float[Tensor, "*#n"]:
    """Energy in GeV of a particle of transverse momentum pt, pseudorapidity eta and mass m.

    Example:
        >>> float(energy(torch.tensor(3.0), torch.tensor(0.0), 4.0))
        5.0
    """
    return ((pt * torch.cosh(eta)) ** 2 + m**2).sqrt()


def cartesian(
    pt: Float[Tensor, "*#n"], eta: Float[Tensor, "*#n"], phi: Float[Tensor, "*#n"]
) -> tuple[Tensor, Float[Tensor, "*#n"], Float[Tensor, "*#n"]]:
    """(px, py, pz) in GeV from pt in GeV, eta and phi in rad."""
    return pt * torch.cos(phi), pt * torch.sin(phi), pt * torch.sinh(eta)


def collider(
    px: Float[Tensor, "*#n"], py: Float[Tensor, "*#n"], pz: Float[Tensor, "*#n"]
) -> tuple[Tensor, Float[Tensor, "*#n"], Float[Tensor, "*#n"]]:
    """(pt, eta, phi) from Cartesian momenta in GeV. A vanishing pt gives eta = 0.

    Example:
        >>> pt, eta, phi = collider(*cartesian(torch.tensor(2.0), torch.tensor(-1.5), torch.tensor(0.3)))
        >>> [round(float(x), 5) for x in (pt, eta, phi)]
        [2.0, -1.5, 0.3]
    """
    pt = torch.hypot(px, py)
    eta = torch.where(pt > 0, torch.asinh(pz / pt.clamp_min(torch.finfo(pt.dtype).tiny)), torch.zeros_like(pt))
    return pt, eta, torch.atan2(py, px)


def mass(
    px: Float[Tensor, "*#n"], py: Float[Tensor, "*#n"], pz: Float[Tensor, "*#n"], e: Float[Tensor, "*#n"]
) -> Float[Tensor, "*#n"]:
    """Invariant mass in GeV, 0 where rounding makes it space-like. Summed in float64."""
    m2 = e.double() ** 2 - px.double() ** 2 - py.double() ** 2 - pz.double() ** 2
    return m2.clamp_min(0).sqrt().to(e.dtype)
