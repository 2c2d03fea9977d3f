"""The wind among the variables of a Dataset, and which way its components go."""

from collections.abc import Hashable
from itertools import chain, product
from typing import TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.cells.projection import geographic
from xresdiff.grids.cells.sphere import unit_vectors
from xresdiff.grids.coords import Horizontal, listing
from xresdiff.grids.units import convert
from xresdiff.verify.weather.geography import chunked_whole

__all__ = [
    "Names",
    "Winds",
    "find_winds",
    "handedness",
    "in_one_unit",
    "one_wind",
    "to_axes",
    "to_east_and_north",
    "wind_speed",
]

#: Names of the two components of the wind, along x (or eastward) and along y (or northward).
Winds: TypeAlias = tuple[Hashable, Hashable]
Names: TypeAlias = tuple[Hashable | None, Hashable | None]

EASTWARD = ("eastward_wind", "northward_wind")
OF_THE_GRID = (("x_wind", "y_wind"), ("grid_eastward_wind", "grid_northward_wind"))
STANDARD_NAMES = (EASTWARD, *OF_THE_GRID)
NAMES = (
    *(("u10", "v10"), ("u10m", "v10m"), ("10u", "10v"), ("U10", "V10"), ("uas", "vas")),
    *(("u100", "v100"), ("u100m", "v100m"), ("100u", "100v"), ("ua", "va"), ("u", "v")),
    *(("U", "V"), ("UGRD", "VGRD"), ("u_component_of_wind", "v_component_of_wind")),
    ("10m_u_component_of_wind", "10m_v_component_of_wind"),
    *STANDARD_NAMES,
)
SPEEDS = ("ws10m", "10m_wind_speed", "si10", "10si", "wind_speed", "sfcwind", "ws", "ws10")


def find_winds(ds: xr.Dataset, told: Names = (None, None)) -> list[Winds]:
    """Name the winds of a Dataset: the one told, else by standard names, else by habit.

    Parameters
    ----------
    ds : xarray.Dataset
        Fields.
    told : tuple of Hashable or None
        The names of the components, if they are known; they must be there.

    Returns
    -------
    list of tuple of Hashable
        Every pair of components.

    Raises
    ------
    InputError
        If one of those told is not there.

    Examples
    --------
    >>> ds = xr.Dataset({"u10": ("x", [3.0]), "v10": ("x", [4.0]), "msl": ("x", [1e5])})
    >>> find_winds(ds)
    [('u10', 'v10')]
    """
    there = list(ds.data_vars)
    u, v = told
    if u is not None or v is not None:
        if u is None or v is None or u not in there or v not in there:
            raise InputError(
                f"u={u!r} and v={v!r} are not two variables of the Dataset, which has "
                f"{listing(there)}; name both, eastward and northward: u='u10', v='v10'"
            )
        return [(u, v)]
    return [
        (u, v)
        for names in STANDARD_NAMES
        for u, v in product(*(_called(ds, name) for name in names))
    ] or [(u, v) for u, v in NAMES if u in there and v in there]


def one_wind(ds: xr.Dataset, told: Names = (None, None)) -> Winds | None:
    """Name the only wind of a Dataset, as :func:`find_winds`.

    Returns
    -------
    tuple of Hashable or None
        None if there is no pair.

    Raises
    ------
    InputError
        If there are several, and as :func:`find_winds`.
    """
    pairs = find_winds(ds, told)
    if len(pairs) > 1:
        raise InputError(
            f"there is more than one wind: {listing(dict.fromkeys(chain(*pairs)))}; name one: "
            f"u={pairs[0][0]!r}, v={pairs[0][1]!r}"
        )
    return pairs[0] if pairs else None


