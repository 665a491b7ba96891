"""Jets: which observables describe them, which classes there are, how taggers and generators are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.fields import JET, JETCLASS
from lpm.data.schema import Field
from lpm.metrics.classification import binary_metrics, multiclass_metrics
from lpm.metrics.estimate import Estimate
from lpm.metrics.generation import compare, flatten
from lpm.model.heads.base import class_index
from lpm.physics.kinematics import cartesian
from lpm.physics.prime import PRIMES, prime_flow
from lpm.physics.substructure import observables
from lpm.tasks.base import Task, judged, paired

__all__ = [
    "CLASSES",
    "COMPARED",
    "GENERATION",
    "QUARK_GLUON",
    "QUARK_GROUPS",
    "SUBSTRUCTURE",
    "TOP",
    "TOP_GROUPS",
    "describe",
    "observe",
    "quark_labels",
    "top_labels",
]

TOP_GROUPS: dict[str, tuple[str, ...]] = {
    "QCD": ("QCD", "gluon", "quark", "background"),
    "top": ("top", "Tbqq", "signal"),
}
"""Categories of the public data sets that count as QCD or as a hadronic top, by name."""

QUARK_GROUPS: dict[str, tuple[str, ...]] = {
    "gluon": ("gluon", "g", "background"),
    "quark": ("quark", "d", "u", "s", "signal"),
}
"""Partons, and categories of the public data sets, that make a gluon jet or a light-quark jet, by name."""

COMPARED = (
    "jet.pt", "jet.mass", "jet.sdmass", "jet.tau21", "jet.tau32",
    "particle.pt", "particle.deta", "particle.dphi", "particle", *(f"jet.efp_{n}" for n in PRIMES),
)  # fmt: skip
"""What a generator of jets is compared in; `particle` is the multiplicity."""

SUBSTRUCTURE = ("mass", "sdmass", "tau1", "tau2", "tau3", "tau4")
"""Fields of `jet` that follow from its particles."""

_RATIOS = {
    "tau21": Field(name="tau21", low=0.0, text="tau2 / tau1: small for two prongs"),
    "tau32": Field(name="tau32", low=0.0, text="tau3 / tau2: small for three prongs"),
}

_FLOW = {n: Field(name=f"efp_{n}", low=0.0, text=f"energy flow polynomial of the graph {n!r}") for n in PRIMES}


def describe(batch: Batch) -> Batch:
    """Add to jets what follows from their constituents: pt, mass, sdmass, tau1 to tau4, tau21, tau32, efp_line, ….

    The energy flow polynomials are all those of one to three edges (`lpm.physics.prime`).

    All are computed anew from the particles as massless, so that generated, simulated and measured jets are described
    by the same code and the same information.

    Args:
        batch: With `particle.pt`, `particle.deta`, `particle.dphi`.

    Returns:
        The batch with these fields of `jet`; a label that it had is kept.
    """
    batch = observe(batch, SUBSTRUCTURE)
    pt, deta, dphi = (batch.field(f"particle.{n}") for n in ("pt", "deta", "dphi"))
    px, py, _ = cartesian(pt.values, deta.values, dphi.values)
    total = torch.hypot(pt.with_values(px).sum(), pt.with_values(py).sum())
    batch = batch.with_field("jet", JET["pt"], total)
    for name, (a, b) in {"tau21": ("tau2", "tau1"), "tau32": ("tau3", "tau2")}.items():
        ratio = batch.field(f"jet.{a}").values / batch.field(f"jet.{b}").values.clamp_min(1e-6)
        batch = batch.with_field("jet", _RATIOS[name], ratio)
    for name, values in prime_flow(pt.values, deta.values, dphi.values, pt.lengths).items():
        batch = batch.with_field("jet", _FLOW[name], values)
    return batch


def observe(batch: Batch, names: Sequence[str]) -> Batch:
    """Add to jets the named observables of their particles, taken as massless.

    Args:
        batch: With `particle.pt`, `particle.deta`, `particle.dphi`.
        names: Out of `SUBSTRUCTURE`.
    """
    pt, deta, dphi = (batch.field(f"particle.{n}") for n in ("pt", "deta", "dphi"))
    found = observables(pt.values, deta.values, dphi.values, None, pt.lengths)
    for name in names:
        batch = batch.with_field("jet", JET[name], found[name])
    return batch


def top_labels(batch: Batch) -> Tensor:
    """(B,) 1 for hadronic tops, 0 for QCD, -1 for all others, by the names of the labels.

    Raises:
        ValueError: If there is no label, or none of these classes among its names.
    """
    return _either(batch, "jet.label", TOP_GROUPS)


def quark_labels(batch: Batch) -> Tensor:
    """(B,) 1 for light quarks, 0 for gluons, -1 for all others, by `jet.parton` if it is there, else by `jet.label`.

    Raises:
        ValueError: If there is neither, or none of these among its names.
    """
    return _either(batch, "jet.parton" if "jet.parton" in batch.schema else "jet.label", QUARK_GROUPS)


def _label(batch: Batch, path: str) -> Field:
    if path not in batch.schema:
        raise ValueError(f"the events have no {path} to compare with; name a file that has it as the third argument")
    return batch.schema.field(path)


def _either(batch: Batch, path: str, groups: dict[str, tuple[str, ...]]) -> Tensor:
    """(B,) number of the group that holds each jet's category, -1 for none."""
    field = _label(batch, path)
    out = class_index(batch, path, tuple(groups), groups)
    if bool((out < 0).all()):
        raise ValueError(f"{path}: expected {' and '.join(groups)} jets, its classes are {', '.join(field.labels)}")
    return out


