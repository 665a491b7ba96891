"""The task of tau identification: discriminants against each background, thresholds of their own in each bin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import JET, TAU_CLASSES, TAU_DECAYS, jets_schema
from lpm.tasks.tau import PT_BINS, TAU, against

N = 4000


def candidates(power: float) -> Batch:
    """Scores that tell taus the better, the larger the power; decays are told perfectly."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, len(TAU_CLASSES), N)
    columns = {
        "particle.pt": torch.ones(N),
        "jet.pt": torch.from_numpy(rng.uniform(20, 150, N)),
        "jet.label": torch.from_numpy(label.astype(np.float64)),
    }
    tau = label == TAU_CLASSES.index("tau")
    decay = np.where(tau, rng.integers(0, len(TAU_DECAYS), N), np.nan)
    columns["jet.decay"] = torch.from_numpy(decay)
    batch = Batch.build(jets_schema(["pt"], ["pt", "decay"], TAU_CLASSES), columns, {"particle": torch.ones(N).long()})
    p = rng.random((N, len(TAU_CLASSES)))
    p[np.arange(N), label] += power * rng.random(N)
    field = JET["score"]
    for i, name in enumerate(TAU_CLASSES):
        batch = batch.with_field("jet", type(field)(name=f"score_{name}"), torch.from_numpy(p[:, i] / p.sum(1)))
    for i, name in enumerate(TAU_DECAYS):
        batch = batch.with_field("jet", type(field)(name=f"score_{name}"), torch.from_numpy((decay == i) * 1.0))
    return batch


def test_better_scores_are_more_efficient_and_bins_have_their_own_threshold() -> None:
    weak, strong = (TAU.evaluate(candidates(p), None, 0) for p in (0.5, 3.0))
    for background in TAU_CLASSES[:-1]:
        assert strong[f"efficiency[{background}]@0.01"].value > weak[f"efficiency[{background}]@0.01"].value
        assert f"efficiency[{background}]@0.01,{PT_BINS[0]:g}-{PT_BINS[1]:g}" not in strong, "fewer than one passes"
        assert f"efficiency[{background}]@0.01,60-100" in strong
        assert f"efficiency[{background}]@0.001" not in strong, "one candidate is no measurement"
    assert strong["efficiency[jet]@0.01"].low < strong["efficiency[jet]@0.01"].value
    assert strong["purity[3h]"].value == 1.0


def test_the_share_that_passes_is_what_was_asked_for() -> None:
    batch = candidates(2.0)
    label = batch.field("jet.label").values
    score = against(batch, "jet")
    other = score[label == TAU_CLASSES.index("jet")]
    found = TAU.evaluate(batch, None, 0)["efficiency[jet]@0.01"].value
    threshold = score[label == TAU_CLASSES.index("tau")].quantile(1 - found)
    assert float((other > threshold).float().mean()) == pytest.approx(0.01, abs=0.003)


def test_what_is_missing_is_named() -> None:
    batch = candidates(1.0)
    with pytest.raises(ValueError, match=r"no jet\.score_tau; add scores with lpm predict"):
        against(batch.select(["jet.pt"]), "jet")
    jets = batch[batch.field("jet.label").values == 0]
    with pytest.raises(ValueError, match=r"jet\.label tau"):
        TAU.evaluate(jets, None, 0)
