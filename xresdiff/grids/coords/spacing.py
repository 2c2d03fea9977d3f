"""Measure the steps of a grid: whether they are even, and how long they are."""

from collections.abc import Hashable
from math import cos, pi, radians

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords.horizontal import Horizontal

__all__ = [
    "EARTH_RADIUS_KM",
    "KM_PER_UNIT",
    "check_order",
    "check_uniform",
    "spacing_km",
    "step_of",
]

EARTH_RADIUS_KM = 6371.0
KM_PER_DEGREE = EARTH_RADIUS_KM * pi / 180  # 111.195 km, along a meridian
KM_PER_UNIT = {"m": 1e-3, "km": 1.0}

# Coordinates written with few decimals (0.333, 0.667) stray from even steps by a fraction of a
# per cent of a step; Gaussian latitudes by much more.
UNIFORM_TOLERANCE = 0.01


def check_uniform(horizontal: Horizontal) -> list[str]:
    """Say what keeps the grid from being uniform: one sentence per problem, none if it is.

    Coordinates that were rounded to float32 or to few decimals pass.

    Parameters
    ----------
    horizontal : Horizontal
        Grid from :func:`~xresdiff.grids.coords.horizontal.find_horizontal`.

    Returns
    -------
    list of str
        What was found, where, and the line to type.

    Examples
    --------
    >>> from xresdiff.grids.coords.horizontal import find_horizontal
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
        _unevenness(horizontal.x_coord, horizontal.x_values, turning=horizontal.kind == "latlon"),
    )
    return [problem for problem in problems if problem]


def check_order(horizontal: Horizontal) -> list[str]:
    """Say what keeps coordinates from being those of a grid at all: disorder, impossible values.

    Parameters
    ----------
    horizontal : Horizontal
        Grid from :func:`~xresdiff.grids.coords.horizontal.find_horizontal`. Two-dimensional
        coordinates are read; some of theirs may be missing.

    Returns
    -------
    list of str
        What was found and the line to type, one sentence per problem.
    """
    problems = []
    flat = horizontal.kind != "curvilinear"
    if flat:
        lines = ((horizontal.y, horizontal.y_values), (horizontal.x, horizontal.x_values))
        problems = [
            _disorder(name, turning=horizontal.kind == "latlon" and name == horizontal.x)
            for name, values in lines
            if not _in_order(values)
        ]
    if horizontal.kind in ("latlon", "curvilinear"):
        lat, name = np.asarray(horizontal.y_coord.values, dtype=np.float64), horizontal.y
        beyond = np.abs(lat) > 90 + 1e-6
        if beyond.any():
            problems.append(
                f"the latitudes {name!r} are up to {np.abs(lat[beyond]).max():g}; latitudes end at "
                "90 degrees. If those are fill values, make them missing: "
                f"ds.assign_coords({name}=ds[{name!r}].where(abs(ds[{name!r}]) <= 90))"
            )
    return problems


def spacing_km(horizontal: Horizontal) -> tuple[float, float]:
    """Return the spacing of a uniform grid, (dy, dx) in km.

    On latitude and longitude, dx is taken at the mean latitude.

    Parameters
    ----------
    horizontal : Horizontal
        Grid from :func:`~xresdiff.grids.coords.horizontal.find_horizontal`, uniform by
        :func:`check_uniform`.

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
    >>> from xresdiff.grids.coords.horizontal import find_horizontal
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


def _unevenness(coord: xr.DataArray, values: np.ndarray, *, turning: bool = False) -> str | None:
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
    if not _in_order(values):
        return _disorder(name, turning=turning)
    usual = float(np.median(steps))
    at = int(np.abs(steps - usual).argmax())
    first, last = values[0], values[-1]
    return (
        f"the spacing of {name!r} changes from {abs(usual):g} to {abs(steps[at]):g} between "
        f"{values[at]:g} and {values[at + 1]:g}; interpolate to even steps: "
        f"ds.interp({{{name!r}: np.linspace({first:g}, {last:g}, "
        f"{round((last - first) / usual) + 1})}})"
    )


def _in_order(values: np.ndarray) -> bool:
    """Tell whether values rise or fall throughout."""
    steps = np.diff(values)
    return not steps.size or bool((steps * steps[0] > 0).all())


def _disorder(name: Hashable, *, turning: bool = False) -> str:
    turned = f".assign_coords({name}=(ds[{name!r}] + 180) % 360 - 180)" if turning else ""
    return (
        f"the coordinate {name!r} neither rises nor falls throughout"
        f"{', seen round the earth' if turning else ''}; sort it: "
        f"ds{turned}.drop_duplicates({name!r}).sortby({name!r})"
    )


def _too_short(name: Hashable, n: int) -> str:
    return f"the coordinate {name!r} has {n} value{'s' * (n != 1)}; a spacing needs two or more"
