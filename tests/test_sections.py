"""Lines across fields are placed on great circles, and the wind on them is split by the book."""

import numpy as np
import pyproj
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.verify.kernels.lines import great_circle
from xresdiff.verify.weather.sections import cross_section

GEOD = pyproj.Geod(a=6371e3, b=6371e3)
LAEA = pyproj.CRS("+proj=laea +lat_0=24 +lon_0=121 +R=6371000")
START, END = (23.2, 120.1), (24.6, 121.8)


def grid(kind):
    """Make a grid of about 10 km from 22 to 26 degrees north, 119 to 123 east."""
    lat, lon = np.linspace(22, 26, 41), np.linspace(119, 123, 41)
    if kind == "latlon":
        return {"lat": lat[::-1], "lon": lon}, ("lat", "lon"), *np.meshgrid(lat[::-1], lon)[::-1]
    plane = 1e4 * np.arange(-20.0, 21)
    turn = pyproj.Transformer.from_crs(LAEA, LAEA.geodetic_crs, always_xy=True)
    if kind == "projected":
        lon, lat = turn.transform(*np.meshgrid(plane, plane))
        y, x = (("y", plane, {"units": "m"}), ("x", plane, {"units": "m"}))
        return {"y": y, "x": x, "crs": ((), 0, LAEA.to_cf())}, ("y", "x"), lat, lon
    x, y = np.meshgrid(plane, plane)
    lon, lat = turn.transform(0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x)
    return {"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)}, ("j", "i"), lat, lon


def front(kind="latlon"):
    """Make a wind and a temperature that change from place to place, of 2 members and 3 times."""
    coords, dims, lat, lon = grid(kind)
    if kind == "latlon":
        lat, lon = np.meshgrid(coords["lat"], coords["lon"], indexing="ij")
    factor = np.array([[1.0, 2.0, 3.0], [0.5, 1.0, 1.5]])[..., None, None]
    fields = {
        "u10": factor * (10 + 2 * (lat - 24)),
        "v10": factor * (4 + (lon - 121)),
        "t2m": 290 - factor * (lat - 24) + 0 * lon,
    }
    units = {"u10": "m s-1", "v10": "m s-1", "t2m": "K"}
    dims = ("member", "time", *dims)
    ds = xr.Dataset({n: (dims, f.astype("f4"), {"units": units[n]}) for n, f in fields.items()})
    return ds.assign_coords(coords).assign_coords(member=[0, 1], time=[0, 6, 12])


@pytest.mark.parametrize("kind", ["latlon", "projected", "curvilinear"])
def test_wind_and_temperature_are_those_of_the_points(kind):
    line = cross_section(front(kind), start=START, end=END, points=9)
    assert line.t2m.dims == ("member", "time", "distance")
    lat, lon = line.latitude, line.longitude
    there = line.isel(member=0, time=1)
    np.testing.assert_allclose(there.t2m, 290 - 2 * (lat - 24), atol=2e-3)
    u, v = 2 * (10 + 2 * (lat - 24)), 2 * (4 + (lon - 121))
    azimuth, *_ = GEOD.inv(lon[:-1], lat[:-1], lon[1:], lat[1:])  # clockwise from north
    bearing = np.radians(azimuth)
    u, v = u.values[:-1], v.values[:-1]
    along = u * np.sin(bearing) + v * np.cos(bearing)
    across = -u * np.cos(bearing) + v * np.sin(bearing)
    np.testing.assert_allclose(there.along_wind[:-1], along, atol=0.01)
    np.testing.assert_allclose(there.across_wind[:-1], across, atol=0.01)


def test_the_points_are_those_of_the_geodesic():
    line = cross_section(front().t2m, start=START, end=END, points=9)
    _, _, metres = GEOD.inv(*START[::-1], *END[::-1])
    np.testing.assert_allclose(line.distance, np.linspace(0, metres / 1e3, 9), atol=1e-6)
    between = GEOD.npts(*START[::-1], *END[::-1], 7)
    np.testing.assert_allclose(line.longitude[1:-1], [p[0] for p in between], atol=1e-9)
    np.testing.assert_allclose(line.latitude[1:-1], [p[1] for p in between], atol=1e-9)
    np.testing.assert_allclose(
        [line.latitude[0], line.longitude[0], line.latitude[-1], line.longitude[-1]], START + END
    )


@pytest.mark.parametrize(
    ("start", "end", "along", "across"),
    [
        ((24, 120), (24.001, 120), 5, -10),  # to the north: the west wind is from the left
        ((24, 120), (24, 120.001), 10, 5),
        ((24, 120), (23.999, 120), -5, 10),
        ((24, 120), (24, 119.999), -10, -5),
    ],
)
def test_signs_of_the_wind(start, end, along, across):
    ds = front().isel(member=0, time=0)
    ds = ds.assign(u10=0 * ds.u10 + 10, v10=0 * ds.v10 + 5)
    line = cross_section(ds, start=start, end=end, points=2)
    np.testing.assert_allclose(line.along_wind, along, atol=1e-3)
    np.testing.assert_allclose(line.across_wind, across, atol=1e-3)


def test_is_labelled():
    ds = front("projected")
    ds.t2m.attrs |= {"long_name": "temperature", "grid_mapping": "crs"}
    line = cross_section(ds.assign(ocean=("depth", [1.0])), start=START, end=END)
    assert set(line) == {"u10", "v10", "t2m", "along_wind", "across_wind"}
    assert set(line.coords) == {"member", "time", "distance", "latitude", "longitude"}
    assert line.distance.attrs == {
        "units": "km",
        "long_name": "distance from the start of the line",
    }
    assert line.longitude.units == "degrees_east"
    assert line.t2m.attrs == {"long_name": "temperature", "units": "K"}
    assert line.along_wind.attrs == {
        "long_name": "wind along the line, towards its end",
        "units": "m s-1",
    }
    assert 0.8 * 10 < line.distance.diff("distance").max() <= 10.0
    alone = cross_section(ds.t2m, start=START, end=END)
    xr.testing.assert_identical(alone, line.t2m)


def test_a_line_is_the_same_both_ways_but_for_the_signs():
    ds = front()
    there = cross_section(ds, start=START, end=END, points=6)
    back = cross_section(ds, start=END, end=START, points=6)
    np.testing.assert_allclose(there.along_wind, -back.along_wind[..., ::-1], rtol=1e-5)
    np.testing.assert_allclose(there.across_wind, -back.across_wind[..., ::-1], rtol=1e-5)
    np.testing.assert_allclose(there.t2m, back.t2m[..., ::-1], rtol=1e-6)


def test_a_line_crosses_the_date_line():
    ds = front()
    far = ds.assign_coords(lon=(ds.lon + 59 + 180) % 360 - 180)  # 178 east to 178 west
    start, end = ((lat, lon + 59) for lat, lon in (START, END))
    here = cross_section(ds, start=START, end=END, points=8)
    there = cross_section(far, start=start, end=(end[0], end[1] - 360), points=8)
    np.testing.assert_allclose(there.longitude, here.longitude + 59, atol=1e-9)
    for name in here:
        np.testing.assert_allclose(there[name], here[name], atol=1e-3)


@pytest.mark.parametrize("method", ["bilinear", "latlon_bilinear", "nearest"])
def test_outside_of_the_grid_nothing_is_known(method):
    ds = front()
    line = cross_section(ds.t2m, start=(24, 121), end=(24, 124.9), points=9, method=method)
    known = line.isel(member=0, time=0).notnull()
    inside = line.longitude <= (123.1 if method == "nearest" else 123)
    np.testing.assert_array_equal(known, inside)


def test_takes_the_nearest_points():
    ds = front().isel(member=0, time=0)
    line = cross_section(ds.t2m, start=START, end=END, points=5, method="nearest")
    there = ds.t2m.sel(lat=line.latitude, lon=line.longitude, method="nearest")
    np.testing.assert_array_equal(line, there)


def test_missing_values_stay_missing():
    ds = front().isel(member=0, time=0)
    holed = ds.t2m.where(ds.lon < 121)
    line = cross_section(holed, start=(24, 120), end=(24, 122), points=11)
    np.testing.assert_array_equal(line.notnull(), line.longitude <= 120.9)


def test_wind_along_the_axes_of_the_grid_is_turned():
    ds = front("projected").isel(member=0, time=0)
    _, _, lat, lon = grid("projected")
    angle = np.radians(pyproj.Proj(LAEA).get_factors(lon, lat).meridian_convergence)
    u, v = ds.u10, ds.v10
    turned = xr.Dataset(
        {
            "x_wind": u * np.cos(angle) - v * np.sin(angle),
            "y_wind": u * np.sin(angle) + v * np.cos(angle),
        }
    )
    other = turned.assign(x_wind=u * np.cos(angle) + v * np.sin(angle))
    other["y_wind"] = v * np.cos(angle) - u * np.sin(angle)
    true = cross_section(ds, start=START, end=END, points=5)
    lines = [cross_section(d, start=START, end=END, points=5) for d in (turned, other)]
    errors = [float(abs(line.along_wind - true.along_wind).max()) for line in lines]
    assert min(errors) < 2e-3
    assert max(errors) > 0.02


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"end": START}, "the same place"),
        ({"start": (23.2, 120.1), "end": (-23.2, -59.9)}, "opposite ones"),
        ({"start": (120.1, 23.2)}, "is no latitude"),
        ({"start": (50, 0), "end": (50, 10)}, "wholly outside .* latitudes 22 to 26"),
        ({"points": 1}, "two or more"),
        ({"points": 2.5}, "whole number"),
        ({"points": True}, "whole number"),
        ({"start": 24.0}, r"start=\(23.5, 121.0\)"),
        ({"end": (24.0,)}, r"end=\(23.5, 121.0\)"),
        ({"method": "conservative"}, "type method="),
        ({"u": "u10"}, "name both"),
    ],
)
def test_refuses_lines_that_are_none(options, told):
    with pytest.raises(InputError, match=told):
        cross_section(front(), **{"start": START, "end": END} | options)


