"""How to train: every number of `lpm.train.loop` in one frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lpm.train.parallel import Parallel

__all__ = ["TrainConfig"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train.

    Args:
        steps: Optimiser steps.
        lr: Peak learning rate.
        warmup: Steps of linear warm-up.
        floor: Final learning rate as a share of the peak.
        weight_decay: Of matrices.
        betas: Of AdamW.
        optimiser: `adamw`, or `muon` for the matrices of linear layers and AdamW for the rest (`lpm.train.muon`).
        clip: Largest norm of the gradient; 0 turns clipping off.
        accumulate: Batches whose gradients make one step.
        ema: Decay of the averaged weights, which become the result; 0 turns averaging off.
        layer_decay: Factor by which each lower block learns slower.
        weights: {head: weight of its loss}; 1 where not named.
        precision: `fp32`, `bf16` (autocast), or `auto`: bf16 on CUDA.
        compile: Compile the model.
        parallel: What to do when started on several ranks.
        log_every: Steps between records.
        valid_every: Steps between validations; 0 for none.
        save_every: Steps between checkpoints; 0 for none but the last.
        patience: Validations without improvement after which training stops; 0 for never. The best weights are kept.
    """

    steps: int
    lr: float = 1e-3
    warmup: int = 100
    floor: float = 0.01
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    optimiser: Literal["adamw", "muon"] = "adamw"
    clip: float = 1.0
    accumulate: int = 1
    ema: float = 0.0
    layer_decay: float = 1.0
    weights: dict[str, float] | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    parallel: Parallel = "ddp"
    log_every: int = 10
    valid_every: int = 0
    save_every: int = 0
    patience: int = 0

    def __post_init__(self) -> None:
        if self.steps <= 0 or not self.lr > 0 or self.accumulate <= 0 or not 0 <= self.ema < 1:
            raise ValueError(f"expected steps, lr, accumulate > 0 and 0 ≤ ema < 1, got {self}")
        if self.log_every <= 0 or min(self.warmup, self.valid_every, self.save_every, self.patience) < 0:
            raise ValueError(f"expected log_every > 0 and warmup, valid_every, save_every, patience ≥ 0, got {self}")
