"""Where a run happened: versions, hardware, commit. Nothing personal: no user, host or folder names."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["environment", "peak_memory"]

PACKAGES = ("lpm", "torch", "numpy", "pyarrow", "pythia8mc", "fastjet", "vector-quantize-pytorch")


def environment() -> dict[str, Any]:
    """Versions of packages, processor, memory, accelerators and the git commit of lpm if it runs from a checkout.

    Example:
        >>> environment()["versions"]["python"] == platform.python_version()
        True
    """
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    hardware = {"processor": _processor(), "cores": os.cpu_count(), "memory_gib": round(memory, 1), "gpus": gpus}
    return {"versions": _versions(), "hardware": hardware, "commit": _commit()}


def peak_memory() -> int:
    """Most bytes that this process ever held.

    Linux hands the maximum that `getrusage` knows from parent to child; what the kernel says of the process is its own.

    Example:
        >>> peak_memory() > 10**6
        True
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text(encoding="ascii").splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str | None:
    """Commit of the checkout this file lies in, with `+` if it has uncommitted changes; None when installed."""
    here = Path(__file__).resolve().parents[3]
    if not (here / ".git").exists():
        return None
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        )
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")
