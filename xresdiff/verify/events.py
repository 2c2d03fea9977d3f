"""Verification of events, values at or above a threshold: the contingency table and its scores."""

from collections.abc import Hashable, Sequence
from typing import TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.verify.kernels import events as kernels
from xresdiff.verify.measures import Measure, measure
from xresdiff.verify.pairs import Pair, as_dataset
from xresdiff.verify.types import Data, Dims, Labelled

__all__ = ["Levels", "as_levels", "contingency", "events", "with_levels"]

Levels: TypeAlias = float | Sequence[float]

EVENTS = ("hits", "misses", "false_alarms", "correct_negatives")
SCORES = ("csi", "pod", "far", "ets", "hss", "frequency_bias")


def contingency(
    ens: Labelled,
    obs: Data,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    threshold: Levels,
    probability: float | None = None,
) -> Labelled:
    """Count hits, misses, false alarms and correct negatives.

    An event is a value at or above the threshold.

    Parameters
    ----------
    ens, obs, dim, member_dim, weights, skipna
        As for :func:`xresdiff.crps`.
    threshold : float or sequence of float
        In the units of `ens`. Data are compared in their own precision: 0.7 stored as float32 is
        at the threshold 0.7. Of a Dataset the same numbers go for every variable.
    probability : float, optional
        Share of the members, above 0 and up to 1, from which on an event is forecast. By
        default every member is a forecast of its own, and the counts are averaged over them.

    Returns
    -------
    xarray.DataArray or xarray.Dataset, (..., threshold, event)
        Relative frequencies: averages, whose sum over `event` is 1. A single threshold makes no
        dimension. The base rate is ``hits + misses``.

    Raises
    ------
    InputError
        As :func:`xresdiff.crps`; if there is no threshold, or `probability` is none.
    UnitsError
        If the units do not convert.

    References
    ----------
    Wilks, D. S. (2019). Statistical Methods in the Atmospheric Sciences, 4th ed., section 9.2.
    Elsevier, doi:10.1016/C2017-0-03921-6.

    Examples
    --------
    >>> ens = xr.DataArray([[0.0, 2.0, 3.0, 0.0], [2.0, 2.0, 0.0, 0.0]], dims=("member", "x"))
    >>> obs = xr.DataArray([5.0, 5.0, 0.0, 0.0], dims="x")
    >>> contingency(ens, obs, threshold=1.0).values  # hits, misses, false alarms, negatives
    array([0.375, 0.125, 0.125, 0.375])
    >>> contingency(ens, obs, threshold=1.0, probability=0.5).sel(event="hits").item()
    0.5
    """
    what = _measure("relative frequency of events", threshold, probability, EVENTS)
    result = measure(what, ens, obs, dim=dim, member_dim=member_dim, weights=weights, skipna=skipna)
    return with_levels(result, ens, threshold).rename(score="event")


def events(
    ens: Labelled,
    obs: Data,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    threshold: Levels,
    probability: float | None = None,
    ci: float | None = None,
) -> Labelled:
    r"""Score forecasts of events, values at or above a threshold.

    Of the frequencies :math:`a` of hits, :math:`b` of false alarms, :math:`c` of misses and
    :math:`d` of correct negatives, averaged first, with :math:`n = a + b + c + d`:

    ``csi``
        Critical success index or threat score, :math:`a / (a + b + c)` (Schaefer, 1990).
    ``pod``
        Probability of detection or hit rate, :math:`a / (a + c)`.
    ``far``
        False alarm ratio, :math:`b / (a + b)`: the share of the forecasts that failed, not the
        false alarm rate :math:`b / (b + d)`.
    ``ets``
        Equitable threat score or Gilbert skill score,
        :math:`(a - a_r) / (a + b + c - a_r)` with :math:`a_r = (a + b) (a + c) / n`.
    ``hss``
        Heidke skill score, :math:`2 (a d - b c) / [(a + c) (c + d) + (a + b) (b + d)]`.
    ``frequency_bias``
        Events forecast over events that happened, :math:`(a + b) / (a + c)`.

    Parameters
    ----------
    ens, obs, dim, member_dim, weights, skipna, threshold, probability
        As for :func:`contingency`.
    ci
        As for :func:`xresdiff.crps`.

    Returns
    -------
    xarray.DataArray or xarray.Dataset, (..., threshold, score)
        The scores, without units; NaN where one is 0 / 0. A perfect forecast has 1, and 0 for
        `far`. A single threshold makes no dimension.

    Raises
    ------
    InputError
        As :func:`contingency`; with `ci` as :func:`xresdiff.crps`.
    UnitsError
        If the units do not convert.

    References
    ----------
    Hogan, R. J., Mason, I. B. (2012). Deterministic forecasts of binary events. In: Jolliffe, I.
    T., Stephenson, D. B. (eds), Forecast Verification, 2nd ed., 31-59. Wiley,
    doi:10.1002/9781119960003.ch3.

    Schaefer, J. T. (1990). The critical success index as an indicator of warning skill. Wea.
    Forecasting 5, 570-575, doi:10.1175/1520-0434(1990)005<0570:TCSIAA>2.0.CO;2.

    Wilks, D. S. (2019). Statistical Methods in the Atmospheric Sciences, 4th ed., section 9.2.
    Elsevier, doi:10.1016/C2017-0-03921-6.

    Examples
    --------
    >>> ens = xr.DataArray([0.0, 2.0, 3.0, 0.0], dims="x")
    >>> obs = xr.DataArray([5.0, 5.0, 0.0, 0.0], dims="x")
    >>> events(ens, obs, threshold=[1.0, 9.0]).to_pandas()
    score           csi  pod  far  ets  hss  frequency_bias
    threshold
    1.0        0.333333  0.5  0.5  0.0  0.0             1.0
    9.0             NaN  NaN  NaN  NaN  NaN             NaN
    """
    what = _measure("scores of events", threshold, probability, SCORES)
    result = measure(
        what, ens, obs, dim=dim, member_dim=member_dim, weights=weights, skipna=skipna, ci=ci
    )
    return with_levels(result, ens, threshold)


