"""Tau identification: is a small jet a hadronic tau decay, or a jet, an electron or a muon that looks like one?"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.fields import TAU_CLASSES, TAU_DECAYS
from lpm.metrics.estimate import Estimate
from lpm.metrics.identification import efficiency_at, selection
from lpm.model.heads.base import class_index
from lpm.tasks.base import Task, paired

__all__ = ["PT_BINS", "SHARES", "TAU", "against"]

PT_BINS = (20.0, 30.0, 40.0, 60.0, 100.0, 150.0)
"""Edges in GeV in which efficiencies are quoted."""

SHARES = (0.01, 0.001)
"""Shares of a background that pass, at which efficiencies are quoted."""

FEWEST = 20
"""Candidates of each kind that a bin needs, and background candidates that pass, for an efficiency to be quoted."""


def against(predicted: Batch, background: str) -> Tensor:
    """(N,) probability of a tau, given that it is one or this background, from `jet.score_<class>`.

    Raises:
        ValueError: If a score is missing.
    """
    wanted = ("tau", background)
    missing = [n for n in wanted if f"jet.score_{n}" not in predicted.schema]
    if missing:
        raise ValueError(f"the candidates have no jet.score_{missing[0]}; add scores with lpm predict")
    tau, other = (predicted.field(f"jet.score_{n}").values.double() for n in wanted)
    return tau / (tau + other).clamp_min(1e-300)


def _evaluate(predicted: Batch, truth: Batch | None, seed: int) -> dict[str, Estimate]:
    """Efficiency at fixed misidentification of each background, also against pt, and how well decays are told."""
    source = paired(predicted, truth)
    labels = class_index(source, "jet.label", TAU_CLASSES, {}).numpy()
    tau = labels == TAU_CLASSES.index("tau")
    if not tau.any():
        raise ValueError("no candidate has the jet.label tau; name a file that has it as the third argument")
    pt = source.field("jet.pt").values.double().numpy()
    out: dict[str, Estimate] = {}
    for background in TAU_CLASSES[:-1]:
        other = labels == TAU_CLASSES.index(background)
        if not other.any():
            continue
        score = against(predicted, background).numpy()
        bins = [("", np.ones(len(pt), dtype=bool))]
        bins += [(f",{a:g}-{b:g}", (pt >= a) & (pt < b)) for a, b in pairwise(PT_BINS)]
        for name, inside in bins:
            mine = inside & (tau | other)
            for share in SHARES:
                if (tau & mine).sum() >= FEWEST and share * (other & mine).sum() >= (FEWEST if share < 0.01 else 1):
                    found = efficiency_at(score[mine], tau[mine], share, seed=seed)
                    out[f"efficiency[{background}]@{share:g}{name}"] = found
    return out | _decays(predicted, source, tau, seed)


def _decays(predicted: Batch, source: Batch, tau: np.ndarray, seed: int) -> dict[str, Estimate]:
    """Efficiency and purity of decays among taus, if the model tells them."""
    names = [n for n in TAU_DECAYS if f"jet.score_{n}" in predicted.schema]
    if len(names) < 2 or "jet.decay" not in source.schema:
        return {}
    scores = torch.stack([predicted.field(f"jet.score_{n}").values for n in names], 1)
    wanted = class_index(source, "jet.decay", tuple(names), {}).numpy()
    known = tau & (wanted >= 0)
    chosen, wanted = scores.argmax(1).numpy()[known], wanted[known]
    out: dict[str, Estimate] = {}
    for i, name in enumerate(names):
        if (wanted == i).any() and (chosen == i).any():
            found = selection(chosen == i, wanted == i, seed=seed)
            out |= {f"{kind}[{name}]": found[kind] for kind in ("efficiency", "purity")}
    return out


TAU = Task(
    name="jets.tau",
    text="Is this small jet a hadronic tau decay, or a jet, an electron or a muon?",
    prepare=lambda batch: batch,
    evaluate=_evaluate,
)
