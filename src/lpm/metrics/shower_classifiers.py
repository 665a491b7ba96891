r"""Classifiers of showers: how well can a trained network tell generated from true ones, or one generator from others?

As in the CaloChallenge (arXiv 2410.21611, section 4) a network is trained on one part of the showers; the epoch of the
best accuracy on a second part is kept, and there its scores are calibrated; a third part is judged. The result is the
area under the ROC curve, 0.5 for equal samples, and the Jensen-Shannon divergence as the classifier sees it,

.. math:: \mathrm{JSD} = 1 - \frac{\mathrm{BCE}}{\ln 2},

0 for equal samples and 1 for samples that never overlap. Over several seeds, each with its own split and weights, both
are averaged. Other than there, the parts are fractions, everything is seeded, numbers are in single precision, and
samples of different sizes count equally.

A classifier that is not trained to the end finds samples more alike than they are. The challenge's 50 epochs are 8,000
steps of 160,000 showers; with fewer showers as many steps take more epochs (`Training.steps`). Its inputs are as they
come, fractions of energies that are mostly near 0, and most of these steps go by before the network sees anything.
Inputs that are scaled to mean 0 and deviation 1 (`Training.scaled`) tell more, in a tenth of the steps.

Shapes: N showers, F features, K generators.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lpm.metrics.estimate import Array, Estimate
from lpm.metrics.isotonic import calibrate
from lpm.metrics.roc import roc_auc
from lpm.metrics.shower_networks import plain

__all__ = ["Rows", "Table", "Telling", "Training", "log_posterior", "tell_apart"]

FEWEST = 50
"""Showers of each sample that the smallest part needs."""

_SURE = 1e-6
"""No calibrated probability is nearer to 0 or 1 than this."""


class Rows(Protocol):
    """Inputs of a network, made when they are asked for: dense showers of a whole sample may not fit into memory."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> Tensor:
        """(n, F) float32 inputs of the showers at `index`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a classifier is trained; as given, like the challenge's.

    Args:
        hidden: Width of its three hidden layers.
        epochs: Passes over the training part.
        steps: Fewest steps; where `epochs` are fewer, there are more epochs.
        batch: Showers of a step.
        rate: Learning rate of Adam.
        scaled: Whether inputs are scaled by the means and deviations of the training part, other than in the challenge.
        fractions: Parts to train, to choose and calibrate, and to judge.
        seeds: Number of repetitions.
        seed: Of the first; the others follow.
        device: `cuda`, `cpu`, or empty for the first that is there.

    Raises:
        ValueError: If a number is out of range.
    """

    hidden: int = 2048
    epochs: int = 50
    steps: int = 0
    batch: int = 1000
    rate: float = 2e-4
    scaled: bool = False
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    seeds: int = 1
    seed: int = 0
    device: str = ""

    def __post_init__(self) -> None:
        if min(self.hidden, self.epochs, self.batch, self.seeds) < 1 or self.rate <= 0 or self.steps < 0:
            raise ValueError("hidden, epochs, batch, seeds: expected at least 1, a rate above 0, and steps from 0")
        if min(self.fractions) <= 0 or not math.isclose(sum(self.fractions), 1.0):
            raise ValueError(f"fractions: expected three above 0 that add up to 1, got {self.fractions}")

    @property
    def place(self) -> torch.device:
        """Where to train."""
        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def passes(self, showers: int) -> int:
        """Epochs over so many showers of the training part.

        Example:
            >>> Training(steps=8000).passes(160_000), Training(steps=8000).passes(16_000)
            (50, 500)
        """
        return max(self.epochs, math.ceil(self.steps / math.ceil(showers / self.batch)))

    @property
    def fewest(self) -> int:
        """Showers needed of each sample."""
        return math.ceil(FEWEST / min(self.fractions))


@dataclass(frozen=True)
class Telling:
    """How well two samples can be told apart.

    Args:
        auc: Area under the ROC curve, of calibrated probabilities, mean over seeds.
        jsd: Jensen-Shannon divergence, mean over seeds.
        aucs: Of each seed.
        jsds: Of each seed.
        kept: Share of the training after which the network was best, of each seed. Near 1, more steps might tell more.
    """

    auc: Estimate
    jsd: Estimate
    aucs: tuple[float, ...]
    jsds: tuple[float, ...]
    kept: tuple[float, ...]


Network = Callable[[int, torch.Generator], nn.Module]
"""Makes a network of so many features and one answer."""


