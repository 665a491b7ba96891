"""Writing files so that a crash leaves either the old content or the new, never half of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

__all__ = ["atomic_directory", "atomic_file", "locked", "recover_directory"]


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place once the block ends well.

    The bytes reach the disk before the name changes, so a reader finds the old file or the new one, never a part of
    one. If the block raises, the temporary file is removed and `path` is as it was. Of a symbolic link, the file to
    which it leads is written, and the link stays.

    Args:
        path: File to write; missing folders are made.

    Yields:
        The name to write to.

    Raises:
        ValueError: If the file cannot be written (no permission, disk full).

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with atomic_file(target) as part:
        ...     _ = part.write_text("whole")
        >>> target.read_text(), len(list(target.parent.iterdir()))
        ('whole', 1)
    """
    path = Path(path)
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    # Not the process number alone: machines that share a disk may use the same.
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers make files that only their owner may read
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else str(error)
        why = next(iter(said.splitlines()), type(error).__name__)
        raise ValueError(f"{path}: cannot write: {why}; free some space or choose another place") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`, else it is removed.

    Only one process may write a folder at a time (see `locked`): the names beside it are fixed, so that a killed
    process leaves nothing that the next one does not clear away.

    Raises:
        ValueError: If the directory cannot be written.
    """
    path = Path(path)
    recover_directory(path)
    temporary, old = _beside(path)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}; choose a folder that you may write to") from error
    try:
        yield temporary
        for file in temporary.iterdir():
            _sync(file)
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        _sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def recover_directory(path: Path) -> None:
    """Bring a folder back whose replacement was cut short between taking the old one away and putting the new one in.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / ".state.old").mkdir()
        >>> recover_directory(folder / "state")
        >>> [p.name for p in folder.iterdir()]
        ['state']
    """
    _, old = _beside(path)
    if not path.exists():
        with contextlib.suppress(FileNotFoundError):
            old.rename(path)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a folder. The lock falls with the process, however that ends.

    Where there are no such locks (some network file systems, Windows), a file `.holder` names the process that writes
    to the folder instead. That one stays if the process is killed, and has to be removed by hand.

    Raises:
        ValueError: If another process holds it, or the folder cannot be written.
    """
    try:
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise ValueError(f"cannot write {folder}: {error.strerror}; choose a folder that you may write to") from error
    with file, contextlib.nullcontext() if _flock(file, folder) else _held(folder):
        yield


def _flock(file: TextIO, folder: Path) -> bool:
    """Lock a file of a folder; False if there are no such locks here."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise ValueError(
            f"{folder}: another process writes to it; wait for its end, or choose another folder"
        ) from None
    except (ImportError, OSError):
        return False
    return True


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Be the one whose file is in a folder: of several that create it, one succeeds, also over a network."""
    path = folder / ".holder"
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        try:
            who = path.read_text(encoding="utf-8").strip()
        except OSError:  # it has just gone
            who = ""
        raise ValueError(
            f"{folder}: another process writes to it ({who or 'it gives no name'}); wait for its end, or choose "
            f"another folder; if that process is no longer there, remove {path}"
        ) from None
    try:
        with file:
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _beside(path: Path) -> tuple[Path, Path]:
    """Where the new folder is made, and where the old one waits until the new one has its place."""
    return path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
