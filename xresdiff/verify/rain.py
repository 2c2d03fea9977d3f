"""Tell rain from all else, by what it is called."""

import re

import xarray as xr

from xresdiff.errors import UnitsError
from xresdiff.grids.units import convert

__all__ = ["is_named_rain", "is_rain", "rain_units"]

#: Units of rain in bins and figures: of a rate, and of an amount.
RAIN_UNITS = ("mm h-1", "mm")

WORDS = ("precip", "rain", "tp", "pr", "prate")
WHOLE = ("tp", "pr", "prate")  # words of their own, no parts of others

# What is made of rain, but is none.
OTHER = ("error", "residual", "bias", "difference", "anomaly", "probability", "fraction", "share")


def is_rain(field: xr.DataArray) -> bool:
    """Tell whether a variable is a rate or an amount of rain, by what it is called.

    Its spread is one; its errors and its probability are none.

    Examples
    --------
    >>> is_rain(xr.DataArray(0.0, attrs={"long_name": "Total precipitation"}))
    True
    >>> is_rain(xr.DataArray(0.0, name="rain_bias")), is_rain(xr.DataArray(0.0, name="terrain"))
    (False, False)
    """
    other = _is_called(field, OTHER) or field.attrs.get("units") in ("1", "%")
    return is_named_rain(field) and not other


def is_named_rain(field: xr.DataArray) -> bool:
    """Tell whether the names of a variable speak of rain.

    Examples
    --------
    >>> is_named_rain(xr.DataArray(0.0, attrs={"long_name": "bias of rain rate"}))
    True
    """
    return _is_called(field, WORDS)


def _is_called(field: xr.DataArray, beginnings: tuple[str, ...]) -> bool:
    """Tell whether a word of the names of a variable begins with one of these."""
    attrs = field.attrs
    names = f"{field.name} {attrs.get('standard_name')} {attrs.get('long_name')}".lower()
    words = re.split(r"[^a-z]+", names)
    return any(
        word == begin if begin in WHOLE else word.startswith(begin)
        for word in words
        for begin in beginnings
    )


def rain_units(field: xr.DataArray) -> str | None:
    """Return the units to show rain in, None if it has others.

    Examples
    --------
    >>> rain_units(xr.DataArray(0.0, name="tp", attrs={"units": "m"}))
    'mm'
    """
    if "units" not in field.attrs:
        return None
    sample = xr.DataArray(0.0, name=field.name, attrs={"units": field.attrs["units"]})
    for units in RAIN_UNITS:
        try:
            convert(sample, units)
        except UnitsError:
            continue
        return units
    return None
