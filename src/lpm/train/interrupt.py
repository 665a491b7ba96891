"""Ctrl-C and SIGTERM held back until it is safe to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interruptible"]


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether the process was asked to stop (Ctrl-C, or SIGTERM of a batch system).

    The first request only sets the answer, so that the work in hand can be brought to an end and saved; a second one
    raises KeyboardInterrupt at once. Outside of the main thread, where Python allows no handlers, nothing changes.

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

    def note(number: int, frame: FrameType | None) -> None:
        if requests:
            raise KeyboardInterrupt
        requests.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(requests)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
