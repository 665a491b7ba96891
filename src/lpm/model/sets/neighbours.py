"""The nearest neighbours of each row within its event: exact, of packed events, without padding in what follows.

Distances are taken bucket by bucket (`lpm.model.sets.buckets`); only these squares know padding. An event of n rows
has edges to min(k, n - 1) neighbours of each, so that events with few rows, one or none need no special care. Rows
sorted by the length of their event have rising numbers of neighbours: a few blocks of equal number, in which sums over
neighbours are those of an ordinary axis. How many there are follows from lengths alone, and is worked out before.

Shapes: T rows sorted by the length of their event, E edges, G events of one bucket, L its longest, R its rows, K most
neighbours of a row, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lpm.data.transfer import sent
from lpm.model.layers import to_places
from lpm.model.sets.base import SetPlan
from lpm.model.sets.buckets import Bucket, ByLength
from lpm.physics.kinematics import delta_phi

__all__ = ["Neighbours", "Room"]


@dataclass(frozen=True, eq=False)
class Room(SetPlan):
    """How many neighbours each row has, and so where its edges lie.

    Args:
        events: Whose rows these are, sorted.
        k: K.
        own: (E,) the row that each edge starts from.
        places: (E,) place of each edge among the T × K places of rows that all have K.
        picked: For each bucket (edges,) place of each edge among the R × min(K, L - 1) of its own.
        blocks: (rows, neighbours of each) of rows that follow one another.
    """

    events: ByLength
    k: int
    own: Int[Tensor, " E"]
    places: Int[Tensor, " E"]
    picked: tuple[Tensor, ...]
    blocks: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, events: ByLength, k: int) -> Room:
        """Room for the k nearest of each row, on the CPU.

        Args:
            events: On the CPU.
            k: Most neighbours of a row.

        Example:
            >>> r = Room.of(ByLength.of(torch.tensor([0, 1, 4])), k=1)
            >>> r.own.tolist(), r.blocks  # the first event has one row and no edge
            ([1, 2, 3], ((1, 0), (3, 1)))
        """
        found = [torch.repeat_interleave((b.lengths - 1).clamp_max(k), b.lengths) for b in events.buckets]
        found_T = torch.cat([*found, events.rows.new_empty(0)])
        own_E = torch.repeat_interleave(found_T)
        slot_E = torch.arange(len(own_E)) - (found_T.cumsum(0) - found_T)[own_E]
        picked, row, edge = [], 0, 0
        for found_R, bucket in zip(found, events.buckets, strict=True):
            mine = slice(edge, edge + int(found_R.sum()))
            picked.append((own_E[mine] - row) * min(k, max(bucket.longest - 1, 0)) + slot_E[mine])
            row, edge = row + len(found_R), mine.stop
        degree, rows = torch.unique_consecutive(found_T, return_counts=True)
        blocks = tuple(zip(rows.tolist(), degree.tolist(), strict=True)) or ((0, 0),)
        return cls(events, k, own_E, own_E * k + slot_E, tuple(picked), blocks)

    def to(self, device: torch.device) -> Room:
        """Copy to a device."""
        own_E, place_E, *picked = (sent(x, device) for x in (self.own, self.places, *self.picked))
        return Room(self.events.to(device), self.k, own_E, place_E, tuple(picked), self.blocks)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Edges from each row to its neighbours, row by row, the nearest first.

    Args:
        other: (E,) the neighbour at the end of each edge.
        room: Where the edges lie.
    """

    other: Int[Tensor, " E"]
    room: Room

    @classmethod
    @torch.no_grad()
    def of(cls, x_TC: Float[Tensor, "T C"], room: Room, angle: bool = False) -> Neighbours:
        """The nearest rows of the same event, the row itself left out. Of rows equally far, any may be taken.

        Args:
            x_TC: Coordinates; distances are Euclidean.
            room: For how many of each row.
            angle: The last coordinate is an angle in rad, which comes round.

        Example:
            >>> x = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
            >>> Neighbours.of(x, Room.of(ByLength.of(torch.tensor([0, 1, 4])), k=1)).other.tolist()
            [2, 1, 2]
        """
        others, first = [torch.empty(0, dtype=torch.int64, device=x_TC.device)], 0
        parts = torch.split(x_TC, room.events.counts)
        for x_RC, bucket, picked in zip(parts, room.events.buckets, room.picked, strict=True):
            if bucket.longest > 1:
                nearest_RK = _nearest(x_RC, bucket, min(room.k, bucket.longest - 1), angle) + first
                others.append(nearest_RK.flatten()[picked])
            first += len(x_RC)
        return cls(torch.cat(others), room)

    @property
    def own(self) -> Int[Tensor, " E"]:
        """The row that each edge starts from."""
        return self.room.own

    def spread(self, x_TC: Float[Tensor, "T C"]) -> Float[Tensor, "E C"]:
        """Of each edge, the row that it starts from."""
        if torch.compiler.is_compiling():  # blocks would be a part of the graph, and each batch has others
            return F.embedding(self.own, x_TC)
        parts = torch.split(x_TC, [rows for rows, _ in self.room.blocks])
        return torch.cat(
            [p[:, None].expand(-1, n, -1).flatten(0, 1) for p, (_, n) in zip(parts, self.room.blocks, strict=True)]
        )

    def ends(self, x_TC: Float[Tensor, "T C"]) -> Float[Tensor, "E C"]:
        """Of each edge, the row that it ends at."""
        # As an embedding, for its gradient is summed much faster on the CPU than that of an index.
        return F.embedding(self.other, x_TC)

    def mean(self, x_EC: Float[Tensor, "E C"]) -> Float[Tensor, "T C"]:
        """Mean over the edges that start from each row; 0 for a row without."""
        if torch.compiler.is_compiling():
            rows, k = len(self.room.events.rows), self.room.k
            some_T = to_places(torch.ones_like(x_EC[:, :1]), self.room.places, rows * k).view(rows, k).sum(1)
            x_TKC = to_places(x_EC, self.room.places, rows * k).view(rows, k, x_EC.shape[1])
            return x_TKC.sum(1) / some_T.clamp_min(1)[:, None]
        parts = torch.split(x_EC, [rows * n for rows, n in self.room.blocks])
        return torch.cat(
            [
                x.view(rows, n, -1).mean(1) if n else x_EC.new_zeros(rows, x_EC.shape[1])
                for x, (rows, n) in zip(parts, self.room.blocks, strict=True)
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
