"""How far members are from one another, and whether that is as far as they are from the truth."""

from collections.abc import Hashable

import xarray as xr

from xresdiff.verify import formulas
from xresdiff.verify.measures import measure
from xresdiff.verify.types import Data, Dims, Labelled

__all__ = ["spread", "spread_skill"]


def spread(
    ens: Labelled,
    obs: Data | None = None,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    ci: float | None = None,
) -> Labelled:
    r"""Take the root of the mean variance of the members, the variance being unbiased.

    .. math:: \sqrt{\overline{\frac{1}{m - 1} \sum_i (x_i - \bar x)^2}}

    The mean of the standard deviations would be smaller, and not comparable with the RMSE.

    Parameters
    ----------
    ens, obs, dim, member_dim, weights, skipna, ci
        As for :func:`xresdiff.verify.scores.crps`; with `obs`, points where it is NaN are left
        out, as in the other scores.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Spread, in the units of `ens`.

    Raises
    ------
    InputError
        If there are fewer than two members, and as :func:`xresdiff.verify.scores.crps`.

    References
    ----------
    Fortin, V., et al. (2014). Why should ensemble spread match the RMSE of the ensemble mean?
    J. Hydrometeorol. 15, 1708-1713, doi:10.1175/JHM-D-14-0008.1.

    Examples
    --------
    >>> spread(xr.DataArray([[1.0, 4.0], [3.0, 4.0]], dims=("member", "x"))).item()
    1.0
    """
    return measure(
        formulas.SPREAD,
        ens,
        obs,
        dim=dim,
        member_dim=member_dim,
        weights=weights,
        skipna=skipna,
        ci=ci,
    )


def spread_skill(
    ens: Labelled,
    obs: Data,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    ci: float | None = None,
) -> Labelled:
    r"""Divide the spread by the error of the ensemble mean.

    The spread is multiplied by :math:`\sqrt{(m + 1) / m}`, which makes the ratio 1 for members
    that are drawn from the distribution of the truth, whatever their number (Fortin et al., 2014).

    Parameters
    ----------
    ens, obs, dim, member_dim, weights, skipna, ci
        As for :func:`xresdiff.verify.scores.crps`.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Dimensionless: under 1 the ensemble is too sure of itself, over 1 not enough.

    Raises
    ------
    InputError
        If there are fewer than two members, and as :func:`xresdiff.verify.scores.crps`.

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
    return measure(
        formulas.SPREAD_SKILL,
        ens,
        obs,
        dim=dim,
        member_dim=member_dim,
        weights=weights,
        skipna=skipna,
        ci=ci,
    )
