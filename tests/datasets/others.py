"""Observations, maps and odd ones: E-OBS, IMERG, radars, rasters, stations, plain fields."""

from collections.abc import Hashable

import cftime
import numpy as np
import pyproj
import xarray as xr

from tests.datasets.weather import (
    DAY,
    HOUR,
    LAT,
    LON,
    MIDNIGHT,
    VALID_TIME,
    around,
    field,
    pairs,
    planes,
    times,
)


def met_nordic(undecoded=True):
    """A forecast of MET Nordic: a Lambert map of 1 km, whose first amounts are undecoded fills."""
    crs = "+proj=lcc +lat_0=63 +lon_0=15 +lat_1=63 +lat_2=63 +no_defs +R=6.371e+06"
    y, x = 1e3 * np.arange(-300.0, -240.0), 1e3 * np.arange(-200.0, -130.0)
    lat, lon = planes(crs, y, x)
    attrs = {
        "standard_name": "precipitation_amount",
        "units": "mm",
        "grid_mapping": "projection_lcc",
    }
    rain = field("rain", lat, lon, ("time", "y", "x"), attrs, time=2)
    if undecoded:
        rain.values[0] = 9.96921e36
    mapping = {
        "grid_mapping_name": "lambert_conformal_conic",
        "standard_parallel": [63.0, 63.0],
        "longitude_of_central_meridian": 15.0,
        "latitude_of_projection_origin": 63.0,
        "earth_radius": 6371000.0,
        "proj4": crs,
    }
    return xr.Dataset(
        {
            "precipitation_amount": rain,
            "projection_lcc": ((), np.int32(0), mapping),
            "forecast_reference_time": ((), MIDNIGHT, {"standard_name": "forecast_reference_time"}),
        },
        {
            "time": ("time", times(2), {"standard_name": "time", "long_name": "time"}),
            "x": ("x", x, {"standard_name": "projection_x_coordinate", "units": "m"}),
            "y": ("y", y, {"standard_name": "projection_y_coordinate", "units": "m"}),
            "latitude": (("y", "x"), lat, LAT),
            "longitude": (("y", "x"), lon, LON),
        },
    )


def e_obs():
    """E-OBS: daily rain on tenths of a degree, missing over the sea and in the rows beyond."""
    lat, lon = 50.05 + 0.1 * np.arange(21), 3.05 + 0.1 * np.arange(25)
    attrs = {
        "units": "mm",
        "long_name": "rainfall",
        "standard_name": "thickness_of_rainfall_amount",
    }
    rain = field("rain", lat, lon, ("time", "latitude", "longitude"), attrs, 24.0, time=2)
    rain.values[:, (lat[:, None] > 51.2) & (lon < 4.0)] = np.nan
    return xr.Dataset(
        {"rr": rain},
        {
            "time": ("time", times(2, DAY), {"standard_name": "time", "long_name": "Time in days"}),
            "latitude": ("latitude", lat, LAT | {"axis": "Y"}),
            "longitude": ("longitude", lon, LON | {"axis": "X"}),
        },
        {"E-OBS_version": "29.0e", "Conventions": "CF-1.4"},
    )


def imerg():
    """IMERG: longitude before latitude, in years of Julius Caesar, with bounds."""
    lat, lon = (49.55 + 0.1 * np.arange(20)).astype("f4"), (4.05 + 0.1 * np.arange(25)).astype("f4")
    when = np.array([cftime.DatetimeJulian(2024, 7, 1, 0, m) for m in (0, 30)])
    half = when[1] - when[0]
    attrs = {"units": "mm/hr", "DimensionNames": "time,lon,lat", "coordinates": "time lon lat"}
    return xr.Dataset(
        {
            "precipitation": field(
                "rain", lat, lon, ("time", "lat", "lon"), attrs, time=2
            ).transpose("time", "lon", "lat"),
            "time_bnds": (("time", "nv"), np.array([[t, t + half] for t in when])),
            "lat_bnds": (("lat", "latv"), around(lat)),
            "lon_bnds": (("lon", "lonv"), around(lon)),
        },
        {
            "time": ("time", when, VALID_TIME | {"axis": "T", "bounds": "time_bnds"}),
            "lon": ("lon", lon, LON | {"axis": "X", "bounds": "lon_bnds"}),
            "lat": ("lat", lat, LAT | {"axis": "Y", "bounds": "lat_bnds"}),
        },
    )


RADOLAN = "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +x_0=0 +y_0=0 +R=6370040"


