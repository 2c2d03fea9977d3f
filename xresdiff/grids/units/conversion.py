"""Convert units by a table of the spellings that weather and climate data use, or refuse."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import xarray as xr

from xresdiff.errors import UnitsError, warn
from xresdiff.grids.units import accumulations
from xresdiff.grids.units.geopotential import geopotential_problem, line_to_type
from xresdiff.grids.units.spellings import plain, unit

__all__ = [
    "QuantityLike",
    "check",
    "convert",
    "factor_offset",
    "geopotential_problem",
    "is_difference",
]

ABSENT = ("", "~", "unknown", "undefined")  # what stands for no units; "~" and "unknown" in GRIB

RATES = {"water": "rain", "energy": "flux"}  # what amounts become when divided by time
SECONDS_PER_HOUR = 3600.0

# GRIB packs a field into 16 bits or more, so sums are rounded to 1/65536 of the largest of them:
# 0.05 mm where that is 3 m of water.
ROUNDING_m = 5e-5

# Words of standard names, such as dew_point_depression, and of cell methods that make differences.
_DIFFERENCES = re.compile(r"anomal|difference|depression|tendency|change_over_time|standard_error")
_SPREADS = re.compile(r":\s+(range|standard_deviation|anomal\w*|difference)\b")


class QuantityLike(Protocol):
    """What a conversion asks of a channel."""

    @property
    def units(self) -> str:
        """Units needed."""

    @property
    def standard_name(self) -> str:
        """CF standard name; empty if there is none."""

    @property
    def cell_methods(self) -> str:
        """CF cell methods; empty if there are none."""


@dataclass(frozen=True)
class _Conversion:
    """``value * factor + offset``, of amounts per hour where there is an interval."""

    units: str
    factor: float = 1.0
    offset: float = 0.0
    interval: accumulations.Interval | None = None
    rounding: float = 0.0  # of amounts, in the units found

    def __call__(self, da: xr.DataArray) -> xr.DataArray:
        attrs = da.attrs
        if self.interval is not None:
            da = accumulations.per_hour(da, self.interval, rounding=self.rounding)
            attrs = _attrs_of_rate(attrs)
        da = da if self.factor == 1.0 else da * self.factor
        da = da if self.offset == 0.0 else da + self.offset
        da = da.copy(deep=False)
        da.attrs = attrs | {"units": self.units}
        return da

    def doubt(self, da: xr.DataArray, converted: xr.DataArray) -> str:
        """Say what makes the interval doubtful, empty if nothing does."""
        if self.interval is None:
            return ""
        rounding = 0.0
        if isinstance(self.interval.hours, float):
            rounding = self.rounding * self.factor / self.interval.hours
        return accumulations.doubts(da, self.interval, converted, rounding=rounding)


def factor_offset(found: str, needed: str) -> tuple[float, float]:
    """Return how a value converts: ``value * factor + offset``.

    Parameters
    ----------
    found, needed : str
        Units from and to.

    Returns
    -------
    tuple of float
        Factor and offset.

    Raises
    ------
    UnitsError
        If `found` does not convert to `needed`.

    Examples
    --------
    >>> factor_offset("K", "degC")
    (1.0, -273.15)
    >>> factor, offset = factor_offset("kg m**-2 s**-1", "mm h-1")
    >>> round(factor), offset
    (3600, 0.0)
    """
    known = _by_table(found, needed) or _by_pint(found, needed)
    if known is None:
        raise UnitsError(f"units {plain(found)!r} do not convert to {plain(needed)!r}")
    return known


def is_difference(attrs: Mapping[str, Any]) -> bool:
    """Tell whether a temperature is a difference, such as an anomaly, by its attributes.

    Units such as "delta_degC" tell it, and CF's ``units_metadata``, which settles it either way;
    else the standard name, the cell methods ("time: range"), GRIB's step type or "anomaly" in the
    long name.

    Parameters
    ----------
    attrs : mapping
        Attributes of a variable.

    Examples
    --------
    >>> is_difference({"units": "K", "standard_name": "air_temperature_anomaly"})
    True
    >>> is_difference({"units": "K", "long_name": "2 metre temperature"})
    False
    """
    known = unit(_text(attrs, "units"))
    metadata = _text(attrs, "units_metadata")
    if known is not None and known.quantities == "difference":
        return True
    if "difference" in metadata or "on_scale" in metadata:
        return "difference" in metadata
    methods = re.sub(r"\([^)]*\)", "", _text(attrs, "cell_methods"))
    return bool(
        _DIFFERENCES.search(_text(attrs, "standard_name"))
        or _SPREADS.search(methods)
        or "anomal" in _text(attrs, "long_name").lower()
        or _text(attrs, "GRIB_stepType") == "diff"
    )


def check(
    da: xr.DataArray,
    to_units: str | QuantityLike,
    *,
    accumulation: accumulations.Duration | None = None,
    bounds: xr.DataArray | None = None,
) -> None:
    """Raise the error that :func:`convert` would raise; nothing is computed, nothing is warned of.

    Parameters
    ----------
    da, to_units, accumulation, bounds
        As of :func:`convert`. Of `da`, only attributes and one-dimensional coordinates are read.

    Raises
    ------
    UnitsError
        If the units do not convert.

    Examples
    --------
    >>> check(xr.DataArray([270.0], dims="x", name="t", attrs={"units": "K"}), "Pa")
    Traceback (most recent call last):
    xresdiff.errors.UnitsError: variable 't' is in 'K', which does not convert to the 'Pa' needed...
    """
    _conversion(da, to_units, accumulation, bounds)


def convert(
    da: xr.DataArray,
    to_units: str | QuantityLike,
    *,
    accumulation: accumulations.Duration | None = None,
    bounds: xr.DataArray | None = None,
) -> xr.DataArray:
    """Convert a variable to other units, lazily.

    Without a ``units`` attribute it is taken to be in `to_units`, with a warning. A difference of
    temperatures converts without an offset, and never to a temperature. An amount, such as "mm" of
    rain, becomes a rate where it is known over which time it was summed (see
    :func:`~xresdiff.grids.units.accumulations.interval_of`). It warns where that is taken from
    custom, and where amounts in memory look like sums since 00 UTC.

    Parameters
    ----------
    da : xarray.DataArray
        In the units that its attribute says; never changed.
    to_units : str or channel
        Units needed. A channel, anything with `units`, `standard_name` and `cell_methods`, also
        tells whether a difference is needed; by its units alone, that is left to `da`.
    accumulation : str, datetime.timedelta or numpy.timedelta64, optional
        Over which time amounts were summed, such as "1h", or "start" if since the start of the
        forecast; rates are not affected.
    bounds : xarray.DataArray, (time, 2), optional
        Bounds of time, from :func:`~xresdiff.grids.units.accumulations.time_bounds_of`.

    Returns
    -------
    xarray.DataArray
        The same variable in `to_units`, lazy if an input is.

    Raises
    ------
    UnitsError
        If the units do not convert, or it is not known over which time an amount was summed.

    Examples
    --------
    >>> rain = xr.DataArray([0.0, 0.001], dims="x", attrs={"units": "kg m-2 s-1"})
    >>> rain = convert(rain, "mm h-1")
    >>> rain.values, rain.units
    (array([0. , 3.6]), 'mm h-1')
    >>> amount = xr.DataArray([0.0, 0.006], dims="x", attrs={"units": "m"})
    >>> convert(amount, "mm h-1", accumulation="6h").values
    array([0., 1.])
    """
    conversion = _conversion(da, to_units, accumulation, bounds)
    if _units(da) in ABSENT:
        warn(
            f"variable {da.name!r} has no units, {conversion.units!r} is assumed; say so: "
            f"ds[{da.name!r}].attrs['units'] = {conversion.units!r}"
        )
    converted = conversion(da)
    doubt = conversion.doubt(da, converted)
    if doubt:
        warn(doubt)
    return converted


def _conversion(
    da: xr.DataArray,
    to_units: str | QuantityLike,
    accumulation: accumulations.Duration | None,
    bounds: xr.DataArray | None,
) -> _Conversion:
    """Find out how a variable converts, or raise that it does not."""
    found = _units(da)
    needed = to_units if isinstance(to_units, str) else to_units.units
    if found in ABSENT:
        return _Conversion(needed)
    if _is_temperature(found) and _is_temperature(needed):
        return _of_temperature(da, found, needed, to_units)
    known = _by_table(found, needed) or _by_pint(found, needed)
    if known is not None:
        return _Conversion(needed, *known)
    a, b = unit(found), unit(needed)
    rates = [RATES.get(quantity) for quantity in a.quantities.split()] if a else []
    if a is None or b is None or not set(rates) & set(b.quantities.split()):
        raise UnitsError(_refusal(da, found, needed))
    water = "water" in a.quantities
    interval = accumulations.interval_of(da, accumulation, bounds=bounds, infer=water)
    if interval is None:
        raise UnitsError(
            f"variable {da.name!r} is an amount in {found!r}, a rate in {needed!r} is needed; "
            f"{accumulations.ways_to_say(da)}"
        )
    factor = a.scale / (SECONDS_PER_HOUR * b.scale)
    rounding = ROUNDING_m / a.scale if water else 0.0
    return _Conversion(needed, factor, interval=interval, rounding=rounding)


def _of_temperature(
    da: xr.DataArray, found: str, needed: str, to_units: str | QuantityLike
) -> _Conversion:
    """Convert a temperature to one, or a difference of temperatures to one."""
    given = is_difference(da.attrs)
    wanted = given
    if not isinstance(to_units, str):
        names = ("units", "standard_name", "cell_methods")
        wanted = is_difference({name: getattr(to_units, name) for name in names})
    elif is_difference({"units": needed}):
        wanted = True
    if given != wanted:
        raise UnitsError(_refused_difference(da, found, needed, given))
    a, b = unit(found), unit(needed)
    assert a is not None  # they are in the table
    assert b is not None
    offset = 0.0 if given else (a.offset - b.offset) / b.scale
    return _Conversion(needed, a.scale / b.scale, offset)


def _is_temperature(units: str) -> bool:
    known = unit(units)
    return known is not None and known.quantities in ("temperature", "difference")


def _units(da: xr.DataArray) -> str:
    """Return the units of a variable, also those that end a long name: "rain rate [kg/m^2/s]"."""
    told = _text(da.attrs, "units")
    if told not in ABSENT:
        return told
    ending = re.search(r"\[([^\[\]]+)\]$", _text(da.attrs, "long_name"))
    return ending[1] if ending and unit(ending[1]) else told


def _text(attrs: Mapping[str, Any], name: str) -> str:
    """Return an attribute as text, empty if it is absent; zero is no text."""
    value = attrs.get(name)
    return "" if value is None else str(value).strip()


def _by_table(found: str, needed: str) -> tuple[float, float] | None:
    """Convert by the table, in which units that are spelled the same need not be."""
    if plain(found) == plain(needed):
        return 1.0, 0.0
    a, b = unit(found), unit(needed)
    if a is None or b is None or not set(a.quantities.split()) & set(b.quantities.split()):
        return None
    return a.scale / b.scale, (a.offset - b.offset) / b.scale


def _by_pint(found: str, needed: str) -> tuple[float, float] | None:
    """Convert by pint with the units of CF, where it is installed and the table knows not both.

    Temperatures never: pint reads "degrees C" as an angle times a difference of temperatures.
    """
    if (unit(found) and unit(needed)) or _is_temperature(found) or _is_temperature(needed):
        return None
    try:
        from cf_xarray.units import units
    except Exception:  # absent, or something else of its name
        return None
    found, needed = plain(found), plain(needed)
    try:
        zero, one = (float(units.Quantity(v, found).to(needed).magnitude) for v in (0.0, 1.0))
    except Exception:  # pint meets text that is no unit with errors of any kind
        return None
    return one - zero, zero


def _attrs_of_rate(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an amount without what is untrue of its rate."""
    amount = ("standard_name", "GRIB_stepType", "GRIB_stepRange", "GRIB_units", "GRIB_cfName")
    kept = {name: value for name, value in attrs.items() if name not in amount}
    if "cell_methods" in kept:
        sums = r":\s+sum\b(\s*\([^)]*\))?"
        kept["cell_methods"] = re.sub(sums, ": mean", str(kept["cell_methods"]))
    return kept