def tell_apart(rows: Rows, generated: int, training: Training | None = None, network: Network | None = None) -> Telling:
    """Train and judge classifiers of generated against true showers.

    Args:
        rows: Inputs of all showers, the generated ones first.
        generated: How many those are.
        training: How; as the challenge if absent.
        network: What; three hidden layers if absent.

    Returns:
        Means over seeds. Their errors are the larger of the spread over seeds, divided by the root of their number, and
        the bootstrap of the judged showers, which shrinks more slowly, since the parts of two seeds share showers: with
        k seeds that judge a fifth each, its square is (1 + (k - 1) / 5) / k of that of one.

    Raises:
        ValueError: If there are too few showers on one side.

    Example:
        >>> x = torch.randn(800, 2, generator=torch.Generator().manual_seed(0))
        >>> x[:400] += 3.0
        >>> found = tell_apart(Table(x), 400, Training(hidden=16, epochs=10, batch=50, rate=1e-2))
        >>> found.auc.value > 0.97
        True
    """
    training = training or Training()
    true = len(rows) - generated
    if min(generated, true) < training.fewest:
        raise ValueError(
            f"classifier: needs {training.fewest:,} showers of each sample, got {generated:,} generated and {true:,} "
            "reference ones; make more"
        )
    label = torch.cat([torch.ones(generated), torch.zeros(true)])
    aucs, jsds, kept = [], [], []
    for seed in range(training.seed, training.seed + training.seeds):
        generator = torch.Generator().manual_seed(seed)
        parts = _split((generated, true), training.fractions, generator)
        make = network or (lambda f, g: plain(f, training.hidden, 1, g))
        net = make(rows.take(parts[0][:1]).shape[1], generator)
        net = _scaled(net, rows, parts[0], training)
        *scores, share = _trained(net, rows, label, parts, training, generator)
        kept.append(share)
        wanted = [label[p].double().numpy() for p in parts]
        p = calibrate(scores[0], wanted[1], _weights(label)[parts[1]].double().numpy())(scores[1])
        aucs.append(roc_auc(p, wanted[2], seed=seed))
        jsds.append(_divergence(p, wanted[2]))
    values = [[e.value for e in found] for found in (aucs, jsds)]
    different = 1 / training.fractions[2]
    return Telling(_mean(aucs, different), _mean(jsds, different), tuple(values[0]), tuple(values[1]), tuple(kept))


def log_posterior(
    rows: Rows, sizes: Sequence[int], reference: Rows, training: Training | None = None
) -> list[Estimate]:
    """Which of K generators comes nearest to the truth, by one classifier of all of them.

    This is the multi-model classifier of Lim et al., arXiv 2211.11765. A network learns from which generator a shower
    comes. True showers are then shown to it: the mean logarithm of the probability that it gives to a generator is
    largest for the one that true showers resemble most. K equal generators get −ln K each.

    Args:
        rows: Inputs of all generated showers, generator after generator.
        sizes: Showers of each.
        reference: Inputs of true showers.
        training: How; as the challenge if absent.

    Returns:
        A mean logarithm for each generator. Every seed sees the same true showers, so that more seeds reduce the part
        of the error that comes from the networks, and not the one that comes from the number of showers.

    Raises:
        ValueError: If there are fewer than two generators, or too few showers of one.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> near, far, true = torch.randn(3, 300, 1, generator=g)
        >>> both = Table(torch.cat([near, far + 3]))
        >>> a, b = log_posterior(both, [300, 300], Table(true), Training(hidden=8, epochs=10, batch=50, rate=1e-2))
        >>> a.value > b.value
        True
    """
    training = training or Training()
    if len(sizes) < 2 or min(*sizes, len(reference)) < training.fewest:
        raise ValueError(
            f"multiclass: needs two generators or more of {training.fewest:,} showers each, and as many true ones; got "
            f"{', '.join(f'{n:,}' for n in sizes)} and {len(reference):,}"
        )
    label = torch.cat([torch.full((n,), float(i)) for i, n in enumerate(sizes)])
    found: list[list[Estimate]] = [[] for _ in sizes]
    for seed in range(training.seed, training.seed + training.seeds):
        generator = torch.Generator().manual_seed(seed)
        parts = _split(tuple(sizes), training.fractions, generator)
        network = plain(rows.take(parts[0][:1]).shape[1], training.hidden, len(sizes), generator)
        net = _scaled(network, rows, parts[0], training)
        _trained(net, rows, label, parts, training, generator)
        logs = functional.log_softmax(_answers(net, reference, torch.arange(len(reference)), training), 1).double()
        for i, column in enumerate(logs.unbind(1)):
            error = float(column.std()) / math.sqrt(len(column))
            found[i].append(Estimate.symmetric(float(column.mean()), error))
    return [_of_same_showers(estimates) for estimates in found]


@dataclass(frozen=True, eq=False)
class Table:
    """Inputs that are there already.

    Args:
        x: (N, F) of them.
    """

    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> Tensor:
        """See `Rows.take`."""
        return self.x[index].float()


def _split(sizes: Sequence[int], fractions: Sequence[float], generator: torch.Generator) -> list[Tensor]:
    """Three parts, each of which holds the same share of every sample."""
    parts: list[list[Tensor]] = [[], [], []]
    first = 0
    for n in sizes:
        order = torch.randperm(n, generator=generator) + first
        ends = [0, round(n * fractions[0]), round(n * (fractions[0] + fractions[1])), n]
        for part, a, b in zip(parts, ends[:-1], ends[1:], strict=True):
            part.append(order[a:b])
        first += n
    return [torch.cat(part) for part in parts]


