"""A real HTTP server, whose answers a test can spoil one after the other, and a small disk."""

import contextlib
import hashlib
import io
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from xresdiff.models.zoo import download, records
from xresdiff.models.zoo.entries import Entry
from xresdiff.options import set_options

Answer = Callable[["Handler", bytes], None]


@dataclass
class Server:
    """What is served and what was asked for.

    `files` are bodies by path; `spoiled` are answers by path, each given once, before the good
    ones. `asked` are the paths that were asked for, `ranges` the ranges.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    spoiled: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""
    tagged: bool = True  # sends ETags and honours ranges


class Handler(BaseHTTPRequestHandler):
    """Answers for one server."""

    protocol_version = "HTTP/1.1"
    server_state: Server

    def do_GET(self) -> None:
        state = self.server_state
        state.asked.append(self.path)
        state.ranges.append(self.headers.get("Range"))
        data = state.files.get(self.path.partition("?")[0])
        spoiled = state.spoiled.get(self.path.partition("?")[0])
        with contextlib.suppress(ConnectionError):
            if spoiled:
                spoiled.pop(0)(self, data or b"")
            elif data is None:
                self.send_error(404)
            else:
                self.send_part(data)

    def send_part(self, data: bytes) -> None:
        """Answer as a good server does."""
        wanted = self.headers.get("Range")
        if not (self.server_state.tagged and wanted and self.headers["If-Range"] == etag(data)):
            self.send(data)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        total = len(data)
        self.send(data[start:], 206, {"Content-Range": f"bytes {start}-{total - 1}/{total}"}, data)

    def send(
        self,
        data: bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        whole: bytes = b"",
        length: int | None = None,
    ) -> None:
        """Send a body with its headers; a `length` that is not its own breaks the connection."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        if self.server_state.tagged:
            self.send_header("ETag", etag(whole or data))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = length is not None

    def handle(self) -> None:
        """Bear clients that are killed."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


def zipped(data: bytes) -> bytes:
    """Return a zip that holds some bytes as they are."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(zipfile.ZipInfo("weights"), data)
    return body.getvalue()


def etag(data: bytes) -> str:
    """Return the ETag of a body."""
    return f'"{hashlib.md5(data).hexdigest()}"'


def dies(after: int) -> Answer:
    """Promise all of it, and close the connection after some bytes."""

    def answer(handler: Handler, data: bytes) -> None:
        handler.send(data[:after], headers={"X-Whole": "no"}, whole=data, length=len(data))

    return answer


def fails(status: int) -> Answer:
    """Answer with an error."""
    return lambda handler, data: handler.send(b"no", status)


def page(handler: Handler, data: bytes) -> None:
    """Answer with a page to log in, and the status of a success."""
    handler.send(b"<html>Log in</html>", headers={"Content-Type": "text/html; charset=utf-8"})


def slow(pause_s: float, pieces: int = 4) -> Answer:
    """Send all of it, with pauses."""

    def answer(handler: Handler, data: bytes) -> None:
        handler.send(b"", whole=data, length=len(data))
        for i in range(pieces):
            time.sleep(pause_s)
            handler.wfile.write(data[i * len(data) // pieces : (i + 1) * len(data) // pieces])
            handler.wfile.flush()

    return answer


def sends(body: bytes, status: int = 200, **headers: str) -> Answer:
    """Answer with something else."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, data: handler.send(body, status, named)


def redirects(to: str) -> Answer:
    """Answer that it is elsewhere."""
    return sends(b"", 302, Location=to)


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Serve until the block ends."""
    state = Server()
    handler = type("Own", (Handler,), {"server_state": state})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    state.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@contextlib.contextmanager
def serving_models(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve to a cache of its own, without proxies, pauses and bars."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "XRESDIFF_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XRESDIFF_CACHE", str(cache))
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    monkeypatch.setattr(records, "SETTLED_S", 0.0)
    with set_options(progress=False), serving() as server:
        yield server


def entry_of(server: Server, path: str) -> Entry:
    """Return what is known of a model that is served at a path."""
    data = server.files[path]
    return Entry(
        "toy",
        f"{server.url}{path}",
        sha256=hashlib.sha256(data).hexdigest(),
        hash_source="this test",
        size_bytes=len(data),
        licence="CC-BY-4.0",
    )


@contextlib.contextmanager
def mounted(path: Path, *, size: str) -> Iterator[Path]:
    """Mount a small file system in memory; skip the test where that is not allowed."""
    path.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    try:
        done = subprocess.run(line, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("a tmpfs is needed, and cannot be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)