@pytest.mark.parametrize("kind", ["latlon", "projected", "curvilinear"])
@pytest.mark.parametrize("chunks", [{"member": 1, "time": 2}, "space"])
def test_is_lazy_and_the_same_for_any_chunks(kind, chunks):
    ds = front(kind)
    along = dict(zip(ds.t2m.dims[-2:], (10, 30), strict=True)) if chunks == "space" else chunks
    lazy = ds.chunk(along).assign_coords(ds.coords)  # two-dimensional ones are read
    with raise_if_dask_computes():
        line = cross_section(lazy, start=START, end=END, points=5)
    assert all(variable.chunks is not None for variable in line.values())
    xr.testing.assert_allclose(line, cross_section(ds, start=START, end=END, points=5), rtol=1e-6)


def test_longitudes_begin_as_they_were_typed():
    np.testing.assert_allclose(great_circle((0.0, 270.0), (0.0, -80.0), 3).lon, [270, 275, 280])
    np.testing.assert_allclose(great_circle((0.0, -90.0), (0.0, 280.0), 3).lon, [-90, -85, -80])


def test_great_circles_over_the_pole():
    line = great_circle((80.0, 20.0), (80.0, 200.0), 5)
    np.testing.assert_allclose(line.lat, [80, 85, 90, 85, 80], atol=1e-6)
    np.testing.assert_allclose(line.north[[0, 1, 3, 4]], [1, 1, -1, -1], atol=1e-6)
    np.testing.assert_allclose(np.hypot(line.east, line.north), 1)


