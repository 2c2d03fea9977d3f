"""How coordinates are recognised: by CF attributes first, then by habitual names."""

from collections.abc import Container, Hashable
from dataclasses import dataclass
from typing import Literal, get_args

import xarray as xr

__all__ = [
    "LATITUDES",
    "LONGITUDES",
    "MEMBER_NAMES",
    "PRESSURE_UNITS",
    "ROLES",
    "Evidence",
    "RoleName",
    "Side",
    "bounds_name",
    "bounds_names",
    "candidates",
    "length_unit",
    "plane_dims",
    "role_candidates",
]

# What a coordinate can be evidence of, the best description of a grid first. "index" stands for
# y and x without a unit of length, which count for nothing while there is anything better.
Evidence = Literal["projected", "rotated", "latlon", "curvilinear", "index"]

#: What a coordinate besides y and x can stand for.
RoleName = Literal["time", "reference_time", "lead_time", "realization", "pressure"]


@dataclass(frozen=True)
class Side:
    """What the coordinates of one direction are called, names in lower case.

    `dims` are names of dimensions that hold no coordinate, and tell only which one comes first.
    """

    coordinate: str
    axis: str
    rotated_standard_name: str
    geographic_names: frozenset[str]
    rotated_names: frozenset[str]
    planar_names: frozenset[str]
    dims: frozenset[str]


LATITUDES = Side(
    coordinate="latitude",
    axis="Y",
    rotated_standard_name="grid_latitude",
    geographic_names=frozenset({"lat", "lats", "latitude", "nav_lat", "xlat", "xlat_m"}),
    rotated_names=frozenset({"rlat", "grid_latitude"}),
    planar_names=frozenset({"y", "yc", "northing", "projection_y_coordinate"}),
    dims=frozenset({"j", "nj", "ny", "nlat", "south_north", "eta_rho"}),
)
LONGITUDES = Side(
    coordinate="longitude",
    axis="X",
    rotated_standard_name="grid_longitude",
    geographic_names=frozenset(
        {"lon", "lons", "long", "longitude", "nav_lon", "xlon", "xlong", "xlong_m"}
    ),
    rotated_names=frozenset({"rlon", "grid_longitude"}),
    planar_names=frozenset({"x", "xc", "easting", "projection_x_coordinate"}),
    dims=frozenset({"i", "ni", "nx", "nlon", "west_east", "xi_rho"}),
)


@dataclass(frozen=True)
class Role:
    """What the coordinates of one role are called, names in lower case.

    Parameters
    ----------
    standard_name : str
        CF standard name.
    names : tuple of str
        Habitual names, the most usual first.
    axis : str, default ""
        CF axis.
    weak : frozenset of str, default empty
        Those of `names` that count only where there is no other.
    """

    standard_name: str
    names: tuple[str, ...]
    axis: str = ""
    weak: frozenset[str] = frozenset()


ROLES: dict[RoleName, Role] = {
    "time": Role(
        standard_name="time",
        names=("time", "valid_time", "times", "xtime", "verifying_time", "date", "datetime"),
        axis="T",
    ),
    "reference_time": Role(
        standard_name="forecast_reference_time",
        names=(
            "forecast_reference_time",
            "reference_time",
            "reftime",
            "init_time",
            "init",
            "initial_time",
            "initialization_time",
            "analysis_time",
            "forecast_date",
        ),
    ),
    "lead_time": Role(
        standard_name="forecast_period",
        names=(
            "step",
            "lead",
            "lead_time",
            "leadtime",
            "prediction_timedelta",
            "forecast_period",
            "fhour",
            "forecast_hour",
            "forecastmonth",
        ),
    ),
    "realization": Role(
        standard_name="realization",
        names=(
            "member",
            "number",
            "realization",
            "ensemble",
            "member_id",
            "sample",
            "ens",
            "realisation",
            "variant_label",
        ),
        weak=frozenset({"sample"}),  # of each realization, where there are some
    ),
    "pressure": Role(
        standard_name="air_pressure",
        names=(
            "isobaricinhpa",
            "isobaricinpa",
            "pressure_level",
            "plev",
            "plevel",
            "level",
            "lev",
            "plevs",
            "pressure",
            "pressure_levels",
            "pres",
            "isobaric",
        ),
    ),
}

