"""The units of weather and climate data, in the spellings that occur in files."""

import re
from dataclasses import dataclass

__all__ = ["TABLE", "Unit", "plain", "unit"]


@dataclass(frozen=True)
class Unit:
    """A unit that is ``value * scale + offset`` in the base unit of its quantities.

    Parameters
    ----------
    quantities : str
        What is measured by it; units convert into each other if they share one.
    scale, offset : float
        To the base unit.
    spellings : tuple of str
        As :func:`plain` leaves them, in any order of their words.
    """

    quantities: str
    scale: float
    spellings: tuple[str, ...]
    offset: float = 0.0


# A metre is of height or of water, but a geopotential metre is no rain: so "m" has quantities that
# "gpm" and "kg m-2" do not share. 1 kg m-2 of water is 1 mm deep (1000 kg m-3). Likewise "1" is a
# fraction or a mass per mass, but "%" is no mixing ratio. The first spelling is CF's.
TABLE = (
    Unit("temperature", 1.0, ("K", "degK", "deg K", "kelvin", "kelvins", "degree kelvin")),
    Unit("temperature", 1.0, ("degrees K", "degree K", "degrees kelvin")),
    Unit("temperature", 1.0, ("degC", "deg C", "C", "°C", "℃", "celsius"), offset=273.15),
    Unit("temperature", 1.0, ("degree C", "degrees C", "degree celsius"), offset=273.15),
    Unit("temperature", 1.0, ("degrees celsius", "deg celsius"), offset=273.15),
    Unit("temperature", 5 / 9, ("degF", "deg F", "°F", "fahrenheit"), offset=459.67 * 5 / 9),
    Unit("temperature", 5 / 9, ("degrees F", "degrees fahrenheit"), offset=459.67 * 5 / 9),
    Unit("difference", 1.0, ("delta K", "delta kelvin", "Δ K", "ΔK")),
    Unit("difference", 1.0, ("delta degC", "delta C", "delta deg C", "delta °C", "Δ °C", "Δ°C")),
    Unit("difference", 1.0, ("delta degree celsius", "delta degrees celsius", "delta celsius")),
    Unit("difference", 5 / 9, ("delta degF", "delta F", "delta °F", "delta fahrenheit")),
    Unit("pressure", 1.0, ("Pa", "pascal", "pascals", "N m-2")),
    Unit("pressure", 1e2, ("hPa", "hectopascal", "hectopascals", "mb", "mbar")),
    Unit("pressure", 1e2, ("millibar", "millibars")),
    Unit("pressure", 1e3, ("kPa", "kilopascal", "kilopascals")),
    Unit("omega", 1.0, ("Pa s-1",)),
    Unit("omega", 1e2, ("hPa s-1", "mb s-1", "mbar s-1")),
    Unit("wind rain", 1.0, ("m s-1", "meters per second", "metres per second", "meters second-1")),
    Unit("wind", 1 / 3.6, ("km h-1", "km hr-1", "km hour-1", "kph")),
    Unit("wind", 1852 / 3600, ("knot", "knots", "kt", "kts", "kn")),
    Unit("wind", 1609.344 / 3600, ("mph", "mile hour-1", "miles per hour")),
    Unit("rain", 1e-3, ("kg m-2 s-1", "mm s-1")),
    Unit("rain", 1e-3 / 3600, ("mm h-1", "mm hr-1", "mm hour-1", "mm per hour", "kg m-2 h-1")),
    Unit("rain", 1e-3 / 3600, ("millimeters per hour", "millimetres per hour", "kg m-2 hr-1")),
    Unit("rain", 1e-3 / 86400, ("mm day-1", "mm d-1", "mm per day", "kg m-2 day-1", "kg m-2 d-1")),
    Unit("rain", 1 / 3600, ("m h-1", "m hr-1", "m hour-1")),
    Unit("rain", 1 / 86400, ("m day-1", "m d-1", "m of water equivalent day-1")),
    Unit("rain", 0.0254 / 3600, ("in h-1", "in hr-1", "inch h-1", "inch hr-1", "inches hour-1")),
    Unit("length height water", 1.0, ("m", "meter", "meters", "metre", "metres")),
    Unit("length height", 1e3, ("km", "kilometer", "kilometers", "kilometre", "kilometres")),
    Unit("length water", 1e-2, ("cm", "centimeter", "centimeters", "centimetre", "centimetres")),
    Unit("length water", 1e-3, ("mm", "millimeter", "millimeters", "millimetre", "millimetres")),
    Unit("length water", 0.0254, ("in", "inch", "inches")),
    Unit("water", 1.0, ("m of water equivalent", "m of water", "m water equivalent")),
    Unit("water", 1e-3, ("kg m-2", "mm of water", "mm of water equivalent")),
    Unit("height", 1.0, ("gpm", "geopotential meter", "geopotential meters")),
    Unit("height", 1e1, ("dam", "gpdm", "gpdam", "decameter", "decametre")),
    Unit("geopotential", 1.0, ("m2 s-2", "J kg-1")),
    Unit("fraction mass-ratio", 1.0, ("1", "dimensionless", "unitless", "-")),
    Unit("fraction", 1.0, ("(0 - 1)", "(0-1)", "0-1", "0 - 1", "[0-1]", "fraction", "proportion")),
    Unit("fraction", 1e-2, ("%", "percent", "per cent")),
    Unit("mass-ratio", 1.0, ("kg kg-1", "g g-1")),
    Unit("mass-ratio", 1e-3, ("g kg-1",)),
    Unit("mass-ratio", 1e-6, ("mg kg-1",)),
    Unit("energy", 1.0, ("J m-2", "W s m-2", "joule m-2", "joules m-2")),
    Unit("energy", 1e3, ("kJ m-2",)),
    Unit("energy", 1e6, ("MJ m-2",)),
    Unit("energy", 3600.0, ("W h m-2", "Wh m-2")),
    Unit("flux", 1.0, ("W m-2", "J m-2 s-1", "watt m-2", "watts m-2")),
    Unit("reflectivity", 1.0, ("dBZ", "dbz", "DBZ")),
)

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻\u2212", "0123456789+--")
_POWER = re.compile(r"\s*(?:\*\*|\^)\s*(?:[({]\s*(-?\d+)\s*[)}]|(-?\d+))")  # s**-1, s^(-1)
_TIMES = re.compile(r"(?<=[A-Za-z0-9])\s*[.·⋅*]\s*(?=[A-Za-z])")  # kg.m-2, kg·m-2, kg*m-2
_PER_GROUP = re.compile(r"/\s*\(([A-Za-z0-9 ]+)\)")  # kg/(m2 s)
_PER = re.compile(r"\s*/\s*([A-Za-z]+)(\d*)")  # m/s, kg/m2/s


