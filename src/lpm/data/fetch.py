"""Download public data sets: continued where it stopped, checked, from the first mirror that answers.

pooch keeps the checksums; the transfer itself asks for the missing bytes only (HTTP Range), since the files are tens of
gigabytes and connections break.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lpm.data.catalog import CATALOG, DataSet, RemoteFile
from lpm.records.files import atomic_file

__all__ = ["fetch", "find"]

Progress = Callable[[str, int, int], None]
"""Called with the file's name, the bytes here, and all its bytes (0 if not known)."""

_BLOCK = 1 << 20
_TIMEOUT = 60.0
_RECORD = "checksums.json"


def find(name: str) -> DataSet:
    """The catalogue entry of that name.

    Raises:
        ValueError: If there is none.

    Example:
        >>> find("top-landscape").doi
        '10.5281/zenodo.2603256'
    """
    for entry in CATALOG:
        if entry.name == name:
            return entry
    raise ValueError(f"no data set {name!r}; there are: {', '.join(e.name for e in CATALOG)}")


def fetch(
    entry: DataSet,
    folder: str | Path,
    *,
    only: Sequence[str] = (),
    unpack: bool = True,
    progress: Progress | None = None,
) -> list[Path]:
    """Bring the files of a data set into a folder; those that are there and whole are not fetched again.

    A file whose checksum the catalogue does not know is hashed after the first download, and compared with that from
    then on (`checksums.json` in the folder).

    Args:
        entry: From the catalogue.
        folder: Where the files go.
        only: Parts of file names; empty for all files.
        unpack: Unpack archives beside themselves.
        progress: Told how far things are.

    Returns:
        The files, or the folders into which archives were unpacked.

    Raises:
        ValueError: If no file has such a name, no mirror delivers it whole, or the folder cannot be written.
    """
    files = [f for f in entry.files if not only or any(part in f.name for part in only)]
    if not files:
        raise ValueError(f"{entry.name}: no file named like {', '.join(only)}; there are: {_names(entry)}")
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder}: cannot be made: {error.strerror}; choose another place") from error
    found = []
    for f in files:
        path = _fetch_one(f, folder, progress or (lambda name, done, of: None))
        found.append(_unpacked(path) if unpack and tarfile.is_tarfile(path) else path)
    return found


def _names(entry: DataSet) -> str:
    return ", ".join(f.name for f in entry.files)


def _fetch_one(file: RemoteFile, folder: Path, progress: Progress) -> Path:
    """One file, from the first mirror that delivers it whole."""
    import pooch

    pooch.get_logger().setLevel("ERROR")  # what it would tell is told by the caller
    known = file.checksum or _recorded(folder).get(file.name)
    failures = []
    for url in file.urls:

        def download(url: str, output: str, _: Any) -> None:
            _download(url, folder / f"{file.name}.part", file.name, progress)
            shutil.move(folder / f"{file.name}.part", output)

        try:
            path = Path(pooch.retrieve(url, known, fname=file.name, path=folder, downloader=download))
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            failures.append(f"{url}: {getattr(error, 'reason', error)}")
        except OSError as error:
            raise ValueError(
                f"{folder / file.name}: cannot write: {error.strerror or error}; free some space"
            ) from error
        except ValueError as error:
            # pooch says this of a wrong checksum; what it fetched is already deleted.
            failures.append(f"{url}: wrong checksum" if "hash" in str(error) else f"{url}: {error}")
        else:
            if known is None:
                _record(folder, file.name, f"sha256:{_sha256(path)}")
            return path
    raise ValueError(f"{file.name}: no mirror delivered it: {'; '.join(failures)}; try again later, it will continue")


def _download(url: str, part: Path, name: str, progress: Progress) -> None:
    """Append the missing bytes of `url` to `part`."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing is missing, or the part is of another file: the checksum will tell
            return
        raise
    with response:
        if response.status != 206:
            have = 0  # this server cannot continue: from the beginning
        total = have + int(response.headers.get("Content-Length") or 0)
        with part.open("ab" if have else "wb") as out:
            while block := response.read(_BLOCK):
                out.write(block)
                have += len(block)
                progress(name, have, total)
    if have < total:
        raise urllib.error.URLError(f"connection lost after {have} of {total} bytes")


def _recorded(folder: Path) -> dict[str, str]:
    """Checksums noted at the first download."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        found: dict[str, str] = json.loads((folder / _RECORD).read_text())
        return found
    return {}


def _record(folder: Path, name: str, checksum: str) -> None:
    with atomic_file(folder / _RECORD) as part:
        part.write_text(json.dumps({**_recorded(folder), name: checksum}, indent=1, sort_keys=True))


def _sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _unpacked(path: Path) -> Path:
    """The folder with the content of an archive; its name appears only once all is unpacked."""
    folder = path.with_suffix("")
    if folder.is_dir():
        return folder
    part = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with tarfile.open(path) as archive:
            archive.extractall(part, filter="data")  # refuses names that lead out of the folder
        part.rename(folder)
    except (tarfile.TarError, OSError) as error:
        raise ValueError(
            f"{path}: cannot be unpacked: {error}; free some space, or delete it and fetch again"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder
