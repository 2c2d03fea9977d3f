"""How horizontal coordinates are recognised: by CF attributes first, then by habitual names."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, get_args

import xarray as xr

__all__ = ["LATITUDES", "LONGITUDES", "Evidence", "Side", "candidates", "length_unit"]

# What a coordinate can be evidence of, the best description of a grid first. "index" stands for
# y and x without a unit of length, which count for nothing while there is anything better.
Evidence = Literal["projected", "rotated", "latlon", "curvilinear", "index"]


@dataclass(frozen=True)
class Side:
    """What the coordinates of one direction are called, names in lower case."""

    coordinate: str
    axis: str
    rotated_standard_name: str
    geographic_names: frozenset[str]
    rotated_names: frozenset[str]
    planar_names: frozenset[str]


LATITUDES = Side(
    coordinate="latitude",
    axis="Y",
    rotated_standard_name="grid_latitude",
    geographic_names=frozenset({"lat", "lats", "latitude", "nav_lat", "xlat"}),
    rotated_names=frozenset({"rlat", "grid_latitude"}),
    planar_names=frozenset({"y", "yc", "northing", "projection_y_coordinate"}),
)
LONGITUDES = Side(
    coordinate="longitude",
    axis="X",
    rotated_standard_name="grid_longitude",
    geographic_names=frozenset({"lon", "lons", "long", "longitude", "nav_lon", "xlon", "xlong"}),
    rotated_names=frozenset({"rlon", "grid_longitude"}),
    planar_names=frozenset({"x", "xc", "easting", "projection_x_coordinate"}),
)

_LENGTHS = {
    "m": ("m", "meter", "meters", "metre", "metres"),
    "km": ("km", "kilometer", "kilometers", "kilometre", "kilometres"),
}
_LENGTH_OF = {spelling: unit for unit, spellings in _LENGTHS.items() for spelling in spellings}


def candidates(obj: xr.Dataset | xr.DataArray, side: Side) -> dict[Evidence, list[Hashable]]:
    """Sort the coordinates of one direction by what they are evidence of.

    Names count only where no CF attribute tells.

    Examples
    --------
    >>> northing = ("y", [5], {"units": "m"})
    >>> ds = xr.Dataset(coords={"lat": [1.0], "rlat": [1.0], "northing": northing})
    >>> found = candidates(ds, LATITUDES)
    >>> found["latlon"], found["rotated"], found["projected"]
    (['lat'], ['rlat'], ['northing'])
    """
    import cf_xarray  # noqa: F401  (registers .cf)

    geographic = obj.cf.coordinates.get(side.coordinate, ())
    planar = obj.cf.axes.get(side.axis, ())
    bounds = {coord.attrs.get("bounds") for coord in obj.coords.values()}
    by_cf: dict[Evidence, list[Hashable]] = {kind: [] for kind in get_args(Evidence)}
    by_name: dict[Evidence, list[Hashable]] = {kind: [] for kind in get_args(Evidence)}
    for name, coord in obj.coords.items():
        if name in bounds or coord.dtype.kind not in "iuf":
            continue
        word = str(name).lower()
        told = _evidence(coord, side, name in geographic, name in planar)
        called = _evidence(coord, side, word in side.geographic_names, word in side.planar_names)
        if told:
            by_cf[told].append(name)
        elif called:
            by_name[called].append(name)
    return {kind: by_cf[kind] or by_name[kind] for kind in by_cf}


def length_unit(coord: xr.DataArray) -> str:
    """Return "m" or "km", or nothing if the coordinate has another unit or none."""
    return _LENGTH_OF.get(str(coord.attrs.get("units", "")).strip(), "")


def _evidence(coord: xr.DataArray, side: Side, geographic: bool, planar: bool) -> Evidence | None:
    """Tell the kind of grid that a coordinate speaks for, None if it speaks for none.

    A rotated latitude is known by its own names alone: many files give it the axis, and some the
    units, of a true latitude.
    """
    rotated = (
        coord.attrs.get("standard_name") == side.rotated_standard_name
        or str(coord.name).lower() in side.rotated_names
    )
    if coord.ndim == 2 and geographic and not rotated:
        return "curvilinear"
    if coord.ndim != 1:
        return None
    if rotated:
        return "rotated"
    if geographic:
        return "latlon"
    if planar:
        return "projected" if length_unit(coord) else "index"
    return None
