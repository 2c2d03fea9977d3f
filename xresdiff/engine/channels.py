"""Find the variable of every channel in an input; say which are missing or in unlike units."""

import re
from collections.abc import Hashable, Iterable, Iterator
from typing import Literal

import xarray as xr

from xresdiff.errors import InputError, UnitsError
from xresdiff.grids import units
from xresdiff.grids.coords import find_coordinate, levels
from xresdiff.grids.coords.criteria import bounds_names
from xresdiff.grids.units.accumulations import time_bounds_of
from xresdiff.grids.units.geopotential import line_to_type
from xresdiff.grids.units.packing import packed_problem
from xresdiff.grids.units.spellings import plain
from xresdiff.models.card import Channel, ModelCard

__all__ = ["alone", "find_channels"]

# As files call geopotential height, and geopotential.
HEIGHTS = ("gh", "zg", "hgt", "HGT", "geopotential_height")
GEOPOTENTIALS = ("z", "phi", "geopotential")


def find_channels(
    ds: xr.Dataset, card: ModelCard, accumulation: str | None = None
) -> tuple[tuple[levels.Found, ...], list[str], list[str]]:
    """Find the inputs of a model; nothing of them is computed.

    Parameters
    ----------
    ds : xarray.Dataset
        The input.
    card : ModelCard
        Of the model.
    accumulation : str, optional
        The time in which amounts fell.

    Returns
    -------
    tuple
        What was found, in the order of the channels; what is missing; what is in unlike units.
    """
    found: list[levels.Found] = []
    missing, unlike = [], []
    for channel in card.inputs:
        try:
            one = levels.find_channel(ds, channel)
        except InputError as error:
            missing.append(str(error))
            continue
        if one is None:
            missing += _missing(ds, channel)
            continue
        found.append(one)
        packed = packed_problem(ds[one.name])
        if packed:
            missing.append(packed)
            continue
        bounds = time_bounds_of(ds, one.name)
        try:
            units.check(ds[one.name], channel, accumulation=accumulation, bounds=bounds)
        except UnitsError as error:
            unlike.append(str(error))
    missing += _missing_levels(ds, card)
    return tuple(found), list(dict.fromkeys(missing)), list(dict.fromkeys(unlike))


def _missing_levels(ds: xr.Dataset, card: ModelCard) -> Iterator[str]:
    """Say which levels are missing, and which variable may have them."""
    for name in dict.fromkeys(channel.name for channel in card.inputs):
        quantity = [channel for channel in card.inputs if channel.name == name]
        first = quantity[0]
        there = any(known in ds.data_vars for known in first.names)
        if first.level_Pa is not None and _other_kind(ds, first) and not there:
            continue  # told of every level
        hint = "" if there or first.level_Pa is None else _hint_of_levels(ds, first)
        yield from (told + hint for told in levels.missing_levels(ds, quantity))


def _hint_of_levels(ds: xr.Dataset, channel: Channel) -> str:
    """Return the line to type if a variable with levels may be a channel under another name."""
    for name, da in ds.data_vars.items():
        if find_coordinate(da, "pressure") is not None and _may_be(da, channel):
            return f". If it is {name!r}: ds.rename({{{name!r}: {channel.name!r}}})"
    return ""


def alone(ds: xr.Dataset, variables: Iterable[Hashable]) -> xr.Dataset:
    """Leave out all fields but the named ones, which may be on other grids; all if none is."""
    wanted = set(variables)
    others = [name for name, da in ds.data_vars.items() if name not in wanted and da.ndim > 1]
    return ds.drop_vars(set(others) - bounds_names(ds)) if wanted else ds


def _missing(ds: xr.Dataset, channel: Channel) -> Iterator[str]:
    """Say that a variable is missing, unless it has levels that are not those wanted."""
    other = _other_kind(ds, channel)
    if other is not None:
        name, kind = other
        have, need = ("geopotential height", "geopotential")[:: 1 if kind == "height" else -1]
        yield (
            f"{name!r} is {have}, {channel.name!r} is {need}, in {channel.units!r}: "
            f"{line_to_type(name, kind, to=channel.name)}"
        )
    elif channel.level_Pa is None and not any(name in ds.data_vars for name in channel.names):
        yield _absent(ds, channel)


def _other_kind(
    ds: xr.Dataset, channel: Channel
) -> tuple[Hashable, Literal["height", "geopotential"]] | None:
    """Find geopotential height where a channel is of geopotential, and the other way round."""
    if channel.standard_name == "geopotential":
        found = [n for n, da in ds.data_vars.items() if _is(n, da, HEIGHTS, "geopotential_height")]
        return (found[0], "height") if found else None
    if channel.standard_name == "geopotential_height":
        found = [n for n, da in ds.data_vars.items() if _is(n, da, GEOPOTENTIALS, "geopotential")]
        return (found[0], "geopotential") if found else None
    return None


def _is(name: Hashable, da: xr.DataArray, names: tuple[str, ...], standard_name: str) -> bool:
    return da.attrs.get("standard_name", standard_name if name in names else "") == standard_name


def _absent(ds: xr.Dataset, channel: Channel) -> str:
    needed = f"{channel.name!r} (standard name {channel.standard_name!r}, {channel.units})"
    if not ds.data_vars:
        return f"the variable {needed} is missing; the Dataset has none"
    told = f"the variable {needed} is missing; the Dataset has {', '.join(map(repr, ds.data_vars))}"
    likely = [name for name, da in ds.data_vars.items() if _may_be(da, channel)]
    if not likely:
        return f"{told}, none of them in units of it"
    return f"{told}. If one of them is it: ds.rename({{{likely[0]!r}: {channel.name!r}}})"


def _looks_like_wind(da: xr.DataArray) -> bool:
    """Tell whether a speed, which is in units of a rate of rain too, may be one of the wind."""
    words = re.split(r"[\W_]+", f"{da.name} {da.attrs.get('long_name', '')}".lower())
    rain = any(w in ("tp", "pr") or w.startswith(("precip", "rain", "snow")) for w in words)
    return plain(str(da.attrs.get("units", ""))) == "m s-1" and not rain


def _may_be(da: xr.DataArray, channel: Channel) -> bool:
    """Tell whether fields are in units of a channel, or might be: amounts and rates differ."""
    if da.ndim < 2 or da.dtype.kind not in "iuf":
        return False
    own = da.attrs.get("standard_name")
    if own is not None and channel.standard_name and own != channel.standard_name:
        return False
    if channel.method == "conservative" and _looks_like_wind(da):
        return False
    try:
        units.check(da, channel, accumulation="1h")
    except UnitsError:
        return False
    return True
