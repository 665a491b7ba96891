r"""Jets from the four-momenta of their constituents.

The jet is the sum of its constituents, :math:`p_J = \sum_i p_i`, which gives its mass and its axis
:math:`(\eta_J, \phi_J)`; constituents are then described relative to that axis by
:math:`p_T`, :math:`\Delta\eta = \eta_i - \eta_J` and :math:`\Delta\phi = \phi_i - \phi_J`, hardest first.
Sums and differences are taken in float64: a jet of 1 TeV and 10 GeV mass has :math:`m^2/E^2 = 10^{-4}`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Schema
from lpm.physics.kinematics import collider, delta_phi, energy, mass

__all__ = ["charge_of_pdg", "jets_batch", "mass_of_pdg", "momenta", "type_of_pdg"]

_PDG = {11: 0.000511, 13: 0.105658, 22: 0.0, 130: 0.497611, 211: 0.139570, 310: 0.497611, 321: 0.493677}
_PDG |= {2112: 0.939565, 2212: 0.938272}
"""Masses in GeV of the particles that reach a detector (Particle Data Group 2024)."""


def jets_batch(
    schema: Schema, p4: Tensor, lengths: Tensor, particle: Mapping[str, Tensor], jet: Mapping[str, Tensor]
) -> Batch:
    """Jets described by the fields of a schema.

    Args:
        schema: A schema made by `jets_schema`, or a part of it.
        p4: (N, 4) constituents as (px, py, pz, E) in GeV.
        lengths: (B,) constituents in each jet.
        particle: Further columns (N,), by field name.
        jet: Further columns (B,), by field name. `eta` and `phi` replace the axis, if both are given.

    Returns:
        A batch with the constituents of each jet in falling transverse momentum.

    Example:
        >>> from lpm.data.fields import jets_schema
        >>> s = jets_schema(["pt", "deta"], ["pt", "mass"])
        >>> p4 = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 2.0, 0.0, 2.0]])
        >>> b = jets_batch(s, p4, torch.tensor([2]), {}, {})
        >>> b.field("particle.pt").values.tolist(), b.field("jet.mass").values.tolist()
        ([2.0, 1.0], [2.0])
    """
    p4 = p4.double()
    rows = Ragged.from_lengths(p4, lengths)
    pt, eta, phi = collider(*p4[:, :3].unbind(1))
    total = rows.sum()
    jet_pt, jet_eta, jet_phi = collider(*total[:, :3].unbind(1))
    made_jet = {"pt": jet_pt, "eta": jet_eta, "phi": jet_phi, "energy": total[:, 3], "mass": mass(*total.unbind(1))}
    made_jet |= jet
    if "pt" in jet and "mass" in jet and "energy" not in jet:
        made_jet["energy"] = energy(made_jet["pt"], made_jet["eta"], made_jet["mass"])
    event = rows.event
    made = {
        "pt": pt,
        "deta": eta - made_jet["eta"][event],
        "dphi": delta_phi(phi, made_jet["phi"][event].to(phi.dtype)),
        "energy": p4[:, 3],
        **particle,
    }
    order = _hardest_first(pt, event)
    columns = {f"particle.{f}": made[f][order] for f in _fields(schema, "particle")}
    columns |= {f"jet.{f}": made_jet[f] for f in _fields(schema, "jet")}
    return Batch.build(schema, columns, {"particle": lengths})


def momenta(columns: Tensor, order: str) -> Tensor:
    """(N, 4) four-momenta (px, py, pz, E) in GeV from columns of another meaning.

    Args:
        columns: (N, K) numbers.
        order: What the columns are: `px_py_pz_e`, `e_px_py_pz`, `pt_eta_phi`, `pt_eta_phi_e` or `pt_eta_phi_m`.

    Raises:
        ValueError: If the order is unknown or the number of columns does not fit it.

    Example:
        >>> momenta(torch.tensor([[3.0, 0.0, 0.0, 4.0]]), "pt_eta_phi_m").tolist()
        [[3.0, 0.0, 0.0, 5.0]]
    """
    names = order.split("_")
    if order not in ORDERS or columns.shape[1] != len(names):
        raise ValueError(f"expected one of {', '.join(ORDERS)}, got {order} with {columns.shape[1]} columns")
    c = dict(zip(names, columns.double().unbind(1), strict=True))
    if "px" in c:
        return torch.stack([c["px"], c["py"], c["pz"], c["e"]], 1)
    pt, eta, phi = c["pt"], c["eta"], c["phi"]
    e = c["e"] if "e" in c else energy(pt, eta, c.get("m", torch.zeros_like(pt)))
    return torch.stack([pt * phi.cos(), pt * phi.sin(), pt * eta.sinh(), e], 1)


ORDERS = ("px_py_pz_e", "e_px_py_pz", "pt_eta_phi", "pt_eta_phi_e", "pt_eta_phi_m")
"""Names of arrays of four-momenta; the name says what the columns are."""


def type_of_pdg(pdg: Tensor, charge: Tensor) -> Tensor:
    """Index into `PARTICLE_TYPES` from PDG codes (1 and 2 are CMS forward hadrons and photons) and charges in e.

    Example:
        >>> type_of_pdg(torch.tensor([211, 130, 22, -11, 13]), torch.tensor([1, 0, 0, 1, -1])).tolist()
        [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    code = pdg.abs()
    kind = torch.where(charge != 0, 0.0, 1.0)
    kind[(code == 22) | (code == 2)] = 2.0
    kind[code == 11] = 3.0
    kind[code == 13] = 4.0
    return kind


def charge_of_pdg(pdg: Tensor) -> Tensor:
    """Charge in e of the particles that reach a detector; 0 for codes other than e, μ, π, K, p.

    Example:
        >>> charge_of_pdg(torch.tensor([211, -321, 11, 22])).tolist()
        [1.0, -1.0, -1.0, 0.0]
    """
    code = pdg.abs()
    sign = pdg.sign().double()
    positive = (code == 211) | (code == 321) | (code == 2212)
    return torch.where(positive, sign, torch.where((code == 11) | (code == 13), -sign, 0.0))


def mass_of_pdg(pdg: Tensor) -> Tensor:
    """Mass in GeV of the particles that reach a detector; 0 for other codes."""
    out = torch.zeros(pdg.shape, dtype=torch.float64)
    for code, m in _PDG.items():
        out[pdg.abs() == code] = m
    return out


def _fields(schema: Schema, collection: str) -> tuple[str, ...]:
    return schema[collection].names if collection in schema.names else ()


def _hardest_first(pt: Tensor, event: Tensor) -> Tensor:
    """(N,) order of falling pt within each event."""
    falls = (pt[1:] <= pt[:-1]) | (event[1:] != event[:-1])
    if bool(falls.all()):
        return torch.arange(len(pt))
    order = torch.argsort(pt, descending=True, stable=True)
    return order[torch.argsort(event[order], stable=True)]
