"""Scores of ensembles: labelled, lazy, weighted, one signature for all.

Every function takes ``(ens, obs, *, member_dim, dim, weights, ..., skipna)``, DataArrays or
Datasets, and gives back what it got: Datasets variable by variable, lazy where `ens` or `obs` is.
Scores are float64 whatever the data are, because they are sums.
"""

from collections.abc import Hashable, Mapping
from functools import partial

import xarray as xr

from xresdiff.verify import formulas
from xresdiff.verify.pairs import Data, Dims, Labelled, as_dataset, by_variable

__all__ = [
    "bias",
    "crps",
    "mae",
    "rank_histogram",
    "rmse",
    "scores",
    "spread",
    "spread_skill",
]


def crps(
    ens: Labelled,
    obs: Data,
    *,
    member_dim: Hashable | None = None,
    dim: Dims = None,
    weights: xr.DataArray | None = None,
    fair: bool = True,
    skipna: bool = True,
) -> Labelled:
    r"""Score an ensemble with the continuous ranked probability score (CRPS).

    .. math:: \frac1m \sum_i |x_i - y| - \frac{1}{2 m (m - 1)} \sum_{i,j} |x_i - x_j|

    Parameters
    ----------
    ens : xarray.DataArray or xarray.Dataset, (member, ...)
        Ensemble, in any units and chunks; the members may be chunked too. A forecast without
        members, such as an interpolation, is an ensemble of one that is certain: its CRPS is its
        absolute error.
    obs : xarray.DataArray or xarray.Dataset, (...)
        What happened, at the points of `ens` (up to rounding to float32; an axis may run the other
        way) and in units that convert into those of `ens`. Where either has no units they are
        taken to be the same. Variables of Datasets are matched by name; those that only one of
        the two has are left out. Dimensions that `obs` lacks repeat it.
    member_dim : Hashable, optional
        Name of the dimension of the members, of size :math:`m`. By default the one with the
        standard name `realization`, else the first there is of member, number, realization,
        ensemble, member_id, sample.
    dim : Hashable or iterable of Hashable, optional
        Dimensions to average; all by default, none for ``dim=()``.
    weights : xarray.DataArray, optional
        Weights of the average, such as :func:`xresdiff.cell_area`.
    fair : bool, default True
        Divide the double sum by :math:`m (m - 1)` and not by :math:`m^2`, so that ensembles of any
        size are scored as an unlimited one of the same distribution would be (Ferro, 2014).
    skipna : bool, default True
        Leave out of the average the points where `obs` or a member is NaN; a score of such a
        point is NaN, not zero.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        CRPS in the units of `ens`: 0 is perfect, smaller is better.

    Raises
    ------
    InputError
        If there is no dimension of members, if `fair` with a single member, or if the
        points of `ens` and `obs` differ.
    UnitsError
        If the units do not convert.

    References
    ----------
    Ferro, C. A. T. (2014). Fair scores for ensemble forecasts. Q. J. R. Meteorol. Soc. 140,
    1917-1923, doi:10.1002/qj.2270.

    Examples
    --------
    >>> ens = xr.DataArray([[1.0, 4.0], [3.0, 4.0]], dims=("member", "x"))
    >>> obs = xr.DataArray([3.0, 5.0], dims="x")
    >>> crps(ens, obs, dim=()).values
    array([0., 1.])
    >>> crps(ens, obs, fair=False).item()
    0.75
    """
    score = partial(formulas.crps, fair=fair)
    title = "fair CRPS" if fair else "CRPS"
    return by_variable(score, title, ens, obs, member_dim, dim, weights, skipna)


