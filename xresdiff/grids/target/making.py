"""Make target grids: regular, projected, over the place of a Dataset, or its cells split."""

from collections.abc import Hashable
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, raise_problems
from xresdiff.grids.cells import edges, footprint
from xresdiff.grids.cells.bounds import bounds_of
from xresdiff.grids.cells.projection import (
    LATITUDE_ATTRS,
    LONGITUDE_ATTRS,
    cf_attrs,
    grid_crs,
    is_rotated,
    project,
    read_crs,
    to_latlon,
)
from xresdiff.grids.coords import KM_PER_UNIT, Horizontal, check_uniform, find_horizontal, step_of
from xresdiff.grids.target import rectangles
from xresdiff.grids.target.arguments import Given, check_arguments

if TYPE_CHECKING:
    from pyproj import CRS

__all__ = ["refine", "target_grid", "whole_factor"]

# What a coordinate's attributes say of its values or of other variables, untrue of finer values.
_STALE_ATTRS = frozenset({"bounds", "actual_range", "valid_min", "valid_max", "valid_range"})


def target_grid(
    like: xr.Dataset | xr.DataArray | None = None,
    *,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    spacing_deg: float | None = None,
    spacing_km: float | None = None,
    crs: Any = None,
    center: tuple[float, float] | None = None,
    shape: tuple[int, int] | None = None,
    y_km: tuple[float, float] | None = None,
    x_km: tuple[float, float] | None = None,
) -> xr.Dataset:
    """Make a grid: regular in latitude and longitude, in a projection, or where a Dataset is.

    ======================================= ====================================================
    What is given                           What is made
    ======================================= ====================================================
    `lat`, `lon`, `spacing_deg`             equal steps of latitude and longitude
    `lat`, `lon`, `spacing_km`              the same, as wide as high at the middle latitude
    `crs`, `center`, `shape`, `spacing_km`  a projection: so many cells around a place
    `crs`, `y_km`, `x_km`, `spacing_km`     a projection: a box in its plane
    `crs`, `lat`, `lon`, `spacing_km`       a projection: all of a box of latitude and longitude
    `like`                                  the grid of a Dataset, without its data
    `like`, `spacing_km`                    its place, in its own projection if it has one
    `like`, `spacing_deg`                   its place, in equal steps of latitude and longitude
    `like`, `crs`, `spacing_km`             its place, in a projection
    ======================================= ====================================================

    A box holds as many whole cells as fit, from its south-western corner on: what is left over
    in the north and east, less than a cell, is left out. A box of latitude and longitude in a
    projection is covered instead, by cells whose edges are whole multiples of the spacing. Over
    a Dataset whose cells fill no rectangle in the new plane, the box is the largest that fits
    among them, about their middle and of the proportions of the one around them.

    Parameters
    ----------
    like : xarray.Dataset or xarray.DataArray, optional
        Object whose grid, or whose place, the new grid has; its data are never read.
    lat : tuple of float, optional
        Southern and northern edge, degrees.
    lon : tuple of float, optional
        Western and eastern edge, degrees, in any convention and going east, so that
        ``(170, -170)`` is 20 degrees wide. The longitudes of the result always rise.
    spacing_deg, spacing_km : float, optional
        Size of the cells, in degrees or km, along both sides. A rotated pole takes either.
    crs : optional
        Projection or rotated pole: an EPSG code, PROJ string, WKT, :class:`pyproj.CRS`, or a dict
        of the attributes of a CF grid mapping.
    center : tuple of float, optional
        Latitude and longitude of the middle of the grid, degrees, on the ellipsoid of `crs`.
    shape : tuple of int, optional
        Rows and columns.
    y_km, x_km : tuple of float, optional
        Edges of a box in the plane of `crs`, km.

    Returns
    -------
    xarray.Dataset
        Coordinates only, rising: `lat` and `lon` with their bounds; or `y` and `x` in m (`rlat`
        and `rlon` in degrees of a rotated pole), two-dimensional `lat` and `lon` on the ellipsoid
        of the CRS, and `crs`, the CF grid mapping. No corners of cells are stored beside a grid
        mapping, which tells them exactly. The grid of a Dataset keeps its names, order and
        attributes.

    Raises
    ------
    InputError
        If arguments are missing, contradict each other or make no sense (all of that in one
        error), or the grid would have too few cells, too many, or some that the projection does
        not show.

    Examples
    --------
    >>> grid = target_grid(lat=(50, 58), lon=(-10, 2), spacing_deg=0.04)
    >>> grid.lat.values[:2], grid.lon.values[-2:], dict(grid.sizes)
    (array([50.02, 50.06]), array([1.94, 1.98]), {'lat': 200, 'lon': 300, 'bnds': 2})
    >>> grid = target_grid(crs="EPSG:27700", center=(54.0, -2.0), spacing_km=4, shape=(300, 200))
    >>> dict(grid.sizes), list(grid.coords)
    ({'y': 300, 'x': 200}, ['y', 'x', 'lat', 'lon', 'crs'])
    >>> dict(target_grid(grid, spacing_km=1).sizes)
    {'y': 1200, 'x': 800}
    """
    arguments = {
        "lat": lat,
        "lon": lon,
        "spacing_deg": spacing_deg,
        "spacing_km": spacing_km,
        "crs": crs,
        "center": center,
        "shape": shape,
        "y_km": y_km,
        "x_km": x_km,
    }
    given = {name: value for name, value in arguments.items() if value is not None}
    what = "make a target grid"
    raise_problems(check_arguments(given, like=like is not None), what=what)
    try:
        return _made(like, given)
    except InputError as error:
        raise InputError(f"cannot {what}: {error}") from error


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
    return fine.assign_coords({grid.grid_mapping: mapping, **_latlon(obj, grid, y, x)})


