"""Fine-grained jet tagging: which decay is this jet, what do its scores add up to, and does the tagger leave masses be?

Scores are those of the leaves of `lpm.data.fine.FINE`. What is judged are discriminants, formulas of the scores of any
classes of the tree (`lpm.metrics.discriminant`): how well each tells its signal from its background, and how much a cut
on it changes the mass spectrum of QCD jets. Labels may stop at inner nodes, as those of JetClass do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.data.fine import FINE, JETCLASS_NODES
from lpm.metrics.classification import accuracy, calibration_error
from lpm.metrics.decorrelation import sculpting, threshold
from lpm.metrics.discriminant import PUBLISHED, Discriminant
from lpm.metrics.estimate import Array, Estimate
from lpm.metrics.resolution import resolution
from lpm.metrics.roc import rejection, roc_auc
from lpm.metrics.shapes import roc
from lpm.model.heads.base import class_mask
from lpm.tasks.base import Task, paired

__all__ = ["FINE_TASK", "GROUPS", "MASS_EDGES", "POINTS", "SCULPTED", "evaluate", "members", "pictures", "scores_of"]

GROUPS = FINE.groups(JETCLASS_NODES)
"""{leaf: labels that may be it}: those of `FINE` at any depth, and those of JetClass."""

POINTS = (0.3, 0.5)
"""Signal efficiencies at which rejections are quoted."""

SCULPTED = 0.1
"""Background efficiency at which mass sculpting is quoted."""

MASS_EDGES = tuple(float(m) for m in range(20, 261, 20))
"""Bins of the soft-drop mass in GeV in which sculpting is measured."""


def scores_of(batch: Batch) -> dict[str, Array]:
    """{leaf: (N,) score} of all leaves that were predicted.

    Raises:
        ValueError: If there is none.
    """
    found = {n: _numbers(batch, f"jet.score_{n}") for n in FINE.leaves if f"jet.score_{n}" in batch.schema}
    if not found:
        raise ValueError(f"expected fields jet.score_<class> of classes such as {FINE.leaves[0]}; run lpm predict")
    return found


def members(batch: Batch, classes: Sequence[str]) -> NDArray[np.bool_]:
    """(N,) which jets are surely of one of the given classes: all leaves that their label allows lie below them.

    Args:
        batch: Jets with `jet.label`, of `FINE` at any depth or of JetClass.
        classes: Nodes of `FINE`.

    Example:
        >>> from lpm.data.fields import jets_schema
        >>> columns = {"particle.pt": torch.ones(2), "jet.pt": torch.ones(2), "jet.label": torch.tensor([0.0, 1.0])}
        >>> b = Batch.build(jets_schema(["pt"], ["pt"], ["Hbb", "top"]), columns, {"particle": torch.ones(2).long()})
        >>> members(b, ["H"]).tolist(), members(b, ["top_bqq"]).tolist()
        ([True, False], [False, False])
    """
    mask = class_mask(batch, "jet.label", FINE.leaves, GROUPS)
    inside = torch.tensor([leaf in {x for c in classes for x in FINE.below(c)} for leaf in FINE.leaves])
    return np.asarray((mask.any(1) & ~(mask & ~inside).any(1)).numpy())


def evaluate(
    predicted: Batch, truth: Batch | None, seed: int, *, discriminants: Sequence[Discriminant] = PUBLISHED
) -> dict[str, Estimate]:
    """All numbers of a fine-grained tagger.

    Args:
        predicted: Jets with `jet.score_<leaf>`; with `jet.sdmass` for sculpting, and with `jet.mass_factor_pred` and
            `jet.mass` for the mass.
        truth: The same jets with `jet.label`; None if the predicted ones hold it.
        seed: Of all resampling.
        discriminants: What to judge. One whose signal or background has no jet is left out.

    Returns:
        `accuracy` and `ece` over the leaves; `auc[…]`, `rejection[…]@0.5` and `sculpting[…]@0.1` (1/JSD, with what
        random choices reach, `ceiling[…]`) of each discriminant; bias and width of the mass.

    Raises:
        ValueError: If scores or labels are missing, or no discriminant has both signal and background.
    """
    source = paired(predicted, truth)
    if "jet.label" not in source.schema:
        raise ValueError("the events have no jet.label to compare with; name a file that has it as the third argument")
    scores = scores_of(predicted)
    out = _leaves(source, scores, seed)
    judged = 0
    for d in discriminants:
        signal, background = members(source, d.signal), members(source, d.background)
        if any(leaf not in scores for c in d.expression.classes for leaf in FINE.below(c)):
            continue
        if not signal.any() or not background.any():
            continue
        judged += 1
        out |= _judge(d, d.value(scores, FINE), signal, background, seed)
        if "jet.sdmass" in predicted.schema:
            out |= _sculpted(d, d.value(scores, FINE), members(source, ["QCD"]), predicted, seed)
    if not judged:
        have = ", ".join(d.name for d in discriminants)
        raise ValueError(f"no jets of both signal and background of any of {have}; their labels are other classes")
    return out | _mass(predicted, source, seed)


def pictures(
    predicted: Batch, truth: Batch | None = None, *, discriminants: Sequence[Discriminant] = PUBLISHED
) -> list[tuple[str, dict[str, Any]]]:
    """What a report draws: ROC curves of the discriminants, and the QCD mass before and after a cut on each.

    Args:
        predicted: Jets with `jet.score_<leaf>` and `jet.sdmass`.
        truth: The same jets with `jet.label`; None if the predicted ones hold it.
        discriminants: What to draw. One whose signal or background has no jet is left out.

    Returns:
        (kind, content) of run events: `for kind, content in pictures(scored): Run("run").write(kind, **content)`.

    Raises:
        ValueError: If scores or labels are missing, or there is no QCD jet.
    """
    source, scores = paired(predicted, truth), scores_of(predicted)
    qcd, curves, spectra = members(source, ["QCD"]), {}, {}
    if not qcd.any():
        raise ValueError("no QCD jet to draw the mass of; name a file that has labels of QCD jets")
    mass = _numbers(predicted, "jet.sdmass")[qcd]
    spectra["all QCD jets"] = mass
    for d in discriminants:
        signal, background = members(source, d.signal), members(source, d.background)
        if signal.any() and background.any():
            value, either = d.value(scores, FINE), signal | background
            curves[d.name] = (value[either], signal[either])
            spectra[d.name] = mass[value[qcd] >= threshold(value[qcd], SCULPTED)]
    counts = {n: np.histogram(m, MASS_EDGES)[0] for n, m in spectra.items()}
    histogram = {
        "name": "jet.sdmass", "unit": "GeV", "edges": list(MASS_EDGES), "ratio": False,
        "caption": f"soft-drop mass of QCD jets, all and the {SCULPTED:.0%} that pass a cut on each discriminant",
        "series": {n: [float(x) for x in c] for n, c in counts.items()},
        "outside": {n: float(len(spectra[n]) - c.sum()) for n, c in counts.items()},
    }  # fmt: skip
    return [("curve", {**roc(curves), "caption": "signal of each discriminant against its background"}),
            ("histogram", histogram)]  # fmt: skip


def _leaves(source: Batch, scores: dict[str, Array], seed: int) -> dict[str, Estimate]:
    """Accuracy and calibration error of the jets that are labelled to the last detail."""
    mask = class_mask(source, "jet.label", tuple(scores), {n: GROUPS[n] for n in scores})
    sure = (mask.sum(1) == 1).numpy()
    if not sure.any() or len(scores) < 2:
        return {}
    p, labels = np.stack(list(scores.values()), 1)[sure], mask.long().argmax(1).numpy()[sure]
    return {"accuracy": accuracy(p, labels, seed=seed), "ece": calibration_error(p, labels, seed=seed)}


def _judge(
    d: Discriminant, value: Array, signal: NDArray[np.bool_], background: NDArray[np.bool_], seed: int
) -> dict[str, Estimate]:
    either = signal | background
    x, y = value[either], signal[either]
    out = {f"auc[{d.name}]": roc_auc(x, y, seed=seed)}
    return out | {f"rejection[{d.name}]@{p:g}": rejection(x, y, p, seed=seed) for p in POINTS}


def _sculpted(
    d: Discriminant, value: Array, background: NDArray[np.bool_], predicted: Batch, seed: int
) -> dict[str, Estimate]:
    """1/JSD of the soft-drop mass of QCD jets, where there are enough of them to pass."""
    mass = _numbers(predicted, "jet.sdmass")
    inside = background & (mass >= MASS_EDGES[0]) & (mass < MASS_EDGES[-1])
    if inside.sum() * SCULPTED < len(MASS_EDGES) - 1:
        return {}
    passed = value[inside] >= threshold(value[inside], SCULPTED)
    found = sculpting(mass[inside], passed, MASS_EDGES, seed=seed)
    at = f"[{d.name}]@{SCULPTED:g}"
    return {f"sculpting{at}": found.inverse, f"ceiling{at}": found.ceiling}


def _mass(predicted: Batch, source: Batch, seed: int) -> dict[str, Estimate]:
    """Relative bias and width of the mass of H and top jets: as regressed, and of the soft-drop mass beside it."""
    needed = ("jet.mass_factor_pred", "jet.mass", "jet.sdmass")
    if "jet.target_mass" not in source.schema or any(n not in predicted.schema for n in needed):
        return {}
    true = _numbers(source, "jet.target_mass")
    ways = {
        "regressed": _numbers(predicted, "jet.mass_factor_pred") * _numbers(predicted, "jet.mass"),
        "sdmass": _numbers(predicted, "jet.sdmass"),
    }
    out: dict[str, Estimate] = {}
    for node in ("H", "top"):
        rows = members(source, [node]) & np.isfinite(true) & (true > 0)
        for way, found in ways.items() if rows.any() else ():
            measured = resolution(found[rows], true[rows], relative=True, seed=seed)
            out |= {f"mass_{k}[{node}].{way}": v for k, v in measured.items()}
    return out


def _numbers(batch: Batch, path: str) -> Array:
    return np.asarray(batch.field(path).values.double().numpy())


FINE_TASK = Task(
    name="jets.fine",
    text=f"Which of {len(FINE.leaves)} fine classes is this jet, and what is its mass?",
    prepare=lambda batch: batch,
    evaluate=evaluate,
)
