"""Datasets laid out as the files of this field are, small and filled with ones."""

from collections.abc import Hashable
from dataclasses import dataclass, field

import cftime
import numpy as np
import xarray as xr

DAYS = np.array(["2024-01-01", "2024-01-02"], "M8[ns]")
LAT = {"standard_name": "latitude", "units": "degrees_north", "long_name": "latitude"}
LON = {"standard_name": "longitude", "units": "degrees_east", "long_name": "longitude"}
TIME = {"standard_name": "time", "long_name": "time"}
GRIB_TIME = {"standard_name": "time", "long_name": "initial time of forecast"}
STEP = {"standard_name": "forecast_period", "long_name": "time since forecast_reference_time"}
NUMBER = {"standard_name": "realization", "units": "1"}
HPA = {"standard_name": "air_pressure", "units": "hPa", "positive": "down"}
PA = {"standard_name": "air_pressure", "units": "Pa", "positive": "down", "axis": "Z"}


@dataclass
class Layout:
    """A Dataset and what is to be found in it."""

    ds: xr.Dataset
    y: Hashable
    x: Hashable
    dims: tuple[Hashable, Hashable]
    kind: str = "latlon"
    grid_mapping: Hashable | None = None
    geographic: tuple[Hashable, Hashable] | None = None
    roles: dict[str, Hashable] = field(default_factory=dict)


def ones(dims, sizes, **attrs):
    return dims, np.ones([sizes[dim] for dim in dims], np.float32), attrs


def dataset(variables, coords, **sizes):
    """Make a Dataset of variables given by their dimensions, or dimensions and attributes."""
    skeleton = xr.Dataset(coords=coords)
    sizes = {**skeleton.sizes, **sizes}
    given = {n: v if isinstance(v[-1], dict) else (v, {}) for n, v in variables.items()}
    return skeleton.assign({n: ones(dims, sizes, **attrs) for n, (dims, attrs) in given.items()})


def latitudes(y="latitude", x="longitude"):
    return {y: (y, [52.0, 51.0, 50.0], LAT), x: (x, [0.0, 1.0, 2.0, 3.0], LON)}


def plane(dims, y="lat", x="lon", **attrs):
    """Make two-dimensional latitude and longitude."""
    lat, lon = np.meshgrid([50.0, 51.0, 52.0], [0.0, 1.0, 2.0, 3.0], indexing="ij")
    return {y: (dims, lat, LAT | attrs), x: (dims, lon, LON)}


def era5_old():
    units = {"units": "degrees_north", "long_name": "latitude"}
    coords = {
        "longitude": ("longitude", [0.0, 0.25, 0.5], {"units": "degrees_east"}),
        "latitude": ("latitude", [51.0, 50.75], units),
        "level": ("level", [500, 850], {"units": "millibars", "long_name": "pressure_level"}),
        "time": ("time", DAYS, {"long_name": "time"}),
    }
    ds = dataset({"t": ("time", "level", "latitude", "longitude")}, coords)
    dims = ("latitude", "longitude")
    return Layout(ds, *dims, dims, roles={"time": "time", "pressure": "level"})


def era5_new():
    coords = latitudes() | {
        "number": ((), 0, NUMBER),
        "valid_time": ("valid_time", DAYS, TIME),
        "pressure_level": ("pressure_level", [850.0, 500.0], HPA),
        "expver": ("valid_time", ["0001", "0005"]),
    }
    ds = dataset({"t": ("valid_time", "pressure_level", "latitude", "longitude")}, coords)
    dims = ("latitude", "longitude")
    roles = {"time": "valid_time", "realization": "number", "pressure": "pressure_level"}
    return Layout(ds, *dims, dims, roles=roles)


def cfgrib_analysis():
    coords = latitudes() | {
        "number": ((), 0, NUMBER),
        "time": ("time", DAYS, GRIB_TIME),
        "step": ((), np.timedelta64(0, "ns"), STEP),
        "surface": ((), 0.0, {"units": "1"}),
        "valid_time": ("time", DAYS, TIME),
    }
    ds = dataset({"t2m": ("time", "latitude", "longitude")}, coords)
    dims = ("latitude", "longitude")
    roles = {"time": "time", "reference_time": "time", "lead_time": "step"}
    return Layout(ds, *dims, dims, roles=roles | {"realization": "number"})