def plain(units: str) -> str:
    """Write units with powers after their names, negative below the stroke.

    Examples
    --------
    >>> plain("kg m**-2 s**-1"), plain("kg.m⁻².s⁻¹"), plain("kg/(m^2 s)")
    ('kg m-2 s-1', 'kg m-2 s-1', 'kg m-2 s-1')
    """
    text = units.translate(_SUPERSCRIPTS).replace("_", " ")
    text = _TIMES.sub(" ", _POWER.sub(r"\1\2", text))
    text = _PER_GROUP.sub(lambda group: "".join(f"/{word}" for word in group[1].split()), text)
    text = _PER.sub(lambda per: f" {per[1]}-{per[2] or 1}", text)
    return " ".join(text.split())


def unit(units: str) -> Unit | None:
    """Look units up, None if the table has none of this spelling.

    Words of four letters and more may be in upper case.

    Examples
    --------
    >>> unit("Kelvin") is unit("K"), unit("m / s").quantities, unit("furlong")
    (True, 'wind rain', None)
    """
    key = _key(plain(units))
    return _UNITS.get(key) or _UNITS.get(_lowered(key))


def _key(spelling: str) -> str:
    return " ".join(sorted(spelling.split()))


def _lowered(spelling: str) -> str:
    """Write words, but not symbols, in lower case."""
    words = spelling.split()
    return _key(" ".join(w.lower() if len(w) > 3 and w.isalpha() else w for w in words))


_UNITS = {_key(spelling): unit for unit in TABLE for spelling in unit.spellings}
