"""The nearest neighbours of each row within its event: exact, of packed events, without padding in what follows.

Distances are taken bucket by bucket (`lpm.model.sets.buckets`); only these squares know padding. An event of n rows
has edges to min(k, n - 1) neighbours of each, so that events with few rows, one or none need no special care. Rows
sorted by the length of their event have rising numbers of neighbours: a few blocks of equal number, in which sums over
neighbours are those of an ordinary axis.

Shapes: T rows sorted by the length of their event, E edges, G events of one bucket, L its longest, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lpm.model.sets.buckets import Bucket, ByLength
from lpm.physics.kinematics import delta_phi

__all__ = ["Neighbours"]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Edges from each row to its neighbours, row by row, the nearest first.

    Args:
        other: (E,) the neighbour at the end of each edge.
        blocks: (rows, neighbours of each) of rows that follow one another.
    """

    other: Int[Tensor, " E"]
    blocks: tuple[tuple[int, int], ...]

    @classmethod
    @torch.no_grad()
    def of(cls, x_TC: Float[Tensor, "T C"], events: ByLength, k: int, angle: bool = False) -> Neighbours:
        """The k nearest rows of the same event, the row itself left out. Of rows equally far, any may be taken.

        Args:
            x_TC: Coordinates; distances are Euclidean.
            events: Whose rows these are, sorted.
            k: Most neighbours of a row.
            angle: The last coordinate is an angle in rad, which comes round.

        Example:
            >>> x = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
            >>> n = Neighbours.of(x, ByLength.of(torch.tensor([0, 1, 4]), 4), k=1)
            >>> n.other.tolist(), n.blocks  # the first event has one row and no edge
            ([2, 1, 2], ((1, 0), (3, 1)))
        """
        others, degrees, first = [], [], 0
        for x_RC, bucket in zip(torch.split(x_TC, events.counts), events.buckets, strict=True):
            found_R = torch.repeat_interleave((bucket.lengths - 1).clamp_max(k), bucket.lengths)
            degrees.append(found_R)
            if bucket.longest > 1:
                nearest_RK = _nearest(x_RC, bucket, min(k, bucket.longest - 1), angle) + first
                real_RK = torch.arange(nearest_RK.shape[1], device=x_TC.device) < found_R[:, None]
                others.append(nearest_RK[real_RK])
            first += len(x_RC)
        if not others:
            others = [torch.empty(0, dtype=torch.int64, device=x_TC.device)]
        if not len(x_TC):
            return cls(others[0], ((0, 0),))
        degree, rows = torch.unique_consecutive(torch.cat(degrees), return_counts=True)
        return cls(torch.cat(others), tuple(zip(rows.tolist(), degree.tolist(), strict=True)))

    @property
    def own(self) -> Int[Tensor, " E"]:
        """The row that each edge starts from."""
        rows = torch.tensor(self.blocks, device=self.other.device)
        degree_T = torch.repeat_interleave(rows[:, 1], rows[:, 0])
        at = torch.arange(len(degree_T), device=degree_T.device)
        return torch.repeat_interleave(at, degree_T, output_size=len(self.other))

    def spread(self, x_TC: Float[Tensor, "T C"]) -> Float[Tensor, "E C"]:
        """Of each edge, the row that it starts from."""
        parts = torch.split(x_TC, [rows for rows, _ in self.blocks])
        return torch.cat(
            [p[:, None].expand(-1, n, -1).flatten(0, 1) for p, (_, n) in zip(parts, self.blocks, strict=True)]
        )

    def ends(self, x_TC: Float[Tensor, "T C"]) -> Float[Tensor, "E C"]:
        """Of each edge, the row that it ends at."""
        # As an embedding, for its gradient is summed much faster on the CPU than that of an index.
        return F.embedding(self.other, x_TC)

    def mean(self, x_EC: Float[Tensor, "E C"]) -> Float[Tensor, "T C"]:
        """Mean over the edges that start from each row; 0 for a row without."""
        parts = torch.split(x_EC, [rows * n for rows, n in self.blocks])
        return torch.cat(
            [
                x.view(rows, n, -1).mean(1) if n else x_EC.new_zeros(rows, x_EC.shape[1])
                for x, (rows, n) in zip(parts, self.blocks, strict=True)
            ]
        )


def _nearest(x_RC: Tensor, bucket: Bucket, k: int, angle: bool) -> Tensor:
    """(R, k) nearest rows of the bucket; anything beyond the number of other rows of the event."""
    x_GLC = bucket.pad(x_RC)
    # Differences, not products: those of near rows would be lost in rounding, and with them the order.
    if angle:
        flat_GLC, phi_GL = x_GLC[:, :, :-1], x_GLC[:, :, -1]
        distance_GLL = torch.cdist(flat_GLC, flat_GLC, compute_mode="donot_use_mm_for_euclid_dist")
        distance_GLL = torch.hypot(distance_GLL, delta_phi(phi_GL[:, :, None], phi_GL[:, None]))
    else:
        distance_GLL = torch.cdist(x_GLC, x_GLC, compute_mode="donot_use_mm_for_euclid_dist")
    at = torch.arange(bucket.longest, device=x_RC.device)
    none_GLL = (at >= bucket.lengths[:, None])[:, None] | (at[:, None] == at)
    nearest_GLK = distance_GLL.masked_fill_(none_GLL, float("inf")).topk(k, largest=False).indices
    start_G = bucket.lengths.cumsum(0) - bucket.lengths
    return (nearest_GLK + start_G[:, None, None]).flatten(0, 1)[bucket.places]
