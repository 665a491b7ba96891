"""The one training loop: fits anything whose forward pass gives {name: (B,) losses}.

It names no head, no field and no data set. A killed run that is resumed gives, on the CPU, bit for bit the weights of
an uninterrupted one: weights, optimiser, average, random state and the place in the data are restored together.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from lpm.train.checkpoint import Parts, has_state, load_state, save_state
from lpm.train.config import TrainConfig
from lpm.train.interrupt import interruptible
from lpm.train.memory import Portions, RestartError, TooLargeError, ran_out
from lpm.train.muon import Muon
from lpm.train.optim import Average, learning_rate, parameter_groups
from lpm.train.pace import Pace, size
from lpm.train.parallel import World, mean_over_ranks, wrap
from lpm.train.validate import validate
from lpm.train.watch import Watch

__all__ = ["Fit", "Items", "Record", "fit"]

Result = TypeVar("Result")

_AGREE = 10
"""Steps after which several processes ask each other at the latest whether one was told to stop."""


class Items(Protocol):
    """Batches with a memory of how far they were read."""

    def __iter__(self) -> Iterator[Any]: ...
    def state(self) -> dict[str, Any]:
        """JSON-ready place after the last batch that was handed out."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from such a place."""
        ...

    def redeal(self, states: list[dict[str, Any]]) -> None:
        """Go on from the places of another number of processes, in the order of their ranks."""
        ...

    def names(self, state: dict[str, Any], rows: list[int]) -> list[str]:
        """What the events at `rows` are called, of the batch after which the place was `state`."""
        ...


class Record(Protocol):
    """Where events of the training go: the run record, a progress bar, or both."""

    def __call__(self, event: str, **content: Any) -> None:
        """Take note of one event."""
        ...


@dataclass
class Fit:
    """What a training came to.

    Args:
        step: Steps done.
        losses: Last training losses.
        best: Lowest validation loss, or NaN if there was no validation.
        stopped: True if patience ended it early.
    """

    step: int
    losses: dict[str, float]
    best: float = math.nan
    stopped: bool = False


def fit(
    model: nn.Module,
    items: Items,
    config: TrainConfig,
    *,
    record: Record,
    valid: Callable[[], Iterable[Any]] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    place: World | None = None,
) -> Fit:
    """Train `model` in place; at the end it holds the averaged (and, with patience, the best) weights.

    Args:
        model: Its call on a batch returns {name: (B,)}; a batch has a length, slices and `to(device)`.
        items: Training batches; must not run out.
        config: How to train.
        record: Receives `step`, `valid` and `end` events.
        valid: Returns the validation batches, the same each time.
        folder: Where checkpoints go; None for none.
        resume: Go on from the checkpoint in `folder`.
        place: This process among all; None for a single one on the CPU.

    Raises:
        ValueError: If the loss is no longer finite, a single event is too large for the memory, or there is nothing to
            resume from.
        RestartError: If one of several processes ran out of memory; another start that resumes takes less at a time.
        KeyboardInterrupt: On Ctrl-C or SIGTERM, once the step in hand is done and the state is saved.
    """
    return _Loop(model, items, config, record, valid, folder, place or World(0, 1, torch.device("cpu"))).run(resume)


