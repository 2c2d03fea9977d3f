"""What is known of a model before it is here."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from xresdiff.errors import ModelError, raise_problems
from xresdiff.models.parts import Problems
from xresdiff.models.strict_json import Part, broken_rules
from xresdiff.models.zoo.addresses import Address, parse
from xresdiff.options import cache_dir

__all__ = ["Entry", "at_address"]

Status = Literal["ready", "by hand", "not supported"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"
}  # which Windows takes for files of any folder
_PART = 200  # bytes of the name of a file or folder that every system keeps, with our endings
_SUFFIX = re.compile(r"\.[A-Za-z0-9]+")


@dataclass(frozen=True)
class Entry(Part):
    """One known model.

    Parameters
    ----------
    name : str
        What `open_model` is asked for.
    url : str
        Address or path; empty for a model inside this package.
    title : str
        What it does, in a few words.
    sha256 : str, optional
        Of its one file; of ``card.json`` for a model inside this package; None if not published.
    hash_source : str
        Who published that.
    size_bytes : int, optional
        Of all its files; None if not published.
    files : tuple of str
        Those of a repository that make up the model; all of them if none is named.
    licence : str
        Terms of the weights.
    domain, resolution : str
        Where it works, and from which grid to which.
    inputs, outputs : tuple of str
        What it needs and gives, in short.
    citation : str
        What to cite.
    status : {"ready", "by hand", "not supported"}
        Whether it is fetched when asked for, may only be fetched by a person, or cannot be run.
    reason : str
        Why it is not ready.

    Raises
    ------
    ModelError
        If a part of it cannot be.
    """

    name: str
    url: str = ""
    title: str = ""
    sha256: str | None = None
    hash_source: str = ""
    size_bytes: int | None = None
    files: tuple[str, ...] = ()
    licence: str = ""
    domain: str = ""
    resolution: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    citation: str = ""
    status: Status = "ready"
    reason: str = ""

    def __post_init__(self) -> None:
        raise_problems(list(broken_rules(self)), what=f"list {self.name!r}", error=ModelError)

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        if not _NAME.fullmatch(self.name):
            yield (
                "name",
                f"{self.name!r} must be letters, digits, dots, dashes and underscores, at most 100",
            )
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            yield "sha256", f"{self.sha256!r} must be 64 digits of 0-9 and a-f"
        if self.sha256 is not None and not self.hash_source:
            yield "hash_source", "missing; who tells the sha256?"
        if self.size_bytes is not None and self.size_bytes <= 0:
            yield "size_bytes", f"{self.size_bytes} must be positive"
        if self.url:
            yield from self._url_rules()
        for name in self.files:
            if not is_safe(name):
                yield "files", f"{name!r} is not a path within the model"

    def _url_rules(self) -> Problems:
        try:
            address = parse(self.url)
        except ModelError as error:
            yield "url", str(error)
            return
        if self.sha256 is not None and not address.file:
            yield "sha256", "a whole repository has none; name one file of it in the url"
        if self.files and (address.scheme != "hf" or address.file):
            yield "files", "only a whole repository, hf://owner/repo@commit, has several"

    @property
    def address(self) -> Address:
        """Its address, taken apart."""
        return parse(self.url)

    @property
    def revision(self) -> str:
        """The commit or version that its address is pinned to; empty if there is none."""
        return self.address.revision if self.url else ""

    @property
    def target(self) -> Path:
        """Where it is kept: the path of it on this machine, or else its place in the cache."""
        if (local := self.address.local) is not None:
            return local
        mark = hashlib.sha256(f"{self.url} {self.sha256 or ''}".encode()).hexdigest()[:16]
        suffix = PurePosixPath(self.address.file).suffix
        ending = suffix if _SUFFIX.fullmatch(suffix) else ""
        return cache_dir() / "models" / f"{self.name}-{mark}{ending}"


def is_safe(name: str) -> bool:
    """Tell whether the name of a file of a repository stays within it, on every system.

    Examples
    --------
    >>> [is_safe(name) for name in ("a/b.nc", "../b.nc", "CON.nc", "b.nc ")]
    [True, False, False, False]
    """
    return all(
        part not in ("", ".", "..")
        and part.isprintable()
        and not set(part) & set('\\:*?"<>|')
        and part[-1] not in ". "
        and part.partition(".")[0].strip().lower() not in _DEVICES
        and len(part.encode()) <= _PART
        for part in name.split("/")
    )


def at_address(text: str) -> Entry:
    """Return an entry for a model that has an address only; its name is made from that.

    Parameters
    ----------
    text : str
        An address.

    Raises
    ------
    ModelError
        If it is no address.

    Examples
    --------
    >>> at_address("https://example.org/models/alps.resdiff").name
    'alps'
    """
    address = parse(text)
    last = address.file or address.path or address.place
    stem = PurePosixPath(last).stem if address.file else PurePosixPath(last).name
    name = re.sub("[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")[:60]
    return Entry(name or "model", text)
