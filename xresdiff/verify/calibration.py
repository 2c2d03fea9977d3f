"""Calibration: whether events happen as often as the members say."""

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.verify.chunks import by_chunk, weights_of
from xresdiff.verify.events import Levels, as_levels, with_levels
from xresdiff.verify.kernels import probabilities
from xresdiff.verify.kernels.blocks import summed
from xresdiff.verify.measures import Measure, first, measure, time_of
from xresdiff.verify.pairs import Pair, find_member_dim
from xresdiff.verify.types import Data, Dims, Labelled

__all__ = ["brier", "pit", "rank_histogram", "reliability"]


#: Classes of a reliability diagram at most: around 0, 10, ..., 100 %.
MOST_CLASSES = 11

CURVES = ("forecast", "observed", "share")


def rank_histogram(
    ens: Labelled,
    obs: Data,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    ci: float | None = None,
) -> Labelled:
    """Count how often the truth takes each place among the sorted members.

    A truth that equals some members, as where all is dry, is shared out equally among the places
    that it could take: so draws of one distribution give a flat histogram. Of data in different
    precisions the finer are rounded to the coarser, so that equal values are equal.

    Parameters
    ----------
    ens, obs, dim, member_dim, weights, skipna, ci
        As for :func:`xresdiff.verify.scores.crps`.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Relative frequency of each `rank`, the number of members below the truth; their sum is 1.

    Raises
    ------
    InputError
        As :func:`xresdiff.verify.scores.crps`.

    References
    ----------
    Hamill, T. M. (2001). Interpretation of rank histograms for verifying ensemble forecasts.
    Mon. Wea. Rev. 129, 550-560, doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2.

    Notes
    -----
    xskillscore draws lots where the truth equals a member; the expectation of that is this.

    Examples
    --------
    >>> ens = xr.DataArray([[0.0, 4.0], [0.0, 5.0]], dims=("member", "x"))
    >>> rank_histogram(ens, xr.DataArray([0.0, 6.0], dims="x")).values
    array([0.17, 0.17, 0.67])
    """

    def points(pair: Pair) -> xr.DataArray:
        ranks = np.arange(pair.members + 1)
        rank = ("rank", ranks, {"long_name": "number of members below the truth"})
        sums = _sums(pair, weights, ci, _ranks, {"rank": ranks.size, "part": 2})
        return sums.assign_coords(rank=rank)

    what = Measure("relative frequency of the rank of the truth", points, _mean, units="1")
    return measure(what, ens, obs, dim=dim, member_dim=member_dim, skipna=skipna, ci=ci)


def pit(
    ens: Labelled,
    obs: Data,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    bins: int = 10,
    ci: float | None = None,
) -> Labelled:
    r"""Count how often the truth takes each probability: the histogram of its PIT.

    The probability integral transform of a truth is what share of the forecast lies below it. Of
    the truth and :math:`m` members, :math:`k` of them below it and :math:`t` equal to it, it is
    spread evenly from :math:`k / (m + 1)` to :math:`(k + t + 1) / (m + 1)` (as Gneiting and Ranjan,
    2013, spread it over a jump of a distribution). So draws of one distribution give a flat
    histogram whatever their number, rain with its zeros too, and ensembles of different sizes
    compare.

    ``scores.probability.Pit`` takes the members for the whole distribution, whose function at the
    truth is between :math:`k / m` and :math:`(k + t) / m`: without ties one number, which falls
    into bins unevenly. It gives what is given here once the truth is added to the members.

    Parameters
    ----------
    ens, obs, dim, member_dim, weights, skipna, ci
        As for :func:`xresdiff.verify.scores.crps`.
    bins : int, default 10
        Number of equal bins from 0 to 1.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Relative frequency of each bin along `pit`, the middle of the bin; their sum is 1.

    Raises
    ------
    InputError
        If there is no bin, and as :func:`xresdiff.verify.scores.crps`.

    References
    ----------
    Gneiting, T., Ranjan, R. (2013). Combining predictive distributions. Electron. J. Statist. 7,
    1747-1782, doi:10.1214/13-EJS823.

    Examples
    --------
    >>> ens = xr.DataArray([[0.0, 4.0], [0.0, 5.0]], dims=("member", "x"))
    >>> pit(ens, xr.DataArray([0.0, 6.0], dims="x"), bins=2).values
    array([0.25, 0.75])
    """
    if bins < 1 or bins != int(bins):
        raise InputError(f"a histogram needs a bin or more, not bins={bins}: bins=10")
    bins = int(bins)

    def points(pair: Pair) -> xr.DataArray:
        centres = (np.arange(bins) + 0.5) / bins
        attrs = {"long_name": "probability integral transform", "units": "1"}
        sums = _sums(pair, weights, ci, _pit, {"pit": bins, "part": 2}, bins=bins)
        return sums.assign_coords(pit=("pit", centres, attrs))

    title = "relative frequency of the probability integral transform"
    what = Measure(title, points, _mean, units="1")
    return measure(what, ens, obs, dim=dim, member_dim=member_dim, skipna=skipna, ci=ci)


