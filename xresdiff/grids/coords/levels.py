"""Find the variables of channels on pressure levels, in whichever shape the files have them."""

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords.criteria import PRESSURE_UNITS, ROLES, role_candidates
from xresdiff.grids.coords.finding import (
    ChannelLike,
    find_coordinate,
    find_variable,
    heights_m,
    of_standard_name,
)
from xresdiff.grids.coords.horizontal import listing

__all__ = ["Found", "LevelChannel", "find_channel", "missing_levels", "take"]

TOLERANCE = 1e-3  # relative; 1000 hPa is not 999, and a float32 of 92500 Pa is

# Levels without units: no pressure in hPa on Earth is more than this, and hardly a dataset in Pa
# has only less.
MOST_HPA = 1100.0
_UNIT_BY_NAME = {"isobaricinhpa": "hPa", "isobaricinpa": "Pa"}

# Dimensions of levels, in lower case, whose coordinates often do not say so.
_VERTICAL_DIMS = frozenset(
    {"bottom_top", "hybrid", "model_level", "height", "altitude", "depth", *ROLES["pressure"].names}
)

_AT_HEIGHT = re.compile(r"\b\d+[ -]?(m|metres?|meters?)\b")  # "10 metre U wind component"

# Winds at so many metres are called like those at so many hPa; what tells the latter.
_MAY_BE_AT_HEIGHT = re.compile(r"[uv]_?(10|100|200)")
_PRESSURE_WORDS = re.compile(r"(?<![a-z])(h?pa|mb|mbar|millibars?|isobaric\w*|pressure)(?![a-z])")


class LevelChannel(ChannelLike, Protocol):
    """What :func:`find_channel` asks of a channel."""

    @property
    def level_Pa(self) -> float | None:
        """Pressure (Pa), for one level of a quantity that has levels."""


@dataclass(frozen=True)
class Found:
    """Where a channel is in a Dataset.

    Parameters
    ----------
    name : Hashable
        Name of the data variable.
    level : tuple of (Hashable, int), optional
        Dimension of its levels and the place along it; None for a variable without such.
    """

    name: Hashable
    level: tuple[Hashable, int] | None = None


def find_channel(ds: xr.Dataset, channel: LevelChannel) -> Found | None:
    """Find the variable of a channel, and the level if the channel is of one.

    A channel of a level is a place along a dimension of pressures, in any order and unit, a
    variable with a scalar coordinate of that pressure, or one called after its level, such as
    ``t850``, ``t_850`` or ``t_850hPa``. Its name and aliases count in their order, before its
    standard name. A channel without a level is a variable without a dimension of levels. Not taken
    are winds such as ``u100`` that may be at 100 m, and variables that have no more than the
    standard name of a channel (see :func:`~xresdiff.grids.coords.finding.of_standard_name`);
    :func:`missing_levels` names them.

    Parameters
    ----------
    ds : xarray.Dataset
        Where to look, among the data variables; no field of it is computed.
    channel : LevelChannel
        What to look for.

    Returns
    -------
    Found or None
        None if it is not there.

    Raises
    ------
    InputError
        If several variables are it, or a coordinate of pressures is lazy.

    Examples
    --------
    >>> from xresdiff.models.card import Channel
    >>> levels = ("plev", [50000.0, 85000.0], {"units": "Pa"})
    >>> ds = xr.Dataset({"ta": ("plev", [250.0, 280.0])}, coords={"plev": levels})
    >>> t850 = Channel("t", "air_temperature", "K", level_Pa=85000.0, aliases=("ta",))
    >>> find_channel(ds, t850)
    Found(name='ta', level=('plev', 1))
    """
    if channel.level_Pa is None:
        return _without_level(ds, channel)
    for name in (channel.name, *channel.aliases):
        found = _called(ds, name, channel.level_Pa)
        if found:
            return _only(found, channel)
    same = [name for name, against in of_standard_name(ds, channel).items() if not against]
    matches = (_at(ds, name, channel.level_Pa) for name in same)
    found = [match for match in matches if match is not None]
    return _only(found, channel) if found else None


