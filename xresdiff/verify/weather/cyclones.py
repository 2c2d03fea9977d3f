"""Where a cyclone is, in every member and at every time."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import Horizontal, find_horizontal, listing
from xresdiff.grids.coords.criteria import PRESSURE_UNITS
from xresdiff.verify.kernels import weather as kernels
from xresdiff.verify.kernels.circulation import centre_of_circulation
from xresdiff.verify.kernels.lines import nearest_km
from xresdiff.verify.pairs import as_dataset, label
from xresdiff.verify.weather import geography
from xresdiff.verify.weather.geography import Place
from xresdiff.verify.weather.winds import (
    SPEEDS,
    Names,
    one_wind,
    to_east_and_north,
    wind_speed,
)

__all__ = ["Search", "find_cyclone", "search_in"]

By: TypeAlias = Literal["pressure", "circulation", "wind"]

PRESSURES = ("air_pressure_at_mean_sea_level", "air_pressure_at_sea_level")
PRESSURE_NAMES = frozenset(
    {"msl", "mslp", "prmsl", "psl", "slp", "pmsl", "mslma", "mslet", "mean_sea_level_pressure"}
)
SPEED_UNITS = frozenset({"m s-1", "m/s", "m s**-1", "km h-1", "km/h", "kt", "kts", "knot", "knots"})
DISC_KM = 100.0  # over which the tangential wind is averaged to find the centre


def find_cyclone(
    ds: xr.Dataset | xr.DataArray,
    *,
    near: Place,
    by: By | None = None,
    within_km: float = 300.0,
    variable: Hashable | None = None,
    u: Hashable | None = None,
    v: Hashable | None = None,
) -> xr.Dataset:
    """Find a cyclone near a place, in every member and at every time.

    Its centre is where the pressure is lowest, among the points of the grid no farther away than
    `within_km`; or, where there is wind only, the point with the largest mean tangential wind over
    a disc of 100 km around it. The strongest wind is not in the centre but around it.

    There is none where the extreme lies on a slope: where a neighbour of the point, beyond
    `within_km`, has more, or is missing, or there is none at the edge of the domain. A
    disc of wind must lie within the domain, so that a centre less than 100 km from its edge is not
    found by the wind.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataArray, (..., y, x)
        Fields on any grid with latitude and longitude, or with a CF grid mapping that tells them.
    near : tuple of float, or xarray.Dataset
        Latitude and longitude in degrees; or a Dataset with the variables `latitude` and
        `longitude` along any dimensions of `ds`, such as time: a known track, or what this
        function found in other data.
    by : {"pressure", "circulation", "wind"}, optional
        Whether to look for the smallest pressure, the largest tangential wind (cyclonic: the
        smallest on the southern hemisphere, where it is negative) or the largest wind speed. By
        default the first of these for which there are variables.
    within_km : float, default 300
        Largest great-circle distance from `near`, in km.
    variable : Hashable, optional
        Variable to look at; pressure at sea level, or the wind, by default.
    u, v : Hashable, optional
        Names of the eastward and northward wind; found by default.

    Returns
    -------
    xarray.Dataset, (...)
        `latitude` and `longitude` in degrees, `row` and `column`, the place along y and x counted
        from 0, and `value`, the extreme. Where there is no cyclone: NaN, and -1 for the two
        counts. Lazy if `ds` is; two-dimensional coordinates are read.

    Raises
    ------
    InputError
        If there is no grid, no or more than one such variable, or `near` is farther from the
        grid than `within_km`.
    UnitsError
        If the units of the components of the wind do not convert.

    References
    ----------
    Marks, F. D., Houze, R. A., Gamache, J. F. (1992). Dual-aircraft investigation of the inner core
    of Hurricane Norbert. Part I: kinematic structure. J. Atmos. Sci. 49, 919-942 (the centre as the
    point of the largest tangential wind).

    Examples
    --------
    >>> lat, lon = np.arange(20.0, 26.0), np.arange(118.0, 126.0)
    >>> depth = np.hypot.outer(lat - 23, lon - 121)
    >>> msl = xr.DataArray(98000 + 100 * depth, {"lat": lat, "lon": lon}, name="msl")
    >>> found = find_cyclone(msl.to_dataset(), near=(22.0, 122.0))
    >>> found.latitude.item(), found.longitude.item(), found.value.item()
    (23.0, 121.0, 98000.0)

    Members stay apart. The mean and the spread of what they find:

    >>> ens = xr.concat([msl, msl + 400], "member")
    >>> deepest = find_cyclone(ens.to_dataset(name="msl"), near=(22.0, 122.0)).value
    >>> deepest.mean("member").item(), round(deepest.std("member", ddof=1).item())
    (98200.0, 283)
    """
    table = as_dataset(ds)
    grid = find_horizontal(table)
    places = geography.places_of(table, grid)
    lat, lon = geography.place_of(near, "near", table)
    _refuse_far(lat, lon, places, within_km)
    search = search_in(ds, grid, by, variable, (u, v))
    options = search.options | {"within_km": float(within_km)}
    if search.by == "circulation":
        options |= {"spacing_km": max(geography.spacing_of(places))}
    sizes = {"_part": len(kernels.FOUND)}
    around = (lat, lon, places)
    found = geography.applied(search.kernel, search.fields, around, grid, sizes, options)
    parts = {name: found.isel(_part=i) for i, name in enumerate(kernels.FOUND)}
    parts |= {name: parts[name].astype(np.int64) for name in ("row", "column")}
    attrs = {
        "latitude": {"standard_name": "latitude", "units": "degrees_north"},
        "longitude": {"standard_name": "longitude", "units": "degrees_east"},
        "row": {"long_name": f"place along {grid.dims[0]}", "units": "1"},
        "column": {"long_name": f"place along {grid.dims[1]}", "units": "1"},
        "value": {"long_name": f"{search.told} within {within_km:g} km"}
        | geography.units_of(search.fields[0]),
    }
    return xr.Dataset({name: part.assign_attrs(attrs[name]) for name, part in parts.items()})


@dataclass(frozen=True, eq=False)
class Search:
    """What is looked for: in which fields, with which kernel and options, and what to call it."""

    by: By
    fields: tuple[xr.DataArray, ...]
    kernel: Callable[..., Any]
    options: dict[str, float]
    told: str


def search_in(
    data: xr.Dataset | xr.DataArray,
    grid: Horizontal,
    by: By | None = None,
    variable: Hashable | None = None,
    winds: Names = (None, None),
) -> Search:
    """Tell what to look for, by what there is; arguments as for :func:`find_cyclone`."""
    ds = as_dataset(data)
    if isinstance(data, xr.DataArray) and variable is None and winds == (None, None):
        (variable,) = ds.data_vars
    if by is not None and by not in get_args(By):
        raise InputError(f"type by='pressure', 'circulation' or 'wind', not {by!r}")
    if variable is not None:
        return _of_variable(ds, grid, by, variable)
    pressure = _pressure(ds) if by in (None, "pressure") else None
    if pressure is not None:
        return _of_variable(ds, grid, "pressure", pressure)
    if by == "pressure":
        raise InputError(
            f"there is no pressure at sea level among {listing(ds.data_vars)}; name the variable "
            "to find the smallest value of: variable='name', by='pressure'"
        )
    pair = one_wind(ds, winds) if by != "wind" else None
    if pair is not None:
        told = f"largest mean tangential wind within {DISC_KM:g} km of a point"
        fields = to_east_and_north(ds, grid, pair)
        options = {"disc_km": DISC_KM}
        return Search("circulation", fields, centre_of_circulation, options, told)
    if by == "circulation":
        raise InputError(
            f"there are no two components of the wind among {listing(ds.data_vars)}; name them: "
            "u='u10', v='v10'"
        )
    return _extreme("wind", wind_speed(ds, grid, winds))


def _of_variable(ds: xr.Dataset, grid: Horizontal, by: By | None, variable: Hashable) -> Search:
    """Look for an extreme of a variable."""
    if variable not in ds.data_vars or by == "circulation":
        raise InputError(
            f"variable={variable!r} is no variable to find an extreme of, by='pressure' or "
            f"by='wind': name one of {listing(ds.data_vars)}"
        )
    return _extreme(by or _by_units(ds[variable]), geography.chunked_whole(ds[variable], grid))


def _extreme(by: By, field: xr.DataArray) -> Search:
    """Look for the smallest value of a pressure, or the largest of anything else."""
    sign, told = (-1, "smallest") if by == "pressure" else (1, "largest")
    return Search(by, (field,), kernels.extreme_near, {"sign": sign}, f"{told} {label(field)}")


def _pressure(ds: xr.Dataset) -> Hashable | None:
    """Name the pressure at sea level."""
    told = [n for n, v in ds.data_vars.items() if v.attrs.get("standard_name") in PRESSURES]
    found = told or [n for n in ds.data_vars if str(n).lower() in PRESSURE_NAMES]
    if len(found) > 1:
        raise InputError(
            f"several variables are pressures at sea level: {listing(found)}; name one: "
            f"variable={found[0]!r}"
        )
    return found[0] if found else None


def _by_units(da: xr.DataArray) -> By:
    """Tell which extreme of a variable is meant, by its units or its name."""
    units = str(da.attrs.get("units", "")).strip()
    if units in PRESSURE_UNITS or str(da.name).lower() in PRESSURE_NAMES:
        return "pressure"
    if units in SPEED_UNITS or str(da.name).lower() in SPEEDS:
        return "wind"
    raise InputError(
        f"{da.name!r} has the units {units!r}, neither those of a pressure nor of a speed; say "
        "which extreme to look for: by='pressure' (the smallest value) or by='wind' (the largest)"
    )


def _refuse_far(
    lat: xr.DataArray, lon: xr.DataArray, places: xr.DataArray, within_km: float
) -> None:
    """Refuse a place, if it is known, that nothing is near to."""
    if not within_km > 0:
        raise InputError(f"within_km is {within_km!r}; it is a distance in km, such as 300.0")
    if lat.ndim or lon.ndim or lat.chunks is not None:
        return
    point = (np.atleast_1d(lat.values), np.atleast_1d(lon.values))
    (away,) = nearest_km(*point, places.values)
    if away > within_km:
        raise InputError(
            f"near={(lat.item(), lon.item())} is {away:.0f} km away from the nearest point of the "
            f"grid, more than within_km={within_km:g}; give the latitude and longitude of a place "
            "within the domain, in this order"
        )
