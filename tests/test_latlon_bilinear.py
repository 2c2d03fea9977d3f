"""Bilinear weights in latitude and longitude are those of SciPy's interpolator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from xresdiff.errors import InputError
from xresdiff.grids.regrid.latlon_bilinear import interpolation

LAT, LON = np.linspace(-60, 70, 27), np.linspace(0, 350, 36)
FIELD = np.random.default_rng(0).normal(size=(LAT.size, LON.size))


def points(n=40, seed=1):
    rng = np.random.default_rng(seed)
    return {"lat": rng.uniform(-60, 70, (n, 3)), "lon": rng.uniform(0, 350, (n, 3))}


def regridded(source, target, field, **how):
    return (interpolation(source, target, **how) @ field.ravel()).reshape(target["lat"].shape)


@given(st.booleans(), st.booleans(), st.sampled_from([-720, -360, 0, 360]), st.integers(0, 99))
def test_scipy_agrees_whichever_way_the_axes_run(flip_lat, flip_lon, turn, seed):
    target = points(seed=seed)
    needed = RegularGridInterpolator((LAT, LON), FIELD)(np.stack([*target.values()], -1))
    a, b = (-1 if flip_lat else 1), (-1 if flip_lon else 1)
    source = {"lat": LAT[::a], "lon": LON[::b]}
    target = target | {"lon": target["lon"] + turn}
    found = regridded(source, target, FIELD[::a, ::b])
    np.testing.assert_allclose(found, needed, atol=1e-9)


def test_the_seam_is_closed_only_if_told():
    target = {"lat": np.array([[5.0]]), "lon": np.array([[355.0]])}
    source, field = {"lat": LAT, "lon": LON}, np.broadcast_to(np.cos(np.deg2rad(LON)), FIELD.shape)
    open_ = interpolation(source, target)
    assert open_.nnz == 0
    closed = regridded(source, target, field, periodic=True)
    np.testing.assert_allclose(closed, (1 + np.cos(np.deg2rad(350))) / 2)


def test_points_outside_have_no_weights():
    target = {"lat": np.array([-61.0, 0.0, 71.0]), "lon": np.array([351.0, 10.0])}
    weights = interpolation({"lat": LAT, "lon": LON}, target)
    assert (weights.sum(axis=1) > 0).tolist() == [False, False, False, True, False, False]


def test_the_edges_belong_to_the_grid():
    source = {"lat": LAT, "lon": np.linspace(170, 190, 5)}
    target = {"lat": LAT[[0, -1]], "lon": np.array([170, -170 + 1e-13])}
    np.testing.assert_allclose(interpolation(source, target).sum(axis=1), 1)


@pytest.mark.parametrize("lat", [np.zeros((3, 4)), np.zeros(1)])
def test_other_sources_are_refused(lat):
    with pytest.raises(InputError, match="method='bilinear' or 'nearest_s2d'"):
        interpolation({"lat": lat, "lon": LON}, points())
