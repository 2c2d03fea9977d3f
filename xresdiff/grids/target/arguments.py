"""Check the arguments of a target grid before anything is made: every problem, and what to type."""

from collections.abc import Mapping
from math import isfinite
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from xresdiff.errors import InputError
from xresdiff.grids.cells.projection import is_rotated, read_crs

if TYPE_CHECKING:
    from pyproj import CRS

__all__ = ["Given", "check_arguments"]

#: The arguments that were given, by their names.
Given = Mapping[str, Any]

# The pairs of arguments that say where a grid of a projection lies.
PLACES = (("center", "shape"), ("y_km", "x_km"), ("lat", "lon"))
EXAMPLES = {
    "lat": "lat=(50, 58)",
    "lon": "lon=(-10, 2)",
    "center": "center=(54.0, -2.0)",
    "shape": "shape=(300, 200)",
    "y_km": "y_km=(0, 1240)",
    "x_km": "x_km=(0, 660)",
}
LATLON_LINE = "target_grid(lat=(50, 58), lon=(-10, 2), spacing_deg=0.04)"


def check_arguments(given: Given, *, like: bool) -> list[str]:
    """Say what is wrong with the arguments of a target grid.

    Parameters
    ----------
    given : mapping
        The keyword arguments that are not None.
    like : bool
        Whether there is an object to take the place from.

    Returns
    -------
    list of str
        One sentence per problem, with the line to type.

    Examples
    --------
    >>> check_arguments({"lat": (58, 50), "lon": (-10, 2), "spacing_deg": 0.04}, like=False)
    ['lat=(58, 50) is upside down; type lat=(50, 58)']
    """
    problems, crs = _crs_problems(given, like)
    if like:
        problems += _beside_a_dataset(given)
    elif "crs" in given:
        problems += _place_of_a_plane(given, crs)
    else:
        problems += _place_of_a_box(given)
    problems += _spacing_problems(given, like, crs)
    problems += [p for name in given for p in _value_problems(name, given[name])]
    return problems


def _crs_problems(given: Given, like: bool) -> "tuple[list[str], CRS | None]":
    """Return what is wrong with the CRS, and the CRS if it can be read."""
    if "crs" not in given:
        return [], None
    try:
        crs = read_crs(given["crs"])
    except InputError as error:
        return [str(error)], None
    if crs.is_geographic and not is_rotated(crs):
        line = "target_grid(ds, spacing_deg=0.04)" if like else LATLON_LINE
        return [f"crs={crs.name!r} is one of latitude and longitude; leave it out: {line}"], None
    if not (crs.is_projected or is_rotated(crs)):
        return [
            f"crs={crs.name!r} is a {crs.type_name}; one with y and x on a plane is needed: "
            "crs='EPSG:27700'"
        ], None
    axis = crs.axis_info[0]
    if crs.is_projected and axis.unit_conversion_factor != 1:
        return [
            f"the axes of crs={crs.name!r} are in {axis.unit_name!r}; metres are needed: "
            "crs=pyproj.CRS(crs).to_dict() | {'units': 'm'}"
        ], None
    return [], crs


def _beside_a_dataset(given: Given) -> list[str]:
    """Say which arguments do not go with an object whose place is taken."""
    extra = [name for name in given if name in EXAMPLES]
    if not extra:
        return []
    return [
        f"{_and(extra)} would say where the grid lies, which the Dataset says already; leave "
        "them out, or leave the Dataset out"
    ]


def _place_of_a_plane(given: Given, crs: "CRS | None") -> list[str]:
    """Say what is missing or too much for a place in a projection."""
    told = [pair for pair in PLACES if set(pair) & set(given)]
    if not told:
        ways = ", or ".join(", ".join(EXAMPLES[name] for name in pair) for pair in PLACES)
        return [f"nothing says where in the projection the grid lies; type {ways}"]
    if len(told) > 1:
        names = [name for pair in told for name in pair if name in given]
        return [f"{_and(names)} say more than once where the grid lies; keep {_and(told[0])} alone"]
    if told[0] == ("y_km", "x_km") and crs is not None and is_rotated(crs):
        return ["y_km and x_km are no sides in degrees of a rotated pole; type lat=..., lon=..."]
    return _missing(given, told[0])


