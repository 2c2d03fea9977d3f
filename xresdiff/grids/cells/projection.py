"""From the plane of a grid to latitude and longitude, and back, as its CF grid mapping says."""

import warnings
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import pi
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import KM_PER_UNIT, Horizontal

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

__all__ = [
    "LATITUDE_ATTRS",
    "LONGITUDE_ATTRS",
    "cf_attrs",
    "crs_of",
    "from_latlon",
    "geographic",
    "grid_crs",
    "is_rotated",
    "project",
    "read_crs",
    "to_latlon",
]

LATITUDE_ATTRS = {"standard_name": "latitude", "units": "degrees_north"}
LONGITUDE_ATTRS = {"standard_name": "longitude", "units": "degrees_east"}

# Attributes that define a projection in one text, the most complete first; CF parameters, which
# often leave out the radius of the earth, come after them.
TEXTS = ("crs_wkt", "spatial_ref", "proj4", "proj_params", "proj4_params", "proj4_string")
FALSE_ORIGIN = ("false_easting", "false_northing")
# CF gives a false origin in the unit of the coordinates, pyproj takes metres. None that is meant
# in km passes this, and hardly any that is meant in metres stays below.
MOST_KM = 5e4

_POLE = {"grid_north_pole_latitude": 39.25, "grid_north_pole_longitude": -162.0}  # in Europe
ROTATED_EXAMPLE = {"grid_mapping_name": "rotated_latitude_longitude", **_POLE}


