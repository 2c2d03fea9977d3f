"""The times of amounts: how far apart they are, and whether the amounts grow through the days.

Those of ERA5-Land are sums since 00 UTC, the value at 00 being that of the whole day before. No
attribute of its files tells.
"""

from collections.abc import Hashable

import numpy as np
import xarray as xr

from xresdiff.grids.coords.criteria import role_candidates

__all__ = ["differences", "grows_through_days", "hours_apart", "since_midnight", "time_names"]

DAY_HOURS = 24
GROWING = 8  # times at which something must have grown, for it to be no chance
HOURS_BETWEEN = (1, 2, 3, 4, 6)  # which the sums of a day are apart


def time_names(da: xr.DataArray) -> list[Hashable]:
    """Name the coordinates of time, those which are dimensions first.

    Examples
    --------
    >>> da = xr.DataArray([1.0], dims="valid_time", coords={"time": 0, "valid_time": [1]})
    >>> time_names(da)
    ['valid_time', 'time']
    """
    told = {"time", "valid_time", *role_candidates(da, "time")}
    return sorted((name for name in da.coords if name in told), key=lambda n: n not in da.dims)


def hours_apart(da: xr.DataArray) -> float | None:
    """Return how far apart the closest times are (h), None if there are no two times.

    Examples
    --------
    >>> days = np.array(["2024-07-01", "2024-07-02"], "M8[ns]")
    >>> hours_apart(xr.DataArray([1.0, 2.0], {"time": days}, "time"))
    24.0
    """
    for name in time_names(da):
        apart = _between(da[name])
        if apart is not None:
            return float(np.abs(apart).min())
    return None


def differences(da: xr.DataArray, dim: Hashable, *, daily: bool = False) -> str:
    """Return the line that takes what fell between the times of amounts that grow.

    Parameters
    ----------
    da : xarray.DataArray
        Of which only names and times are read.
    dim : Hashable
        Dimension of the times.
    daily : bool, default False
        Whether they are sums since 00 UTC: the first of a day is then what fell since.

    Examples
    --------
    >>> differences(xr.DataArray([1.0], dims="t", name="tp"), "t")
    "ds = ds.assign({'tp': (ds['tp'] - ds['tp'].shift({'t': 1})).assign_attrs(ds['tp'].attrs)})..."
    """
    field = f"ds[{da.name!r}]"
    before = f"{field}.shift({{{dim!r}: 1}})"
    if daily:
        before += f".where(ds[{dim!r}].dt.hour != {hours_apart(da):g}, 0)"
    return (
        f"ds = ds.assign({{{da.name!r}: ({field} - {before}).assign_attrs({field}.attrs)}})"
        f".isel({{{dim!r}: slice(1, None)}})"
    )


def since_midnight(da: xr.DataArray) -> Hashable | None:
    """Name the dimension along which amounts may be sums since 00 UTC, by the times alone.

    These are an hour apart, or a few, and all by as much.
    """
    for name in time_names(da):
        apart = _between(da[name]) if name in da.dims else None
        if apart is not None and apart[0] in HOURS_BETWEEN and (apart == apart[0]).all():
            return name
    return None


def grows_through_days(da: xr.DataArray, *, rounding: float = 0.0) -> bool:
    """Tell whether amounts look like sums since 00 UTC, by a day or more of them, in memory.

    Nowhere do they fall but from 00 UTC to the next time, where some do. Of rain in its own
    interval the first hours tell that it is not so, and no more of it is read.

    Parameters
    ----------
    da : xarray.DataArray
        Amounts, or what is proportional to them; lazy ones are not looked at.
    rounding : float, default 0
        By how much (in the units of `da`) they may fall for having been rounded.

    Examples
    --------
    >>> times = np.datetime64("2024-07-01T00", "ns") + np.arange(48) * np.timedelta64(1, "h")
    >>> da = xr.DataArray((np.arange(48.0) - 1) % 24, {"time": times}, "time")
    >>> grows_through_days(da), grows_through_days(-da)
    (True, False)
    """
    dim = since_midnight(da)
    if dim is None or da.chunks is not None:
        return False
    hours = hours_apart(da)
    if hours is None or da.sizes[dim] * hours < DAY_HOURS:
        return False
    first_of_day = (da[dim].dt.hour == hours).values  # (t,)
    values = da.transpose(dim, ...).values  # (t, ...)
    grown = fallen = 0
    for place in range(1, len(values)):
        change = values[place] - values[place - 1]
        falls = bool((change < -rounding).any())
        if falls and not first_of_day[place]:
            return False
        fallen += falls
        grown += bool((change > rounding).any())
    return bool(fallen) and grown >= GROWING


def _between(coord: xr.DataArray) -> np.ndarray | None:
    """Return the hours between times of NumPy or cftime, None if these are not two or more."""
    if coord.ndim != 1 or coord.size < 2 or coord.chunks is not None:
        return None
    values = coord.values
    if coord.dtype.kind != "M" and not hasattr(values[0], "calendar"):
        return None
    return np.asarray(np.diff(values).astype("timedelta64[us]") / np.timedelta64(1, "h"))
