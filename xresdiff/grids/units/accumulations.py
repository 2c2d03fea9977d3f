"""Amounts that fell over an interval, such as the rain of an hour: find the interval, make rates.

The interval is told by the user, or by the bounds of time, the steps of a forecast or the cell
methods; where none of them does, it stays unknown. Nothing here computes data.
"""

import re
from collections.abc import Hashable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import xarray as xr

from xresdiff.errors import UnitsError
from xresdiff.grids.coords.criteria import bounds_name
from xresdiff.grids.units import steps, times
from xresdiff.grids.units.steps import Interval

__all__ = [
    "START",
    "Duration",
    "Interval",
    "deaccumulate",
    "doubts",
    "hours_of",
    "interval_of",
    "per_hour",
    "time_bounds_of",
    "ways_to_say",
]

START = "start"  # what a user types for amounts since the start of the forecast
SHORTEST_HOURS = 1 / 3600  # pandas reads "1" as a nanosecond

Duration = str | timedelta | np.timedelta64


def hours_of(accumulation: Duration) -> float:
    """Return the hours of an interval that a user typed.

    Parameters
    ----------
    accumulation : str, datetime.timedelta or numpy.timedelta64
        Any text that pandas reads as a `Timedelta`, such as "1h" or "15min".

    Returns
    -------
    float
        Hours, positive.

    Raises
    ------
    UnitsError
        If it is no interval of a second or longer.

    Examples
    --------
    >>> hours_of("6h"), hours_of("15min")
    (6.0, 0.25)
    """
    hours = _timedelta_hours(accumulation)
    if hours is None or hours < SHORTEST_HOURS:
        raise UnitsError(
            f"accumulation is {accumulation!r}; it is an interval such as '1h' or '15min', or "
            f"{START!r} for amounts since the start of a forecast"
        )
    return hours


def time_bounds_of(ds: xr.Dataset, name: Hashable) -> xr.DataArray | None:
    """Return the bounds of the time of a variable, (time, 2), None if there are none.

    Xarray leaves them behind when the variable is taken out of its Dataset.

    Examples
    --------
    >>> ds = xr.Dataset({"tp": ("time", [1.0]), "time_bnds": (("time", "b"), [[0, 3600]])})
    >>> ds = ds.assign_coords(time=("time", [3600], {"bounds": "time_bnds"}))
    >>> time_bounds_of(ds, "tp").values
    array([[   0, 3600]])
    """
    for time in times.time_names(ds[name]):
        coord = ds[time]
        bounds = bounds_name(coord)
        if bounds in ds.variables and len(set(ds[bounds].dims) - set(coord.dims)) == 1:
            return ds[bounds]
    return None


def interval_of(
    da: xr.DataArray,
    accumulation: Duration | None = None,
    *,
    bounds: xr.DataArray | None = None,
    infer: bool = True,
) -> Interval | None:
    """Find over which interval the amounts of a variable were summed.

    What the user says counts most, then the bounds of time if ``cell_methods`` says "time: sum",
    then the range of steps that GRIB tells, then "time: sum (interval: 1 hour)". Without these,
    amounts of GRIB (``GRIB_stepType`` "accum") along the steps of a forecast are taken to go on
    growing from its start, which :func:`per_hour` checks in their values.

    Parameters
    ----------
    da : xarray.DataArray
        Amounts. Only attributes and one-dimensional coordinates are read.
    accumulation : str, datetime.timedelta or numpy.timedelta64, optional
        What the user says: an interval such as "1h", or "start".
    bounds : xarray.DataArray, (time, 2), optional
        Bounds of time, from :func:`time_bounds_of`.
    infer : bool, default True
        Whether amounts may be taken to grow from the start. It suits rain, which never falls,
        so that a mistake shows.

    Returns
    -------
    Interval or None
        None if nothing tells.

    Raises
    ------
    UnitsError
        If `accumulation` is no interval, if the bounds or steps do not rise, if steps start at
        zero, or if what is told has more than one reading.

    Examples
    --------
    >>> hours = np.array(["2024-07-01T03", "2024-07-01T06"], "M8[ns]")
    >>> da = xr.DataArray([1.0, 2.0], {"time": hours}, "time")
    >>> da.attrs["cell_methods"] = "time: sum (interval: 3 h)"
    >>> interval_of(da).hours, interval_of(da, "1h").hours
    (3.0, 1.0)
    """
    if accumulation == START:
        return steps.since_start(da)
    if accumulation is not None:
        return Interval(hours_of(accumulation))
    summed = _summed_over_time(da)
    if summed and bounds is not None:
        told = _from_bounds(bounds)
        if told is not None:
            return told
    ranges = steps.from_ranges(da)
    if ranges is not None:
        return ranges
    if summed and "interval:" in summed[1]:
        return _from_cell_methods(da, summed[1])
    return steps.inferred(da) if infer else None