def radolan():
    """RADOLAN as netCDF: a polar stereographic map in km, latitudes by a plural name."""
    y, x = np.arange(-4400.0, -4310.0, 1.0), np.arange(-150.0, -50.0, 1.0)
    lat, lon = planes(RADOLAN, 1e3 * y, 1e3 * x)
    mapping = {
        "grid_mapping_name": "polar_stereographic",
        "straight_vertical_longitude_from_pole": 10.0,
        "latitude_of_projection_origin": 90.0,
        "standard_parallel": 60.0,
        "false_easting": 0.0,
        "false_northing": 0.0,
        "earth_radius": 6370040.0,
    }
    side = {"units": "km", "long_name": "x coordinate of projection"}
    attrs = {"units": "mm h-1", "standard_name": "rainfall_rate", "grid_mapping": "RADOLAN_grid"}
    return xr.Dataset(
        {
            "rainfall_rate": field("rain", lat, lon, ("time", "y", "x"), attrs, time=1),
            "RADOLAN_grid": ((), b"", mapping),
        },
        {
            "x": ("x", x, side | {"standard_name": "projection_x_coordinate"}),
            "y": ("y", y, side | {"standard_name": "projection_y_coordinate"}),
            "latitudes": (("y", "x"), lat, {"units": "degrees_north", "long_name": "latitude"}),
            "longitudes": (("y", "x"), lon, {"units": "degrees_east", "long_name": "longitude"}),
            "time": ("time", times(1), VALID_TIME),
        },
    )


def hyras():
    """HYRAS: daily rain on a Lambert map of 5 km, summed over time as its bounds say."""
    y, x = 2.7e6 + 5e3 * np.arange(36), 4.1e6 + 5e3 * np.arange(40)
    lat, lon = planes("EPSG:3034", y, x)
    mapping = {key: v for key, v in pyproj.CRS("EPSG:3034").to_cf().items() if key != "crs_wkt"}
    side = {"units": "m", "long_name": "y coordinate of projection"}
    attrs = {"units": "mm", "standard_name": "thickness_of_rainfall_amount"}
    attrs |= {
        "cell_methods": "time: sum",
        "grid_mapping": "crs",
        "long_name": "Daily Precipitation",
    }
    return xr.Dataset(
        {
            "pr": field("rain", lat, lon, ("time", "y", "x"), attrs, 24.0, time=2),
            "crs": ((), np.int32(0), mapping),
            "time_bnds": (("time", "bnds"), pairs(times(3, DAY) + 6 * HOUR)),
        },
        {
            "y": ("y", y, side | {"standard_name": "projection_y_coordinate", "axis": "Y"}),
            "x": ("x", x, side | {"standard_name": "projection_x_coordinate", "axis": "X"}),
            "lat": (("y", "x"), lat, LAT),
            "lon": (("y", "x"), lon, LON),
            "time": ("time", times(2, DAY) + 18 * HOUR, VALID_TIME | {"bounds": "time_bnds"}),
        },
    )


def rioxarray_utm():
    """A map as rioxarray writes it: no attributes on x and y, the projection as text alone."""
    y, x = 5.75e6 - 15e3 * np.arange(12), 3.5e5 + 15e3 * np.arange(13)
    lat, lon = planes("EPSG:32632", y, x)
    wkt = pyproj.CRS("EPSG:32632").to_wkt()
    mapping = {"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": "342500.0 15000.0 0.0 5757500.0"}
    da = field("rain", lat, lon, ("y", "x"), {"units": "mm/h"})
    ds = xr.Dataset({"precip_rate": da}, {"y": y, "x": x, "spatial_ref": ((), 0, mapping)})
    ds["precip_rate"].encoding["grid_mapping"] = "spatial_ref"
    return ds


def polar():
    """A polar stereographic map about the pole in km, as of sea ice."""
    proj4 = "+proj=stere +a=6378273 +b=6356889.44891 +lat_0=90 +lat_ts=70 +lon_0=-45"
    y, x = 500.0 - 25.0 * np.arange(41), -500.0 + 25.0 * np.arange(41)
    lat, lon = planes(proj4, 1e3 * y, 1e3 * x)
    mapping = {
        "grid_mapping_name": "polar_stereographic",
        "straight_vertical_longitude_from_pole": -45.0,
        "latitude_of_projection_origin": 90.0,
        "standard_parallel": 70.0,
        "false_easting": 0.0,
        "false_northing": 0.0,
        "semi_major_axis": 6378273.0,
        "semi_minor_axis": 6356889.44891,
        "proj4_string": proj4,
    }
    attrs = {"units": "K", "grid_mapping": "Polar_Stereographic_Grid"}
    return xr.Dataset(
        {
            "t2m": field("t2m", lat, lon, ("time", "yc", "xc"), attrs, time=1),
            "Polar_Stereographic_Grid": ((), np.int32(0), mapping),
        },
        {
            "xc": ("xc", x, {"units": "km", "standard_name": "projection_x_coordinate"}),
            "yc": ("yc", y, {"units": "km", "standard_name": "projection_y_coordinate"}),
            "lat": (("yc", "xc"), lat, LAT),
            "lon": (("yc", "xc"), lon, LON),
            "time": ("time", times(1), VALID_TIME),
        },
    )


