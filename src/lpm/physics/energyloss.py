"""Mean and most probable energy loss of charged particles, as functions of βγ = p / m.

Shapes: N particles.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["MASS", "aleph", "silicon_peak"]

MASS = {"e": 0.00051099895, "mu": 0.1056583755, "pi": 0.13957039, "K": 0.493677, "p": 0.93827208943, "d": 1.875612945}
"""Masses in GeV of the particles that tracks are identified as (Particle Data Group 2024)."""

_ELECTRON = 0.51099895  # MeV
_K = 0.307075  # MeV cm² / mol
_SILICON = {"z_over_a": 0.49848, "density": 2.329, "excitation": 173e-6}  # 1, g / cm³, MeV
_DENSITY_EFFECT = {"c": 4.4355, "x0": 0.2015, "x1": 2.8716, "a": 0.14921, "k": 3.2546, "delta0": 0.14}


def aleph(beta_gamma: Tensor, curve: tuple[float, float, float, float, float]) -> Tensor:
    r"""Truncated mean of the energy loss in a gas, by the parametrisation of the ALEPH experiment.

    .. math:: f(\beta\gamma) = \frac{P_1}{\beta^{P_4}} \left( P_2 - \beta^{P_4}
              - \ln\left( P_3 + (\beta\gamma)^{-P_5} \right) \right)

    (Blum, Riegler, Rolandi, "Particle Detection with Drift Chambers", 2008, section 10.4.)

    Args:
        beta_gamma: (N,) above 0.
        curve: P₁ to P₅.

    Returns:
        (N,) in units of P₁.

    Example:
        >>> curve = (0.0283086, 26.3394, 5.04114e-11, 2.12543, 4.88663)
        >>> [round(x, 2) for x in aleph(torch.tensor([0.5, 3.5, 1000.0]), curve).tolist()]
        [3.57, 0.97, 1.39]
    """
    p1, p2, p3, p4, p5 = curve
    beta = beta_gamma / (1 + beta_gamma**2).sqrt()
    power = beta**p4
    return p1 / power * (p2 - power - torch.log(p3 + beta_gamma**-p5))


def silicon_peak(beta_gamma: Tensor, thickness: float) -> Tensor:
    r"""Most probable energy loss in a layer of silicon, in keV.

    .. math:: \Delta_p = \xi \left[ \ln\frac{2 m_e \beta^2\gamma^2}{I} + \ln\frac{\xi}{I} + 0.2 - \beta^2
              - \delta(\beta\gamma) \right], \quad \xi = \frac{K}{2} \frac{Z}{A} \frac{x}{\beta^2}

    (Particle Data Group, "Passage of Particles Through Matter", eq. 34.12), with the density effect δ in the
    parametrisation of Sternheimer, Berger and Seltzer, At. Data Nucl. Data Tables 30 (1984) 261.

    Args:
        beta_gamma: (N,) above 0.
        thickness: mm.

    Returns:
        (N,) keV.

    Example:
        >>> [round(x) for x in silicon_peak(torch.tensor([0.5, 3.5, 1000.0]), 0.3).tolist()]
        [330, 78, 84]
    """
    square = beta_gamma**2 / (1 + beta_gamma**2)
    excitation = _SILICON["excitation"]
    xi = _K / 2 * _SILICON["z_over_a"] * _SILICON["density"] * thickness / 10 / square
    logs = (2 * _ELECTRON * beta_gamma**2 / excitation).log() + (xi / excitation).log()
    return 1000 * xi * (logs + 0.2 - square - _density_effect(beta_gamma))


def _density_effect(beta_gamma: Tensor) -> Tensor:
    d, x = _DENSITY_EFFECT, beta_gamma.log10()
    high = 2 * math.log(10) * x - d["c"]
    between = high + d["a"] * (d["x1"] - x).clamp_min(0) ** d["k"]
    low = d["delta0"] * 10 ** (2 * (x - d["x0"]))
    return torch.where(x < d["x0"], low, between)
