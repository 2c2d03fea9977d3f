"""Overlaps of cells and polygons on the sphere: against plane geometry, and what must hold."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spheres import global_grid, local_grid, rotated, rotation, seeds, spun, star
from xresdiff.grids.esmf.conservative import cell_areas, overlaps, polygon_areas, polygon_overlaps


def plane(lon, lat):
    """Gnomonic projection about (0, 0): great circles become straight lines."""
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack([np.tan(lon), np.tan(lat) / np.cos(lon)], axis=-1)


def area_on_sphere(shape):
    """Area of a shape in the gnomonic plane: the triangles of its outline with (0, 0)."""
    total = 0.0
    for part in getattr(shape, "geoms", [shape]):
        if part.geom_type != "Polygon":
            continue
        x, y = shapely.get_coordinates(shapely.geometry.polygon.orient(part)).T
        dx, dy = np.diff(x), np.diff(y)
        length = np.hypot(dx, dy)
        height = (x[:-1] * dy - y[:-1] * dx) / length
        along = np.stack([x[:-1] * dx + y[:-1] * dy, x[1:] * dx + y[1:] * dy]) / length
        # (0, 0), its foot on the line and a corner make a right-angled triangle, of legs p and q.
        p, q = np.arctan(height), np.arctan(along / np.hypot(1, height))
        total += np.diff(2 * np.arctan(np.tan(p / 2) * np.tan(q / 2)), axis=0).sum()
    return total


def cells_in_plane(corners):
    """Cells of a grid near (0, 0) as shapes in the gnomonic plane."""
    points = plane(*corners)
    rings = [points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]]
    return shapely.polygons(np.stack(rings, axis=2).reshape(-1, 4, 2))


def areas_in_plane(targets, sources):
    """Overlaps of shapes in the gnomonic plane as a matrix, in steradian."""
    areas = np.zeros((len(targets), len(sources)))
    for row, col in zip(*shapely.intersects(targets[:, None], sources).nonzero(), strict=True):
        areas[row, col] = area_on_sphere(shapely.intersection(targets[row], sources[col]))
    return areas


def matrix(found, shape):
    row, col, area = found
    dense = np.zeros(shape)
    dense[row, col] = area
    return dense


class TestAgainstPlaneGeometry:
    """Shapely finds the overlaps in a projection that keeps great circles straight."""

    @given(seeds, st.floats(0.3, 3))
    @settings(max_examples=10, deadline=None)
    def test_cells(self, rng, spacing):
        source = local_grid(rng, 1.5, 7, 0.45)
        target = spun(local_grid(rng, spacing, 5, 0.3), rng.uniform(0, 6))
        expected = areas_in_plane(cells_in_plane(target), cells_in_plane(source))
        found = matrix(overlaps(source, target), expected.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-15)

    @given(seeds, st.integers(4, 60))
    @settings(max_examples=10, deadline=None)
    def test_polygons(self, rng, corners):
        source = local_grid(rng, 1.5, 9, 0.3)
        outlines = [star(rng, corners), star(rng, 5)[::-1]]
        shapes = np.array([shapely.polygons(plane(*outline.T)) for outline in outlines])
        expected = areas_in_plane(shapes, cells_in_plane(source))
        found = matrix(polygon_overlaps(source, outlines), expected.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-15)

    @given(seeds, st.integers(4, 60))
    @settings(max_examples=10, deadline=None)
    def test_areas_of_polygons(self, rng, corners):
        outline = star(rng, corners)
        expected = area_on_sphere(shapely.polygons(plane(*outline.T)))
        np.testing.assert_allclose(polygon_areas([outline]), expected, rtol=1e-11)


class TestPolygons:
    @given(seeds, st.integers(3, 40))
    @settings(max_examples=20, deadline=None)
    def test_overlaps_with_the_globe_add_up_to_the_polygon(self, rng, corners):
        outline = np.stack(rotated(star(rng, corners + 3).T, rotation(rng)), axis=1)
        _, _, area = polygon_overlaps(global_grid(rng), [outline])
        np.testing.assert_allclose(area.sum(), polygon_areas([outline])[0], rtol=1e-12)

    def test_a_cell_of_a_grid_as_a_polygon(self):
        source = np.meshgrid(np.linspace(-4, 7, 12), np.linspace(40, 51, 12))
        target = np.meshgrid([0.3, 4.1], [42.2, 49.7])
        square = np.array([[0.3, 42.2], [4.1, 42.2], [4.1, 49.7], [0.3, 49.7]])
        found = polygon_overlaps(source, [square])
        for values, expected in zip(found, overlaps(source, target), strict=True):
            np.testing.assert_allclose(values, expected, rtol=1e-12)

    @pytest.mark.parametrize("change", [lambda p: p[::-1], lambda p: np.r_[p, p[:1]]])
    def test_the_way_an_outline_is_written_does_not_matter(self, change):
        rng = np.random.default_rng(0)
        source, outline = global_grid(rng), star(rng, 25)
        found = polygon_overlaps(source, [change(outline)])
        for values, expected in zip(found, polygon_overlaps(source, [outline]), strict=True):
            np.testing.assert_allclose(values, expected, rtol=1e-11)

    def test_around_a_pole(self):
        ring = np.stack([np.arange(0.0, 360, 10), np.full(36, -60.0)], axis=1)
        cap = cell_areas(np.meshgrid(np.arange(0.0, 361, 10), [-90.0, -60.0])).sum()
        np.testing.assert_allclose(polygon_areas([ring]), cap, rtol=1e-12)

    def test_masked_cells_are_left_out(self):
        source, mask = np.meshgrid(np.arange(4.0), np.arange(4.0)), np.eye(3, dtype=bool)
        square = np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 2.5], [0.5, 2.5]])
        assert polygon_overlaps(source, [square], source_mask=mask)[1].tolist() == [0, 4, 8]

    def test_a_polygon_with_an_unknown_corner_shares_nothing(self):
        outline = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [1.0, 2.5], [0.0, np.nan]])
        assert polygon_overlaps(np.meshgrid(np.arange(4.0), np.arange(4.0)), [outline])[2].size == 0

    def test_no_polygons(self):
        row, col, area = polygon_overlaps(np.meshgrid(np.arange(4.0), np.arange(4.0)), [])
        assert (row.dtype, col.dtype, area.size) == (np.int64, np.int64, 0)