def icon():
    """Native output of ICON: cells, their centres in radians."""
    n = 80
    clat, clon = np.linspace(0.8, 0.95, n), np.linspace(0.05, 0.2, n)
    attrs = {"standard_name": "precipitation_flux", "units": "kg m-2 s-1"}
    attrs |= {"CDI_grid_type": "unstructured", "number_of_grid_in_reference": 1}
    return xr.Dataset(
        {
            "pr": (("time", "ncells"), np.full((2, n), 1e-3, "f4"), attrs),
            "clat_bnds": (("ncells", "vertices"), np.zeros((n, 3))),
            "clon_bnds": (("ncells", "vertices"), np.zeros((n, 3))),
        },
        {
            "time": ("time", times(2), VALID_TIME),
            "clat": (
                "ncells",
                clat,
                {"standard_name": "latitude", "units": "radian", "bounds": "clat_bnds"},
            ),
            "clon": (
                "ncells",
                clon,
                {"standard_name": "longitude", "units": "radian", "bounds": "clon_bnds"},
            ),
        },
    )


def healpix():
    """HEALPix as of the hackathons of km-scale models: cells without any coordinate."""
    crs = {"grid_mapping_name": "healpix", "healpix_nside": 4, "healpix_order": "nest"}
    attrs = {"standard_name": "precipitation_flux", "units": "kg m-2 s-1", "grid_mapping": "crs"}
    return xr.Dataset(
        {"pr": (("time", "cell"), np.full((2, 192), 1e-3, "f4"), attrs)},
        {"time": ("time", times(2), VALID_TIME), "crs": ("crs", [np.nan], crs)},
    )


def stations():
    """Stations: a discrete sampling geometry of CF."""
    attrs = {"units": "mm h-1", "coordinates": "lat lon"}
    return xr.Dataset(
        {"precip_rate": (("station", "time"), np.ones((5, 3), "f4"), attrs)},
        {
            "lat": ("station", np.linspace(50, 52, 5), LAT),
            "lon": ("station", np.linspace(4, 8, 5), LON),
            "station_id": ("station", np.array(list("abcde")), {"cf_role": "timeseries_id"}),
            "time": ("time", times(3), VALID_TIME),
        },
    )


def globe(quantity="t2m", step=5.0, start=0.0, name=None, units="K", **attrs):
    """Return a field on all of the earth, cells between the poles, from a meridian on."""
    lat = np.arange(-90 + step / 2, 90, step)
    lon = start + np.arange(0.0, 360.0, step)
    da = field(quantity, lat, lon, ("time", "lat", "lon"), {"units": units} | attrs, time=1)
    coords = {"time": times(1), "lat": ("lat", lat, LAT), "lon": ("lon", lon, LON)}
    return xr.Dataset({name or quantity: da}, coords)


def satellite():
    """A field of all the earth that ends short of the poles."""
    ds = globe(start=-177.5)
    return ds.where(abs(ds.lat) < 60)


def level_by_level():
    """One variable for each level, as of many archives of training data."""
    ds = xr.Dataset()
    for name, units in (("t850", "K"), ("t500", "K"), ("z850", "m2 s-2"), ("z500", "m2 s-2")):
        ds[name] = globe(name, units=units)[name]
    return ds


def many_units():
    """Quantities in everyday units."""
    lat, lon = np.arange(40.5, 60.0), np.arange(0.5, 20.0)
    order = ("time", "lat", "lon")
    variables = {
        "tas": field("t2m", lat, lon, order, {"units": "°C"}, offset=-273.15, time=1),
        "uas": field("u10", lat, lon, order, {"units": "km/h"}, 3.6, time=1),
        "psl": field("msl", lat, lon, order, {"units": "hPa"}, 0.01, time=1),
        "hus850": field("q850", lat, lon, order, {"units": "g/kg"}, 1e3, time=1),
        "hur850": field("r850", lat, lon, order, {"units": "%"}, 100.0, time=1),
    }
    return xr.Dataset(variables, {"time": times(1), "lat": lat, "lon": lon})


def plain_rain(variable: Hashable = "precip_rate", units="mm/h", lat0=50.0, lon0=4.0):
    """Rain on fifteen hundredths of a degree, which suits a model of 12 to 20 km as it is."""
    lat, lon = lat0 + 0.15 * np.arange(12), lon0 + 0.2 * np.arange(12)
    da = field("rain", lat, lon, ("time", "lat", "lon"), {"units": units}, time=2)
    return xr.Dataset({variable: da}, {"time": times(2), "lat": lat, "lon": lon})
