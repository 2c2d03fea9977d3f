"""The table of a paper: all scores of an ensemble, and of what it should beat."""

from collections.abc import Hashable, Mapping

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.verify import formulas
from xresdiff.verify.measures import check_level, evaluate, time_of, totals
from xresdiff.verify.pairs import Pair, as_dataset, by_variable
from xresdiff.verify.types import Data, Dims

__all__ = ["scores"]


def scores(
    ens: Data,
    obs: Data,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    reference: Mapping[str, Data] | None = None,
    ci: float | None = None,
) -> xr.Dataset:
    """Tabulate the scores of an ensemble, and of what it should beat.

    Parameters
    ----------
    ens, obs, dim, member_dim, weights, skipna, ci
        As for :func:`xresdiff.verify.scores.crps`; the CRPS is the fair one.
    reference : mapping of str to xarray.DataArray or xarray.Dataset, optional
        Other forecasts by name, with members or without: an interpolation, the mean stage, a
        climatology (dimensions that they lack repeat them). What needs members (spread,
        spread_skill) is NaN for those that have none. All rows are scored at the points that all
        forecasts have.

    Returns
    -------
    xarray.Dataset
        The variables of `ens` along the dimension `score`: crps, mae and rmse and bias of the
        ensemble mean, member_mae, spread, in the units of the variable, which the `long_name`
        tells; correlation and spread_skill, dimensionless. With `reference` also along `forecast`,
        first ``"ensemble"``, then the names given, and with the score crps_skill: that of the
        ensemble over the forecast of the row. With `ci` also along `bound`. All comes from one
        pass over the data, and ``.compute()`` reads lazy ones once. ``.to_dataframe()`` has a
        column for every variable.

    Raises
    ------
    InputError
        As :func:`xresdiff.verify.scores.crps`.

    Examples
    --------
    >>> ens = xr.DataArray([[1.0, 4.0], [3.0, 4.0]], dims=("member", "x"), name="rain")
    >>> obs = xr.DataArray([1.0, 5.0], dims="x", name="rain")
    >>> table = scores(ens, obs, reference={"mean": ens.mean("member")})
    >>> table.rain.sel(score=["crps", "rmse", "spread_skill", "crps_skill"]).to_pandas()
    score      crps  rmse  spread_skill  crps_skill
    forecast
    ensemble   0.50  1.00          1.22         NaN
    mean       1.00  1.00           NaN         0.5
    """
    check_level(ci)
    others = _named(reference)

    def tabulate(pair: Pair, *references: Pair) -> xr.DataArray:
        time = None if ci is None else time_of(pair)
        own, *summed = totals(formulas.TABLE, (pair, *references), time)
        rows = [evaluate(formulas.TABLE, [own], time, ci)]
        rows += [_row_of(evaluate(formulas.TABLE, [own, other], time, ci)) for other in summed]
        if not references:
            return rows[0]
        table = xr.concat(rows, "forecast", join="outer", fill_value=np.nan)
        order = [*rows[0]["score"].values, "crps_skill"]
        return table.sel(score=order).assign_coords(forecast=["ensemble", *others])

    without = "correlation, spread_skill" + ", crps_skill" * bool(others)
    name = ens.name if isinstance(ens, xr.DataArray) else None
    references = [as_dataset(other, name) for other in others.values()]
    table = by_variable(
        tabulate,
        "scores",
        as_dataset(ens),
        obs,
        member_dim,
        dim,
        weights,
        skipna,
        references=references,
        without=without,
    )
    return table.drop_vars([name for name, c in table.coords.items() if not c.dims])


def _named(reference: Mapping[str, Data] | None) -> dict[str, Data]:
    """Check the references."""
    if isinstance(reference, xr.DataArray | xr.Dataset) or not isinstance(
        reference, Mapping | None
    ):
        raise InputError("references need names: reference={'bilinear': plain}")
    others = dict(reference or {})
    if "ensemble" in others:
        raise InputError("a reference may not be called 'ensemble', as the first row is")
    return others


def _row_of(both: xr.DataArray) -> xr.DataArray:
    """Give the scores of a reference, and the skill of the ensemble over it."""
    skill = both.sel(value="skill", score=["crps"], drop=True).assign_coords(score=["crps_skill"])
    return xr.concat([both.sel(value="reference", drop=True), skill], "score")
