"""From the CPU to an accelerator without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sent"]


def sent(x: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device, on its way while the CPU goes on.

    An ordinary copy waits until the accelerator has done all that it was asked for before.

    Example:
        >>> sent(torch.ones(2), torch.device("cpu")).tolist()
        [1.0, 1.0]
    """
    if device.type == "cuda":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)
