"""Values along a line across a front, with the wind along and across it."""

from collections.abc import Hashable
from math import ceil
from operator import index
from typing import Literal, TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import Horizontal, find_horizontal
from xresdiff.grids.regrid.fields import onto
from xresdiff.verify.kernels import lines
from xresdiff.verify.pairs import Labelled, as_dataset
from xresdiff.verify.weather import geography
from xresdiff.verify.weather.winds import find_winds, to_east_and_north

__all__ = ["cross_section"]

Method: TypeAlias = Literal["bilinear", "latlon_bilinear", "nearest"]

METHODS = {name: name for name in ("bilinear", "latlon_bilinear")} | {"nearest": "nearest_s2d"}
ROW, DISTANCE, AXIS = "_row", "distance", "_axis"
PARTS = ("_wind_0", "_wind_1", "_wind_2")  # variables that no user has


def cross_section(
    ds: Labelled,
    *,
    start: tuple[float, float],
    end: tuple[float, float],
    points: int | None = None,
    method: Method = "bilinear",
    u: Hashable | None = None,
    v: Hashable | None = None,
) -> Labelled:
    r"""Take values along the great circle between two places, in every member and at every time.

    Across a front, say, from the warm to the cold side. A wind is given in its parts along the line
    and across it, too,

    .. math:: a = u e + v n, \qquad c = v e - u n

    where :math:`(e, n)` is the direction in which the line goes at the point: `along_wind` is
    positive towards the end, `across_wind` positive to the left of that, so that a southerly wind
    is positive across a line that goes east. They are of the wind as a vector in space, taken at
    the point, so that they hold near the poles, too, where east and north turn from one point of
    the grid to the next; the components themselves do not.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataArray, (..., y, x)
        Fields on any grid with latitude and longitude, or with a CF grid mapping that tells them.
    start, end : tuple of float
        Latitude and longitude in degrees.
    points : int, optional
        Number of points, evenly spaced, both ends among them; by default as many as make their
        distance the spacing of the grid or less.
    method : {"bilinear", "latlon_bilinear", "nearest"}, default "bilinear"
        As for :func:`xresdiff.regrid`, by which the values are taken.
    u, v : Hashable, optional
        Names of the eastward and northward wind; found by default. Those along the axes of the
        grid (`x_wind`, `y_wind`) are turned.

    Returns
    -------
    xarray.DataArray or xarray.Dataset, (..., distance)
        Every variable on the grid, with the coordinates `distance` from the start in km,
        `latitude` and `longitude`; of a Dataset with one wind, or one named, also `along_wind` and
        `across_wind`, unless it has variables of these names, which are taken as they are. NaN
        outside of the grid. Values keep their precision: float32 stays float32, and wind is as
        precise as its components. Lazy if `ds` is.

    Raises
    ------
    InputError
        If there is no grid, the line has no length or no direction, or is wholly outside of the
        grid.
    UnitsError
        If the units of the components of the wind do not convert.
    MissingDependencyError
        If xESMF is not installed.

    References
    ----------
    Mardani, M. et al. (2023). Residual corrective diffusion modeling for km-scale atmospheric
    downscaling. arXiv:2309.15214 (a cold front, by temperature and wind along and across it).

    Examples
    --------
    >>> lat, lon = np.arange(20.0, 26.0), np.arange(118.0, 126.0)
    >>> warm = xr.DataArray(np.add.outer(0 * lat, lon), {"lat": lat, "lon": lon}, name="t")
    >>> line = cross_section(warm, start=(21.0, 120.0), end=(24.0, 120.0), points=4)
    >>> line.distance.round().values, line.values.round(3)
    (array([  0., 111., 222., 334.]), array([120., 120., 120., 120.]))

    Members stay apart. Their mean and their spread:

    >>> line = cross_section(xr.concat([warm, warm + 2], "member"), start=(21, 120), end=(24, 120))
    >>> line.mean("member").values[:2], line.std("member", ddof=1).values[:2]
    (array([121., 121.]), array([1.414, 1.414]))
    """
    table = as_dataset(ds)
    grid = find_horizontal(table)
    line = _line(table, grid, start, end, points, method)
    fields = xr.Dataset(geography.fields_on(table, grid), attrs=table.attrs)
    pairs = [pair for pair in find_winds(table, (u, v)) if set(pair) <= set(fields.data_vars)]
    winds = to_east_and_north(table, grid, pairs[0]) if len(pairs) == 1 else None
    if winds is not None:
        fields = fields.assign(_in_space(table, grid, *winds))
    if grid.grid_mapping in table.data_vars:
        fields = fields.assign_coords({grid.grid_mapping: table[grid.grid_mapping]})
    values = _along(fields, line, method).drop_vars([grid.grid_mapping], errors="ignore")
    if winds is not None:
        values = _split(values, line, winds[0])
    if isinstance(ds, xr.DataArray):
        (name,) = table.data_vars
        return values[name].rename(ds.name)
    return values


