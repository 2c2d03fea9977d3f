"""The time and the lead time of every field, for networks that are told."""

import numpy as np
import xarray as xr

from xresdiff.engine.blocks import MOMENT
from xresdiff.engine.hours import lead_labels, seconds
from xresdiff.engine.request import Request
from xresdiff.grids import coords

__all__ = ["moments"]


def moments(ds: xr.Dataset, request: Request) -> list[xr.DataArray]:
    """Return when fields are and which of the known lead times they have, lazily if those are.

    Parameters
    ----------
    ds : xarray.Dataset
        The input, at the times of the result.
    request : Request
        From :func:`~xresdiff.engine.request.check_request`.

    Returns
    -------
    list of xarray.DataArray, (..., 2)
        Seconds since 1970 and the number of the lead time, float64, of the fields along some of
        the dimensions that are kept; an empty list for models that are not told.
    """
    card = request.card
    if not card.timed:
        return []
    labels = lead_labels(ds, card, request.loop)
    leads = xr.DataArray(0.0) if labels is None else labels.astype(np.float64)
    times = xr.DataArray(0.0)
    if any(extra.kind != "static" for extra in card.extras):
        name = coords.find_coordinate(ds, "time")
        assert name is not None  # checked
        times = seconds(ds[name])
    bare = [xr.DataArray(array.data, dims=array.dims) for array in (times, leads)]
    return [xr.concat(xr.broadcast(*bare), MOMENT).transpose(..., MOMENT)]
