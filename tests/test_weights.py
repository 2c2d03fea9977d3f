"""The cells of a grid fill what they should."""

import numpy as np
import pytest
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import EARTH_RADIUS_KM
from xresdiff.verify.scores import crps
from xresdiff.verify.weights import cell_area


def test_of_latitude_and_longitude_fills_the_sphere():
    ds = xr.Dataset(coords={"lat": np.linspace(90, -90, 19), "lon": np.arange(0, 360, 10.0)})
    area = cell_area(ds)
    assert area.dims == ("lat", "lon")
    assert area.units == "m2"
    assert area.sum() == pytest.approx(4 * np.pi * (1e3 * EARTH_RADIUS_KM) ** 2)
    assert area.sel(lat=60, lon=0) / area.sel(lat=0, lon=0) == pytest.approx(0.5, rel=1e-3)


def test_of_a_projection():
    x = ("x", [0.0, 2.0, 4.0], {"units": "km", "standard_name": "projection_x_coordinate"})
    y = ("y", [3.0, 2.0, 1.0], {"units": "km", "standard_name": "projection_y_coordinate"})
    assert (cell_area(xr.Dataset(coords={"x": x, "y": y})) == 2e6).all()


def test_of_a_curvilinear_grid_is_that_of_the_same_rectilinear_one():
    lat, lon = np.linspace(50, 51, 11), np.linspace(5, 7, 21)
    straight = cell_area(xr.Dataset(coords={"lat": lat, "lon": lon}))
    lat2, lon2 = np.meshgrid(lat, lon, indexing="ij")
    grid = {"lat": (("y", "x"), lat2), "lon": (("y", "x"), lon2)}
    area = cell_area(xr.Dataset(coords=grid))
    assert area.dims == ("y", "x")
    np.testing.assert_allclose(area[1:-1, 1:-1], straight[1:-1, 1:-1], rtol=1e-4)


def test_weighs():
    coords = {"lat": [0.0, 60.0], "lon": [0.0, 1.0]}
    ens = xr.DataArray(np.ones((2, 2, 2)), dims=("member", "lat", "lon")).assign_coords(coords)
    ens[:, 0] = 4
    obs = xr.DataArray(np.zeros((2, 2)), coords, ("lat", "lon"))
    assert crps(ens, obs) == 2.5
    assert crps(ens, obs, weights=cell_area(ens)) == pytest.approx(3.0, rel=1e-3)


def test_needs_two_points_and_a_unit():
    with pytest.raises(InputError, match=r"'lon'.*single point"):
        cell_area(xr.Dataset(coords={"lat": [1.0, 2.0], "lon": [1.0]}))
    with pytest.raises(InputError, match="no unit of length"):
        cell_area(xr.Dataset(coords={"y": [1.0, 2.0], "x": [1.0, 2.0]}))
