"""Training state on disk: enough to go on after a kill as if nothing had happened.

A state is one folder of `.safetensors` and JSON, written under a temporary name, synced and renamed. No pickle.
Sharded tensors are gathered, so the state fits any number of processes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from lpm.records.files import atomic_directory
from lpm.train.optim import Average

__all__ = ["Parts", "load_state", "load_tensors", "save_state"]


@dataclass(frozen=True)
class Parts:
    """All that changes while training.

    Args:
        model: Its weights and buffers.
        optimiser: Its moments and groups.
        average: Averaged weights, or None.
        best: Weights of the best validation so far, or None.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    average: Average | None
    best: list[Tensor] | None

    @property
    def lists(self) -> dict[str, list[Tensor]]:
        """Lists of tensors beside weights and optimiser, by file name."""
        return {"average": self.average.mean if self.average else [], "best": self.best or []}


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a `.safetensors` file.

    Raises:
        ValueError: If the file is missing, truncated, or something else, such as a pickle under this name.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; expected the weights of a checkpoint") from None
    except SafetensorError as error:
        raise ValueError(
            f"{path}: not a safetensors file ({error}); pickles are never loaded, restore the original"
        ) from error


def save_state(folder: Path, parts: Parts, state: dict[str, Any], *, write: bool = True) -> None:
    """Write all parts and `state` (JSON) to `folder`, replacing what was there.

    Args:
        folder: The state's own folder.
        parts: What to save.
        state: The loop's own numbers.
        write: False in all processes but one; they still take part in gathering.
    """
    whole: tuple[dict[str, Any], Any] = get_state_dict(parts.model, parts.optimiser, options=_WHOLE)
    weights, optimiser = whole
    lists = {n: {str(i): _whole(t) for i, t in enumerate(x)} for n, x in parts.lists.items()}
    if not write:
        return
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    moments = {f"{name}/{key}": _tensor(v) for name, entry in optimiser["state"].items() for key, v in entry.items()}
    with atomic_directory(folder) as temporary:
        save_file({n: t.contiguous() for n, t in weights.items()}, temporary / "weights.safetensors")
        save_file(moments, temporary / "optimiser.safetensors")
        for name, tensors in {**lists, "random": random}.items():
            save_file(tensors, temporary / f"{name}.safetensors")
        rest = {"average_steps": parts.average.steps if parts.average else 0, "groups": optimiser["param_groups"]}
        (temporary / "state.json").write_text(json.dumps({**state, **rest}))


def load_state(folder: Path, parts: Parts) -> dict[str, Any]:
    """Restore what `save_state` wrote, in place, and return its `state`.

    Raises:
        ValueError: If the folder is incomplete or belongs to another model.
    """
    path = folder / "state.json"
    if not path.is_file():
        raise ValueError(f"{folder}: no training state to resume from; start without --resume")
    state: dict[str, Any] = json.loads(path.read_text())
    moments: dict[str, dict[str, Tensor]] = {}
    for name, tensor in load_tensors(folder / "optimiser.safetensors").items():
        parameter, key = name.rsplit("/", 1)
        moments.setdefault(parameter, {})[key] = tensor
    weights: dict[str, Any] = dict(load_tensors(folder / "weights.safetensors"))
    optimiser: dict[str, Any] = {"state": moments, "param_groups": state["groups"]}
    try:
        set_model_state_dict(parts.model, weights, options=_WHOLE)
        # A weight that has taken part in no step yet, such as that of an unused view, has no moments.
        set_optimizer_state_dict(parts.model, parts.optimiser, optimiser, options=_SOME)
    except (RuntimeError, KeyError) as error:
        raise ValueError(
            f"{folder}: the state belongs to another model: {str(error).splitlines()[-1].strip()}"
        ) from error
    for name, tensors in parts.lists.items():
        _fill(tensors, load_tensors(folder / f"{name}.safetensors"))
    if parts.average:
        parts.average.steps = state["average_steps"]
    random = load_tensors(folder / "random.safetensors")
    torch.set_rng_state(random["cpu"])
    if "cuda" in random and torch.cuda.is_available():
        torch.cuda.set_rng_state(random["cuda"])
    return state


_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
_SOME = StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)


def _tensor(value: Any) -> Tensor:
    return value.contiguous() if isinstance(value, Tensor) else torch.tensor(value)


def _whole(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().cpu().contiguous()


@torch.no_grad()
def _fill(tensors: Iterable[Tensor], stored: dict[str, Tensor]) -> None:
    for i, tensor in enumerate(tensors):
        value = stored[str(i)]
        if isinstance(tensor, DTensor):
            value = distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)
        tensor.copy_(value)