def cfgrib_forecast(reference=GRIB_TIME):
    hours = np.array([6, 12, 18], "m8[h]").astype("m8[ns]")
    coords = latitudes() | {
        "number": ("number", [1, 2], NUMBER),
        "time": ((), DAYS[0], reference),
        "step": ("step", hours, STEP),
        "isobaricInhPa": ("isobaricInhPa", [1000.0, 500.0], HPA),
        "valid_time": ("step", DAYS[0] + hours, TIME),
    }
    ds = dataset({"t": ("number", "step", "isobaricInhPa", "latitude", "longitude")}, coords)
    dims = ("latitude", "longitude")
    roles = {"time": "valid_time", "reference_time": "time", "lead_time": "step"}
    return Layout(
        ds, *dims, dims, roles=roles | {"realization": "number", "pressure": "isobaricInhPa"}
    )


def gfs():
    """One field of GFS by cfgrib, with the later standard name of `time`."""
    reference = {"standard_name": "forecast_reference_time"}
    layout = cfgrib_forecast(reference)
    layout.ds = layout.ds.isel(number=0, step=0).drop_vars("number").drop_dims("isobaricInhPa")
    layout.ds["prate"] = ones(layout.dims, layout.ds.sizes)
    layout.roles = {"time": "valid_time", "reference_time": "time", "lead_time": "step"}
    return layout


def hindcast():
    """A seasonal hindcast: many starts, many lead times."""
    hours = np.array([24, 48, 72], "m8[h]").astype("m8[ns]")
    coords = latitudes() | {
        "number": ("number", [0, 1], NUMBER),
        "time": ("time", DAYS, GRIB_TIME),
        "step": ("step", hours, STEP),
        "valid_time": (("time", "step"), DAYS[:, None] + hours, TIME),
    }
    ds = dataset({"tprate": ("number", "time", "step", "latitude", "longitude")}, coords)
    roles = {"time": "valid_time", "reference_time": "time", "lead_time": "step"}
    dims = ("latitude", "longitude")
    return Layout(ds, *dims, dims, roles=roles | {"realization": "number"})


def weatherbench():
    coords = {
        "latitude": [0.0, 1.5],
        "longitude": [0.0, 1.5, 3.0],
        "level": [50, 500, 850],
        "time": DAYS,
        "prediction_timedelta": np.array([0, 6], "m8[h]").astype("m8[ns]"),
    }
    names = ("time", "prediction_timedelta", "level", "longitude", "latitude")
    dims = ("latitude", "longitude")
    roles = {"time": "time", "reference_time": "time", "lead_time": "prediction_timedelta"}
    ds = dataset({"temperature": names}, coords)
    return Layout(ds, *dims, dims, roles=roles | {"pressure": "level"})


def cmip6_gaussian():
    coords = {
        "lat": ("lat", [-60.0, -20.1, 20.1, 60.0], LAT | {"bounds": "lat_bnds", "axis": "Y"}),
        "lon": ("lon", [0.0, 90.0, 180.0], LON | {"bounds": "lon_bnds", "axis": "X"}),
        "time": ("time", DAYS, TIME | {"bounds": "time_bnds", "axis": "T"}),
        "plev": ("plev", [100000.0, 85000.0, 500.0], PA),
        "lat_bnds": (("lat", "bnds"), np.zeros((4, 2)), {"units": "degrees_north"}),
        "lon_bnds": (("lon", "bnds"), np.zeros((3, 2)), {"units": "degrees_east"}),
        "time_bnds": (("time", "bnds"), np.stack([DAYS, DAYS], axis=1), {"axis": "T"}),
        "member_id": ("member_id", ["r1i1p1f1", "r2i1p1f1"]),
    }
    ds = dataset({"ta": ("member_id", "time", "plev", "lat", "lon")}, coords)
    roles = {"time": "time", "realization": "member_id", "pressure": "plev"}
    return Layout(ds, "lat", "lon", ("lat", "lon"), roles=roles)


def cmip6_tripolar():
    dims = ("j", "i")
    corners = (("j", "i", "vertices"), np.zeros((3, 4, 4)), {"units": "degrees_north"})
    coords = plane(dims, "latitude", "longitude", bounds="vertices_latitude") | {
        "j": ("j", [0, 1, 2], {"units": "1", "long_name": "cell index along second dimension"}),
        "i": ("i", [0, 1, 2, 3], {"units": "1", "long_name": "cell index along first dimension"}),
        "time": ("time", DAYS, TIME),
        "vertices_latitude": corners,
        "vertices_longitude": (("j", "i", "vertices"), np.zeros((3, 4, 4)), {}),
    }
    ds = dataset({"tos": ("time", "j", "i")}, coords)
    pair = ("latitude", "longitude")
    return Layout(ds, *pair, dims, "curvilinear", geographic=pair, roles={"time": "time"})


