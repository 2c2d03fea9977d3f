"""Made-up Datasets, the models that take them, and what must come out."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cftime
import numpy as np
import xarray as xr

from tests import datasets as made
from tests.datasets import GROWTH, STEEPEST, truth
from tests.your_models import CHANNELS, FACTORS, RAIN, T, Z
from xresdiff import downscale, target_grid


@dataclass(frozen=True)
class Case:
    """A Dataset, what takes it, and what comes out.

    Parameters
    ----------
    make : callable
        Makes the Dataset.
    dims : str
        Dimensions of the result but y and x, in order.
    takes : tuple of str
        Channels of the model.
    grid : callable, optional
        Makes the grid that is wanted, of the Dataset.
    how : dict
        More arguments of `downscale`.
    cell : float, default 0.25
        How far astray, in degrees of place, the values may be: as a cell is large.
    missing : bool, default False
        Whether some of the result is missing, and some not.
    warns : str or tuple of str, default ""
        What a warning says; of several, each.
    """

    make: Callable[[], xr.Dataset]
    dims: str = "member"
    takes: tuple[str, ...] = (RAIN,)
    grid: Callable[[xr.Dataset], xr.Dataset] | None = None
    how: dict[str, Any] = field(default_factory=dict)
    cell: float = 0.25
    missing: bool = False
    warns: str | tuple[str, ...] = ""

    @property
    def factor(self):
        return FACTORS[self.takes == (RAIN,)]

    def arguments(self, ds, model_of):
        grid = {} if self.grid is None else {"grid": self.grid(ds)}
        usual = {"model": model_of(*self.takes), "members": 2, "steps": 1, "device": "cpu"}
        return usual | grid | self.how


def km4(ds):
    return target_grid(ds, spacing_km=4)


def box(spacing_deg, lat, lon):
    return lambda ds: target_grid(lat=lat, lon=lon, spacing_deg=spacing_deg)


SMOOTHER = "smoother than what the model knows"
SINCE_START = "'tp' was taken to be summed since the start of the forecast"
CASES = {
    "ERA5 from the old CDS": Case(
        made.era5_cds_old,
        "member time",
        grid=km4,
        how={"accumulation": "1h"},
        warns=SMOOTHER,
    ),
    "ERA5 from the new CDS": Case(
        made.era5_cds_new,
        "member valid_time",
        grid=km4,
        how={"accumulation": "1h"},
        warns=SMOOTHER,
    ),
    "ERA5-Land": Case(
        made.era5_land, "member valid_time", ("t2m",), how={"skipna": True}, missing=True, cell=0.15
    ),
    "cfgrib, one level": Case(made.cfgrib_single_level, "member", ("t2m",), cell=0.5),
    "cfgrib, pressure levels": Case(made.cfgrib_levels, "member pressure", (*T, *Z), cell=0.5),
    "cfgrib, an ensemble": Case(made.cfgrib_ensemble, "sample number step", ("t2m",), cell=0.5),
    "cfgrib, a forecast": Case(
        made.cfgrib_forecast,
        "member step",
        grid=km4,
        how={"accumulation": "start"},
        warns=SMOOTHER,
    ),
    "cfgrib, a forecast that does not say since when": Case(
        made.cfgrib_forecast, "member step", grid=km4, warns=(SMOOTHER, SINCE_START)
    ),
    "GFS by cfgrib, across Greenwich": Case(
        made.gfs_cfgrib,
        "member",
        grid=lambda ds: target_grid(lat=(50, 52), lon=(-1.5, 1.5), spacing_km=4),
        warns=SMOOTHER,
    ),
    "GFS from NOMADS, renamed": Case(
        lambda: made.gfs_nomads().rename(pratesfc="precip_rate").pipe(with_units),
        "member time",
        grid=km4,
        warns=SMOOTHER,
    ),
    "a seasonal hindcast": Case(
        made.seasonal_hindcast, "sample number forecast_reference_time step", ("t2m",), cell=0.7
    ),
    "WeatherBench": Case(
        made.weatherbench, "member time prediction_timedelta pressure", (*T, *Z), cell=1.0
    ),
    "CMIP6, pressure levels": Case(
        made.cmip6_atmos,
        "sample member_id time pressure",
        T,
        grid=box(2.0, (30, 62), (-20, 40)),
        cell=1.0,
    ),
    "CMIP6, Julian years": Case(
        lambda: made.cmip6_atmos(cftime.DatetimeJulian),
        "sample member_id time pressure",
        T,
        grid=box(2.0, (30, 62), (-20, 40)),
        cell=1.0,
    ),
    "CMIP6, rain in years of 360 days": Case(
        made.cmip6_rain, "member time", grid=km4, warns=SMOOTHER
    ),
    "CMIP6, a curved ocean": Case(
        made.cmip6_ocean,
        "member time",
        ("sst",),
        grid=box(0.5, (46, 57), (8, 28)),
        how={"skipna": True},
        missing=True,
        cell=0.8,
    ),
    "EURO-CORDEX": Case(made.cordex, "member time", cell=0.15),
    "EURO-CORDEX, ALADIN": Case(
        made.aladin,
        "member time",
        grid=lambda ds: target_grid(lat=(48.6, 49.5), lon=(6.6, 7.8), spacing_km=4),
        cell=0.12,
    ),
    "WRF, one time": Case(
        lambda: made.wrf(1)[["T2"]],
        "member Time",
        ("t2m",),
        grid=lambda ds: target_grid(ds, spacing_km=7.5),
    ),
    "WRF, staggered winds beside": Case(
        lambda: made.wrf(1),
        "member Time",
        ("t2m",),
        grid=lambda ds: target_grid(ds[["T2"]], spacing_km=7.5),
    ),
    "WRF, derived rain": Case(
        lambda: wrf_rain(), "member Time", grid=lambda ds: target_grid(ds, spacing_km=4)
    ),
    "HARMONIE": Case(made.harmonie, "member time height", ("t2m",), cell=0.1),
    "HARMONIE onto latitudes": Case(
        made.harmonie,
        "member time height",
        ("t2m",),
        grid=box(0.04, (40.1, 41.2), (-2.4, -0.8)),
        cell=0.1,
    ),
    "MET Nordic": Case(
        lambda: made.met_nordic(False).rename(precipitation_amount="precip_rate"),
        "member time",
        grid=km4,
        how={"accumulation": "1h"},
        cell=0.05,
    ),
    "E-OBS": Case(
        made.e_obs,
        "member time",
        grid=km4,
        how={"accumulation": "24h", "skipna": True},
        missing=True,
    ),
    "IMERG": Case(made.imerg, "member time", grid=km4),
    "RADOLAN": Case(made.radolan, "member time", grid=km4, cell=0.1),
    "HYRAS": Case(made.hyras, "member time", grid=km4),
    "rioxarray": Case(made.rioxarray_utm, "member"),
    "rioxarray, with units": Case(lambda: in_metres(made.rioxarray_utm()), "member"),
    "rioxarray, north up onto latitudes": Case(
        lambda: in_metres(made.rioxarray_utm()),
        "member",
        grid=lambda ds: target_grid(lat=(50.6, 51.7), lon=(7.0, 9.3), spacing_km=4),
        cell=0.2,
    ),
    "a map about the pole": Case(made.polar, "member time", ("t2m",), cell=0.3),
    "a map about the pole onto latitudes": Case(
        made.polar,
        "member time",
        ("t2m",),
        grid=lambda ds: target_grid(lat=(86, 89), lon=(-30, 30), spacing_km=10),
        cell=0.15,
    ),
    "all of the earth": Case(made.globe, "member time", ("t2m",), cell=2.0),
    "0 to 360, across Greenwich": Case(
        made.globe, "member time", ("t2m",), grid=box(2.0, (30, 62), (-20, 24)), cell=1.0
    ),
    "-180 to 180, across the date line": Case(
        lambda: made.globe(start=-177.5),
        "member time",
        ("t2m",),
        grid=box(2.0, (30, 62), (160, -160)),
        cell=1.0,
    ),
    "0 to 360, across the date line, rain": Case(
        lambda: made.globe("rain", step=0.3, units="mm/h", name="pr").sel(lat=slice(50, 53)),
        "member time",
        grid=lambda ds: target_grid(lat=(50.5, 52.4), lon=(178.6, -178.6), spacing_km=4),
        warns=SMOOTHER,
    ),
    "a scalar time": Case(lambda: made.plain_rain().isel(time=0), "member"),
    "no time": Case(lambda: made.plain_rain().isel(time=0, drop=True), "member"),
    "gaps about the poles": Case(
        made.satellite, "member time", ("t2m",), how={"skipna": True}, missing=True, cell=2.0
    ),
    "gaps about the poles, elsewhere": Case(
        made.satellite,
        "member time",
        ("t2m",),
        grid=box(2.0, (-40, 40), (100, 160)),
        cell=1.0,
    ),
    "infinite values": Case(
        lambda: spoiled(np.inf), "member time", how={"skipna": True}, missing=True
    ),
    "everyday units": Case(
        made.many_units, "member time pressure", ("t2m", "u10", "msl", "q850", "r850"), cell=1.0
    ),
    "one variable for each level": Case(
        made.level_by_level, "member time pressure", (*T, *Z), cell=2.0
    ),
    "a latitude by its name and one by its attributes": Case(
        lambda: made.plain_rain().assign_coords(
            latitude=("lat", made.plain_rain().lat.values, made.LAT)
        ),
        "member time",
    ),
    "an alternative of float64 and integers": Case(
        lambda: made.plain_rain().assign_coords(time=[0, 1]).astype("f8"), "member time"
    ),
}


def with_units(ds):
    return ds.assign(precip_rate=ds.precip_rate.assign_attrs(units="kg m-2 s-1"))


def in_metres(ds):
    for dim in ("y", "x"):
        ds[dim].attrs["units"] = "metre"
    return ds


def wrf_rain():
    """Return the rain between the times of a raw wrfout file, as users derive it."""
    ds = made.wrf(3)
    ds = ds.isel(Time=slice(1, None)).assign(pr=ds.RAINNC.diff("Time").assign_attrs(units="mm h-1"))
    ds = ds[["pr"]]
    return ds.assign_coords({n: ds[n].isel(Time=0, drop=True) for n in ("XLAT", "XLONG")})


def spoiled(value):
    ds = made.plain_rain()
    ds.precip_rate[1, 2, 3] = value
    return ds


def run(ds, case, model_of, **changes):
    """Downscale, with the warnings of the case and no other."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = downscale(ds, **(case.arguments(ds, model_of) | changes))
    told = {str(w.message) for w in caught if w.category is UserWarning}
    wanted = (case.warns,) if isinstance(case.warns, str) else case.warns
    wanted = [text for text in wanted if text]
    assert len(told) == len(wanted)
    assert all(any(text in one for one in told) for text in wanted)
    return result