def _place_of_a_box(given: Given) -> list[str]:
    """Say what is missing or too much for a grid of latitude and longitude."""
    if not given:
        return [f"nothing says where it lies; type {LATLON_LINE}"]
    extra = [name for name in given if name in EXAMPLES and name not in ("lat", "lon")]
    if extra:
        return [
            f"{_and(extra)} {'go' if len(extra) > 1 else 'goes'} with a projection; say which, "
            f"crs='EPSG:27700', or type {LATLON_LINE}"
        ]
    return _missing(given, ("lat", "lon"))


def _missing(given: Given, pair: tuple[str, str]) -> list[str]:
    return [f"{name} is missing; type {EXAMPLES[name]}" for name in pair if name not in given]


def _spacing_problems(given: Given, like: bool, crs: "CRS | None") -> list[str]:
    """Say where a spacing is missing, or of the wrong kind."""
    both = "spacing_deg" in given and "spacing_km" in given
    if both:
        return ["spacing_deg and spacing_km are both given; leave one of them out"]
    if "spacing_deg" in given and crs is not None and not is_rotated(crs):
        return ["spacing_deg is no spacing of a projection in metres; type spacing_km=1"]
    needed = "crs" in given if like else bool(given)
    if needed and not {"spacing_deg", "spacing_km"} & set(given):
        unit = "km=1" if "crs" in given else "deg=0.04"
        return [f"a spacing is missing; type spacing_{unit}"]
    return []


def _value_problems(name: str, value: Any) -> list[str]:
    """Say what is wrong with the value of one argument."""
    if name in ("spacing_deg", "spacing_km"):
        if _is_number(value) and value > 0:
            return []
        return [f"{name}={value!r} is no positive number; type {name}=1"]
    if name == "shape":
        return _shape_problems(value)
    if name not in EXAMPLES:
        return []
    if not (np.ndim(value) == 1 and len(value) == 2 and all(map(_is_number, value))):
        return [f"{name}={value!r} is not two numbers; type {EXAMPLES[name]}"]
    first, second = value
    if name == "center":
        if abs(first) <= 90 and abs(second) <= 360:
            return []
        return [f"center={value!r} is no latitude and longitude; type {EXAMPLES[name]}"]
    return _longitude_problems(value) if name == "lon" else _interval_problems(name, value)


def _shape_problems(shape: Any) -> list[str]:
    try:
        rows, columns = (index(n) for n in shape)
    except (TypeError, ValueError):
        rows = columns = 0
    if min(rows, columns) >= 2:
        return []
    return [f"shape={shape!r} is not two whole numbers of at least 2; type {EXAMPLES['shape']}"]


def _longitude_problems(value: tuple[float, float]) -> list[str]:
    west, east = value
    if max(abs(west), abs(east)) > 720 or east - west > 360 + 1e-9:
        return [f"lon={value!r} is more than all longitudes; type lon=(-180, 180) for all of them"]
    if west == east:
        return [f"lon={value!r} is empty; type {EXAMPLES['lon']}, from west to east"]
    return []


def _interval_problems(name: str, value: tuple[float, float]) -> list[str]:
    low, high = value
    if low > high:
        return [f"{name}={value!r} is upside down; type {name}={(high, low)!r}"]
    if low == high:
        return [f"{name}={value!r} is empty; type {EXAMPLES[name]}"]
    if name == "lat" and (low < -90 or high > 90):
        inside = max(low, -90), min(high, 90)
        return [f"lat={value!r} reaches beyond a pole; type lat={inside!r}"]
    return []


def _is_number(value: Any) -> bool:
    numbers = (int, float, np.integer, np.floating)
    return isinstance(value, numbers) and not isinstance(value, bool) and isfinite(value)


def _and(names: list[str] | tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