def per_hour(da: xr.DataArray, interval: Interval, *, rounding: float = 0.0) -> xr.DataArray:
    """Turn amounts into amounts per hour, lazily.

    Parameters
    ----------
    da : xarray.DataArray
        Amounts; never changed.
    interval : Interval
        From :func:`interval_of`.
    rounding : float, default 0
        By how much (in the units of `da`) a growing amount may fall for having been rounded; such
        falls count as none.

    Returns
    -------
    xarray.DataArray
        In the units of `da` per hour, where an interval ends.

    Raises
    ------
    UnitsError
        If amounts that were inferred to grow fall: at once, or when lazy ones are computed.

    Examples
    --------
    >>> da = xr.DataArray([6.0, 0.0], dims="time")
    >>> per_hour(da, Interval(6.0)).values
    array([1., 0.])
    """
    amount = da
    if interval.along is not None:
        amount = xr.apply_ufunc(
            _rising,
            da,
            deaccumulate(da, interval.along),
            kwargs={
                "rounding": rounding,
                "what": _falling(da, interval.along) if interval.inferred else None,
            },
            dask="parallelized",
            output_dtypes=[da.dtype],
            keep_attrs="override",
        )
    hours = interval.hours
    if isinstance(hours, xr.DataArray):
        hours = hours.astype(da.dtype if da.dtype.kind == "f" else np.float64)
    return (amount / hours).transpose(*da.dims).assign_attrs(da.attrs)


def deaccumulate(da: xr.DataArray, dim: Hashable) -> xr.DataArray:
    """Return by how much sums grew, from zero, along a dimension: `cumsum` undone, lazily.

    Examples
    --------
    >>> deaccumulate(xr.DataArray([1.0, 3.0, 3.0], dims="step"), "step").values
    array([1., 2., 0.])
    """
    if da.sizes[dim] < 2:
        return da  # which dask does not shift
    return (da - da.shift({dim: 1}, fill_value=0)).assign_attrs(da.attrs)


def doubts(da: xr.DataArray, interval: Interval, rate: xr.DataArray, *, rounding: float) -> str:
    """Say what makes the interval of amounts doubtful, with the lines that settle it.

    Parameters
    ----------
    da : xarray.DataArray
        Amounts; only their attributes and coordinates are read.
    interval : Interval
        From :func:`interval_of`.
    rate : xarray.DataArray
        What came of them. It is looked at if it is in memory.
    rounding : float
        As of :func:`per_hour`, in the units of `rate`.

    Returns
    -------
    str
        Empty if there is no doubt.
    """
    if interval.inferred:
        return _custom(da, interval)
    each = interval.along is None and not isinstance(interval.hours, xr.DataArray)
    if not each or steps.along_steps(da) or not times.grows_through_days(rate, rounding=rounding):
        return ""
    line = times.differences(da, times.since_midnight(rate), daily=True)
    return (
        f"variable {da.name!r} was taken for amounts of {interval.hours:g} h each, but grows "
        "through the day and falls after 00 UTC only, as sums since 00 UTC do, such as those of "
        f"ERA5-Land. If it is one, take what fell between the times first: {line}"
    )


def ways_to_say(da: xr.DataArray) -> str:
    """Say what a user can type to tell the interval of a variable."""
    text = f"{da.attrs.get('description', '')} {da.attrs.get('long_name', '')}".lower()
    along = [dim for dim in da.dims if str(dim).lower() in ("time", "xtime", "valid_time")]
    apart = times.hours_apart(da)
    between = f"{apart:g}h" if apart and apart >= 1 else f"{apart * 60:g}min" if apart else "1h"
    typed = f'ds.resdiff.downscale(accumulation="{between}")'
    if "accumulated" in text and along and steps.step_name(da) is None:
        return (
            f"it is called accumulated: if it grows along {along[0]!r}, take what fell between the "
            f"times, {times.differences(da, along[0])}, "
            f"and then say how far apart they are: {typed}"
        )
    since = f' (accumulation="{START}" if since the start of the forecast)'
    told = f"say over how long it was summed: {typed}"
    if steps.step_name(da) is not None:
        told += since
    if apart is not None and apart <= 1:  # else it would be refused
        told += f", or ds[{da.name!r}].attrs['cell_methods'] = 'time: sum (interval: 1 hour)'"
    return told if steps.along_steps(da) else told + _unless_since_midnight(da, apart)


def _unless_since_midnight(da: xr.DataArray, apart: float | None) -> str:
    """Say what to do with sums since 00 UTC; nothing where times are a day apart."""
    if apart is not None and apart >= times.DAY_HOURS:
        return ""
    told = "if it grows through the day, as that of ERA5-Land does"
    dim = times.since_midnight(da)
    if dim is not None:
        line = times.differences(da, dim, daily=True)
        return f"; but {told}, take what fell between the times first: {line}"
    return f"; but {told}, it is the sum since 00 UTC, not of an hour"


