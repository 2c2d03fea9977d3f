"""The files behind an address, with what their publisher tells of them."""

import json
import re
import reprlib
import unicodedata
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from textwrap import shorten
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from xresdiff.errors import ModelError, raise_problems
from xresdiff.models.zoo import download
from xresdiff.models.zoo.addresses import Address, hub, masked
from xresdiff.models.zoo.entries import Entry, is_safe

__all__ = ["Source", "sources"]

PAGES = 100  # of a listing, 1000 files each
PAGE_BYTES = 8_000_000  # of one of them
SHOWN = 20  # names, in a message
OURS = (".part", ".etag", ".lock")  # endings of files that a download makes beside

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """One file that can be fetched.

    Parameters
    ----------
    name : str
        Its path within the model.
    url : str
        Where it is.
    sha256 : str, optional
        None if nobody tells it.
    size_bytes : int, optional
        None if nobody tells it.
    known : str
        Who tells the sha256.
    suffix : str
        Of its publisher's name; ".zip" for a model whose address ends with none.
    """

    name: str
    url: str
    sha256: str | None = None
    size_bytes: int | None = None
    known: str = ""
    suffix: str = ""


def sources(entry: Entry) -> list[Source]:
    """Return the files of a model; the network is asked for the listing of a repository.

    Parameters
    ----------
    entry : Entry
        A model that is elsewhere.

    Returns
    -------
    list of Source
        One or more; one with the name of the entry's `target` is the model, others are in it.

    Raises
    ------
    ModelError
        If there is nothing at its address, or nothing that a model could be.
    OSError
        If a DOI cannot be resolved.
    """
    address = entry.address
    if address.scheme == "hf":
        return _of_repository(entry, address)
    url = address.text if address.scheme in ("https", "http") else address.page
    if address.scheme == "doi":
        url = _resolved(address)
    name, size, suffix = entry.target.name, entry.size_bytes, _suffix(address)
    return [Source(name, url, entry.sha256, size, entry.hash_source, suffix)]


def _suffix(address: Address) -> str:
    return PurePosixPath(address.file).suffix.lower() or ".zip"


def _resolved(address: Address) -> str:
    """Ask the archive of a DOI where its file is."""
    from pooch.downloaders import doi_to_repository

    try:
        repository = doi_to_repository(address.place, timeout=download.TIMEOUT_S)
        return str(repository.download_url(address.path))
    except ValueError as error:
        if isinstance(error, OSError):  # some errors of requests are both
            raise
        raise ModelError(f"cannot find {address.text}: {error}") from error


def _of_repository(entry: Entry, address: Address) -> list[Source]:
    try:
        items = _listing(address)
    except OSError as error:
        wanted = (address.path,) if address.file else entry.files
        if not wanted:
            raise ModelError(
                masked(f"cannot learn which files {address.text} has from {hub()} ({error})")
            ) from None
        return [_source(entry, address, _Item(name), alone=bool(address.file)) for name in wanted]
    listed = {item.path: item for item in items}
    if len(listed) < len(items):
        raise ModelError(f"the listing of {address.text} has a file more than once")
    wanted = entry.files or _wanted(address, list(listed))
    missing = [name for name in wanted if name not in listed]
    if missing or not wanted:
        what = ", ".join(missing) or address.path or "files"
        has = ", ".join(filter(is_safe, listed)) or "nothing"
        raise ModelError(f"{address.page} has no {what}; it has {shorten(has, 999)}")
    _refuse_names(wanted, address)
    alone = wanted == (address.path,)
    if entry.sha256 and not alone:
        raise ModelError(f"{address.page} is a folder, of which there is no sha256; name a file")
    return [_source(entry, address, listed[name], alone=alone) for name in wanted]


def _wanted(address: Address, listed: list[str]) -> tuple[str, ...]:
    """Return the files that an address means: one, or those of a folder."""
    if address.path in listed:
        return (address.path,)
    within = f"{address.path}/" if address.path else ""
    hidden = [name for name in listed if name.rpartition("/")[2].startswith(".")]
    return tuple(name for name in listed if name.startswith(within) and name not in hidden)


