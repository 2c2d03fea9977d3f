"""Corners of cells and boxes around them, against closed forms, cf-xarray and the plane."""

import cf_xarray
import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.grids.cells import corners, footprint, outline
from xresdiff.grids.cells.boxes import Box
from xresdiff.grids.coords import find_horizontal
from xresdiff.grids.target import target_grid

CORDEX = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}
POLAR = target_grid(crs="EPSG:3413", center=(90, 0), spacing_km=100, shape=(12, 14))
ROTATED = target_grid(crs=CORDEX, center=(50.75, 18.0), spacing_deg=0.44, shape=(20, 30))
BRITAIN = target_grid(crs="EPSG:27700", center=(54, -2), spacing_km=40, shape=(30, 20))


def latlon(lat, lon, **coords):
    return xr.Dataset(coords={"lat": np.asarray(lat), "lon": np.asarray(lon), **coords})


def bounded(lat, lat_b, lon, lon_b):
    ds = latlon(lat, lon, lat_b=(("lat", "b"), lat_b), lon_b=(("lon", "b"), lon_b))
    ds.lat.attrs["bounds"], ds.lon.attrs["bounds"] = "lat_b", "lon_b"
    return ds


def two_dimensional(ds):
    """Leave latitude and longitude alone of a grid of a projection."""
    return ds.drop_vars([*ds.dims, "crs"])


def of(ds, what=corners):
    return what(ds, find_horizontal(ds))


def turned(difference):
    return (difference + 180) % 360 - 180


@given(
    steps=st.lists(st.floats(0.1, 5), min_size=1, max_size=15),
    start=st.floats(-180, 360),
    north=st.booleans(),
)
def test_edges_surround_the_centres_and_flip_with_them(steps, start, north):
    lat = np.cumsum([-40, *steps])[:: -1 if north else 1]
    lon = (start + np.cumsum([0, *steps])) % 360
    lat_b, lon_b = of(latlon(lat, lon))
    assert (lat_b.shape, lon_b.shape) == ((lat.size + 1,), (lon.size + 1,))
    assert ((lat - lat_b[:-1]) * (lat_b[1:] - lat) > 0).all()
    assert (turned(lon - lon_b[:-1]) > 0).all()
    assert (turned(lon_b[1:] - lon) > 0).all()
    np.testing.assert_allclose(of(latlon(lat[::-1], lon))[0], lat_b[::-1])


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("n", [64, 73, 721])
def test_cells_of_the_globe_fill_it(direction, n):
    gaussian = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))
    lat = (gaussian if n == 64 else np.linspace(-90, 90, n))[::direction]
    lat_b, lon_b = of(latlon(lat, np.arange(120) * 3.0))
    areas = np.abs(np.diff(np.sin(np.radians(lat_b))))[:, None] * np.radians(np.diff(lon_b))
    assert areas.sum() == pytest.approx(4 * np.pi, rel=1e-12)
    assert lat_b[0] == -90 * direction


def test_cells_at_a_pole_are_not_stretched_where_the_grid_is_regional():
    lat_b, _ = of(latlon([87.6, 88.6, 89.4], [0.0, 1.0]))
    assert lat_b[-1] == pytest.approx(89.8)


def test_a_globe_written_with_few_decimals_closes():
    lon_b = of(latlon([0.0, 1.0], np.round(np.arange(1080) / 3, 3)))[1]
    assert lon_b[-1] - lon_b[0] == 360


@pytest.mark.parametrize("swap", [1, -1])
@pytest.mark.parametrize("direction", [1, -1])
def test_bounds_are_taken_in_either_order(swap, direction):
    lat = np.array([50.0, 51.0, 53.0])
    lat_b = np.array([[49.0, 50.5], [50.5, 52.0], [52.0, 54.0]])
    lon = [359.0, 0.0]
    lon_b = np.array([[358.5, 359.5], [-0.5, 0.5]])
    ds = bounded(lat[::direction], lat_b[::direction, ::swap], lon, lon_b[:, ::swap])
    got = of(ds)
    np.testing.assert_allclose(got[0], [49, 50.5, 52, 54][::direction])
    np.testing.assert_allclose(got[1], [358.5, 359.5, 360.5])


def test_one_cell_with_bounds_may_be_the_globe():
    ds = bounded([0.0], [[-90.0, 90.0]], [180.0], [[0.0, 360.0]])
    np.testing.assert_allclose(of(ds)[1], [0, 360])


@pytest.mark.parametrize(
    "lat_b",
    [
        [[49.5, 50.5], [50.9, 51.5]],
        [[49.5, 50.5], [50.5, 50.7]],
        [[0.0, 0.0], [0.0, 0.0]],
        [[np.nan, np.nan], [50.5, 51.5]],
    ],
)
def test_bounds_that_do_not_hang_together_are_refused(lat_b):
    ds = bounded([50.0, 51.0], lat_b, [0.0, 1.0], [[-0.5, 0.5], [0.5, 1.5]])
    with pytest.raises(InputError, match="'lat_b' of 'lat' do not hang together") as error:
        of(ds)
    line = "ds" + str(error.value).rpartition(": ds")[2]
    np.testing.assert_allclose(of(eval(line, {"ds": ds}))[0], [49.5, 50.5, 51.5])


