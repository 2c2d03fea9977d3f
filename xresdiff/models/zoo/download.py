"""One file over HTTP: goes on where it stopped, and knows a web page from a model."""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from xresdiff.errors import ModelError, StoreError, XresdiffError
from xresdiff.models.zoo.addresses import masked
from xresdiff.options import get_option

__all__ = ["ask", "download", "no_room"]

TRIES = 4  # that bring nothing new, one after the other
PAUSE_S = 1.0  # before the second try; doubled before every further one
TIMEOUT_S = (10.0, 60.0)  # to connect, and between two pieces of an answer
CHUNK = 2**16  # bytes written at once
TEXTS = (".html", ".md", ".svg", ".txt", ".xml")  # files that may look like web pages

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.IGNORECASE)
_LOGIN = (401, 403)
_AGAIN = (408, 416, 429)  # of the errors that are ours, those that pass
_FULL = (errno.ENOSPC, errno.EDQUOT)


class _Restart(OSError):
    """What was sent is not the part, or not the size, that the server promised."""


class _Body:
    """A file that takes no more bytes than it is to have.

    Parameters
    ----------
    file : file
        What is written to.
    url : str
        Whose answer it is.
    most : int, optional
        How large it may become.
    """

    def __init__(self, file: IO[bytes], url: str, most: int | None) -> None:
        self.file, self.url, self.most = file, url, most
        self.error: type[Exception] = ModelError

    def write(self, data: bytes) -> int:
        """Write a piece.

        Raises
        ------
        Exception
            Of the class `error`, if it is too much.
        """
        if self.most is not None and self.file.tell() + len(data) > self.most:
            self.file.truncate(0)
            raise self.error(
                f"{masked(self.url)} sends more than the {self.most} bytes it may have"
            )
        return self.file.write(data)

    def flush(self) -> None:
        """Hand what was written to the system."""
        self.file.flush()


def ask(url: str, body: IO[bytes], most: int) -> str:
    """Write a short answer into a buffer; return the address of its next page, if it has one.

    Raises
    ------
    ModelError
        If it is not for everybody, or has more bytes than `most`.
    OSError
        If there is no answer, or it is an error.
    """
    following: list[str] = []

    def answered(response: Any) -> None:
        following.append(response.links.get("next", {}).get("url", ""))

    for pause in _pauses():
        try:
            _send(url, _Body(body, url, most), {}, answered, bar=False)
            break
        except OSError as error:
            _refuse_for_good(error, url)
            if pause is None or _status(error) not in (None, *_AGAIN, *range(500, 600)):
                raise
            time.sleep(pause)
            body.seek(0)
            body.truncate()
    return following[-1]


def _pauses() -> list[float | None]:
    """Return how long to wait behind each of the tries; None behind the last."""
    return [*(PAUSE_S * 2**number for number in range(TRIES - 1)), None]


def download(url: str, path: Path, *, size_bytes: int | None = None) -> bool:
    """Bring a file, or the rest of it.

    Parameters
    ----------
    url : str
        Where it is.
    path : Path
        Where it goes. What is there from an earlier try is kept if the server still has the same
        file, by its ETag, and can send the rest.
    size_bytes : int, optional
        How large it is.

    Returns
    -------
    bool
        Whether it is made of pieces of more than one try.

    Raises
    ------
    ModelError
        If the server does not have it, wants a login, sends a web page, or fails time and again.
    StoreError
        If it cannot be written.
    """
    resumed, most, tries = False, -1, 0
    while True:
        have = _size(path)
        resumed |= have > 0
        try:
            if not 0 < have == size_bytes:
                _go_on(url, path, size_bytes)
            _tag_path(path).unlink(missing_ok=True)
            return resumed
        except XresdiffError:
            raise
        except OSError as error:
            _refuse(error, url, path, size_bytes)
            tries = 1 if _size(path) > most else tries + 1
            most = max(most, _size(path))
            if tries >= TRIES:
                raise ModelError(masked(f"{url} cannot be fetched: {error}")) from None
            time.sleep(PAUSE_S * 2 ** (tries - 1))


def _go_on(url: str, path: Path, size_bytes: int | None) -> None:
    """Ask once for what is missing, and write it behind what is there."""
    tag, total = _tag(path)
    have = _size(path) if tag else 0
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have else {}
    with path.open("ab") as file:
        body = _Body(file, url, size_bytes)
        promised: list[int | None] = [None]

        def answered(response: Any) -> None:
            if response.status_code not in (200, 206):
                return
            _refuse_page(response, url)
            promised[0] = _promised(response, have, tag, total)
            if response.status_code == 200:
                file.truncate(0)
                file.seek(0)
                _write_tag(path, response.headers.get("ETag", ""), promised[0])
            if size_bytes is None:
                body.most, body.error = promised[0], _Restart
            _check_room(path, body.most)

        try:
            _send(url, body, headers, answered, bar=bool(get_option("progress")))
            if promised[0] not in (None, file.tell()):
                raise _Restart(f"{promised[0]} bytes were promised, {file.tell()} were sent")
        except _Restart:
            file.truncate(0)
            raise
        file.flush()
        os.fsync(file.fileno())


