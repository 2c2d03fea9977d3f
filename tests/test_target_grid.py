"""Target grids: what was asked for, told truly by their own coordinates."""

import re

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Proj, Transformer

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.grids.cells import corners, footprint
from xresdiff.grids.cells.projection import crs_of, from_latlon
from xresdiff.grids.coords import check_uniform, find_horizontal, spacing_km
from xresdiff.grids.target import target_grid

CORDEX = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}
WRF = "+proj=lcc +lat_1=30 +lat_2=60 +lat_0=46 +lon_0=10 +R=6370000"
PLACES = {
    "EPSG:27700": (54.0, -2.0),
    "EPSG:3413": (90.0, 0.0),
    "EPSG:32660": (50.0, 179.5),
    WRF: (46.0, 10.0),
}
ROTATED = target_grid(crs=CORDEX, center=(50.75, 18.0), spacing_deg=0.11, shape=(40, 50))
BRITAIN = target_grid(crs="EPSG:27700", center=(54, -2), spacing_km=16, shape=(40, 30))
CURVED = ROTATED.drop_vars(["rlat", "rlon", "crs"])
BOX = target_grid(lat=(50, 58), lon=(-10, 2), spacing_deg=0.25)
GRIDS = {"rotated": ROTATED, "projected": BRITAIN, "curvilinear": CURVED, "latlon": BOX}


def spacing(ds):
    assert check_uniform(find_horizontal(ds)) == []
    return spacing_km(find_horizontal(ds))


def covered(ds):
    return footprint(ds, find_horizontal(ds))


boxes = st.tuples(st.floats(-90, 80), st.floats(0.5, 10), st.floats(-180, 360), st.floats(0.5, 200))


@given(box=boxes, spacing_deg=st.floats(0.05, 0.2), wrapped=st.booleans())
def test_cells_lie_in_the_box_and_fill_all_but_less_than_one(box, spacing_deg, wrapped):
    south, height, west, width = box
    east = west + width - 360 * (wrapped and west + width > 180)
    ds = target_grid(lat=(south, south + height), lon=(west, east), spacing_deg=spacing_deg)
    lat, lon = ds.lat_bnds.values, ds.lon_bnds.values
    turn = (lon[0, 0] - west + 180) % 360 - 180
    assert turn == pytest.approx(0, abs=1e-8)
    assert south - 1e-8 <= lat[0, 0]
    assert height - spacing_deg < lat[-1, 1] - south < height + 1e-6
    assert width - spacing_deg < lon[-1, 1] - lon[0, 0] < width + 1e-6
    np.testing.assert_allclose(ds.lat, lat.mean(axis=1))
    np.testing.assert_allclose(np.diff(ds.lon), spacing_deg, rtol=1e-6)


@given(box=boxes, km=st.floats(2, 20))
def test_cells_are_as_wide_as_high_in_the_middle(box, km):
    south, height, west, width = box
    lon = (west, west + max(width, 50))
    ds = target_grid(lat=(south, south + height), lon=lon, spacing_km=km)
    assert spacing(ds) == pytest.approx((km, km), rel=1e-6)


def test_areas_sum_to_that_of_the_box():
    ds = target_grid(lat=(50, 58), lon=(-10, 2), spacing_deg=0.04)
    heights = np.diff(np.sin(np.radians(ds.lat_bnds)), axis=1)
    areas = heights * np.radians(np.diff(ds.lon_bnds, axis=1)).T
    whole = (np.sin(np.radians(58)) - np.sin(np.radians(50))) * np.radians(12)
    assert areas.shape == (200, 300)
    assert areas.sum() == pytest.approx(whole, rel=1e-12)


def test_labels_are_short():
    ds = target_grid(lat=(50, 58), lon=(-10, 2), spacing_deg=0.04)
    assert ds.lat.values.tolist() == [round(50.02 + 0.04 * i, 2) for i in range(200)]


@pytest.mark.parametrize(
    ("lon", "first", "last"),
    [
        ((170, -170), 170.5, 189.5),
        ((170, 190), 170.5, 189.5),
        ((350, 10), -9.5, 9.5),
        ((350, 370), 350.5, 369.5),
        ((-180, 180), -179.5, 179.5),
        ((0, 360), 0.5, 359.5),
    ],
)
def test_longitudes_rise_in_the_convention_that_lets_them(lon, first, last):
    ds = target_grid(lat=(50, 58), lon=lon, spacing_deg=1)
    assert (ds.lon.values[0], ds.lon.values[-1]) == (first, last)


