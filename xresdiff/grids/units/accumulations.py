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
from xresdiff.grids.units import steps
from xresdiff.grids.units.steps import Interval

__all__ = [
    "START",
    "Duration",
    "Interval",
    "bounds_of",
    "deaccumulate",
    "hours_of",
    "interval_of",
    "per_hour",
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


def bounds_of(ds: xr.Dataset, name: Hashable) -> xr.DataArray | None:
    """Return the bounds of the time of a variable, (time, 2), None if there are none.

    Xarray leaves them behind when the variable is taken out of its Dataset.

    Examples
    --------
    >>> ds = xr.Dataset({"tp": ("time", [1.0]), "time_bnds": (("time", "b"), [[0, 3600]])})
    >>> ds = ds.assign_coords(time=("time", [3600], {"bounds": "time_bnds"}))
    >>> bounds_of(ds, "tp").values
    array([[   0, 3600]])
    """
    for time in _time_names(ds[name]):
        coord = ds[time]
        bounds = coord.attrs.get("bounds") or coord.encoding.get("bounds")
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
        Bounds of time, from :func:`bounds_of`.
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
    >>> da = xr.DataArray([1.0], dims="time", attrs={"cell_methods": "time: sum (interval: 3 h)"})
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


def ways_to_say(da: xr.DataArray) -> str:
    """Say what a user can type to tell the interval of a variable."""
    text = f"{da.attrs.get('description', '')} {da.attrs.get('long_name', '')}".lower()
    times = [dim for dim in da.dims if str(dim).lower() in ("time", "xtime", "valid_time")]
    if "accumulated" in text and times and steps.step_name(da) is None:
        return (
            f"it is called accumulated: if it grows along {times[0]!r}, take what fell between the "
            f"times, ds = ds.assign({da.name}=ds[{da.name!r}].diff({times[0]!r}, label='upper')), "
            'and then say how far apart they are: ds.resdiff.downscale(accumulation="1h")'
        )
    since = f' (accumulation="{START}" if since the start of the forecast)'
    return (
        f'say over how long it was summed: ds.resdiff.downscale(accumulation="1h")'
        f"{since if steps.step_name(da) is not None else ''}, or "
        f"ds[{da.name!r}].attrs['cell_methods'] = 'time: sum (interval: 1 hour)'"
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


def _time_names(da: xr.DataArray) -> list[Hashable]:
    """Name the coordinates of time, those which are dimensions first."""
    names = [
        name
        for name, coord in da.coords.items()
        if name in ("time", "valid_time") or coord.attrs.get("standard_name") == "time"
    ]
    return sorted(names, key=lambda name: name not in da.dims)


def _summed_over_time(da: xr.DataArray) -> tuple[str, str] | None:
    """Return the method "sum" over time and its remarks, None if the cell methods have none."""
    times = "|".join(re.escape(str(name)) for name in {"time", *_time_names(da)})
    pattern = rf"\b(?:{times}):\s+(?:\w+:\s+)*(sum)\b\s*(?:\(([^)]*)\))?"
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
    interval. So it counts where times are no further apart.
    """
    found = re.search(r"interval:\s*([\d.]+\s*[a-z]+)", remark, re.IGNORECASE)
    hours = _timedelta_hours(found[1]) if found else None
    if found is None or not hours:
        return None
    apart = _shortest_step_hours(da)
    if apart is not None and apart > hours * (1 + 1e-6):
        raise UnitsError(
            f"variable {da.name!r} was summed over time with an interval of {found[1]}, but its "
            f"times are {apart:g} h apart, so it may be the sum of {found[1]} or of {apart:g} h; "
            f'say which: ds.resdiff.downscale(accumulation="{hours:g}h") or "{apart:g}h"'
        )
    return Interval(hours)


def _shortest_step_hours(da: xr.DataArray) -> float | None:
    """Return how far apart the closest times are, None if there is one."""
    for name in _time_names(da):
        index = da.indexes.get(name)
        if index is not None and index.size > 1 and index.dtype.kind in "MO":
            apart = np.abs(np.diff(index.values).astype("timedelta64[us]"))
            return float(apart.min() / np.timedelta64(1, "h"))
    return None
