"""Classifier two-sample test: can a trained network tell generated events from true ones?

A small network is trained on the standardised observables to tell the samples apart, and judged by the AUC on events it
has not seen (Lopez-Paz and Oquab, arXiv 1610.06545). 0.5 means it cannot; 1 means it always can. k-fold
cross-validation lets every event be judged once by a network that was not trained on it.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from lpm.metrics.estimate import Array, Estimate
from lpm.metrics.roc import roc_auc
from lpm.metrics.wasserstein import table

__all__ = ["classifier_auc"]

_WIDTH = 64
_BATCH = 512


def classifier_auc(
    generated: ArrayLike, truth: ArrayLike, *, folds: int = 5, epochs: int = 20, seed: int = 0, samples: int = 100
) -> Estimate:
    """AUC of a network trained to tell generated from true events, mean over folds.

    A network of two hidden layers of 64 (SiLU, AdamW, one cycle of the learning rate up to 0.005) is trained for each
    fold; a fifth of its training events picks the best epoch. The error is the larger of the bootstrap of the judged
    events and the spread over folds divided by the root of their number, since the spread holds the luck of training.

    Args:
        generated: (N, F) observables.
        truth: (M, F) the same observables.
        folds: Number of folds, at least 2.
        epochs: Passes over the training events.
        seed: Seed of folds, weights and order: the same seed gives the same number on the same machine.
        samples: Bootstrap samples.

    Raises:
        ValueError: If shapes disagree, a value is not finite, or there are fewer than 10 events a fold.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(200, 2)) + 5, rng.normal(size=(200, 2))
        >>> classifier_auc(x, y, folds=2, epochs=10).value > 0.99
        True
    """
    a, b = table(generated, truth)
    if folds < 2 or min(len(a), len(b)) < 10 * folds:
        raise ValueError(f"expected at least 2 folds of 10 events a sample, got {folds} folds of {len(a)} and {len(b)}")
    x = np.concatenate([a, b])
    y = np.concatenate([np.ones(len(a)), np.zeros(len(b))])
    rng = np.random.default_rng(seed)
    # Each sample is dealt out on its own, so that all folds hold the same mixture.
    fold = np.concatenate([rng.permutation(len(s)) % folds for s in (a, b)])
    found = []
    for i in range(folds):
        held = fold == i
        score = _fit_and_score(x[~held], y[~held], x[held], epochs, seed * folds + i)
        found.append(roc_auc(score, y[held], seed=seed, samples=samples))
    values = np.array([e.value for e in found])
    drawn = float(np.sqrt(sum(e.error**2 for e in found)) / folds)
    return Estimate.symmetric(float(values.mean()), max(drawn, float(values.std(ddof=1) / np.sqrt(folds))))


def _fit_and_score(x: Array, y: Array, held: Array, epochs: int, seed: int) -> NDArray[np.float64]:
    """Train on (N, F) x with labels y; return the scores of the held-out events by the best epoch."""
    generator = torch.Generator().manual_seed(seed)
    mean, scale = x.mean(0), x.std(0)
    scale[scale == 0] = 1
    inputs, unseen = (torch.from_numpy((s - mean) / scale).float() for s in (x, held))
    target = torch.from_numpy(y).float()
    order = torch.randperm(len(x), generator=generator)
    check, train = order[: len(x) // 5], order[len(x) // 5 :]
    net = _network(x.shape[1], generator)
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=1e-2)
    steps = epochs * -(-len(train) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
    best, scores = float("inf"), torch.zeros(len(held))
    for _ in range(epochs):
        net.train()
        for rows in torch.split(train[torch.randperm(len(train), generator=generator)], _BATCH):
            loss = nn.functional.binary_cross_entropy_with_logits(net(inputs[rows])[:, 0], target[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            now = nn.functional.binary_cross_entropy_with_logits(net(inputs[check])[:, 0], target[check]).item()
            if now < best:
                best, scores = now, net(unseen)[:, 0]
    return scores.double().numpy()


def _network(features: int, generator: torch.Generator) -> nn.Sequential:
    """Two hidden layers, with weights drawn from the given generator and from no global one."""
    widths = (features, _WIDTH, _WIDTH, 1)
    layers: list[nn.Module] = []
    for i, o in itertools.pairwise(widths):
        # Without its own initialisation, which would draw from torch's global generator.
        linear = nn.utils.skip_init(nn.Linear, i, o)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for weight in linear.parameters():
                weight.uniform_(-(i**-0.5), i**-0.5, generator=generator)
        layers += [linear, nn.SiLU()]
    return nn.Sequential(*layers[:-1])
