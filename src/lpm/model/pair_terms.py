r"""What a pair of rows is described by: kinematics, and the couplings of the Standard Model. A plug for all backbones.

Kinematic terms are those of the Particle Transformer (Qu, Li, Qian, arXiv 2202.03772, eq. 3), couplings those of
`lpm.physics.couplings`, after the four-tops study (Builtjes et al., arXiv 2211.05143). The Particle Transformer and
`PairBias` turn the terms into a bias of attention, ParticleNet into a feature of its edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lpm.physics.couplings import COUPLINGS, M_Z, alpha_em, alpha_strong, alpha_weak, strengths

__all__ = ["KINEMATIC", "STANDARD_MODEL", "PairTermsConfig", "Term", "couplings"]

Term = Literal["ln_kt", "ln_z", "ln_delta", "ln_m2", "strong", "electromagnetic", "weak"]

KINEMATIC: tuple[Term, ...] = ("ln_kt", "ln_z", "ln_delta", "ln_m2")
"""Logarithms of relative transverse momentum, momentum share, distance, and squared mass."""

STANDARD_MODEL = cast(tuple[Term, ...], COUPLINGS)
"""How strongly the two can couple, by interaction, in units of the coupling at M_Z."""


@dataclass(frozen=True, kw_only=True)
class PairTermsConfig:
    """Which terms, in this order.

    Args:
        terms: Out of `KINEMATIC` and `STANDARD_MODEL`.
        species: Path of the category that says what each row is (`object.type`, labels of
            `lpm.physics.couplings.OBJECTS`), which the couplings need.

    Raises:
        ValueError: If couplings are asked for without the category.

    Example:
        >>> PairTermsConfig(terms=KINEMATIC + STANDARD_MODEL, species="object.type").couplings
        ('strong', 'electromagnetic', 'weak')
    """

    terms: tuple[Term, ...] = KINEMATIC
    species: str | None = None

    def __post_init__(self) -> None:
        if self.couplings and not self.species:
            raise ValueError(
                f"{', '.join(self.couplings)} depend on what the rows are: name that category in `species`"
            )

    @property
    def couplings(self) -> tuple[Term, ...]:
        """Those of the terms that are couplings."""
        return tuple(t for t in self.terms if t in STANDARD_MODEL)

    def pick(self, known: Mapping[Term, Tensor], a: Tensor | None, b: Tensor | None) -> list[Tensor]:
        """The terms of pairs, in order.

        Args:
            known: The kinematic ones by name, ln_m2 always among them.
            a: Kinds of the first rows, for the couplings.
            b: Kinds of the second rows.
        """
        if not self.couplings:
            return [known[t] for t in self.terms]
        assert a is not None
        assert b is not None
        made = couplings(a, b, known["ln_m2"]).unbind(-1)
        every: dict[Term, Tensor] = {**known, **dict(zip(STANDARD_MODEL, made, strict=True))}
        return [every[t] for t in self.terms]


def couplings(a: Int[Tensor, "*#n"], b: Int[Tensor, "*#n"], ln_m2: Float[Tensor, "*#n"]) -> Float[Tensor, "*#n 3"]:
    """Strengths of pairs of kinds a and b at their mass, in units of each coupling at M_Z.

    Example:
        >>> one, ln_m2 = torch.tensor(1), 2 * torch.tensor(M_Z).log()
        >>> [round(x, 3) for x in couplings(one, one, ln_m2).tolist()]  # two b jets: 1, the squared charge, and Z
        [1.0, 0.111, 0.24]
    """
    at_z = ln_m2.new_full((), M_Z)
    unit = torch.stack([alpha_strong(at_z), alpha_em(at_z), alpha_weak(at_z)])
    return strengths(a, b, (0.5 * ln_m2).exp()) / unit
