"""Refined grids: cells split evenly, whatever the direction, convention or projection."""

import numpy as np
import pytest
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import check_uniform, find_horizontal, spacing_km
from xresdiff.grids.target import refine

LAMBERT = {
    "grid_mapping_name": "lambert_conformal_conic",
    "standard_parallel": 46.5,
    "longitude_of_central_meridian": 10.0,
    "latitude_of_projection_origin": 46.5,
    "earth_radius": 6371000.0,
}


def latlon(lat, lon, dtype=float):
    lat = ("lat", np.asarray(lat, dtype), {"standard_name": "latitude", "bounds": "lat_bnds"})
    lon = ("lon", np.asarray(lon, dtype), {"standard_name": "longitude"})
    return xr.Dataset(coords={"lat": lat, "lon": lon})


def projected(units="m", scale=1.0, mapping=LAMBERT, **coords):
    y = ("y", 16e3 * scale * np.arange(3)[::-1], {"units": units, "axis": "Y"})
    x = ("x", 16e3 * scale * np.arange(4), {"units": units, "axis": "X"})
    ds = xr.Dataset({"rain": (("y", "x"), np.zeros((3, 4)))}, coords={"y": y, "x": x, **coords})
    ds["crs"] = ((), 0, mapping)
    ds.rain.attrs["grid_mapping"] = "crs"
    return ds


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("factor", [1, 3, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fine_cells_split_coarse_cells(direction, factor, dtype):
    coarse = latlon(np.linspace(45, 55, 101)[::direction], np.linspace(0, 2, 21), dtype)
    fine = refine(coarse, factor)
    assert fine.lat.dtype == fine.lon.dtype == np.float64
    assert dict(fine.sizes) == {"lat": 101 * factor, "lon": 21 * factor}
    for name in ("lat", "lon"):
        means = fine[name].values.reshape(-1, factor).mean(axis=1)
        np.testing.assert_allclose(means, coarse[name], atol=1e-5)
        step = float(coarse[name][-1] - coarse[name][0]) / (coarse.sizes[name] - 1)
        np.testing.assert_allclose(np.diff(fine[name]), step / factor, rtol=1e-6)


def test_attributes_are_copied_but_for_the_bounds():
    coarse = latlon([50, 51], [0, 1])
    before = coarse.copy(deep=True)
    fine = refine(coarse, 2)
    assert fine.lat.attrs == {"standard_name": "latitude"}
    fine.lat.attrs["units"] = "changed"
    xr.testing.assert_identical(coarse, before)


@pytest.mark.parametrize(
    ("lon", "fine"),
    [
        ([359, 0, 1], [358.75, 359.25, -0.25, 0.25, 0.75, 1.25]),
        ([179, -180], [178.75, 179.25, -180.25, -179.75]),
        ([-1, 0], [-1.25, -0.75, -0.25, 0.25]),
        ([200, 199], [200.25, 199.75, 199.25, 198.75]),
    ],
)
def test_longitudes_keep_their_convention(lon, fine):
    refined = refine(latlon([50, 51], lon), 2)
    np.testing.assert_allclose(refined.lon, fine)
    assert check_uniform(find_horizontal(refined)) == []


@pytest.mark.parametrize("lat", [[90, 89, 88], [-88, -89, -90]])
def test_cells_centred_on_a_pole_are_refused(lat):
    coarse = latlon(lat, [0, 1])
    with pytest.raises(InputError, match=r"'lat' = -?90 reach beyond a pole") as error:
        refine(coarse, 2)
    line = str(error.value).rpartition(": ds")[2]
    assert refine(eval("ds" + line, {"ds": coarse}), 2).sizes["lat"] == 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cells_that_touch_the_poles_are_fine(dtype):
    fine = refine(latlon(np.linspace(-89.95, 89.95, 1800), [0, 1], dtype), 16)
    assert abs(fine.lat).max() < 90


@pytest.mark.parametrize("factor", [0, -2, 1.5, "2"])
def test_factors_are_whole_and_positive(factor):
    with pytest.raises(InputError, match="whole number of at least 1"):
        refine(latlon([50, 51], [0, 1]), factor)


def test_grids_that_are_not_uniform_are_refused():
    with pytest.raises(InputError, match="cannot refine the grid: the spacing of 'lat' changes"):
        refine(latlon([50, 51, 53], [0, 1]), 2)


def test_coordinates_along_other_dims_stay_there():
    coarse = xr.Dataset(coords={"lat": ("y", [50.0, 51.0]), "lon": ("x", [0.0, 1.0, 2.0])})
    fine = refine(coarse, 2)
    assert fine.lat.dims == ("y",)
    assert fine.lon.dims == ("x",)


@pytest.mark.parametrize(("units", "scale"), [("m", 1.0), ("km", 1e-3)])
@pytest.mark.parametrize("as_array", [False, True])
def test_projected_grids_keep_their_mapping_and_gain_latlon(units, scale, as_array):
    pyproj = pytest.importorskip("pyproj")
    coarse = projected(units, scale).set_coords("crs")
    fine = refine(coarse.rain if as_array else coarse, 16)
    assert spacing_km(find_horizontal(fine)) == pytest.approx((1.0, 1.0))
    assert fine.y.attrs == {"units": units, "axis": "Y"}
    xr.testing.assert_identical(fine.crs.variable, coarse.crs.variable)
    lambert = pyproj.Proj("+proj=lcc +lat_1=46.5 +lat_0=46.5 +lon_0=10 +R=6371000")
    lon, lat = lambert(*np.meshgrid(fine.x / scale, fine.y / scale), inverse=True)
    np.testing.assert_allclose(fine.lat, lat)
    np.testing.assert_allclose(fine.lon, lon)
    assert fine.lat.attrs == {"standard_name": "latitude", "units": "degrees_north"}
    assert find_horizontal(fine).kind == "projected"


def test_two_dimensional_latlon_keep_their_names():
    two_d = (("y", "x"), np.zeros((3, 4)))
    fine = refine(projected(latitude=two_d, longitude=two_d), 2)
    assert set(fine.coords) == {"y", "x", "crs", "latitude", "longitude"}


@pytest.mark.parametrize(
    "mapping",
    [{"grid_mapping_name": "of my own"}, {"grid_mapping_name": LAMBERT["grid_mapping_name"]}],
)
def test_a_mapping_that_pyproj_cannot_read_is_kept_without_latlon(mapping):
    fine = refine(projected(mapping=mapping), 2)
    assert set(fine.coords) == {"y", "x", "crs"}


def test_a_mapping_of_other_coordinates_defines_no_latlon():
    assert "lat" not in refine(projected(mapping={"grid_mapping_name": "latitude_longitude"}), 2)


def test_lengths_of_unknown_unit_get_no_latlon():
    assert "lat" not in refine(projected(units=""), 2)


def test_a_rotated_pole_gains_true_latitudes():
    pytest.importorskip("pyproj")
    coarse = xr.Dataset(coords={"rlat": [-1.0, 1.0], "rlon": [-1.0, 1.0]})
    coarse["rotated_pole"] = (
        (),
        0,
        {
            "grid_mapping_name": "rotated_latitude_longitude",
            "grid_north_pole_latitude": 39.25,
            "grid_north_pole_longitude": -162.0,
        },
    )
    fine = refine(coarse, 3)  # the middle of these cells is where the pole was rotated to
    np.testing.assert_allclose(fine.rlat[1:5:3], [-1, 1])
    assert fine.lat.mean() == pytest.approx(50.75, abs=0.05)
    assert fine.lon.mean() == pytest.approx(18.0, abs=0.05)