def test_bounds_of_another_shape_are_refused():
    ds = latlon([50.0, 51.0], [0.0, 1.0], b=(("lat", "b"), np.zeros((2, 3))))
    ds.lat.attrs["bounds"] = "b"
    with pytest.raises(InputError, match=r"'b' run along .*ds.drop_vars\('b'\)"):
        of(ds)


def test_bounds_that_were_left_behind_do_not_matter():
    ds = latlon([50.0, 51.0], [0.0, 1.0])
    ds.lat.attrs["bounds"] = "gone"
    np.testing.assert_allclose(of(ds)[0], [49.5, 50.5, 51.5])


@pytest.mark.parametrize(
    ("lat", "words"),
    [([50.0], "has 1 value, which"), ([50.0, 52.0, 51.0], "neither rises nor falls")],
)
def test_coordinates_without_cells_are_refused(lat, words):
    with pytest.raises(InputError, match=words):
        of(latlon(lat, [0.0, 1.0]))


@pytest.mark.parametrize("ds", [ROTATED, BRITAIN])
def test_corners_by_unit_vectors_agree_with_the_plane(ds):
    exact, near = of(ds), of(two_dimensional(ds))
    cell = np.hypot(np.diff(exact[0][:, 0]).mean(), np.diff(exact[1][0]).mean())
    assert np.abs(exact[0] - near[0]).max() < 0.02 * cell
    assert np.abs(exact[1] - near[1]).max() < 0.02 * cell


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("clockwise", [False, True])
@pytest.mark.parametrize("ds", [two_dimensional(ROTATED), two_dimensional(POLAR)])
def test_two_dimensional_bounds_are_taken_whatever_their_order(ds, clockwise, shift):
    expected = of(ds)
    dims = [f"{dim}_vertices" for dim in ds.lat.dims]
    order = np.roll([0, 3, 2, 1] if clockwise else [0, 1, 2, 3], shift)
    for name, values in zip(("lat", "lon"), expected, strict=True):
        bounds = cf_xarray.vertices_to_bounds(xr.DataArray(values, dims=dims), ("v", *ds.lat.dims))
        ds = ds.assign_coords({f"{name}_v": bounds.transpose(..., "v").isel(v=order).variable})
        ds[name].attrs["bounds"] = f"{name}_v"
    shifted = ds.assign_coords(lat=ds.lat + 0.01)  # so that only the bounds can tell
    for got, values in zip(of(shifted), expected, strict=True):
        np.testing.assert_allclose(got, values)
    assert of(shifted, footprint) == of(
        two_dimensional(POLAR if "y" in ds.dims else ROTATED), footprint
    )
    rows = xr.DataArray(np.arange(ds.lat.shape[0]), dims=ds.lat.dims[0])
    torn = ds.assign_coords(lat_v=ds.lat_v - rows)
    with pytest.raises(InputError, match="share no corners; leave them out"):
        of(torn)


def test_latitudes_that_are_two_dimensional_in_name_alone_are_split_as_if_one():
    flat = latlon(np.linspace(-90, 90, 37), np.arange(72) * 5.0)
    lat, lon = xr.broadcast(flat.lat, flat.lon)
    ds = xr.Dataset(coords={"lat2": (("y", "x"), lat.values), "lon2": (("y", "x"), lon.values)})
    ds.lat2.attrs["standard_name"], ds.lon2.attrs["standard_name"] = "latitude", "longitude"
    lat_b, lon_b = of(ds)
    np.testing.assert_allclose(lat_b[:, 0], of(flat)[0])
    np.testing.assert_allclose(lon_b[0], of(flat)[1])
    assert of(ds, footprint) == Box(-90, 90, 0, 360)


def test_a_mapping_at_odds_with_the_latitudes_is_not_believed():
    """Files of WRF that leave out the radius of its earth are 20 km off."""
    lat, lon = of(two_dimensional(BRITAIN))
    wrong = BRITAIN.assign_coords(crs=((), 0, CRS("+proj=tmerc +lat_0=52 +lon_0=1").to_cf()))
    np.testing.assert_allclose(of(wrong)[0], lat)
    np.testing.assert_allclose(of(wrong)[1], lon)
    assert of(wrong, footprint) == of(two_dimensional(BRITAIN), footprint)


def test_two_dimensional_bounds_of_one_row_are_needed():
    with pytest.raises(InputError, match="1 x 30 cells tells no size"):
        of(two_dimensional(ROTATED).isel(rlat=slice(1)))


@pytest.mark.parametrize("ds", [POLAR, ROTATED, BRITAIN, two_dimensional(ROTATED)])
def test_the_outline_goes_round_all_corners(ds):
    lat, lon = of(ds)
    line = of(ds, outline)
    for values, points in ((lat, line.lat), (lon, line.lon)):
        for corner in (values[0, 0], values[0, -1], values[-1, 0], values[-1, -1]):
            assert np.abs(turned(points - corner)).min() < 1e-9
    assert line.pole == (1 if ds is POLAR else 0)