def _refusal(da: xr.DataArray, found: str, needed: str) -> str:
    """Say why units do not convert and what to do about it."""
    a, b = unit(found), unit(needed)
    kinds = (a.quantities.split() if a else [], b.quantities.split() if b else [])
    if a and "height" in kinds[0] and "geopotential" in kinds[1]:
        return (
            f"variable {da.name!r} is a height in {found!r}, geopotential in {needed!r} is needed, "
            f"9.80665 times its metres: {line_to_type(da.name, 'height', a.scale)}"
        )
    if a and "geopotential" in kinds[0] and "height" in kinds[1]:
        return (
            f"variable {da.name!r} is geopotential in {found!r}, a height in {needed!r} is needed, "
            f"1/9.80665 of it: {line_to_type(da.name, 'geopotential', a.scale)}"
        )
    return (
        f"variable {da.name!r} is in {found!r}, which does not convert to the {needed!r} needed; "
        f"if only the attribute is wrong, mend it: ds[{da.name!r}].attrs['units'] = {needed!r}"
    )


def _refused_difference(da: xr.DataArray, found: str, needed: str, given: bool) -> str:
    """Say that a difference of temperatures is no temperature, or the reverse."""
    attribute = f"ds[{da.name!r}].attrs['units_metadata']"
    spelled = is_difference({"units": found})
    if given and spelled:
        mend = f"if it is a temperature, mend its units: ds[{da.name!r}].attrs['units'] = 'K'"
    elif given:
        mend = f"if it is a temperature, say so: {attribute} = 'temperature: on_scale'"
    else:
        mend = f"if it is a difference, say so: {attribute} = 'temperature: difference'"
    if given:
        return (
            f"variable {da.name!r} is a difference of temperatures in {found!r}, a temperature in "
            f"{needed!r} is needed; add what it differs from; {mend}"
        )
    return (
        f"variable {da.name!r} is a temperature in {found!r}, a difference of temperatures in "
        f"{needed!r} is needed; subtract what it is to differ from; {mend}"
    )
