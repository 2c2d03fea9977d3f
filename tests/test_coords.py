"""The horizontal grid is found whatever it is called, measured, or refused in words."""

import re
from dataclasses import dataclass

import dask.array
import numpy as np
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.grids.coords import (
    check_uniform,
    find_horizontal,
    find_variable,
    other_dims,
    spacing_km,
)


def latlon(lat, lon, y="lat", x="lon", dtype=float, **attrs):
    lat, lon = np.asarray(lat, dtype=dtype), np.asarray(lon, dtype=dtype)
    data = np.zeros((2, lat.size, lon.size), np.float32)
    return xr.Dataset({"rain": (("time", y, x), data, attrs)}, coords={y: lat, x: lon})


def projected(units="m", scale=1.0, **attrs):
    y = ("y", 1000.0 * scale * np.arange(4)[::-1], {"units": units} if units else {})
    x = ("x", 2000.0 * scale * np.arange(5), {"units": units} if units else {})
    return xr.Dataset({"rain": (("y", "x"), np.zeros((4, 5)), attrs)}, coords={"y": y, "x": x})


def with_2d_latlon(ds, lat="lat", lon="lon"):
    shape = (ds.sizes["y"], ds.sizes["x"])
    return ds.assign_coords(
        {
            lat: (("y", "x"), np.full(shape, 50.0), {"units": "degrees_north"}),
            lon: (("y", "x"), np.full(shape, 10.0), {"units": "degrees_east"}),
        }
    )


@pytest.mark.parametrize(
    ("y", "x"),
    [("lat", "lon"), ("latitude", "longitude"), ("Latitude", "Longitude"), ("nav_lat", "nav_lon")],
)
@pytest.mark.parametrize("as_array", [False, True])
def test_names_are_enough(y, x, as_array):
    ds = latlon([50, 51], [0, 1, 2], y, x)
    grid = find_horizontal(ds.rain if as_array else ds)
    assert (grid.y, grid.x, grid.dims, grid.kind) == (y, x, (y, x), "latlon")
    assert grid.units == "degrees"


@pytest.mark.parametrize(
    "attrs",
    [
        ({"standard_name": "latitude"}, {"standard_name": "longitude"}),
        ({"units": "degrees_north"}, {"units": "degrees_east"}),
    ],
)
def test_attributes_are_enough(attrs):
    ds = latlon([50, 51], [0, 1, 2], "j", "i")
    ds.j.attrs, ds.i.attrs = attrs
    grid = find_horizontal(ds)
    assert (grid.y, grid.x, grid.kind) == ("j", "i", "latlon")


def test_attributes_count_more_than_names():
    ds = latlon([50, 51], [0, 1, 2], "j", "i").assign_coords(lat=("j", [0.0, 1.0]))
    ds.j.attrs, ds.i.attrs = {"standard_name": "latitude"}, {"standard_name": "longitude"}
    assert find_horizontal(ds).y == "j"


def test_coordinates_may_lie_along_dims_of_other_names():
    ds = xr.Dataset(
        {"rain": (("x", "y"), np.zeros((3, 2)))},
        coords={"lat": ("y", [50.0, 51.0]), "lon": ("x", [0.0, 1.0, 2.0])},
    )
    grid = find_horizontal(ds)
    assert (grid.y, grid.x, grid.dims) == ("lat", "lon", ("y", "x"))


@pytest.mark.parametrize(("units", "scale"), [("m", 1), ("km", 1e-3), ("metres", 1)])
def test_projected_lengths(units, scale):
    grid = find_horizontal(projected(units, scale))
    assert grid.kind == "projected"
    assert spacing_km(grid) == pytest.approx((1.0, 2.0))


@pytest.mark.parametrize("names", [("lat", "lon"), ("latitude", "longitude")])
def test_projected_with_2d_latlon_stays_projected(names):
    grid = find_horizontal(with_2d_latlon(projected(), *names))
    assert (grid.kind, grid.y, grid.x, grid.geographic) == ("projected", "y", "x", names)


def test_indices_beside_2d_latlon_are_curvilinear():
    grid = find_horizontal(with_2d_latlon(projected(units="")))
    assert (grid.kind, grid.y, grid.dims) == ("curvilinear", "lat", ("y", "x"))
    assert "two-dimensional" in check_uniform(grid)[0]
    with pytest.raises(InputError, match="'lat' and 'lon' are two-dimensional"):
        spacing_km(grid)


