"""Ways to identify tracks when detectors are missing, behind one interface; used by `pid.py`.

Each is a function of (training tracks, validation tracks, species, seed, size) that returns a function from tracks to
(N, C) scores. The set model sees tokens of the detectors that are there. The others need a table with a column for
every signal: they fill what is missing with the mean, or with what a regression on the rest expects, or train a network
for each pattern of detectors, or are trees that know of missing numbers. Cuts on deviations need no table.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lpm.data.batch import Batch
from lpm.recipes import pid
from lpm.recipes.execute import execute
from lpm.tasks.nsigma import calibrate
from lpm.tasks.pid import patterns, truth_of
from lpm.tokens import Continuous
from lpm.train.optim import learning_rate

Array = NDArray[np.float64]
Scores = Callable[[Batch], Array]

FEWEST = 400
"""Tracks of a pattern that a network of its own needs."""


@dataclass(frozen=True)
class Size:
    """How large the methods are and how long they learn.

    Args:
        dial: Of the set model.
        steps: Of the set model, of 512 tracks each.
        lr: Of the set model.
        width: Of the three hidden layers of a network on a table.
        rounds: Steps of such a network, of 1,024 tracks each.
        rate: Its peak learning rate.
        trees: Boosting rounds.
    """

    dial: int = 2
    steps: int = 1000
    lr: float = 1.5e-2
    width: int = 192
    rounds: int = 2500
    rate: float = 2e-3
    trees: int = 400


def scored(score: Scores, batch: Batch, size: int = 4096) -> Array:
    """Scores of many tracks, in portions."""
    return np.concatenate([score(batch[i : i + size]) for i in range(0, len(batch), size)])


# The set model


def set_model(train: Batch, valid: Batch, species: tuple[str, ...], seed: int, size: Size) -> Scores:
    """Ours: `pid.set`."""
    detectors = tuple(n for n in pid.DETECTORS if n in train.schema.names)
    run = pid.multi(size.dial, species=species, detectors=detectors, charge="track.charge" in train.schema)
    config = replace(run.train, steps=size.steps, lr=size.lr, valid_every=0, save_every=0)
    data = replace(run.data, held=0.001)
    with tempfile.TemporaryDirectory() as folder:
        model = execute(replace(run, train=config, data=data, seed=seed), Path(folder), batch=train, device="cpu")
    return lambda batch: model.predict(batch, ("species",))["species"].double().numpy()


# Networks and trees on a table


class Columns:
    """Tracks as a table: all signals beside each other, standardised as for the set model, NaN where missing."""

    def __init__(self, train: Batch) -> None:
        detectors = tuple(n for n in pid.DETECTORS if n in train.schema.names)
        made = pid.signals(detectors, "track.charge" in train.schema)
        self.tokenizers: dict[str, Continuous] = {n: t.build().fit([train]) for n, t in made.items()}

    def __call__(self, batch: Batch) -> Tensor:
        """(N, F) numbers."""
        parts = []
        for name, tokenizer in self.tokenizers.items():
            rows = batch.collections[name]
            table = torch.full((len(batch), tokenizer.width), torch.nan)
            features = tokenizer.encode(batch).features
            assert features is not None
            table[rows.event] = features
            parts.append(table)
        return torch.cat(parts, 1)


def network(x: Tensor, y: Tensor, classes: int, seed: int, size: Size, steps: int) -> nn.Module:
    """A network of three hidden layers on a whole table."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for i in range(3):
        layers += [nn.Linear(size.width if i else x.shape[1], size.width), nn.GELU()]
    model = nn.Sequential(*layers, nn.Linear(size.width, classes))
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998))
    optimiser = torch.optim.AdamW(model.parameters(), size.rate, betas=(0.9, 0.98), weight_decay=0.05)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, peak=size.rate, warmup=min(100, steps // 10), steps=steps, floor=0.01)
        pick = torch.randint(0, len(x), (min(1024, len(x)),), generator=generator)
        loss = nn.functional.cross_entropy(model(x[pick]), y[pick])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        average.update_parameters(model)
    return average.module.eval()


@torch.no_grad()
def probabilities(model: nn.Module, x: Tensor) -> Array:
    """(N, C) of a network."""
    return np.asarray(model(x).softmax(1).double().numpy())


def filled(imputed: Callable[[Tensor], Callable[[Tensor], Tensor]]) -> Callable[..., Scores]:
    """A method: a network on a table whose gaps are filled by what `imputed` learns from the training table."""

    def method(train: Batch, valid: Batch, species: tuple[str, ...], seed: int, size: Size) -> Scores:
        columns = Columns(train)
        table = columns(train)
        fill = imputed(table)
        model = network(fill(table), truth_of(train, species), len(species), seed, size, size.rounds)
        return lambda batch: probabilities(model, fill(columns(batch)))

    return method


def by_mean(table: Tensor) -> Callable[[Tensor], Tensor]:
    """The mean, which is zero in a standardised table."""
    return lambda x: x.nan_to_num(0.0)


def by_mean_and_mask(table: Tensor) -> Callable[[Tensor], Tensor]:
    """The mean, and beside it which numbers were missing."""
    gaps = table.isnan().any(0)
    return lambda x: torch.cat([x.nan_to_num(0.0), x.isnan()[:, gaps].float()], 1)


def by_regression(table: Tensor) -> Callable[[Tensor], Tensor]:
    """Linear regression of every gap on all other columns, in turn until it settles."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    imputer = IterativeImputer(max_iter=4, random_state=0, keep_empty_features=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that four rounds need not be enough is known
        imputer.fit(table[:20_000].double().numpy())
    return lambda x: torch.from_numpy(imputer.transform(x.double().numpy())).float()


def ensemble(train: Batch, valid: Batch, species: tuple[str, ...], seed: int, size: Size) -> Scores:
    """A network for every pattern of detectors, trained on all tracks that were seen by at least these."""
    columns, labels, have = Columns(train), truth_of(train, species), patterns(train)
    table = columns(train)
    known = {}
    for pattern in have.unique().tolist():
        rows = (have & pattern) == pattern
        if int(rows.sum()) >= FEWEST:
            used = ~table[have == pattern].isnan().all(0)
            known[pattern] = (used, network(table[rows][:, used], labels[rows], len(species), seed, size,
                                            size.rounds // 2))  # fmt: skip

    def score(batch: Batch) -> Array:
        x, at = columns(batch), patterns(batch)
        out = np.full((len(batch), len(species)), 1 / len(species))
        for pattern in at.unique().tolist():
            # A pattern never met in training goes to the network that uses most of its detectors.
            fits = [p for p in known if p & pattern == p]
            if fits:
                used, model = known[max(fits, key=lambda p: p.bit_count())]
                rows = at == pattern
                out[rows.numpy()] = probabilities(model, x[rows][:, used])
        return out

    return score


def trees(train: Batch, valid: Batch, species: tuple[str, ...], seed: int, size: Size) -> Scores:
    """Gradient-boosted trees, which sort missing numbers to the better side of each cut."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    columns = Columns(train)
    model = HistGradientBoostingClassifier(
        max_iter=size.trees, learning_rate=0.08, max_leaf_nodes=31, l2_regularization=1.0, min_samples_leaf=30,
        early_stopping=True, validation_fraction=0.1, n_iter_no_change=20, random_state=seed,
    )  # fmt: skip
    model.fit(columns(train).numpy(), truth_of(train, species).numpy())
    return lambda batch: np.asarray(model.predict_proba(columns(batch).numpy()))


# Without learning


def cuts(train: Batch, valid: Batch, species: tuple[str, ...], seed: int, size: Size) -> Scores:
    """Closeness to what each species should give, in deviations."""
    response = calibrate(train, species)
    return lambda batch: -response.distance(batch)


def bayes(train: Batch, valid: Batch, species: tuple[str, ...], seed: int, size: Size) -> Scores:
    """The same as probabilities, with the abundances as prior."""
    response = calibrate(train, species)
    return response.probability


METHODS: dict[str, Callable[..., Scores]] = {
    "set model (ours)": set_model,
    "boosted trees": trees,
    "mean and mask": filled(by_mean_and_mask),
    "mean imputation": filled(by_mean),
    "regression imputation": filled(by_regression),
    "ensemble by pattern": ensemble,
    "nσ with priors": bayes,
    "nσ cut": cuts,
}
"""All methods, ours first."""
