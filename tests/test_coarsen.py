"""Block means are labelled and lazy; the coarse grid of a fine one is known beyond its end."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.grids.coarsen import coarsen, unrefine
from xresdiff.grids.target import refine


@pytest.fixture
def fine():
    rng = np.random.default_rng(0)
    values = rng.gamma(0.5, 2.0, (3, 32, 48)).astype(np.float32)
    ds = xr.Dataset(
        {"rain": (("time", "lat", "lon"), values, {"units": "mm h-1"}), "crs": ((), 0)},
        coords={
            "time": np.arange(3),
            "lat": ("lat", 50 - 0.01 * np.arange(32), {"bounds": "lat_bnds"}),
            "lon": 0.01 * np.arange(48),
        },
        attrs={"title": "rain"},
    )
    ds["lat_bnds"] = (("lat", "nv"), np.zeros((32, 2)))
    return ds


def test_coarsen_means_blocks(fine):
    before = fine.copy(deep=True)
    coarse = coarsen(fine, 16)
    blocks = fine.rain.values.astype(float).reshape(3, 2, 16, 3, 16)
    np.testing.assert_allclose(coarse.rain, blocks.mean(axis=(2, 4)), rtol=1e-5)
    assert coarse.rain.dtype == np.float32
    assert coarse.rain.attrs == {"units": "mm h-1"}
    assert coarse.attrs == {"title": "rain"}
    assert "lat_bnds" not in coarse
    assert coarse.lat.attrs == {}
    np.testing.assert_allclose(coarse.lat, [49.925, 49.765])
    xr.testing.assert_identical(fine, before)


def test_coarsen_undoes_refine(fine):
    coarse = coarsen(fine.rain, 16)
    again = refine(coarse, 16)
    np.testing.assert_allclose(again.lat, fine.lat)
    np.testing.assert_allclose(again.lon, fine.lon, atol=1e-12)


def test_coarsen_is_lazy(fine):
    lazy = fine.chunk(time=1, lat=10, lon=20)
    with raise_if_dask_computes():
        coarse = coarsen(lazy, 8)
    assert coarse.rain.chunks is not None
    xr.testing.assert_allclose(coarse.compute(), coarsen(fine, 8))


def test_coarsen_keeps_missing_blocks_missing(fine):
    fine.rain[0, 3, 20] = np.nan
    missing = np.isnan(coarsen(fine.rain, 16))
    assert missing.sum() == 1
    assert missing[0, 0, 1]


def test_coarsen_takes_longitudes_across_the_dateline(fine):
    lon = (179.77 + 0.01 * np.arange(48) + 180) % 360 - 180
    two_d = (("lat", "lon"), np.broadcast_to(lon, (32, 48)))
    fine = fine.assign_coords(lon=lon).rename(lat="rlat", lon="rlon")
    fine = fine.assign_coords(
        lat=(("rlat", "rlon"), np.zeros((32, 48))), lon=(("rlat", "rlon"), two_d[1])
    )
    coarse = coarsen(fine, 16)
    np.testing.assert_allclose(coarse.rlon, [179.845, 180.005, -179.835])
    np.testing.assert_allclose(coarse.lon[0], [179.845, 180.005, -179.835])


def test_coarsen_keeps_lengths_as_they_are():
    x = ("x", np.array([100.0, 700.0, 1300.0, 1900.0]), {"units": "m"})
    y = ("y", np.array([0.0, 600.0]), {"units": "m"})
    coarse = coarsen(xr.DataArray(np.ones((2, 4)), {"y": y, "x": x}, ("y", "x")), 2)
    np.testing.assert_allclose(coarse.x, [400, 1600])


def test_sizes_that_are_no_multiples_are_refused(fine):
    with pytest.raises(InputError, match=r"ds.isel\({'lat': slice\(30\), 'lon': slice\(45\)}\)"):
        coarsen(fine, 15)


@given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 9))
def test_refining_an_unrefined_grid_begins_with_it(ny, nx, factor):
    lat, lon = 60 - 0.01 * np.arange(ny), 359.9 + 0.02 * np.arange(nx)
    coarse = unrefine(xr.Dataset(coords={"lat": lat, "lon": lon}), factor)
    if min(coarse.sizes.values()) < 2:
        return
    fine = refine(coarse, factor)
    np.testing.assert_allclose(fine.lat[:ny], lat, atol=1e-9)
    np.testing.assert_allclose(fine.lon[:nx], lon, atol=1e-9)


def test_unrefined_curvilinear_grids_are_block_means():
    lat, lon = np.meshgrid(np.linspace(50, 50.3, 8), np.linspace(179.9, 180.2, 8), indexing="ij")
    lon = (lon + 0.1 * lat + 180) % 360 - 180
    grid = xr.Dataset(coords={"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)})
    coarse = unrefine(grid, 4)
    np.testing.assert_allclose(coarse.lat, lat.reshape(2, 4, 2, 4).mean((1, 3)), atol=1e-4)
    wrapped = (lon % 360).reshape(2, 4, 2, 4).mean((1, 3))
    np.testing.assert_allclose(coarse.lon % 360, wrapped, atol=1e-3)


def test_unrefine_keeps_the_mapping_and_drops_the_bounds():
    attrs = {"standard_name": "projection_x_coordinate", "units": "m", "bounds": "x_b"}
    grid = xr.Dataset(
        {"crs": ((), 0, {"grid_mapping_name": "lambert_conformal_conic"})},
        coords={
            "y": ("y", 1e3 * np.arange(6), attrs | {"standard_name": "projection_y_coordinate"}),
            "x": ("x", 1e3 * np.arange(7), attrs),
        },
    )
    before = grid.copy(deep=True)
    coarse = unrefine(grid, 3)
    assert coarse.crs.attrs == grid.crs.attrs
    assert coarse.x.attrs == {"standard_name": "projection_x_coordinate", "units": "m"}
    np.testing.assert_allclose(coarse.x, [1000, 4000, 7000])
    xr.testing.assert_identical(grid, before)