def brier(
    ens: Labelled,
    obs: Data,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    threshold: Levels,
    fair: bool = True,
    reference: Data | None = None,
    ci: float | None = None,
) -> Labelled:
    r"""Score the probability of reaching a threshold with the Brier score.

    .. math:: (k / m - o)^2 - \frac{k (m - k)}{m^2 (m - 1)}

    where :math:`k` of :math:`m` members reach the threshold, and :math:`o` is 1 if the truth does,
    else 0.

    Parameters
    ----------
    ens, obs, dim, member_dim, weights, skipna, reference, ci
        As for :func:`xresdiff.verify.scores.crps`. A forecast without members gives the
        probability 0 or 1.
    threshold : float or sequence of float
        What must be reached or exceeded, in the units of `ens`.
    fair : bool, default True
        With the second term, so that ensembles of any size are scored as an unlimited one of the
        same distribution would be (Ferro, 2014); without it if not.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Brier score, dimensionless: 0 is perfect, smaller is better. Along `threshold` if
        several are given.

    Raises
    ------
    InputError
        If there is no threshold, if `fair` with a single member, and as
        :func:`xresdiff.verify.scores.crps`.

    References
    ----------
    Ferro, C. A. T. (2014). Fair scores for ensemble forecasts. Q. J. R. Meteorol. Soc. 140,
    1917-1923, doi:10.1002/qj.2270.

    Notes
    -----
    Equal to `scores.probability.brier_score_for_ensemble`, but where a single member is missing:
    that leaves the member out, here the point has no score.

    Examples
    --------
    >>> ens = xr.DataArray([[0.0, 4.0], [3.0, 5.0]], dims=("member", "x"))
    >>> obs = xr.DataArray([2.0, 6.0], dims="x")
    >>> brier(ens, obs, threshold=[1.0, 4.5], fair=False).values
    array([0.12, 0.12])
    """
    levels = as_levels(threshold, "threshold")

    def points(pair: Pair) -> xr.DataArray:
        several = fair and not pair.deterministic
        if several:
            pair.require_two_members("a fair Brier score", "type fair=False")
        return pair.apply(
            probabilities.brier,
            pair.obs,
            new_dims={"threshold": len(levels), "part": 1},
            thresholds=levels,
            fair=several,
        )

    several = fair and find_member_dim(ens, member_dim) is not None
    what = Measure("fair Brier score" if several else "Brier score", points, first, units="1")
    result = measure(
        what,
        ens,
        obs,
        dim=dim,
        member_dim=member_dim,
        weights=weights,
        skipna=skipna,
        reference=reference,
        ci=ci,
    )
    return with_levels(result, ens, threshold)


