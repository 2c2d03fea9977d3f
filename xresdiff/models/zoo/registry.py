"""Names to places: the models inside this package, the published ones, and yours."""

import difflib
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xresdiff.errors import ModelError, raise_problems, warn
from xresdiff.models import strict_json
from xresdiff.models.zoo import embedded, fetch
from xresdiff.models.zoo.addresses import is_address, masked, parse
from xresdiff.models.zoo.entries import Entry, at_address
from xresdiff.models.zoo.known import KNOWN
from xresdiff.options import cache_dir

__all__ = [
    "at_hand",
    "entries",
    "find",
    "find_address",
    "forget_hint",
    "locate",
    "locate_address",
    "names",
    "portable",
    "register",
]

YOURS = "your registry"  # told the sha256 of a registered model

_registered: dict[str, Entry] = {}  # of this session
_warned: set[str] = set()  # of the registry file


def register(
    name: str,
    url: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    title: str = "",
    size_bytes: int | None = None,
    licence: str = "",
    domain: str = "",
    resolution: str = "",
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    citation: str = "",
) -> None:
    """Give a model of yours a name, for this session.

    For good, list it in a file: ``registry.toml`` in the cache folder, or the one that
    ``XRESDIFF_REGISTRY`` names. It has one table for each model, of what this function takes::

        [alps]
        url = "https://example.org/alps.resdiff"
        sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        licence = "CC-BY-4.0"

    Parameters
    ----------
    name : str
        What `open_model` and `downscale` are to be asked for.
    url : str or PathLike
        ``hf://owner/repo@commit``, ``ngc://models/org/team/model@version``, ``doi:``,
        ``https://``, ``file://``, or a path; one in the file is relative to the file.
    sha256 : str, optional
        Of the file. Without it, that of the first download is recorded, and required ever after.
    title, licence, domain, resolution, citation : str
        Shown by :func:`~xresdiff.models.zoo.models`; the licence before the first download, too.
    size_bytes : int, optional
        Of the file.
    inputs, outputs : sequence of str
        Likewise shown.

    Raises
    ------
    ModelError
        If the name is that of another known model, or anything else that is told cannot be.

    Warns
    -----
    UserWarning
        If it takes the place of a model that you registered before, elsewhere.

    Examples
    --------
    >>> register("my-alps", "https://example.org/alps.resdiff", domain="the Alps")
    >>> "my-alps" in names()
    True
    >>> register("rain-16x", "alps.resdiff")
    Traceback (most recent call last):
    xresdiff.errors.ModelError: the name 'rain-16x' is taken; choose another
    """
    fixed = {entry.name for entry in [*_published(), *_listed()[0]]}
    if name in fixed:
        raise ModelError(f"the name {name!r} is taken; choose another")
    told = {
        "name": name,
        "url": _placed(url, Path()),
        "title": title,
        "sha256": sha256,
        "hash_source": YOURS if sha256 else "",
        "size_bytes": size_bytes,
        "licence": licence,
        "domain": domain,
        "resolution": resolution,
        "inputs": list(inputs) if isinstance(inputs, tuple) else inputs,
        "outputs": list(outputs) if isinstance(outputs, tuple) else outputs,
        "citation": citation,
    }
    entry = strict_json.read(Entry, told, what=f"model {name!r}")
    before = _registered.get(entry.name, entry)
    if before.url != entry.url:
        warn(f"{name!r} was {masked(before.url)}; from now on it is {masked(entry.url)}")
    _registered[entry.name] = entry


def _placed(url: Any, folder: Path) -> Any:
    """Return an address as it is, and a path absolute, counted from a folder."""
    text = os.fspath(url) if isinstance(url, os.PathLike) else url
    if not isinstance(text, str) or is_address(text):
        return text
    if not text:
        raise ModelError("the url is empty: it needs to be an address, or the path of a model")
    try:
        return str((folder / Path(text).expanduser()).absolute())
    except RuntimeError as error:  # there is no such user
        raise ModelError(f"the url {text!r} cannot be found: {error}") from error


def entries() -> list[Entry]:
    """Return the known models: inside this package, published, of the registry file, registered.

    Raises
    ------
    ModelError
        If anything in the registry file that ``XRESDIFF_REGISTRY`` names is wrong; for that of the
        cache folder there is a warning.
    """
    return [*_published(), *_listed()[0], *_registered.values()]


def _published() -> list[Entry]:
    return [*map(embedded.entry_of, embedded.folders().values()), *KNOWN]


def _listed() -> tuple[list[Entry], str]:
    """Read the registry file, if there is one; return what is wrong with it, too."""
    named = os.environ.get("XRESDIFF_REGISTRY")
    path = Path(named).expanduser() if named else cache_dir() / "registry.toml"
    if not named and not path.is_file():
        return [], ""
    read, problems = _read_registry(path.absolute())
    try:
        raise_problems(problems, what=f"read the registry file {path}", error=ModelError)
    except ModelError as error:
        if named:
            raise
        if str(error) not in _warned:
            _warned.add(str(error))
            warn(f"{error}. Until that is mended, the rest of the known models is there")
        return read, str(error)
    return read, ""


