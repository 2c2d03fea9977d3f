"""The files behind an address, with what their publisher tells of them."""

import json
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from xresdiff.errors import ModelError
from xresdiff.models.zoo import download
from xresdiff.models.zoo.addresses import Address, hub
from xresdiff.models.zoo.entries import Entry, is_safe

__all__ = ["Source", "sources"]

PAGES = 100  # of a listing, 1000 files each


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
    """

    name: str
    url: str
    sha256: str | None = None
    size_bytes: int | None = None
    known: str = ""


def sources(entry: Entry) -> list[Source]:
    """Return the files of a model; the network is asked for the listing of a repository.

    Parameters
    ----------
    entry : Entry
        A model that is elsewhere.

    Returns
    -------
    list of Source
        One or more.

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
    url = _resolved(address) if address.scheme == "doi" else address.page
    return [Source(entry.target.name, url, entry.sha256, entry.size_bytes, entry.hash_source)]


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
        listed = {item["path"]: item for item in _listing(address)}
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        wanted = (address.path,) if address.file else entry.files
        if not wanted:
            raise ModelError(
                f"cannot learn which files {address.text} has from {hub()} ({error})"
            ) from error
        return [_source(entry, address, name, {}) for name in wanted]
    wanted = entry.files or _wanted(address, list(listed))
    missing = [name for name in wanted if name not in listed]
    if missing or not wanted:
        what = ", ".join(missing) or address.path or "files"
        raise ModelError(f"{address.page} has no {what}; it has {', '.join(listed) or 'nothing'}")
    if unsafe := [name for name in wanted if not is_safe(name)]:
        raise ModelError(f"{address.page} lists files that reach out of it: {', '.join(unsafe)}")
    return [_source(entry, address, name, listed[name]) for name in wanted]


def _wanted(address: Address, listed: list[str]) -> tuple[str, ...]:
    if address.file:
        return (address.path,)
    within = f"{address.path}/" if address.path else ""
    hidden = [name for name in listed if name.rpartition("/")[2].startswith(".")]
    return tuple(name for name in listed if name.startswith(within) and name not in hidden)


def _source(entry: Entry, address: Address, name: str, item: dict[str, Any]) -> Source:
    """Make a source of a file of a repository, and of what its listing tells: perhaps nothing."""
    url = f"{hub()}/{address.place}/resolve/{address.revision}/{quote(name)}"
    size, listed = item.get("size"), (item.get("lfs") or {}).get("oid")
    if not address.file:
        name = name.removeprefix(f"{address.path}/")
        return Source(name, url, listed, size, f"the listing of {hub()}")
    known = entry.hash_source if entry.sha256 else f"the listing of {hub()}"
    size = size or entry.size_bytes
    return Source(entry.target.name, url, entry.sha256 or listed, size, known)


def _listing(address: Address) -> list[dict[str, Any]]:
    """Ask for the files of a repository, page by page."""
    url = f"{hub()}/api/models/{address.place}/tree/{address.revision}?recursive=true"
    host = urlsplit(url).netloc
    items: list[dict[str, Any]] = []
    for _ in range(PAGES):
        body = BytesIO()
        following = download.ask(url, body)
        items += json.loads(body.getvalue())
        if not following or urlsplit(url := urljoin(url, following)).netloc != host:
            break
    return [item for item in items if item["type"] == "file"]
