"""A complete, typed, serialisable run. Recipes are functions that return one; variants call them and replace fields."""

from __future__ import annotations

from dataclasses import dataclass

from lpm.model.model import ModelConfig
from lpm.tasks.weights import FlattenConfig
from lpm.train.config import TrainConfig

__all__ = ["DataConfig", "RunConfig", "StartConfig"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which events, in what portions.

    Args:
        train: Files, folders or patterns; `sample:jets` is the sample that comes with lpm.
        valid: The same for validation. If empty, a share of the training events is held out, and all stay in memory.
        budget: Most tokens in a batch.
        most: Most events in a batch; 0 for no limit besides the budget.
        longest: Rows of a collection kept of each event.
        limit: Use only so many training events, chosen by the seed; 0 for all. Needs data in memory.
        held: Share held out if `valid` is empty.
        flatten: Weights to make for the events, after a pass over those of the training; None for none.

    Raises:
        ValueError: If a number makes no sense.
    """

    train: tuple[str, ...]
    valid: tuple[str, ...] = ()
    budget: int = 8192
    most: int = 0
    longest: int = 128
    limit: int = 0
    held: float = 0.1
    flatten: FlattenConfig | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.held < 1:
            raise ValueError(f"expected a share held out of 0 or more and below 1, got data.held={self.held}")


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """Where weights come from when they do not start at random.

    Args:
        run: Folder of a run, or name of a shipped model.
        parts: Prefixes of the names of weights to load, strictly.
        frozen: Prefixes of the names of weights that stay as they are.
        rank: Rank of low-rank additions to a frozen backbone; 0 for none.
    """

    run: str
    parts: tuple[str, ...] = ("tokenizers", "embeds", "prefix", "backbone")
    frozen: tuple[str, ...] = ()
    rank: int = 0


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides a run.

    Args:
        name: Name of the recipe.
        data: Events.
        model: Tokenizers, backbone, heads.
        train: Optimisation.
        start: Weights to begin with, or None for random ones.
        seed: Of weights, order, views and dropout.
        text: What the run is for, one sentence; goes into the model's card.
    """

    name: str
    data: DataConfig
    model: ModelConfig
    train: TrainConfig
    start: StartConfig | None = None
    seed: int = 0
    text: str = ""