def mae(
    ens: Labelled,
    obs: Data,
    *,
    member_dim: Hashable | None = None,
    dim: Dims = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
) -> Labelled:
    """Average the absolute error of the ensemble mean.

    Parameters
    ----------
    ens, obs, member_dim, dim, weights, skipna
        As for :func:`crps`; `ens` may have no members.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Mean absolute error, in the units of `ens`.

    Raises
    ------
    InputError
        As :func:`crps`.

    Examples
    --------
    >>> ens = xr.DataArray([[1.0, 4.0], [3.0, 4.0]], dims=("member", "x"))
    >>> mae(ens, xr.DataArray([2.0, 5.0], dims="x")).item()
    0.5
    """
    title = "mean absolute error of the ensemble mean"
    return by_variable(formulas.mae, title, ens, obs, member_dim, dim, weights, skipna)


def rmse(
    ens: Labelled,
    obs: Data,
    *,
    member_dim: Hashable | None = None,
    dim: Dims = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
) -> Labelled:
    """Take the root of the mean squared error of the ensemble mean.

    Parameters
    ----------
    ens, obs, member_dim, dim, weights, skipna
        As for :func:`crps`; `ens` may have no members.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Root mean square error, in the units of `ens`.

    Raises
    ------
    InputError
        As :func:`crps`.

    Examples
    --------
    >>> ens = xr.DataArray([[1.0, 4.0], [3.0, 4.0]], dims=("member", "x"))
    >>> rmse(ens, xr.DataArray([1.0, 5.0], dims="x")).item()
    1.0
    """
    title = "root mean square error of the ensemble mean"
    return by_variable(formulas.rmse, title, ens, obs, member_dim, dim, weights, skipna)


def bias(
    ens: Labelled,
    obs: Data,
    *,
    member_dim: Hashable | None = None,
    dim: Dims = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
) -> Labelled:
    """Average the ensemble mean minus the truth.

    Parameters
    ----------
    ens, obs, member_dim, dim, weights, skipna
        As for :func:`crps`; `ens` may have no members.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Bias, in the units of `ens`: positive where the ensemble is too high.

    Raises
    ------
    InputError
        As :func:`crps`.

    Examples
    --------
    >>> ens = xr.DataArray([[1.0, 4.0], [3.0, 4.0]], dims=("member", "x"))
    >>> bias(ens, xr.DataArray([1.0, 5.0], dims="x")).item()
    0.0
    """
    title = "bias of the ensemble mean"
    return by_variable(formulas.bias, title, ens, obs, member_dim, dim, weights, skipna)


def spread(
    ens: Labelled,
    obs: Data | None = None,
    *,
    member_dim: Hashable | None = None,
    dim: Dims = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
) -> Labelled:
    """Take the root of the mean variance of the members, the variance being unbiased.

    The mean of the standard deviations would be smaller, and not comparable with the RMSE.

    Parameters
    ----------
    ens, obs, member_dim, dim, weights, skipna
        As for :func:`crps`; with `obs`, points where it is NaN are left out, as in the other
        scores.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Spread, in the units of `ens`.

    Raises
    ------
    InputError
        If there are fewer than two members, and as :func:`crps`.

    Examples
    --------
    >>> spread(xr.DataArray([[1.0, 4.0], [3.0, 4.0]], dims=("member", "x"))).item()
    1.0
    """
    title = "ensemble spread"
    return by_variable(formulas.spread, title, ens, obs, member_dim, dim, weights, skipna)


def spread_skill(
    ens: Labelled,
    obs: Data,
    *,
    member_dim: Hashable | None = None,
    dim: Dims = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
) -> Labelled:
    r"""Divide the spread by the error of the ensemble mean.

    The spread is multiplied by :math:`\sqrt{(m + 1) / m}`, which makes the ratio 1 for members
    that are drawn from the distribution of the truth, whatever their number (Fortin et al., 2014).

    Parameters
    ----------
    ens, obs, member_dim, dim, weights, skipna
        As for :func:`crps`.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Dimensionless: under 1 the ensemble is too sure of itself, over 1 not enough.

    Raises
    ------
    InputError
        If there are fewer than two members, and as :func:`crps`.

    References
    ----------
    Fortin, V., et al. (2014). Why should ensemble spread match the RMSE of the ensemble mean?
    J. Hydrometeorol. 15, 1708-1713, doi:10.1175/JHM-D-14-0008.1.

    Examples
    --------
    >>> ens = xr.DataArray([[1.0, 4.0], [3.0, 4.0]], dims=("member", "x"))
    >>> spread_skill(ens, xr.DataArray([1.0, 5.0], dims="x")).item()
    1.22
    """
    title = "ratio of spread to error"
    return by_variable(
        formulas.spread_skill, title, ens, obs, member_dim, dim, weights, skipna, units="1"
    )


