"""The steps of a forecast, and over which of them its amounts were summed.

Centres differ: some sum from the start of a forecast, some from the step before. GRIB's range of
steps tells which; nothing here computes data.
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import UnitsError
from xresdiff.grids.coords.criteria import role_candidates

__all__ = [
    "Interval",
    "along_steps",
    "from_ranges",
    "hours_of_unit",
    "inferred",
    "since_start",
    "step_name",
]

# Hours of GRIB's units of steps (code table 4.4), beside months and longer, which vary.
_GRIB_HOURS = {0: 1 / 60, 1: 1.0, 2: 24.0, 10: 3.0, 11: 6.0, 12: 12.0}
_HOURS = {"second": 1 / 3600, "minute": 1 / 60, "hour": 1.0, "day": 24.0}
_HOURS |= {"s": 1 / 3600, "sec": 1 / 3600, "min": 1 / 60, "h": 1.0, "hr": 1.0, "d": 24.0}


@dataclass(frozen=True, eq=False)
class Interval:
    """Over which time the amounts of a variable were summed.

    Parameters
    ----------
    hours : float or xarray.DataArray
        Length of the intervals (h), along time or steps where it varies.
    along : Hashable, optional
        Dimension along which the amounts go on growing, so that they are to be differenced.
    inferred : bool, default False
        Whether that they go on growing is taken from custom and is to be checked in the values.
    """

    hours: float | xr.DataArray
    along: Hashable | None = None
    inferred: bool = False


def step_name(da: xr.DataArray) -> Hashable | None:
    """Name the coordinate of the steps of a forecast, None if there is none.

    One along a dimension counts more than a scalar.

    Examples
    --------
    >>> da = xr.DataArray([1.0], {"prediction_timedelta": [6]}, "prediction_timedelta")
    >>> step_name(da)
    'prediction_timedelta'
    """
    names = [name for name in role_candidates(da, "lead_time") if da[name].ndim <= 1]
    return min(names, key=lambda name: not da[name].dims, default=None)


def along_steps(da: xr.DataArray) -> bool:
    """Tell whether a variable runs along the steps of a forecast."""
    name = step_name(da)
    return name is not None and bool(da[name].dims)


def since_start(da: xr.DataArray) -> Interval:
    """Return the intervals of amounts that go on growing from the start.

    Raises
    ------
    UnitsError
        If there are no steps, or they do not rise from above zero.
    """
    name = step_name(da)
    ends = None if name is None else _step_hours(da[name])
    if name is None or ends is None:
        raise UnitsError(
            f"variable {da.name!r} is said to be summed since the start of the forecast, but has "
            f"no steps with a unit of time; give them: {_line_of_steps(da)}"
        )
    return _growing(da[name], ends)


def _line_of_steps(da: xr.DataArray) -> str:
    """Return the line that gives steps of an hour to the dimension of time, whatever its name."""
    times = [dim for dim in da.dims if str(dim).lower() in ("time", "valid_time", "xtime", "step")]
    dim = times[0] if times else "step"
    renamed = "" if dim == "step" else f".rename({{{dim!r}: 'step'}})"
    steps = f"np.arange(1, {da.sizes.get(dim, 1)} + 1) * np.timedelta64(1, 'h')"
    return f"ds{renamed}.assign_coords(step=('step', {steps}))"


def inferred(da: xr.DataArray) -> Interval | None:
    """Take amounts of GRIB at steps from the first on to go on growing, None if they cannot be.

    If the first steps were left out, a mistake would not show in what is now the first.
    """
    name = step_name(da)
    if name is None or not da[name].ndim or da.attrs.get("GRIB_stepType") != "accum":
        return None
    ends = _step_hours(da[name])
    if ends is None or ends.size < 2:
        return None
    interval = _growing(da[name], ends)
    if ends[0] > (ends[1] - ends[0]) * (1 + 1e-6):
        return None
    return Interval(interval.hours, interval.along, inferred=True)


def from_ranges(da: xr.DataArray) -> Interval | None:
    """Return the intervals of GRIB's range of steps, such as "0-6"; None if it is not told.

    If all have one start the amounts go on growing.
    """
    unit = _GRIB_HOURS.get(da.attrs.get("GRIB_stepUnits", 1))
    summed = da.attrs.get("GRIB_stepType", "accum") == "accum"
    told: Any = da.attrs.get("GRIB_stepRange")
    dims: tuple[Hashable, ...] = ()
    if told is None and "stepRange" in da.coords and da["stepRange"].chunks is None:
        told, dims = da["stepRange"].values, da["stepRange"].dims
    if told is None or unit is None or not summed or len(dims) > 1:
        return None
    found = [re.fullmatch(r"(\d+)-(\d+)", str(text)) for text in np.ravel(told)]
    ranges = np.array([(int(r[1]), int(r[2])) for r in found if r]) * unit  # (n, 2)
    if not len(ranges) or len(ranges) < len(found) or (ranges[:, 0] >= ranges[:, 1]).any():
        return None
    hours = ranges[:, 1] - ranges[:, 0]
    if not dims:
        return Interval(float(hours[0]))
    if len(hours) > 1 and (ranges[:, 0] == ranges[0, 0]).all():
        return _growing(da["stepRange"], hours)
    return Interval(xr.DataArray(hours, dims=dims))


def hours_of_unit(coord: xr.DataArray) -> float | None:
    """Return how many hours the unit of a coordinate is, None if it is not one of time.

    Examples
    --------
    >>> hours_of_unit(xr.DataArray([1], dims="step", attrs={"units": "days"}))
    24.0
    """
    unit = str(coord.attrs.get("units", "")).strip().lower()
    return _HOURS.get(unit) or _HOURS.get(unit.removesuffix("s"))


def _step_hours(coord: xr.DataArray) -> np.ndarray | None:
    """Return steps in hours, None if they are lazy or of no unit of time."""
    if coord.chunks is not None:
        return None
    if coord.dtype.kind == "m":
        return np.asarray(coord.values / np.timedelta64(1, "h"))
    hours = hours_of_unit(coord)
    if hours is None or coord.dtype.kind not in "iuf":
        return None
    return np.asarray(coord.values * hours)


def _growing(coord: xr.DataArray, ends: np.ndarray) -> Interval:
    """Return the intervals between the ends (h) at a coordinate, the first from zero."""
    if not (np.diff(np.atleast_1d(ends)) > 0).all():
        dim = coord.dims[0]
        raise UnitsError(
            f"the steps of the forecast, {coord.name!r}, do not rise, so amounts since its start "
            f"cannot be differenced; sort them: ds.drop_duplicates({dim!r}).sortby({coord.name!r})"
        )
    if (ends <= 0).any():
        remedy = f"ds.isel({coord.dims[0]}=slice(1, None))" if coord.ndim else "take a later one"
        raise UnitsError(
            f"at {coord.name}=0 nothing was summed yet, so there is no rate; leave it out: {remedy}"
        )
    if not coord.ndim:
        return Interval(float(ends))
    return Interval(xr.DataArray(np.diff(ends, prepend=0.0), dims=coord.dims), coord.dims[0])