def whole_factor(factor: int) -> int:
    """Return `factor` as an int, refuse what is no whole number of at least 1."""
    try:
        whole = index(factor)
    except TypeError:
        whole = 0
    if whole < 1:
        raise InputError(f"the factor must be a whole number of at least 1, not {factor!r}")
    return whole


def _made(like: xr.Dataset | xr.DataArray | None, given: Given) -> xr.Dataset:
    """Return the grid of arguments that make sense together."""
    if like is not None:
        return _over(like, given) if given else _taken_over(like)
    if "crs" not in given:
        return _regular(rectangles.latlon_sides(given), given)
    crs = read_crs(given["crs"])
    if "center" in given:
        return _in_plane(crs, rectangles.around_place(crs, given), given)
    if "lat" in given:
        return _in_plane(crs, rectangles.covering(crs, given), given)
    (south, north), (west, east) = ((1e3 * km for km in given[n]) for n in ("y_km", "x_km"))
    return _in_plane(crs, (south, north, west, east), given)


def _over(obj: xr.Dataset | xr.DataArray, given: Given) -> xr.Dataset:
    """Return a grid over the place of an object, with every centre among its cells."""
    grid = find_horizontal(obj)
    if "crs" in given:
        crs = read_crs(given["crs"])
        fine = _in_plane(crs, rectangles.sides_within(obj, grid, crs), given)
        have, need = footprint(obj, grid), footprint(fine, find_horizontal(fine))
        if not have.covers(need):  # the line around the cells crosses a seam of the projection
            raise InputError(f"{crs.name!r} tears the place of the Dataset, {have}, apart")
        return fine
    own = _own_crs(obj, grid) if "spacing_km" in given else None
    if own is None:
        return _regular(rectangles.sides_over(obj, grid, given), given)
    unit = 1e3 * KM_PER_UNIT[grid.units] if grid.kind == "projected" else 1.0
    return _in_plane(own, rectangles.sides_of(*(unit * e for e in edges(obj, grid))), given)


def _own_crs(obj: xr.Dataset | xr.DataArray, grid: Horizontal) -> "CRS | None":
    """Return the CRS of a projected or rotated grid, None of one known by its latitudes alone."""
    if grid.kind not in ("projected", "rotated"):
        return None
    try:
        crs = grid_crs(obj, grid)
    except InputError:
        if grid.geographic is None:
            raise
        return None
    problems = check_arguments({"crs": crs, "spacing_km": 1}, like=True)
    if problems:
        raise InputError(problems[0])
    return crs


def _regular(sides: rectangles.Sides, given: Given) -> xr.Dataset:
    """Return a grid of latitude and longitude in a box."""
    y, x = rectangles.filled(sides, given, angles=True, most=rectangles.MOST_CELLS)
    lat_attrs = {**LATITUDE_ATTRS, "long_name": "latitude", "axis": "Y", "bounds": "lat_bnds"}
    lon_attrs = {**LONGITUDE_ATTRS, "long_name": "longitude", "axis": "X", "bounds": "lon_bnds"}
    return xr.Dataset(
        coords={
            "lat": ("lat", _centres(y), lat_attrs),
            "lon": ("lon", _centres(x), lon_attrs),
            "lat_bnds": (("lat", "bnds"), _pairs(y)),
            "lon_bnds": (("lon", "bnds"), _pairs(x)),
        }
    )


