"""Nearest neighbours and the extrapolation made of them, against every distance there is."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xresdiff.grids.esmf import import_xesmf, nearest
from xresdiff.grids.esmf.sphere import sphere_points

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
few = settings(max_examples=40, deadline=None)


def squares(points, places):
    dx, dy, dz = np.moveaxis(points - places[:, np.newaxis], -1, 0)
    return dx * dx + dy * dy + dz * dz  # in ESMF's order: its rounding decides ties


@few
@given(seeds, st.booleans())
def test_every_distance_agrees(rng, ties):
    """On a regular grid, seen from half-way points, most neighbours are as near as another."""
    lon, lat = np.meshgrid(np.arange(0, 360, 30.0), np.arange(-90, 91, 15.0))
    places = sphere_points((lon + 15 * ties).ravel(), lat.ravel())
    if not ties:
        places = np.concatenate([places, sphere_points(*rng.uniform(-90, 90, (2, 50)))])
    points = sphere_points(lon, lat).reshape(-1, 3)
    points = points[rng.permutation(len(points))[: rng.integers(1, len(points))]]
    count = min(len(points), rng.integers(1, 9))
    index, square = nearest.nearest(points, places, count)
    every = squares(points, places)
    needed = np.argsort(every, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(index, needed)
    np.testing.assert_array_equal(square, np.take_along_axis(every, needed, axis=1))


def test_neighbours_are_searched_in_pieces(monkeypatch):
    points, places = np.random.default_rng(0).normal(size=(2, 50, 3))
    whole = nearest.nearest(points, places, 3)
    monkeypatch.setattr(nearest, "PAIRS", 7)
    np.testing.assert_array_equal(nearest.nearest(points, places, 3), whole)


@given(st.floats(0.1, 300), st.floats(1e-12, 1))
def test_weights_fall_with_the_power_of_the_distance(exponent, square):
    nearer, farther = nearest.inverse_distances(square * np.array([[1.0, 4.0]]), exponent)[0]
    assert nearer + farther == pytest.approx(1)
    assert farther == pytest.approx(nearer / 2**exponent)


LAND = xr.Dataset(
    {"mask": (("lat", "lon"), [[1, 1, 1], [1, 0, 1], [1, 1, 1]])},
    {"lat": [0.0, 1, 2], "lon": [0.0, 1, 2]},
)


def regridder(target, **how):
    return import_xesmf().Regridder(LAND, target, "bilinear", **how)


@pytest.mark.parametrize("how", ["nearest_s2d", "inverse_dist"])
def test_masked_points_extrapolate_nothing(how):
    around = xr.Dataset(coords={"lat": [-1.0, 1, 3], "lon": [-1.0, 1, 3]})
    weights = regridder(around, extrap_method=how).weights.data.todense()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert not weights[:, 4].any()


def test_a_target_on_a_point_takes_all_of_it():
    corner = xr.Dataset(coords={"lat": [0.0], "lon": [0.0]})
    weights = regridder(corner, extrap_method="inverse_dist").weights.data.todense()
    np.testing.assert_allclose(weights, np.eye(9)[:1])


@pytest.mark.parametrize("ends", [{"locstream_in": True}, {"locstream_out": True}])
@pytest.mark.parametrize("method", ["nearest_s2d", "nearest_d2s"])
def test_locations_may_be_at_either_end(ends, method):
    lon, lat = np.array([0.1, 1.9, np.nan]), np.array([0.1, 2.2, 1.0])
    places = xr.Dataset({"lon": ("place", lon), "lat": ("place", lat)})
    grid = LAND.drop_vars("mask")
    pair = (places, grid) if "locstream_in" in ends else (grid, places)
    weights = import_xesmf().Regridder(*pair, method, **ends).weights.data.todense()
    one_each = weights.sum(axis=1 if method == "nearest_s2d" else 0)
    finite = ("locstream_in" in ends) == (method == "nearest_s2d")
    np.testing.assert_array_equal(one_each, np.ones(9) if finite else [1, 1, 0])
    of_places = weights.T if "locstream_in" in ends else weights
    assert of_places[0, 0] == of_places[1, 8] == 1
    assert not of_places[2].any()