def _refuse_names(names: tuple[str, ...], address: Address) -> None:
    """Refuse names that some system cannot keep, or cannot tell from one another."""
    problems = [f"{name!r} reaches out of it, or is no file on every system" for name in names]
    problems = [text for text, name in zip(problems, names, strict=True) if not is_safe(name)]
    problems += [f"{name!r} ends like a file of ours" for name in names if name.endswith(OURS)]
    folded = Counter(unicodedata.normalize("NFC", name).casefold() for name in names)
    problems += [f"{name!r} is there more than once" for name, times in folded.items() if times > 1]
    folders = {str(parent) for name in folded for parent in PurePosixPath(name).parents}
    problems += [f"{name!r} is a file and a folder" for name in folded if name in folders]
    what = f"fetch {address.page}, whose listing is not to be trusted"
    raise_problems(problems[:SHOWN], what=what, error=ModelError)


def _source(entry: Entry, address: Address, item: "_Item", *, alone: bool) -> Source:
    """Make a source of a file of a repository, and of what its listing tells: perhaps nothing."""
    url = f"{hub()}/{address.place}/resolve/{address.revision}/{quote(item.path)}"
    listing = f"the listing of {masked(hub())}"
    if not alone:
        name = item.path.removeprefix(f"{address.path}/")
        return Source(name, url, item.sha256, item.size, listing, PurePosixPath(name).suffix)
    known = entry.hash_source if entry.sha256 else listing
    size = entry.size_bytes if item.size is None else item.size
    sha256 = entry.sha256 or item.sha256
    return Source(entry.target.name, url, sha256, size, known, _suffix(address))


@dataclass(frozen=True)
class _Item:
    """A file of a listing."""

    path: str
    size: int | None = None
    sha256: str | None = None


def _listing(address: Address) -> list[_Item]:
    """Ask for the files of a repository, page by page."""
    url = f"{hub()}/api/models/{address.place}/tree/{address.revision}?recursive=true"
    host = urlsplit(url).netloc
    items: list[_Item] = []
    for _ in range(PAGES):
        body = BytesIO()
        following = download.ask(url, body, PAGE_BYTES)
        items += _items(body.getvalue(), url)
        if not following:
            return items
        url = urljoin(url, following)
        if urlsplit(url).netloc != host:
            raise ModelError(f"the listing of {address.text} goes on elsewhere, at {masked(url)}")
    raise ModelError(f"the listing of {address.text} has more than {PAGES} pages")


def _items(data: bytes, url: str) -> list[_Item]:
    """Read the files of a page of a listing, of which nothing is believed."""
    try:
        page = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"what {masked(url)} sends is no listing: {error}") from error
    if not isinstance(page, list):
        raise ModelError(f"what {masked(url)} sends is no listing: {reprlib.repr(page)}")
    items = []
    for told in page:
        if problem := _item_problem(told):
            raise ModelError(f"{masked(url)} lists {reprlib.repr(told)}: {problem}")
        if told["type"] == "file":
            sha256 = (told.get("lfs") or {}).get("oid")
            items.append(_Item(told["path"], told.get("size"), sha256))
    return items


def _item_problem(told: Any) -> str:
    """Say what is wrong with an item of a listing; nothing, if nothing is."""
    if not isinstance(told, dict):
        return "it must be an object {...}"
    if not isinstance(told.get("type"), str) or not isinstance(told.get("path"), str):
        return "its type and its path must be texts"
    size, lfs = told.get("size"), told.get("lfs")
    if size is not None and (type(size) is not int or size < 0):
        return "its size must be a whole number of bytes"
    if lfs is not None and not isinstance(lfs, dict):
        return "its lfs must be an object {...}"
    oid = (lfs or {}).get("oid")
    if oid is not None and not (isinstance(oid, str) and _SHA256.fullmatch(oid)):
        return "the oid of its lfs must be 64 digits of 0-9 and a-f"
    return ""
