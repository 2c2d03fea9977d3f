"""The time and the lead time of every field, for networks that are told."""

from collections.abc import Hashable

import numpy as np
import xarray as xr

from xresdiff.engine.blocks import MOMENT
from xresdiff.engine.hours import lead_labels, seconds
from xresdiff.engine.request import Request
from xresdiff.grids import coords

__all__ = ["moments", "time_of_fields"]

_VALID = ("valid_time", "verifying_time")  # names, in lower case


def time_of_fields(ds: xr.Dataset) -> Hashable | None:
    """Name the time that fields are of: for forecasts, not that of their start.

    Files from GRIB call the start of a forecast ``time``. Of a single lead time, ``valid_time``
    runs along it.

    Parameters
    ----------
    ds : xarray.Dataset
        Only names, attributes and sizes are read.

    Returns
    -------
    Hashable or None
        Name of a coordinate, None if there is none.

    Raises
    ------
    InputError
        If several coordinates may be it.

    Examples
    --------
    >>> start = np.array(["2024-07-01", "2024-07-02"], "M8[ns]")
    >>> ds = xr.Dataset(coords={"time": start})
    >>> ds = ds.assign_coords(valid_time=ds.time + np.timedelta64(6, "h"))
    >>> time_of_fields(ds), time_of_fields(ds.drop_vars("valid_time"))
    ('valid_time', 'time')
    """
    name = coords.find_coordinate(ds, "time")
    if name is None or str(name).lower() in _VALID:
        return name
    valid = [
        other
        for other, coord in ds.coords.items()
        if str(other).lower() in _VALID and coord.dims == ds[name].dims and coord.dtype.kind in "MO"
    ]
    return valid[0] if valid else name


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
    if any(extra.timed for extra in card.extras):
        name = time_of_fields(ds)
        assert name is not None  # checked
        times = seconds(ds[name])
    bare = [xr.DataArray(array.data, dims=array.dims) for array in (times, leads)]
    return [xr.concat(xr.broadcast(*bare), MOMENT).transpose(..., MOMENT)]
