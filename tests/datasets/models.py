"""Climate models and regional models: CMIP6, CORDEX, WRF, HARMONIE."""

import cftime
import numpy as np
import xarray as xr

from tests.datasets.forecasts import on_levels
from tests.datasets.weather import (
    DAY,
    HOUR,
    LAT,
    LON,
    POLE,
    VALID_TIME,
    G,
    around,
    field,
    pairs,
    planes,
    rotated,
    times,
)


def cmip6_atmos(dtype=cftime.DatetimeNoLeap):
    """Pressure levels of CMIP6: a Gaussian grid with bounds, levels in Pa, members by name."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    lat, lon = np.degrees(np.arcsin(nodes)), np.arange(0.0, 360.0, 2.8125)
    edges = np.degrees(np.arcsin(np.clip(np.cumsum([-1, *weights]), -1, 1)))
    plev = np.array([100000.0, 92500.0, 85000.0, 70000.0, 50000.0, 25000.0])
    days = np.array([dtype(2050, 7, 16, 12), dtype(2050, 8, 16, 12)])
    months = np.array([[dtype(2050, m, 1), dtype(2050, m + 1, 1)] for m in (7, 8)])
    order = ("member_id", "time", "plev", "lat", "lon")
    sides = ("member_id", "time", "lat", "lon")

    def of(quantity, factor=1.0):
        stacked = on_levels(
            quantity,
            plev / 100,
            lambda name: field(name, lat, lon, sides, {}, factor, member_id=2, time=2),
        )
        return np.moveaxis(stacked, 0, 2)

    methods = {"cell_methods": "time: mean", "cell_measures": "area: areacella"}
    ta = {"standard_name": "air_temperature", "units": "K", "long_name": "Air Temperature"}
    zg = {"standard_name": "geopotential_height", "units": "m"}
    axis = {"units": "Pa", "axis": "Z", "positive": "down", "standard_name": "air_pressure"}
    return xr.Dataset(
        {
            "ta": (order, of("t"), ta | methods),
            "zg": (order, of("z", 1 / G), zg | methods),
            "lat_bnds": (("lat", "bnds"), pairs(edges)),
            "lon_bnds": (("lon", "bnds"), around(lon)),
            "time_bnds": (("time", "bnds"), months),
        },
        {
            "time": ("time", days, {"axis": "T", "standard_name": "time", "bounds": "time_bnds"}),
            "plev": ("plev", plev, axis),
            "lat": ("lat", lat, LAT | {"axis": "Y", "bounds": "lat_bnds"}),
            "lon": ("lon", lon, LON | {"axis": "X", "bounds": "lon_bnds"}),
            "member_id": ("member_id", np.array(["r1i1p1f1", "r2i1p1f1"], object)),
        },
        {"Conventions": "CF-1.7 CMIP-6.2", "grid_label": "gn", "table_id": "Amon"},
    )


def cmip6_rain():
    """Rain of a high-resolution model of CMIP6, on 25 km and in years of 360 days."""
    lat, lon = np.linspace(49.0, 52.0, 13) + 0.117, np.arange(3.5, 8.5, 0.351562)
    days = np.array([cftime.Datetime360Day(2050, 2, 29), cftime.Datetime360Day(2050, 2, 30)])
    bounds = np.array([[d, d + (days[1] - days[0])] for d in days])
    attrs = {"standard_name": "precipitation_flux", "units": "kg m-2 s-1"}
    attrs |= {"cell_methods": "area: time: mean", "long_name": "Precipitation"}
    return xr.Dataset(
        {
            "pr": field("rain", lat, lon, ("time", "lat", "lon"), attrs, 1 / 3600, time=2),
            "lat_bnds": (("lat", "bnds"), around(lat)),
            "lon_bnds": (("lon", "bnds"), around(lon)),
            "time_bnds": (("time", "bnds"), bounds),
        },
        {
            "time": ("time", days, {"axis": "T", "standard_name": "time", "bounds": "time_bnds"}),
            "lat": ("lat", lat, LAT | {"axis": "Y", "bounds": "lat_bnds"}),
            "lon": ("lon", lon, LON | {"axis": "X", "bounds": "lon_bnds"}),
        },
    )


def cmip6_ocean():
    """Sea surface temperature of CMIP6 on a curved grid, missing over land, corners beside it."""
    rlat, rlon = np.arange(-10.0, 10.5, 1.0), np.arange(-12.0, 12.5, 1.0)
    lat, lon = rotated(rlat, rlon)
    corner_lat, corner_lon = rotated(np.arange(-10.5, 11.0, 1.0), np.arange(-12.5, 13.0, 1.0))

    def corners(at):
        return np.stack([at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]], axis=-1)

    attrs = {"standard_name": "sea_surface_temperature", "units": "degC"}
    da = field("sst", lat, lon, ("time", "j", "i"), attrs, offset=-273.15, time=2)
    land = lat > 54
    index = {"units": "1", "long_name": "cell index along second dimension"}
    return xr.Dataset(
        {
            "tos": (da.dims, np.where(land, np.nan, da.values).astype("f4"), attrs),
            "vertices_latitude": (("j", "i", "vertices"), corners(corner_lat)),
            "vertices_longitude": (("j", "i", "vertices"), corners(corner_lon) % 360),
        },
        {
            "j": ("j", np.arange(rlat.size), index),
            "i": ("i", np.arange(rlon.size), index),
            "latitude": (("j", "i"), lat, LAT | {"bounds": "vertices_latitude"}),
            "longitude": (("j", "i"), lon % 360, LON | {"bounds": "vertices_longitude"}),
            "time": ("time", times(2, DAY), VALID_TIME | {"axis": "T"}),
        },
    )


def cordex():
    """Rain of EURO-CORDEX at 0.11 degrees of a rotated pole, with its true latitudes beside it."""
    rlat, rlon = (
        np.round(np.arange(0.055, 1.3, 0.11), 3),
        np.round(np.arange(-9.955, -8.6, 0.11), 3),
    )
    lat, lon = rotated(rlat, rlon)
    attrs = {
        "standard_name": "precipitation_flux",
        "units": "kg m-2 s-1",
        "long_name": "Precipitation",
    }
    attrs |= {"cell_methods": "time: mean", "grid_mapping": "rotated_pole"}
    side = {"units": "degrees", "long_name": "latitude in rotated pole grid", "axis": "Y"}
    return xr.Dataset(
        {
            "pr": field("rain", lat, lon, ("time", "rlat", "rlon"), attrs, 1 / 3600, time=2),
            "rotated_pole": ((), b"", POLE),
            "time_bnds": (("time", "bnds"), pairs(times(3, DAY))),
        },
        {
            "rlat": ("rlat", rlat, side | {"standard_name": "grid_latitude"}),
            "rlon": ("rlon", rlon, side | {"standard_name": "grid_longitude", "axis": "X"}),
            "lat": (("rlat", "rlon"), lat, LAT),
            "lon": (("rlat", "rlon"), lon, LON),
            "time": ("time", times(2, DAY) + 12 * HOUR, VALID_TIME | {"bounds": "time_bnds"}),
        },
    )


ALADIN = "+proj=lcc +lat_1=49.5 +lat_0=49.5 +lon_0=10.5 +x_0=2925000 +y_0=2925000 +R=6371229"


def aladin():
    """EURO-CORDEX by ALADIN: a Lambert map in km, whose false origin is in the wrong unit."""
    y, x = np.arange(2800.0, 2951.0, 12.5), np.arange(2600.0, 2751.0, 12.5)
    lat, lon = planes(ALADIN, 1e3 * y, 1e3 * x)
    mapping = {
        "grid_mapping_name": "lambert_conformal_conic",
        "standard_parallel": 49.5,
        "longitude_of_central_meridian": 10.5,
        "latitude_of_projection_origin": 49.5,
        "false_easting": 2925000.0,
        "false_northing": 2925000.0,
    }
    attrs = {"standard_name": "precipitation_flux", "units": "kg m-2 s-1"}
    attrs |= {"grid_mapping": "Lambert_Conformal", "cell_methods": "time: mean"}
    side = {"units": "km", "long_name": "y coordinate of projection"}
    return xr.Dataset(
        {
            "pr": field("rain", lat, lon, ("time", "y", "x"), attrs, 1 / 3600, time=2),
            "Lambert_Conformal": ((), np.int32(0), mapping),
        },
        {
            "y": ("y", y, side | {"standard_name": "projection_y_coordinate", "axis": "Y"}),
            "x": ("x", x, side | {"standard_name": "projection_x_coordinate", "axis": "X"}),
            "lat": (("y", "x"), lat, LAT),
            "lon": (("y", "x"), lon, LON),
            "time": ("time", times(2, DAY), VALID_TIME),
        },
    )


def wrf(n=2):
    """A raw wrfout file: attributes that are not CF, coordinates with time, staggered winds."""
    crs = "+proj=lcc +lat_1=30 +lat_2=60 +lat_0=50 +lon_0=6 +R=6370000"
    y, x = 15e3 * (np.arange(16) - 7.5), 15e3 * (np.arange(18) - 8.5)
    grid = planes(crs, y, x)
    wide = planes(crs, y, 15e3 * (np.arange(19) - 9))
    order = ("Time", "south_north", "west_east")

    def told(description, units, stagger=""):
        return {
            "FieldType": 104,
            "MemoryOrder": "XY ",
            "description": description,
            "units": units,
            "stagger": stagger,
        }

    def always(values):
        return np.stack([values.astype("f4")] * n)

    north, east = (
        told("LATITUDE, SOUTH IS NEGATIVE", "degree_north"),
        told("LONGITUDE", "degree_east"),
    )
    stag = ("Time", "south_north", "west_east_stag")
    rain = field(
        "rain", *grid, order, told("ACCUMULATED TOTAL GRID SCALE PRECIPITATION", "mm"), Time=n
    )
    return xr.Dataset(
        {
            "Times": ("Time", np.array([f"2024-07-01_0{i}:00:00" for i in range(n)], "S19")),
            "T2": field("t2m", *grid, order, told("TEMP at 2 M", "K"), Time=n),
            "RAINNC": rain.copy(data=np.cumsum(rain.values, axis=0) - rain.values),
            "U": (("Time", "bottom_top", *stag[1:]), np.ones((n, 3, 16, 19), "f4")),
        },
        {
            "XLAT": (order, always(grid[0]), north),
            "XLONG": (order, always(grid[1]), east),
            "XLAT_U": (stag, always(wide[0]), north),
            "XLONG_U": (stag, always(wide[1]), east),
            "XTIME": ("Time", times(n), {"description": "minutes since 2024-07-01 00:00:00"}),
        },
        {"TITLE": " OUTPUT FROM WRF V4.4 MODEL", "MAP_PROJ": 1, "TRUELAT1": 30.0, "TRUELAT2": 60.0},
    )


HARMONIE = "+proj=lcc +lat_1=40 +lat_2=40 +lat_0=40 +lon_0=357.5 +R=6367470 +x_0=704556 +y_0=584635"


def harmonie():
    """HARMONIE-AROME as its GRIB becomes netCDF: a Lambert map without latitudes, at a height."""
    y, x = 585e3 + 2500.0 * np.arange(60), 705e3 + 2500.0 * np.arange(64)
    mapping = {
        "grid_mapping_name": "lambert_conformal_conic",
        "standard_parallel": 40.0,
        "longitude_of_central_meridian": 357.5,
        "latitude_of_projection_origin": 40.0,
        "earth_radius": 6367470.0,
        "false_easting": 704556.0,
        "false_northing": 584635.0,
    }
    attrs = {"standard_name": "air_temperature", "units": "K", "grid_mapping": "Lambert_Conformal"}
    order = ("time", "height", "y", "x")
    height = {"standard_name": "height", "units": "m", "positive": "up", "axis": "Z"}
    lat, lon = planes(HARMONIE, y, x)
    return xr.Dataset(
        {
            "t2m": field("t2m", lat, lon, order, attrs, time=2, height=1),
            "Lambert_Conformal": ((), np.int32(0), mapping),
        },
        {
            "time": ("time", times(2), {"standard_name": "time", "axis": "T"}),
            "x": ("x", x, {"standard_name": "projection_x_coordinate", "units": "m", "axis": "X"}),
            "y": ("y", y, {"standard_name": "projection_y_coordinate", "units": "m", "axis": "Y"}),
            "height": ("height", [2.0], height),
        },
    )