#: What dimensions of members are called where no `standard_name` says it; the first found counts.
MEMBER_NAMES = ROLES["realization"].names

_PRESSURES = {
    1.0: ("Pa", "pascal", "pascals", "Pascal"),
    100.0: ("hPa", "hectopascal", "hectopascals", "mb", "mbar", "mbars", "millibar", "millibars"),
}
#: How many Pa a unit of pressure is.
PRESSURE_UNITS = {spelling: scale for scale, names in _PRESSURES.items() for spelling in names}

# Vertical coordinates that have units of pressure, or names of it, without being a pressure: CAM's
# hybrid "lev" is in hPa.
_NO_PRESSURES = (
    "atmosphere_",
    "model_level",
    "hybrid",
    "sigma",
    "height",
    "altitude",
    "depth",
    "sea_water",
)

_LENGTHS = {
    "m": ("m", "meter", "meters", "metre", "metres"),
    "km": ("km", "kilometer", "kilometers", "kilometre", "kilometres"),
}
_LENGTH_OF = {spelling: unit for unit, spellings in _LENGTHS.items() for spelling in spellings}

_BOUNDS_WORDS = frozenset({"bnds", "bounds", "bound", "vertices", "vertex", "corners", "corner"})
_TIME_DIMS = frozenset({*ROLES["time"].names, "t"})


def candidates(
    obj: xr.Dataset | xr.DataArray, side: Side, among: Container[Hashable]
) -> dict[Evidence, list[Hashable]]:
    """Sort the coordinates of one direction by what they are evidence of.

    Names count only where no CF attribute tells.

    Examples
    --------
    >>> northing = ("y", [5], {"units": "m"})
    >>> ds = xr.Dataset(coords={"lat": [1.0], "rlat": [1.0], "northing": northing})
    >>> found = candidates(ds, LATITUDES, among=ds.coords)
    >>> found["latlon"], found["rotated"], found["projected"]
    (['lat'], ['rlat'], ['northing'])
    """
    import cf_xarray  # noqa: F401  (registers .cf)

    geographic = obj.cf.coordinates.get(side.coordinate, ())
    planar = obj.cf.axes.get(side.axis, ())
    by_cf: dict[Evidence, list[Hashable]] = {kind: [] for kind in get_args(Evidence)}
    by_name: dict[Evidence, list[Hashable]] = {kind: [] for kind in get_args(Evidence)}
    for name, coord in obj.coords.items():
        if name not in among or coord.dtype.kind not in "iuf":
            continue
        word = str(name).lower()
        told = _evidence(coord, side, name in geographic, name in planar)
        called = _evidence(coord, side, word in side.geographic_names, word in side.planar_names)
        if told:
            by_cf[told].append(name)
        elif called:
            by_name[called].append(name)
    return {kind: by_cf[kind] or by_name[kind] for kind in by_cf}


def role_candidates(obj: xr.Dataset | xr.DataArray, role: RoleName) -> list[Hashable]:
    """Return the coordinates that stand for a role.

    Names count only where no CF attribute tells, and never against a standard name.

    Examples
    --------
    >>> ds = xr.Dataset(coords={"lev": ("lev", [850.0], {"units": "hPa"}), "number": 3})
    >>> role_candidates(ds, "pressure"), role_candidates(ds, "realization")
    (['lev'], ['number'])
    """
    import cf_xarray  # noqa: F401  (registers .cf)

    criteria = ROLES[role]
    told = set(obj.cf.standard_names.get(criteria.standard_name, ()))
    if criteria.axis:
        told |= set(obj.cf.axes.get(criteria.axis, ()))
    others = {other.standard_name for name, other in ROLES.items() if name != role}
    bounds = bounds_names(obj)
    by_cf, by_name = [], []
    for name, coord in obj.coords.items():
        foreign = coord.attrs.get("standard_name") in others
        if name in bounds or foreign or not _can_be(coord, role):
            continue
        called = str(name).lower() in criteria.names
        if name in told or (role == "pressure" and _units(coord) and (called or _is_axis(coord))):
            by_cf.append(name)
        elif called:
            by_name.append(name)
    found = by_cf or by_name
    return [name for name in found if str(name).lower() not in criteria.weak] or found


