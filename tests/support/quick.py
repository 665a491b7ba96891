"""Where benchmarks are, and what starts one in its quick mode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "Start"]

FOLDER = Path(__file__).parents[2] / "benchmarks"

Start = Callable[..., dict[str, Any]]
"""Name of a script and words of its command line, to its record."""