def places_of(result):
    """Return the two-dimensional latitude and longitude of a result, and the dimensions of both."""
    lat, lon = (
        next(
            result[n]
            for n in result.coords
            if str(n).lower().startswith(prefix) and "bnds" not in n
        )
        for prefix in ("lat", "lon")
    )
    if lat.ndim == 1:
        lat, lon = xr.broadcast(lat, lon)
    return lat, lon, lat.dims


def blocks(da, dims, factor):
    """Return the means of whole blocks."""
    return da.coarsen(dict.fromkeys(dims, factor), boundary="trim").mean().values


def expected(da, key, lat, lon, dims):
    """Return the truth, broadcast to a variable that has no levels."""
    loop = [dim for dim in da.dims if dim not in (*dims, "sample")]
    if "sample" not in da.dims:
        loop = [dim for dim in loop if dim != "member"]
    growth = sum(
        (xr.DataArray(GROWTH * np.arange(da.sizes[dim]), dims=dim) for dim in loop),
        start=xr.DataArray(0.0),
    )
    still = xr.DataArray(truth(key, lat, lon), dims=dims)
    whole = still + made.SCALES[key][1] * growth
    return whole.broadcast_like(da).transpose(*da.dims)


def fields_of(result, takes):
    """Return every output by its channel's key."""
    fields = {}
    for key in takes:
        channel = CHANNELS[key]
        da = result[channel.name]
        if channel.level_Pa is not None:
            da = da.sel(pressure=channel.level_Pa / 100, drop=True)
        fields[key] = da
    return fields