def reliability(
    ens: Labelled,
    obs: Data,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    threshold: Levels,
    classes: int | None = None,
    ci: float | None = None,
) -> Labelled:
    """Compare the probability of reaching a threshold with how often that happened.

    Points are sorted into classes by the share of the members that reach the threshold, a share
    half way between two classes into the upper one. Drawn over `forecast`, the curve `observed` of
    a reliable ensemble is the diagonal.

    Parameters
    ----------
    ens, obs, dim, member_dim, weights, skipna, ci
        As for :func:`xresdiff.verify.scores.crps`.
    threshold : float or sequence of float
        What must be reached or exceeded, in the units of `ens`.
    classes : int, optional
        Number of classes, around equal steps from 0 to 1. By default one for every share that the
        members can have, but not more than 11: around 0, 0.1, ..., 1.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        For each class, along `probability`, and each of several thresholds, along `threshold`: the
        mean forecast probability, the relative frequency of the event and the share of all points
        that are in the class, along `curve`: forecast, observed, share. The first two are NaN
        for classes without points. Dimensionless.

    Raises
    ------
    InputError
        If there is no threshold or a single class, and as :func:`xresdiff.verify.scores.crps`.

    References
    ----------
    Wilks, D. S. (2019). Statistical methods in the atmospheric sciences, 4th ed., section 9.4,
    doi:10.1016/C2017-0-03921-6.

    Examples
    --------
    >>> ens = xr.DataArray([[0.0, 4.0, 0.0], [3.0, 5.0, 3.0]], dims=("member", "x"))
    >>> obs = xr.DataArray([2.0, 6.0, 0.0], dims="x")
    >>> curves = reliability(ens, obs, threshold=1.0)
    >>> curves.transpose("curve", "probability").to_pandas()
    probability  0.0   0.5   1.0
    curve
    forecast     NaN  0.50  1.00
    observed     NaN  0.50  1.00
    share        0.0  0.67  0.33
    """
    levels = as_levels(threshold, "threshold")
    if classes is not None and (classes < 2 or classes != int(classes)):
        raise InputError(f"a curve needs two classes or more, not classes={classes}: classes=11")

    def points(pair: Pair) -> xr.DataArray:
        count = int(classes or min(pair.members + 1, MOST_CLASSES))
        new = {"threshold": len(levels), "probability": count, "part": 4}
        options = {"thresholds": levels, "classes": count}
        sums = _sums(pair, weights, ci, probabilities.reliability, new, **options)
        attrs = {"long_name": "middle of the class of forecast probability", "units": "1"}
        middle = ("probability", np.arange(count) / (count - 1), attrs)
        return sums.assign_coords(probability=middle)

    what = Measure("reliability", points, _curves, units="1", scores=CURVES)
    curves = measure(what, ens, obs, dim=dim, member_dim=member_dim, skipna=skipna, ci=ci)
    return with_levels(curves, ens, threshold).rename(score="curve")


def _sums(
    pair: Pair,
    weights: xr.DataArray | None,
    ci: float | None,
    kernel: Callable[..., Any],
    new: Mapping[str, int],
    **options: Any,
) -> xr.DataArray:
    """Sum what a kernel knows of each point over the dimensions to average, chunk by chunk.

    Histograms of every point would be many times the data. The last part is the sum of the weights;
    times to draw from are not summed over.
    """
    fields = [pair.obs, *weights_of(pair, weights)]
    places = [d for d in pair.ens.dims if d != pair.member]
    time = None if ci is None else time_of(pair)
    dims = [d for d in places if d in pair.dims and d != time]
    sums = partial(summed, kernel=kernel, sides=len(dims), skipna=pair.skipna, **options)
    whole = [f.expand_dims([d for d in places if d not in f.dims]) for f in fields]
    return by_chunk(sums, pair.ens, *whole, dims=dims, core=[pair.member], new=new)


def _ranks(*fields: Any) -> Any:
    return probabilities.rank_shares(*fields)[..., None]


def _pit(*fields: Any, bins: int) -> Any:
    return probabilities.pit_shares(*fields, bins=bins)[..., None]


def _mean(sums: Any) -> Any:
    """Divide by the sum of the weights, ``(..., 2) -> (...)``."""
    return sums[..., 0] / sums[..., 1]


def _curves(sums: Any) -> Any:
    """Make means within a class of sums over all points, ``(..., 4) -> (..., 3)``."""
    share, forecast, observed, weight = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([forecast / share, observed / share, share / weight], axis=-1)
