"""Ctrl-C and SIGTERM held back until it is safe to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interruptible"]


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether the process was asked to stop (Ctrl-C, or SIGTERM of a batch system).

    A request only sets the answer, so that the work in hand can be brought to an end and saved. A second Ctrl-C raises
    KeyboardInterrupt at once, unless this is one process of several: there both the terminal or the batch system and
    torchrun pass one and the same request on. Outside of the main thread, where Python allows no handlers, nothing
    changes.

    Example:
        >>> with interruptible() as asked:
        ...     signal.raise_signal(signal.SIGINT)
        ...     asked()
        True
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    requests: list[int] = []
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in requests and not several:
            raise KeyboardInterrupt
        requests.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(requests)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