def _promised(response: Any, have: int, tag: str, before: str) -> int | None:
    """Return how large the whole file is to be; None if the server does not tell.

    Raises
    ------
    OSError
        If it sends another part than was asked for, or a part of another file.
    """
    told = response.headers.get("Content-Length")
    if told is not None and not told.isdecimal():
        raise _Restart(f"the server sends {told!r} bytes, which is no number")
    if response.status_code == 200:
        chunked = "Transfer-Encoding" in response.headers
        return None if chunked or told is None else int(told)
    part = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    start, last, total = map(int, part.groups()) if part else (-1, -1, -1)
    if not have or (start, last) != (have, total - 1):
        raise _Restart("the server sent another part than was asked for")
    if response.headers.get("ETag") != tag or before not in ("", str(total)):
        raise _Restart("the server sent a part of another file than before")
    return total


def _send(
    url: str,
    body: _Body,
    headers: dict[str, str],
    answered: Callable[[Any], None],
    *,
    bar: bool,
) -> None:
    """Have pooch write what a server sends; look at every answer before its body is read."""
    import pooch

    answers: list[Any] = []

    def look(response: Any, *_: Any, **__: Any) -> None:
        answers.append(response)
        answered(response)

    fetch = pooch.HTTPDownloader(
        progressbar=bar,
        chunk_size=CHUNK,
        headers={"User-Agent": "xresdiff", "Accept-Encoding": "identity", **headers},
        timeout=TIMEOUT_S,
        hooks={"response": look},
    )
    try:
        fetch(url, body, None)
    finally:
        for response in answers:
            response.close()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tag_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.etag")


def _tag(path: Path) -> tuple[str, str]:
    """Return the ETag of the part that is there, and how large the whole of it is to be.

    Both are empty if the rest cannot be asked for.
    """
    tag_path = _tag_path(path)
    total, _, tag = (tag_path.read_text("latin-1") if tag_path.exists() else "").partition(" ")
    return tag, total if tag else ""


def _write_tag(path: Path, tag: str, total: int | None) -> None:
    """Note the ETag, before the first byte; a weak one does not tell bytes apart."""
    told = "" if total is None else str(total)
    _tag_path(path).write_text(f"{told} {tag}" if tag.startswith('"') else "", "latin-1")


def _check_room(path: Path, size_bytes: int | None) -> None:
    rest = (size_bytes or 0) - _size(path)
    if rest > shutil.disk_usage(path.parent).free:
        raise no_room(path, rest)


def no_room(path: Path, size_bytes: int | None) -> StoreError:
    """Return the error of a full disk, with how much room is needed and how much there is."""
    needed = f"{size_bytes / 1e6:.1f} MB are" if size_bytes else "more room is"
    free = shutil.disk_usage(path.parent).free / 1e6
    return StoreError(
        f"no room on the disk: {needed} needed in {path.parent}, {free:.1f} MB are free. Make "
        "room, or keep models elsewhere: export XRESDIFF_CACHE=/a/folder/with/room",
    )


def _refuse_page(response: Any, url: str) -> None:
    """Refuse what a file is not sent as: a web page with the status of a success, or packed."""
    kind = response.headers.get("Content-Type", "").strip()
    page = kind.lower().startswith(("text/html", "application/xhtml"))
    if page and PurePosixPath(url).suffix not in TEXTS:
        raise ModelError(
            f"{masked(url)} sends a web page ({kind}), not a model: it may want a login or an "
            "agreement, or a proxy stands between. Open it in a browser to see"
        )
    packed = response.headers.get("Content-Encoding", "identity").strip()
    if packed.lower() not in ("", "identity"):
        raise ModelError(
            f"{masked(url)} sends the file packed (Content-Encoding: {packed}), though it was "
            "asked for as it is. Fetch it by hand, in a browser"
        )


def _refuse(error: OSError, url: str, path: Path, size_bytes: int | None) -> None:
    """Raise for what another try cannot change; a part of the wrong file is removed."""
    if error.errno in _FULL:
        path.unlink(missing_ok=True)  # a full disk serves nobody
        raise no_room(path, size_bytes) from error
    if not hasattr(error, "response") and not isinstance(error, _Restart):
        raise StoreError(f"cannot write {path}: {error}") from error
    _refuse_for_good(error, url)
    status = _status(error)
    if status is not None and 400 <= status < 500 and status not in _AGAIN:
        raise ModelError(masked(f"{url} is not there: {error}")) from None
    if status == 416:
        path.unlink(missing_ok=True)


def _refuse_for_good(error: OSError, url: str) -> None:
    """Raise for what no server will answer otherwise; what requests tells may hold secrets."""
    status = _status(error)
    if status in _LOGIN:
        raise ModelError(
            f"{masked(url)} is not for everybody (status {status}): it wants a login or an "
            "agreement. Fetch it by hand, in a browser"
        ) from None
    circles = status is not None and 300 <= status < 400
    if circles or isinstance(error, ValueError):  # no address, or none that requests can follow
        raise ModelError(masked(f"{url} leads nowhere: {error}")) from None


def _status(error: OSError) -> int | None:
    """Return the status that a server answered with, if it did."""
    return getattr(getattr(error, "response", None), "status_code", None)
