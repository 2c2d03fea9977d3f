"""What each score is: of a :class:`~xresdiff.verify.pairs.Pair`, so of one variable, matched."""

import numpy as np
import xarray as xr

from xresdiff.verify import kernels
from xresdiff.verify.pairs import Pair

__all__ = ["bias", "crps", "mae", "rank_histogram", "rmse", "spread", "spread_skill", "table"]


def crps(pair: Pair, *, fair: bool = True) -> xr.DataArray:
    """Continuous ranked probability score; the absolute error of a forecast without members."""
    fair = fair and not pair.deterministic
    if fair:
        pair.require_two_members("a fair CRPS", "type fair=False")
    return pair.average(pair.apply(kernels.crps, pair.obs, fair=fair))


def mae(pair: Pair) -> xr.DataArray:
    """Mean absolute error of the ensemble mean."""
    return pair.average(abs(pair.error))


def rmse(pair: Pair) -> xr.DataArray:
    """Root mean square error of the ensemble mean."""
    return pair.average(pair.error**2) ** 0.5


def bias(pair: Pair) -> xr.DataArray:
    """Mean error of the ensemble mean."""
    return pair.average(pair.error)


def spread(pair: Pair) -> xr.DataArray:
    """Root of the mean unbiased variance."""
    pair.require_two_members("a spread", "make more, downscale(members=16)")
    return pair.average(pair.variance) ** 0.5


def spread_skill(pair: Pair) -> xr.DataArray:
    """Spread over error, corrected for the number of members."""
    unlimited = ((pair.members + 1) / pair.members) ** 0.5
    return unlimited * spread(pair) / rmse(pair)


def rank_histogram(pair: Pair) -> xr.DataArray:
    """Relative frequency of each rank of the truth."""
    ranks = np.arange(pair.members + 1)
    shares = pair.apply(kernels.rank_shares, pair.obs, new_dims={"rank": ranks.size})
    rank = xr.Variable("rank", ranks, {"long_name": "number of members below the truth"})
    return pair.average(shares).assign_coords(rank=rank)


def table(pair: Pair) -> xr.DataArray:
    """All of the above but the histogram, along ``score``; NaN for the spread of one member."""
    several = pair.members > 1
    error = mae(pair)
    unknown = xr.full_like(error, np.nan)
    rows = {
        "crps": crps(pair, fair=several),
        "mae": error,
        "rmse": rmse(pair),
        "bias": bias(pair),
        "spread": spread(pair) if several else unknown,
        "spread_skill": spread_skill(pair) if several else unknown,
    }
    return xr.Dataset(rows).to_array("score")
