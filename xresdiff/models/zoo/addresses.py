"""Addresses of models: what they name, and whether that can change."""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

from xresdiff.errors import ModelError

__all__ = ["Address", "is_address", "parse"]

HUB = "https://huggingface.co"
NGC = "https://api.ngc.nvidia.com"

_KNOWN = (
    "hf://owner/repo@commit",
    "hf://owner/repo@commit/file",
    "ngc://models/org/team/model@version",
    "doi:10.5281/zenodo.1234/file",
    "https://...",
    "file:///...",
)
_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://|(?P<doi>doi):")
_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_HF = re.compile(rf"hf://(?P<place>{_WORD}/{_WORD})@(?P<revision>{_WORD})(/(?P<path>[^?#]+))?")
_NGC = re.compile(rf"ngc://models/(?P<place>{_WORD}(/{_WORD}){{1,2}})@(?P<revision>{_WORD})")
_DOI = re.compile(r"doi:(?P<place>10\.[0-9.]+(/[^/?#]+)+)/(?P<path>[^/?#]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Address:
    """An address, taken apart.

    Parameters
    ----------
    text : str
        As it was typed.
    scheme : str
        "hf", "ngc", "doi", "https", "http", or "file", which plain paths have too.
    place : str
        Repository, model or DOI; or the host.
    revision : str
        Commit or version, where there is one.
    path : str
        Within the place.

    Examples
    --------
    >>> parse("ngc://models/nvidia/modulus/corrdiff_inference_package@1").revision
    '1'
    >>> parse("https://example.org/alps.resdiff").file
    'alps.resdiff'
    """

    text: str
    scheme: str
    place: str = ""
    revision: str = ""
    path: str = ""

    @property
    def pinned(self) -> bool:
        """Whether what it names can never change: a commit, a version, a DOI."""
        if self.scheme == "hf":
            return _COMMIT.fullmatch(self.revision) is not None
        return self.scheme in ("ngc", "doi")

    @property
    def local(self) -> Path | None:
        """The path, if it is one on this machine."""
        return Path(self.path) if self.scheme == "file" else None

    @property
    def file(self) -> str:
        """The name of the one file that it names; empty for a whole repository."""
        if self.scheme == "ngc":
            return f"{self.place.rpartition('/')[2]}.zip"
        if self.scheme == "hf" and not PurePosixPath(self.path).suffix:
            return ""
        return PurePosixPath(self.path).name

    @property
    def page(self) -> str:
        """Where a person finds it: the address that a browser opens."""
        if self.scheme == "hf":
            path = f"/{quote(self.path)}" if self.path else ""
            kind = "resolve" if self.file else "tree"
            return f"{hub()}/{self.place}/{kind}/{self.revision}{path}"
        if self.scheme == "ngc":
            return f"{ngc()}/v2/models/{self.place}/versions/{self.revision}/zip"
        if self.scheme == "doi":
            return f"https://doi.org/{self.place} ({self.path})"
        return self.text


def hub() -> str:
    """Return the server of ``hf://``: ``XRESDIFF_HF_ENDPOINT``, ``HF_ENDPOINT`` or Hugging Face."""
    named = os.environ.get("XRESDIFF_HF_ENDPOINT") or os.environ.get("HF_ENDPOINT")
    return (named or HUB).rstrip("/")


def ngc() -> str:
    """Return the server of ``ngc://``: ``NGC_CLI_SEARCH_SERVICE_URL`` or NVIDIA's."""
    return (os.environ.get("NGC_CLI_SEARCH_SERVICE_URL") or NGC).rstrip("/")


def is_address(text: str) -> bool:
    """Tell whether a text is an address, rather than a name or a path.

    Parameters
    ----------
    text : str
        What :func:`~xresdiff.models.opening.open_model` was given.

    Returns
    -------
    bool
        True for addresses of a kind that is not known, too: :func:`parse` refuses them.

    Examples
    --------
    >>> is_address("hf://nvidia/corrdiff-cmip6-era5@f756fad"), is_address("corrdiff-taiwan")
    (True, False)
    """
    return _SCHEME.match(text) is not None


def parse(text: str) -> Address:
    """Take an address or a plain path apart.

    Parameters
    ----------
    text : str
        The address.

    Returns
    -------
    Address
        Nothing is asked of any network.

    Raises
    ------
    ModelError
        If it is of no known kind, or lacks a part.

    Examples
    --------
    >>> parse("hf://nvidia/corrdiff-cmip6-era5")
    Traceback (most recent call last):
    xresdiff.errors.ModelError: 'hf://nvidia/corrdiff-cmip6-era5' is no address of a model. ...
    """
    match = _SCHEME.match(text)
    if match is None:
        return Address(text, "file", path=str(Path(text).expanduser().absolute()))
    scheme = match["scheme"] or match["doi"]
    if scheme == "file":
        return Address(text, scheme, path=url2pathname(urlsplit(text).path))
    if scheme in ("https", "http"):
        parts = urlsplit(text)
        if parts.hostname:
            return Address(text, scheme, place=parts.netloc, path=unquote(parts.path))
    for pattern in (_HF, _NGC, _DOI):
        if whole := pattern.fullmatch(text):
            parts_named = {name: value or "" for name, value in whole.groupdict().items()}
            if ".." not in PurePosixPath(parts_named.get("path", "")).parts:
                return Address(text, scheme, **parts_named)
    raise ModelError(f"{text!r} is no address of a model. Addresses are {', '.join(_KNOWN)}")