def test_lazy_2d_latlon_is_not_computed():
    ds = xr.Dataset({"rain": (("y", "x"), dask.array.zeros((3, 4)))})
    ds = ds.assign_coords(lat=(("y", "x"), dask.array.zeros((3, 4))))
    ds = ds.assign_coords(lon=(("y", "x"), dask.array.zeros((3, 4))))
    with raise_if_dask_computes():
        assert find_horizontal(ds).kind == "curvilinear"


def test_lengths_without_a_unit_are_not_guessed():
    grid = find_horizontal(projected(units=""))
    assert (grid.kind, grid.units) == ("projected", "")
    with pytest.raises(InputError, match=r"no unit of length.*ds\['y'\].attrs\['units'\] = 'm'"):
        spacing_km(grid)


@pytest.mark.parametrize("units", ["degrees", "degrees_north"])
def test_a_rotated_pole_is_not_mistaken_for_latitude(units):
    ds = latlon([-1, 0, 1], [-2, -1], "rlat", "rlon")
    ds.rlat.attrs = {"standard_name": "grid_latitude", "units": units, "axis": "Y"}
    ds.rlon.attrs = {"standard_name": "grid_longitude", "units": "degrees", "axis": "X"}
    assert find_horizontal(ds).kind == "rotated"
    true = (("rlat", "rlon"), np.full((3, 2), 50.0))
    grid = find_horizontal(ds.assign_coords(lat=true, lon=true))
    assert (grid.kind, grid.y, grid.geographic) == ("rotated", "rlat", ("lat", "lon"))
    assert spacing_km(grid) == pytest.approx((111.195, 111.195), rel=1e-4)


def test_bounds_are_no_coordinates():
    ds = latlon([50, 51], [0, 1])
    ds = ds.assign_coords(lat_bnds=(("lat", "nv"), np.zeros((2, 2)), {"units": "degrees_north"}))
    ds.lat.attrs["bounds"] = "lat_bnds"
    assert find_horizontal(ds).kind == "latlon"


@pytest.mark.parametrize("where", ["attrs", "encoding"])
@pytest.mark.parametrize("text", ["crs", "crs: x y"])
@pytest.mark.parametrize("as_array", [False, True])
def test_grid_mapping(where, text, as_array):
    ds = projected().assign_coords(crs=0, other=((), 0, {"grid_mapping_name": "other"}))
    getattr(ds.rain, where)["grid_mapping"] = text
    assert find_horizontal(ds.rain if as_array else ds).grid_mapping == "crs"


def test_grid_mapping_that_no_variable_names():
    ds = projected()
    ds["crs"] = ((), 0, {"grid_mapping_name": "polar_stereographic"})
    assert find_horizontal(ds).grid_mapping == "crs"
    assert find_horizontal(ds.rain).grid_mapping is None


def test_several_latitudes_are_named():
    ds = latlon([50, 51], [0, 1]).assign_coords(latitude=("lat", [0.0, 1.0]))
    with pytest.raises(InputError, match=r"'lat', 'latitude'.*ds.drop_vars\(\['latitude'\]\)"):
        find_horizontal(ds)


def test_two_grids_are_named():
    ds = projected().merge(latlon([50, 51], [0, 1]).rename(rain="other"))
    with pytest.raises(InputError, match=r"more than one grid.*'y', 'x'.*'lat', 'lon'"):
        find_horizontal(ds)


def test_points_are_refused():
    ds = xr.Dataset(coords={"lat": ("station", [1.0, 2.0]), "lon": ("station", [1.0, 2.0])})
    with pytest.raises(InputError, match="'lat' and 'lon' run along 'station'"):
        find_horizontal(ds)


def test_nothing_found_lists_what_there_is_and_the_line_to_type():
    ds = latlon([50, 51], [0, 1], "a", "b")
    with pytest.raises(InputError) as error:
        find_horizontal(ds)
    assert "the dims are 'time', 'a', 'b', the coords 'a', 'b'" in str(error.value)
    assert "ds.rename({'a': 'lat', 'b': 'lon'})" in str(error.value)
    assert "ds['a'].attrs['standard_name'] = 'latitude'" in str(error.value)