def take(ds: xr.Dataset, found: Found) -> xr.DataArray:
    """Take the field of a channel out of a Dataset.

    Parameters
    ----------
    ds : xarray.Dataset
        The Dataset in which it was found; never changed.
    found : Found
        From :func:`find_channel`.

    Returns
    -------
    xarray.DataArray
        Without the dimension of levels and without a scalar coordinate of pressure, lazy if the
        variable is.

    Examples
    --------
    >>> ds = xr.Dataset({"t": ("level", [250.0, 280.0])}, coords={"level": [500, 850]})
    >>> take(ds, Found("t", ("level", 1)))
    <xarray.DataArray 't' ()> ...
    array(280.)
    """
    da = ds[found.name]
    if found.level is not None:
        dim, place = found.level
        da = da.isel({dim: place}, drop=True)
    return da.drop_vars([name for name in role_candidates(da, "pressure") if not da[name].dims])


def missing_levels(ds: xr.Dataset, channels: Iterable[LevelChannel]) -> list[str]:
    """Say which levels are missing: one sentence per quantity, with the levels that are there.

    Variables that seem to be a channel but are not taken for it are named too, with the reason.

    Parameters
    ----------
    ds : xarray.Dataset
        Where to look.
    channels : iterable of LevelChannel
        Channels of one name are one quantity. Of those without a level only they are told whose
        variable has a dimension of levels.

    Returns
    -------
    list of str
        What was found and what is needed, empty if nothing is missing.

    Examples
    --------
    >>> from xresdiff.models.card import Channel
    >>> ds = xr.Dataset({"t": ("level", [280.0, 250.0])}, coords={"level": [850, 500]})
    >>> ds.level.attrs["units"] = "hPa"
    >>> wanted = [Channel("t", "air_temperature", "K", level_Pa=p) for p in (7e4, 2.5e4, 5e4)]
    >>> missing_levels(ds, wanted)
    ["'t' lacks the levels 700 and 250 hPa; it has 850, 500 hPa along 'level'"]
    """
    quantities: dict[str, list[LevelChannel]] = {}
    for channel in channels:
        quantities.setdefault(channel.name, []).append(channel)
    return [text for quantity in quantities.values() for text in _complaints(ds, quantity)]


def _without_level(ds: xr.Dataset, channel: ChannelLike) -> Found | None:
    """Find a variable that has no levels; by its standard name, not on a single one either."""
    names = (channel.name, *channel.aliases)
    same = of_standard_name(ds, channel)
    on_levels = [n for n in ds.data_vars if (n in names or n in same) and _level_dims(ds[n])]
    name = find_variable(ds.drop_vars(on_levels), channel)
    if name is None or (name not in names and _level_coord(ds[name]) is not None):
        return None
    return Found(name)


def _called(ds: xr.Dataset, name: str, level_Pa: float) -> list[Found]:
    """Return what one name finds: the variable of all levels, and those called after the level."""
    found = []
    if name in ds.data_vars:
        found.append(_at(ds, name, level_Pa))
    for single in _single_names(ds, name, level_Pa):
        if _may_be_at_height(ds, single, level_Pa):
            continue
        # its own name tells more than a scalar coordinate, which all variables share
        found.append(_at(ds, single, level_Pa) if _level_dims(ds[single]) else Found(single))
    return [match for match in found if match is not None]


def _single_names(ds: xr.Dataset, name: str, level_Pa: float) -> list[str]:
    """Return the variables called after a level that are not said to be at a height."""
    hPa = f"{level_Pa / 100:g}"
    names = (f"{name}{hPa}", f"{name}_{hPa}", f"{name}{hPa}hPa", f"{name}_{hPa}hPa")
    return [n for n in names if n in ds.data_vars and not _is_at_height(ds[n], float(hPa))]


def _only(found: list[Found], channel: LevelChannel) -> Found:
    """Return the single one of a list, refuse several."""
    if len(found) == 1:
        return found[0]
    names = [match.name for match in found]
    raise InputError(
        f"more than one variable is {channel.name!r} at {_in_hPa([channel.level_Pa or 0.0])} hPa: "
        f"{listing(names)}. Keep one: ds.drop_vars({names[1:]!r})"
    )


