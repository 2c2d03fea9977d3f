"""Convert units by a table of the spellings that weather and climate data use, or refuse."""

import warnings
from dataclasses import dataclass

import xarray as xr

from xresdiff.errors import UnitsError

__all__ = ["convert", "factor_offset"]


@dataclass(frozen=True)
class _Unit:
    """A unit that is ``value * scale + offset`` in the base unit of its quantity."""

    quantity: str
    scale: float
    spellings: tuple[str, ...]
    offset: float = 0.0


# Powers are written plainly here: "m s**-1" and "m s^-1" are read as "m s-1". Rain is a depth of
# water over time, 1 kg m-2 of it 1 mm deep (1000 kg m-3), so it shares the quantity of wind.
_TABLE = (
    _Unit("temperature", 1.0, ("K", "kelvin", "Kelvin", "degK", "deg_K", "degrees_K")),
    _Unit("temperature", 1.0, ("degC", "deg_C", "C", "°C", "celsius", "Celsius"), offset=273.15),
    _Unit("temperature", 1.0, ("degree_Celsius", "degrees_celsius", "degrees C"), offset=273.15),
    _Unit("temperature", 5 / 9, ("degF", "°F", "fahrenheit", "Fahrenheit"), offset=459.67 * 5 / 9),
    _Unit("pressure", 1.0, ("Pa", "pascal", "pascals", "Pascal")),
    _Unit("pressure", 1e2, ("hPa", "hectopascal", "hectopascals", "mb", "mbar", "millibar")),
    _Unit("speed", 1.0, ("m s-1", "m/s", "meters per second", "metres per second")),
    _Unit("speed", 1e-3, ("mm s-1", "mm/s", "kg m-2 s-1", "kg/m2/s", "kg s-1 m-2")),
    _Unit("speed", 1e-3 / 3600, ("mm h-1", "mm/h", "mm hr-1", "mm/hr", "mm hour-1", "mm/hour")),
    _Unit("speed", 1e-3 / 86400, ("mm day-1", "mm/day", "mm d-1", "mm/d", "kg m-2 day-1")),
    _Unit("fraction", 1.0, ("1", "kg kg-1", "kg/kg", "(0 - 1)", "dimensionless")),
    _Unit("fraction", 1e-2, ("%", "percent")),
    _Unit("fraction", 1e-3, ("g kg-1", "g/kg")),
    _Unit("geopotential", 1.0, ("m2 s-2", "m2/s2", "J kg-1", "J/kg")),
    _Unit("length", 1.0, ("m", "meter", "meters", "metre", "metres", "gpm")),
    _Unit("length", 1e-3, ("mm", "millimeter", "millimetre", "kg m-2", "kg/m2")),
    _Unit("length", 1e3, ("km", "kilometer", "kilometers", "kilometre", "kilometres")),
    _Unit("reflectivity", 1.0, ("dBZ", "dbz")),
)
_UNITS = {spelling: unit for unit in _TABLE for spelling in unit.spellings}


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
    found, needed = _plain(found), _plain(needed)
    known = _by_table(found, needed) or _by_pint(found, needed)
    if known is None:
        raise UnitsError(f"units {found!r} do not convert to {needed!r}")
    return known


def convert(da: xr.DataArray, to_units: str) -> xr.DataArray:
    """Convert a variable to other units, lazily.

    Without a ``units`` attribute it is taken to be in `to_units`, with a warning.

    Parameters
    ----------
    da : xarray.DataArray
        In the units that its attribute says; never changed.
    to_units : str
        Units needed.

    Returns
    -------
    xarray.DataArray
        The same variable in `to_units`, lazy if `da` is.

    Raises
    ------
    UnitsError
        If the units do not convert, or an amount of rain is given where a rate is needed.

    Examples
    --------
    >>> rain = xr.DataArray([0.0, 0.001], dims="x", attrs={"units": "kg m-2 s-1"})
    >>> rain = convert(rain, "mm h-1")
    >>> rain.values, rain.units
    (array([0. , 3.6]), 'mm h-1')
    """
    found = str(da.attrs.get("units", "")).strip()
    if not found:
        warnings.warn(
            f"variable {da.name!r} has no units, {to_units!r} is assumed; say so: "
            f"ds[{da.name!r}].attrs['units'] = {to_units!r}",
            stacklevel=2,
        )
        found = to_units
    try:
        factor, offset = factor_offset(found, to_units)
    except UnitsError:
        raise UnitsError(_refusal(da, found, to_units)) from None
    converted = da if factor == 1.0 else da * factor
    converted = converted if offset == 0.0 else converted + offset
    return converted.assign_attrs(da.attrs | {"units": to_units})


def _by_table(found: str, needed: str) -> tuple[float, float] | None:
    """Convert by the table, in which units that are spelled the same need not be."""
    if found == needed:
        return 1.0, 0.0
    a, b = _UNITS.get(found), _UNITS.get(needed)
    if a is None or b is None or a.quantity != b.quantity:
        return None
    return a.scale / b.scale, (a.offset - b.offset) / b.scale


def _by_pint(found: str, needed: str) -> tuple[float, float] | None:
    """Convert by pint with the units of CF, where it is installed; temperatures never.

    Pint reads "degrees C" as an angle times a difference of temperatures.
    """
    if needed in _UNITS and _UNITS[needed].quantity == "temperature":
        return None
    try:
        from cf_xarray.units import units
    except ImportError:
        return None
    try:
        zero, one = (float(units.Quantity(v, found).to(needed).magnitude) for v in (0.0, 1.0))
    except Exception:  # pint meets text that is no unit with errors of any kind
        return None
    return one - zero, zero


def _plain(units: str) -> str:
    """Write powers without a sign of power, and single spaces."""
    return " ".join(units.replace("**", "").replace("^", "").split())


def _refusal(da: xr.DataArray, found: str, needed: str) -> str:
    """Say why units do not convert and what to do about it."""
    a, b = _UNITS.get(_plain(found)), _UNITS.get(_plain(needed))
    if a and b and (a.quantity, b.quantity) == ("length", "speed"):
        in_mm = "" if a.scale == 1e-3 else f" * {a.scale * 1e3:g}"
        return (
            f"variable {da.name!r} is an amount in {found!r}, a rate in {needed!r} is needed; "
            f"divide it by the hours in which it fell: ds[{da.name!r}] = "
            f"(ds[{da.name!r}]{in_mm} / hours).assign_attrs(units='mm h-1')"
        )
    return (
        f"variable {da.name!r} is in {found!r}, which does not convert to the {needed!r} needed; "
        f"if only the attribute is wrong, mend it: ds[{da.name!r}].attrs['units'] = {needed!r}"
    )
