"""Tell geopotential from geopotential height by size, where units are wrong or absent."""

from collections.abc import Hashable
from typing import Literal

import numpy as np

from xresdiff.grids.units.spellings import unit

__all__ = ["G", "geopotential_problem", "line_to_type", "looks_like", "standard_height_m"]

G = 9.80665  # m s-2, standard gravity
GAS_CONSTANT = 287.053  # J kg-1 K-1, of dry air

# The standard atmosphere (US Standard Atmosphere 1976, the same as ISO 2533): from each pressure
# (Pa) upwards, its geopotential height (m), temperature (K) and the gradient of it (K m-1).
LAYERS = (
    (101325.0, 0.0, 288.15, -0.0065),
    (22632.06, 11000.0, 216.65, 0.0),
    (5474.889, 20000.0, 216.65, 0.001),
    (868.0187, 32000.0, 228.65, 0.0028),
)

# Within this factor of the standard height, or of g times it, values look like the one or the
# other; the two never overlap, as G > WITHIN**2. Lower down, weather moves heights by as much.
WITHIN = 3.0
LOWEST_m = 1000.0


def standard_height_m(level_Pa: float) -> float:
    """Return the geopotential height of a pressure level in the standard atmosphere (m).

    Examples
    --------
    >>> [round(standard_height_m(level)) for level in (101325.0, 50000.0, 10000.0)]
    [0, 5574, 16180]
    """
    base, height, temperature, gradient = next(
        (layer for layer in reversed(LAYERS) if level_Pa <= layer[0]), LAYERS[0]
    )
    ratio = level_Pa / base
    if not gradient:
        return height - GAS_CONSTANT * temperature / G * float(np.log(ratio))
    power = -GAS_CONSTANT * gradient / G
    return height + temperature / gradient * (ratio**power - 1)


def looks_like(values: np.ndarray, level_Pa: float) -> Literal["height", "geopotential"] | None:
    """Tell by their median what values at a pressure level look like.

    Parameters
    ----------
    values : numpy.ndarray
        Of any shape; those that are not finite do not count.
    level_Pa : float
        Pressure (Pa).

    Returns
    -------
    {"height", "geopotential"} or None
        Metres, m2 s-2, or neither. Always None near the ground, below 1000 m.

    Examples
    --------
    >>> looks_like(np.array([5400.0, 5600.0]), 50000.0)
    'height'
    >>> looks_like(np.array([53000.0, np.nan]), 50000.0)
    'geopotential'
    """
    height = standard_height_m(level_Pa)
    known = values[np.isfinite(values)]
    if height < LOWEST_m or not known.size:
        return None
    ratio = float(np.median(known)) / height
    if 1 / WITHIN < ratio < WITHIN:
        return "height"
    return "geopotential" if G / WITHIN < ratio < G * WITHIN else None


def geopotential_problem(
    values: np.ndarray, *, units: str, level_Pa: float, name: Hashable = "z"
) -> str | None:
    """Say that values are geopotential height where geopotential is meant, or the reverse.

    Parameters
    ----------
    values : numpy.ndarray
        At the level, in `units` as far as is known; of any shape.
    units : str
        Of the channel: of geopotential, such as "m2 s-2", or of height, such as "gpm".
    level_Pa : float
        Pressure (Pa) of the channel.
    name : Hashable, default "z"
        Of the variable, for the line to type.

    Returns
    -------
    str or None
        What they look like and the line to type; None if they are plausible, or the units are of
        something else.

    Examples
    --------
    >>> geopotential_problem(np.array([54000.0]), units="m2 s-2", level_Pa=50000.0)
    >>> print(geopotential_problem(np.array([5500.0]), units="m2 s-2", level_Pa=50000.0))
    the values of 'z' at 500 hPa, about 5500, look like geopotential height in m, geopotential in
    'm2 s-2' is needed, 9.80665 times as much:
    ds['z'] = (ds['z'] * 9.80665).assign_attrs(units='m2 s-2')
    """
    needed = unit(units)
    kinds = needed.quantities.split() if needed else []
    meant = next((kind for kind in ("geopotential", "height") if kind in kinds), None)
    if needed is None or meant is None:
        return None
    in_base = np.asarray(values, np.float64) * needed.scale
    found = looks_like(in_base, level_Pa)
    if found is None or found == meant:
        return None
    median = float(np.median(in_base[np.isfinite(in_base)])) / needed.scale
    told = {"height": "geopotential height", "geopotential": "geopotential"}
    in_units = {"height": "m", "geopotential": "m2 s-2"}
    much = "9.80665 times as much" if meant == "geopotential" else "9.80665 times less"
    return (
        f"the values of {name!r} at {level_Pa / 100:g} hPa, about {median:.4g}, look like "
        f"{told[found]} in {in_units[found]}, {told[meant]} in {units!r} is needed, {much}: "
        f"{line_to_type(name, found)}"
    )


def line_to_type(
    name: Hashable,
    found: Literal["height", "geopotential"],
    scale: float = 1.0,
    *,
    to: Hashable | None = None,
) -> str:
    """Return the line that turns one into the other, as `to`; `scale` is that of what is found."""
    sign, units = ("*", "m2 s-2") if found == "height" else ("/", "m")
    in_base = "" if scale == 1.0 else f" * {scale:g}"
    given, wanted = f"ds[{name!r}]", f"ds[{(name if to is None else to)!r}]"
    return f"{wanted} = ({given}{in_base} {sign} {G}).assign_attrs(units={units!r})"
