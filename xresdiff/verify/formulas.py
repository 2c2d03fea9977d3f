"""What each score is: which parts are averaged, and the formula of their averages.

The parts are those of :class:`xresdiff.verify.kernels.Statistics`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.verify.measures import Measure, first
from xresdiff.verify.pairs import Pair

__all__ = [
    "BIAS",
    "CORRELATION",
    "MAE",
    "MEMBER_MAE",
    "RMSE",
    "SPREAD",
    "SPREAD_SKILL",
    "TABLE",
    "crps",
]

#: Variances below this share of the mean of squares are rounding.
RESOLVED = 1e-10

SPREAD_REMEDY = "make more, downscale(members=16)"


def _points(*names: str) -> Callable[[Pair], xr.DataArray]:
    """Make the parts of these names the points of a measure."""
    return lambda pair: pair.statistics(*names)


def crps(fair: bool, above: float | None, below: float | None) -> Measure:
    """Continuous ranked probability score; the absolute error of a forecast without members."""

    def points(pair: Pair) -> xr.DataArray:
        if fair and not pair.deterministic:
            pair.require_two_members("a fair CRPS", "type fair=False")
            return pair.clipped(above, below).statistics("crps")
        return pair.clipped(above, below).statistics("crps_ecdf")

    if above is not None and below is not None and above >= below:
        raise InputError(f"no threshold lies above {above:g} and below {below:g}: swap the two")
    title = f"{'fair ' * fair}CRPS"
    title += "" if above is None else f" above {above:g}"
    title += "" if below is None else f" below {below:g}"
    return Measure(title, points, first)


def _root(averages: Any) -> Any:
    return np.sqrt(averages[..., 0])


def _ratio_of_roots(averages: Any) -> Any:
    return np.sqrt(averages[..., 0] / averages[..., 1])


def _correlation(averages: Any) -> Any:
    """Pearson's correlation of the averages of x, y, x2, y2 and their product."""
    x, y, xx, yy, xy = np.moveaxis(averages, -1, 0)
    return (xy - x * y) / np.sqrt(_variance(x, xx) * _variance(y, yy))


def _variance(mean: Any, mean_of_squares: Any) -> Any:
    """Variance over what was averaged; NaN where it is lost in the rounding of the squares."""
    variance = mean_of_squares - mean**2
    return np.where(variance > RESOLVED * mean_of_squares, variance, np.nan)


def _spread(pair: Pair) -> xr.DataArray:
    pair.require_two_members("a spread", SPREAD_REMEDY)
    return pair.statistics("variance")


def _spread_skill(pair: Pair) -> xr.DataArray:
    """Variance, as it were of unlimited members, and squared error."""
    pair.require_two_members("a spread", SPREAD_REMEDY)
    unlimited = xr.DataArray([(pair.members + 1) / pair.members, 1.0], dims="part")
    return pair.statistics("variance", "error2") * unlimited


MAE = Measure("mean absolute error of the ensemble mean", _points("error_absolute"), first)
MEMBER_MAE = Measure("mean absolute error of the members", _points("absolute"), first)
RMSE = Measure("root mean square error of the ensemble mean", _points("error2"), _root)
BIAS = Measure("bias of the ensemble mean", _points("error"), first)
SPREAD = Measure("ensemble spread", _spread, _root, truth=False)
SPREAD_SKILL = Measure("ratio of spread to error", _spread_skill, _ratio_of_roots, units="1")
CORRELATION = Measure(
    "correlation of the ensemble mean with the truth",
    _points("x", "y", "x2", "y2", "product"),
    _correlation,
    units="1",
)


def _table(pair: Pair) -> xr.DataArray:
    """Take all parts at once; those of the spread of a single member, which has none, are NaN."""
    several = pair.members > 1
    variance = "variance" if several else "error"
    unlimited = (pair.members + 1) / pair.members
    factors = {
        "crps" if several else "crps_ecdf": 1.0,
        **dict.fromkeys(("error_absolute", "absolute", "error2", "error"), 1.0),
        **dict.fromkeys(("x", "y", "x2", "y2", "product"), 1.0),
    }
    parts = pair.statistics(*factors, variance, variance)
    spread = [1.0, unlimited] if several else [np.nan, np.nan]
    return parts * xr.DataArray([*factors.values(), *spread], dims="part")


def _rows(averages: Any) -> Any:
    """Finish each score of the table."""
    parts = np.moveaxis(averages, -1, 0)
    error2, variance, unlimited = parts[3], parts[-2], parts[-1]
    rows = [
        parts[0],
        parts[1],
        parts[2],
        np.sqrt(error2),
        parts[4],
        _correlation(averages[..., 5:10]),
    ]
    return np.stack([*rows, np.sqrt(variance), np.sqrt(unlimited / error2)], axis=-1)


TABLE = Measure(
    "scores (correlation, spread_skill: 1)",
    _table,
    _rows,
    scores=("crps", "mae", "member_mae", "rmse", "bias", "correlation", "spread", "spread_skill"),
)