class _Loop:
    """State of one training; `run` is its only door."""

    def __init__(
        self,
        model: nn.Module,
        items: Items,
        config: TrainConfig,
        record: Record,
        valid: Callable[[], Iterable[Any]] | None,
        folder: Path | None,
        place: World,
    ) -> None:
        self.items, self.config, self.record, self.valid, self.folder, self.place = (
            items,
            config,
            record,
            valid,
            folder,
            place,
        )
        # What is to be sharded comes to the device block by block, so that the whole of it need not fit there.
        sharded = config.parallel == "fsdp" and place.size > 1
        self.model = model if sharded else model.to(place.device)
        if config.compile:
            self.model.compile(dynamic=True)
        self.wrapped: Any = wrap(self.model, config.parallel, place)
        groups = parameter_groups(
            self.model, lr=config.lr, weight_decay=config.weight_decay, layer_decay=config.layer_decay
        )
        fused = place.device.type == "cuda"
        kind = Muon if config.optimiser == "muon" else torch.optim.AdamW
        self.optimiser: torch.optim.Optimizer = kind(groups, lr=config.lr, betas=config.betas, fused=fused)
        self.parameters = [p for g in groups for p in g["params"]]
        saved = self.model.state_dict().keys()
        self.changing = [*self.parameters, *(b for n, b in self.model.named_buffers() if n in saved)]
        self.average = Average(self.parameters, config.ema) if config.ema else None
        self.best: list[Tensor] | None = None
        self.fit = Fit(0, {})
        self.misses = 0
        self.watch, self.portions = Watch(items.names, place, self._kept), Portions(folder, place)
        half = config.precision == "bf16" or (config.precision == "auto" and place.device.type == "cuda")
        self.cast = torch.autocast(place.device.type, torch.bfloat16) if half else nullcontext()

    def run(self, resume: bool) -> Fit:
        if resume:
            self._restore()
        with interruptible() as interrupted:
            self._steps(interrupted)
        self._finish()
        return self.fit

    def _steps(self, interrupted: Callable[[], bool]) -> None:
        self._learn()
        self.pace = Pace(self.model, self.place)
        batches, mark = iter(self.items), self.fit.step
        while self.fit.step < self.config.steps and not self.fit.stopped:
            losses, step = self._step(batches), self.fit.step
            if step % self.config.log_every == 0 or step == self.config.steps:
                self._log(losses, step - mark)
                mark = step
            if self.valid and self.config.valid_every and step % self.config.valid_every == 0:
                with self.pace.aside():
                    self._validate()
            if self.folder and self.config.save_every and step % self.config.save_every == 0:
                self._save()
            if self._leaves(interrupted):
                if self.folder:
                    self._save()
                raise KeyboardInterrupt

    def _learn(self) -> None:
        """Training mode, but for what is frozen: its running means would move, and its dropout disturb."""
        self.wrapped.train()
        for module in self.model.modules():
            weights = list(module.parameters())
            if weights and not any(p.requires_grad for p in weights):
                module.eval()

    def _leaves(self, interrupted: Callable[[], bool]) -> bool:
        """Whether to stop here. Several processes agree on it every few steps, else some would wait for ever."""
        if self.place.size == 1:
            return interrupted()
        if self.fit.step % min(self.config.log_every, _AGREE):
            return False
        return bool(mean_over_ranks(torch.tensor(float(interrupted()), device=self.place.device), self.place) > 0)

    def _step(self, batches: Iterator[Any]) -> dict[str, Tensor]:
        c = self.config
        rate = learning_rate(self.fit.step, peak=1.0, steps=c.steps, warmup=c.warmup, floor=c.floor)
        for group in self.optimiser.param_groups:
            group["lr"] = c.lr * group["scale"] * rate
        taken = []
        for _ in range(c.accumulate):
            batch = self.pace.next(batches)
            taken.append((batch, self.items.state()))
        losses = self._gradients([batch for batch, _ in taken])
        for (_, state), found in zip(taken, losses, strict=True):
            self.watch.add(self.fit.step + 1, state, found)
        if c.clip:
            nn.utils.clip_grad_norm_(self.parameters, c.clip)
        self._move()
        self.fit.step += 1
        return losses[-1]

    def _move(self) -> None:
        """Change the weights by their gradients."""
        try:
            self.optimiser.step()
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            raise ValueError(
                f"out of memory at step {self.fit.step + 1} in the optimiser, whose moments need as much again as the "
                f"weights or twice that; choose a smaller model or, on several GPUs, train.parallel=fsdp{self._kept()}"
            ) from None
        self.optimiser.zero_grad(set_to_none=True)
        if self.average:
            self.average.update()

    def _kept(self) -> str:
        """What a message about the end of a training says of its past."""
        if self.folder and has_state(self.folder / "training"):
            return "; the last checkpoint is kept"
        return "; nothing had been saved yet"

    def _gradients(self, batches: list[Any]) -> list[dict[str, Tensor]]:
        """Gradients of all batches of a step, and their (B,) losses; out of memory, once more in smaller portions."""
        n = len(batches)
        return self._fitting(lambda: [self._gradient(b, n, i == n - 1) for i, b in enumerate(batches)])

    def _fitting(self, work: Callable[[], Result]) -> Result:
        """What `work` gives; out of memory, once more in smaller portions."""
        while True:
            try:
                return work()
            except TooLargeError as error:
                failed = TooLargeError(error.events, error.tokens)  # without the frames that hold tensors
            self._shrink(failed)

    def _gradient(self, batch: Any, batches: int, last: bool) -> dict[str, Tensor]:
        parts: list[dict[str, Tensor]] = []
        portions = self.portions.of(batch, size(self.model, batch))
        for i, portion in enumerate(portions):
            try:
                with self._talks(last and i == len(portions) - 1):
                    with self.cast:
                        losses = self.wrapped(portion.to(self.place.device, non_blocking=True))
                        means = {n: x.mean() for n, x in losses.items()}
                    weights = self.config.weights or {}
                    total = torch.stack([weights.get(n, 1.0) * x for n, x in means.items()]).sum()
                    torch.autograd.backward(total * (len(portion) / len(batch)) / batches)
            except (RuntimeError, MemoryError) as error:
                if not ran_out(error):
                    raise
                raise TooLargeError(len(portion), size(self.model, portion)) from None
            parts.append({n: x.detach() for n, x in losses.items()})
        return {n: torch.cat([p[n] for p in parts]) for n in parts[0]} if len(parts) > 1 else parts[0]

    def _talks(self, last: bool) -> AbstractContextManager[None]:
        """Whole gradients are exchanged once a step, in the last portion of its last batch.

        Shards are passed on at once: to keep the gradients of all weights until then is what sharding is to avoid.
        """
        alone = last or not isinstance(self.wrapped, nn.parallel.DistributedDataParallel)
        return nullcontext() if alone else self.wrapped.no_sync()

    def _shrink(self, failed: TooLargeError) -> None:
        """Make room, and let the next try be in portions of half the size."""
        self.optimiser.zero_grad(set_to_none=True)
        gc.collect()  # what the failed try holds on to
        if self.place.device.type == "cuda":
            torch.cuda.empty_cache()
        step = self.fit.step + 1
        if failed.events == 1:
            raise ValueError(
                f"out of memory at step {step}: one event of {failed.tokens} tokens does not fit; choose a smaller "
                f"model or data.longest{self._kept()}"
            )
        self.portions.shrink(failed)
        if self.place.size > 1:  # the others wait for this gradient and cannot be told
            raise RestartError(
                f"rank {self.place.rank} is out of memory at step {step} with {failed.tokens} tokens; the next start "
                f"with --resume takes portions of {self.portions.largest}"
            )
        self._tell("out_of_memory", step=step, tokens=failed.tokens, largest=self.portions.largest)

    def _log(self, losses: Mapping[str, Tensor], steps: int) -> None:
        self.watch.look()
        values = {n: float(mean_over_ranks(x.mean(), self.place)) for n, x in losses.items()}
        self.fit.losses = values
        left = (self.config.steps - self.fit.step) * self.pace.seconds / max(1, steps)
        lr = max(g["lr"] for g in self.optimiser.param_groups)
        self._tell("step", step=self.fit.step, steps=self.config.steps, loss=values, lr=lr, eta_s=round(left, 1),
                   **self.pace.rates())  # fmt: skip

    @torch.no_grad()
    def _validate(self) -> None:
        assert self.valid is not None
        valid = self.valid
        self._swap()
        self.wrapped.eval()
        values = self._fitting(
            lambda: validate(self.model, valid(), portions=self.portions, cast=self.cast, place=self.place)
        )
        total = sum((self.config.weights or {}).get(n, 1.0) * v for n, v in values.items())
        self._tell("valid", step=self.fit.step, loss=values, total=total)
        if math.isfinite(total) and not total >= self.fit.best:
            self.fit.best, self.misses = total, 0
            if self.config.patience:
                self.best = [t.detach().clone() for t in self.changing]
        else:
            self.misses += 1
            self.fit.stopped = 0 < self.config.patience <= self.misses
        self._swap()
        self._learn()

    def _swap(self) -> None:
        if self.average:
            self.average.swap()

    @torch.no_grad()
    def _finish(self) -> None:
        """Save the state from which longer training could go on, then leave the result in the model."""
        if self.folder:
            self._save()
        if self.best is not None:
            for t, b in zip(self.changing, self.best, strict=True):
                t.copy_(b)
        elif self.average:
            self._swap()
        self.model.eval()

    def _save(self) -> None:
        assert self.folder is not None
        self.watch.look()
        finite = torch.stack([_local(p).isfinite().all() for p in self.parameters]).all()
        if float(mean_over_ranks(finite.float(), self.place)) < 1:
            raise ValueError(
                f"the weights are not finite after step {self.fit.step}; lower train.lr or look at the data with lpm "
                f"inspect{self._kept()}"
            )
        state = {"step": self.fit.step, "best": self.fit.best, "misses": self.misses, "losses": self.fit.losses}
        save_state(self.folder / "training", self._parts(), state, self.items.state(), self.place)

    def _restore(self) -> None:
        if self.folder is None:
            raise ValueError("cannot resume: training was given no folder")
        if self.config.patience:
            self.best = [t.detach().clone() for t in self.changing]
        state = load_state(self.folder / "training", self._parts(), self.place)
        if len(state["items"]) == self.place.size:
            self.items.restore(state["items"][self.place.rank])
        else:
            self.items.redeal(state["items"])
        self.fit.step, self.fit.best, self.misses = state["step"], state["best"], state["misses"]
        self.fit.losses = state.get("losses", {})
        self.fit.stopped = 0 < self.config.patience <= self.misses
        if math.isnan(self.fit.best):  # saved before the first validation
            self.best = None

    def _parts(self) -> Parts:
        return Parts(self.model, self.optimiser, self.average, self.best)

    def _tell(self, event: str, **content: Any) -> None:
        if self.place.first:
            self.record(event, **content)


def _local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
