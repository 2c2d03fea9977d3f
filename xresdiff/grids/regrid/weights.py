"""Regridding weights: computed once per pair of grids by xESMF, kept on disk, loaded by key.

A key is the path of a weight file in xESMF's own format, so ``xesmf.Regridder(..., weights=key)``
reads it too. Graphs carry keys: a process that meets one for the first time reads the file.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, warn
from xresdiff.options import cache_dir

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Grid", "apply", "fingerprint", "load", "save"]

Grid = Mapping[str, np.ndarray]
"""Centres ``lat`` and ``lon`` in degrees, one- or two-dimensional, and ``lat_b`` and ``lon_b``."""

FORMAT = 1  # raised when the weights of one pair of grids change for any reason
KEPT = 8  # sets of weights that a process holds, the last used ones

_ONLY_HERE: "dict[str, csr_array]" = {}  # what could not be written, so is never let go
_LOADED: "OrderedDict[str, csr_array]" = OrderedDict()
_LOADING = threading.RLock()


def fingerprint(source: Grid, target: Grid, *how: object) -> str:
    """Return the key of the weights between two grids: a path in the cache folder.

    Parameters
    ----------
    source, target : Grid
        The grids; every digit of them counts.
    *how
        Whatever else the weights depend on, such as the method.

    Returns
    -------
    str
        The same for the same arguments, wherever and whenever.

    Examples
    --------
    >>> grid = {"lat": np.arange(3.0), "lon": np.arange(4.0)}
    >>> fingerprint(grid, grid, "bilinear") == fingerprint(grid, grid, "conservative")
    False
    """
    digest = sha256(repr((FORMAT, *how)).encode())
    for grid in (source, target):
        for name in sorted(grid):
            values = np.ascontiguousarray(grid[name], dtype="<f8")
            digest.update(f"{name}{values.shape}".encode())
            digest.update(values.data)
    return str(cache_dir().absolute() / "regrid" / f"{digest.hexdigest()[:32]}.nc")


def save(key: str, weights: "csr_array") -> None:
    """Keep weights under a key: in this process, and on disk if that can be written.

    Parameters
    ----------
    key : str
        From :func:`fingerprint`.
    weights : scipy.sparse.csr_array, (target, source)
        One row for every target point.
    """
    with _LOADING:
        _keep(key, weights)
    try:
        _write(Path(key), weights)
    except OSError as error:
        _ONLY_HERE[key] = weights
        warn(
            f"the regridding weights cannot be kept in {Path(key).parent} ({error}), so that other "
            "processes will lack them. Set XRESDIFF_CACHE to a folder that can be written"
        )


def load(key: str) -> "csr_array | None":
    """Return the weights of a key, None if there are none or their file is damaged."""
    with _LOADING:  # or each of the threads that come first would read the file
        weights = _LOADED.get(key, _ONLY_HERE.get(key))
        if weights is None and Path(key).exists():
            weights = _read(Path(key))
        if weights is not None:
            _keep(key, weights)
        return weights


def apply(
    fields: np.ndarray,
    *,
    key: str,
    shape: tuple[int, int],
    skipna: bool = False,
    na_thres: float = 1.0,
) -> np.ndarray:
    """Regrid fields.

    Parameters
    ----------
    fields : numpy.ndarray, (..., y, x)
        On the source grid.
    key : str
        Of the weights.
    shape : tuple of int
        Size of the target grid, (y, x).
    skipna : bool, default False
        Leave missing values out and renormalise; otherwise whatever a missing value weighs on is
        missing.
    na_thres : float, default 1
        With `skipna`, the largest share of missing weight of a target that is not missing.

    Returns
    -------
    numpy.ndarray, (..., y, x)
        In the precision of `fields`; NaN where there are no weights.

    Raises
    ------
    InputError
        If the file of the weights is missing.

    Notes
    -----
    With `skipna` this is what :class:`xesmf.Regridder` computes, with a sparse matrix of SciPy's in
    place of a four-dimensional one in every task's graph.
    """
    weights = load(key)
    if weights is None:
        raise InputError(
            f"the regridding weights {key} are missing or damaged; set XRESDIFF_CACHE to a folder "
            "that all workers share, and build the graph again"
        )
    dtype = np.result_type(fields.dtype, np.float32)
    flat = fields.reshape(-1, weights.shape[1]).T  # (source, field)
    if skipna:
        missing = np.isnan(flat)
        result = weights @ np.where(missing, 0, flat)
        known = weights @ (~missing).astype(np.float64)
        enough = known >= np.clip(1 - na_thres, 1e-6, 1 - 1e-6)
        result = np.where(enough, result / np.where(enough, known, 1), np.nan)
    else:
        result = weights @ flat
        result[np.diff(weights.indptr) == 0] = np.nan
    return result.T.reshape(*fields.shape[:-2], *shape).astype(dtype)


def _keep(key: str, weights: "csr_array") -> None:
    """Hold the weights of a key as the last used."""
    _LOADED[key] = weights
    _LOADED.move_to_end(key)
    while len(_LOADED) > KEPT:
        _LOADED.popitem(last=False)


def _write(path: Path, weights: "csr_array") -> None:
    """Write a weight file whole or not at all."""
    pairs = weights.tocoo()
    file = xr.Dataset(
        {
            "row": ("n_s", pairs.coords[0].astype(np.int32) + 1),
            "col": ("n_s", pairs.coords[1].astype(np.int32) + 1),
            "S": ("n_s", pairs.data),
        }
    )
    attrs = {"n_a": weights.shape[1], "n_b": weights.shape[0], "sha256": _digest(file)}
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        file.assign_attrs(attrs).to_netcdf(scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _read(path: Path) -> "csr_array | None":
    """Read a weight file, None if it is damaged."""
    from scipy.sparse import coo_array

    try:
        with xr.open_dataset(path) as lazy:
            file = lazy.load()
        if file.attrs["sha256"] != _digest(file):
            return None
        shape = int(file.attrs["n_b"]), int(file.attrs["n_a"])
        pairs = (file["row"].values - 1, file["col"].values - 1)
    except (OSError, KeyError, ValueError):
        return None
    return coo_array((file["S"].values, pairs), shape=shape).tocsr()


def _digest(file: xr.Dataset) -> str:
    digest = sha256()
    for name in ("row", "col", "S"):
        digest.update(np.ascontiguousarray(file[name].values).data)
    return digest.hexdigest()
