"""What is known of a quantity from its names and units: whether it is rain, and its bounds."""

import re
from dataclasses import replace

import xarray as xr

from xresdiff.errors import UnitsError
from xresdiff.grids.units.conversion import factor_offset, is_difference
from xresdiff.grids.units.spellings import plain, unit
from xresdiff.grids.units.times import hours_apart
from xresdiff.models.card import Channel, Transform

__all__ = ["CUBE_ROOT", "bounded", "is_rain", "rooted", "units_of"]

CUBE_ROOT = Transform("power", exponent=1 / 3)  # heavy rain still counts, and zero stays zero

# What a gauge tells from nothing (mm), in the time between two fields: an hour at least, a day at
# most.
TRACE_mm = 0.1
TRACE_HOURS = (1.0, 24.0)

ABSENT = ("", "~", "unknown", "undefined")  # what stands for no units in files

_RAIN = re.compile(r"precipitation|rainfall|snowfall")
_RAIN_NAMES = re.compile(  # as files call them that have no standard names
    r"(m?tpr|avg_tprate|tprate|prate|apcp|tp|pr|prc|prl|prsn|cp|lsp|rr|rf|rain\w*|snowfall|sf"
    r"|precip\w*|total_precip\w*|convective_precip\w*|large_scale_precip\w*|tot_prec)",
    re.IGNORECASE,
)
_PER_DAY = re.compile(r"\b(day|d)-1")
_WATER = {"rain", "water"}  # quantities in units of which rain and snow are

# Standard names of what is never negative.
_POSITIVE = re.compile(
    r"wind_speed\w*|(specific|relative)_humidity|\w*mixing_ratio|mass_fraction_of_\w+"
    r"|(surface_|toa_)?down\w+(radiative|radiation)?_flux_in_air|surface_downwelling_\w+"
    r"|surface_net_downward_shortwave_flux|(surface_)?air_pressure\w*|\w*runoff\w*"
    r"|\w*snow_(thickness|amount|area_fraction)|lwe_thickness_of_\w+amount"
    r"|atmosphere_mass_content_of_\w+|\w*area_fraction|volume_fraction_of_\w+"
    r"|visibility_in_air|sea_surface_wave_significant_height"
    r"|(mass|number)_concentration_of_\w+|atmosphere_boundary_layer_thickness"
)
_SHARES = re.compile(r"\w*area_fraction|volume_fraction_of_\w+")  # and never more than all


def units_of(da: xr.DataArray) -> str:
    """Return the units of a variable, nothing where there are none.

    Examples
    --------
    >>> units_of(xr.DataArray(0.0, attrs={"units": " K "})), units_of(xr.DataArray(0.0))
    ('K', '')
    """
    told = str(da.attrs.get("units", "") or "").strip()
    return "" if told in ABSENT else told


def is_rain(channel: Channel) -> bool:
    """Tell whether a channel is of rain, snow or both: amounts or rates, never negative.

    Examples
    --------
    >>> is_rain(Channel("tp", "", "mm")), is_rain(Channel("tp", "", "K"))
    (True, False)
    >>> is_rain(Channel("pr", "precipitation_flux", "kg m-2 s-1"))
    True
    """
    known = unit(channel.units)
    if known is None or not _WATER & set(known.quantities.split()):
        return False
    told = {"standard_name": channel.standard_name, "cell_methods": channel.cell_methods}
    if is_difference({**told, "long_name": channel.long_name}):
        return False
    if channel.standard_name:
        return bool(_RAIN.search(channel.standard_name))
    return bool(_RAIN_NAMES.fullmatch(channel.name))


def rooted(channel: Channel) -> Channel:
    """Return a channel that is never negative and seen through its cube root."""
    return replace(channel, minimum=0.0, transform=CUBE_ROOT)


def bounded(channel: Channel, da: xr.DataArray) -> Channel:
    """Return a new channel with the bounds and the transform that its quantity has.

    Parameters
    ----------
    channel : Channel
        With its names and units.
    da : xarray.DataArray
        The variable, whose times tell what a trace of rain is; no values are read.

    Returns
    -------
    Channel
        Rain with a cube root, zero below a trace; what has no negative values, or no values above
        all, with its bounds; anything else as it is.

    Examples
    --------
    >>> hourly = bounded(Channel("rain", "", "mm h-1"), xr.DataArray(0.0))
    >>> hourly.transform.name, hourly.minimum, hourly.dry_below
    ('power', 0.0, 0.1)
    >>> cloud = bounded(Channel("clt", "cloud_area_fraction", "%"), xr.DataArray(0.0))
    >>> cloud.minimum, cloud.maximum
    (0.0, 100.0)
    """
    if is_rain(channel):
        return replace(rooted(channel), dry_below=_trace(channel.units, hours_apart(da)))
    told = {"standard_name": channel.standard_name, "cell_methods": channel.cell_methods}
    if is_difference(told) or not _POSITIVE.fullmatch(channel.standard_name):
        return channel
    share = _SHARES.fullmatch(channel.standard_name)
    return replace(channel, minimum=0.0, maximum=_whole(channel.units) if share else None)


def _trace(units: str, hours: float | None) -> float | None:
    """Return what of rain counts as none, in some units; None if they do not tell."""
    low, high = TRACE_HOURS
    try:
        return _rounded(TRACE_mm * factor_offset("kg m-2", units)[0])
    except UnitsError:
        pass
    try:
        usual = high if _PER_DAY.search(plain(units)) else low
        per_hour = TRACE_mm / min(max(hours or usual, low), high)
        return _rounded(per_hour * factor_offset("mm h-1", units)[0])
    except UnitsError:
        return None


def _whole(units: str) -> float | None:
    """Return all of something, in units of a share."""
    try:
        return _rounded(factor_offset("1", units)[0])
    except UnitsError:
        return None


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
