"""Block means are labelled and lazy; xESMF is asked for in words."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError, MissingDependencyError
from xresdiff.grids import regrid as regrid_module
from xresdiff.grids.regrid import coarsen, regrid
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


def test_a_missing_esmpy_is_asked_for(monkeypatch, fine):
    for name in [name for name in sys.modules if name.partition(".")[0] == "xesmf"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "esmpy", None)
    monkeypatch.setitem(sys.modules, "ESMF", None)
    with pytest.raises(MissingDependencyError, match="conda install -c conda-forge esmpy"):
        regrid(fine, refine(fine, 2))


@pytest.mark.parametrize(("step", "round_the_earth"), [(30.0, True), (20.0, False)])
def test_regrid_tells_xesmf_whether_longitudes_go_round(monkeypatch, step, round_the_earth):
    calls = []

    def regridder(obj, target, method, **options):
        calls.append((method, options))
        return lambda obj, keep_attrs: obj

    monkeypatch.setattr(regrid_module, "import_xesmf", lambda: SimpleNamespace(Regridder=regridder))
    ds = xr.Dataset(coords={"lat": [0.0, 1.0], "lon": step * np.arange(12)})
    regrid(ds, ds, method="patch")
    assert calls == [("patch", {"periodic": round_the_earth, "unmapped_to_nan": True})]
