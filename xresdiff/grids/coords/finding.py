"""Find what the coordinates and variables of a Dataset are, whatever they are called."""

import re
from collections.abc import Hashable
from typing import Protocol

import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords.criteria import ROLES, RoleName, length_unit, role_candidates
from xresdiff.grids.coords.horizontal import Horizontal, listing

__all__ = [
    "ChannelLike",
    "find_coordinate",
    "find_variable",
    "heights_m",
    "of_standard_name",
    "other_dims",
]

NEAR_SURFACE_m = 20.0  # what no height is needed for: temperature at 2 m, wind at 10 m
_HEIGHTS = frozenset({"height", "heightaboveground", "altitude"})  # names, in lower case

# Quantities that differ from height to height; others share a scalar height with them for being
# in one Dataset.
_ALOFT = re.compile(
    r"air_(potential_)?temperature|dew_point_temperature|air_pressure|(eastward|northward|x|y)_wind"
    r"|wind_speed|wind_from_direction|(specific|relative)_humidity|humidity_mixing_ratio"
)
_EXTREMES = r"maximum|minimum|range|standard_deviation"  # cell methods that tell another quantity


class ChannelLike(Protocol):
    """What :func:`find_variable` asks of a channel."""

    @property
    def name(self) -> str:
        """Name of the variable in this package."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """Names of the variable elsewhere, the likeliest first."""

    @property
    def standard_name(self) -> str:
        """CF standard name; empty if there is none."""

    @property
    def cell_methods(self) -> str:
        """CF cell methods; empty if there are none."""


def find_coordinate(obj: xr.Dataset | xr.DataArray, role: RoleName) -> Hashable | None:
    """Find a coordinate besides y and x by its CF attributes, else by habitual names.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Any object; only names, attributes and sizes are read.
    role : {"time", "reference_time", "lead_time", "realization", "pressure"}
        What the coordinate stands for: the time for which fields hold, that at which a forecast
        began, the time between them, the member of an ensemble, the pressure of levels.

    Returns
    -------
    Hashable or None
        Name of the coordinate, along a dimension or scalar; None if there is none.

    Raises
    ------
    InputError
        If several coordinates stand for it, none of them along a dimension of its own name.

    Notes
    -----
    Files from GRIB call the start of a forecast ``time``, with the standard name of the time for
    which it holds, and have that as ``valid_time`` beside. Of the two, the time is the one that
    runs along the lead times, else the one with a dimension of its name, else ``valid_time``. The
    reference time is the one not called so, if there is a lead time. Where the time of the fields
    is not stored, ``time`` stands for both.

    Examples
    --------
    >>> ds = xr.Dataset(coords={"init": [0, 24], "number": 3, "isobaricInhPa": 500.0})
    >>> find_coordinate(ds, "reference_time"), find_coordinate(ds, "pressure")
    ('init', 'isobaricInhPa')
    >>> find_coordinate(ds, "lead_time") is None
    True
    """
    if role not in ROLES:
        raise InputError(f"role is {role!r}; it is one of {listing(ROLES)}")
    names = role_candidates(obj, role)
    if role == "reference_time" and not names:
        names = _starts(obj)
    if role == "time" and len(names) > 1:
        names = _of_leads(obj, names)
    if len(names) > 1:
        names = [name for name in names if name in obj.dims] or names
    if role == "time" and len(names) > 1:
        names = [name for name in names if _is_valid_time(name)] or names
    if len(names) > 1:
        raise InputError(
            f"more than one coordinate of {role.replace('_', ' ')}: {listing(names)}. Keep one: "
            f"ds.drop_vars({names[1:]!r}), or select the variables of one"
        )
    return names[0] if names else None


def find_variable(ds: xr.Dataset, channel: ChannelLike) -> Hashable | None:
    """Find the variable of a channel: by its name, then its aliases, then its standard name.

    The standard name alone does not tell that a variable is at another height or an extreme over
    time; :func:`of_standard_name` does.

    Parameters
    ----------
    ds : xarray.Dataset
        Where to look, among the data variables.
    channel : ChannelLike
        What to look for.

    Returns
    -------
    Hashable or None
        Name in `ds`, None if it is not there.

    Raises
    ------
    InputError
        If only the standard name tells, and several variables have it.
    """
    for name in (channel.name, *channel.aliases):
        if name in ds.data_vars:
            return name
    same = [name for name, against in of_standard_name(ds, channel).items() if not against]
    if len(same) > 1:
        raise InputError(
            f"the standard name {channel.standard_name!r} is that of {listing(same)}; rename the "
            f"one to use: ds.rename({{{same[0]!r}: {channel.name!r}}})"
        )
    return same[0] if same else None


def of_standard_name(ds: xr.Dataset, channel: ChannelLike) -> dict[Hashable, str]:
    """Return the variables with the standard name of a channel, and what speaks against each.

    Against them speak a height of more than 20 m, unless they are on pressure levels, and extremes
    over time that the channel is not of.

    Parameters
    ----------
    ds : xarray.Dataset
        Where to look, among the data variables.
    channel : ChannelLike
        What to look for.

    Returns
    -------
    dict of Hashable to str
        Names in `ds`, with a reason or nothing; empty if the channel has no standard name.

    Examples
    --------
    >>> from xresdiff.models.card import Channel
    >>> attrs = {"standard_name": "air_temperature", "cell_methods": "time: maximum"}
    >>> ds = xr.Dataset({"tasmax": ((), 290.0, attrs)})
    >>> of_standard_name(ds, Channel("t2m", "air_temperature", "K"))
    {'tasmax': "its cell methods are 'time: maximum'"}
    """
    wanted = channel.standard_name
    names = [
        n for n, v in ds.data_vars.items() if wanted and v.attrs.get("standard_name") == wanted
    ]
    return {name: _against(ds[name], channel) for name in names}


def heights_m(da: xr.DataArray) -> list[float]:
    """Return the heights (m) of a variable at a single one, as its coordinates tell.

    Examples
    --------
    >>> heights_m(xr.DataArray(1.0, coords={"height": ((), 10.0, {"units": "m"})}))
    [10.0]
    """
    listed = da.encoding.get("coordinates")  # as the file had it, of this variable alone
    heights = []
    for name, coord in da.coords.items():
        told = coord.attrs.get("standard_name") == "height" or str(name).lower() in _HEIGHTS
        own = listed is None or str(name) in str(listed).split() or name in da.dims
        single = coord.size == 1 and coord.chunks is None and coord.dtype.kind in "iuf"
        unit = length_unit(coord) if coord.attrs.get("units") else "m"
        if told and own and single and unit:
            heights.append(coord.item() * (1000.0 if unit == "km" else 1.0))
    return heights


def other_dims(obj: xr.Dataset | xr.DataArray, horizontal: Horizontal) -> tuple[Hashable, ...]:
    """Return the dimensions besides y and x, such as time, level or number, in order.

    Of a Dataset, those of its variables on the grid: the bounds of times do not count.

    Examples
    --------
    >>> from xresdiff.grids.coords import find_horizontal
    >>> da = xr.DataArray([[[[1.0, 2.0]]]], dims=("step", "number", "lat", "lon"))
    >>> da = da.assign_coords(lat=[0.0], lon=[0.0, 1.0])
    >>> other_dims(da, find_horizontal(da))
    ('step', 'number')
    """
    variables = obj.data_vars.values() if isinstance(obj, xr.Dataset) else [obj]
    on_grid = [v.dims for v in variables if set(horizontal.dims) <= set(v.dims)]
    every = dict.fromkeys(dim for dims in on_grid for dim in dims)
    return tuple(dim for dim in every if dim not in horizontal.dims)


def _against(da: xr.DataArray, channel: ChannelLike) -> str:
    """Say what speaks against a variable that has the standard name of a channel."""
    methods = str(da.attrs.get("cell_methods", ""))
    if _extremes(da, methods) - _extremes(da, channel.cell_methods):
        return f"its cell methods are {methods!r}"
    if not _ALOFT.fullmatch(channel.standard_name) or role_candidates(da, "pressure"):
        return ""
    high = [height for height in heights_m(da) if height > NEAR_SURFACE_m]
    return f"it is at a height of {high[0]:g} m" if high else ""


def _extremes(da: xr.DataArray, cell_methods: str) -> set[str]:
    """Return the methods over time by which a quantity becomes another."""
    names = "|".join(re.escape(str(name)) for name in {"time", *role_candidates(da, "time")})
    plain = re.sub(r"\([^)]*\)", "", cell_methods)
    found = re.findall(rf"(?<!\w)(?:{names}):\s+(?:\w+:\s+)*({_EXTREMES})\b", plain)
    return set(found)


def _starts(obj: xr.Dataset | xr.DataArray) -> list[Hashable]:
    """Return the times from which lead times count, by what they are not: times of the fields."""
    lead = find_coordinate(obj, "lead_time")
    if lead is None:
        return []
    times = [name for name in role_candidates(obj, "time") if not _is_valid_time(name)]
    along = obj[lead].dims
    return [name for name in times if not along or not set(along) <= set(obj[name].dims)]


def _of_leads(obj: xr.Dataset | xr.DataArray, times: list[Hashable]) -> list[Hashable]:
    """Return the times that change with the lead time, all if none does."""
    lead = find_coordinate(obj, "lead_time")
    if lead is None or not obj[lead].dims:
        return times
    return [name for name in times if set(obj[lead].dims) <= set(obj[name].dims)] or times


def _is_valid_time(name: Hashable) -> bool:
    return str(name).lower() in {"valid_time", "verifying_time"}
