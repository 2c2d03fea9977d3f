"""The times of models that give other times than those of their input, and are told lead times.

CorrDiff CMIP6-ERA5 turns daily means of three days into the hours of the one in the middle.
"""

from calendar import monthrange
from collections.abc import Hashable, Iterable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import xarray as xr

from xresdiff.errors import InputError, raise_problems
from xresdiff.grids import coords
from xresdiff.grids.units.steps import hours_of_unit
from xresdiff.models.card import ModelCard

__all__ = [
    "lead_labels",
    "lead_problems",
    "moves_time",
    "on_hours",
    "places",
    "seconds",
    "time_problems",
]

DAY_h = 24
SAME_h = 1e-3  # hours that differ by less are the same: files round them


def moves_time(card: ModelCard) -> bool:
    """Tell whether a model gives other times than those of its input, or needs several of them."""
    return card.hours != (0.0,) or any(channel.offset_h for channel in card.inputs)


def time_problems(ds: xr.Dataset, card: ModelCard, variables: Iterable[Hashable]) -> list[str]:
    """Say what keeps an input from being turned into other times; nothing is computed.

    Parameters
    ----------
    ds : xarray.Dataset
        The input.
    card : ModelCard
        Of the model.
    variables : iterable of Hashable
        Names of the variables that the model takes.

    Returns
    -------
    list of str
        Every problem with its remedy; empty for models that keep the times of their input.
    """
    if not moves_time(card):
        return []
    try:
        name = _time_name(ds[list(variables)])
    except InputError as error:
        return [str(error)]
    if name is None:
        return [
            f"the model needs fields {_hours_in_words(_offsets(card))} from each day's, but the "
            "input has no dimension of time: xr.concat([before, day, after], dim='time')"
        ]
    index = _rounded(ds[name].to_index())
    if not isinstance(index, xr.CFTimeIndex | pd.DatetimeIndex):
        return [f"{name!r} holds no times but {index[0]!r}, ...: ds = xr.decode_cf(ds)"]
    at = -min(card.hours) % DAY_h
    problems = list(_hours_problems(index, name, at))
    if not index.is_monotonic_increasing or not index.is_unique:
        problems.append(
            f"the times of {name!r} do not rise: ds.drop_duplicates({name!r}).sortby({name!r})"
        )
    if not problems and not _complete(index, card).any():
        problems.append(
            f"no time of {name!r} has fields {_hours_in_words(_offsets(card))} from it: there is "
            f"{_dates(index)}. Give consecutive days, those before and after included"
        )
    return problems


def on_hours(ds: xr.Dataset, card: ModelCard) -> xr.Dataset:
    """Bring fields to the times that the model gives, lazily.

    Parameters
    ----------
    ds : xarray.Dataset
        Input without :func:`time_problems`, left as it is.
    card : ModelCard
        Of the model.

    Returns
    -------
    xarray.Dataset
        Its times are the hours of every input time whose neighbours are all there, in the calendar
        of the input; at each of them, the fields of the input time.
    """
    name = _time_name(ds)
    if name is None or not moves_time(card):
        return ds
    index = _rounded(ds[name].to_index())
    whole = index[_complete(index, card)]
    shifts = pd.to_timedelta(np.tile(card.hours, len(whole)), unit="h")
    times = whole.repeat(len(card.hours)) + shifts
    (dim,) = ds[name].dims
    attrs = {key: value for key, value in ds[name].attrs.items() if key != "bounds"}
    moved = ds.drop_vars([ds[name].attrs.get("bounds"), name], errors="ignore")
    return moved.isel(places(ds, card), missing_dims="ignore").assign_coords(
        {name: (dim, times, attrs)}
    )


def places(ds: xr.Dataset, card: ModelCard, offset_h: float = 0.0) -> dict[Hashable, np.ndarray]:
    """Return which input times the fields of the output times are of.

    Parameters
    ----------
    ds, card
        As of :func:`on_hours`.
    offset_h : float, default 0
        Which fields: those this many hours from the input time, one of the card's offsets.

    Returns
    -------
    dict of numpy.ndarray, (t,)
        Places along the dimension of time, for ``isel``; empty for models that keep the times.
    """
    name = _time_name(ds)
    if name is None or not moves_time(card):
        return {}
    index = _rounded(ds[name].to_index())
    whole = index[_complete(index, card)]
    (dim,) = ds[name].dims
    days = index.get_indexer(whole + pd.Timedelta(hours=offset_h))
    return {dim: days.repeat(len(card.hours))}


