"""Make target grids: so far, a coarse grid whose cells are split by a whole factor."""

from collections.abc import Hashable
from operator import index

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, raise_problems
from xresdiff.grids.coords import KM_PER_UNIT, Horizontal, check_uniform, find_horizontal, step_of

__all__ = ["refine", "whole_factor"]

# What a coordinate's attributes say of its values or of other variables, untrue of finer values.
_STALE_ATTRS = frozenset({"bounds", "actual_range", "valid_min", "valid_max", "valid_range"})

_LATITUDE_ATTRS = {"standard_name": "latitude", "units": "degrees_north"}
_LONGITUDE_ATTRS = {"standard_name": "longitude", "units": "degrees_east"}


def refine(obj: xr.Dataset | xr.DataArray, factor: int) -> xr.Dataset:
    """Split every cell of a uniform grid into factor x factor equal cells.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Object on the coarse grid, its coordinates at the centres of the cells; never changed.
    factor : int
        Fine cells along a side of a coarse cell, at least 1.

    Returns
    -------
    xarray.Dataset
        Coordinates of the fine cells' centres, in float64: with the names, attributes, direction
        and longitude convention of the coarse ones, the grid mapping variable if there is one,
        and two-dimensional latitude and longitude in degrees if it says how to compute them.

    Raises
    ------
    InputError
        If there is no uniform grid, `factor` is no whole positive number, or a cell reaches
        beyond a pole.

    Examples
    --------
    >>> coarse = xr.Dataset(coords={"lat": [51.0, 50.0], "lon": [0.0, 1.0]})
    >>> fine = refine(coarse, 2)
    >>> fine.lat.values, fine.lon.values
    (array([51.25, 50.75, 50.25, 49.75]), array([-0.25,  0.25,  0.75,  1.25]))
    """
    factor = whole_factor(factor)
    grid = find_horizontal(obj)
    raise_problems(check_uniform(grid) or _poles_crossed(grid), what="refine the grid")
    y = _split(grid.y_values, factor)
    # Each fine cell stays in the turn of its coarse cell: 359.9 and 0.1 remain what they are.
    turns = np.repeat(grid.x_values - grid.x_coord.values, factor)
    x = _split(grid.x_values, factor) - turns
    fine = xr.Dataset(
        coords={
            grid.y: (grid.dims[0], y, _lasting_attrs(grid.y_coord)),
            grid.x: (grid.dims[1], x, _lasting_attrs(grid.x_coord)),
        }
    )
    if grid.grid_mapping is None:
        return fine
    mapping = obj[grid.grid_mapping].variable.copy()
    return fine.assign_coords(
        {grid.grid_mapping: mapping, **_geographic(grid, y, x, mapping.attrs)}
    )


def whole_factor(factor: int) -> int:
    """Return `factor` as an int, refuse what is no whole number of at least 1."""
    try:
        whole = index(factor)
    except TypeError:
        whole = 0
    if whole < 1:
        raise InputError(f"the factor must be a whole number of at least 1, not {factor!r}")
    return whole


def _poles_crossed(grid: Horizontal) -> list[str]:
    """Say which rows of cells reach beyond a pole: those centred on it, mostly."""
    if grid.kind != "latlon":
        return []
    y = grid.y_values
    reach = np.abs(y) + abs(step_of(y, grid.y)) * (0.5 - 1e-3)
    beyond = np.unique(y[reach > 90])
    if not beyond.size:
        return []
    rows = ", ".join(f"{value:g}" for value in beyond)
    return [
        f"the cells at {grid.y!r} = {rows} reach beyond a pole; leave them out: "
        f"ds.isel({{{grid.dims[0]!r}: abs(ds[{grid.y!r}].values) < {np.abs(beyond).min():g}}})"
    ]


def _split(centres: np.ndarray, factor: int) -> np.ndarray:
    """Return the centres of the parts of even cells, ``(n,) -> (n * factor,)``."""
    n = centres.size
    places = (np.arange(n * factor) + 0.5) / factor - 0.5  # 0 to n - 1 at the coarse centres
    return centres[0] + places * ((centres[-1] - centres[0]) / (n - 1))


def _lasting_attrs(coord: xr.DataArray) -> dict[str, object]:
    return {name: value for name, value in coord.attrs.items() if name not in _STALE_ATTRS}


def _geographic(
    grid: Horizontal, y: np.ndarray, x: np.ndarray, mapping: dict[str, object]
) -> dict[Hashable, xr.Variable]:
    """Return two-dimensional latitude and longitude, if the grid mapping tells how."""
    if grid.kind == "latlon" or not grid.units:
        return {}
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    try:
        crs = CRS.from_cf(mapping)
        # a rotated pole is a geographic CRS itself, derived from the one of true latitudes
        true = crs.source_crs if grid.kind == "rotated" else crs.geodetic_crs
        transformer = Transformer.from_crs(crs, true, always_xy=True)
    except (ProjError, KeyError):
        return {}
    if crs.is_geographic != (grid.kind == "rotated"):  # a mapping of other coordinates
        return {}
    scale = 1.0
    if grid.kind == "projected":  # from the unit of the coordinates to that of the CRS
        scale = 1e3 * KM_PER_UNIT[grid.units] / crs.axis_info[0].unit_conversion_factor
    lon, lat = transformer.transform(*np.meshgrid(x * scale, y * scale))
    lat_name, lon_name = grid.geographic or ("lat", "lon")
    return {
        lat_name: xr.Variable(grid.dims, lat, _LATITUDE_ATTRS),
        lon_name: xr.Variable(grid.dims, lon, _LONGITUDE_ATTRS),
    }