def _at(ds: xr.Dataset, name: Hashable, level_Pa: float) -> Found | None:
    """Find a level of a variable by its pressures."""
    coord = _level_coord(ds[name])
    pressures = None if coord is None else _pressures(coord)
    if coord is None or pressures is None:
        return None
    places = np.flatnonzero(np.isclose(pressures, level_Pa, rtol=TOLERANCE, atol=0.0))
    if places.size > 1:
        raise InputError(
            f"{name!r} has the level {_in_hPa([level_Pa])} hPa more than once along "
            f"{coord.name!r}: ds.drop_duplicates({coord.dims[0]!r})"
        )
    if not places.size:
        return None
    return Found(name, (coord.dims[0], int(places[0])) if coord.dims else None)


def _level_coord(da: xr.DataArray) -> xr.DataArray | None:
    """Return the coordinate of a variable's pressures."""
    name = find_coordinate(da, "pressure")
    return None if name is None else da[name]


def _level_dims(da: xr.DataArray) -> list[Hashable]:
    """Return the dimensions of levels: of pressures, and of anything vertical with several."""
    import cf_xarray  # noqa: F401  (registers .cf)

    coord = _level_coord(da)
    of_pressure = set() if coord is None else set(coord.dims)
    vertical = {*da.cf.axes.get("Z", ()), *da.cf.coordinates.get("vertical", ())}
    along = {dim for name in vertical for dim in da[name].dims if da[name].ndim == 1}
    along |= {dim for dim in da.dims if str(dim).lower() in _VERTICAL_DIMS}
    return [dim for dim in da.dims if dim in of_pressure or (dim in along and da.sizes[dim] > 1)]


def _pressures(coord: xr.DataArray) -> np.ndarray | None:
    """Return the pressures (Pa) of a coordinate, ``(n,)``; None if they are no pressures."""
    if coord.chunks is not None:
        raise InputError(
            f"the levels {coord.name!r} are lazy, but are needed to find a level; load them: "
            f"ds.assign_coords({{{coord.name!r}: ds[{coord.name!r}].compute()}})"
        )
    values = np.atleast_1d(coord.values).astype(np.float64)
    units = str(coord.attrs.get("units", "")).strip() or _unit_by_name(coord.name, values)
    if units:
        return values * PRESSURE_UNITS[units]
    if coord.attrs.get("standard_name") is None and _are_numbers(values):
        return None
    return values * PRESSURE_UNITS["Pa" if (values > MOST_HPA).any() else "hPa"]


def _unit_by_name(name: Hashable, values: np.ndarray) -> str:
    """Return the unit that the name of a coordinate without units tells; empty if it does not.

    A single ``plev`` is in Pa, as CMIP has it: 500 is one of its levels in the stratosphere.
    """
    word = str(name).lower()
    return _UNIT_BY_NAME.get(word, "Pa" if word == "plev" and values.size == 1 else "")


def _are_numbers(values: np.ndarray) -> bool:
    """Tell whether values count layers, 1, 2, 3, ..."""
    return values.size > 2 and bool((np.abs(np.diff(values)) == 1).all())


def _is_at_height(da: xr.DataArray, number: float) -> bool:
    """Tell whether a variable such as u10 is a wind 10 m above the ground, not at 10 hPa."""
    if _AT_HEIGHT.search(str(da.attrs.get("long_name", "")).lower()):
        return True
    if str(da.attrs.get("GRIB_typeOfLevel", "")).startswith("height"):
        return True
    return number in heights_m(da)


def _may_be_at_height(ds: xr.Dataset, name: str, level_Pa: float) -> bool:
    """Tell whether a variable such as u100 may be a wind at 100 m, as nothing tells a pressure."""
    if not _MAY_BE_AT_HEIGHT.fullmatch(name):
        return False
    told = " ".join(f"{key} {value}" for key, value in ds[name].attrs.items())
    return not _PRESSURE_WORDS.search(told.lower()) and _at(ds, name, level_Pa) is None


def _complaints(ds: xr.Dataset, quantity: list[LevelChannel]) -> list[str]:
    """Say what is wrong with the channels of one name."""
    missing: list[float] = []
    texts: list[str] = []
    passed_over: list[str] = []
    for channel in quantity:
        try:
            if find_channel(ds, channel) is not None:
                continue
        except InputError as error:
            texts.append(str(error))
            continue
        passed_over += _passed_over(ds, channel)
        if channel.level_Pa is None:
            texts += _unwanted_levels(ds, channel)
        else:
            missing += [channel.level_Pa] if channel.level_Pa not in missing else []
    lack = [_lack(ds, quantity[0], missing)] if missing else []
    return lack + texts[:1] + list(dict.fromkeys(passed_over))


