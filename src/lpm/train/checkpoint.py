"""Training state on disk: enough to go on after a kill as if nothing had happened.

A state is one folder of `.safetensors` and JSON, written under a temporary name, synced and renamed. No pickle.
Sharded tensors are gathered; every process keeps its own place in the data and its own random state. A state can be
loaded by another number of processes, and by a model that is spread over them in another way: weights, moments and
averages are the same; the places of all processes are handed out, and a process that was not there before derives its
random state from that of the first one and its own number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from lpm.records.files import atomic_directory, recover_directory
from lpm.records.weights import load_tensors
from lpm.train.optim import Average
from lpm.train.parallel import World, gather

__all__ = ["Parts", "has_state", "load_state", "save_state", "whole_weights"]


@dataclass(frozen=True)
class Parts:
    """All that changes while training.

    Args:
        model: Its weights and buffers.
        optimiser: Its moments and groups.
        average: Averaged weights, or None.
        best: Weights and buffers of the best validation so far, or None.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    average: Average | None
    best: list[Tensor] | None

    @property
    def lists(self) -> dict[str, list[Tensor]]:
        """Lists of tensors beside weights and optimiser, by file name."""
        return {"average": self.average.mean if self.average else [], "best": self.best or []}


def has_state(folder: Path) -> bool:
    """Whether there is a state to resume from."""
    recover_directory(folder)
    return (folder / "state.json").is_file()


def whole_weights(model: nn.Module) -> dict[str, Any]:
    """Weights and buffers of a model, gathered from all processes if it is sharded; all of them must call this."""
    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))


def save_state(folder: Path, parts: Parts, state: dict[str, Any], items: dict[str, Any], place: World) -> None:
    """Write all parts and `state` (JSON) to `folder`, replacing what was there. All processes must call this.

    Args:
        folder: The state's own folder.
        parts: What to save.
        state: The loop's own numbers, equal in all processes.
        items: This process's place in the data (JSON).
        place: This process among all; the first writes.

    Raises:
        ValueError: If the folder cannot be written or the disk is full; the state that was there is kept.
    """
    whole: tuple[dict[str, Any], Any] = get_state_dict(parts.model, parts.optimiser, options=_WHOLE)
    weights, optimiser = whole
    lists = {n: {str(i): _whole(t) for i, t in enumerate(x)} for n, x in parts.lists.items()}
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    own = gather((items, random), place)
    if place.first:
        all_items = {_of("items", rank): x for rank, (x, _) in enumerate(own)}
        all_random = {_of(n, rank): t for rank, (_, x) in enumerate(own) for n, t in x.items()}
        moments = {
            f"{name}/{key}": _tensor(v) for name, entry in optimiser["state"].items() for key, v in entry.items()
        }
        files = {"weights": {n: t.contiguous() for n, t in weights.items()}, "optimiser": moments, **lists}
        rest = {"average_steps": parts.average.steps if parts.average else 0, "groups": optimiser["param_groups"]}
        _write(folder, {**files, "random": all_random}, {**state, **all_items, **rest})
    gather(None, place)  # nobody leaves before all is written: the end of one process ends the others


def _write(folder: Path, files: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    try:
        with atomic_directory(folder) as temporary:
            for name, tensors in files.items():
                save_file(tensors, temporary / f"{name}.safetensors")
            (temporary / "state.json").write_text(json.dumps(state), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{folder}: cannot write the training state: {error}; the last one is kept, free space and --resume"
        ) from error


def load_state(folder: Path, parts: Parts, place: World) -> dict[str, Any]:
    """Restore what `save_state` wrote, in place, and return its `state` with the `items` of all processes, as a list.

    Raises:
        ValueError: If the folder is incomplete or belongs to another model.
    """
    path = folder / "state.json"
    if not has_state(folder):
        raise ValueError(f"{folder}: no training state to resume from; start without --resume")
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        ranks = sum(key.split(".")[0] == "items" for key in state)
        state["items"] = [state[_of("items", rank)] for rank in range(ranks)]
        optimiser: dict[str, Any] = {"param_groups": state["groups"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: cannot read the training state: {error}; restore the whole folder") from error
    moments: dict[str, dict[str, Tensor]] = {}
    for name, tensor in load_tensors(folder / "optimiser.safetensors").items():
        parameter, key = name.rsplit("/", 1)
        moments.setdefault(parameter, {})[key] = tensor
    weights: dict[str, Any] = dict(load_tensors(folder / "weights.safetensors"))
    optimiser["state"] = moments
    try:
        set_model_state_dict(parts.model, weights, options=_WHOLE)
        # A weight that has taken part in no step yet, such as that of an unused view, has no moments.
        set_optimizer_state_dict(parts.model, parts.optimiser, optimiser, options=_SOME)
        for name, tensors in parts.lists.items():
            if stored := load_tensors(folder / f"{name}.safetensors"):
                _fill(tensors, stored)
    except (RuntimeError, KeyError) as error:
        raise ValueError(
            f"{folder}: the state belongs to another model: {str(error).splitlines()[-1].strip()}"
        ) from error
    for name, p in parts.model.named_parameters():
        if name not in moments:  # torch has made some up, and counts a step that was not taken
            parts.optimiser.state.pop(p, None)
    if parts.average:
        parts.average.steps = state["average_steps"]
    _restore_random(load_tensors(folder / "random.safetensors"), place.rank)
    return state


def _restore_random(stored: dict[str, Tensor], rank: int) -> None:
    own = stored.get(_of("cpu", rank))
    if own is None:
        digest = hashlib.sha256(stored["cpu"].numpy().tobytes() + str(rank).encode()).digest()
        torch.manual_seed(int.from_bytes(digest[:7], "big"))
        return
    torch.set_rng_state(own)
    if (cuda := stored.get(_of("cuda", rank))) is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(cuda)


_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
_SOME = StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)


def _of(name: str, rank: int) -> str:
    """Key of what each process keeps for itself."""
    return f"{name}.{rank}" if rank else name


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
