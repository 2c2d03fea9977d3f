"""Coarser grids of blocks: fields by block means, or the grid alone."""

from collections.abc import Hashable
from typing import TypeVar

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.cells.sphere import latlon_of, unit_vectors
from xresdiff.grids.coords import Horizontal, find_horizontal
from xresdiff.grids.target import whole_factor

__all__ = ["coarsen", "unrefine"]

Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)


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


def unrefine(grid: xr.Dataset | xr.DataArray, factor: int) -> xr.Dataset:
    """Return the coarse grid whose refinement begins with a fine grid.

    Parameters
    ----------
    grid : xarray.Dataset or xarray.DataArray, (y, x)
        A fine grid, uniform or with two-dimensional latitude and longitude.
    factor : int
        Fine cells along a side of a coarse cell.

    Returns
    -------
    xarray.Dataset
        Centres of blocks of factor x factor cells. Where a size is no multiple of the factor, the
        last blocks reach beyond the fine grid.

    Examples
    --------
    >>> fine = xr.Dataset(coords={"lat": [0.5, 1.5, 2.5], "lon": [0.5, 1.5, 2.5, 3.5]})
    >>> coarse = unrefine(fine, 2)
    >>> coarse.lat.values, coarse.lon.values
    (array([1., 3.]), array([1., 3.]))
    """
    horizontal, factor = find_horizontal(grid), whole_factor(factor)
    places = {
        dim: np.arange(0, grid.sizes[dim], factor) + (factor - 1) / 2 for dim in horizontal.dims
    }
    coarse = xr.Dataset()
    if horizontal.kind != "curvilinear":
        y, x = horizontal.dims
        coarse = coarse.assign_coords(
            {
                horizontal.y: (y, _at(horizontal.y_values, places[y]), horizontal.y_coord.attrs),
                horizontal.x: (x, _at(horizontal.x_values, places[x]), horizontal.x_coord.attrs),
            }
        )
    if horizontal.geographic is not None:
        lat, lon = _latlon(grid, horizontal)
        points = unit_vectors(lat.values, lon.values)
        for axis, dim in enumerate(horizontal.dims):
            points = np.moveaxis(_at(np.moveaxis(points, axis, 0), places[dim]), 0, axis)
        for coord, values in zip((lat, lon), latlon_of(points), strict=True):
            coarse[coord.name] = (horizontal.dims, values, coord.attrs)
        coarse = coarse.set_coords(list(horizontal.geographic))
    if horizontal.grid_mapping is not None:
        mapping = grid[horizontal.grid_mapping].variable.copy()
        coarse = coarse.assign_coords({horizontal.grid_mapping: mapping})
    for coord in coarse.coords.values():
        coord.attrs.pop("bounds", None)
    return coarse


def _latlon(
    grid: xr.Dataset | xr.DataArray, horizontal: Horizontal
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return two-dimensional latitude and longitude, y first."""
    assert horizontal.geographic is not None  # the caller's to check
    if horizontal.kind == "curvilinear":
        return horizontal.y_coord, horizontal.x_coord
    lat, lon = (grid[name].transpose(*horizontal.dims) for name in horizontal.geographic)
    return lat, lon


def _at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolate along the first axis at fractional places, going straight on beyond its end."""
    first = np.clip(places.astype(int), 0, max(len(values) - 2, 0))
    second = np.minimum(first + 1, len(values) - 1)
    way = (places - first).reshape(-1, *(1,) * (values.ndim - 1))
    return values[first] + way * (values[second] - values[first])


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
