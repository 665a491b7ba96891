"""Work for a farm, in a module that its workers can import."""

import os
import signal
from pathlib import Path

__all__ = ["copy", "dies_always", "dies_once", "nothing"]


def copy(source: Path, out: Path, watch) -> dict[str, int]:
    """The source in capitals; an empty source cannot be used."""
    text = source.read_text()
    if not text:
        raise ValueError(f"{source}: empty")
    if text == "bug":
        raise RuntimeError("no such luck")
    watch(len(text))
    return {"size": out.write_text(text.upper())}


def dies_once(flag: Path, out: Path, watch) -> dict[str, int]:
    """Kills its process the first time."""
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"size": out.write_text("survived")}


def dies_always(out: Path, watch) -> None:
    """Kills its process."""
    os.kill(os.getpid(), signal.SIGKILL)


def nothing(out: Path, watch) -> None:
    """Finds nothing to write."""
