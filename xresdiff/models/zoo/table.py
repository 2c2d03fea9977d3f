"""The table of known models: for terminals, for notebooks, and by column."""

import textwrap
from collections.abc import Iterable
from html import escape
from typing import Any, SupportsIndex, overload

from xresdiff.models.zoo import registry
from xresdiff.models.zoo.entries import Entry
from xresdiff.models.zoo.fetch import state

__all__ = ["ModelTable", "models"]

WIDTH = 80  # of a terminal
GAP = "  "
COLUMNS = ("name", "resolution", "domain", "size", "state")
NARROWEST = 10  # that a column which wraps is made

_ALL = (
    *("name", "title", "resolution", "domain", "inputs", "outputs", "size", "licence"),
    *("hash_source", "citation", "state", "reason"),
)


class ModelTable(tuple[Entry, ...]):
    """The known models: a tuple of entries that shows itself as a table.

    ``table["size"]`` is a column, ``table[0]`` an :class:`Entry`.

    Examples
    --------
    >>> alps = Entry("alps", inputs=("tp",), outputs=("tp", "t2m"), domain="Alps", size_bytes=10**7)
    >>> table = ModelTable([alps])
    >>> table
    name  resolution  domain  size     state
    alps              Alps    10.0 MB  with xresdiff
      in: tp
      out: tp, t2m
    >>> table["domain"]
    ('Alps',)
    """

    __slots__ = ()

    @overload
    def __getitem__(self, key: str) -> tuple[str, ...]: ...
    @overload
    def __getitem__(self, key: SupportsIndex) -> Entry: ...
    @overload
    def __getitem__(self, key: slice) -> "ModelTable": ...
    def __getitem__(self, key: Any) -> Any:
        """Return a column by its name, or as a tuple does.

        Raises
        ------
        KeyError
            If there is no such column.
        """
        if isinstance(key, str):
            if key not in _ALL:
                raise KeyError(f"there is no column {key!r}; there are {', '.join(_ALL)}")
            return tuple(_cell(entry, key) for entry in self)
        found = super().__getitem__(key)
        return ModelTable(found) if isinstance(key, slice) else found

    def __repr__(self) -> str:
        widths = _widths([COLUMNS, *(_cells(entry, COLUMNS) for entry in self)])
        lines = _wrapped(COLUMNS, widths)
        for entry in self:
            lines += _wrapped(_cells(entry, COLUMNS), widths)
            lines += _below(entry)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = _html_row("th", _ALL)
        body = "".join(_html_row("td", _cells(entry, _ALL)) for entry in self)
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def models() -> ModelTable:
    """List the known models: resolution, domain, inputs, outputs, size, licence, cached or not.

    Returns
    -------
    ModelTable
        A tuple of :class:`Entry`; no model is fetched for it. Those that cannot be run are listed
        with the reason.

    Raises
    ------
    ModelError
        If anything in the registry file that ``XRESDIFF_REGISTRY`` names is wrong; for that of the
        cache folder there is a warning.

    Examples
    --------
    >>> models()["name"][:2]
    ('rain-16x', 'corrdiff-taiwan')
    """
    return ModelTable(registry.entries())


def _cells(entry: Entry, columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(_cell(entry, column) for column in columns)


def _cell(entry: Entry, column: str) -> str:
    if column == "state":
        return state(entry)
    if column == "size":
        return _size(entry.size_bytes) if entry.size_bytes else "unknown"
    value = getattr(entry, column)
    return ", ".join(value) if isinstance(value, tuple) else value


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


def _widths(rows: list[tuple[str, ...]]) -> list[int]:
    """Return the widths of the columns; the widest are wrapped until all of them fit."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = WIDTH - len(GAP) * (len(widths) - 1)
    widths[0] = min(widths[0], room - NARROWEST * (len(widths) - 1))
    while sum(widths) > room and max(widths[1:]) > NARROWEST:
        widths[1 + widths[1:].index(max(widths[1:]))] -= 1  # names stay whole, if they can
    return widths


def _wrapped(cells: Iterable[str], widths: list[int]) -> list[str]:
    """Return the lines of one row."""
    columns = [
        textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=True)
    ]
    return [
        GAP.join(
            (column[i] if i < len(column) else "").ljust(width)
            for column, width in zip(columns, widths, strict=True)
        ).rstrip()
        for i in range(max(map(len, columns)))
    ]


def _below(entry: Entry) -> list[str]:
    """Return the lines below a row: what goes in and out, the licence, why it is not ready."""
    told = {
        "in": ", ".join(entry.inputs),
        "out": ", ".join(entry.outputs),
        "licence": entry.licence,
        entry.status: entry.reason,
    }
    return [
        line
        for what, text in told.items()
        if text
        for line in textwrap.wrap(
            f"{what}: {text}", WIDTH, initial_indent="  ", subsequent_indent="    "
        )
    ]


def _html_row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