def rank_histogram(
    ens: Labelled,
    obs: Data,
    *,
    member_dim: Hashable | None = None,
    dim: Dims = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
) -> Labelled:
    """Count how often the truth takes each place among the sorted members.

    A truth that equals some members, as where all is dry, is shared out equally among the places
    that it could take: so draws of one distribution give a flat histogram.

    Parameters
    ----------
    ens, obs, member_dim, dim, weights, skipna
        As for :func:`crps`.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Relative frequency of each `rank`, the number of members below the truth; their sum is 1.

    Raises
    ------
    InputError
        As :func:`crps`.

    Examples
    --------
    >>> ens = xr.DataArray([[0.0, 4.0], [0.0, 5.0]], dims=("member", "x"))
    >>> rank_histogram(ens, xr.DataArray([0.0, 6.0], dims="x")).values
    array([0.17, 0.17, 0.67])
    """
    title = "relative frequency of the rank of the truth"
    return by_variable(
        formulas.rank_histogram, title, ens, obs, member_dim, dim, weights, skipna, units="1"
    )


def scores(
    ens: Data,
    obs: Data,
    *,
    reference: Mapping[str, Data] | None = None,
    member_dim: Hashable | None = None,
    dim: Dims = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
) -> xr.Dataset:
    """Tabulate the scores of an ensemble, and of what it should beat.

    Parameters
    ----------
    ens, obs, member_dim, dim, weights, skipna
        As for :func:`crps`; the CRPS is the fair one.
    reference : mapping of str to xarray.DataArray or xarray.Dataset, optional
        Other forecasts by name, with members or without, such as an interpolation. What needs
        members (spread, spread_skill) is NaN for those that have none.

    Returns
    -------
    xarray.Dataset
        The variables of `ens` along the dimension `score` (crps, mae, rmse, bias, spread, in the
        units of the variable; spread_skill, dimensionless) and, with `reference`, along
        `forecast`: first ``"ensemble"``, then the names given. ``.compute()`` reads lazy data once.

    Raises
    ------
    InputError
        As :func:`crps`.

    Examples
    --------
    >>> ens = xr.DataArray([[1.0, 4.0], [3.0, 4.0]], dims=("member", "x"), name="rain")
    >>> obs = xr.DataArray([1.0, 5.0], dims="x", name="rain")
    >>> table = scores(ens, obs, reference={"mean": ens.mean("member")})
    >>> table.rain.to_pandas()
    score      crps  mae  rmse  bias  spread  spread_skill
    forecast
    ensemble   0.50  1.0  1.00   0.0    1.00          1.22
    mean       1.00  1.0  1.00   0.0     NaN           NaN
    """

    def tabulate(forecast: Data, member: Hashable | None) -> xr.Dataset:
        own = ens.name if isinstance(ens, xr.DataArray) else None
        title, table = "scores (spread_skill: 1)", as_dataset(forecast, own)
        made = by_variable(formulas.table, title, table, obs, member, dim, weights, skipna)
        return made.drop_vars([name for name, c in made.coords.items() if not c.dims])

    tables = {"ensemble": tabulate(ens, member_dim)}
    for name, forecast in (reference or {}).items():
        tables[name] = tabulate(forecast, member_dim if member_dim in forecast.dims else None)
    if not reference:
        return tables["ensemble"]
    names = xr.Variable("forecast", list(tables))
    return xr.concat(tables.values(), names, join="exact", combine_attrs="override")