def _in_plane(crs: "CRS", sides: rectangles.Sides, given: Given) -> xr.Dataset:
    """Return a grid of the whole cells in a rectangle in the plane of a CRS."""
    rotated = is_rotated(crs)
    most = rectangles.MOST_CELLS_OF_A_PLANE
    y, x = map(_centres, rectangles.filled(sides, given, angles=rotated, most=most))
    lat, lon = to_latlon(crs, y[:, None], x)
    hidden = int(np.isnan(lat).sum())
    if hidden:
        raise InputError(
            f"{crs.name!r} shows no place at {hidden} of {lat.size} cells; take a smaller grid, or "
            "another crs"
        )
    dims = ("rlat", "rlon") if rotated else ("y", "x")
    return xr.Dataset(
        coords={
            dims[0]: (dims[0], y, _plane_attrs("latitude" if rotated else "y", "Y", rotated)),
            dims[1]: (dims[1], x, _plane_attrs("longitude" if rotated else "x", "X", rotated)),
            "lat": (dims, lat, {**LATITUDE_ATTRS, "long_name": "latitude"}),
            "lon": (dims, lon, {**LONGITUDE_ATTRS, "long_name": "longitude"}),
            "crs": ((), np.int32(0), cf_attrs(crs)),
        }
    )


def _plane_attrs(which: str, axis: str, rotated: bool) -> dict[str, str]:
    """Return the CF attributes of a coordinate of a plane."""
    if rotated:
        name, words, units = f"grid_{which}", f"{which} of the rotated pole", "degrees"
    else:
        name, words, units = f"projection_{which}_coordinate", f"{which} of the projection", "m"
    return {"standard_name": name, "long_name": words, "units": units, "axis": axis}


def _taken_over(obj: xr.Dataset | xr.DataArray) -> xr.Dataset:
    """Return the coordinates of an object's grid alone, copied."""
    grid = find_horizontal(obj)
    coords = {grid.y: grid.y_coord, grid.x: grid.x_coord}
    if grid.kind != "curvilinear" and grid.geographic:
        coords |= {name: obj[name] for name in grid.geographic}
    if grid.grid_mapping is not None:
        coords[grid.grid_mapping] = obj[grid.grid_mapping]
    taken: dict[Hashable, xr.Variable] = {}
    for name, coord in coords.items():
        bounds = bounds_of(obj, coord) if coord.ndim else None
        taken[name] = _copied(coord, bounds)
        if bounds is not None and bounds.name is not None:
            taken[bounds.name] = _copied(bounds)
    made = xr.Dataset(coords=taken)
    if grid.kind == "latlon":
        return _with_bounds(made, grid, edges(obj, grid))
    if grid.geographic is None:
        made = made.assign_coords(_latlon(obj, grid, grid.y_values, grid.x_values))
    return made


def _copied(coord: xr.DataArray, bounds: xr.DataArray | None = None) -> xr.Variable:
    """Copy a coordinate without its encoding, naming the bounds that it has, lazy if it is."""
    attrs = {name: value for name, value in coord.attrs.items() if name != "bounds"}
    if bounds is not None:
        attrs["bounds"] = bounds.name
    return xr.Variable(coord.dims, coord.variable.copy().data, attrs)


def _with_bounds(
    made: xr.Dataset, grid: Horizontal, cells: tuple[np.ndarray, np.ndarray]
) -> xr.Dataset:
    """Give latitude and longitude the bounds that they lack."""
    for name, edge in zip((grid.y, grid.x), cells, strict=True):
        if "bounds" not in made[name].attrs:
            bounds = f"{name}_bnds"
            made = made.assign_coords({bounds: ((*made[name].dims, "bnds"), _pairs(edge))})
            made[name].attrs["bounds"] = bounds
    return made


def _centres(edge: np.ndarray) -> np.ndarray:
    """Return the middles between edges, rounded as they are."""
    return np.round((edge[:-1] + edge[1:]) / 2, 9)


def _pairs(edge: np.ndarray) -> np.ndarray:
    """Return bounds ``(n, 2)`` of edges ``(n + 1,)``."""
    return np.stack([edge[:-1], edge[1:]], axis=-1)


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


def _latlon(
    obj: xr.Dataset | xr.DataArray, grid: Horizontal, y: np.ndarray, x: np.ndarray
) -> dict[Hashable, xr.Variable]:
    """Return two-dimensional latitude and longitude, if the grid mapping tells how."""
    if grid.kind in ("latlon", "curvilinear"):
        return {}
    try:
        lat, lon = project(obj, grid, y[:, None], x)
    except InputError:
        return {}
    lat_name, lon_name = grid.geographic or ("lat", "lon")
    return {
        lat_name: xr.Variable(grid.dims, lat, LATITUDE_ATTRS),
        lon_name: xr.Variable(grid.dims, lon, LONGITUDE_ATTRS),
    }
