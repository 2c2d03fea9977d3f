"""Find the horizontal grid of a Dataset, whatever its coordinates are called, and measure it."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from math import cos, pi, radians
from typing import Literal, Protocol

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.criteria import LATITUDES, LONGITUDES, candidates, length_unit

__all__ = [
    "EARTH_RADIUS_KM",
    "MEMBER_NAMES",
    "ChannelLike",
    "Horizontal",
    "check_uniform",
    "find_horizontal",
    "find_variable",
    "other_dims",
    "spacing_km",
    "step_of",
]

#: What dimensions of members are called where no `standard_name` says it; the first found counts.
MEMBER_NAMES = ("member", "number", "realization", "ensemble", "member_id", "sample")

EARTH_RADIUS_KM = 6371.0
KM_PER_DEGREE = EARTH_RADIUS_KM * pi / 180  # 111.195 km, along a meridian
KM_PER_UNIT = {"m": 1e-3, "km": 1.0}

# Coordinates written with few decimals (0.333, 0.667) stray from even steps by a fraction of a
# per cent of a step; Gaussian latitudes by much more.
UNIFORM_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Horizontal:
    """The horizontal grid of an object: which coordinates it has and what they mean.

    Attributes
    ----------
    y, x : Hashable
        Names of the coordinate variables.
    dims : tuple of Hashable
        The dimensions they run along, y first; mostly, but not always, of the same names.
    kind : {"latlon", "rotated", "projected", "curvilinear"}
        One-dimensional latitude and longitude, those of a rotated pole, projected lengths, or
        two-dimensional latitude and longitude.
    grid_mapping : Hashable or None
        Name of the CF grid mapping variable.
    geographic : tuple of Hashable or None
        Names of two-dimensional latitude and longitude, where the object has them.
    y_coord, x_coord : xarray.DataArray
        The coordinate variables.
    """

    y: Hashable
    x: Hashable
    dims: tuple[Hashable, Hashable]
    kind: Literal["latlon", "rotated", "projected", "curvilinear"]
    grid_mapping: Hashable | None = None
    geographic: tuple[Hashable, Hashable] | None = None
    y_coord: xr.DataArray = field(kw_only=True, repr=False)
    x_coord: xr.DataArray = field(kw_only=True, repr=False)

    @property
    def y_values(self) -> np.ndarray:
        """Values of y in float64, in `units`."""
        return np.asarray(self.y_coord.values, dtype=np.float64)

    @property
    def x_values(self) -> np.ndarray:
        """Values of x in float64, in `units`; longitudes are unwrapped, so may pass 180 or 360."""
        values = np.asarray(self.x_coord.values, dtype=np.float64)
        return values if self.kind == "projected" else np.unwrap(values, period=360)

    @property
    def units(self) -> str:
        """One of ``"degrees"``, ``"m"``, ``"km"``, or empty if the coordinates do not tell."""
        return length_unit(self.y_coord) if self.kind == "projected" else "degrees"


class ChannelLike(Protocol):
    """What :func:`find_variable` asks of a channel."""

    @property
    def name(self) -> str:
        """Name of the variable in this package."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """Names of the variable elsewhere, the likeliest first."""

    @property
    def standard_name(self) -> str:
        """CF standard name; empty if there is none."""


def find_horizontal(obj: xr.Dataset | xr.DataArray) -> Horizontal:
    """Find the horizontal coordinates by their CF attributes, else by habitual names.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Any object on one horizontal grid; nothing of it is computed.

    Returns
    -------
    Horizontal
        Names, dimensions and kind of the grid.

    Raises
    ------
    InputError
        If there are no horizontal coordinates, more than one choice of them, or points that
        form no grid.

    Examples
    --------
    >>> ds = xr.Dataset(coords={"lat": [50.0, 50.25], "lon": [359.75, 0.0]})
    >>> find_horizontal(ds)
    Horizontal(y='lat', x='lon', dims=('lat', 'lon'), kind='latlon', ...)
    """
    ys, xs = candidates(obj, LATITUDES), candidates(obj, LONGITUDES)
    kinds = [kind for kind in ys if ys[kind] and xs[kind]]
    if not kinds:
        raise InputError(_nothing_found(obj))
    kind = kinds[0]
    y, x = _only(ys[kind]), _only(xs[kind])
    others = {
        other: (ys[other][0], xs[other][0])
        for other in kinds[1:]
        if other != "index" and len(ys[other]) == len(xs[other]) == 1
    }
    dims = _dims_of(obj, y, x)
    for pair in others.values():
        if set(_dims_of(obj, *pair)) != set(dims):
            raise InputError(
                f"more than one grid found: {(y, x)} and {pair}. Select the variables of one: "
                "ds[['name', ...]]"
            )
    return Horizontal(
        y=y,
        x=x,
        dims=dims,
        kind="projected" if kind == "index" else kind,
        grid_mapping=_grid_mapping(obj),
        geographic=(y, x) if kind == "curvilinear" else others.get("curvilinear"),
        y_coord=obj[y],
        x_coord=obj[x],
    )


def find_variable(ds: xr.Dataset, channel: ChannelLike) -> Hashable | None:
    """Find the variable of a channel: by its name, then its aliases, then its standard name.

    Parameters
    ----------
    ds : xarray.Dataset
        Where to look, among the data variables.
    channel : ChannelLike
        What to look for.

    Returns
    -------
    Hashable or None
        Name in `ds`, None if it is not there.

    Raises
    ------
    InputError
        If only the standard name tells, and several variables have it.
    """
    for name in (channel.name, *channel.aliases):
        if name in ds.data_vars:
            return name
    if not channel.standard_name:
        return None
    same = [
        name
        for name, variable in ds.data_vars.items()
        if variable.attrs.get("standard_name") == channel.standard_name
    ]
    if len(same) > 1:
        raise InputError(
            f"the standard name {channel.standard_name!r} is that of {_listing(same)}; rename the "
            f"one to use: ds.rename({{{same[0]!r}: {channel.name!r}}})"
        )
    return same[0] if same else None


def other_dims(obj: xr.Dataset | xr.DataArray, horizontal: Horizontal) -> tuple[Hashable, ...]:
    """Return the dimensions besides y and x, such as time, level or number, in order.

    Of a Dataset, those of its variables on the grid: the bounds of times do not count.

    Examples
    --------
    >>> da = xr.DataArray(np.zeros((3, 1, 2, 2)), dims=("step", "number", "lat", "lon"))
    >>> da = da.assign_coords(lat=[0.0, 1.0], lon=[0.0, 1.0])
    >>> other_dims(da, find_horizontal(da))
    ('step', 'number')
    """
    variables = obj.data_vars.values() if isinstance(obj, xr.Dataset) else [obj]
    on_grid = [v.dims for v in variables if set(horizontal.dims) <= set(v.dims)]
    every = dict.fromkeys(dim for dims in on_grid for dim in dims)
    return tuple(dim for dim in every if dim not in horizontal.dims)


def check_uniform(horizontal: Horizontal) -> list[str]:
    """Say what keeps the grid from being uniform: one sentence per problem, none if it is.

    Coordinates that were rounded to float32 or to few decimals pass.

    Parameters
    ----------
    horizontal : Horizontal
        Grid from :func:`find_horizontal`.

    Returns
    -------
    list of str
        What was found, where, and the line to type.

    Examples
    --------
    >>> ds = xr.Dataset(coords={"lat": [50.0, 51.0, 52.0, 54.0], "lon": [0.0, 1.0]})
    >>> check_uniform(find_horizontal(ds))
    ["the spacing of 'lat' changes from 1 to 2 between 52 and 54; interpolate to even steps:
    ds.interp({'lat': np.linspace(50, 54, 5)})"]
    """
    if horizontal.kind == "curvilinear":
        return [
            f"the coordinates {horizontal.y!r} and {horizontal.x!r} are two-dimensional; a grid "
            "with one-dimensional coordinates is needed: regrid onto one"
        ]
    problems = (
        _unevenness(horizontal.y_coord, horizontal.y_values),
        _unevenness(horizontal.x_coord, horizontal.x_values),
    )
    return [problem for problem in problems if problem]


def spacing_km(horizontal: Horizontal) -> tuple[float, float]:
    """Return the spacing of a uniform grid, (dy, dx) in km.

    On latitude and longitude, dx is taken at the mean latitude.

    Parameters
    ----------
    horizontal : Horizontal
        Grid from :func:`find_horizontal`, uniform by :func:`check_uniform`.

    Returns
    -------
    tuple of float
        Both positive.

    Raises
    ------
    InputError
        If a direction has fewer than two points, the unit of length is unknown, or the
        coordinates are two-dimensional.

    Examples
    --------
    >>> ds = xr.Dataset(coords={"lat": [60.5, 60.0, 59.5], "lon": [-0.5, 0.0, 0.5]})
    >>> dy, dx = spacing_km(find_horizontal(ds))
    >>> round(dy, 1), round(dx, 1)
    (55.6, 27.8)
    """
    if horizontal.kind == "curvilinear":
        raise InputError(check_uniform(horizontal)[0])
    y, x, units = horizontal.y_values, horizontal.x_values, horizontal.units
    dy, dx = abs(step_of(y, horizontal.y)), abs(step_of(x, horizontal.x))
    if units == "degrees":
        return dy * KM_PER_DEGREE, dx * KM_PER_DEGREE * cos(radians(y.mean()))
    if not units:
        raise InputError(
            f"the coordinates {horizontal.y!r} and {horizontal.x!r} have no unit of length; say "
            f"which, m or km, on both: ds[{horizontal.y!r}].attrs['units'] = 'm'"
        )
    return dy * KM_PER_UNIT[units], dx * KM_PER_UNIT[units]


def step_of(values: np.ndarray, name: Hashable) -> float:
    """Return the mean step of the coordinate called `name`, negative if it descends.

    Raises
    ------
    InputError
        If there are fewer than two values.
    """
    if values.size < 2:
        raise InputError(_too_short(name, values.size))
    return float(values[-1] - values[0]) / (values.size - 1)


def _unevenness(coord: xr.DataArray, values: np.ndarray) -> str | None:
    """Say where a coordinate departs from even steps, None if it does not."""
    name, n = coord.name, values.size
    if n < 2:
        return _too_short(name, n)
    if not np.isfinite(values).all():
        return f"the coordinate {name!r} holds values that are not finite: ds.dropna({name!r})"
    step, steps = step_of(values, name), np.diff(values)
    rounding = 2 * np.finfo(coord.dtype).eps if coord.dtype.kind == "f" else 0.0
    tolerance = UNIFORM_TOLERANCE * abs(step) + rounding * np.abs(values).max()
    strays = np.abs(values - values[0] - step * np.arange(n)).max()
    if step and strays <= tolerance:
        return None
    if not (steps * steps[0] > 0).all():
        return (
            f"the coordinate {name!r} neither rises nor falls throughout; sort it: "
            f"ds.drop_duplicates({name!r}).sortby({name!r})"
        )
    usual = float(np.median(steps))
    at = int(np.abs(steps - usual).argmax())
    first, last = values[0], values[-1]
    return (
        f"the spacing of {name!r} changes from {abs(usual):g} to {abs(steps[at]):g} between "
        f"{values[at]:g} and {values[at + 1]:g}; interpolate to even steps: "
        f"ds.interp({{{name!r}: np.linspace({first:g}, {last:g}, "
        f"{round((last - first) / usual) + 1})}})"
    )


def _too_short(name: Hashable, n: int) -> str:
    return f"the coordinate {name!r} has {n} value{'s' * (n != 1)}; a spacing needs two or more"


def _only(names: list[Hashable]) -> Hashable:
    """Return the single name of a list, refuse several."""
    if len(names) > 1:
        raise InputError(
            f"more than one choice of coordinate: {_listing(names)}. Keep one: "
            f"ds.drop_vars({names[1:]!r}), or select the variables of one grid"
        )
    return names[0]


def _dims_of(obj: xr.Dataset | xr.DataArray, y: Hashable, x: Hashable) -> tuple[Hashable, Hashable]:
    """Return the dimensions that two coordinates span, y first."""
    dims = tuple(dict.fromkeys((*obj[y].dims, *obj[x].dims)))
    if len(dims) != 2:
        raise InputError(
            f"the coordinates {y!r} and {x!r} run along {_listing(dims)}, which makes no grid of "
            "two dimensions; fields on a grid are needed"
        )
    return dims


def _grid_mapping(obj: xr.Dataset | xr.DataArray) -> Hashable | None:
    """Return the grid mapping variable that the data name, else the only one there is."""
    data = obj.data_vars.values() if isinstance(obj, xr.Dataset) else [obj]
    for variable in data:
        told = variable.attrs.get("grid_mapping") or variable.encoding.get("grid_mapping", "")
        name = str(told).partition(":")[0].strip()  # CF's long form is "crs: x y"
        if name in obj.coords or name in getattr(obj, "data_vars", ()):
            return name
    mapped = {"grid_mapping_name", "crs_wkt"}
    everything = obj.variables if isinstance(obj, xr.Dataset) else obj.coords
    there = [name for name, variable in everything.items() if mapped & set(variable.attrs)]
    return there[0] if len(there) == 1 else None


def _nothing_found(obj: xr.Dataset | xr.DataArray) -> str:
    """Say that there are no horizontal coordinates, and what would make some."""
    dims, coords = tuple(obj.sizes), tuple(obj.coords)
    found = (
        f"no horizontal coordinates: the dims are {_listing(dims)}, the coords {_listing(coords)}"
    )
    known = LATITUDES.geographic_names | LONGITUDES.geographic_names
    hidden = [name for name in getattr(obj, "data_vars", ()) if str(name).lower() in known]
    if hidden:
        return f"{found}. Make coordinates of {_listing(hidden)}: ds.set_coords({hidden!r})"
    if len(dims) < 2:
        return f"{found}. Fields along latitude and longitude, or y and x, are needed"
    y, x = dims[-2:]
    if y not in coords or x not in coords:
        return f"{found}. Give some: ds.assign_coords(lat=({y!r}, [...]), lon=({x!r}, [...]))"
    return (
        f"{found}. Rename them, ds.rename({{{y!r}: 'lat', {x!r}: 'lon'}}), or say what they are, "
        f"ds[{y!r}].attrs['standard_name'] = 'latitude' and ds[{x!r}].attrs['standard_name'] = "
        "'longitude' ('projection_y_coordinate' and 'projection_x_coordinate' if projected)"
    )


def _listing(names: Iterable[Hashable]) -> str:
    return ", ".join(map(repr, names)) or "none"
