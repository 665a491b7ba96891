"""Downloads from a server on this machine: resumed, checked, mirrored."""

import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lpm.cli.fetch import fetch as fetch_command
from lpm.data.catalog import CATALOG, DataSet, RemoteFile, load_catalog
from lpm.data.fetch import fetch, find
from lpm.records.files import locked

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several blocks


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `cut` breaks the next answers after so many bytes, `ranges` says whether it can continue.

    `tag` is the version of the content, `shift` the bytes by which it continues too late, `kind` the type it tells;
    `chunked` answers do not say their length.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cut: list[int] = []
        self.ranges = True
        self.asked: list[str | None] = []
        self.content = CONTENT
        self.tag: str | None = None
        self.shift = 0
        self.kind = "application/octet-stream"
        self.chunked = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if "missing" in self.path:
            self.send_error(404)
            return
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        start = int(re.match(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0
        if self.headers.get("If-Range") not in (None, server.tag):
            start = 0
        if start >= len(server.content):
            self.send_error(416)
            return
        start += server.shift if start else 0
        body, total = server.content[start:], len(server.content)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if server.tag:
            self.send_header("ETag", server.tag)
        self.send_header("Content-Type", server.kind)
        self.send_header(*(("Transfer-Encoding", "chunked") if server.chunked else ("Content-Length", str(len(body)))))
        self.end_headers()
        sent = body[: server.cut.pop(0)] if server.cut else body
        if server.chunked:
            sent = b"%x\r\n%s" % (len(body), sent) + (b"\r\n0\r\n\r\n" if len(sent) == len(body) else b"")
        self.wfile.write(sent)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def names(folder: Path) -> list[str]:
    """What lies in a folder besides the lock."""
    return sorted(p.name for p in folder.iterdir() if p.name != ".lock")


def entry(*urls: str, checksum: str | None = None, name: str = "a.bin") -> DataSet:
    file = RemoteFile(name=name, urls=urls, checksum=checksum)
    return DataSet(name="x", title="X", text="", licence="CC0-1.0", doi="", paper="", files=(file,))


MD5 = f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"


def test_download_then_nothing_to_do(server, tmp_path):
    steps = []
    one = entry(f"{server.url}/a.bin", checksum=MD5)
    (path,) = fetch(one, tmp_path / "new", progress=lambda name, done, of: steps.append((name, done, of)))
    assert path.read_bytes() == CONTENT
    assert steps[-1] == ("a.bin", len(CONTENT), len(CONTENT))
    assert len(steps) > 2
    fetch(one, tmp_path / "new")
    assert len(server.asked) == 1


def test_a_broken_connection_is_continued(server, tmp_path):
    one = entry(f"{server.url}/a.bin", checksum=MD5)
    server.cut = [2_000_000]
    with pytest.raises(ValueError, match=r"a\.bin: no mirror delivered it: .*connection lost.*it will continue"):
        fetch(one, tmp_path)
    assert (tmp_path / "a.bin.part").stat().st_size == 2_000_000
    assert not (tmp_path / "a.bin").exists()
    (path,) = fetch(one, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=2000000-"]
    assert names(tmp_path) == ["a.bin"]


def test_a_server_that_cannot_continue_begins_anew(server, tmp_path):
    server.ranges = False
    (tmp_path / "a.bin.part").write_bytes(b"something else")
    (path,) = fetch(entry(f"{server.url}/a.bin", checksum=MD5), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_part_that_is_whole_is_not_asked_for_again(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    (path,) = fetch(entry(f"{server.url}/a.bin", checksum=MD5), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_server_that_continues_elsewhere_begins_anew(server, tmp_path):
    server.cut, server.shift = [2_000_000], 100
    one = entry(f"{server.url}/a.bin", checksum=MD5)
    with pytest.raises(ValueError, match="connection lost"):
        fetch(one, tmp_path)
    (path,) = fetch(one, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=2000000-", None]


def test_without_a_checksum_the_same_file_is_continued(server, tmp_path):
    server.cut, server.tag = [2_000_000], '"v1"'
    one = entry(f"{server.url}/a.bin")
    with pytest.raises(ValueError, match=r"2000000 of 5120000 bytes; try again later, it will continue$"):
        fetch(one, tmp_path)
    assert names(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    (path,) = fetch(one, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=2000000-"]
    assert names(tmp_path) == ["a.bin", "checksums.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"tag": '"v2"', "content": CONTENT[::-1]},  # another file: the server sees it by the tag
        {"content": CONTENT[::-1] + b"more"},  # the server does not see it, its length tells
        {"content": CONTENT[:900]},  # nothing is left to send
    ],
    ids=["tag", "length", "shorter"],
)
def test_without_a_checksum_another_file_begins_anew(change, server, tmp_path):
    server.cut, server.tag = [2_000_000], '"v1"'
    one = entry(f"{server.url}/a.bin")
    with pytest.raises(ValueError, match="it will continue"):
        fetch(one, tmp_path)
    vars(server).update(change)
    (path,) = fetch(one, tmp_path)
    assert path.read_bytes() == server.content
    assert names(tmp_path) == ["a.bin", "checksums.json"]


@pytest.mark.parametrize("tag", [None, 'W/"v1"'])
def test_a_part_of_which_nobody_can_tell_the_file_is_not_continued(tag, server, tmp_path):
    server.cut, server.tag = [2_000_000], tag
    one = entry(f"{server.url}/a.bin")
    with pytest.raises(ValueError, match=r"connection lost.*; try again later$"):
        fetch(one, tmp_path)
    (path,) = fetch(one, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, None]


def test_a_cut_answer_of_unknown_length_leads_to_the_next_mirror(server, tmp_path):
    server.cut, server.chunked = [3_000_000, 3_000_000], True
    one = entry(f"{server.url}/a.bin", checksum=MD5)
    with pytest.raises(ValueError, match=r"connection lost after \d+ bytes.*it will continue") as caught:
        fetch(one, tmp_path)
    assert "\n" not in str(caught.value)
    (path,) = fetch(entry(f"{server.url}/a.bin", f"{server.url}/b/a.bin", checksum=MD5), tmp_path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["a.bin", "a.html"])
def test_a_page_in_place_of_a_file_is_refused(name, server, tmp_path):
    server.kind = "text/html; charset=utf-8"
    one = entry(f"{server.url}/{name}", name=name)
    if name == "a.html":
        assert fetch(one, tmp_path)[0].read_bytes() == CONTENT
        return
    with pytest.raises(ValueError, match=r"answers with a web page instead of the file; try again later$"):
        fetch(one, tmp_path)
    assert names(tmp_path) == []


def test_one_process_at_a_time_unless_there_is_nothing_to_do(server, tmp_path):
    one = entry(f"{server.url}/a.bin", checksum=MD5)
    with locked(tmp_path), pytest.raises(ValueError, match="another process writes to it"):
        fetch(one, tmp_path)
    fetch(one, tmp_path)
    with locked(tmp_path):
        assert fetch(one, tmp_path) == [tmp_path / "a.bin"]


def test_wrong_checksum_is_refused_and_leaves_nothing(server, tmp_path):
    with pytest.raises(ValueError, match=r"a\.bin: .*wrong checksum") as caught:
        fetch(entry(f"{server.url}/a.bin", checksum="md5:" + "0" * 32), tmp_path)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_mirrors_are_tried_in_turn(server, tmp_path):
    urls = (f"{server.url}/missing/a.bin", "http://127.0.0.1:1/a.bin", f"{server.url}/a.bin")
    (path,) = fetch(entry(*urls, checksum=MD5), tmp_path)
    assert path.read_bytes() == CONTENT
    with pytest.raises(ValueError, match=r"no mirror delivered it: .*Not Found.*refused; try again later$"):
        fetch(entry(*urls[:2], checksum=MD5), tmp_path / "other")


def test_an_unpublished_checksum_is_noted_and_compared_later(server, tmp_path):
    one = entry(f"{server.url}/a.bin")
    (path,) = fetch(one, tmp_path)
    assert hashlib.sha256(CONTENT).hexdigest() in (tmp_path / "checksums.json").read_text()
    path.write_bytes(b"spoiled")
    (path,) = fetch(one, tmp_path)
    assert path.read_bytes() == CONTENT
    path.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(ValueError, match="wrong checksum"):
        fetch(one, tmp_path)


def _archive(name: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = 5
        archive.addfile(info, io.BytesIO(b"hello"))
    return raw.getvalue()


def test_archives_are_unpacked_once(server, tmp_path):
    server.content = _archive("inner/a.txt")
    one = entry(f"{server.url}/a.tar", name="a.tar")
    (folder,) = fetch(one, tmp_path)
    assert (folder / "inner" / "a.txt").read_text() == "hello"
    assert fetch(one, tmp_path) == [folder]
    assert fetch(one, tmp_path, unpack=False) == [tmp_path / "a.tar"]


def test_archives_cannot_write_outside(server, tmp_path):
    server.content = _archive("../evil.txt")
    with pytest.raises(ValueError, match=r"a\.tar: cannot be unpacked"):
        fetch(entry(f"{server.url}/a.tar", name="a.tar"), tmp_path / "in")
    assert not (tmp_path / "evil.txt").exists()
    assert names(tmp_path / "in") == ["a.tar", "checksums.json"]


def test_names(tmp_path):
    with pytest.raises(ValueError, match="no data set 'nope'; there are: jetclass"):
        find("nope")
    with pytest.raises(ValueError, match=r"no file named like zzz; there are: a\.bin"):
        fetch(entry("http://127.0.0.1:1/"), tmp_path, only=["zzz"])
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be made"):
        fetch(entry("http://127.0.0.1:1/"), tmp_path / "file" / "x")


def test_command(server, tmp_path, monkeypatch):
    app = typer.Typer()
    app.command()(fetch_command)
    monkeypatch.setattr("lpm.data.fetch.CATALOG", (entry(f"{server.url}/a.bin", checksum=MD5),))
    result = CliRunner().invoke(app, ["x", "--dir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "x" / "a.bin").read_bytes() == CONTENT
    assert "X, CC0-1.0; cite" in result.output
    made = json.loads(CliRunner().invoke(app, ["x", "--dir", str(tmp_path), "--json"]).output)
    assert made["paths"] == [str(tmp_path / "x" / "a.bin")]


def test_catalogue_says_what_one_needs_to_know():
    calorimeters = {f"calochallenge-{name}" for name in ("1-photons", "1-pions", "2", "3")}
    jets = {"jetclass", "top-landscape", "quark-gluon", "jetnet", "aspen-open-jets"}
    assert {e.name for e in CATALOG} == jets | calorimeters
    for e in CATALOG:
        assert e.licence == "CC-BY-4.0"
        assert re.match(r"10\.\d+/", e.doi)
        assert len({f.name for f in e.files}) == len(e.files)
        for f in e.files:
            assert f.checksum is None or re.fullmatch(r"md5:[0-9a-f]{32}", f.checksum)
            assert all(url.startswith("https://") and url.endswith(f.name) for url in f.urls)
    assert sum(f.checksum is None for e in CATALOG for f in e.files) == 5
    with pytest.raises(ValueError, match="not a catalogue"):
        load_catalog("[{}]")
