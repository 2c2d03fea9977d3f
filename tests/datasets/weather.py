"""The weather that all made-up Datasets hold, and what their attributes share."""

import numpy as np
import pyproj
import xarray as xr

GROWTH = 1.0
STEEPEST = np.hypot(0.1, np.radians(6))  # of the weather, per degree

# What a value is where the weather is zero, and what a unit of weather is.
SCALES = {
    "rain": (12.0, 1.0),  # mm h-1
    "t2m": (285.0, 5.0),
    "sst": (290.0, 3.0),
    "t850": (275.0, 5.0),
    "t500": (250.0, 5.0),
    "z850": (14000.0, 500.0),  # m2 s-2
    "z500": (54500.0, 500.0),
    "q850": (6e-3, 4e-4),  # kg kg-1
    "r850": (0.5, 0.04),
    "u10": (3.0, 2.0),  # m s-1
    "msl": (101000.0, 500.0),  # Pa
}
MIDNIGHT = np.datetime64("2024-07-01", "ns")
HOUR, DAY = np.timedelta64(1, "h"), np.timedelta64(1, "D")
G = 9.80665

LAT = {"units": "degrees_north", "standard_name": "latitude", "long_name": "latitude"}
LON = {"units": "degrees_east", "standard_name": "longitude", "long_name": "longitude"}
GRIB_TIME = {"long_name": "initial time of forecast", "standard_name": "time"}
VALID_TIME = {"standard_name": "time", "long_name": "time"}
STEP = {"long_name": "time since forecast_reference_time", "standard_name": "forecast_period"}
NUMBER = {
    "long_name": "ensemble member numerical id",
    "units": "1",
    "standard_name": "realization",
}
HPA = {
    "long_name": "pressure",
    "units": "hPa",
    "positive": "down",
    "stored_direction": "decreasing",
    "standard_name": "air_pressure",
}
TP = {
    "GRIB_paramId": 228,
    "GRIB_dataType": "fc",
    "GRIB_typeOfLevel": "surface",
    "GRIB_stepUnits": 1,
    "GRIB_stepType": "accum",
    "GRIB_gridType": "regular_ll",
    "GRIB_shortName": "tp",
    "GRIB_units": "m",
    "long_name": "Total precipitation",
    "units": "m",
    "standard_name": "unknown",
}
POLE = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
    "north_pole_grid_longitude": 0.0,
}


def weather(lat, lon):
    """Rise northwards, with waves of 60 degrees around: between -10 and 10."""
    lat, lon = np.asarray(lat, "f8"), np.asarray(lon, "f8")
    return lat / 10 + np.cos(np.radians(lat)) * np.cos(np.radians(6 * lon + 45))


def truth(quantity, lat, lon, growth=0.0):
    """Return the values of a quantity at places."""
    base, scale = SCALES[quantity]
    return base + scale * (weather(lat, lon) + growth)


def field(quantity, lat, lon, order, attrs, factor=1.0, offset=0.0, dtype="f4", **sizes):
    """Return a variable of dimensions in any order, of which those not in `sizes` are y and x.

    Its values times `factor`, plus `offset`, are in the units of `attrs`.
    """
    y, x = (dim for dim in order if dim not in sizes)
    if np.ndim(lat) == 1:
        lat, lon = np.meshgrid(lat, lon, indexing="ij")
    growth = GROWTH * sum(np.indices(tuple(sizes.values())), start=np.zeros(tuple(sizes.values())))
    values = truth(quantity, lat, lon, growth[..., None, None]) * factor + offset
    return xr.Variable((*sizes, y, x), values.astype(dtype), attrs).transpose(*order)


def times(n, step=HOUR):
    return MIDNIGHT + step * np.arange(n)


def planes(crs, y, x):
    """Return latitude and longitude of places in a plane, as pyproj has them."""
    way = pyproj.Transformer.from_crs(crs, pyproj.CRS(crs).geodetic_crs, always_xy=True)
    lon, lat = way.transform(*np.meshgrid(x, y))
    return lat, lon


def rotated(rlat, rlon):
    """Return latitude and longitude of places on the rotated pole of EURO-CORDEX."""
    rlat, rlon = np.meshgrid(np.radians(rlat), np.radians(rlon), indexing="ij")
    pole = np.radians(POLE["grid_north_pole_latitude"])
    up, ahead = np.sin(rlat), np.cos(rlat) * np.cos(rlon)
    lat = np.arcsin(np.sin(pole) * up + np.cos(pole) * ahead)
    east = np.arctan2(np.cos(rlat) * np.sin(rlon), np.sin(pole) * ahead - np.cos(pole) * up)
    return np.degrees(lat), np.degrees(east) + POLE["grid_north_pole_longitude"] + 180


def pairs(edges):
    return np.stack([edges[:-1], edges[1:]], axis=-1)


def around(centres):
    """Return bounds of centres at even steps."""
    step = centres[1] - centres[0]
    return np.stack([centres - step / 2, centres + step / 2], axis=-1)
