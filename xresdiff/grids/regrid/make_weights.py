"""Compute regridding weights: through xESMF, or plainly bilinear in latitude and longitude."""

from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids import esmf
from xresdiff.grids.regrid import latlon_bilinear, weights
from xresdiff.grids.regrid.seams import closed_weights, goes_round
from xresdiff.grids.regrid.weights import Grid

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Method", "make_weights"]

Method = Literal[
    "bilinear",
    "conservative",
    "conservative_normed",
    "latlon_bilinear",
    "nearest_s2d",
    "nearest_d2s",
    "patch",
]

TWICE = 1e-6  # share of a target cell that may be covered twice, by rounding
LEAST_COVERED = 0.5  # share of a target cell below which its nearest neighbour speaks for it


def make_weights(source: Grid, target: Grid, method: str, *, reach: float = 0.0) -> str:
    """Compute the weights between two grids, unless they are at hand; return their key.

    Parameters
    ----------
    source, target : Grid
        Centres, and corners for conservative methods.
    method : str
        One of `Method`.
    reach : float, default 0
        Give targets that the source hardly covers the weights of the nearest one that it covers,
        up to so many cells away.

    Returns
    -------
    str
        Key for :func:`xresdiff.grids.regrid.weights.apply`.

    Raises
    ------
    InputError
        If the method does not suit the grids, or some of the target is out of reach.
    """
    by = "xresdiff" if method == "latlon_bilinear" else esmf.weights_by()
    key = weights.fingerprint(source, target, method, reach, by)
    if weights.load(key) is not None:
        return key
    made = _made(source, target, method)
    if reach:
        made = _extended(made, _shape(target), reach)
    made.eliminate_zeros()
    weights.save(key, made)
    return key


def _made(source: Grid, target: Grid, method: str) -> "csr_array":
    """Compute weights, (target, source)."""
    round_ = goes_round(source["lon"])
    if method == "latlon_bilinear":
        return latlon_bilinear.interpolation(source, target, periodic=round_)
    if method in ("bilinear", "patch") and round_:
        return closed_weights(
            source, target, lambda part, caps: _by_xesmf(part, target, method, periodic=caps)
        )
    made = _by_xesmf(source, target, method)
    if method == "conservative" and made.sum(axis=1).max(initial=0.0) > 1 + TWICE:
        raise InputError(
            "cannot regrid (conservative): cells of the input cover some places twice, as grids of "
            "ocean models do that repeat columns at their seam; leave the copies out: "
            "ds.isel({'i': slice(1, -1)}), say"
        )
    return made


def _by_xesmf(source: Grid, target: Grid, method: str, *, periodic: bool = False) -> "csr_array":
    """Let xESMF compute the weights, (target, source)."""
    xesmf = esmf.import_xesmf()
    try:
        regridder = xesmf.Regridder(_dataset(source), _dataset(target), method, periodic=periodic)
    except ValueError as error:
        told = str(error).replace(", or pass ignore_degenerate=True", "")
        raise InputError(f"cannot regrid ({method}): {told}") from error
    return regridder.weights.data.to_scipy_sparse().tocsr()


def _dataset(grid: Grid) -> xr.Dataset:
    """Return a grid as xESMF takes it."""
    flat = grid["lat"].ndim == 1
    dims = {
        "lat": ("lat",) if flat else ("y", "x"),
        "lon": ("lon",) if flat else ("y", "x"),
        "lat_b": ("lat_b",) if flat else ("y_b", "x_b"),
        "lon_b": ("lon_b",) if flat else ("y_b", "x_b"),
    }
    # in the order that xESMF takes without a copy and a warning
    rows = {name: np.ascontiguousarray(values) for name, values in grid.items()}
    return xr.Dataset(coords={name: (dims[name], values) for name, values in rows.items()})


def _shape(grid: Grid) -> tuple[int, int]:
    lat, lon = grid["lat"], grid["lon"]
    return (lat.size, lon.size) if lat.ndim == 1 else lat.shape


def _extended(made: "csr_array", shape: tuple[int, int], reach: float) -> "csr_array":
    """Give targets that are hardly covered the weights of their nearest neighbour that is.

    Those of targets that are covered in part sum to one: they are means of what is known.
    """
    from scipy.ndimage import distance_transform_edt

    covered = (made.sum(axis=1) >= LEAST_COVERED).reshape(shape)
    if not covered.any():
        raise InputError(
            "the input covers nothing of the grid that is wanted; take a grid within it: "
            "xresdiff.target_grid(ds, spacing_km=...)"
        )
    distance, nearest = distance_transform_edt(~covered, return_indices=True)
    if distance.max() > reach:
        raise InputError(
            f"the input leaves {(~covered).sum()} of {covered.size} cells of the grid uncovered, "
            f"up to {distance.max():.0f} cells away from it; take a grid within the input: "
            "xresdiff.target_grid(ds, spacing_km=...)"
        )
    whole = made.multiply(1 / np.where(covered.ravel(), made.sum(axis=1), 1)[:, None]).tocsr()
    return whole[np.ravel_multi_index(tuple(nearest), shape).ravel()]
