r"""Deep Sets for particles, the Particle Flow Network (Komiske, Metodiev, Thaler, arXiv 1810.05165, eq. 2.3).

.. math:: h(\{x_1, \dots, x_n\}) = F\Big(\sum_i \Phi(x_i)\Big)

Any function of a set has this form if the sum is wide enough (Zaheer et al., arXiv 1703.06114). No particle looks at
another one, which makes this the fastest of the set backbones and the baseline of all of them.

Shapes: T rows, F features, D width, B events, L rows of the longest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lpm.data.batch import Ragged
from lpm.model.sets.base import SetBackbone, SetConfig, SetPlan

__all__ = ["DeepSets", "DeepSetsConfig"]


@dataclass(frozen=True, kw_only=True)
class DeepSetsConfig(SetConfig):
    """Widths of the two networks; the defaults are the published ones.

    Args:
        each: Widths of the layers of Φ, which sees one row. The last is that of the sum.
        whole: Widths of the layers of F, which sees the sum. The last is that of the hidden states.
    """

    each: tuple[int, ...] = (100, 100, 256)
    whole: tuple[int, ...] = (100, 100, 100)

    @property
    def size(self) -> int:
        """D."""
        return self.whole[-1]

    def tiny(self) -> DeepSetsConfig:
        """The same parts at a size for tests."""
        return replace(self, each=(16, 16), whole=(16, 16))

    def make(self, features: int) -> DeepSets:
        """The backbone for rows of so many features."""
        return DeepSets(self, features)


def _layers(sizes: tuple[int, ...]) -> nn.Sequential:
    net = nn.Sequential()
    for i, o in pairwise(sizes):
        layer = nn.Linear(i, o)
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        net.extend([layer, nn.ReLU()])
    return net


class DeepSets(SetBackbone):
    """A network of each row, and one of the sum.

    Args:
        config: Its widths.
        features: F.
    """

    normal = False  # a sum of many rows is large, and scores of many units are hard to unlearn

    def __init__(self, config: DeepSetsConfig, features: int) -> None:
        super().__init__()
        self.config = config
        self.each = _layers((features, *config.each))
        self.whole = _layers((config.each[-1], *config.whole))

    def forward(
        self,
        features_TF: Float[Tensor, "T F"],
        momenta_T4: Float[Tensor, "T 4"],
        offsets: Int[Tensor, " starts"],
        token_1D: Float[Tensor, "1 D"],
        species_T: Int[Tensor, " T"] | None = None,
        plan: SetPlan | None = None,
    ) -> tuple[Float[Tensor, "T D"], Float[Tensor, "B D"]]:
        """Hidden states (T, D), each that of a set which holds this row alone, and (B, D) of the events."""
        x_TC = self.each(features_TF)
        # In single precision a sum of many rows depends on their order, by more than answers may.
        sum_BC = Ragged(x_TC.double(), offsets).sum().to(x_TC.dtype)
        return self.whole(x_TC) + token_1D, self.whole(sum_BC) + token_1D

    def padded(
        self,
        features_BLF: Float[Tensor, "B L F"],
        momenta_BL4: Float[Tensor, "B L 4"],
        valid_BL: Bool[Tensor, "B L"],
        token_1D: Float[Tensor, "1 D"],
        species_BL: Int[Tensor, "B L"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """See `SetBackbone.padded`."""
        x_BLC = self.each(features_BLF) * valid_BL[..., None]
        out: Tensor = self.whole(x_BLC.double().sum(1).to(x_BLC.dtype)) + token_1D
        return out
