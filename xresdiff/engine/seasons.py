"""How far the day and the year have come, for networks that are told."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["share_of_day", "share_of_year"]

DAY_s = 86_400


def share_of_day(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of the day (UTC) has passed at times in seconds since 1970, ``(t,)``.

    Examples
    --------
    >>> share_of_day(np.array([0.0, 21_600.0, -43_200.0]))
    array([0.  , 0.25, 0.5 ])
    """
    return np.asarray(seconds, np.float64) % DAY_s / DAY_s


def share_of_year(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of the year has passed at times in seconds since 1970, ``(t,)``.

    Examples
    --------
    >>> times = np.array(["2020-01-01", "2020-07-02", "2021-07-02T12"], "M8[s]")
    >>> share_of_year(times.astype(float))
    array([0. , 0.5, 0.5])
    """
    times = np.floor(np.asarray(seconds, np.float64)).astype("M8[s]")
    years = times.astype("M8[Y]")
    start, end = (y.astype("M8[s]").astype(np.float64) for y in (years, years + 1))
    return (np.asarray(seconds, np.float64) - start) / (end - start)