def _rounded(index: pd.Index) -> pd.Index:
    """Return times to the second, as files round them."""
    if isinstance(index, xr.CFTimeIndex | pd.DatetimeIndex):
        return index.round("s")
    return index


def seconds(coord: xr.DataArray) -> xr.DataArray:
    """Return times as seconds since 1970, lazily if they are lazy.

    Parameters
    ----------
    coord : xarray.DataArray
        Times of NumPy or cftime. Those of other calendars count as what is written: the date of
        the year, the last of the month for days that do not exist, such as 30 February.

    Returns
    -------
    xarray.DataArray
        Of the same shape, float64.

    Raises
    ------
    InputError
        If they are not times, or one is missing.

    Examples
    --------
    >>> seconds(xr.DataArray(np.array(["1970-01-02"], "M8[ns]"), dims="time")).values
    array([86400.])
    """
    plain = xr.DataArray(coord.variable.to_base_variable(), name=coord.name)
    return xr.apply_ufunc(
        _seconds,
        plain,
        kwargs={"name": coord.name, "dims": coord.dims},
        dask="parallelized",
        output_dtypes=[np.float64],
    )


def lead_problems(ds: xr.Dataset, card: ModelCard) -> list[str]:
    """Say what keeps the lead times of an input from being told to the model.

    Returns
    -------
    list of str
        Every problem with its remedy; empty for models that are not told. Lazy lead times are not
        looked at.
    """
    if not card.lead_hours:
        return []
    try:
        name = coords.find_coordinate(ds, "lead_time")
    except InputError as error:
        return [str(error)]
    if name is None:
        return [
            "the model is told the lead time of the forecast, but the input has none; give it, one "
            f"of {_list(card.lead_hours)} hours: ds.assign_coords(lead_time=np.timedelta64(6, 'h'))"
        ]
    coord = ds[name]
    if coord.dtype.kind != "m" and (hours_of_unit(coord) is None or coord.dtype.kind not in "iuf"):
        return [
            f"the lead time {name!r} has no unit of time: "
            f"ds[{name!r}] = ds[{name!r}].assign_attrs(units='hours')"
        ]
    hours = _hours(coord).values if coord.chunks is None else np.array([])
    told = _unknown(hours, card.lead_hours) if hours.size else ""
    if told and coord.ndim == 1:
        keep = np.flatnonzero(_is_known(hours, card.lead_hours)).tolist()
        told += f". Leave the others out: ds.isel({{{coord.dims[0]!r}: {keep}}})"
    return [told] if told else []


def lead_labels(ds: xr.Dataset, card: ModelCard, loop: tuple[Hashable, ...]) -> xr.DataArray | None:
    """Return which of the model's lead times each field has, lazily if they are lazy.

    Parameters
    ----------
    ds : xarray.Dataset
        The input.
    card : ModelCard
        Of the model.
    loop : tuple of Hashable
        Every dimension of the fields but y and x.

    Returns
    -------
    xarray.DataArray or None
        Places in ``card.lead_hours``, int64, along some of the dimensions `loop`; None for models
        that are not told.

    Raises
    ------
    InputError
        With the :func:`lead_problems`; when computed, for lazy lead times.
    """
    if not card.lead_hours:
        return None
    what = "tell the model the lead time"
    raise_problems(lead_problems(ds, card), what=what)
    name = coords.find_coordinate(ds, "lead_time")
    if not set(ds[name].dims) <= set(loop):
        raise InputError(f"cannot {what}: {name!r} runs along {ds[name].dims}, not along {loop}")
    return xr.apply_ufunc(
        _known_labels,
        _hours(ds[name]),
        kwargs={"known": card.lead_hours},
        dask="parallelized",
        output_dtypes=[np.int64],
    )


def _time_name(ds: xr.Dataset) -> Hashable | None:
    """Name the coordinate of time, None if there is none along a dimension."""
    name = coords.find_coordinate(ds, "time")
    return None if name is None or ds[name].ndim != 1 else name


def _offsets(card: ModelCard) -> list[float]:
    return sorted({channel.offset_h for channel in card.inputs})


def _hours_in_words(hours: list[float]) -> str:
    told = [f"{hour:+g} h" if hour else "0 h" for hour in hours]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def _complete(index: pd.Index, card: ModelCard) -> np.ndarray:
    """Tell which times have all the neighbours that the model needs, (t,)."""
    shifted = (index + pd.Timedelta(hours=offset) for offset in _offsets(card))
    return np.all([index.get_indexer(times) >= 0 for times in shifted], axis=0)


