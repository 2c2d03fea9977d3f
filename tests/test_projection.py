"""Places in a plane and on the globe: against pyproj itself and closed forms."""

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Proj, Transformer

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.grids.cells.projection import (
    cf_attrs,
    crs_of,
    from_latlon,
    geographic,
    grid_crs,
    is_rotated,
    read_crs,
    to_latlon,
)
from xresdiff.grids.coords import find_horizontal

CORDEX = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}
WRF = {
    "grid_mapping_name": "lambert_conformal_conic",
    "standard_parallel": [30.0, 60.0],
    "longitude_of_central_meridian": 10.0,
    "latitude_of_projection_origin": 46.0,
    "earth_radius": 6370000.0,
}
WRF_PROJ = "+proj=lcc +lat_1=30 +lat_2=60 +lat_0=46 +lon_0=10 +R=6370000"


def plane(attrs, units="m", scale=1.0, offset=0.0, **coords):
    y = ("y", (offset + np.arange(3) * 5e3) * scale, {"units": units, "axis": "Y"})
    x = ("x", (offset + np.arange(4) * 5e3) * scale, {"units": units, "axis": "X"})
    return xr.Dataset(coords={"y": y, "x": x, "crs": ((), 0, attrs), **coords})


def places(ds):
    return geographic(ds, find_horizontal(ds))


@pytest.mark.parametrize(
    "code", ["EPSG:27700", "EPSG:3413", "EPSG:3035", "EPSG:32633", "EPSG:2193", "EPSG:2154"]
)
def test_places_are_those_of_pyproj(code):
    crs = CRS(code)
    ds = plane(crs.to_cf(), offset=1e5)
    lat, lon = places(ds)
    there = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    x, y = np.meshgrid(ds.x, ds.y)
    expected = there.transform(x, y)
    np.testing.assert_allclose(lon, expected[0], atol=1e-9)
    np.testing.assert_allclose(lat, expected[1], atol=1e-9)
    assert lat.dims == ("y", "x")
    assert (lat.attrs["units"], lon.attrs["units"]) == ("degrees_north", "degrees_east")


@pytest.mark.parametrize(
    "attrs",
    [
        WRF,
        {"crs_wkt": CRS(WRF_PROJ).to_wkt()},
        {"spatial_ref": CRS(WRF_PROJ).to_wkt()},
        {"grid_mapping_name": "of my own", "proj4": WRF_PROJ},
        {"proj_params": WRF_PROJ},
        {**WRF, "crs_wkt": "damaged"},
        {**WRF, "earth_radius": 1.0, "proj4": WRF_PROJ},
    ],
)
def test_a_grid_mapping_is_read_in_whatever_words(attrs):
    lat, lon = to_latlon(crs_of(attrs), np.array([3e5]), np.array([-2e5]))
    expected = Proj(WRF_PROJ)(-2e5, 3e5, inverse=True)
    np.testing.assert_allclose([lon[0], lat[0]], expected, atol=1e-9)


@given(lat=st.floats(-80, 80), lon=st.floats(-180, 180))
def test_the_rotated_pole_is_a_rotation_of_the_sphere(lat, lon):
    crs = crs_of(CORDEX)
    assert is_rotated(crs)
    rlat, rlon = from_latlon(crs, np.array(lat), np.array(lon))
    pole, turn, phi = np.radians([39.25, lon + 162.0, lat])
    sine = np.sin(pole) * np.sin(phi) + np.cos(pole) * np.cos(phi) * np.cos(turn)
    assert float(rlat) == pytest.approx(np.degrees(np.arcsin(sine)), abs=1e-6)
    again = to_latlon(crs, rlat, rlon)
    assert float(again[0]) == pytest.approx(lat, abs=1e-7)
    assert abs((float(again[1]) - lon + 180) % 360 - 180) < 1e-6


def test_coordinates_in_km_are_scaled():
    lat, lon = places(plane(CRS("EPSG:27700").to_cf(), "km", 1e-3, offset=2e5))
    expected = places(plane(CRS("EPSG:27700").to_cf(), "m", 1.0, offset=2e5))
    np.testing.assert_allclose(lat, expected[0])
    np.testing.assert_allclose(lon, expected[1])


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_a_false_origin_beside_km_is_read_in_m_or_km(unit):
    attrs = {**WRF, "false_easting": 4321000.0 * unit, "false_northing": 3210000.0 * unit}
    lat, _ = places(plane(attrs, "km", 1e-3, offset=3e6))
    shifted = plane({**WRF, "false_easting": 4321000.0, "false_northing": 3210000.0}, offset=3e6)
    np.testing.assert_allclose(lat, places(shifted)[0])


