"""Pairs of generated and reconstructed objects of our own simulation."""

import pytest
import torch

from lpm.data.matched import FATES, KINDS, MATCHED
from lpm.sim.chunk import Request, simulate_chunk

pytest.importorskip("pythia8mc", reason="needs the sim extra")
pytest.importorskip("fastjet", reason="needs the sim extra")


def test_objects_of_a_small_sample() -> None:
    request = Request(n=400, preset="matched", seed=3)
    batch = simulate_chunk(request, 0)
    assert batch.schema == MATCHED
    assert len(batch) == sum(request.share(label, 0) for label in request.labels)
    again = simulate_chunk(request, 0)
    assert torch.equal(batch.collections["object"].values, again.collections["object"].values)
    found, kind = (batch.field(f"generated.{n}").values for n in ("outcome", "kind"))
    assert torch.equal(found > 0, batch.collections["object"].lengths > 0)
    assert set(kind.int().tolist()) == set(range(len(KINDS)))
    assert 0.3 < float((found > 0).float().mean()) < 0.95
    of = kind[batch.collections["object"].event]
    response = batch.field("object.response").values
    leptons = of <= KINDS.index("muon")
    assert float((response[leptons] - 1).abs().median()) < 0.03
    assert 0.05 < float(response[of >= KINDS.index("jet")].std()) < 0.3
    tag = (found == FATES.index("tagged")).float()
    assert float(tag[kind == KINDS.index("b_jet")].mean()) > 0.3 > 5 * float(tag[kind == KINDS.index("jet")].mean())
    assert not bool(tag[kind < KINDS.index("jet")].any())
    # Nothing is found that was generated beyond what the detector covers.
    far = batch.field("generated.eta").values.abs() > 2.75
    assert not bool(found[far].any())
