"""Particle identification: which kind of particle is a track, from whatever detectors saw it."""

from __future__ import annotations

import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.metrics.estimate import Estimate
from lpm.metrics.identification import identification, identification_in_bins
from lpm.model.heads.base import class_index
from lpm.tasks.base import Task, paired

__all__ = ["PID", "PT_BINS", "answers", "patterns", "truth_of", "without"]

PT_BINS = (0.1, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
"""Edges in GeV in which identification is quoted."""


def answers(predicted: Batch) -> tuple[tuple[str, ...], Tensor]:
    """Names of the species that were told apart, and (N, C) their scores, from `track.score_<species>`.

    Raises:
        ValueError: If there are fewer than two.
    """
    names = tuple(n.removeprefix("score_") for n in predicted.schema["track"].names if n.startswith("score_"))
    if len(names) < 2:
        raise ValueError("expected fields track.score_<species> of at least two species; add them with lpm predict")
    return names, torch.stack([predicted.field(f"track.score_{n}").values for n in names], 1)


def truth_of(batch: Batch, names: tuple[str, ...]) -> Tensor:
    """(N,) number of each track's species among the names, -1 for others.

    Raises:
        ValueError: If the tracks have no species.
    """
    if "track.species" not in batch.schema:
        raise ValueError("the tracks have no track.species to compare with; name a file that has it as third argument")
    return class_index(batch, "track.species", names, {})


def patterns(batch: Batch) -> Tensor:
    """(N,) which detectors measured, as a binary number: the first of the schema's counts 1, the second 2, ….

    Example:
        >>> from lpm.data.tracks import tracks_schema
        >>> schema, two = tracks_schema(["p"], {"tof": ["beta"], "trd": ["layers"]}), torch.ones(2)
        >>> columns = {"track.p": two, "tof.beta": two, "trd.layers": two[:1]}
        >>> patterns(Batch.build(schema, columns, {"tof": torch.tensor([1, 1]), "trd": torch.tensor([0, 1])})).tolist()
        [1, 3]
    """
    out = torch.zeros(len(batch), dtype=torch.int64)
    for i, name in enumerate(_detectors(batch)):
        out += (batch.collections[name].lengths > 0).long() << i
    return out


def without(batch: Batch, fraction: float, seed: int = 0) -> Batch:
    """The same tracks as seen with each measurement lost at random.

    Args:
        batch: Tracks.
        fraction: Probability to lose a detector's measurement, independent of all else.
        seed: The same seed loses the same.
    """
    generator = torch.Generator().manual_seed(seed)
    collections = dict(batch.collections)
    for name in _detectors(batch):
        rows = collections[name]
        kept = (torch.rand(len(batch), generator=generator) >= fraction)[rows.event]
        lengths = torch.zeros(len(batch), dtype=torch.int64).index_add_(0, rows.event, kept.long())
        collections[name] = rows.from_lengths(rows.values[kept], lengths)
    return Batch(batch.schema, collections)


def _detectors(batch: Batch) -> tuple[str, ...]:
    return tuple(c.name for c in batch.schema.collections if not c.single)


def _evaluate(predicted: Batch, truth: Batch | None, seed: int) -> dict[str, Estimate]:
    """Efficiency, purity and F1 of each species, over all tracks and in bins of transverse momentum."""
    source = paired(predicted, truth)
    names, scores = answers(predicted)
    labels = truth_of(source, names)
    known = labels >= 0
    if not bool(known.any()):
        raise ValueError(f"no track is one of the species told apart, {', '.join(names)}; check the file of the truth")
    chosen, wanted = scores[known].argmax(1).numpy(), labels[known].numpy()
    out = identification(chosen, wanted, names, seed=seed)
    pt = source.field("track.pt").values[known].numpy()
    return out | identification_in_bins(chosen, wanted, names, pt, PT_BINS, seed=seed)


PID = Task(
    name="pid",
    text="Which kind of particle is this track?",
    prepare=lambda batch: batch,
    evaluate=_evaluate,
)
