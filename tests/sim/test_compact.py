"""Compact jets: small, and close to what they were."""

from __future__ import annotations

from pathlib import Path

import torch

from lpm.data.batch import Batch
from lpm.data.io.parquet import write_batches
from lpm.physics.substructure import observables
from lpm.sim.compact import DROPPED, compact
from lpm.sim.jets import SCHEMA


def make(n: int = 400) -> Batch:
    g = torch.Generator().manual_seed(0)
    lengths = torch.randint(20, 70, (n,), generator=g)
    total = int(lengths.sum())

    def normal(scale: float, size: int = total) -> torch.Tensor:
        return scale * torch.randn(size, generator=g)

    charged = (torch.rand(total, generator=g) < 0.6).float()
    pt = torch.exp(normal(1.5) + 1)
    columns = {
        "particle.pt": pt, "particle.deta": normal(0.2), "particle.dphi": normal(0.2), "particle.energy": 1.5 * pt,
        "particle.charge": charged, "particle.type": 2 * (1 - charged), "particle.d0": charged * normal(0.1),
        "particle.d0_err": charged * (0.016 + 0.07 / pt), "particle.dz": charged * normal(0.2),
        "particle.dz_err": charged * (0.036 + 0.1 / pt),
    }  # fmt: skip
    columns |= {p: 100 + normal(10.0, n) for p in SCHEMA.paths if p.startswith("jet.")}
    columns |= {"jet.parton": torch.full((n,), float("nan")), "jet.label": torch.arange(n) % 10.0}
    return Batch.build(SCHEMA, columns, {"particle": lengths})


def test_derivable_fields_are_gone() -> None:
    assert not set(DROPPED) & set(compact(make()).schema.paths)


def test_values_move_less_than_promised() -> None:
    batch = make()
    small = compact(batch)
    for name, relative, absolute in (("pt", 0.0026, 0), ("deta", 0, 0.0011), ("dphi", 0, 0.0011), ("d0_err", 0.05, 0)):
        before, after = (b.field(f"particle.{name}").values for b in (batch, small))
        torch.testing.assert_close(after, before, rtol=relative, atol=absolute)
    for name in ("d0", "dz"):
        before, after = (b.field(f"particle.{name}").values for b in (batch, small))
        torch.testing.assert_close(after, before, rtol=0.051, atol=0.0011)
    torch.testing.assert_close(small.field("jet.mass").values, batch.field("jet.mass").values, rtol=5e-4, atol=0)
    assert torch.equal(small.field("jet.label").values, batch.field("jet.label").values)
    assert small.field("jet.parton").values.isnan().all()


def test_masses_survive() -> None:
    batch = make(100)
    found = []
    for b in (batch, compact(batch)):
        pt, deta, dphi = (b.field(f"particle.{n}").values for n in ("pt", "deta", "dphi"))
        found.append(observables(pt, deta, dphi, None, b.collections["particle"].lengths)["mass"])
    assert ((found[1] - found[0]).abs() / found[0]).median() < 0.002


def test_twice_is_once() -> None:
    once = compact(make(50))
    twice = compact(once)
    for name in ("pt", "deta", "d0"):
        torch.testing.assert_close(
            twice.field(f"particle.{name}").values, once.field(f"particle.{name}").values, rtol=1e-5, atol=1e-5
        )


def test_files_shrink(tmp_path: Path) -> None:
    sizes = []
    for b in (make(), compact(make())):
        path = tmp_path / f"{len(sizes)}.parquet"
        write_batches(path, [b], schema=b.schema)
        sizes.append(path.stat().st_size)
    assert sizes[1] < 0.5 * sizes[0]