@pytest.mark.parametrize(
    ("ds", "line"),
    [
        (xr.Dataset({"r": (("y", "x"), np.zeros((2, 2)))}), r"ds.assign_coords\(lat=\('y', "),
        (xr.Dataset({"lat": ("y", [1.0]), "lon": ("x", [1.0])}), r"set_coords\(\['lat', 'lon'\]\)"),
        (xr.Dataset({"r": ("time", [1.0])}), "Fields along latitude and longitude"),
    ],
)
def test_nothing_found_in_other_ways(ds, line):
    with pytest.raises(InputError, match=line):
        find_horizontal(ds)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spacing_of_tenths_of_degrees(sign, dtype):
    lat, lon = np.linspace(45, 55, 101)[::sign], np.linspace(170, 190, 201)
    grid = find_horizontal(latlon(lat, lon, dtype=dtype))
    assert check_uniform(grid) == []
    cos50 = np.cos(np.radians(50))
    assert spacing_km(grid) == pytest.approx((11.1195, 11.1195 * cos50), rel=1e-4)


@pytest.mark.parametrize(
    "lon", [[358, 359, 0, 1], [178, 179, -180, -179], [-1, 0, 1, 2], [1, 0, 359, 358]]
)
def test_longitudes_may_cross_any_meridian(lon):
    grid = find_horizontal(latlon([0, 1], lon))
    assert check_uniform(grid) == []
    assert np.abs(np.diff(grid.x_values)) == pytest.approx(1)
    assert spacing_km(grid)[1] == pytest.approx(111.195, rel=1e-3)


def test_coordinates_of_few_decimals_are_uniform():
    lat = np.round(np.arange(200) / 3, 3)
    assert check_uniform(find_horizontal(latlon(lat, [0, 1]))) == []


def test_gaussian_latitudes_are_not_uniform():
    lat = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))
    (problem,) = check_uniform(find_horizontal(latlon(lat, [0, 1])))
    assert "the spacing of 'lat' changes from 2.79" in problem


def test_a_missing_row_is_placed():
    problems = check_uniform(find_horizontal(latlon([0, 1, 2, 4, 5], [0, 1, 3])))
    assert len(problems) == 2
    assert "'lat' changes from 1 to 2 between 2 and 4" in problems[0]
    assert "ds.interp({'lat': np.linspace(0, 5, 6)})" in problems[0]
    assert "'lon'" in problems[1]


@pytest.mark.parametrize(
    ("lat", "words"),
    [
        ([0, 2, 1], r"neither rises nor falls.*sortby\('lat'\)"),
        ([1, 1, 1], "neither rises nor falls"),
        ([0, np.nan, 2], "not finite"),
        ([0], "'lat' has 1 value; a spacing needs two"),
        ([], "'lat' has 0 values"),
    ],
)
def test_what_is_no_progression(lat, words):
    (problem,) = check_uniform(find_horizontal(latlon(lat, [0, 1])))
    assert re.search(words, problem)


def test_one_row_has_no_spacing():
    with pytest.raises(InputError, match="'lat' has 1 value"):
        spacing_km(find_horizontal(latlon([0], [0, 1])))


def test_other_dims_leave_out_bounds_of_times():
    ds = latlon([50, 51], [0, 1]).expand_dims(number=3)
    ds["time_bnds"] = (("time", "nv"), np.zeros((2, 2)))
    grid = find_horizontal(ds)
    assert other_dims(ds, grid) == ("number", "time")
    assert other_dims(ds.rain, grid) == ("number", "time")


@dataclass
class Channel:
    name: str = "precip_rate"
    aliases: tuple[str, ...] = ("tprate", "mtpr")
    standard_name: str = "lwe_precipitation_rate"


def test_variables_match_by_name_then_alias_then_standard_name():
    rain = ("x", [1.0], {"standard_name": "lwe_precipitation_rate"})
    ds = xr.Dataset({"r": rain, "mtpr": ("x", [1.0]), "tprate": ("x", [1.0]), "precip_rate": rain})
    for name in ("precip_rate", "tprate", "mtpr", "r"):
        assert find_variable(ds, Channel()) == name
        ds = ds.drop_vars(name)
    assert find_variable(ds, Channel()) is None


def test_no_standard_name_matches_nothing():
    ds = xr.Dataset({"r": ("x", [1.0])})
    assert find_variable(ds, Channel(standard_name="")) is None


def test_several_variables_of_one_standard_name_are_named():
    rain = ("x", [1.0], {"standard_name": "lwe_precipitation_rate"})
    with pytest.raises(InputError, match=r"'a', 'b'.*ds.rename\({'a': 'precip_rate'}\)"):
        find_variable(xr.Dataset({"a": rain, "b": rain}), Channel())
