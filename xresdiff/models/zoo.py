"""Models known by name: those inside this package, and those fetched from elsewhere when asked for.

A fetched file is checked against its sha256 before it takes its place in the cache, so that the
cache holds whole files only, and a failed download changes nothing.
"""

import difflib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

from xresdiff.errors import ModelError
from xresdiff.models.card import CARD, ModelCard
from xresdiff.options import cache_dir, get_option, offline

__all__ = [
    "REMOTE",
    "Entry",
    "ModelTable",
    "at_hand",
    "cached",
    "fetch",
    "locate",
    "models",
    "names",
]

RETRIES = 3  # of a download that fails


@dataclass(frozen=True)
class Entry:
    """One known model.

    Parameters
    ----------
    name : str
        What `open_model` is asked for.
    url : str
        Where its ``.resdiff`` file is; empty for a model inside this package.
    sha256 : str
        Of that file; of ``card.json`` for a model inside this package.
    size_bytes : int
        Of all its files.
    licence, domain : str
        Terms of the weights, and where the model works.
    variables : tuple of str
        What it gives.
    """

    name: str
    url: str
    sha256: str
    size_bytes: int
    licence: str
    domain: str
    variables: tuple[str, ...]


REMOTE: tuple[Entry, ...] = ()


class ModelTable(tuple[Entry, ...]):
    """The known models: a tuple of entries that shows itself as a table.

    Examples
    --------
    >>> ModelTable([Entry("alps", "", "", 11_800_000, "Apache-2.0", "the Alps", ("t2m", "rain"))])
    name  size     licence     domain    variables  where
    alps  11.8 MB  Apache-2.0  the Alps  t2m, rain  with xresdiff
    """

    __slots__ = ()
    _COLUMNS = ("name", "size", "licence", "domain", "variables", "where")

    def __repr__(self) -> str:
        rows = [self._COLUMNS, *map(_cells, self)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def _repr_html_(self) -> str:
        head = _html_row("th", self._COLUMNS)
        body = "".join(_html_row("td", _cells(entry)) for entry in self)
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _cells(entry: Entry) -> tuple[str, ...]:
    size = f"{entry.size_bytes / 1e6:.1f} MB"
    fetched = "cached" if cached(entry).is_file() else "to be fetched"
    where = fetched if entry.url else "with xresdiff"
    variables = ", ".join(entry.variables)
    return (entry.name, size, entry.licence, entry.domain, variables, where)


def _html_row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def models() -> ModelTable:
    """List the known models, with their size, licence, domain and variables.

    Returns
    -------
    ModelTable
        A tuple of :class:`Entry`; no model is fetched for it.

    Examples
    --------
    >>> [entry.name for entry in models()] == names()
    True
    """
    return ModelTable([*(_entry(folder) for folder in _embedded().values()), *REMOTE])


def names() -> list[str]:
    """Return the names of the known models."""
    return [*_embedded(), *(entry.name for entry in REMOTE)]


def at_hand(name: str) -> bool:
    """Tell whether a known model can be opened without fetching it."""
    fetched = any(entry.name == name and cached(entry).is_file() for entry in REMOTE)
    return name in _embedded() or fetched


def _embedded() -> dict[str, Path]:
    """Return the folders of the models inside this package, by name."""
    root = Path(str(resources.files("xresdiff.models"))) / "embedded"
    return {card.parent.name: card.parent for card in sorted(root.glob(f"*/{CARD}"))}


def _entry(folder: Path) -> Entry:
    data = (folder / CARD).read_bytes()
    card = ModelCard.from_json(data)
    return Entry(
        name=folder.name,
        url="",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=sum(file.stat().st_size for file in folder.iterdir()),
        licence=card.licence,
        domain=card.target.domain,
        variables=tuple(channel.name for channel in card.outputs),
    )


def locate(name: str) -> Path:
    """Return the folder or file of a known model, fetched if need be.

    Raises
    ------
    ModelError
        If the name is unknown, or the model cannot be fetched.
    """
    embedded = _embedded()
    if name in embedded:
        return embedded[name]
    for entry in REMOTE:
        if entry.name == name:
            return fetch(entry)
    close = difflib.get_close_matches(name, names(), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    raise ModelError(
        f"no model is called {name!r}, and no file or folder either{hint} "
        f"Known models: {', '.join(names()) or 'none'}. A model of your own is opened by its path: "
        "open_model('path/to/model.resdiff')"
    )


def cached(entry: Entry) -> Path:
    """Return where the file of a remote model is kept, whether it is there or not."""
    return cache_dir() / "models" / f"{entry.name}-{entry.sha256[:16]}.resdiff"


def fetch(entry: Entry) -> Path:
    """Return the file of a remote model from the cache, downloaded into it if need be.

    Parameters
    ----------
    entry : Entry
        A model with a `url`.

    Returns
    -------
    Path
        A file with the sha256 of the entry.

    Raises
    ------
    ModelError
        If it is not in the cache and cannot be downloaded, may not be (``XRESDIFF_OFFLINE``),
        or is not the file that its sha256 promises.
    """
    path = cached(entry)
    if path.is_file() and _sha256(path) == entry.sha256:
        return path
    by_hand = f"To bring it by hand, copy {entry.url} to {path}"
    if offline():
        raise ModelError(
            f"the model {entry.name!r} is not in the cache, and XRESDIFF_OFFLINE forbids to fetch "
            f"it. {by_hand}"
        )
    import pooch

    fetcher = pooch.create(
        path.parent,
        base_url="",
        registry={path.name: f"sha256:{entry.sha256}"},
        urls={path.name: entry.url},
        retry_if_failed=RETRIES,
    )
    try:
        fetcher.fetch(path.name, progressbar=get_option("progress"))
    except ValueError as error:
        raise ModelError(
            f"what {entry.url} sends is not the model {entry.name!r} that xresdiff knows, or was "
            f"damaged on the way; it was thrown away ({error}). Try again later. {by_hand}"
        ) from error
    except OSError as error:
        raise ModelError(f"cannot fetch the model {entry.name!r} ({error}). {by_hand}") from error
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
