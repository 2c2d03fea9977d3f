"""What the variable names of CMIP6 mean, as its data request defines them."""

import re

from xresdiff.models.card import Channel
from xresdiff.models.published.variables import Variable

__all__ = ["EXTREMES", "LEVELS", "SURFACE", "channel"]

SURFACE = {
    "tas": Variable("air_temperature", "K", "near-surface air temperature"),
    "tasmax": Variable("air_temperature", "K", "daily maximum near-surface air temperature"),
    "tasmin": Variable("air_temperature", "K", "daily minimum near-surface air temperature"),
    "ts": Variable("surface_temperature", "K", "surface temperature"),
    "hurs": Variable("relative_humidity", "%", "near-surface relative humidity"),
    "hursmax": Variable("relative_humidity", "%", "daily maximum near-surface relative humidity"),
    "hursmin": Variable("relative_humidity", "%", "daily minimum near-surface relative humidity"),
    "huss": Variable("specific_humidity", "kg kg-1", "near-surface specific humidity"),
    "uas": Variable("eastward_wind", "m s-1", "near-surface eastward wind"),
    "vas": Variable("northward_wind", "m s-1", "near-surface northward wind"),
    "sfcWind": Variable("wind_speed", "m s-1", "near-surface wind speed"),
    "sfcWindmax": Variable("wind_speed", "m s-1", "daily maximum near-surface wind speed"),
    "psl": Variable("air_pressure_at_mean_sea_level", "Pa", "sea level pressure"),
    "ps": Variable("surface_air_pressure", "Pa", "surface air pressure"),
    "pr": Variable("precipitation_flux", "kg m-2 s-1", "precipitation"),
    "prc": Variable("convective_precipitation_flux", "kg m-2 s-1", "convective precipitation"),
    "prsn": Variable("snowfall_flux", "kg m-2 s-1", "snowfall flux"),
    "prw": Variable("atmosphere_mass_content_of_water_vapor", "kg m-2", "water vapor path"),
    "clt": Variable("cloud_area_fraction", "%", "total cloud cover"),
    "hfls": Variable("surface_upward_latent_heat_flux", "W m-2", "upward latent heat flux"),
    "hfss": Variable("surface_upward_sensible_heat_flux", "W m-2", "upward sensible heat flux"),
    "rlds": Variable(
        "surface_downwelling_longwave_flux_in_air", "W m-2", "downwelling long-wave radiation"
    ),
    "rlus": Variable(
        "surface_upwelling_longwave_flux_in_air", "W m-2", "upwelling long-wave radiation"
    ),
    "rls": Variable("surface_net_downward_longwave_flux", "W m-2", "net long-wave radiation"),
    "rsds": Variable(
        "surface_downwelling_shortwave_flux_in_air", "W m-2", "downwelling short-wave radiation"
    ),
    "rsus": Variable(
        "surface_upwelling_shortwave_flux_in_air", "W m-2", "upwelling short-wave radiation"
    ),
    "rss": Variable("surface_net_downward_shortwave_flux", "W m-2", "net short-wave radiation"),
    "rlut": Variable("toa_outgoing_longwave_flux", "W m-2", "outgoing long-wave radiation"),
    "siconc": Variable("sea_ice_area_fraction", "%", "sea ice area"),
    "snc": Variable("surface_snow_area_fraction", "%", "snow area"),
}

LEVELS = {
    "ta": Variable("air_temperature", "K", "air temperature"),
    "ua": Variable("eastward_wind", "m s-1", "eastward wind"),
    "va": Variable("northward_wind", "m s-1", "northward wind"),
    "wap": Variable("lagrangian_tendency_of_air_pressure", "Pa s-1", "vertical velocity"),
    "zg": Variable("geopotential_height", "m", "geopotential height"),
    "hus": Variable("specific_humidity", "kg kg-1", "specific humidity"),
    "hur": Variable("relative_humidity", "%", "relative humidity"),
}

EXTREMES = {"max": "time: maximum", "min": "time: minimum"}  # by the end of the name

_ON_LEVEL = re.compile(r"([a-z]+)([1-9]\d{0,3})")


def channel(name: str, *, mean: float, std: float, offset_h: float = 0.0) -> Channel | None:
    """Return the channel of a variable of CMIP6, as a daily field.

    Parameters
    ----------
    name : str
        Such as "tas", or "zg500" for a quantity at a pressure in hPa.
    mean, std : float
        Of its values in training.
    offset_h : float, default 0
        Hours from the time of the field that is wanted to that of this input.

    Returns
    -------
    Channel or None
        None if it is not known what the variable is.

    Examples
    --------
    >>> one = channel("zg500", mean=5500.0, std=300.0)
    >>> one.label, one.units
    ('zg at 500 hPa', 'm')
    >>> channel("soilmood", mean=0.0, std=1.0) is None
    True
    """
    quantity, variable, level_Pa = name, SURFACE.get(name), None
    match = _ON_LEVEL.fullmatch(name)
    if match and match[1] in LEVELS:
        quantity, variable, level_Pa = match[1], LEVELS[match[1]], 100.0 * int(match[2])
    if variable is None:
        return None
    extreme = EXTREMES.get(name[-3:], "") if level_Pa is None else ""
    return Channel(
        quantity,
        variable.standard_name,
        variable.units,
        long_name=variable.long_name,
        level_Pa=level_Pa,
        mean=mean,
        std=std,
        cell_methods=extreme,
        regridding="bilinear",
        offset_h=offset_h,
    )