def _hours_problems(index: pd.Index, name: Hashable, at: float) -> Iterable[str]:
    """Say which times are not `at` that hour (UTC), from which the hours make up a day."""
    hours = np.array([t.hour + t.minute / 60 + t.second / 3600 for t in index])
    others = index[np.abs(hours - at) > SAME_h]
    if not len(others):
        return
    days = f"ds[{name!r}].dt.floor('D')"
    noon = f"ds.assign_coords({{{name!r}: {days} + pd.Timedelta('{at:g}h')}})"
    daily = len({(t.year, t.month, t.day) for t in index}) == len(index)
    first = "" if daily else f"ds = ds.resample({name}='D').mean(); "
    yield (
        f"the times of {name!r} must be those of daily fields, {at:02.0f}:00 UTC; there is "
        f"{_dates(others)}. If they are of the whole day: {first}{noon}"
    )


def _dates(index: pd.Index) -> str:
    """Return the first times and the last, in words."""
    told = [f"{t:%Y-%m-%dT%H:%M}" if hasattr(t, "strftime") else str(t) for t in index]
    return ", ".join(told) if len(told) < 4 else f"{told[0]}, {told[1]}, ... {told[-1]}"


def _seconds(values: np.ndarray, *, name: Hashable, dims: tuple[Hashable, ...]) -> np.ndarray:
    if values.dtype.kind == "O":
        texts = [_gregorian(value) for value in values.ravel()]
        values = np.array(texts, dtype="datetime64[us]").reshape(values.shape)
    if values.dtype.kind != "M":
        raise InputError(f"times of the type {values.dtype} are none: xr.decode_cf(ds)")
    if np.isnat(values).any():
        there = f"ds[{name!r}].notnull().values"
        raise InputError(
            f"a time of {name!r} is missing (NaT), but the networks are told the time of every "
            f"field; leave it out: ds.isel({', '.join(f'{dim}={there}' for dim in dims[:1])})"
        )
    since = (values.astype("datetime64[us]") - np.datetime64(0, "us")) / np.timedelta64(1, "s")
    return np.asarray(since, dtype=np.float64)


def _gregorian(time: Any) -> np.datetime64:
    """Return the time of cftime that is written alike, on the last of the month if it is later."""
    if not hasattr(time, "calendar"):
        raise InputError(f"{time!r} is no time: xr.decode_cf(ds)")
    last = monthrange(time.year, time.month)[1]
    date = np.datetime64(f"{time.year:04d}-{time.month:02d}-{min(time.day, last):02d}", "us")
    since_midnight = timedelta(
        hours=time.hour, minutes=time.minute, seconds=time.second, microseconds=time.microsecond
    )
    return date + np.timedelta64(since_midnight)


def _hours(coord: xr.DataArray) -> xr.DataArray:
    """Return lead times in hours, float64."""
    plain = xr.DataArray(coord.variable.to_base_variable(), name=coord.name)
    if plain.dtype.kind == "m":
        return plain / np.timedelta64(1, "h")
    return plain.astype(np.float64) * (hours_of_unit(coord) or np.nan)


def _known_labels(hours: np.ndarray, *, known: tuple[float, ...]) -> np.ndarray:
    """Return the places of hours among the known."""
    told = _unknown(hours, known)
    if told:
        raise InputError(told)
    return np.asarray(_apart(hours, known).argmin(axis=-1), dtype=np.int64)


def _unknown(hours: np.ndarray, known: tuple[float, ...]) -> str:
    """Say which hours the model does not know; nothing if it knows them all."""
    others = np.unique(hours[~_is_known(hours, known)])
    if not others.size:
        return ""
    told = f"lead times of {_list(others)} hours; it knows {_list(known)} hours"
    return f"the model does not know {told}"


def _is_known(hours: np.ndarray, known: tuple[float, ...]) -> np.ndarray:
    """Tell which hours are known; one that is missing is not."""
    return np.asarray(_apart(hours, known).min(axis=-1) <= SAME_h)


def _apart(hours: np.ndarray, known: tuple[float, ...]) -> np.ndarray:
    """Return how far hours are from the known, (..., known)."""
    return np.abs(np.asarray(hours)[..., None] - np.asarray(known))


def _list(hours: Iterable[float]) -> str:
    return ", ".join(f"{hour:g}" for hour in hours)