def test_latitude_and_longitude_have_cf_attributes_and_bounds():
    for name, standard in (("lat", "latitude"), ("lon", "longitude")):
        attrs = BOX[name].attrs
        assert (attrs["standard_name"], attrs["bounds"]) == (standard, f"{name}_bnds")
    np.testing.assert_allclose(
        BOX.lat_bnds[:, 1], corners(BOX.drop_vars("lat_bnds"), find_horizontal(BOX))[0][1:]
    )
    assert not BOX.data_vars


@pytest.mark.parametrize("crs", PLACES)
def test_a_projection_is_centred_and_spaced_as_asked(crs):
    ds = target_grid(crs=crs, center=PLACES[crs], spacing_km=4, shape=(60, 40))
    assert dict(ds.sizes) == {"y": 60, "x": 40}
    assert spacing(ds) == pytest.approx((4, 4), rel=1e-12)
    there = Transformer.from_crs(CRS(crs), CRS(crs).geodetic_crs, always_xy=True)
    lon, lat = there.transform(float(ds.x.mean()), float(ds.y.mean()))
    assert lat == pytest.approx(PLACES[crs][0], abs=1e-6)
    lon, lat = there.transform(*np.meshgrid(ds.x, ds.y))
    np.testing.assert_allclose(ds.lat, lat)
    np.testing.assert_allclose(ds.lon, lon)
    assert ds.y.attrs["standard_name"] == "projection_y_coordinate"
    assert crs_of(ds.crs.attrs) == CRS(crs)


def test_a_projection_over_the_pole_has_the_pole_in_the_middle():
    ds = target_grid(crs="EPSG:3413", center=(90, 0), spacing_km=25, shape=(101, 101))
    assert ds.lat.values[50, 50] == pytest.approx(90)
    assert ds.lat.values.argmax() == 50 * 101 + 50
    assert covered(ds).all_longitudes


@pytest.mark.parametrize("crs", [WRF, CRS(WRF), CRS(WRF).to_wkt(), CRS(WRF).to_cf()])
def test_a_crs_is_given_in_any_words(crs):
    ds = target_grid(crs=crs, y_km=(-100, 100), x_km=(0, 81), spacing_km=4)
    assert (ds.y.values[0], ds.y.values[-1]) == (-98e3, 98e3)
    assert (ds.x.values[0], ds.x.values[-1]) == (2e3, 78e3)
    lon, lat = Proj(WRF)(2e3, -98e3, inverse=True)
    assert (ds.lat.values[0, 0], ds.lon.values[0, 0]) == pytest.approx((lat, lon))


@pytest.mark.parametrize(("crs", "unit"), [("EPSG:27700", "km"), (WRF, "km"), (CORDEX, "deg")])
@pytest.mark.parametrize("lon", [(-6, 2), (354, 2)])
def test_a_box_of_latitudes_is_covered_and_no_more(crs, unit, lon):
    size = 10 if unit == "km" else 0.1
    ds = target_grid(crs=crs, lat=(50, 56), lon=lon, **{f"spacing_{unit}": size})
    grid = find_horizontal(ds)
    step = 1e4 if unit == "km" else 0.1
    lat, lon = np.meshgrid(np.linspace(50, 56, 99), np.linspace(-6, 2, 99))
    plane = from_latlon(crs_of(ds.crs.attrs), lat, lon)
    for values, place in zip((grid.y_values, grid.x_values), plane, strict=True):
        low, high = values[0] - step / 2, values[-1] + step / 2
        assert low / step == pytest.approx(round(low / step))
        assert low <= place.min() < low + step * 1.01
        assert high - step * 1.01 < place.max() <= high


def test_a_rotated_pole_takes_degrees_or_km():
    assert ROTATED.rlat.attrs["standard_name"] == "grid_latitude"
    np.testing.assert_allclose(ROTATED.rlat, 0.11 * (np.arange(40) - 19.5), atol=1e-6)
    assert ROTATED.lat.mean() == pytest.approx(50.72, abs=0.05)
    ds = target_grid(crs=CORDEX, center=(45.0, 10.0), spacing_km=12, shape=(40, 50))
    assert spacing(ds) == pytest.approx((12, 12), rel=1e-6)


@pytest.mark.parametrize("name", GRIDS)
def test_the_grid_of_a_dataset_is_taken_over(name):
    clean = GRIDS[name]
    shape = clean.lat.dims if clean.lat.ndim == 2 else ("lat", "lon")
    data = dask.array.zeros([2, *(clean.sizes[dim] for dim in shape)])
    ds = clean.assign(t=(("time", *shape), data)).assign_coords(time=[1, 2], note=3)
    before = ds.copy(deep=True)
    with raise_if_dask_computes():
        taken = target_grid(ds)
    xr.testing.assert_identical(taken, clean)
    xr.testing.assert_identical(target_grid(ds.t), clean)
    taken.lat.attrs["units"] = "changed"
    if taken.lat.ndim == 2:
        taken.lat.values[:] = 0
    xr.testing.assert_identical(ds.drop_vars("t"), before.drop_vars("t"))


