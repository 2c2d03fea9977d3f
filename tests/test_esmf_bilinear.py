"""Bilinear weights on the sphere: what must hold on any grid, against plain geometry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xresdiff.grids.esmf import quads
from xresdiff.grids.esmf.bilinear import bilinear
from xresdiff.grids.esmf.quads import NOWHERE, find_in_quads, invert, quads_of
from xresdiff.grids.esmf.sphere import sphere_points

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
few = settings(max_examples=30, deadline=None)


def rectilinear(lon, lat):
    return sphere_points(*np.meshgrid(lon, lat))


def everything(points):
    return np.ones(points.shape[:2], bool)


def dense(weights, n_targets, points):
    matrix = np.zeros((n_targets, points[..., 0].size))
    np.add.at(matrix, (weights.target, weights.source), weights.value)
    return matrix


def made(points, places, used=None, *, periodic=False):
    used = everything(points) if used is None else used
    return dense(bilinear(points, used, places, periodic=periodic), len(places), points)


def anywhere(rng, n):
    """Return places all over the earth."""
    places = rng.normal(size=(n, 3))
    return places / np.linalg.norm(places, axis=1, keepdims=True)


def curvilinear(rng, sizes=(0.02, 1.0, 5.0)):
    """Return a grid without symmetry, anywhere on the earth, its cells of some size in degrees."""
    ny, nx, size = *rng.integers(2, 9, 2), rng.choice(sizes)
    y, x = np.mgrid[:ny, :nx] + rng.uniform(-0.2, 0.2, (2, ny, nx))
    turn = rng.uniform(0, 2 * np.pi)
    east, north = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    flat = np.stack([np.full(east.shape, 180 / np.pi / size), east, north], axis=-1)
    basis, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    points = flat @ basis
    return points / np.linalg.norm(points, axis=-1, keepdims=True)


def around(rng, points, n):
    """Return places on and around a regional grid."""
    centre = points.mean(axis=(0, 1))
    reach = np.linalg.norm(points - centre, axis=-1).max()
    places = centre + reach * rng.uniform(-1, 1, (n, 3))
    return places / np.linalg.norm(places, axis=1, keepdims=True)


def global_grid(rng):
    """Return a periodic grid with or without rows at the poles, any way round."""
    nx, ny = rng.integers(3, 20), rng.integers(2, 12)
    lat = np.linspace(-90, 90, ny + 1) if rng.random() < 0.5 else np.linspace(-80, 85, ny + 1)
    lon = rng.uniform(-400, 400) + 360 / nx * np.arange(nx)
    return rectilinear(lon[:: rng.choice([-1, 1])], lat[:: rng.choice([-1, 1])])


@few
@given(seeds)
def test_the_weighted_points_lie_where_the_target_does(rng):
    points = curvilinear(rng)
    places = around(rng, points, 200)
    matrix = made(points, places)
    mapped = matrix.any(axis=1)
    mean = matrix @ points.reshape(-1, 3)
    away = np.linalg.norm(np.cross(mean, places), axis=1)
    assert away[mapped].max(initial=0) < 1e-9
    np.testing.assert_allclose(matrix[mapped].sum(axis=1), 1)
    assert matrix.min() >= 0


@few
@given(seeds)
def test_a_target_is_mapped_if_it_lies_between_the_sides_of_a_cell(rng):
    points = curvilinear(rng)
    places = around(rng, points, 200)
    corners = points.reshape(-1, 3)[quads_of(*points.shape[:2], periodic=False)]  # (4, cell, 3)
    sides = np.cross(corners, np.roll(corners, -1, axis=0))
    sides /= np.linalg.norm(sides, axis=-1, keepdims=True)
    beyond = np.einsum("scx,px->psc", sides, places)
    inside = (beyond > 0).all(axis=1) | (beyond < 0).all(axis=1)
    clear = np.abs(beyond).min(axis=(1, 2)) > 1e-8  # of the tolerance of the sides
    np.testing.assert_array_equal(
        made(points, places).any(axis=1)[clear], inside.any(axis=1)[clear]
    )


@few
@given(seeds)
def test_a_periodic_grid_covers_the_earth(rng):
    points = global_grid(rng)
    places = np.concatenate([anywhere(rng, 200), points.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]])
    np.testing.assert_allclose(made(points, places, periodic=True).sum(axis=1), 1)


@few
@given(seeds, st.booleans(), st.booleans())
def test_mirrored_grids_have_mirrored_weights(rng, flip_y, flip_x):
    points = curvilinear(rng)
    places = around(rng, points, 100)
    flip = (slice(None, None, -1 if flip_y else 1), slice(None, None, -1 if flip_x else 1))
    shape = (len(places), *points.shape[:2])
    mirrored = made(points[flip], places).reshape(shape)[:, *flip]
    np.testing.assert_allclose(mirrored, made(points, places).reshape(shape), atol=1e-6)


@few
@given(seeds)
def test_points_serve_themselves(rng):
    points = curvilinear(rng, sizes=(1.0, 5.0))  # on smaller ones ESMF's early end shows
    matrix = made(points, points.reshape(-1, 3))
    np.testing.assert_allclose(matrix, np.eye(len(matrix)), atol=1e-7)


@few
@given(seeds, st.booleans())
def test_masked_points_are_not_used(rng, periodic):
    points = global_grid(rng)
    used, places = rng.random(points.shape[:2]) < 0.8, anywhere(rng, 300)
    matrix = made(points, places, used, periodic=periodic)
    assert not matrix[:, ~used.ravel()].any()
    mapped = matrix.any(axis=1)
    np.testing.assert_allclose(matrix[mapped].sum(axis=1), 1)
    bare = made(points, places, periodic=periodic)
    untouched = mapped & ~bare[:, ~used.ravel()].any(axis=1)
    np.testing.assert_allclose(matrix[untouched], bare[untouched], atol=1e-7)


@few
@given(seeds)
def test_missing_coordinates_of_the_source_act_as_a_mask(rng):
    points = curvilinear(rng)
    used, places = rng.random(points.shape[:2]) < 0.8, around(rng, points, 100)
    holes = np.where(used[..., np.newaxis], points, np.nan)
    np.testing.assert_array_equal(made(holes, places), made(points, places, used))


def test_missing_coordinates_of_targets_get_no_weights():
    points = rectilinear([0.0, 1], [0.0, 1])
    places = sphere_points(np.array([0.5, np.nan, 0.5]), np.array([0.5, 0.5, np.nan]))
    np.testing.assert_array_equal(made(points, places).any(axis=1), [True, False, False])


def test_the_pole_is_the_mean_of_the_unmasked_points_around_it():
    points = rectilinear(np.arange(0, 360, 60.0), [60.0, 80])
    used = everything(points)
    used[1, 4] = False
    needed = np.zeros((2, 6))
    needed[1] = used[1] / 5
    found = made(points, np.array([[0.0, 0, 1]]), used, periodic=True)
    np.testing.assert_allclose(found.reshape(2, 6), needed, atol=1e-12)


def test_without_periodic_neither_the_seam_nor_the_pole_is_served():
    points = rectilinear(np.arange(0, 360, 30.0), [60.0, 80])
    places = sphere_points(np.array([345.0, 345, 15]), np.array([70.0, 85, 70]))
    np.testing.assert_array_equal(made(points, places).any(axis=1), [False, False, True])
    np.testing.assert_allclose(made(points, places, periodic=True).sum(axis=1), 1)


def test_rows_in_one_hemisphere_leave_the_other_alone():
    points = rectilinear(np.arange(0, 360, 30.0), [10.0, 45])
    places = sphere_points(np.array([40.0, 40, 40]), np.array([-5.0, 30, 80]))
    matrix = made(points, places, periodic=True)
    np.testing.assert_allclose(matrix.sum(axis=1), [0, 1, 1])
    assert not matrix[2, :12].any()  # the row at 45 N is the nearer


def test_a_target_a_little_outside_is_clipped_to_the_side():
    points = rectilinear([0.0, 1], [-1.0, 1])
    lon = np.array([-4e-8, -7e-8])
    np.testing.assert_allclose(
        made(points, sphere_points(lon, np.zeros(2))), [[0.5, 0, 0.5, 0], [0] * 4]
    )


@few
@given(seeds)
def test_the_search_misses_no_cell(rng):
    """Cells of very different sizes, with a wide one where the columns jump."""
    columns = np.cumsum(10 ** rng.uniform(-2, 1, 9)), np.sort(rng.uniform(200, 300, 3))
    points = rectilinear(np.concatenate(columns), np.cumsum(10 ** rng.uniform(-2, 1, 6)) - 20)
    flat = np.ascontiguousarray(points.reshape(-1, 3).T)
    cells = quads_of(*points.shape[:2], periodic=False)
    places = np.concatenate([anywhere(rng, 50), around(rng, points[:, :9], 50)]).T
    pairs = np.repeat(cells, places.shape[1], axis=1), np.tile(places, cells.shape[1])
    excess = invert(flat, *pairs)[2].reshape(cells.shape[1], -1).min(axis=0)
    found = find_in_quads(flat, cells, places)
    np.testing.assert_array_equal(found.cell != NOWHERE, excess < 1)


def test_places_are_searched_in_pieces(monkeypatch):
    rng = np.random.default_rng(0)
    points, places = global_grid(rng), anywhere(rng, 100)
    whole = made(points, places, periodic=True)
    monkeypatch.setattr(quads, "CHUNK", 7)
    monkeypatch.setattr(quads, "PAIRS", 11)
    np.testing.assert_array_equal(made(points, places, periodic=True), whole)


@pytest.mark.parametrize("turns", [-720, -360, 360])
def test_longitudes_may_be_of_any_turn(turns):
    lon, lat = np.linspace(170, 190, 9), np.linspace(-5, 5, 6)
    target = rectilinear(np.linspace(172, 188, 7), np.linspace(-4, 4, 7)).reshape(-1, 3)
    turned = made(rectilinear(np.where(lon > 180, lon + turns, lon), lat), target)
    np.testing.assert_allclose(turned, made(rectilinear(lon, lat), target), atol=1e-7)
