"""What the variable names of Earth2Studio mean: CF names, units, and how files call them."""

import re
from dataclasses import dataclass

from xresdiff.models.card import Channel

__all__ = ["Variable", "channel", "known"]


@dataclass(frozen=True)
class Variable:
    """A variable, without what a model makes of it.

    Parameters
    ----------
    standard_name : str
        CF standard name; empty if there is none.
    units : str
        CF units.
    long_name : str
        For the labels of plots.
    aliases : tuple of str, default ()
        Names in files of ERA5 (CDS, cfgrib, NCAR), WeatherBench, ARCO and GFS.
    """

    standard_name: str
    units: str
    long_name: str
    aliases: tuple[str, ...] = ()


SURFACE = {
    "t2m": Variable(
        "air_temperature",
        "K",
        "2 m temperature",
        ("2m_temperature", "2t", "t2", "T2", "VAR_2T", "tas"),
    ),
    "d2m": Variable(
        "dew_point_temperature",
        "K",
        "2 m dew point temperature",
        ("2m_dewpoint_temperature", "2d", "VAR_2D", "tdps"),
    ),
    "r2m": Variable(
        "relative_humidity", "%", "2 m relative humidity", ("2m_relative_humidity", "r2", "2r")
    ),
    "q2m": Variable(
        "specific_humidity", "kg kg-1", "2 m specific humidity", ("2m_specific_humidity", "sh2")
    ),
    "u10m": Variable(
        "eastward_wind",
        "m s-1",
        "10 m eastward wind",
        ("u10", "10u", "10m_u_component_of_wind", "U10", "VAR_10U", "uas"),
    ),
    "v10m": Variable(
        "northward_wind",
        "m s-1",
        "10 m northward wind",
        ("v10", "10v", "10m_v_component_of_wind", "V10", "VAR_10V", "vas"),
    ),
    "u100m": Variable(
        "eastward_wind",
        "m s-1",
        "100 m eastward wind",
        ("u100", "100u", "100m_u_component_of_wind", "VAR_100U"),
    ),
    "v100m": Variable(
        "northward_wind",
        "m s-1",
        "100 m northward wind",
        ("v100", "100v", "100m_v_component_of_wind", "VAR_100V"),
    ),
    "ws10m": Variable("wind_speed", "m s-1", "10 m wind speed", ("10m_wind_speed", "si10", "10si")),
    "fg10m": Variable(
        "wind_speed_of_gust",
        "m s-1",
        "10 m wind gust since the previous post-processing",
        ("fg10", "10fg", "10m_wind_gust_since_previous_post_processing"),
    ),
    "sp": Variable(
        "surface_air_pressure", "Pa", "surface pressure", ("surface_pressure", "SP", "ps")
    ),
    "msl": Variable(
        "air_pressure_at_mean_sea_level",
        "Pa",
        "mean sea level pressure",
        ("mean_sea_level_pressure", "mslp", "prmsl", "MSL", "psl"),
    ),
    "tcwv": Variable(
        "atmosphere_mass_content_of_water_vapor",
        "kg m-2",
        "total column water vapour",
        ("total_column_water_vapour", "TCWV", "pwat", "prw", "precipitable_water"),
    ),
    "tclw": Variable(
        "atmosphere_mass_content_of_cloud_liquid_water",
        "kg m-2",
        "total column cloud liquid water",
        ("total_column_cloud_liquid_water",),
    ),
    "tciw": Variable(
        "atmosphere_mass_content_of_cloud_ice",
        "kg m-2",
        "total column cloud ice water",
        ("total_column_cloud_ice_water", "clivi"),
    ),
    "tcw": Variable("", "kg m-2", "total column water", ("total_column_water",)),
    "sst": Variable(
        "sea_surface_temperature",
        "K",
        "sea surface temperature",
        ("sea_surface_temperature", "SSTK"),
    ),
    "skt": Variable("", "K", "skin temperature", ("skin_temperature", "SKT")),
    "sic": Variable(
        "sea_ice_area_fraction", "1", "sea ice cover", ("siconc", "sea_ice_cover", "ci", "CI")
    ),
    "tcc": Variable(
        "cloud_area_fraction", "1", "total cloud cover", ("total_cloud_cover", "TCC", "clt")
    ),
    "blh": Variable(
        "atmosphere_boundary_layer_thickness",
        "m",
        "boundary layer height",
        ("boundary_layer_height", "BLH"),
    ),
    "cape": Variable(
        "atmosphere_convective_available_potential_energy",
        "J kg-1",
        "convective available potential energy",
        ("convective_available_potential_energy", "CAPE"),
    ),
    "tp": Variable(
        "lwe_thickness_of_precipitation_amount",
        "m",
        "total precipitation",
        ("total_precipitation", "TP"),
    ),
    "tpf": Variable("precipitation_flux", "kg m-2 s-1", "total precipitation flux"),
    "tprate": Variable("rainfall_rate", "mm h-1", "rain rate at the surface"),
    "sd": Variable(
        "lwe_thickness_of_surface_snow_amount",
        "m of water equivalent",
        "snow depth",
        ("snow_depth", "SD"),
    ),
    "sde": Variable("surface_snow_thickness", "m", "snow thickness"),
    "mrr": Variable(
        "equivalent_reflectivity_factor", "dBZ", "maximum radar reflectivity of the column"
    ),
    "refc": Variable(
        "equivalent_reflectivity_factor", "dBZ", "composite radar reflectivity", ("REFC",)
    ),
    "csnow": Variable("", "1", "categorical snow", ("CSNOW",)),
    "cicep": Variable("", "1", "categorical ice pellets", ("CICEP",)),
    "cfrzr": Variable("", "1", "categorical freezing rain", ("CFRZR",)),
    "crain": Variable("", "1", "categorical rain", ("CRAIN",)),
    "rlut": Variable(
        "toa_outgoing_longwave_flux", "W m-2", "outgoing long-wave radiation at the top"
    ),
    "rsut": Variable(
        "toa_outgoing_shortwave_flux", "W m-2", "outgoing short-wave radiation at the top"
    ),
    "rsds": Variable(
        "surface_downwelling_shortwave_flux_in_air",
        "W m-2",
        "downwelling short-wave radiation at the surface",
    ),
    "lsm": Variable("land_binary_mask", "1", "land-sea mask", ("land_sea_mask", "LSM")),
    "z": Variable(
        "surface_geopotential",
        "m2 s-2",
        "geopotential of the surface",
        ("geopotential_at_surface", "z_sfc"),
    ),
}
for _hours in (1, 6, 12, 24):
    SURFACE[f"tp{_hours:02}"] = Variable(
        "lwe_thickness_of_precipitation_amount",
        "m",
        f"precipitation of {_hours} h",
        (f"total_precipitation_{_hours}hr",),
    )

