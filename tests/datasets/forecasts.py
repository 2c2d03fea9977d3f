"""Analyses and forecasts: ERA5, GFS and hindcasts, by the CDS, cfgrib and NOMADS."""

import numpy as np
import xarray as xr

from tests.datasets.weather import (
    DAY,
    GRIB_TIME,
    HOUR,
    HPA,
    LAT,
    LON,
    MIDNIGHT,
    NUMBER,
    STEP,
    TP,
    VALID_TIME,
    field,
    times,
)


def era5_cds_old():
    """ERA5 as the Climate Data Store made netCDF until 2024: packed, no bounds, few attributes."""
    lat, lon = np.arange(52.5, 49.4, -0.25, "f4"), np.arange(4, 8.1, 0.25, dtype="f4")
    attrs = {"units": "m", "long_name": "Total precipitation"}
    order = ("time", "latitude", "longitude")
    ds = xr.Dataset(
        {"tp": field("rain", lat, lon, order, attrs, 1e-3, time=2)},
        {
            "longitude": ("longitude", lon, {"units": "degrees_east", "long_name": "longitude"}),
            "latitude": ("latitude", lat, {"units": "degrees_north", "long_name": "latitude"}),
            "time": ("time", times(2), {"long_name": "time"}),
        },
        {"Conventions": "CF-1.6", "history": "2023-01-01 GMT by grib_to_netcdf-2.25.1"},
    )
    ds["tp"].encoding = {"dtype": "int16", "scale_factor": 1e-7, "_FillValue": -32767}
    return ds


def era5_cds_new():
    """ERA5 as the Climate Data Store makes netCDF since 2024."""
    lat, lon = np.arange(52.5, 49.4, -0.25), np.arange(4.0, 8.1, 0.25)
    order = ("valid_time", "latitude", "longitude")
    return xr.Dataset(
        {"tp": field("rain", lat, lon, order, TP, 1e-3, valid_time=2)},
        {
            "number": ((), np.int64(0), NUMBER),
            "valid_time": ("valid_time", times(2), VALID_TIME),
            "latitude": ("latitude", lat, LAT | {"stored_direction": "decreasing"}),
            "longitude": ("longitude", lon, LON),
            "expver": ("valid_time", np.array(["0001", "0005"])),
        },
        {"GRIB_centre": "ecmf", "Conventions": "CF-1.7"},
    )


def era5_land():
    """ERA5-Land: tenths of a degree, missing over the sea."""
    lat, lon = np.round(np.arange(52.0, 50.9, -0.1), 1), np.round(np.arange(3.0, 4.6, 0.1), 1)
    attrs = {"units": "K", "long_name": "2 metre temperature", "GRIB_shortName": "2t"}
    da = field("t2m", lat, lon, ("valid_time", "latitude", "longitude"), attrs, valid_time=2)
    sea = (lon < 3.55) & (lat[:, None] > 51.55)
    return xr.Dataset(
        {"t2m": (da.dims, np.where(sea, np.nan, da.values).astype("f4"), attrs)},
        {
            "valid_time": ("valid_time", times(2), VALID_TIME),
            "latitude": ("latitude", lat, LAT),
            "longitude": ("longitude", lon, LON),
        },
    )


def cfgrib_single_level():
    """One time of one field 2 m above the ground, by cfgrib."""
    lat, lon = np.arange(55.0, 44.9, -0.5), np.arange(0.0, 10.1, 0.5)
    attrs = {"GRIB_paramId": 167, "GRIB_stepType": "instant", "units": "K"}
    attrs |= {"long_name": "2 metre temperature", "standard_name": "air_temperature"}
    return xr.Dataset(
        {"t2m": field("t2m", lat, lon, ("latitude", "longitude"), attrs)},
        {
            "time": ((), MIDNIGHT, GRIB_TIME),
            "step": ((), np.timedelta64(0, "ns"), STEP),
            "heightAboveGround": ((), 2.0, {"units": "m", "positive": "up"}),
            "latitude": ("latitude", lat, LAT | {"stored_direction": "decreasing"}),
            "longitude": ("longitude", lon, LON),
            "valid_time": ((), MIDNIGHT, VALID_TIME),
        },
    )