def length_unit(coord: xr.DataArray) -> str:
    """Return "m" or "km", or nothing if the coordinate has another unit or none."""
    return _LENGTH_OF.get(_units(coord), "")


def bounds_name(coord: xr.DataArray | xr.Variable) -> Hashable | None:
    """Return the name of the CF bounds of a coordinate; xarray moves it to the encoding at times.

    Examples
    --------
    >>> bounds_name(xr.Variable("lat", [1.0], {"bounds": "lat_bnds"}))
    'lat_bnds'
    """
    name: Hashable | None = coord.attrs.get("bounds", coord.encoding.get("bounds"))
    return name


def bounds_names(obj: xr.Dataset | xr.DataArray) -> set[Hashable]:
    """Return the variables that hold bounds of others, as attributes or their own names say.

    Examples
    --------
    >>> lat = ("lat", [1.0], {"bounds": "edges"})
    >>> ds = xr.Dataset(coords={"lat": lat, "edges": 0.0, "vertices_longitude": 0.0})
    >>> sorted(bounds_names(ds))
    ['edges', 'vertices_longitude']
    """
    everything = obj.variables if isinstance(obj, xr.Dataset) else obj.coords
    told = {bounds_name(variable) for variable in everything.values()}
    called = {name for name in everything if _BOUNDS_WORDS & set(str(name).lower().split("_"))}
    return (told | called) & set(everything)


def plane_dims(coord: xr.DataArray) -> tuple[Hashable, ...]:
    """Return the dimensions of a coordinate, of one of three or more without time.

    WRF repeats its latitudes for every time. Of other dimensions, those of size 1 do not count.

    Examples
    --------
    >>> plane_dims(xr.DataArray([[[50.0]]], dims=("Time", "south_north", "west_east")))
    ('south_north', 'west_east')
    """
    if coord.ndim <= 2:
        return coord.dims
    dims = tuple(dim for dim in coord.dims if str(dim).lower() not in _TIME_DIMS)
    if len(dims) <= 2:
        return dims
    return tuple(dim for dim in dims if coord.sizes[dim] > 1)


def _evidence(coord: xr.DataArray, side: Side, geographic: bool, planar: bool) -> Evidence | None:
    """Tell the kind of grid that a coordinate speaks for, None if it speaks for none.

    A rotated latitude is known by its own names alone: many files give it the axis, and some the
    units, of a true latitude.
    """
    told_rotated = (
        coord.attrs.get("standard_name") == side.rotated_standard_name
        or str(coord.name).lower() in side.rotated_names
    )
    rotated = told_rotated and not length_unit(coord)  # some files call metres so
    if geographic and not rotated and coord.ndim > 1 and len(plane_dims(coord)) == 2:
        return "curvilinear"
    if coord.ndim != 1:
        return None
    if rotated:
        return "rotated"
    if geographic:
        return "latlon"
    if planar or told_rotated:
        return "projected" if length_unit(coord) else "index"
    return None


def _can_be(coord: xr.DataArray, role: RoleName) -> bool:
    """Tell whether nothing in a coordinate speaks against a role."""
    if role == "realization":
        return coord.ndim < 2
    if coord.dtype.kind in "SUb":
        return False
    return role != "pressure" or _can_be_pressure(coord)


def _can_be_pressure(coord: xr.DataArray) -> bool:
    standard_name = str(coord.attrs.get("standard_name", ""))
    long_name = str(coord.attrs.get("long_name", "")).lower().replace(" ", "_")
    return (
        coord.ndim < 2
        and coord.dtype.kind in "iuf"
        and _units(coord) in {"", *PRESSURE_UNITS}
        and not standard_name.startswith(_NO_PRESSURES)
        and not any(word in long_name for word in _NO_PRESSURES)
        and "formula_terms" not in coord.attrs
        and coord.attrs.get("positive") != "up"
        and not any(coord.coords[d].dtype.kind in "mMO" for d in coord.dims if d in coord.coords)
    )


def _is_axis(coord: xr.DataArray) -> bool:
    """Tell whether a coordinate is an axis, not merely beside others, as a surface pressure is."""
    vertical = {("axis", "Z"), ("positive", "down")}
    return coord.name in coord.dims or any(coord.attrs.get(k) == v for k, v in vertical)


def _units(coord: xr.DataArray) -> str:
    return str(coord.attrs.get("units", "")).strip()
