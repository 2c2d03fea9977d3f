"""Weights for averages over a grid: how large its cells are."""

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import EARTH_RADIUS_KM, KM_PER_UNIT, Horizontal, find_horizontal

__all__ = ["cell_area"]

EARTH_RADIUS_M = 1e3 * EARTH_RADIUS_KM


def cell_area(ds: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Measure the cells of a grid, for use as `weights`.

    The edges of the cells lie half way between the points. On latitude and longitude, of a rotated
    pole too, the area is exact on the sphere of 6371 km; projected lengths are taken as
    they are; two-dimensional latitude and longitude are differenced between neighbours.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataArray
        Anything with horizontal coordinates. Only these are read.

    Returns
    -------
    xarray.DataArray, (y, x)
        Area in m2, with the names and coordinates of the grid.

    Raises
    ------
    InputError
        If there are no horizontal coordinates, their unit of length is unknown, or a direction
        has a single point.

    Examples
    --------
    >>> ds = xr.Dataset(coords={"lat": [-45.0, 45.0], "lon": [0.0, 90.0, 180.0, 270.0]})
    >>> area = cell_area(ds)
    >>> area.sum().item() / (4 * np.pi * 6371e3**2)
    1.0
    """
    grid = find_horizontal(ds)
    single = [d for d in grid.dims if ds.sizes[d] < 2]
    if single:
        raise InputError(
            f"cells along {single} have no size: a single point. Give weights of your own, or "
            "average without"
        )
    areas = {"projected": _planar, "curvilinear": _curvilinear}.get(grid.kind, _spherical)(grid)
    coords = {name: c for name, c in ds.coords.items() if set(c.dims) <= set(grid.dims)}
    attrs = {"standard_name": "cell_area", "long_name": "area of the cell", "units": "m2"}
    return xr.DataArray(areas, coords, grid.dims, name="cell_area", attrs=attrs)


def _spherical(grid: Horizontal) -> np.ndarray:
    """Areas of latitude-longitude cells: differences of the sine of latitude."""
    south_north = np.sin(np.radians(np.clip(_edges(grid.y_values), -90, 90)))
    widths = np.abs(np.diff(np.radians(_edges(grid.x_values))))
    return EARTH_RADIUS_M**2 * np.outer(np.abs(np.diff(south_north)), widths)


def _planar(grid: Horizontal) -> np.ndarray:
    """Areas of cells of a plane."""
    if grid.units not in KM_PER_UNIT:
        raise InputError(
            f"the coordinates {grid.y!r} and {grid.x!r} have no unit of length. Say which: "
            f"ds[{grid.y!r}].attrs['units'] = 'm'"
        )
    metres = 1e3 * KM_PER_UNIT[grid.units]
    heights, widths = (np.abs(np.diff(_edges(v))) for v in (grid.y_values, grid.x_values))
    return metres**2 * np.outer(heights, widths)


def _curvilinear(grid: Horizontal) -> np.ndarray:
    """Areas spanned by the steps to the neighbours, as vectors from the centre of the Earth."""
    lat, lon = (
        np.radians(c.transpose(*grid.dims).values.astype(np.float64))
        for c in (grid.y_coord, grid.x_coord)
    )
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    along_y, along_x = np.gradient(points, axis=(0, 1))
    return EARTH_RADIUS_M**2 * np.linalg.norm(np.cross(along_y, along_x), axis=-1)


def _edges(centres: np.ndarray) -> np.ndarray:
    """Edges half way between the centres, the outer ones as far outside as the next inside."""
    inner = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - inner[0]], inner, [2 * centres[-1] - inner[-1]]])
