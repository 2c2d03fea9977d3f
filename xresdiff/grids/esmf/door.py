"""Import xESMF, with ESMPy where it is installed and with a stand-in elsewhere."""

import builtins
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import version
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
from typing import Any

from xresdiff.errors import PACKAGE, MissingDependencyError

__all__ = ["import_xesmf", "weights_by"]

#: ESMPy's names: today's, and the one before 2023.
NAMES = ("esmpy", "ESMF")

_lock = Lock()


def import_xesmf() -> ModuleType:
    """Import xESMF and return it.

    Its weights are computed by ESMPy where that is installed, else by this package. Importing
    ESMPy fails afterwards as it did before: its stand-in is seen by xESMF alone.

    Returns
    -------
    module
        ``xesmf``.

    Raises
    ------
    MissingDependencyError
        If xESMF, or something that it needs beside ESMPy, is not installed.

    Notes
    -----
    Worker processes import xESMF on their own. Those of ``xesmf.Regridder(..., parallel=True)``
    find the stand-in with ``dask.config.set({"multiprocessing.initializer": import_xesmf})``.

    Examples
    --------
    >>> import_xesmf().Regridder
    <class 'xesmf.frontend.Regridder'>
    """
    try:
        with _lock:
            if hasattr(sys.modules.get("xesmf"), "Regridder") or _esmpy() is not None:
                return import_module("xesmf")
            with _stand_in_for_xesmf():
                return import_module("xesmf")
    except ImportError as error:
        raise MissingDependencyError(
            f"regridding needs xESMF, and importing it failed: {error}. Install it with: "
            "pip install xesmf"
        ) from error


def weights_by() -> str:
    """Say what computes the weights of regridding.

    Examples
    --------
    >>> weights_by()
    '...'
    """
    esmpy = _esmpy()
    if esmpy is not None:
        return f"ESMPy {getattr(esmpy, '__version__', 'of unknown version')}"
    broken = [name for name in NAMES if find_spec(name)]
    why = f", since {broken[0]} is installed but does not import" if broken else ""
    return f"the stand-in for ESMPy of xresdiff {version(PACKAGE)}{why}"


def _esmpy() -> ModuleType | None:
    """Import ESMPy, whatever its name; None where that fails."""
    for name in NAMES:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


@contextmanager
def _stand_in_for_xesmf() -> Iterator[None]:
    """Let the modules of xESMF that are imported meanwhile find the stand-in."""
    finder = _XesmfFinder(sys.meta_path)
    # Each time a new list: another thread may be walking along the old one.
    sys.meta_path = [finder, *sys.meta_path]
    try:
        yield
    finally:
        sys.meta_path = [other for other in sys.meta_path if other is not finder]


class _XesmfFinder(MetaPathFinder):
    """Find the modules of xESMF as others do, and have them loaded with the stand-in."""

    def __init__(self, others: Sequence[Any]) -> None:
        self.others = tuple(others)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module, None if it is not one of xESMF's."""
        if fullname.partition(".")[0] != "xesmf":
            return None
        found = (other.find_spec(fullname, path, target) for other in self.others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _XesmfLoader(spec.loader.name, spec.loader.path)
        return spec


class _XesmfLoader(SourceFileLoader):
    """Run a module with built-in functions of its own.

    Python takes the built-in functions of a module from the ``__builtins__`` among its globals,
    and what ``import`` does is one of them. So these modules, and no others, see the stand-in.
    """

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import_for_xesmf}
        super().exec_module(module)


def _import_for_xesmf(name: str, *args: Any, **kwargs: Any) -> ModuleType:
    """Import a module for xESMF: the stand-in under ESMPy's names, all others as ever."""
    if name in NAMES:
        return import_module("xresdiff.grids.esmf.standin")
    return builtins.__import__(name, *args, **kwargs)
