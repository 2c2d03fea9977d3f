"""Data as they lie in files: packed in integers, with fill values, until they are decoded."""

from typing import Any

import numpy as np
import xarray as xr

__all__ = ["fill_values", "packed_problem"]

_SCALES = {"scale_factor": 1.0, "add_offset": 0.0}  # and what they are where they change nothing
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
    scales = [name for name, idle in _SCALES.items() if _number(da.attrs.get(name, idle)) != idle]
    fills = [name for name in _FILLS if np.isfinite(_number(da.attrs.get(name)))]
    if da.dtype.kind in "iu" and (scales or fills):
        return (
            f"variable {da.name!r} is packed: its attributes have {', '.join(scales + fills)}, as "
            "if its file was opened with mask_and_scale=False; decode it: ds = xr.decode_cf(ds)"
        )
    if not scales:
        return None
    named = ", ".join(f"{name!r}: 0" for name in scales)
    return (
        f"variable {da.name!r} holds real numbers, but its attributes have {', '.join(scales)}, as "
        "packed ones do. If it is packed, open its file again with xr.open_dataset(...); if not, "
        f"drop them: ds[{da.name!r}].attrs = {{k: v for k, v in ds[{da.name!r}].attrs.items() if k "
        f"not in {{{named}}}}}"
    )


def fill_values(da: xr.DataArray) -> tuple[float, ...]:
    """Return the fill values that the attributes of a variable still tell.

    Examples
    --------
    >>> fill_values(xr.DataArray([1.0], dims="x", attrs={"missing_value": -99.9}))
    (-99.9,)
    """
    told = (_number(da.attrs.get(name)) for name in _FILLS)
    return tuple(value for value in told if np.isfinite(value))


def _number(value: Any) -> float:
    """Return what is a number, NaN for anything else."""
    try:
        return float(np.ravel(value)[0])
    except (TypeError, ValueError, IndexError):
        return float("nan")
