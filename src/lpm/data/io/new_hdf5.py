"""A new HDF5 file that appears whole or not at all, also on a full disk.

HDF5 cannot close what it cannot write, and takes the process down with it. Here the bytes pass through an object that
never fails: from the first error on it writes nothing, and the error is raised once HDF5 is out of the way.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py

from lpm.records.files import atomic_file

__all__ = ["new_hdf5"]


@contextlib.contextmanager
def new_hdf5(path: str | Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """An empty HDF5 file to fill, which takes the place of `path` once the block ends well.

    Args:
        path: File to write; missing folders are made.

    Yields:
        The open file, and what to call from time to time: it raises what went wrong so far.

    Raises:
        ValueError: If the file cannot be written (no permission, disk full).

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.h5"
        >>> with new_hdf5(target) as (file, check):
        ...     file["x"] = [1, 2]
        ...     check()
        >>> with h5py.File(target) as file:
        ...     file["x"][:].tolist(), len(list(target.parent.iterdir()))
        ([1, 2], 1)
    """
    with atomic_file(path) as part, part.open("r+b", buffering=0) as raw:
        disk = _Disk(raw.fileno())
        try:
            with h5py.File(disk, "w") as file:
                yield file, disk.check
        except Exception:
            disk.check()  # what HDF5 makes of a file that lacks something says less
            raise
        disk.check()


class _Disk(io.RawIOBase):
    """The bytes of a file, as HDF5 writes them.

    Args:
        handle: Of the open file.

    Attributes:
        error: The first thing that went wrong; nothing is written after it.
    """

    def __init__(self, handle: int) -> None:
        self._handle, self._at = handle, 0
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self.error is not None:
            raise self.error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `io.IOBase.seek`."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._handle).st_size}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        """See `io.IOBase.tell`."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase.readinto`."""
        found = os.pread(self._handle, len(buffer), self._at)
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def write(self, data: Any) -> int:
        """See `io.RawIOBase.write`; all is written."""
        view = memoryview(data).cast("B")

        def put() -> None:
            done = 0
            while done < len(view):
                done += os.pwrite(self._handle, view[done:], self._at + done)

        self._try(put)
        self._at += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """See `io.IOBase.truncate`."""
        size = self._at if size is None else size
        self._try(partial(os.ftruncate, self._handle, size))
        return size

    def _try(self, call: Callable[[], None]) -> None:
        """Call unless something went wrong before."""
        if self.error is None:
            try:
                call()
            except OSError as error:
                self.error = error
