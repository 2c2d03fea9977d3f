"""Real ERA5 data go where they are wanted; their files lie beside the repository, or not."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.interpolate import RegularGridInterpolator

from tests.helpers import raise_if_dask_computes
from tests.your_models import models_in
from xresdiff import downscale, regrid, target_grid
from xresdiff.errors import InputError

SHARED = Path(__file__).parents[2] / "shared"
T2M = SHARED / "era5-uk-t2m" / "era5_t2m_uk_2019-03.nc"
LEVELS = SHARED / "era5-levels" / "era5_levels_members_2017-01.nc"

UK = target_grid(crs="EPSG:27700", center=(54.0, -4.0), spacing_km=4, shape=(190, 150))


def opened(path, **chunks):
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return xr.open_dataset(path, chunks=chunks or None)


@pytest.mark.parametrize("method", ["bilinear", "latlon_bilinear"])
def test_temperatures_of_the_united_kingdom_on_4_km(method):
    ds = opened(T2M, time=-1).isel(time=slice(48))
    with raise_if_dask_computes():
        lazy = regrid(ds, UK, method=method)
    moved = lazy.t2m.compute()
    assert moved.dims == ("time", "y", "x")
    assert bool(moved.notnull().all())
    axes = (ds.latitude.values[::-1], ds.longitude.values)
    places = np.stack([UK.lat.values, UK.lon.values], axis=-1)
    for hour in (0, 47):
        needed = RegularGridInterpolator(axes, ds.t2m.values[hour, ::-1])(places)
        apart = np.abs(moved.values[hour] - needed)
        assert apart.max() < (1e-9 if method == "latlon_bilinear" else 5e-3)


def test_the_mean_temperature_is_kept():
    ds = opened(T2M).isel(time=slice(24))
    coarse = target_grid(lat=(50.125, 57.875), lon=(-9.875, 1.625), spacing_deg=0.5)
    moved = regrid(ds, coarse, method="conservative").t2m
    weights = np.cos(np.deg2rad(ds.latitude))
    inside = {"latitude": slice(57.9, 50.1), "longitude": slice(-9.9, 1.6)}
    before = ds.t2m.sel(inside).weighted(weights).mean(("latitude", "longitude"))
    after = (
        moved.isel(lat=slice(15), lon=slice(23))
        .weighted(np.cos(np.deg2rad(moved.lat)))
        .mean(("lat", "lon"))
    )
    np.testing.assert_allclose(after, before, atol=0.05)


def test_members_and_levels_of_the_globe(tmp_path):
    ds = opened(LEVELS, time=1)
    model = models_in(tmp_path)("t850", "t500", "z850", "z500")
    grid = target_grid(lat=(30, 60), lon=(-20, 22), spacing_deg=1.5)
    with raise_if_dask_computes():
        lazy = downscale(ds, model=model, members=2, steps=1, grid=grid, stage="mean")
    mean = lazy.isel(number=0, time=[0]).compute()
    assert mean.t.dims == ("time", "pressure", "lat", "lon")
    assert mean.pressure.values.tolist() == [850, 500]
    needed = regrid(ds.isel(number=0, time=[0]), grid).rename(pressure_level="pressure")
    for name, most in (("t", 1.5), ("z", 300)):
        apart = mean[name] - needed[name].sel(pressure=mean.pressure).transpose(*mean[name].dims)
        assert float(np.abs(apart).mean()) < most


def test_heights_are_told_from_geopotential(tmp_path):
    ds = opened(LEVELS).isel(time=0, number=0)
    model = models_in(tmp_path)("z500")
    grid = target_grid(lat=(30, 60), lon=(-20, 22), spacing_deg=1.5)
    how = {"model": model, "members": 1, "steps": 1, "grid": grid}
    downscale(ds, **how)
    heights = ds.assign(z=(ds.z / 9.80665).assign_attrs(ds.z.attrs))
    with pytest.raises(InputError, match=r"look like geopotential height.*9.80665 times as much"):
        downscale(heights, **how)