def _passed_over(ds: xr.Dataset, channel: LevelChannel) -> list[str]:
    """Say which variables seem to be a channel, and why they are not taken."""
    texts = [
        f"{name!r} is not taken for {channel.name!r}, though it has its standard name, "
        f"{channel.standard_name!r}: {against}. If it is what is meant: "
        f"ds.rename({{{name!r}: {channel.name!r}}})"
        for name, against in of_standard_name(ds, channel).items()
        if against
    ]
    level_Pa = channel.level_Pa
    if level_Pa is None:
        return texts
    hPa = _in_hPa([level_Pa])
    return texts + [
        f"{single!r} is not taken for {channel.name!r} at {hPa} hPa: nothing tells a pressure, "
        f"so it is likely at {hPa} m. If not: ds.rename({{{single!r}: '{name}{hPa}hPa'}})"
        for name in (channel.name, *channel.aliases)
        for single in _single_names(ds, name, level_Pa)
        if _may_be_at_height(ds, single, level_Pa)
    ]


def _unwanted_levels(ds: xr.Dataset, channel: ChannelLike) -> list[str]:
    for name in (channel.name, *channel.aliases):
        dims = _level_dims(ds[name]) if name in ds.data_vars else []
        if dims:
            return [
                f"{name!r} is needed without levels, and runs along {dims[0]!r}; take one: "
                f"ds[{name!r}] = ds[{name!r}].isel({{{dims[0]!r}: 0}}, drop=True)"
            ]
    return []


def _lack(ds: xr.Dataset, channel: ChannelLike, missing: list[float]) -> str:
    """Say which levels of a quantity are missing, and which are there."""
    names = (channel.name, *channel.aliases)
    whole: list[Hashable] = [n for n in names if n in ds.data_vars]
    if not whole:
        whole = [n for n in of_standard_name(ds, channel) if _level_coord(ds[n]) is not None]
    called = re.compile(rf"({'|'.join(map(re.escape, names))})_?\d+(\.\d+)?(hPa)?")
    single = [n for n in ds.data_vars if called.fullmatch(str(n))]
    wanted = f"the level{'s' * (len(missing) > 1)} {_in_hPa(missing, last=' and ')} hPa"
    if not whole and not single:
        return (
            f"{channel.name!r} (standard name {channel.standard_name!r}) is missing on {wanted}; "
            "needed is a variable with a dimension of pressures, or one for each level, such as "
            f"'{channel.name}{missing[0] / 100:g}'; the Dataset has {listing(ds.data_vars)}"
        )
    there = [_levels_there(ds[name]) for name in whole[:1]]
    if single:
        there.append(f"there {'are' if len(single) > 1 else 'is'} {listing(single)}")
    return f"{(whole or names)[0]!r} lacks {wanted}; {', and '.join(there)}"


def _levels_there(da: xr.DataArray) -> str:
    """Say which levels a variable has."""
    coord, dims = _level_coord(da), _level_dims(da)
    pressures = None if coord is None else _pressures(coord)
    if coord is None or pressures is None:
        if dims:
            return f"{dims[0]!r} holds no pressures, interpolate to those levels first"
        return (
            "it has no pressures; if it is on one level, say which: "
            "ds.assign_coords(isobaricInhPa=850.0)"
        )
    told = f"along {coord.dims[0]!r}" if coord.dims else f"by the coordinate {coord.name!r}"
    if not coord.attrs.get("units"):
        told += f", whose units are a guess: ds[{coord.name!r}].attrs['units'] = 'Pa'"
    return f"it has {_in_hPa(pressures)} hPa {told}"


def _in_hPa(pressures: Iterable[float], *, last: str = ", ") -> str:
    """Write pressures (Pa) in hPa, without the unit."""
    texts = [f"{pressure / 100:g}" for pressure in pressures]
    return last.join(part for part in (", ".join(texts[:-1]), *texts[-1:]) if part)
