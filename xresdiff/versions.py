"""What is installed: the first thing to paste into a report."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TextIO

from xresdiff.grids.esmf import weights_by

__all__ = ["show_versions"]

PACKAGES = (
    *("xresdiff", "xarray", "numpy", "scipy", "dask", "distributed", "zarr", "torch"),
    *("xesmf", "esmpy", "pooch", "cf-xarray", "pyproj", "safetensors", "matplotlib"),
    *("scores", "scoringrules"),
)


def show_versions(file: TextIO | None = None) -> None:
    """Print the versions of Python, of the system and of the packages that matter.

    The last line says what computes the weights of regridding: ESMPy, or what stands in for it.

    Parameters
    ----------
    file : text file, optional
        Where to print; standard output by default.

    Examples
    --------
    >>> show_versions()
    python      ...
    """
    rows = [("python", platform.python_version()), ("system", platform.platform())]
    for name in PACKAGES:
        try:
            rows.append((name, version(name)))
        except PackageNotFoundError:
            rows.append((name, "not installed"))
    rows.append(("weights by", weights_by()))
    (file or sys.stdout).write("".join(f"{name:13}{found}\n" for name, found in rows))
