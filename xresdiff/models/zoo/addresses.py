"""Addresses of models: what they name, and whether that can change."""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

from xresdiff.errors import ModelError

__all__ = ["Address", "is_address", "masked", "parse"]

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
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LOGIN = re.compile(r"(?<=//)[^/@\s'\"]+@")
_QUERY = re.compile(r"([?&][^=&?\s'\"]+=)[^&\s'\")]+")


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
            return f"{masked(hub())}/{self.place}/{kind}/{self.revision}{path}"
        if self.scheme == "ngc":
            return f"{ngc()}/v2/models/{self.place}/versions/{self.revision}/zip"
        if self.scheme == "doi":
            return f"https://doi.org/{self.place} ({self.path})"
        return masked(self.text)


def hub() -> str:
    """Return the server of ``hf://``: ``XRESDIFF_HF_ENDPOINT``, ``HF_ENDPOINT`` or Hugging Face."""
    named = os.environ.get("XRESDIFF_HF_ENDPOINT") or os.environ.get("HF_ENDPOINT")
    return (named or HUB).rstrip("/")


def ngc() -> str:
    """Return the server of ``ngc://``: ``NGC_CLI_SEARCH_SERVICE_URL`` or NVIDIA's."""
    return (os.environ.get("NGC_CLI_SEARCH_SERVICE_URL") or NGC).rstrip("/")


def masked(text: str) -> str:
    """Hide what may be secret in the addresses within a text: logins, and what queries hold.

    Examples
    --------
    >>> masked("https://me:word@example.org/alps.resdiff?token=abc")
    'https://***@example.org/alps.resdiff?token=***'
    """
    return _QUERY.sub(r"\1***", _LOGIN.sub("***@", text))


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
    xresdiff.errors.ModelError: 'hf://nvidia/corrdiff-cmip6-era5' is no address of a model. It ...
    """
    try:
        address = _parsed(text)
    except (ValueError, RuntimeError) as error:  # of ports, brackets, and homes of nobody
        raise _no_address(text, str(error)) from error
    if address is None:
        raise _no_address(text, _lack(text))
    return address


def _parsed(text: str) -> Address | None:
    match = _SCHEME.match(text)
    if "\0" in text or (match and _CONTROL.search(unquote(text))):
        raise ValueError("it holds control characters")
    if match is None:
        return Address(text, "file", path=str(Path(text).expanduser().absolute()))
    scheme = match["scheme"] or match["doi"]
    if scheme in ("file", "https", "http"):
        parts = urlsplit(text)
        if scheme == "file":
            here = parts.netloc in ("", "localhost") and parts.path
            return Address(text, scheme, path=url2pathname(parts.path)) if here else None
        if parts.hostname and parts.port != 0:
            return Address(text, scheme, place=parts.netloc, path=unquote(parts.path))
    for pattern in (_HF, _NGC, _DOI):
        if whole := pattern.fullmatch(text):
            parts_named = {name: value or "" for name, value in whole.groupdict().items()}
            if ".." not in PurePosixPath(parts_named.get("path", "")).parts:
                return Address(text, scheme, **parts_named)
    return None


def _lack(text: str) -> str:
    """Say what an address lacks, where that can be told."""
    if text.startswith("file://"):
        return f"a path on this machine has three slashes, file:///{text[7:].lstrip('/')}"
    if text.startswith(("hf://", "ngc://")) and "@" not in text:
        return "it lacks @ and the revision: the commit of a repository, the version of a model"
    if text.startswith("doi:"):
        return "it lacks / and the name of the file behind the DOI"
    return "it lacks a part, or is of no known kind"


def _no_address(text: str, problem: str) -> ModelError:
    told, known = problem[:1].upper() + problem[1:], ", ".join(_KNOWN)
    return ModelError(f"{masked(text)!r} is no address of a model. {told}. Addresses are {known}")