@pytest.mark.parametrize(
    ("text", "metres"),
    [("EPSG:2263", "EPSG:32118"), ("+proj=laea +lat_0=60 +units=km", "+proj=laea +lat_0=60")],
)
def test_a_crs_in_feet_or_km_takes_metres(text, metres):
    y, x = np.array([50e3]), np.array([320e3])
    for one, other in zip(
        to_latlon(read_crs(text), y, x), to_latlon(read_crs(metres), y, x), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
    for one, other in zip(
        from_latlon(read_crs(text), *to_latlon(read_crs(text), y, x)), (y, x), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_grads_from_paris_become_degrees_from_greenwich():
    crs = read_crs("EPSG:27572")
    lat, lon = to_latlon(crs, np.array([2428e3]), np.array([600e3]))  # Paris
    assert (lat[0], lon[0]) == pytest.approx((48.85, 2.337), abs=0.01)
    y, x = from_latlon(crs, lat, lon)
    assert (y[0], x[0]) == pytest.approx((2428e3, 600e3), abs=1e-2)


def test_latitudes_stay_on_the_ellipsoid_of_the_crs():
    plain = "+proj=tmerc +lat_0=49 +lon_0=-2 +k=0.9996 +x_0=400000 +y_0=-100000 +ellps=airy"
    for text in (plain, f"{plain} +towgs84=446,-125,542"):
        lat, lon = to_latlon(read_crs(text), np.array([2e5]), np.array([4e5]))
        assert (lon[0], lat[0]) == pytest.approx(Proj(plain)(4e5, 2e5, inverse=True))


def test_a_height_is_no_matter():
    lat, _ = to_latlon(read_crs("EPSG:7405"), np.array([2e5]), np.array([4e5]))
    assert lat == to_latlon(read_crs("EPSG:27700"), np.array([2e5]), np.array([4e5]))[0]


def test_places_that_are_not_shown_are_nan():
    disk = read_crs("+proj=geos +h=35785831 +lon_0=0")
    assert np.isnan(to_latlon(disk, np.array([9e6]), np.array([9e6]))).all()
    assert np.isnan(from_latlon(disk, np.array([0.0]), np.array([170.0]))).all()


@pytest.mark.parametrize("code", ["EPSG:27700", "EPSG:21781", WRF_PROJ, "EPSG:3413"])
def test_attributes_are_read_again(code):
    crs = read_crs(code)
    assert crs_of(cf_attrs(crs)) == crs


def test_parameters_are_left_out_where_they_would_lose_some():
    swiss = cf_attrs(read_crs("EPSG:21781"))  # an oblique Mercator, turned by an angle
    assert set(swiss) == {"crs_wkt"}


def test_attributes_of_a_rotated_pole_are_read_again():
    crs = read_crs("+proj=ob_tran +o_proj=longlat +lon_0=-40 +o_lat_p=22 +R=6367470")
    y, x = np.array([1.0]), np.array([-3.0])
    assert to_latlon(crs_of(cf_attrs(crs)), y, x) == to_latlon(crs, y, x)


def test_own_latitudes_are_handed_back_lazy():
    lazy = (("x", "y"), dask.array.full((4, 3), 50.0))
    ds = plane({"grid_mapping_name": "of my own"}, latitude=lazy, longitude=lazy)
    with raise_if_dask_computes():
        lat, lon = places(ds)
    assert (lat.name, lon.name, lat.dims) == ("latitude", "longitude", ("y", "x"))
    assert lat.chunks


def test_one_dimensional_latitudes_are_handed_back():
    ds = xr.Dataset(coords={"lat": [50.0, 51.0], "lon": [0.0, 1.0]})
    xr.testing.assert_identical(places(ds)[0], ds.lat)
    xr.testing.assert_identical(places(ds)[1], ds.lon)


@pytest.mark.parametrize(
    ("ds", "words"),
    [
        (plane(WRF).drop_vars("crs"), r"neither .* nor a grid mapping.*assign_coords\({'crs'"),
        (plane(WRF, units=""), r"no unit of length.*ds\['y'\].attrs\['units'\]"),
        (plane({"grid_mapping_name": "of my own"}), r"Unsupported grid mapping name: of my own"),
        (plane({"grid_mapping_name": "lambert_conformal_conic"}), "'standard_parallel' is missing"),
        (plane({**WRF, "standard_parallel": "x"}), "could not convert string"),
        (plane(CORDEX), r"Derived Geographic.*'y' and 'x' are projected"),
        (plane(CRS(4326).to_cf()), r"Geographic 2D CRS.*assign_coords"),
    ],
)
def test_what_keeps_places_unknown_is_said(ds, words):
    with pytest.raises(InputError, match=words):
        places(ds)


def test_the_line_to_type_helps():
    ds = plane(WRF, offset=2e5).drop_vars("crs")
    with pytest.raises(InputError) as error:
        places(ds)
    line = str(error.value).partition(": ds = ")[2]
    told = eval(line, {"ds": ds, "pyproj": __import__("pyproj")})
    assert grid_crs(told, find_horizontal(told)) == CRS("EPSG:27700")


@pytest.mark.parametrize("crs", ["EPSG:99999", 3.5, "nonsense", {"a": 1}])
def test_a_crs_that_pyproj_cannot_read_is_refused(crs):
    with pytest.raises(InputError, match=r"pyproj cannot read crs=.*type an EPSG code"):
        read_crs(crs)


def test_feet_are_refused():
    y, x = ("y", [2e5, 2.1e5], {"units": "m"}), ("x", [9e5, 9.1e5], {"units": "m"})
    ds = xr.Dataset(coords={"y": y, "x": x, "crs": ((), 0, cf_attrs(read_crs("EPSG:2263")))})
    with pytest.raises(InputError, match="counts in US survey foot"):
        geographic(ds, find_horizontal(ds))