def _measure(
    title: str, threshold: Levels, probability: float | None, scores: tuple[str, ...]
) -> Measure:
    """Make the table, or the scores of it, a function of averages."""
    levels = as_levels(threshold, "threshold")
    if probability is not None and not 0 < probability <= 1:
        raise InputError(
            f"probability is a share of the members above 0 and up to 1, such as probability=0.5, "
            f"not {probability}"
        )

    def points(pair: Pair) -> xr.DataArray:
        return pair.apply(
            kernels.contingency,
            pair.obs,
            new_dims={"threshold": len(levels), "part": len(EVENTS)},
            thresholds=levels,
            probability=probability,
        )

    finish = kernels.contingency_scores if scores is SCORES else np.asarray
    return Measure(title, points, finish, units="1", scores=scores)


def as_levels(values: Levels, name: str) -> tuple[float, ...]:
    """Return thresholds or scales, one or several, as numbers.

    Parameters
    ----------
    values : float or sequence of float
        What a user typed.
    name : str
        What it is called, to be told in errors.

    Returns
    -------
    tuple of float
        One or more.

    Raises
    ------
    InputError
        If there is none, or one is not a finite number.

    Examples
    --------
    >>> as_levels(1, "threshold"), as_levels(np.array([1, 5]), "threshold")
    ((1.0,), (1.0, 5.0))
    """
    try:
        levels = np.atleast_1d(np.asarray(values))
    except ValueError:  # lists of different lengths
        levels = np.empty(0)
    numbers = levels.dtype.kind in "fiu" and levels.ndim == 1 and levels.size > 0
    if not (numbers and np.isfinite(levels).all()):
        raise InputError(f"{name} is a number or a list of numbers, {name}=[1, 5], not {values!r}")
    return tuple(levels.astype(np.float64).tolist())


def with_levels(result: Labelled, ens: Data, threshold: Levels) -> Labelled:
    """Label the dimension `threshold` in the units of the data, or drop it if there is but one.

    Parameters
    ----------
    result : xarray.DataArray or xarray.Dataset, (..., threshold)
        Scores.
    ens : xarray.DataArray or xarray.Dataset
        The data; where the variables of a Dataset have several units, none is told.
    threshold : float or sequence of float
        As the user typed it; a number, not a list, makes a scalar coordinate.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        The scores with the coordinate `threshold`.
    """
    names = as_dataset(result).data_vars
    variables = [ens[name] for name in names] if isinstance(ens, xr.Dataset) else [ens]
    units = {str(variable.attrs.get("units", "")) for variable in variables}
    attrs = {"long_name": "threshold"} | ({"units": units.pop()} if len(units) == 1 else {})
    attrs = {key: text for key, text in attrs.items() if text}
    levels = as_levels(threshold, "threshold")
    labelled = result.assign_coords(threshold=("threshold", list(levels), attrs))
    return labelled.isel(threshold=0) if np.ndim(threshold) == 0 else labelled
