"""What cannot be downscaled is refused with a remedy that works when typed."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xresdiff
from tests import datasets as made
from tests.your_data import (
    SINCE_START,
    SMOOTHER,
    Case,
    assert_layout,
    assert_true,
    box,
    km4,
    lazily,
    run,
    spoiled,
)
from tests.your_models import RAIN, T, Z, models_in
from xresdiff import downscale, target_grid
from xresdiff.errors import InputError, UnitsError


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    return models_in(tmp_path_factory.mktemp("models"))


def typed(ds, line):
    """Do what a message says to type."""
    names = {"ds": ds.copy(), "np": np, "xr": xr, "xresdiff": xresdiff}
    if line.startswith("ds["):
        exec(line, names)
        return names["ds"]
    return eval(line, names)


@dataclass(frozen=True)
class Refusal:
    """A Dataset, what is asked of it, and the message.

    Parameters
    ----------
    make : callable
        Makes the Dataset.
    says : tuple of str
        Parts of the message.
    lines : tuple of str
        Parts of the message that are to be typed.
    takes : tuple of str
        Channels of the model.
    grid, how
        As of `Case`.
    then : Case, optional
        What comes out once they are typed; its `make` is not used.
    units : bool, default False
        Whether the error is one of units.
    """

    make: Callable[[], xr.Dataset]
    says: tuple[str, ...]
    lines: tuple[str, ...] = ()
    takes: tuple[str, ...] = (RAIN,)
    grid: Callable[[xr.Dataset], xr.Dataset] | None = None
    how: dict[str, Any] = field(default_factory=dict)
    then: Case | None = None
    units: bool = False


LINE4 = "ds.resdiff.downscale(grid=xresdiff.target_grid(ds, spacing_km=4))"
LINE10 = "ds.resdiff.downscale(grid=xresdiff.target_grid(ds, spacing_km=10))"
AMOUNT = 'ds.resdiff.downscale(accumulation="1h")'


def two_latitudes():
    ds = made.plain_rain()
    ds.lat.attrs = made.LAT
    return ds.assign_coords(latitude=("lat", ds.lat.values, made.LAT))


def to_the_poles():
    lat, lon = np.arange(90.0, -91.0, -5.0), np.arange(0.0, 360.0, 5.0)
    da = made.field("t2m", lat, lon, ("lat", "lon"), {"units": "K"})
    return xr.Dataset({"t2m": da}, {"lat": lat, "lon": lon})


def from_step_zero():
    ds = made.cfgrib_forecast()
    first = (ds.isel(step=[0]) * 0).assign_coords(step=[np.timedelta64(0, "ns")])
    return xr.concat([first, ds], "step", coords="minimal", compat="override", join="override")


def heights_by_cfgrib():
    """Return geopotential height as cfgrib names it."""
    ds = made.cfgrib_levels()
    height = (ds.z / made.G).assign_attrs(units="gpm", standard_name="geopotential_height")
    return ds.drop_vars("z").assign(gh=height)


def heights_without_units():
    ds = made.level_by_level()[["z500"]] / made.G
    return ds.drop_attrs(deep=False)


def fill(value):
    shown = f"{np.float32(value).item()!r}"
    return Refusal(
        lambda: spoiled(value),
        ("values of 'precip_rate' look like a fill value that was not decoded", f"{value:g}"),
        (f"ds['precip_rate'].where(ds['precip_rate'] != {shown})", "skipna=True"),
    )


POINTS = ("points without rows and columns", "cdo remapcon,r360x180 in.nc out.nc")
REFUSALS = {
    "ERA5 without an interval": Refusal(
        made.era5_cds_new,
        ("variable 'tp' is an amount in 'm', a rate in 'mm h-1' is needed",),
        (AMOUNT,),
        grid=km4,
        units=True,
    ),
    "ERA5 as it is": Refusal(
        made.era5_cds_old,
        ("the spacing of the grid is 27.8 x 17.5 km; toy takes 12 to 20 km, best 16",),
        (LINE4,),
        how={"accumulation": "1h"},
    ),
    "a field that is far too coarse": Refusal(
        lambda: made.globe("rain", units="mm/h", name="pr"),
        ("toy takes 12 to 20 km, best 16, and cannot guess what lies between",),
        ("xresdiff.models()",),
        grid=lambda ds: target_grid(lat=(50, 52), lon=(4, 8), spacing_km=4),
    ),
    "ERA5-Land without leave to miss": Refusal(
        made.era5_land,
        ("of 't2m' are missing, the first at", "latitude=52.0, longitude=3.0"),
        ("downscale(..., skipna=True)",),
        ("t2m",),
    ),
    "GFS from NOMADS": Refusal(
        made.gfs_nomads,
        ("'precip_rate' (standard name 'lwe_precipitation_rate', mm h-1) is missing", "'pratesfc'"),
        ("ds.rename({'pratesfc': 'precip_rate'})",),
        grid=km4,
    ),
    "CMIP6, heights for geopotential": Refusal(
        made.cmip6_atmos,
        ("variable 'zg' is a height in 'm', geopotential in 'm2 s-2' is needed",),
        ("ds['zg'] = (ds['zg'] * 9.80665).assign_attrs(units='m2 s-2')",),
        (*T, *Z),
        box(2.0, (30, 62), (-20, 40)),
        then=Case(
            made.cmip6_atmos,
            "sample member_id time pressure",
            (*T, *Z),
            grid=box(2.0, (30, 62), (-20, 40)),
            cell=1.0,
        ),
        units=True,
    ),
    "CMIP6, Gaussian latitudes as they are": Refusal(
        made.cmip6_atmos, ("the spacing of 'lat' changes from",), (LINE10,), T
    ),
    "CMIP6, a curved ocean as it is": Refusal(
        made.cmip6_ocean,
        ("the coordinates 'latitude' and 'longitude' are two-dimensional",),
        (LINE10,),
        ("sst",),
    ),
    "WRF, several times": Refusal(
        lambda: made.wrf(2)[["T2"]],
        ("run along 'Time' too, as if the grid moved",),
        (
            "ds.assign_coords({'XLAT': ds['XLAT'].isel({'Time': 0}, drop=True), "
            "'XLONG': ds['XLONG'].isel({'Time': 0}, drop=True)})",
        ),
        ("t2m",),
        then=Case(
            made.wrf,
            "member Time",
            ("t2m",),
            grid=lambda ds: target_grid(ds, spacing_km=7.5),
        ),
    ),
    "WRF, growing rain": Refusal(
        lambda: made.wrf(1)[["RAINNC"]].rename(RAINNC="pr"),
        ("variable 'pr' is an amount in 'mm', a rate in 'mm h-1' is needed",),
        (AMOUNT,),
        grid=km4,
        units=True,
    ),
    "MET Nordic": Refusal(
        lambda: made.met_nordic().rename(precipitation_amount="precip_rate"),
        ("values of 'precip_rate' look like a fill value", "9.96921e+36"),
        ("skipna=True",),
        grid=km4,
        how={"accumulation": "1h"},
    ),
    "a fill value of programs": fill(-9999.0),
    "a fill value of climate archives": fill(1e20),
    "a fill value of netCDF": fill(9.96921e36),
    "infinite values without leave": Refusal(
        lambda: spoiled(np.inf),
        ("values of 'precip_rate' are missing", "lat=50.3, lon=4.6"),
        ("skipna=True",),
    ),
    "E-OBS without an interval": Refusal(
        made.e_obs,
        ("variable 'rr' is an amount in 'mm'",),
        (AMOUNT.replace("1h", "24h"),),
        grid=km4,
        units=True,
    ),
    "IMERG as it is": Refusal(made.imerg, ("the spacing of the grid is 11.1 x 7.07 km",), (LINE4,)),
    "ICON": Refusal(made.icon, ("'clat' and 'clon' run along 'ncells' alone", *POINTS)),
    "HEALPix": Refusal(made.healpix, ("no horizontal coordinates", "'cell' seems", *POINTS)),
    "stations": Refusal(
        made.stations,
        ("'lat' and 'lon' run along 'station' alone", *POINTS),
        ("ds.set_index({'station': ['lat', 'lon']}).unstack('station')",),
    ),
    "two latitudes": Refusal(
        two_latitudes,
        ("more than one choice of coordinate: 'lat', 'latitude'",),
        ("ds.drop_vars(['latitude'])",),
        then=Case(made.plain_rain, "member time"),
    ),
    "cells on the poles": Refusal(
        to_the_poles,
        ("the cells at 'lat' = -90, 90 reach beyond a pole",),
        ("ds.isel({'lat': abs(ds['lat'].values) < 90})",),
        ("t2m",),
        then=Case(to_the_poles, "member", ("t2m",), cell=2.0),
    ),
    "a mixing ratio in per cent": Refusal(
        lambda: made.many_units().assign(hus850=lambda d: d.hus850.assign_attrs(units="%")),
        ("variable 'hus850' is in '%', which does not convert to the 'kg kg-1' needed",),
        ("ds['hus850'].attrs['units'] = 'kg kg-1'",),
        ("q850",),
        units=True,
    ),
    "levels that are not there": Refusal(
        lambda: made.cfgrib_levels().sel(isobaricInhPa=[1000.0, 700.0]),
        ("'t' lacks the levels 850 and 500 hPa; it has 1000, 700 hPa along 'isobaricInhPa'",),
        takes=T,
    ),
    "heights without units": Refusal(
        heights_without_units,
        ("look like geopotential height in m, geopotential in 'm2 s-2' is needed",),
        ("ds['z500'] = (ds['z500'] * 9.80665).assign_attrs(units='m2 s-2')",),
        ("z500",),
        then=Case(heights_without_units, "member time pressure", ("z500",), cell=2.0),
    ),
    "heights by cfgrib": Refusal(
        heights_by_cfgrib,
        ("'gh' is geopotential height, 'z' is geopotential, in 'm2 s-2': ds['z'] = ",),
        ("ds['z'] = (ds['gh'] * 9.80665).assign_attrs(units='m2 s-2')",),
        ("z500",),
    ),
    "a map about the pole that does not reach": Refusal(
        made.polar,
        ("cannot downscale", "leaves 86 of 442 cells of the grid uncovered"),
        ("xresdiff.target_grid(ds, sp",),
        ("t2m",),
        grid=lambda ds: target_grid(lat=(84, 87), lon=(-30, 30), spacing_km=10),
    ),
    "a forecast with its start": Refusal(
        from_step_zero,
        ("at step=0 nothing was summed yet, so there is no rate",),
        ("ds.isel(step=slice(1, None))",),
        grid=km4,
        then=Case(from_step_zero, "member step", grid=km4, warns=(SMOOTHER, SINCE_START)),
        units=True,
    ),
    "a grid beyond the input": Refusal(
        made.plain_rain,
        ("the input covers 49.9", "the grid wanted 50", "ake a grid within the input"),
        ("xresdiff.target_grid(ds, sp",),
        grid=lambda ds: target_grid(lat=(50, 53), lon=(4, 6), spacing_km=4),
    ),
}


def refusal(ds, case, model_of):
    grid = {} if case.grid is None else {"grid": case.grid(ds)}
    usual = {"model": model_of(*case.takes), "members": 1, "steps": 1, "device": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(InputError) as caught:
            downscale(ds, **(usual | grid | case.how)).compute(scheduler="synchronous")
    return caught


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("name", REFUSALS)
def test_what_does_not_fit_is_refused_with_a_remedy(name, lazy, model_of):
    case = REFUSALS[name]
    ds = case.make()
    before = ds.copy(deep=True)
    caught = refusal(lazily(ds) if lazy else ds, case, model_of)
    assert caught.type is (UnitsError if case.units else InputError)
    message = str(caught.value)
    for part in (*case.says, *case.lines):
        assert part in message
    xr.testing.assert_identical(ds, before)


@pytest.mark.parametrize("name", [name for name, case in REFUSALS.items() if case.then])
def test_the_line_to_type_mends_it(name, model_of):
    case = REFUSALS[name]
    ds = case.make()
    for line in case.lines:
        ds = typed(ds, line)
    assert_layout(run(ds, case.then, model_of), ds, case.then)
    mean = {} if case.takes == (RAIN,) else {"stage": "mean"}
    assert_true(run(ds, case.then, model_of, **mean), case.then)
