"""What every reader of a file format offers: a schema, a length, and batches in bounded memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Self

from lpm.data.batch import Batch
from lpm.data.check import bad_events, first_fault
from lpm.data.schema import Schema

__all__ = ["OnBad", "Reader"]

OnBad = Literal["stop", "skip", "keep"]
"""What to do with an event that cannot be used: raise, leave it out and count it, or hand it on."""


class Reader(ABC):
    """One open file of B events.

    A format is one subclass: it recognises its files (`sniff`), says what they hold (`schema`, `len`) and reads a
    range of events (`load`). Opening reads no event.

    Args:
        path: The file.
        tree: Name of the tree, table or group inside the file, where a file may hold several; None for the usual one.
        on_bad: What `batches` does with events that cannot be used.

    Attributes:
        schema: What the file holds.
        skipped: Events left out so far under `on_bad="skip"`.
        remedy: What a message about an event that cannot be used ends with.

    Raises:
        ValueError: If the file is damaged or lacks what the format needs, or a tree is named where there is one thing.
    """

    format: ClassVar[str]
    several: ClassVar[bool] = False
    """Whether a file of the format can be read in several ways, between which `tree` chooses."""

    schema: Schema
    remedy: str = "mend the file or pass --on-bad skip"
    """Whoever reads where nothing can be skipped puts other words here: advice has to work where it is printed."""

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        self.path = Path(path)
        if tree is not None and not self.several:
            raise ValueError(f"{path}: there is nothing to choose in files of format {self.format}; leave out {tree!r}")
        self.on_bad = on_bad
        self.skipped = 0

    @classmethod
    @abstractmethod
    def sniff(cls, path: Path) -> bool:
        """Whether the content of the file (not its name) is of this format. Raises nothing on other formats."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """Events 0 ≤ start ≤ i < stop ≤ len as they are in the file, with the fields of a part of the schema."""

    def read(self, start: int, stop: int, columns: Sequence[str] | None = None) -> Batch:
        """Events start ≤ i < stop, unchecked; `columns` as in `batches`.

        Raises:
            ValueError: If the file is damaged.
        """
        schema = self.schema if columns is None else self.schema.select(columns)
        with explained(self.path, f"entries {start} to {stop - 1}"):
            return self.load(start, stop, schema)

    @property
    def entries(self) -> int:
        """Entries of the file: the events, or, where an event is one jet, the collisions they come from."""
        return len(self)

    @property
    def groups(self) -> list[tuple[int, int]]:
        """Ranges of events that are cheap to read at one go."""
        return [(i, min(i + 10_000, len(self))) for i in range(0, len(self), 10_000)]

    def batches(
        self, start: int = 0, stop: int | None = None, size: int = 10_000, columns: Sequence[str] | None = None
    ) -> Iterator[Batch]:
        """Events start ≤ i < stop, in order.

        Args:
            start: First event.
            stop: One past the last event, or None for all.
            size: Most events in one batch.
            columns: Fields (`"particle.pt"`) and collections (`"jet"`) to read, or None for all.

        Yields:
            Batches of at most `size` events; shorter where a group of the file ends or events were left out.

        Raises:
            ValueError: If the file is damaged, or an event cannot be used and `on_bad` is "stop".
        """
        stop = len(self) if stop is None else min(stop, len(self))
        for a, b in self.groups:
            a, b = max(a, start), min(b, stop)
            if a < b:
                whole = self.read(a, b, columns)
                for i in range(0, b - a, size):
                    if batch := self._checked(whole[i : i + size], a + i):
                        yield batch

    def close(self) -> None:
        """Let go of the file."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _checked(self, batch: Batch, start: int) -> Batch:
        if self.on_bad == "keep":
            return batch
        bad = bad_events(batch)
        if not bool(bad.any()):
            return batch
        if self.on_bad == "stop" and (fault := first_fault(batch)):
            raise ValueError(f"{self.path}: entry {start + fault.event}: {fault.text}; {self.remedy}")
        self.skipped += int(bad.sum())
        return batch[~bad]


REMEDY = "the file is damaged or cut short: fetch or write it again"
"""What to do about a file that cannot be read."""


@contextmanager
def explained(path: Path, where: str = "unreadable") -> Iterator[None]:
    """Whatever a library says of a damaged file becomes one line that names it.

    Raises:
        ValueError: If the block raises; an error that begins with the path is passed on as it is.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: {where}: {reason(error)}; {REMEDY}") from error


def reason(error: BaseException) -> str:
    """The message of an exception in one short line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