def test_a_taken_grid_gains_what_is_missing():
    flat = xr.Dataset(coords={"latitude": [51.0, 50.0], "longitude": [359.0, 0.0]})
    taken = target_grid(flat)
    assert taken.latitude.attrs["bounds"] == "latitude_bnds"
    np.testing.assert_allclose(taken.longitude_bnds, [[358.5, 359.5], [359.5, 360.5]])
    xr.testing.assert_allclose(target_grid(BRITAIN.drop_vars(["lat", "lon"])).lat, BRITAIN.lat)


def test_lazy_latitudes_stay_lazy():
    lazy = {
        name: (CURVED[name].dims, dask.array.asarray(CURVED[name].values)) for name in CURVED.coords
    }
    with raise_if_dask_computes():
        assert target_grid(CURVED.assign_coords(lazy)).lat.chunks


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(
    "how",
    [
        {"spacing_km": 2},
        {"spacing_deg": 0.05},
        {"crs": "EPSG:3035", "spacing_km": 2},
        {"crs": CORDEX, "spacing_deg": 0.05},
    ],
)
def test_every_centre_of_a_grid_over_a_dataset_lies_among_its_cells(name, how):
    coarse = GRIDS[name]
    fine = target_grid(coarse, **how)
    assert covered(coarse).covers(covered(fine))
    lat, lon = fine.lat.values, fine.lon.values
    if lat.ndim == 1:
        lat, lon = np.meshgrid(lat, lon, indexing="ij")
    home = GRIDS["rotated" if name == "curvilinear" else name]
    y, x = (lat, lon) if name == "latlon" else from_latlon(crs_of(home.crs.attrs), lat, lon)
    grid = find_horizontal(home)
    for values, place in ((grid.y_values, y), (grid.x_values, x)):
        half = (values[1] - values[0]) / 2
        assert values[0] - half <= place.min()
        assert place.max() <= values[-1] + half
    assert lat.size > 1000


def test_a_projected_dataset_keeps_its_projection_and_its_edges():
    fine = target_grid(BRITAIN, spacing_km=4)
    assert crs_of(fine.crs.attrs) == CRS("EPSG:27700")
    np.testing.assert_allclose(fine.y.values.reshape(-1, 4).mean(axis=1), BRITAIN.y)
    np.testing.assert_allclose(fine.x.values.reshape(-1, 4).mean(axis=1), BRITAIN.x)


def test_a_dataset_in_km_whose_y_falls_has_the_same_place():
    km = BRITAIN.assign_coords(y=BRITAIN.y / 1e3, x=BRITAIN.x / 1e3).isel(y=slice(None, None, -1))
    for name in ("y", "x"):
        km[name].attrs = {**BRITAIN[name].attrs, "units": "km"}
    xr.testing.assert_allclose(target_grid(km, spacing_km=4), target_grid(BRITAIN, spacing_km=4))


def test_a_dataset_of_the_globe_gives_the_globe():
    era5 = xr.Dataset(coords={"lat": np.linspace(90, -90, 73), "lon": np.arange(144) * 2.5})
    fine = target_grid(era5, spacing_deg=1)
    assert dict(fine.sizes) == {"lat": 180, "lon": 360, "bnds": 2}
    assert covered(fine).all_longitudes
    with pytest.raises(InputError, match="all longitudes, of which a projection shows a part"):
        target_grid(era5, crs="EPSG:27700", spacing_km=1)


def test_over_a_pole_latitudes_go_all_round():
    polar = target_grid(crs="EPSG:3413", center=(90, 0), spacing_km=25, shape=(100, 120))
    box = covered(target_grid(polar, spacing_deg=0.5))
    assert (box.north, box.all_longitudes) == (90, True)
    rim = corners(polar, find_horizontal(polar))[0][0].max()
    assert rim <= box.south < rim + 0.5


def test_a_grid_without_a_place_in_the_projection_is_refused():
    orthographic = "+proj=ortho +lat_0=0 +lon_0=0"
    for place in ({"lat": (0, 50), "lon": (60, 120)}, {"y_km": (0, 9000), "x_km": (0, 9000)}):
        with pytest.raises(InputError, match="shows no place at"):
            target_grid(crs=orthographic, spacing_km=100, **place)


