"""Neighbours: exact, within the event, of as many others as there are."""

from __future__ import annotations

import math

import pytest
import torch

from lpm.model.sets.buckets import ByLength
from lpm.model.sets.neighbours import Neighbours, Room


def brute(x: torch.Tensor, offsets: list[int], row: int, k: int) -> set[int]:
    """The nearest others of the same event, one by one."""
    event = next(i for i in range(len(offsets) - 1) if offsets[i] <= row < offsets[i + 1])
    others = [r for r in range(offsets[event], offsets[event + 1]) if r != row]
    return set(sorted(others, key=lambda r: float((x[r] - x[row]).norm()))[:k])


@pytest.mark.parametrize("lengths", [[5, 0, 1, 30, 2, 17, 16, 18], [1, 0], [0], [], [40] * 20, [3, 2]])
def test_they_are_those_of_a_search_one_by_one(lengths: list[int]) -> None:
    n = torch.tensor(lengths, dtype=torch.int64)
    x = torch.randn(int(n.sum()), 3, generator=torch.Generator().manual_seed(0))
    offsets = torch.cat([n.new_zeros(1), n.cumsum(0)])
    events = ByLength.of(offsets)
    near = Neighbours.of(x[events.rows], Room.of(events, k=16))
    assert len(near.own) == len(near.other) == sum(m * min(16, max(m - 1, 0)) for m in lengths)
    found: dict[int, set[int]] = {int(r): set() for r in events.rows}
    for a, b in zip(events.rows[near.own].tolist(), events.rows[near.other].tolist(), strict=True):
        found[a].add(b)
    assert all(found[row] == brute(x, offsets.tolist(), row, 16) for row in found)


def test_an_angle_comes_round() -> None:
    x = torch.tensor([[0.0, math.pi - 0.01], [0.0, -math.pi + 0.01], [0.0, 2.5]])
    room = Room.of(ByLength.of(torch.tensor([0, 3])), k=1)
    assert Neighbours.of(x, room, angle=True).other.tolist() == [1, 0, 0]
    assert Neighbours.of(x, room).other.tolist() == [2, 2, 0]


def test_near_rows_far_from_the_origin_are_told_apart() -> None:
    """Distances by products would be lost in rounding here."""
    x = 3000 + torch.tensor([[0.0], [0.01], [0.03], [0.07]])
    assert Neighbours.of(x, Room.of(ByLength.of(torch.tensor([0, 4])), k=1)).other.tolist() == [1, 0, 1, 2]


def test_sums_over_neighbours_and_their_gradients() -> None:
    room = Room.of(ByLength.of(torch.tensor([0, 1, 4, 10])), k=3)
    x = torch.randn(10, 2, dtype=torch.float64, requires_grad=True)
    near = Neighbours.of(x.detach(), room)
    assert torch.equal(near.spread(x), x[near.own])
    assert torch.equal(near.ends(x), x[near.other])
    mean = near.mean(near.ends(x))
    assert torch.equal(mean[0], torch.zeros(2))
    torch.testing.assert_close(mean[9], x[near.other[near.own == 9]].mean(0))
    assert torch.autograd.gradcheck(lambda x: near.mean(near.ends(x) * near.spread(x)), x)


@pytest.mark.parametrize("lengths", [[5, 0, 1, 30, 2], [1, 0], [0], [], [20] * 20])
def test_compiled_edges_are_the_same(lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """There, blocks of rows with equally many neighbours are left out: each batch would be a graph of its own."""
    n = torch.tensor(lengths, dtype=torch.int64)
    x = torch.randn(int(n.sum()), 3, generator=torch.Generator().manual_seed(0))
    near = Neighbours.of(x, Room.of(ByLength.of(torch.cat([n.new_zeros(1), n.cumsum(0)])), k=4))
    wanted = near.spread(x), near.mean(near.ends(x))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.equal(near.spread(x), wanted[0])
    torch.testing.assert_close(near.mean(near.ends(x)), wanted[1])
