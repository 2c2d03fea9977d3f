"""Any data goes: Datasets that imitate real files are downscaled as they are."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from tests import datasets as made
from tests.datasets import truth
from tests.helpers import raise_if_dask_computes
from tests.your_data import CASES, SINCE_START, SMOOTHER, assert_layout, assert_true, lazily, run
from tests.your_models import CHANNELS, RAIN, models_in
from xresdiff import downscale
from xresdiff.errors import InputError


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    return models_in(tmp_path_factory.mktemp("models"))


every = pytest.mark.parametrize("name", CASES)


@every
def test_what_comes_out_is_what_went_in(name, model_of):
    case = CASES[name]
    ds = case.make()
    before = ds.copy(deep=True)
    drawn = run(ds, case, model_of)
    assert_layout(drawn, ds, case)
    if case.takes == (RAIN,):
        assert_true(drawn, case)
    else:
        assert_true(run(ds, case, model_of, stage="mean"), case)
    xr.testing.assert_identical(ds, before)


@every
def test_building_computes_nothing_and_changes_nothing(name, model_of):
    case = CASES[name]
    ds = lazily(case.make())
    before = ds.copy(deep=True)
    case.arguments(ds, model_of)
    with raise_if_dask_computes() as scheduler:
        lazy = run(ds, case, model_of)
        mean = run(ds, case, model_of, stage="mean")
    assert scheduler.computes == 0
    assert all(lazy[CHANNELS[key].name].chunks for key in case.takes)
    xr.testing.assert_identical(ds, before)
    xr.testing.assert_allclose(
        mean.compute(scheduler="synchronous"),
        run(case.make(), case, model_of, stage="mean"),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("name", ["EURO-CORDEX", "CMIP6, a curved ocean", "WRF, one time", "HYRAS"])
def test_coordinates_may_be_lazy_too(name, model_of):
    case = CASES[name]
    lazy = run(case.make().chunk(), case, model_of)
    xr.testing.assert_allclose(
        lazy.compute(scheduler="synchronous"),
        run(case.make(), case, model_of),
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_released_model_takes_cordex_as_it_is():
    ds = made.cordex().isel(rlat=slice(4), rlon=slice(5), time=slice(1))
    result = downscale(ds, members=1, steps=1, device="cpu")
    assert result.precip_rate.sizes == {"member": 1, "time": 1, "rlat": 64, "rlon": 80}
    means = result.precip_rate.coarsen(rlat=16, rlon=16).mean().values[0, 0]
    np.testing.assert_allclose(means, truth(RAIN, ds.lat, ds.lon), rtol=1e-3)


@pytest.fixture
def twice_greenwich():
    """A band of rain whose first column comes again as the last."""
    ds = made.gfs_cfgrib().isel(longitude=[*range(1440), 0])
    return ds.assign_coords(longitude=("longitude", np.arange(0.0, 360.1, 0.25), made.LON))


@pytest.mark.parametrize("last", [360.0, 0.0])
def test_a_longitude_that_comes_twice_is_refused(twice_greenwich, last, model_of):
    lon = twice_greenwich.longitude.values.copy()
    lon[-1] = last
    ds = twice_greenwich.assign_coords(longitude=("longitude", lon, made.LON))
    grid = CASES["GFS by cfgrib, across Greenwich"].grid(ds.isel(longitude=slice(None, -1)))
    case = dataclasses.replace(CASES["GFS by cfgrib, across Greenwich"], grid=lambda _: grid)
    line = r"ds.isel\({'longitude': slice\(None, -1\)}\)"
    with pytest.raises(InputError, match=f"1 of 1441 are there twice.*{line}"):
        run(ds, case, model_of)
    assert_true(run(ds.isel(longitude=slice(None, -1)), case, model_of), case)


def test_metres_that_are_named_degrees_of_a_rotated_pole_are_metres(model_of):
    ds = made.rioxarray_utm().drop_vars("spatial_ref")
    ds["y"].attrs = {"standard_name": "grid_latitude", "units": "m ", "axis": "Y"}
    ds["x"].attrs = {"standard_name": "grid_longitude", "units": "m ", "axis": "X"}
    result = downscale(ds, model=model_of(RAIN), members=1, steps=1, device="cpu")
    assert result.precip_rate.sizes == {"member": 1, "y": 48, "x": 52}


@pytest.mark.parametrize("method", [False, True])
def test_warnings_point_at_the_line_of_the_user(method, model_of):
    case = CASES["cfgrib, a forecast that does not say since when"]
    ds = case.make()
    arguments = case.arguments(ds, model_of)
    with pytest.warns(UserWarning, match=f"{SMOOTHER}|{SINCE_START}") as caught:
        ds.resdiff.downscale(**arguments) if method else downscale(ds, **arguments)
    assert len(caught) == 2
    assert {warned.filename for warned in caught} == {__file__}
