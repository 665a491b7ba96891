"""Download public data sets: continued where it stopped, checked, from the first mirror that answers.

pooch keeps the checksums; the transfer itself asks for the missing bytes only (HTTP Range), since the files are tens of
gigabytes and connections break. What the server said of the file lies beside the part that is here (`.part.json`): a
file without a published checksum is continued only while it is the same one (RFC 9110, If-Range).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lpm.data.catalog import CATALOG, DataSet, RemoteFile
from lpm.records.files import atomic_file, locked

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
        ValueError: If no file has such a name, no mirror delivers it whole, the folder cannot be written, or another
            process writes to it.
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
    with ExitStack() as stack:
        alone = False
        for f in files:
            # A folder that is complete may be one that cannot be written to.
            if not alone and not _complete(f, folder, unpack):
                stack.enter_context(locked(folder))
                alone = True
            path = _fetch_one(f, folder, progress or (lambda name, done, of: None)) if alone else folder / f.name
            found.append(_unpacked(path) if unpack and tarfile.is_tarfile(path) else path)
    return found


def _complete(file: RemoteFile, folder: Path, unpack: bool) -> bool:
    """Whether a file is here, whole and, if it is an archive, unpacked."""
    path, known = folder / file.name, file.checksum or _recorded(folder).get(file.name)
    if known is None or not path.is_file():
        return False
    if unpack and tarfile.is_tarfile(path) and not path.with_suffix("").is_dir():
        return False
    name, _, digest = known.rpartition(":")
    with path.open("rb") as f:
        return hashlib.file_digest(f, name or "sha256").hexdigest() == digest


def _names(entry: DataSet) -> str:
    return ", ".join(f.name for f in entry.files)


def _fetch_one(file: RemoteFile, folder: Path, progress: Progress) -> Path:
    """One file, from the first mirror that delivers it whole."""
    import pooch

    pooch.get_logger().setLevel("ERROR")  # what it would tell is told by the caller
    known = file.checksum or _recorded(folder).get(file.name)
    failures, part = [], folder / f"{file.name}.part"
    for url in file.urls:

        def download(url: str, output: str, _: Any) -> None:
            _download(url, part, file.name, known is not None, progress)
            shutil.move(part, output)
            _Origin.place(part).unlink(missing_ok=True)

        try:
            path = Path(pooch.retrieve(url, known, fname=file.name, path=folder, downloader=download))
        except (urllib.error.URLError, ConnectionError, TimeoutError, http.client.HTTPException) as error:
            failures.append(f"{url}: {_said(error)}")
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
    then = ", it will continue" if _continues(part, known is not None) else ""
    raise ValueError(f"{file.name}: no mirror delivered it: {'; '.join(failures)}; try again later{then}")


def _said(error: Exception) -> str:
    """What an error of the network says, in one line."""
    return " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__


@dataclass(frozen=True)
class _Origin:
    """Of which file a part is the beginning.

    Args:
        url: Where it came from.
        version: What its server calls this version of the file: a tag or a date that If-Range takes; empty for none.
        total: Its bytes; 0 if not known.
    """

    url: str = ""
    version: str = ""
    total: int = 0

    @staticmethod
    def place(part: Path) -> Path:
        """Where it is kept."""
        return part.with_name(f"{part.name}.json")

    @classmethod
    def of(cls, part: Path) -> _Origin:
        """What was kept beside a part; all empty if nothing was, or nothing that can be read."""
        try:
            found = json.loads(cls.place(part).read_text(encoding="utf-8"))
            return cls(str(found["url"]), str(found["version"]), int(found["total"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def keep(self, part: Path) -> None:
        """Keep it beside a part."""
        with atomic_file(self.place(part)) as file:
            file.write_text(json.dumps(asdict(self)), encoding="utf-8")


def _continues(part: Path, checked: bool) -> bool:
    """Whether the next call goes on with a part: if a checksum will tell, or its server whether it is the same file."""
    return part.is_file() and part.stat().st_size > 0 and (checked or _Origin.of(part).version != "")


def _download(url: str, part: Path, name: str, checked: bool, progress: Progress) -> None:
    """Append the missing bytes of `url` to `part`.

    Args:
        url: Where the file lies.
        part: What is here of it.
        name: Its name.
        checked: Whether a checksum will tell a wrong beginning.
        progress: Told how far things are.
    """
    origin = _Origin.of(part)
    have = part.stat().st_size if _continues(part, checked) and (checked or origin.url == url) else 0
    response = None
    try:
        response = _answer(url, name, have, origin if origin.url == url else _Origin(), checked)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416 or not have:
            raise
        if checked:  # nothing is missing, or the part is of another file: the checksum will tell
            return
    if response is None:
        response = _answer(url, name, 0, _Origin(), checked)
    assert response is not None, "an answer from the beginning continues nothing"
    with response:
        if response.status != 206:
            have = 0  # this server cannot continue, or the file is another one: from the beginning
        length, of = (
            response.headers.get("Content-Length"),
            response.headers.get("Content-Range", "").rpartition("/")[2],
        )
        total = int(of) if have and of.isdigit() else have + int(length) if length else 0
        tag = response.headers.get("ETag", "")
        # A weak tag promises no equal bytes.
        version = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
        _Origin(url, version, total).keep(part)
        have = _append(response, part, have, total, name, progress)
    if total and have != total:
        raise urllib.error.URLError(f"connection lost after {have} of {total} bytes")


def _answer(url: str, name: str, start: int, origin: _Origin, checked: bool) -> Any:
    """What a server answers, from byte `start` on if it can; None if that does not continue what is here.

    Raises:
        URLError: If it does not answer, or with a page instead of the file.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and not checked:
        headers["If-Range"] = origin.version
    response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    if response.headers.get_content_type() == "text/html" and not name.endswith((".html", ".htm")):
        response.close()
        raise urllib.error.URLError("answers with a web page instead of the file")
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        totals = ("*", str(origin.total)) if origin.total else (found and found[2],)
        if not found or int(found[1]) != start or found[2] not in totals:
            response.close()
            return None
    return response


def _append(response: Any, part: Path, have: int, total: int, name: str, progress: Progress) -> int:
    """Write what comes behind the first `have` bytes of a part; how many it then has."""
    with part.open("ab" if have else "wb") as out:
        while True:
            try:
                block = response.read(_BLOCK)
            except (OSError, http.client.HTTPException) as error:  # not of this disk
                raise urllib.error.URLError(f"connection lost after {have} bytes: {_said(error)}") from error
            if not block:
                return have
            out.write(block)
            have += len(block)
            progress(name, have, total)


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