def _binary(
    labels_of: Callable[[Batch], Tensor], names: Sequence[str]
) -> Callable[[Batch, Batch | None, int], dict[str, Estimate]]:
    """Metrics of `jet.score` against the labels of the true events, or of the predicted if there are no others."""

    def evaluate(predicted: Batch, truth: Batch | None, seed: int) -> dict[str, Estimate]:
        source = paired(predicted, truth)
        known, labels, weights = judged(source, labels_of(source), names, "jet.weight")
        if "jet.score" not in predicted.schema:
            raise ValueError("the events have no jet.score to judge; add it with lpm predict")
        return binary_metrics(predicted.field("jet.score").values[known].numpy(), labels, weights, seed=seed)

    return evaluate


def _evaluate_classes(predicted: Batch, truth: Batch | None, seed: int) -> dict[str, Estimate]:
    """Metrics of `jet.score_<class>` against `jet.label`."""
    source = paired(predicted, truth)
    field = _label(source, "jet.label")
    names = [n for n in field.labels if f"jet.score_{n}" in predicted.schema]
    if len(names) < 2:
        raise ValueError(
            f"expected fields jet.score_<class> for classes out of {', '.join(field.labels)}; run lpm predict"
        )
    scores = torch.stack([predicted.field(f"jet.score_{n}").values for n in names], 1)
    known, labels, weights = judged(source, class_index(source, "jet.label", tuple(names), {}), names, "jet.weight")
    return multiclass_metrics(scores[known].double().numpy(), labels, names, weights, seed=seed)


def _evaluate_generation(predicted: Batch, truth: Batch | None, seed: int) -> dict[str, Estimate]:
    """Distances between generated and true jets, each with its floor."""
    if truth is None:
        raise ValueError("jets.generation compares two samples; name the file of true jets as the third argument")
    return flatten(compare(describe(predicted), describe(truth), COMPARED, seed=seed))


TOP = Task(
    name="jets.top",
    text="Is this jet a hadronic top, or QCD?",
    prepare=lambda batch: batch,
    evaluate=_binary(top_labels, tuple(TOP_GROUPS)),
)

QUARK_GLUON = Task(
    name="jets.quark_gluon",
    text="Does this jet come from a light quark or from a gluon?",
    prepare=lambda batch: batch,
    evaluate=_binary(quark_labels, tuple(QUARK_GROUPS)),
)

CLASSES = Task(
    name="jets.classes",
    text=f"Which of {len(JETCLASS)} kinds is this jet?",
    prepare=lambda batch: batch,
    evaluate=_evaluate_classes,
)

GENERATION = Task(
    name="jets.generation",
    text="Do generated jets look like true ones?",
    prepare=describe,
    evaluate=_evaluate_generation,
)