@pytest.mark.parametrize("ds", [ROTATED, BRITAIN, two_dimensional(BRITAIN)])
def test_the_footprint_is_the_box_around_the_corners(ds):
    lat, lon = of(ds)
    box = of(ds, footprint)
    assert box.covers(Box(lat.min(), lat.max(), lon.min(), lon.max()))
    assert (box.south, box.west) == pytest.approx((lat.min(), lon.min()), abs=0.02)
    assert (box.north, box.east) == pytest.approx((lat.max(), lon.max()), abs=0.02)


@pytest.mark.parametrize("ds", [POLAR, two_dimensional(POLAR)])
def test_a_pole_inside_means_all_longitudes(ds):
    box = of(ds, footprint)
    assert (box.north, box.all_longitudes) == (90, True)
    assert box.south == pytest.approx(of(ds)[0].min(), abs=0.01)


def test_the_south_pole_is_a_pole():
    ds = target_grid(crs="EPSG:3031", center=(-90, 0), spacing_km=100, shape=(8, 8))
    assert of(ds, outline).pole == -1
    assert of(ds, footprint).south == -90


def test_the_disk_of_a_satellite_has_the_box_of_what_it_shows():
    crs = CRS("+proj=geos +h=35785831 +lon_0=180")
    metres = np.linspace(-5.4e6, 5.4e6, 41)
    attrs = [{"units": "m", "axis": axis} for axis in "YX"]
    ds = xr.Dataset(coords={"y": ("y", metres, attrs[0]), "x": ("x", metres, attrs[1])})
    box = of(ds.assign_coords(crs=((), 0, crs.to_cf())), footprint)
    assert 60 < box.north < 82
    assert box.north == pytest.approx(-box.south, abs=0.01)
    assert 90 < box.west < 130
    assert box.west + box.east == pytest.approx(360, abs=0.01)


def test_lazy_latitudes_are_computed_along_the_rim_alone():
    ds = two_dimensional(BRITAIN)
    lazy = ds.assign_coords(
        {name: (("y", "x"), dask.array.from_array(ds[name].values, 5)) for name in ("lat", "lon")}
    )
    lazy.lat.attrs["units"], lazy.lon.attrs["units"] = "degrees_north", "degrees_east"
    data = lazy.assign(t=(("y", "x"), dask.array.full((30, 20), np.nan)))
    data["t"].data = data.t.data.map_blocks(lambda block: 1 / 0, dtype=float, meta=np.empty((0, 0)))
    assert of(data, footprint) == of(ds, footprint)
    middle = data.lat.data.map_blocks(_only_the_rim, dtype=float, meta=np.empty((0, 0)))
    assert of(data.assign_coords(lat=(("y", "x"), middle, lazy.lat.attrs)), footprint)


def _only_the_rim(block, block_info=None):
    row, column = block_info[0]["chunk-location"]
    if 0 < row < 5 and 0 < column < 3 and (row, column) != (3, 2):
        raise AssertionError("a block inside was computed")
    return block


def test_one_dimensional_grids_compute_nothing():
    lazy = latlon([50.0, 51.0], [0.0, 1.0]).assign(t=(("lat", "lon"), dask.array.zeros((2, 2))))
    with raise_if_dask_computes():
        of(lazy)
        of(lazy, footprint)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (Box(50, 58, 350, 362), "50.0 to 58.0 N, 10.0 W to 2.0 E"),
        (Box(-10, 20.25, 2, 10), "10.0 S to 20.25 N, 2.0 to 10.0 E"),
        (Box(-40, -30, 170, -170), "40.0 to 30.0 S, 170.0 E to 170.0 W"),
        (Box(0, 10, 170, 180), "0.0 to 10.0 N, 170.0 to 180.0 E"),
        (Box(-90, 90, 0, 360), "90.0 S to 90.0 N, all longitudes"),
    ],
)
def test_boxes_in_words(box, words):
    assert str(box) == words


@given(
    west=st.floats(-180, 180),
    width=st.floats(1, 359),
    inset=st.floats(0, 0.4),
    turns=st.integers(-1, 1),
    out=st.floats(0.01, 0.9),
)
def test_boxes_compare_in_any_convention(west, width, inset, turns, out):
    box, shift = Box(0, 10, west, west + width), 360 * turns
    inner = Box(1, 9, west + inset * width + shift, west + (1 - inset) * width + shift)
    assert box.covers(inner)
    beyond = Box(0, 10, west + shift - out * (360 - width), west + width / 2 + shift)
    (missing,) = box.missing(beyond)
    assert missing.endswith("in the west")
    assert float(missing.split()[0]) == pytest.approx(out * (360 - width), abs=1e-3)
    assert Box(-90, 90, -180, 180).covers(beyond)
    assert not box.covers(Box(0, 10, -180, 180))


def test_what_is_missing_is_said_for_each_side():
    lacking = Box(0, 10, 0, 10).missing(Box(-1, 12, -3, 14))
    assert [words.split()[0] for words in lacking] == ["1.0", "2.0", "3.0", "4.0"]