LEVELS = {
    "z": Variable("geopotential", "m2 s-2", "geopotential", ("geopotential", "Z")),
    "t": Variable("air_temperature", "K", "temperature", ("temperature", "T", "ta")),
    "u": Variable("eastward_wind", "m s-1", "eastward wind", ("u_component_of_wind", "U", "ua")),
    "v": Variable("northward_wind", "m s-1", "northward wind", ("v_component_of_wind", "V", "va")),
    "w": Variable(
        "lagrangian_tendency_of_air_pressure",
        "Pa s-1",
        "vertical velocity",
        ("vertical_velocity", "W", "wap", "omega"),
    ),
    "q": Variable(
        "specific_humidity", "kg kg-1", "specific humidity", ("specific_humidity", "Q", "hus")
    ),
    "r": Variable("relative_humidity", "%", "relative humidity", ("relative_humidity", "R", "hur")),
}

_ON_LEVEL = re.compile(r"([a-z])(\d{1,4})")


def known(name: str) -> tuple[str, Variable, float | None] | None:
    """Look a variable of Earth2Studio up.

    Parameters
    ----------
    name : str
        Such as "t2m", or "z500" for a quantity at a pressure in hPa.

    Returns
    -------
    tuple or None
        Name of the quantity, what it is, its level (Pa) or None; None if it is not known.

    Examples
    --------
    >>> quantity, variable, level_Pa = known("z500")
    >>> quantity, variable.units, level_Pa
    ('z', 'm2 s-2', 50000.0)
    >>> known("soil_mood") is None
    True
    """
    if name in SURFACE:
        return name, SURFACE[name], None
    match = _ON_LEVEL.fullmatch(name)
    if match is None or match[1] not in LEVELS or not int(match[2]):
        return None
    return match[1], LEVELS[match[1]], 100.0 * int(match[2])


def channel(
    name: str, *, mean: float, std: float, units: str | None = None, is_input: bool = True
) -> Channel | None:
    """Return the channel of a variable of Earth2Studio.

    Parameters
    ----------
    name : str
        Such as "t2m" or "z500".
    mean, std : float
        Of its values in training.
    units : str, optional
        In which it is; needed for a variable that is not known here.
    is_input : bool, default True
        Whether it is looked for in files, and regridded, rather than given.

    Returns
    -------
    Channel or None
        None if it is not known what the units are.

    Examples
    --------
    >>> channel("t850", mean=280.0, std=9.0).label
    't at 850 hPa'
    """
    found = known(name)
    if found is None:
        if units is None:
            return None
        found = name, Variable("", units, name.replace("_", " ")), None
    quantity, variable, level_Pa = found
    return Channel(
        quantity,
        variable.standard_name,
        units or variable.units,
        long_name=variable.long_name,
        level_Pa=level_Pa,
        aliases=variable.aliases if is_input else (),
        mean=mean,
        std=std,
        regridding="latlon_bilinear" if is_input else None,
    )