def geographic(
    obj: xr.Dataset | xr.DataArray, grid: Horizontal
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return latitude and longitude of the centres of the cells, in degrees.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Object on the grid; its own latitudes and longitudes are handed back as they are, lazy if
        they are.
    grid : Horizontal
        Grid of `obj`, from :func:`~xresdiff.grids.coords.find_horizontal`.

    Returns
    -------
    tuple of xarray.DataArray
        Latitude and longitude, along y and along x if the grid is one of latitude and longitude,
        else two-dimensional ``(y, x)``. Those computed from the grid mapping are on its own
        ellipsoid, and NaN where the projection shows no place.

    Raises
    ------
    InputError
        If the object has none and its grid mapping does not tell them.

    Examples
    --------
    >>> from xresdiff.grids.coords import find_horizontal
    >>> y = ("y", [1200e3, 1201e3], {"units": "m"})
    >>> x = ("x", [300e3, 301e3], {"units": "m"})
    >>> ds = xr.Dataset(coords={"y": y, "x": x, "crs": ((), 0, cf_attrs(read_crs("EPSG:27700")))})
    >>> lat, lon = geographic(ds, find_horizontal(ds))
    >>> lat.dims, lat.values.round(2)[0], lon.values.round(2)[0]
    (('y', 'x'), array([60.68, 60.68]), array([-3.83, -3.81]))
    """
    if grid.kind in ("latlon", "curvilinear"):
        return grid.y_coord, grid.x_coord
    if grid.geographic:
        lat, lon = (obj[name].transpose(*grid.dims) for name in grid.geographic)
        return lat, lon
    lats, lons = project(obj, grid, grid.y_values[:, None], grid.x_values)
    return (
        xr.DataArray(lats, dims=grid.dims, name="lat", attrs=LATITUDE_ATTRS),
        xr.DataArray(lons, dims=grid.dims, name="lon", attrs=LONGITUDE_ATTRS),
    )


def project(
    obj: xr.Dataset | xr.DataArray, grid: Horizontal, y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude (degrees) of places in the plane of an object's grid.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Object with the grid mapping.
    grid : Horizontal
        Grid of `obj`, projected or of a rotated pole.
    y, x : numpy.ndarray
        Places, in ``grid.units``; shapes that broadcast.

    Returns
    -------
    tuple of numpy.ndarray
        NaN where the projection shows no place.

    Raises
    ------
    InputError
        If the grid mapping does not tell.
    """
    crs = grid_crs(obj, grid)
    metres = 1e3 * KM_PER_UNIT[grid.units] if grid.kind == "projected" else 1.0
    return to_latlon(crs, y * metres, x * metres)


def grid_crs(obj: xr.Dataset | xr.DataArray, grid: Horizontal) -> "CRS":
    """Return the CRS that the y and x of a projected or rotated grid belong to.

    Raises
    ------
    InputError
        If there is no grid mapping, pyproj cannot read it, it is one of other coordinates, or y
        and x have no unit of length.
    """
    if grid.grid_mapping is None or not grid.units:
        raise InputError(_nothing_told(grid))
    attrs = obj[grid.grid_mapping].attrs
    crs = crs_of(_in_metres(attrs) if grid.units == "km" else attrs, name=grid.grid_mapping)
    if not (is_rotated(crs) if grid.kind == "rotated" else crs.is_projected):
        raise InputError(
            f"the grid mapping {grid.grid_mapping!r} is that of a {crs.type_name}, but {grid.y!r} "
            f"and {grid.x!r} are {grid.kind}; write the one of their own: {_line(grid)}"
        )
    unit = crs.axis_info[0]
    if crs.is_projected and unit.unit_conversion_factor not in (1.0, 1e3):
        raise InputError(
            f"the grid mapping {grid.grid_mapping!r} counts in {unit.unit_name}, {grid.y!r} and "
            f"{grid.x!r} are to be in m or km; move the data to such a projection first: "
            "ds.rio.reproject('EPSG:32618'), with the one of their place"
        )
    return crs


def crs_of(attrs: Mapping[Any, Any], *, name: Hashable = "crs") -> "CRS":
    """Read a CRS from the attributes of a grid mapping variable.

    Parameters
    ----------
    attrs : Mapping
        Attributes: ``crs_wkt``, ``spatial_ref`` or a PROJ string in ``proj4`` or ``proj_params``,
        else parameters by the CF conventions. The first of these that pyproj reads counts.
    name : Hashable, default "crs"
        What to call the variable in a message.

    Returns
    -------
    pyproj.CRS
        Without the vertical part, if it has one.

    Raises
    ------
    InputError
        If pyproj reads none of them, with its reason.

    Examples
    --------
    >>> crs_of({"grid_mapping_name": "polar_stereographic", "standard_parallel": 70.0})
    Traceback (most recent call last):
    xresdiff.errors.InputError: pyproj cannot read the grid mapping 'crs':
    the parameter 'straight_vertical_longitude_from_pole' is missing; ...
    >>> crs_of({"proj4": "+proj=laea +lat_0=90"}).is_projected
    True
    """
    return _crs_of(_Attrs(attrs, repr(sorted(attrs.items(), key=str))), name)


@dataclass(frozen=True)
class _Attrs:
    attrs: Mapping[Any, Any] = field(compare=False)
    told: str  # all that the attributes say: equal ones are read once, as pyproj takes long


@lru_cache(maxsize=64)
def _crs_of(known: _Attrs, name: Hashable) -> "CRS":
    from pyproj import CRS
    from pyproj.exceptions import ProjError

    attrs, reasons = known.attrs, []
    for text in [attrs[key] for key in TEXTS if attrs.get(key)]:
        try:
            return _horizontal(CRS.from_user_input(text))
        except ProjError as error:
            reasons.append(str(error))
    try:
        parameters = {key: value for key, value in attrs.items() if key not in TEXTS}
        return _horizontal(CRS.from_cf(parameters))
    except KeyError as error:
        reasons.append(f"the parameter {error.args[0]!r} is missing")
    except (ProjError, ValueError, TypeError) as error:
        reasons.append(str(error))
    raise InputError(
        f"pyproj cannot read the grid mapping {name!r}: {reasons[0]}; write one that it can: "
        f"ds[{name!r}].attrs = pyproj.CRS('EPSG:27700').to_cf(), with the CRS of the data"
    )


def read_crs(crs: object) -> "CRS":
    """Read what a user may give as a CRS.

    Parameters
    ----------
    crs : object
        Whatever :meth:`pyproj.CRS.from_user_input` takes (an EPSG code, a PROJ string, WKT, a
        CRS), or a dict of the attributes of a CF grid mapping.

    Returns
    -------
    pyproj.CRS
        Without the vertical part, if it has one.

    Raises
    ------
    InputError
        If pyproj cannot read it, with its reason.
    """
    from pyproj import CRS
    from pyproj.exceptions import ProjError

    if isinstance(crs, Mapping) and {"grid_mapping_name", *TEXTS} & set(crs):
        return crs_of(crs)
    try:
        return _horizontal(CRS.from_user_input(crs))
    except (ProjError, TypeError) as error:
        raise InputError(
            f"pyproj cannot read crs={crs!r}: {error}; type an EPSG code, crs='EPSG:27700', a PROJ "
            "string, WKT or the attributes of a grid mapping"
        ) from error


def cf_attrs(crs: "CRS") -> dict[str, Any]:
    """Return the attributes of a CF grid mapping variable, `crs_wkt` among them.

    It is the only one if CF has no parameters for all of the projection.

    Examples
    --------
    >>> attrs = cf_attrs(read_crs("EPSG:27700"))
    >>> attrs["grid_mapping_name"], attrs["false_easting"]
    ('transverse_mercator', 400000.0)
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            attrs = crs.to_cf()
    except (KeyError, UserWarning):  # a PROJ string short of parameters, or more than CF can say
        attrs = {"crs_wkt": crs.to_wkt()}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in attrs.items()}


def is_rotated(crs: "CRS") -> bool:
    """Tell whether the axes of a CRS are latitudes and longitudes of a rotated pole."""
    return crs.is_geographic and crs.is_derived


def to_latlon(crs: "CRS", y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude, in degrees, of places in a plane.

    Parameters
    ----------
    crs : pyproj.CRS
        A projection, or a rotated pole.
    y, x : numpy.ndarray
        Places in metres, in degrees of a rotated pole; shapes that broadcast.

    Returns
    -------
    tuple of numpy.ndarray
        On the ellipsoid of `crs`, longitudes from Greenwich within -180 and 180; NaN where the
        projection shows no place.

    Examples
    --------
    >>> lat, lon = to_latlon(read_crs("EPSG:27700"), np.array([1200e3]), np.array([300e3]))
    >>> lat.round(2), lon.round(2)
    (array([60.68]), array([-3.83]))
    """
    unit = _unit(crs)
    y, x = np.broadcast_arrays(np.asarray(y, np.float64) / unit, np.asarray(x, np.float64) / unit)
    lon, lat = _transformer(crs).transform(x, y)
    angle, greenwich = _true_angles(crs)
    lat, lon = _finite(lat), _finite(lon)
    if angle == 1 and not greenwich:
        return lat, lon
    return lat * angle, (lon * angle + greenwich + 180) % 360 - 180


def from_latlon(crs: "CRS", lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return y and x in a plane of places on the globe: the inverse of :func:`to_latlon`.

    Parameters
    ----------
    crs : pyproj.CRS
        A projection, or a rotated pole.
    lat, lon : numpy.ndarray
        Places in degrees; shapes that broadcast.

    Returns
    -------
    tuple of numpy.ndarray
        In metres, in degrees of a rotated pole; NaN where the projection shows no place.
    """
    angle, greenwich = _true_angles(crs)
    lat = np.asarray(lat, np.float64) / angle
    lon = (np.asarray(lon, np.float64) - greenwich) / angle
    lat, lon = np.broadcast_arrays(lat, lon)
    x, y = _transformer(crs).transform(lon, lat, direction="INVERSE")
    return _finite(y) * _unit(crs), _finite(x) * _unit(crs)


def _transformer(crs: "CRS") -> "Transformer":
    """Return what goes to the latitudes and longitudes that `crs` was made from: no datum shift."""
    from pyproj import Transformer

    return Transformer.from_crs(crs, _true(crs), always_xy=True)


def _true(crs: "CRS") -> "CRS":
    """Return the geographic CRS under a projection or a rotated pole."""
    true = crs.source_crs if is_rotated(crs) else crs.geodetic_crs
    if true is None:
        raise InputError(f"the CRS {crs.name!r} is on no latitudes and longitudes")
    return true


def _true_angles(crs: "CRS") -> tuple[float, float]:
    """Return the degrees in the unit of the latitudes, and those from Greenwich to their meridian.

    Some old maps of France count grads from Paris.
    """
    true = _true(crs)
    angle = round(true.axis_info[0].unit_conversion_factor * 180 / pi, 12)
    meridian = true.prime_meridian
    if meridian is None:
        return angle, 0.0
    return angle, meridian.longitude * float(meridian.unit_conversion_factor) * 180 / pi


def _unit(crs: "CRS") -> float:
    """Return the length of the unit of the axes in metres, of a rotated pole in degrees."""
    factor = crs.axis_info[0].unit_conversion_factor
    return round(factor * 180 / pi, 12) if is_rotated(crs) else factor


def _finite(values: np.ndarray) -> np.ndarray:
    """Write NaN, in place, where pyproj says infinity for a place that is not shown."""
    values = np.asarray(values)
    values[~np.isfinite(values)] = np.nan
    return values


def _horizontal(crs: "CRS") -> "CRS":
    """Return the horizontal part of a CRS, without a shift of datum that is bound to it."""
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    return crs.source_crs if crs.is_bound and crs.source_crs else crs


def _in_metres(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return CF parameters of coordinates in km, their false origin in metres."""
    given = {key: attrs[key] for key in FALSE_ORIGIN if key in attrs}
    return {**attrs, **{key: 1e3 * v for key, v in given.items() if abs(v) < MOST_KM}}


def _nothing_told(grid: Horizontal) -> str:
    """Say what keeps y and x from having a latitude and longitude, and the line to type."""
    if not grid.units:
        return (
            f"the coordinates {grid.y!r} and {grid.x!r} have no unit of length; say which, m or "
            f"km, on both: ds[{grid.y!r}].attrs['units'] = 'm'"
        )
    return (
        f"there is neither two-dimensional latitude and longitude nor a grid mapping, so where "
        f"{grid.y!r} and {grid.x!r} lie is unknown; say which projection is theirs: {_line(grid)}"
    )


def _line(grid: Horizontal) -> str:
    """Return a line that writes a grid mapping, with an example for the CRS."""
    name = "crs" if grid.grid_mapping is None else grid.grid_mapping
    attrs = ROTATED_EXAMPLE if grid.kind == "rotated" else "pyproj.CRS('EPSG:27700').to_cf()"
    return f"ds = ds.assign_coords({{{name!r}: ((), 0, {attrs})}})"