def _trained(net: nn.Module, rows: Rows, label: Tensor, parts: Sequence[Tensor], training: Training,
             generator: torch.Generator) -> tuple[Array, Array, float]:  # fmt: skip
    """Train in place, keep the epoch of the best accuracy; logits of the second and the third part, and when it was."""
    train, check, judged = parts
    place, passes = training.place, training.passes(len(train))
    net.to(place)
    weight = _weights(label)
    optimizer = torch.optim.Adam(net.parameters(), lr=training.rate)
    best, when, kept = -1.0, 0, copy.deepcopy(net.state_dict())
    for epoch in range(passes):
        net.train()
        for index in torch.split(train[torch.randperm(len(train), generator=generator)], training.batch):
            if len(index) < 2:
                continue  # one shower has no variance to normalise by
            loss = _loss(net(rows.take(index).to(place)), label[index].to(place), weight[index].to(place))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        right = _right(_answers(net, rows, check, training), label[check], weight[check])
        if right > best:
            best, when, kept = right, epoch + 1, copy.deepcopy(net.state_dict())
    net.load_state_dict(kept)
    a, b = (_answers(net, rows, part, training)[:, 0].double().numpy() for part in (check, judged))
    return a, b, when / passes


def _scaled(net: nn.Module, rows: Rows, train: Tensor, training: Training) -> nn.Module:
    return nn.Sequential(_Scaled(rows, train, 4 * training.batch), net) if training.scaled else net


class _Scaled(nn.Module):
    """Inputs less their means, over their deviations; what never varies stays 0."""

    def __init__(self, rows: Rows, train: Tensor, most: int) -> None:
        super().__init__()
        sums = torch.stack([_moments(rows.take(part).double()) for part in torch.split(train, most)]).sum(0)
        mean, square = sums / len(train)
        deviation = (square - mean**2).clamp(min=0).sqrt()
        varies = deviation > 1e-6 * mean.abs()
        self.mean: Tensor
        self.factor: Tensor
        self.register_buffer("mean", mean.float())
        self.register_buffer("factor", torch.where(varies, 1 / deviation, 0.0).float())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (x - self.mean) * self.factor
        return out


def _moments(x: Tensor) -> Tensor:
    return torch.stack([x.sum(0), (x * x).sum(0)])


def _weights(label: Tensor) -> Tensor:
    """(N,) weights by which all samples count equally, 1 on average."""
    counts = torch.bincount(label.long())
    return (len(label) / len(counts) / counts)[label.long()]


def _loss(answer: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    if answer.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(answer[:, 0], label, weight=weight)
    return (functional.cross_entropy(answer, label.long(), reduction="none") * weight).mean()


def _right(answer: Tensor, label: Tensor, weight: Tensor) -> float:
    chosen = (answer[:, 0] > 0).float() if answer.shape[1] == 1 else answer.argmax(1).float()
    return float(((chosen == label) * weight.double()).mean())


def _answers(net: nn.Module, rows: Rows, index: Tensor, training: Training) -> Tensor:
    net.eval()
    with torch.no_grad():
        parts = torch.split(index, 4 * training.batch)
        return torch.cat([net(rows.take(part).to(training.place)).cpu() for part in parts])


def _divergence(p: Array, label: Array) -> Estimate:
    """1 − BCE / ln 2 with the standard error of the mean."""
    q = np.clip(np.where(label > 0, p, 1 - p), _SURE, 1 - _SURE)
    gain = 1 + np.log(q) / math.log(2)
    sides = [gain[label == side] for side in (0, 1)]
    error = math.sqrt(sum(float(s.var(ddof=1)) / len(s) for s in sides)) / 2
    return Estimate.symmetric(float(np.mean([s.mean() for s in sides])), error)


def _mean(found: Sequence[Estimate], different: float) -> Estimate:
    """Mean over seeds, each of which judged its own random part of the showers, one in so many.

    Two parts share as large a part of each other, so that the errors of their means are correlated by that.
    """
    values, shared = np.array([e.value for e in found]), 1 / different
    square = float(np.mean([e.error**2 for e in found])) * (1 + (len(values) - 1) * shared) / len(values)
    if len(values) > 1:
        square = max(square, float(values.var(ddof=1)) / len(values))
    return Estimate.symmetric(float(values.mean()), math.sqrt(square))


def _of_same_showers(found: Sequence[Estimate]) -> Estimate:
    """Mean over seeds that all judged the same showers."""
    values = np.array([e.value for e in found])
    square = float(np.mean([e.error**2 for e in found]))
    if len(values) > 1:
        square += float(values.var(ddof=1)) / len(values)
    return Estimate.symmetric(float(values.mean()), math.sqrt(square))
