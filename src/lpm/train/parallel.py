"""One process or many: rank and device from the environment that `torchrun` sets, and the model wrapped accordingly."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["Parallel", "World", "gather", "mean_over_ranks", "world", "wrap"]

Parallel = Literal["none", "ddp", "fsdp"]

_LAST_WORDS = 0.1
"""Seconds that threads of gloo get to finish."""


@dataclass(frozen=True)
class World:
    """This process among all.

    Args:
        rank: Number of this process, from 0.
        size: Number of processes.
        device: Where it computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """True in the process that writes records and checkpoints."""
        return self.rank == 0


@contextmanager
def world(device: str = "auto") -> Iterator[World]:
    """Join the process group if `torchrun` started this process, and leave it at the end.

    Args:
        device: `cpu`, `cuda`, or `auto` for CUDA where there is one.

    Raises:
        ValueError: If CUDA is asked for and there is none, the device has no known name, or it is one GPU for several
            processes.
        ConnectionError: If another process went away.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"device {device!r}: expected cpu, cuda or auto")
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    if size > 1 and ":" in device:
        raise ValueError(
            f"device {device}: all {size} ranks would share it; use --device cuda, each rank takes its own"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("device cuda: no CUDA device was found; use --device cpu")
    place = torch.device("cuda", local) if device == "cuda" else torch.device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if size == 1:
        yield World(0, 1, place)
        return
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size, place)
    except Exception as error:
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        lost = isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
        told = ConnectionError("another rank went away, see what that one says") if lost else error
        get_error_handler().record_exception(told)  # for the one line of `lpm.train.launch.ranks`
        if lost:
            raise told from error
        raise
    finally:
        if place.type == "cpu":
            # Threads of gloo free the tensors of the last exchange with Python's lock in hand. Those that ask for it
            # when the interpreter has begun to end abort the process, and a training that is done counts as failed.
            time.sleep(_LAST_WORDS)
        dist.destroy_process_group()


def wrap(model: nn.Module, kind: Parallel, place: World) -> nn.Module:
    """The model as the loop calls it: itself alone, `DistributedDataParallel`, or sharded in place by FSDP2."""
    if place.size == 1 or kind == "none":
        return model
    if kind == "ddp":
        ids = [place.device.index] if place.device.type == "cuda" else None
        # A head or a condition may take no part in some step; the gradients of others must not wait for it.
        return nn.parallel.DistributedDataParallel(model, device_ids=ids, find_unused_parameters=True)
    from torch.distributed.fsdp import fully_shard

    for block in _blocks(model):
        fully_shard(block)
    fully_shard(model)
    return model


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The parts that are gathered one after another: members of lists, of the outermost where lists are nested."""
    for child in module.children():
        if not isinstance(module, nn.ModuleList) or isinstance(child, nn.ModuleList):
            yield from _blocks(child)
        elif any(p.numel() for p in child.parameters()):
            yield child


def mean_over_ranks(x: Tensor, place: World) -> Tensor:
    """Mean of a tensor over all processes; itself if there is one."""
    if place.size == 1:
        return x
    x = x.clone()
    dist.all_reduce(x)
    return x / place.size


def gather(value: Any, place: World) -> list[Any]:
    """The value of every process, in the order of ranks.

    Example:
        >>> gather({"epoch": 1}, World(0, 1, torch.device("cpu")))
        [{'epoch': 1}]
    """
    if place.size == 1:
        return [value]
    values: list[Any] = [None] * place.size
    dist.all_gather_object(values, value)
    return values