def _read_registry(path: Path) -> tuple[list[Entry], list[str]]:
    """Return what can be read of a registry file, and what is wrong with the rest."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return [], [str(error)]
    taken = {entry.name for entry in _published()}
    read, problems = [], []
    for name, table in tables.items():
        try:
            if name in taken:
                raise ModelError(f"the name {name!r} is taken; choose another")
            read.append(_of_table(name, table, path.parent))
        except ModelError as error:
            problems.append(str(error))
    return read, problems


def _of_table(name: str, table: Any, folder: Path) -> Entry:
    if not isinstance(table, dict) or not isinstance(table.get("url"), str):
        raise ModelError(f"{name} is no table with a url. Write [{name}], and url = '...' below it")
    url = _placed(table["url"], folder)
    told = {"hash_source": YOURS} if "sha256" in table else {}
    data = {**told, **table, "name": name, "url": url}
    return strict_json.read(Entry, data, what=f"model [{name}]")


def names() -> list[str]:
    """Return the names of the models that can be opened, here or once they are fetched."""
    return [entry.name for entry in entries() if entry.status == "ready"]


def at_hand(name: str) -> bool:
    """Tell whether a known model can be opened without fetching it."""
    here = ("with xresdiff", "cached", "on this machine")
    return any(entry.name == name and fetch.state(entry) in here for entry in entries())


def locate(name: str) -> Path:
    """Return the folder or file of a known model, fetched if need be.

    Parameters
    ----------
    name : str
        That :func:`~xresdiff.models.zoo.models` lists.

    Returns
    -------
    Path
        Checked against its sha256.

    Raises
    ------
    ModelError
        If the name is unknown, or the model cannot be fetched, or cannot be run.
    StoreError
        If the cache cannot be written.

    Examples
    --------
    >>> locate("rain-16x").name
    'rain-16x'
    >>> locate("cbottle-sr")
    Traceback (most recent call last):
    xresdiff.errors.ModelError: the model 'cbottle-sr' cannot be run by xresdiff: another ...
    """
    folder = embedded.folders().get(name)
    return folder if folder is not None else fetch.fetch(_named(name))


def find(name: str) -> Path:
    """Return the folder or file of a known model that is here already; never fetch it.

    Parameters
    ----------
    name : str
        That :func:`~xresdiff.models.zoo.models` lists.

    Returns
    -------
    Path
        Checked against its sha256.

    Raises
    ------
    ModelError
        If the name is unknown, or the model is not here or damaged.
    """
    folder = embedded.folders().get(name)
    return folder if folder is not None else fetch.find(_named(name))


def locate_address(text: str) -> Path:
    """Return the file or folder at an address, fetched if need be.

    Parameters
    ----------
    text : str
        An address; see :func:`register`. That of a known model means that model.

    Returns
    -------
    Path
        Checked against its sha256, as recorded at the first download if nobody tells it.

    Raises
    ------
    ModelError
        If it is no address, or the model cannot be fetched, or cannot be run.
    StoreError
        If the cache cannot be written.
    """
    return fetch.fetch(_addressed(text))


def find_address(text: str) -> Path:
    """Return the file or folder of an address that was fetched before; never fetch it.

    Parameters
    ----------
    text : str
        An address.

    Returns
    -------
    Path
        Checked as by :func:`locate_address`.

    Raises
    ------
    ModelError
        If it is no address, or the model is not here or damaged.
    """
    return fetch.find(_addressed(text))


def forget_hint(text: str) -> str:
    """Return the line that removes a model from the cache, to be fetched anew.

    Parameters
    ----------
    text : str
        A name that :func:`names` has, or an address.

    Returns
    -------
    str
        Empty for a model that is not in the cache, but inside this package or at a path.

    Examples
    --------
    >>> forget_hint("rain-16x"), forget_hint("corrdiff-taiwan")[:11]
    ('', 'type rm -r ')
    """
    entry = _addressed(text) if is_address(text) else _named(text)
    if not entry.url or entry.address.local is not None:
        return ""
    return fetch.forget_hint(entry)


def portable(text: str) -> bool:
    """Tell whether a name or an address means the same model in every process.

    Parameters
    ----------
    text : str
        A name that :func:`names` has, or an address.

    Returns
    -------
    bool
        False for names that you gave, and for the addresses of paths: other processes are better
        told the path itself.

    Examples
    --------
    >>> portable("corrdiff-taiwan"), portable("file:///models/alps.resdiff")
    (True, False)
    """
    if is_address(text):
        mine = [*_listed()[0], *_registered.values()]
        return parse(text).local is None and text not in {entry.url for entry in mine}
    return text in {entry.name for entry in _published()}


def _addressed(text: str) -> Entry:
    """Return the known model of an address, whose sha256 may be known, or else a new entry."""
    for entry in entries():
        if entry.url == text:
            return entry
    return at_address(text)


def _named(name: str) -> Entry:
    known = {entry.name: entry for entry in entries()}
    if name in known:
        return known[name]
    _, problem = _listed()
    broken = f" But perhaps your registry has it: {problem}." if problem else ""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    raise ModelError(
        f"no model is called {name!r}, and no file or folder either{hint} "
        f"Known models: {', '.join(names()) or 'none'}.{broken} A model of your own is opened by "
        "its path, open_model('path/to/model.resdiff'), or named: xresdiff.register"
    )