@pytest.mark.parametrize("kind", ["latlon", "projected"])
def test_wind_near_the_pole_is_that_of_the_points(kind):
    if kind == "latlon":
        coords, dims = {"lat": np.arange(80.0, 90), "lon": np.arange(0.0, 360, 2)}, ("lat", "lon")
        _, lon = np.meshgrid(coords["lat"], coords["lon"], indexing="ij")
    else:
        steps = 50e3 * np.arange(-20.0, 21)
        crs = pyproj.CRS("+proj=laea +lat_0=90 +lon_0=0 +R=6371000")
        turn = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
        lon, _ = turn.transform(*np.meshgrid(steps, steps))
        sides = {d: (d, steps, {"units": "m"}) for d in "yx"}
        coords, dims = sides | {"crs": ((), 0, crs.to_cf())}, ("y", "x")
    # an even wind over the pole, along the meridian of 0 from there to 180 degrees
    angle = np.radians(lon)
    wind = {"u10": np.sin(angle) * 10.0, "v10": np.cos(angle) * 10.0}
    ds = xr.Dataset({n: (dims, w, {"units": "m s-1"}) for n, w in wind.items()}, coords)
    line = cross_section(ds, start=(86.0, 0.5), end=(86.0, 180.5), points=17)
    known = line.along_wind.notnull()
    assert known.sum() >= 12
    np.testing.assert_allclose(line.along_wind[known], 10, atol=0.05)
    np.testing.assert_allclose(line.across_wind[known], 0, atol=0.2)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_precision_is_that_of_the_data(dtype):
    line = cross_section(front().astype(dtype, keep_attrs=True), start=START, end=END, points=4)
    assert {variable.dtype for variable in line.values()} == {np.dtype(dtype)}


def test_both_components_are_read_in_one_unit():
    ds = front().isel(member=0, time=0)
    knots = ds.assign(v10=(ds.v10 / 0.514444).assign_attrs(units="kt"))
    found, wanted = (cross_section(d, start=START, end=END, points=4) for d in (knots, ds))
    np.testing.assert_allclose(found.along_wind, wanted.along_wind, rtol=1e-4)
    assert found.along_wind.units == "m s-1"


def test_of_several_winds_none_is_split_unless_it_is_named():
    ds = front()
    twice = ds.assign(u100=ds.u10, v100=ds.v10)
    options = {"start": START, "end": END, "points": 4}
    assert set(cross_section(twice, **options)) == set(twice)
    named = cross_section(twice, u="u100", v="v100", **options)
    assert named.along_wind.identical(cross_section(ds, **options).along_wind)


def test_names_of_its_own_are_kept_or_refused():
    ds = front()
    options = {"start": START, "end": END, "points": 4}
    line = cross_section(ds.assign(along_wind=ds.t2m), **options)
    np.testing.assert_array_equal(line.along_wind, line.t2m)
    assert "across_wind" in line
    with pytest.raises(InputError, match=r"ds.rename\(distance='other'\)"):
        cross_section(ds.rename(member="distance"), **options)
