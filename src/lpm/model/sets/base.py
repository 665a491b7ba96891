"""What every backbone of sets promises: it reads one collection, and says something of each row and of each event.

Such a backbone sees all rows of an event at once and does not generate. All of them take features, four-momenta and
offsets, and give hidden states with the meaning of `lpm.model.packing.Hidden`, so that heads, tasks, checkpoints and
the training loop know of no difference between them. To add one: a frozen `XConfig(SetConfig)` and `X(SetBackbone)` in
a file of its own, and one line in `lpm.model.sets`.

Shapes: T rows of the collection, F features, D width, B events, L rows of the longest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lpm.data.batch import Batch
from lpm.data.transfer import sent
from lpm.physics.couplings import OBJECTS
from lpm.physics.kinematics import cartesian
from lpm.tokens import Tokenizer
from lpm.tokens.base import gather_fields

__all__ = ["SetBackbone", "SetConfig", "SetPlan", "species"]


def species(batch: Batch, path: str | None, of: str) -> Int[Tensor, " T"]:
    """What each row of a collection is, as an index into `OBJECTS`, by the names of its categories.

    Args:
        batch: The events.
        path: Path of the category, or None if the rows are not told apart.
        of: The collection.

    Returns:
        (T,) indices; `len(OBJECTS)` for what is none of them, not known, or not told apart.

    Raises:
        ValueError: If the field is no category, or is truth.
    """
    rows = batch.collections[of]
    if path is None:
        return torch.full((len(rows.values),), len(OBJECTS), dtype=torch.int64, device=rows.values.device)
    field, values = batch.schema.field(path), gather_fields(batch, of, (path.split(".")[1],)).values[:, 0]
    if field.kind != "category":
        raise ValueError(f"{path}: expected a category that says what each row is, got kind {field.kind}")
    table = [OBJECTS.index(label) if label in OBJECTS else len(OBJECTS) for label in field.labels]
    known = torch.where(values.isfinite(), values, field.size).long()
    return sent(torch.tensor([*table, len(OBJECTS)]), values.device)[known]


@dataclass(frozen=True, kw_only=True)
class SetConfig:
    """What a backbone reads of its collection beside the tokenizer's features.

    Args:
        of: The collection of rows: particles of a jet, objects of a collision.
        pt: Path of the transverse momentum in GeV.
        eta: Path of the (relative) pseudorapidity.
        phi: Path of the (relative) azimuth in rad.
        energy: Path of the energy in GeV, in the frame of `eta`; None for massless rows, or if there is a mass.
        mass: Path of the mass in GeV; None for massless rows, or if there is an energy.

    Raises:
        ValueError: If both energy and mass are named.
    """

    of: str = "particle"
    pt: str = "particle.pt"
    eta: str = "particle.deta"
    phi: str = "particle.dphi"
    energy: str | None = None
    mass: str | None = None

    def __post_init__(self) -> None:
        if self.energy and self.mass:
            raise ValueError(f"energy {self.energy} and mass {self.mass} say the same; name one of them")

    @property
    def size(self) -> int:
        """D, the width of the hidden states."""
        raise NotImplementedError

    @property
    def category(self) -> str | None:
        """Path of the category that says what each row is, if the backbone asks for it."""
        return None

    @property
    def paths(self) -> tuple[str, ...]:
        """Fields that are read beside those of the tokenizer."""
        rest = (self.energy, self.mass, self.category)
        return (self.pt, self.eta, self.phi, *(p for p in rest if p))

    def tiny(self) -> SetConfig:
        """The same parts at a size for tests."""
        raise NotImplementedError

    def make(self, features: int) -> Any:
        """The backbone for rows of so many features."""
        raise NotImplementedError

    def build(self, tokenizers: Mapping[str, Tokenizer]) -> SetBackbone:
        """The backbone, for the features of its collection's tokenizer.

        Raises:
            ValueError: If there is not exactly this one tokenizer, or it has no features.
        """
        name = type(self).__name__.removesuffix("Config")
        if set(tokenizers) != {self.of}:
            raise ValueError(f"{name} reads one collection, {self.of}; got tokenizers of {', '.join(tokenizers)}")
        if not tokenizers[self.of].width:
            raise ValueError(f"the tokenizer of {self.of} has codes only; {name} needs continuous ones")
        made = self.make(tokenizers[self.of].width)
        assert isinstance(made, SetBackbone)
        return made

    def momenta(self, batch: Batch) -> Float[Tensor, "T 4"]:
        """(px, py, pz, E) of all rows in GeV."""
        last = self.energy or self.mass
        names = tuple(path.split(".")[1] for path in (self.pt, self.eta, self.phi, *([last] if last else [])))
        pt, eta, phi, *more = gather_fields(batch, self.of, names).values.unbind(1)
        if self.mass:
            more = [((pt * eta.cosh()) ** 2 + more[0] ** 2).sqrt()]
        return torch.stack([*cartesian(pt, eta, phi), *(more or [pt * eta.cosh()])], 1)


class SetPlan:
    """What a backbone works out of the lengths of events before a step; each says what that is."""


class SetBackbone(nn.Module):
    """Features and four-momenta in, hidden states of rows and of events out.

    Attributes:
        config: Its configuration.
        normal: Whether the states of events are of order one at the start. Classifiers behind it then start as
            published, uniform after Glorot; else at zero.
    """

    config: SetConfig
    normal: bool = True

    def plan(self, offsets: Int[Tensor, " starts"], device: torch.device) -> SetPlan | None:
        """What follows from the lengths of events, worked out once a batch; None if nothing is needed.

        The lengths decide shapes: a step that asked an accelerator for them would wait for it, and could not be
        compiled as one graph.

        Args:
            offsets: (B + 1,) starts of the events, on the CPU.
            device: Of the step.
        """
        return None

    def forward(
        self,
        features_TF: Float[Tensor, "T F"],
        momenta_T4: Float[Tensor, "T 4"],
        offsets: Int[Tensor, " starts"],
        token_1D: Float[Tensor, "1 D"],
        species_T: Int[Tensor, " T"] | None = None,
        plan: SetPlan | None = None,
    ) -> tuple[Float[Tensor, "T D"], Float[Tensor, "B D"]]:
        """Hidden states (T, D) of the rows, and (B, D) of the events.

        Args:
            features_TF: What is seen of each row.
            momenta_T4: (px, py, pz, E) in GeV.
            offsets: (B + 1,) starts of the events; they may be empty.
            token_1D: The class token, with which the state of an event begins.
            species_T: What each row is, as `species` says; None if the backbone does not ask.
            plan: What `plan` made of the offsets; None to make it here, which waits for an accelerator.
        """
        raise NotImplementedError

    def padded(
        self,
        features_BLF: Float[Tensor, "B L F"],
        momenta_BL4: Float[Tensor, "B L 4"],
        valid_BL: Bool[Tensor, "B L"],
        token_1D: Float[Tensor, "1 D"],
        species_BL: Int[Tensor, "B L"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """States (B, D) of padded events, for programs that know no packed ones; equal to those of `forward`.

        Args:
            features_BLF: As in `forward`; anything finite at padding, and likewise the following.
            momenta_BL4: As in `forward`.
            valid_BL: True where a row exists.
            token_1D: As in `forward`.
            species_BL: As in `forward`.

        Raises:
            ValueError: If this backbone cannot.
        """
        name = type(self).__name__
        raise ValueError(
            f"{name} has no form for padded events; take a Particle Transformer, Deep Sets or the plain body"
        )