def on_levels(quantity, levels, make):
    """Stack a quantity at 850 and 500 hPa among other levels, which are far from both."""
    known = {850: make(f"{quantity}850"), 500: make(f"{quantity}500")}
    other = known[850].copy(data=np.full_like(known[850].values, 1.0))
    return np.stack([known.get(round(level), other).values for level in levels])


def cfgrib_levels():
    """Pressure levels by cfgrib."""
    lat, lon = np.arange(55.0, 44.9, -0.5), np.arange(0.0, 10.1, 0.5)
    levels = np.array([1000.0, 850.0, 700.0, 500.0])
    order = ("isobaricInhPa", "latitude", "longitude")

    def of(quantity):
        return on_levels(quantity, levels, lambda name: field(name, lat, lon, order[1:], {}))

    t = {"units": "K", "long_name": "Temperature", "standard_name": "air_temperature"}
    z = {"units": "m**2 s**-2", "long_name": "Geopotential", "standard_name": "geopotential"}
    return xr.Dataset(
        {"z": (order, of("z"), z), "t": (order, of("t"), t)},
        {
            "time": ((), MIDNIGHT, GRIB_TIME),
            "step": ((), 6 * HOUR.astype("m8[ns]"), STEP),
            "isobaricInhPa": ("isobaricInhPa", levels, HPA),
            "latitude": ("latitude", lat, LAT | {"stored_direction": "decreasing"}),
            "longitude": ("longitude", lon, LON),
            "valid_time": ((), MIDNIGHT + 6 * HOUR, VALID_TIME),
        },
    )


def cfgrib_ensemble():
    """An ensemble by cfgrib: two members, one time, two steps."""
    lat, lon = np.arange(55.0, 44.9, -0.5), np.arange(0.0, 10.1, 0.5)
    steps = np.array([6, 12]) * HOUR.astype("m8[ns]")
    attrs = {"units": "K", "long_name": "2 metre temperature", "standard_name": "unknown"}
    order = ("number", "step", "latitude", "longitude")
    return xr.Dataset(
        {"t2m": field("t2m", lat, lon, order, attrs, number=2, step=2)},
        {
            "number": ("number", [1, 2], NUMBER),
            "time": ((), MIDNIGHT, GRIB_TIME),
            "step": ("step", steps, STEP),
            "heightAboveGround": ((), 2.0),
            "latitude": ("latitude", lat, LAT),
            "longitude": ("longitude", lon, LON),
            "valid_time": ("step", MIDNIGHT + steps, VALID_TIME),
        },
    )


def cfgrib_forecast():
    """Rain of a forecast by cfgrib, accumulated since its start, at 6, 12 and 18 h."""
    lat, lon = np.arange(52.5, 49.4, -0.25), np.arange(4.0, 8.1, 0.25)
    steps = np.array([6, 12, 18]) * HOUR.astype("m8[ns]")
    rate = field("rain", lat, lon, ("step", "latitude", "longitude"), TP, 6e-3, step=3)
    return xr.Dataset(
        {"tp": rate.copy(data=np.cumsum(rate.values, axis=0, dtype="f4"))},
        {
            "number": ((), 0, NUMBER),
            "time": ((), MIDNIGHT, GRIB_TIME),
            "step": ("step", steps, STEP),
            "surface": ((), 0.0),
            "latitude": ("latitude", lat, LAT),
            "longitude": ("longitude", lon, LON),
            "valid_time": ("step", MIDNIGHT + steps, VALID_TIME),
        },
    )


