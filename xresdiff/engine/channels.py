"""Find the variable of every channel in an input; say which are missing or in unlike units."""

from collections.abc import Hashable, Iterable, Iterator

import xarray as xr

from xresdiff.errors import InputError, UnitsError
from xresdiff.grids import units
from xresdiff.grids.coords import levels
from xresdiff.grids.coords.criteria import bounds_names
from xresdiff.grids.units.accumulations import time_bounds_of
from xresdiff.grids.units.geopotential import line_to_type
from xresdiff.grids.units.packing import packed_problem
from xresdiff.models.card import Channel, ModelCard

__all__ = ["alone", "find_channels"]

HEIGHTS = ("gh", "zg", "hgt", "HGT", "geopotential_height")  # as files call geopotential height


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
    missing += levels.missing_levels(ds, card.inputs)
    return tuple(found), list(dict.fromkeys(missing)), list(dict.fromkeys(unlike))


def alone(ds: xr.Dataset, variables: Iterable[Hashable]) -> xr.Dataset:
    """Leave out all fields but the named ones, which may be on other grids; all if none is."""
    wanted = set(variables)
    others = [name for name, da in ds.data_vars.items() if name not in wanted and da.ndim > 1]
    return ds.drop_vars(set(others) - bounds_names(ds)) if wanted else ds


def _missing(ds: xr.Dataset, channel: Channel) -> Iterator[str]:
    """Say that a variable is missing, unless it has levels that are not those wanted."""
    heights = [name for name, da in ds.data_vars.items() if _is_height(name, da)]
    if "geopotential" in channel.standard_name.split("_") and heights:
        yield (
            f"{heights[0]!r} is geopotential height, {channel.label} is geopotential, in "
            f"{channel.units!r}: {line_to_type(heights[0], 'height', to=channel.name)}"
        )
    elif channel.level_Pa is None and not any(name in ds.data_vars for name in channel.names):
        yield _absent(ds, channel)


def _is_height(name: Hashable, da: xr.DataArray) -> bool:
    return name in HEIGHTS or da.attrs.get("standard_name") == "geopotential_height"


def _absent(ds: xr.Dataset, channel: Channel) -> str:
    needed = f"{channel.name!r} (standard name {channel.standard_name!r}, {channel.units})"
    if not ds.data_vars:
        return f"the variable {needed} is missing; the Dataset has none"
    told = f"the variable {needed} is missing; the Dataset has {', '.join(map(repr, ds.data_vars))}"
    likely = [name for name, da in ds.data_vars.items() if _may_be(da, channel)]
    if not likely:
        return f"{told}, none of them in units of it"
    return f"{told}. If one of them is it: ds.rename({{{likely[0]!r}: {channel.name!r}}})"


def _may_be(da: xr.DataArray, channel: Channel) -> bool:
    """Tell whether fields are in units of a channel, or might be: amounts and rates differ."""
    if da.ndim < 2 or da.dtype.kind not in "iuf":
        return False
    try:
        units.check(da, channel, accumulation="1h")
    except UnitsError:
        return False
    return True
