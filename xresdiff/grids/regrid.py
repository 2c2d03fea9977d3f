"""Move fields between grids: onto any grid by xESMF, onto a coarser one by block means."""

from collections.abc import Hashable
from typing import TypeVar

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import Horizontal, find_horizontal, step_of
from xresdiff.grids.esmf import import_xesmf
from xresdiff.grids.target import whole_factor

__all__ = ["coarsen", "regrid"]

Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)


def regrid(obj: Labelled, target: xr.Dataset, *, method: str = "bilinear") -> Labelled:
    """Interpolate onto another grid with xESMF.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray, (..., y, x)
        Fields on a grid with latitude and longitude.
    target : xarray.Dataset
        Grid with latitude and longitude, one- or two-dimensional.
    method : str, default "bilinear"
        Method of :class:`xesmf.Regridder`.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        Fields on the target grid, NaN outside of the input's; lazy if `obj` is.

    Raises
    ------
    MissingDependencyError
        If xESMF or ESMPy is not installed.
    InputError
        If `obj` has no horizontal coordinates.
    """
    xesmf = import_xesmf()
    periodic = _goes_round(find_horizontal(obj))
    regridder = xesmf.Regridder(obj, target, method, periodic=periodic, unmapped_to_nan=True)
    return regridder(obj, keep_attrs=True)


def coarsen(obj: Labelled, factor: int) -> Labelled:
    """Average blocks of factor x factor cells.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray, (..., y, x)
        Fields whose sizes along y and x are multiples of `factor`.
    factor : int
        Cells along a side of a block.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        Block means, NaN where a block has any NaN, coordinates at the centres of the blocks;
        lazy if `obj` is.

    Raises
    ------
    InputError
        If there are no horizontal coordinates, `factor` is no whole positive number, or a size
        is no multiple of it.

    Examples
    --------
    >>> fine = xr.DataArray(
    ...     np.arange(8.0).reshape(2, 4),
    ...     {"lat": [0.0, 1.0], "lon": [179.0, -180.0, -179.0, -178.0]},
    ... )
    >>> coarse = coarsen(fine, 2)
    >>> coarse.values, coarse.lat.values, coarse.lon.values
    (array([[2.5, 4.5]]), array([0.5]), array([ 179.5, -178.5]))
    """
    factor, grid = whole_factor(factor), find_horizontal(obj)
    uneven = {dim: n for dim in grid.dims if (n := obj.sizes[dim]) % factor or not n}
    if uneven:
        fitting = ", ".join(f"{dim!r}: slice({n - n % factor})" for dim, n in uneven.items())
        raise InputError(
            f"the sizes {uneven} are not multiples of the factor {factor}; cut the rest off: "
            f"ds.isel({{{fitting}}})"
        )
    blocks = _without_bounds(obj, grid).coarsen(
        dict.fromkeys(grid.dims, factor),
        coord_func=dict.fromkeys(_longitudes(grid), _mean_degrees),
    )
    return blocks.reduce(np.mean, keep_attrs=True)


def _goes_round(grid: Horizontal) -> bool:
    """Tell whether the last longitude is the western neighbour of the first."""
    if grid.kind != "latlon":
        return False
    step = abs(step_of(grid.x_values, grid.x))
    return step * (grid.x_values.size + 0.5) >= 360


def _without_bounds(obj: Labelled, grid: Horizontal) -> Labelled:
    """Drop the bounds of cells, whose means bound nothing."""
    coords = {c.name: c.variable.copy(deep=False) for c in (grid.y_coord, grid.x_coord)}
    bounds = [coord.attrs.pop("bounds", None) for coord in coords.values()]
    return obj.assign_coords(coords).drop_vars([b for b in bounds if b], errors="ignore")


def _longitudes(grid: Horizontal) -> set[Hashable]:
    """Return the names of the coordinates that are angles with a jump at 180 or 360 degrees."""
    angles = set() if grid.kind == "projected" else {grid.x}
    return angles | {grid.geographic[1]} if grid.geographic else angles


def _mean_degrees(values: np.ndarray, axis: tuple[int, ...], **_: object) -> np.ndarray:
    """Average angles that lie close together, in the turn of the first: 179 and -178 give 180.5."""
    first = values
    for i in axis:
        first = np.take(first, [0], axis=i)
    return np.mean(first + (values - first + 180) % 360 - 180, axis=axis)