def gfs_cfgrib():
    """GFS by cfgrib: a band round the earth, from 0 to 359.75 degrees, north up."""
    lat, lon = np.arange(52.5, 49.4, -0.25), np.arange(0.0, 360.0, 0.25)
    attrs = {"units": "kg m**-2 s**-1", "long_name": "Precipitation rate"}
    attrs |= {"standard_name": "unknown", "GRIB_stepType": "instant", "GRIB_typeOfLevel": "surface"}
    return xr.Dataset(
        {"prate": field("rain", lat, lon, ("latitude", "longitude"), attrs, 1 / 3600)},
        {
            "time": ((), MIDNIGHT, GRIB_TIME),
            "step": ((), 6 * HOUR.astype("m8[ns]"), STEP),
            "surface": ((), 0.0),
            "latitude": ("latitude", lat, LAT),
            "longitude": ("longitude", lon, LON),
            "valid_time": ((), MIDNIGHT + 6 * HOUR, VALID_TIME),
        },
    )


def gfs_nomads():
    """GFS from NOMADS by OPeNDAP: names of GrADS, no units but in the long name."""
    lat, lon = np.arange(49.5, 52.6, 0.25), np.arange(4.0, 8.1, 0.25)
    attrs = {"long_name": "** surface precipitation rate [kg/m^2/s] "}
    grads = {"grads_dim": "y", "grads_mapping": "linear", "resolution": 0.25}
    return xr.Dataset(
        {"pratesfc": field("rain", lat, lon, ("time", "lat", "lon"), attrs, 1 / 3600, time=2)},
        {
            "time": ("time", times(2, 3 * HOUR), {"grads_dim": "t", "long_name": "time"}),
            "lat": ("lat", lat, {"units": "degrees_north", "long_name": "latitude"} | grads),
            "lon": ("lon", lon, {"units": "degrees_east", "long_name": "longitude"}),
        },
    )


def seasonal_hindcast():
    """A seasonal hindcast from the Climate Data Store: starts, members, steps of days, 1 degree."""
    lat, lon = np.arange(60.0, 39.9, -1.0), np.arange(0.0, 21.0)
    starts = np.array(["2003-05-01", "2004-05-01"], "M8[ns]")
    steps = np.array([1, 2]) * DAY.astype("m8[ns]")
    order = ("number", "forecast_reference_time", "step", "latitude", "longitude")
    attrs = {"units": "K", "long_name": "2 metre temperature", "standard_name": "unknown"}
    sizes = {"number": 2, "forecast_reference_time": 2, "step": 2}
    reference = {"standard_name": "forecast_reference_time", "long_name": "initial time"}
    valid = (("forecast_reference_time", "step"), starts[:, None] + steps, VALID_TIME)
    return xr.Dataset(
        {"t2m": field("t2m", lat, lon, order, attrs, **sizes)},
        {
            "number": ("number", [0, 1], NUMBER),
            "forecast_reference_time": ("forecast_reference_time", starts, reference),
            "step": ("step", steps, STEP),
            "latitude": ("latitude", lat, LAT),
            "longitude": ("longitude", lon, LON),
            "valid_time": valid,
        },
    )


def weatherbench():
    """WeatherBench 2: longitude before latitude, levels in hPa without units."""
    lat, lon = np.arange(30.0, 61.0, 1.5), np.arange(0.0, 31.0, 1.5)
    levels = np.array([500, 700, 850])
    steps = np.array([0, 6]) * HOUR.astype("m8[ns]")
    order = ("time", "prediction_timedelta", "level", "longitude", "latitude")
    sizes = {"time": 2, "prediction_timedelta": 2}

    def of(quantity):
        sides = ("time", "prediction_timedelta", "latitude", "longitude")
        stacked = on_levels(quantity, levels, lambda n: field(n, lat, lon, sides, {}, **sizes))
        return np.moveaxis(stacked, 0, 2).swapaxes(3, 4)

    return xr.Dataset(
        {
            "temperature": (order, of("t"), {"units": "K", "long_name": "Temperature"}),
            "geopotential": (order, of("z"), {"units": "m**2 s**-2"}),
        },
        {
            "latitude": lat,
            "longitude": lon,
            "level": levels,
            "time": times(2, 12 * HOUR),
            "prediction_timedelta": steps,
        },
    )