def _line(
    ds: xr.Dataset,
    grid: Horizontal,
    start: tuple[float, float],
    end: tuple[float, float],
    points: int | None,
    method: Method,
) -> xr.Dataset:
    """Return the points of the line: direction, and where they are `inside` of the grid."""
    if DISTANCE in ds.dims:
        raise InputError(
            f"the result has a dimension {DISTANCE!r} of its own, which the data have, too; call "
            f"theirs otherwise: ds.rename({DISTANCE}='other')"
        )
    if method not in METHODS:
        raise InputError(f"type method='bilinear', 'latlon_bilinear' or 'nearest': {method!r}")
    for name, place in (("start", start), ("end", end)):
        geography.place_of(place, name, ds)
    length = lines.distance_km(start, end)
    if not 1e-3 < length < lines.HALF_WAY_ROUND_KM:
        raise InputError(
            f"start={start!r} and end={end!r} are the same place or opposite ones, between which "
            "there is no one great circle; give two others"
        )
    places = geography.places_of(ds, grid)
    spacing = geography.spacing_of(places)
    points = ceil(length / min(spacing)) + 1 if points is None else _count(points)
    line = lines.great_circle(start, end, points)
    inside = lines.nearest_km(line.lat, line.lon, places.values) < max(spacing)
    if not inside.any():
        raise InputError(
            f"the line from {start!r} to {end!r} is wholly outside of the grid, which "
            f"{_box(places.values)}; give the latitude and longitude of places within it"
        )
    numbers = {"east": line.east, "north": line.north, "inside": inside}
    told = {"units": "degrees_north", "standard_name": "latitude"}
    told_too = {"units": "degrees_east", "standard_name": "longitude"}
    along = {"units": "km", "long_name": "distance from the start of the line"}
    return xr.Dataset(
        {name: (DISTANCE, number) for name, number in numbers.items()},
        coords={
            DISTANCE: (DISTANCE, line.distance_km, along),
            "latitude": (DISTANCE, line.lat, told),
            "longitude": (DISTANCE, line.lon, told_too),
        },
    )


def _box(places: np.ndarray) -> str:
    """Say from where to where a grid goes."""
    (south, west), (north, east) = (f(places[:2], axis=(1, 2)) for f in (np.nanmin, np.nanmax))
    return f"has latitudes {south:g} to {north:g} and longitudes {west:g} to {east:g}"


def _along(fields: xr.Dataset, line: xr.Dataset, method: Method) -> xr.Dataset:
    """Regrid fields to the points of a line."""
    row = {name: line[name].variable.expand_dims(ROW) for name in ("latitude", "longitude")}
    target = xr.Dataset(coords=row)
    values = onto(fields, target, METHODS[method]).isel({ROW: 0})
    coords = {name: line[name] for name in (DISTANCE, "latitude", "longitude")}
    values = values.assign_coords(coords)
    return values if method != "nearest" else values.where(line["inside"])


def _in_space(
    ds: xr.Dataset, grid: Horizontal, u: xr.DataArray, v: xr.DataArray
) -> dict[str, xr.DataArray]:
    """Return the three parts of the wind in space, which do not turn from point to point."""
    lat, lon = geography.places_of(ds, grid).values[:2]
    east, north = (np.moveaxis(axis, -1, 0) for axis in lines.east_north(lat, lon))
    return {
        name: u.drop_attrs() * xr.DataArray(e, dims=grid.dims)
        + v.drop_attrs() * xr.DataArray(n, dims=grid.dims)
        for name, e, n in zip(PARTS, east, north, strict=True)
    }


def _split(values: xr.Dataset, line: xr.Dataset, u: xr.DataArray) -> xr.Dataset:
    """Replace the wind in space by its parts along and across a line, called and made as `u` is."""
    east, north = lines.east_north(line["latitude"].values, line["longitude"].values)
    e, n = (line[name].values[:, None] for name in ("east", "north"))
    told = {
        "along_wind": ("wind along the line, towards its end", e * east + n * north),
        "across_wind": ("wind across the line, to the left", e * north - n * east),
    }
    space = xr.concat([values[name] for name in PARTS], AXIS)
    dtype = np.result_type(u.dtype, np.float32)
    for name, (text, direction) in told.items():
        if name in values:
            continue
        along = xr.DataArray(direction, dims=(DISTANCE, AXIS))
        part = (space * along).sum(AXIS, skipna=False)
        values[name] = part.astype(dtype).assign_attrs(long_name=text, **geography.units_of(u))
    return values.drop_vars(PARTS)


def _count(points: int) -> int:
    """Refuse what is no number of points."""
    try:
        count = index(points)
    except TypeError:
        count = 0
    if count < 2 or isinstance(points, bool):
        raise InputError(
            f"points is {points!r}; a line has a whole number of two or more, both ends among "
            "them: points=50"
        )
    return count