def test_a_projection_without_a_grid_mapping_keeps_only_its_latitudes():
    fine = target_grid(BRITAIN.drop_vars("crs"), spacing_km=4)
    assert spacing(fine) == pytest.approx((4, 4), rel=1e-6)
    assert fine.lat.ndim == 1
    with pytest.raises(InputError, match="nor a grid mapping"):
        target_grid(BRITAIN.drop_vars(["crs", "lat", "lon"]), spacing_km=4)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("kind", ["nc", "zarr"])
def test_grids_survive_files(name, kind, tmp_path):
    path = tmp_path / f"grid.{kind}"
    if kind == "nc":
        GRIDS[name].to_netcdf(path)
    else:
        GRIDS[name].to_zarr(path, consolidated=False)
    engine = {"nc": "netcdf4", "zarr": "zarr"}[kind]
    options = {"consolidated": False} if kind == "zarr" else {}
    with xr.open_dataset(path, engine=engine, **options) as read:
        xr.testing.assert_identical(read.load(), GRIDS[name])
    with xr.open_dataset(path, engine=engine, decode_coords="all", **options) as read:
        xr.testing.assert_identical(target_grid(read.load()), GRIDS[name])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, ["nothing says where it lies"]),
        ({"lat": (50, 58)}, ["lon is missing; type lon=(-10, 2)", "a spacing is missing"]),
        (
            {"lat": (58, 50), "lon": (0, 400), "spacing_deg": 0},
            ["lat=(58, 50) is upside down; type lat=(50, 58)", "more than all", "no positive"],
        ),
        ({"lat": (80, 91), "lon": (0, 1), "spacing_deg": 1}, ["beyond a pole; type lat=(80, 90)"]),
        (
            {"lat": (50, 50), "lon": (1, 1), "spacing_deg": 1},
            ["lat=(50, 50) is empty", "lon=(1, 1)"],
        ),
        ({"lat": 50, "lon": "02", "spacing_km": np.nan}, ["two numbers", "'02'", "no positive"]),
        ({"lat": (50, 58), "lon": (0, 1), "spacing_deg": 1, "spacing_km": 1}, ["both given"]),
        (
            {"center": (50, 0), "shape": (9, 9), "spacing_km": 1},
            ["center and shape go with a proj"],
        ),
        ({"crs": "EPSG:4326", "spacing_km": 1}, ["leave it out: target_grid(lat=", "nothing says"]),
        ({"crs": "EPSG:4978", "spacing_km": 1}, ["is a Geocentric CRS", "nothing says where"]),
        (
            {"crs": "EPSG:2263", "center": (40, -74), "spacing_km": 1},
            ["'US survey foot'; metres are needed: crs=pyproj", "shape is missing"],
        ),
        (
            {"crs": "EPSG:27700", "center": (95, 0), "y_km": (1, 0), "spacing_deg": 1},
            [
                "center and y_km say more",
                "no spacing of a projection",
                "no latitude",
                "upside down",
            ],
        ),
        (
            {"crs": "nonsense", "center": (54, -2), "shape": (1, 2.5)},
            ["cannot read crs='nonsense'", "a spacing is missing", "shape=(1, 2.5) is not two"],
        ),
        (
            {"crs": CORDEX, "y_km": (0, 1), "x_km": (0, 1), "spacing_deg": 1},
            ["degrees of a rotated"],
        ),
        (
            {"like": BOX, "lat": (50, 51), "shape": (2, 2), "crs": "EPSG:27700"},
            ["lat and shape", "a sp"],
        ),
        ({"like": BOX, "crs": "EPSG:4326", "spacing_deg": 1}, ["target_grid(ds, spacing_deg="]),
        (
            {"lat": (50, 51), "lon": (0, 1), "spacing_deg": 0.6},
            ["1 x 1 cells of spacing_deg=0.6"],
        ),
        ({"lat": (-90, 90), "lon": (0, 360), "spacing_km": 0.5}, ["2e+09 cells are the most"]),
        (
            {"crs": "EPSG:27700", "center": (54, -2), "spacing_km": 0.01, "shape": (20000, 20000)},
            ["2.5e+08 cells are the most"],
        ),
    ],
)
def test_all_that_is_wrong_is_said_at_once(arguments, words):
    with pytest.raises(InputError, match="cannot make a target grid") as error:
        target_grid(**arguments)
    message = str(error.value)
    assert all(word in message for word in words), message
    told = re.search(r"for (\d+) reasons", message)
    assert int(told[1] if told else 1) == len(words)


@pytest.mark.filterwarnings("ignore:You will likely lose:UserWarning")
def test_the_line_for_a_crs_in_feet_helps():
    crs = CRS("EPSG:2263").to_dict() | {"units": "m"}
    assert target_grid(crs=crs, center=(40.7, -74), spacing_km=1, shape=(8, 8)).lat.size == 64
