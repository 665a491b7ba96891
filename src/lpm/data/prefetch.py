"""Read ahead in a background thread, so that files are read while the model computes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

__all__ = ["prefetch"]

T = TypeVar("T")


def prefetch(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The same items in the same order, up to `depth` of them made ahead of time.

    An exception in the thread is raised here, after the items before it. Closing the iterator stops the thread.

    Args:
        items: Anything to iterate over.
        depth: Items to hold ready.

    Raises:
        ValueError: If the depth is less than 1.

    Example:
        >>> list(prefetch(range(3)))
        [0, 1, 2]
    """
    if depth < 1:
        raise ValueError(f"depth: expected at least 1, got {depth}")
    return _prefetch(items, depth)


def _prefetch(items: Iterable[T], depth: int) -> Iterator[T]:
    queue: Queue[tuple[bool, T | None, BaseException | None]] = Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[bool, T | None, BaseException | None]) -> bool:
        while not stop.is_set():
            try:
                queue.put(entry, timeout=0.1)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((True, item, None)):
                    return
            put((False, None, None))
        except BaseException as error:  # handed over: the thread has nobody to raise it to
            put((False, None, error))

    thread = threading.Thread(target=work, daemon=True, name="prefetch")
    thread.start()
    try:
        while True:
            more, item, error = queue.get()
            if error is not None:
                raise error
            if not more:
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        while True:
            try:
                queue.get_nowait()
            except Empty:
                break
        thread.join()
