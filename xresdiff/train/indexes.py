"""The labels of two dimensions, brought to one kind and compared."""

from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import xarray as xr
from numpy.typing import NDArray

__all__ = ["common", "comparable", "is_time", "known", "values", "written"]


def is_time(index: pd.Index) -> bool:
    """Tell whether labels are times."""
    return isinstance(index, pd.DatetimeIndex | xr.CFTimeIndex)


def common(first: pd.Index, second: pd.Index) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the labels that are in both, in rising order where there is one."""
    first, second = comparable(first, second)
    here, there = known(first), known(second)
    first, second = first[here], second[there]
    common = first.intersection(second)
    try:
        common = common.sort_values()
    except TypeError:  # of labels without an order
        common = first[first.isin(common)]
    return here[first.get_indexer(common)], there[second.get_indexer(common)]


def known(index: pd.Index) -> NDArray[np.int64]:
    """Return the places of labels that are not missing."""
    if isinstance(index, pd.MultiIndex):  # which cannot tell
        return np.arange(len(index))
    return np.flatnonzero(index.notna())


def comparable(first: pd.Index, second: pd.Index) -> tuple[pd.Index, pd.Index]:
    """Bring times of different units and calendars to one kind, to the second, as files round."""
    if isinstance(first, pd.TimedeltaIndex) and isinstance(second, pd.TimedeltaIndex):
        return first.as_unit("us"), second.as_unit("us")
    if not (is_time(first) and is_time(second)):
        return first, second
    cftime = isinstance(first, xr.CFTimeIndex) and isinstance(second, xr.CFTimeIndex)
    if cftime and first.calendar == second.calendar:
        return _seconds(first), _seconds(second)
    return written(first), written(second)


def _seconds(index: xr.CFTimeIndex) -> pd.Index:
    """Return times as whole seconds in their own calendar."""
    import cftime  # type: ignore[import-untyped]  # there, as such times are

    since = cftime.date2num(np.asarray(index), "seconds since 1970-01-01", index.calendar)
    return pd.Index(np.round(since).astype(np.int64))


def written(index: pd.Index) -> pd.DatetimeIndex:
    """Return times as they are written, in any calendar; NaT for days that no other has."""
    if isinstance(index, pd.DatetimeIndex):
        return index.as_unit("us").round("s")
    texts = [time.isoformat() for time in index]
    dates = [np.datetime64("NaT", "us") for _ in texts]
    for i, text in enumerate(texts):
        try:
            dates[i] = np.datetime64(text, "us")
        except ValueError:  # 30 February
            continue
    return pd.DatetimeIndex(np.array(dates, "M8[us]")).round("s")


def values(index: pd.Index) -> NDArray[Any]:
    """Return labels as an array; those of several levels as texts."""
    if isinstance(index, pd.MultiIndex):
        return np.array([str(label) for label in index])
    return np.asarray(index)