def assert_true(result, case):
    """Compare every output with the truth, which flipped any way round would not do."""
    lat, lon, dims = places_of(result)
    for key, da in fields_of(result, case.takes).items():
        scale = made.SCALES[key][1]
        bound = STEEPEST * case.cell * scale
        da = da.drop_vars(list(da.coords))
        needed = expected(da, key, lat.values, lon.values, dims)
        found, needed = (blocks(array, dims, case.factor) for array in (da, needed))
        for axis in range(1, needed.ndim):
            swing = abs(needed - np.flip(needed, axis)).max()
            assert needed.shape[axis] == 1 or swing > 3 * bound, "the case cannot tell a flip"
        gaps = np.isnan(found)
        assert gaps.any() == case.missing
        assert not gaps.all()
        np.testing.assert_allclose(found[~gaps], needed[~gaps], atol=bound, rtol=0)


def assert_layout(result, ds, case):
    """Check dimensions, coordinates and units."""
    dims = places_of(result)[2]
    for key in case.takes:
        channel = CHANNELS[key]
        leading = [d for d in case.dims.split() if d != "pressure" or channel.level_Pa is not None]
        assert result[channel.name].dims == (*leading, *dims)
        assert result[channel.name].units == channel.units
        assert result[channel.name].dtype == np.float32
    for dim in set(result.dims) & set(ds.coords) - set(dims):
        np.testing.assert_array_equal(result[dim], ds[dim])
    if "pressure" in result.dims:
        assert result.pressure.units == "hPa"
    wanted = case.grid(ds) if case.grid else None
    for dim in dims:
        if wanted is not None:
            np.testing.assert_allclose(result[dim], wanted[dim])
        else:
            assert result.sizes[dim] == case.factor * ds.sizes[dim]
            if dim in result.coords:
                means = result[dim].coarsen({dim: case.factor}).mean()
                np.testing.assert_allclose(means, ds[dim], rtol=1e-5)


def lazily(ds):
    """Chunk everything but the places of cells, which are needed to build the graph."""
    fields = {
        name for name in ds.data_vars if not str(name).startswith(("lat_", "lon_", "vertices"))
    }
    return ds.assign({name: ds[name].chunk() for name in fields})
