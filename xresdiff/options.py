"""Settings of the session: what is shown and where files are kept, never what is computed."""

import functools
import os
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["cache_dir", "get_option", "offline", "set_options"]

_OPTIONS: dict[str, Any] = {"progress": True}
_NO = ("", "0", "false", "f", "no", "n", "off")


class set_options:
    """Change settings, for good or within a ``with`` block.

    Parameters
    ----------
    progress : bool, default True
        Show progress bars, on standard error.

    Raises
    ------
    ValueError
        If a setting is unknown.

    Examples
    --------
    >>> with set_options(progress=False):
    ...     get_option("progress")
    False
    >>> get_option("progress")
    True
    """

    def __init__(self, **settings: Any) -> None:
        unknown = sorted(set(settings) - set(_OPTIONS))
        if unknown:
            raise ValueError(f"no setting called {unknown}; there are {sorted(_OPTIONS)}")
        self._before = {name: _OPTIONS[name] for name in settings}
        _OPTIONS.update(settings)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _OPTIONS.update(self._before)


def get_option(name: str) -> Any:
    """Return a setting by name."""
    return _OPTIONS[name]


def cache_dir() -> Path:
    """Return the folder of fetched files: ``XRESDIFF_CACHE``, else the user's cache folder.

    One that is not absolute is counted from where the process was when it was first asked for.
    """
    if named := os.environ.get("XRESDIFF_CACHE", "").strip():
        return _absolute(Path(named).expanduser())
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "xresdiff"


@functools.cache
def _absolute(path: Path) -> Path:
    return path.absolute()


def offline() -> bool:
    """Tell whether ``XRESDIFF_OFFLINE`` forbids every download."""
    return os.environ.get("XRESDIFF_OFFLINE", "").strip().lower() not in _NO