def cordex():
    dims = ("rlat", "rlon")
    pole = {"grid_mapping_name": "rotated_latitude_longitude", "grid_north_pole_latitude": 39.25}
    rotated = {"units": "degrees", "axis": "Y", "standard_name": "grid_latitude"}
    coords = plane(dims) | {
        "rlat": ("rlat", [0.0, 0.11, 0.22], rotated),
        "rlon": ("rlon", [1.0, 1.11, 1.22, 1.33], {"standard_name": "grid_longitude"}),
        "lat_vertices": (
            ("rlat", "rlon", "vertices"),
            np.zeros((3, 4, 4)),
            {"units": "degrees_north"},
        ),
        "height": ((), 2.0, {"standard_name": "height", "units": "m", "axis": "Z"}),
        "rotated_pole": ((), 0, pole),
        "time": ("time", DAYS, TIME),
    }
    ds = dataset({"tas": (("time", *dims), {"grid_mapping": "rotated_pole"})}, coords)
    roles = {"time": "time"}
    return Layout(ds, *dims, dims, "rotated", "rotated_pole", ("lat", "lon"), roles)


def wrf():
    """As xarray opens a wrfout file of one time: attributes are not CF, coordinates have time."""
    dims = ("south_north", "west_east")
    coords = {"XTIME": ("Time", DAYS[:1], {"description": "minutes since 2024-01-01 00:00:00"})}
    for stagger in ("", "_U", "_V"):
        ny, nx = 3 + (stagger == "_V"), 4 + (stagger == "_U")
        y = "south_north_stag" if stagger == "_V" else "south_north"
        x = "west_east_stag" if stagger == "_U" else "west_east"
        lat, lon = np.meshgrid(np.arange(50.0, 50 + ny), np.arange(0.0, nx), indexing="ij")
        attrs = {"description": "LATITUDE, SOUTH IS NEGATIVE", "stagger": stagger[1:]}
        along = ("Time", y, x)
        coords["XLAT" + stagger] = (along, lat[None], attrs | {"units": "degree_north"})
        coords["XLONG" + stagger] = (along, lon[None], {"units": "degree_east"})
    ds = dataset({"T2": ("Time", *dims), "RAINNC": ("Time", *dims)}, coords)
    pair = ("XLAT", "XLONG")
    return Layout(ds, *pair, dims, "curvilinear", geographic=pair, roles={"time": "XTIME"})


def e_obs():
    coords = latitudes() | {"time": ("time", DAYS, TIME)}
    ds = dataset({"rr": (("time", "latitude", "longitude"), {"units": "mm"})}, coords)
    dims = ("latitude", "longitude")
    return Layout(ds, *dims, dims, roles={"time": "time"})


def imerg():
    times = np.array([cftime.DatetimeJulian(2024, 1, 1), cftime.DatetimeJulian(2024, 1, 2)])
    coords = {
        "lon": ("lon", [0.05, 0.15, 0.25], LON | {"axis": "X", "bounds": "lon_bnds"}),
        "lat": ("lat", [-89.95, -89.85], LAT | {"axis": "Y", "bounds": "lat_bnds"}),
        "time": ("time", times, TIME | {"axis": "T", "bounds": "time_bnds"}),
    }
    variables = {
        "precipitation": (("time", "lon", "lat"), {"units": "mm/hr"}),
        "lat_bnds": ("lat", "latv"),
        "time_bnds": ("time", "nv"),
    }
    ds = dataset(variables, coords, latv=2, nv=2)
    return Layout(ds, "lat", "lon", ("lat", "lon"), roles={"time": "time"})


def projected():
    """A projected grid that only its grid mapping places on Earth."""
    coords = {
        "y": ("y", [4000.0, 2000.0, 0.0], {"units": "m"}),
        "x": ("x", [0.0, 2000.0], {"units": "m"}),
        "crs": ((), 0, {"grid_mapping_name": "lambert_conformal_conic"}),
        "time": ("time", DAYS, TIME),
    }
    ds = dataset({"rain": (("time", "y", "x"), {"grid_mapping": "crs"})}, coords)
    return Layout(ds, "y", "x", ("y", "x"), "projected", "crs", roles={"time": "time"})


LAYOUTS = {
    made.__name__: made
    for made in (
        era5_old,
        era5_new,
        cfgrib_analysis,
        cfgrib_forecast,
        gfs,
        hindcast,
        weatherbench,
        cmip6_gaussian,
        cmip6_tripolar,
        cordex,
        wrf,
        e_obs,
        imerg,
        projected,
    )
}
