"""Data as they lie in files: packed in integers, with fill values, until they are decoded."""

from typing import Any

import numpy as np
import xarray as xr

__all__ = ["packed_problem"]

_SCALES = ("scale_factor", "add_offset")
_FILLS = ("_FillValue", "missing_value")


def packed_problem(da: xr.DataArray) -> str | None:
    """Say that a variable was not decoded, by the attributes that decoding removes.

    Parameters
    ----------
    da : xarray.DataArray
        A variable; its values are not read.

    Returns
    -------
    str or None
        What was found and the line to type.

    Examples
    --------
    >>> packed_problem(xr.DataArray([-9999, 3], name="rr", attrs={"scale_factor": 0.1}))
    "variable 'rr' is packed: its attributes have scale_factor, as if its file was opened with
    mask_and_scale=False; decode it: ds = xr.decode_cf(ds)"
    """
    told = [name for name in _SCALES if name in da.attrs]
    told += [name for name in _FILLS if np.isfinite(_number(da.attrs.get(name)))]
    if not told:
        return None
    return (
        f"variable {da.name!r} is packed: its attributes have {', '.join(told)}, as if its file "
        "was opened with mask_and_scale=False; decode it: ds = xr.decode_cf(ds)"
    )


def _number(value: Any) -> float:
    """Return what is a number, NaN for anything else."""
    try:
        return float(np.ravel(value)[0])
    except (TypeError, ValueError, IndexError):
        return float("nan")