def _custom(da: xr.DataArray, interval: Interval) -> str:
    """Say what of a forecast is taken from custom, and how to say it."""
    assert isinstance(interval.hours, xr.DataArray)
    own = float(interval.hours[0])
    return (
        f"variable {da.name!r} was taken to be summed since the start of the forecast, as most "
        f"are, and its differences along {interval.along!r} were taken. If so, say it: "
        f'ds.resdiff.downscale(accumulation="{START}"). If each is the amount of its own step, as '
        f'in ERA5, the rates are wrong: ds.resdiff.downscale(accumulation="{own:g}h")'
    )


def _rising(
    amount: np.ndarray, increase: np.ndarray, *, rounding: float, what: str | None
) -> np.ndarray:
    """Forgive what was rounded, refuse other falls if told what to say of them; of any shape.

    Below zero, as evaporation is in GRIB, every fall is meant.
    """
    falls = increase < -rounding
    if what is not None and falls.any():
        raise UnitsError(what.format(fall=-increase[falls].min()))
    return np.where((increase < 0) & ~falls & (amount >= 0), increase.dtype.type(0), increase)


def _falling(da: xr.DataArray, dim: Hashable) -> str:
    """Say what is wrong with amounts that fall, its size left open."""
    what = (
        f"variable {da.name!r} was taken to be summed since the start of the forecast, but falls "
        f"along {dim!r}, by AMOUNT {da.attrs.get('units', '')}; say over how long it was summed, "
        f'such as ds.resdiff.downscale(accumulation="1h"), or accumulation="{START}" if it may fall'
    )
    return what.replace("{", "{{").replace("}", "}}").replace("AMOUNT", "{fall:g}")


def _timedelta_hours(duration: Any) -> float | None:
    """Return hours, None of what pandas does not read as a time."""
    try:
        hours = pd.Timedelta(duration).total_seconds() / 3600
    except (ValueError, TypeError, OverflowError):
        return None
    return None if np.isnan(hours) else hours


def _summed_over_time(da: xr.DataArray) -> tuple[str, str] | None:
    """Return the method "sum" over time and its remarks, None if the cell methods have none."""
    names = "|".join(re.escape(str(name)) for name in {"time", *times.time_names(da)})
    pattern = rf"\b(?:{names}):\s+(?:\w+:\s+)*(sum)\b\s*(?:\(([^)]*)\))?"
    found = re.search(pattern, str(da.attrs.get("cell_methods", "")))
    return (found[1], found[2] or "") if found else None


def _from_bounds(bounds: xr.DataArray) -> Interval | None:
    """Return the interval between bounds, lazily; None if they are no times."""
    if bounds.dtype.kind not in "MmO":
        return None  # not decoded
    data = bounds.data
    if bounds.chunks is None:
        between = _hours_between(data)
    else:  # not by xarray, which reads the first of lazy times of cftime
        whole = data.rechunk({data.ndim - 1: -1})
        between = whole.map_blocks(
            _hours_between, drop_axis=data.ndim - 1, meta=np.empty((0,) * (data.ndim - 1))
        )
    hours = xr.DataArray(between, dims=bounds.dims[:-1])
    if hours.chunks is None and not bool((hours > 0).all()):
        raise UnitsError(f"the bounds of time, {bounds.name!r}, do not rise; mend or drop them")
    return Interval(hours.where(hours > 0))


def _hours_between(bounds: np.ndarray) -> np.ndarray:
    """Return hours of ``(..., 2)`` times of NumPy or cftime, ``(...)``."""
    elapsed = np.asarray(bounds[..., 1] - bounds[..., 0])
    return elapsed.astype("timedelta64[us]") / np.timedelta64(1, "h")


def _from_cell_methods(da: xr.DataArray, remark: str) -> Interval | None:
    """Return the interval of a remark like "interval: 1 hour".

    CF means the spacing of what was summed by it: in daily sums of hourly rain it is not the
    interval. So it counts where there are times no further apart.
    """
    found = re.search(r"interval:\s*([\d.]+\s*[a-z]+)", remark, re.IGNORECASE)
    hours = _timedelta_hours(found[1]) if found else None
    if found is None or not hours:
        return None
    apart = times.hours_apart(da)
    if apart is None:
        raise UnitsError(
            f"variable {da.name!r} was summed over time with an interval of {found[1]}, which is "
            "the spacing of what was summed; with no two times to compare, it may be the sum of "
            f"{found[1]} or of longer; say which: "
            f'ds.resdiff.downscale(accumulation="{hours:g}h"), or the longer time'
        )
    if apart > hours * (1 + 1e-6):
        raise UnitsError(
            f"variable {da.name!r} was summed over time with an interval of {found[1]}, but its "
            f"times are {apart:g} h apart, so it may be the sum of {found[1]} or of {apart:g} h; "
            f'say which: ds.resdiff.downscale(accumulation="{hours:g}h") or "{apart:g}h"'
        )
    return Interval(hours)