def in_one_unit(u: xr.DataArray, v: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return both components in the units of the first that has any.

    One without units is taken to have those of the other, with a warning.

    Raises
    ------
    UnitsError
        If the units do not convert.

    Examples
    --------
    >>> u, v = (xr.DataArray([9.0], attrs={"units": units}) for units in ("m s-1", "km h-1"))
    >>> in_one_unit(u, v)[1].values
    array([2.5])
    """
    ours, theirs = (da.attrs.get("units") for da in (u, v))
    if ours == theirs:
        return u, v
    return (convert(u, str(theirs)), v) if ours is None else (u, convert(v, str(ours)))


def to_east_and_north(
    ds: xr.Dataset, grid: Horizontal, winds: Winds
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the eastward and northward wind, lazily; turn one that is along the axes of a grid.

    The wind is along the axes if the standard names of its components are `x_wind` and `y_wind`,
    or their names, where they have no standard names.

    Parameters
    ----------
    ds : xarray.Dataset
        Fields.
    grid : Horizontal
        Their grid.
    winds : tuple of Hashable
        Names of the components.

    Returns
    -------
    tuple of xarray.DataArray
        In the units of the first.

    Raises
    ------
    InputError
        If the wind is along the axes of a grid whose coordinates do not tell which way they go.
    UnitsError
        If the units of the components do not convert.
    """
    u, v = in_one_unit(*(chunked_whole(ds[name], grid) for name in winds))
    if _told(u, v) not in OF_THE_GRID or grid.kind == "latlon":
        return u, v
    if grid.kind == "curvilinear":
        raise InputError(
            f"the wind {listing(winds)} is along the axes of the grid, whose two-dimensional "
            f"coordinates do not tell which way they go; turn it to east and north and say so: "
            f"ds[{winds[0]!r}].attrs['standard_name'] = 'eastward_wind' and "
            f"ds[{winds[1]!r}].attrs['standard_name'] = 'northward_wind'"
        )
    east, north = _direction_of_x(ds, grid)
    units = {k: value for k, value in u.attrs.items() if k == "units"}
    turned = u * east - v * north, u * north + v * east
    return turned[0].assign_attrs(units), turned[1].assign_attrs(units)


def to_axes(
    ds: xr.Dataset, grid: Horizontal, u: xr.DataArray, v: xr.DataArray
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the wind along the axes of a grid, lazily; turn one that is to the east and north.

    It is to the east and north if its standard names say so; others are left as they are.

    Parameters
    ----------
    ds : xarray.Dataset
        Anything on the grid.
    grid : Horizontal
        The grid.
    u, v : xarray.DataArray, (..., y, x)
        The components.

    Returns
    -------
    tuple of xarray.DataArray
        Along x and to the left of it: along y, unless the axes are those of a mirror.

    Raises
    ------
    InputError
        If nothing tells which way the axes go.
    """
    if _told(u, v) != EASTWARD or grid.kind == "latlon":
        return u, v
    try:
        east, north = _direction_of_x(ds, grid)
        if east.isnull().any():
            raise InputError("latitudes and longitudes are missing at some points")
    except InputError as error:
        raise InputError(
            f"the wind {listing((u.name, v.name))} is to the east and north, the grid is not, and "
            f"nothing tells how it is turned ({error}). Turn the wind to the axes and say so: "
            f"ds[{u.name!r}].attrs['standard_name'] = 'x_wind' and "
            f"ds[{v.name!r}].attrs['standard_name'] = 'y_wind'"
        ) from error
    return u * east + v * north, v * east - u * north


def handedness(ds: xr.Dataset, grid: Horizontal) -> int:
    """Return 1 where the rows go to the left of the columns, seen from above, else -1: a mirror."""
    points = unit_vectors(*_lat_lon(ds, grid))
    along_y, along_x = (np.diff(points, axis=axis) for axis in (0, 1))
    normal = np.cross(along_x[:-1], along_y[:, :-1])
    return -1 if np.nansum(np.sign((normal * points[:-1, :-1]).sum(axis=-1))) < 0 else 1


def wind_speed(ds: xr.Dataset, grid: Horizontal, winds: Names) -> xr.DataArray:
    """Return the speed of the wind, lazily: of its components, else a variable that is the speed.

    Returns
    -------
    xarray.DataArray
        With `units` and `long_name`.

    Raises
    ------
    InputError
        If there is no wind.
    UnitsError
        If the units of the components do not convert.
    """
    pair = one_wind(ds, winds)
    if pair is not None:
        u, v = in_one_unit(*(chunked_whole(ds[name], grid) for name in pair))
        speed: xr.DataArray = xr.apply_ufunc(np.hypot, u, v, dask="allowed", keep_attrs=False)
        units = {k: value for k, value in u.attrs.items() if k == "units"}
        return speed.assign_attrs(long_name="wind speed", **units)
    lower = {str(name).lower(): name for name in ds.data_vars}
    found = _called(ds, "wind_speed") + [lower[name] for name in SPEEDS if name in lower]
    if not found:
        raise InputError(
            f"there is no wind among {listing(ds.data_vars)}; name its eastward and northward "
            "components: u='u10', v='v10'"
        )
    return chunked_whole(ds[found[0]], grid)


def _called(ds: xr.Dataset, standard_name: str) -> list[Hashable]:
    """Name the variables of a standard name."""
    return [n for n, v in ds.data_vars.items() if v.attrs.get("standard_name") == standard_name]


def _told(u: xr.DataArray, v: xr.DataArray) -> tuple[str, ...]:
    """Return the standard names of both components, else their names."""
    return tuple(str(da.attrs.get("standard_name", da.name)).lower() for da in (u, v))


def _lat_lon(ds: xr.Dataset, grid: Horizontal) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude of every point, ``(y, x)``."""
    lat, lon = geographic(ds, grid)
    if grid.kind == "latlon":
        lats, lons = np.meshgrid(lat.values, lon.values, indexing="ij")
        return lats, lons
    return lat.transpose(*grid.dims).values, lon.transpose(*grid.dims).values


def _direction_of_x(ds: xr.Dataset, grid: Horizontal) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the parts east and north of the direction in which x grows, ``(y, x)``.

    Of two-dimensional coordinates, that in which the columns are counted.
    """
    lat, lon = _lat_lon(ds, grid)
    onwards = np.gradient(unit_vectors(lat, lon), axis=1)
    theta, phi = np.deg2rad(lat), np.deg2rad(lon)
    east = onwards[..., 1] * np.cos(phi) - onwards[..., 0] * np.sin(phi)
    north = onwards[..., 2] * np.cos(theta) - np.sin(theta) * (
        onwards[..., 0] * np.cos(phi) + onwards[..., 1] * np.sin(phi)
    )
    length = np.hypot(east, north)
    if grid.kind != "curvilinear":
        length = length * np.sign(grid.x_values[-1] - grid.x_values[0])
    return xr.DataArray(east / length, dims=grid.dims), xr.DataArray(north / length, dims=grid.dims)
