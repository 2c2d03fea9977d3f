"""Overlaps of cells on the sphere: against ESMF, and what must hold."""

from pathlib import Path

import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spheres import global_grid, local_grid, rotated, rotation, seeds, spun, sums
from xresdiff.errors import InputError
from xresdiff.grids.esmf import box_tree, conservative
from xresdiff.grids.esmf.conservative import (
    cell_areas,
    degenerate_cells,
    overlaps,
    polygon_areas,
    polygon_overlaps,
)

FOLDER = Path(__file__).parents[2] / "shared" / "esmf-reference"
GRID_CASES = [
    "f1_conservative_fine_to_coarse",
    "f2_conservative_normed_fine_to_coarse",
    "h_conservative_coarse_to_fine",
    "j5_conservative_masks",
    "m3_conservative_descending",
]
needs_reference = pytest.mark.skipif(
    not FOLDER.exists(), reason=f"the weights made by ESMF are not at {FOLDER}"
)


def reference(case):
    with xr.open_dataset(FOLDER / f"{case}.nc") as ds:
        return ds.load()


def corners_of(ds, side):
    return tuple(np.meshgrid(ds[f"{side}_lon_b"].values, ds[f"{side}_lat_b"].values))


def mask_of(ds, side):
    return ds[f"{side}_mask"].values == 1 if f"{side}_mask" in ds else None


class TestAgainstESMF:
    @needs_reference
    @pytest.mark.parametrize("case", GRID_CASES)
    def test_the_same_pairs(self, case):
        ds = reference(case)
        row, col, _ = overlaps(
            corners_of(ds, "src"),
            corners_of(ds, "dst"),
            source_mask=mask_of(ds, "src"),
            target_mask=mask_of(ds, "dst"),
        )
        np.testing.assert_array_equal(np.stack([row, col]), np.stack([ds.row - 1, ds.col - 1]))

    @needs_reference
    @pytest.mark.parametrize("case", GRID_CASES)
    def test_the_same_weights(self, case):
        ds = reference(case)
        row, col, area = overlaps(
            corners_of(ds, "src"),
            corners_of(ds, "dst"),
            source_mask=mask_of(ds, "src"),
            target_mask=mask_of(ds, "dst"),
        )
        covered, whole = sums(row, area, corners_of(ds, "dst"))
        weights = np.zeros((ds.sizes["dst_y"] * ds.sizes["dst_x"], ds.src_area.size))
        weights[row, col] = area / (covered if "normed" in ds.method else whole)[row]
        weights[ds.row - 1, ds.col - 1] -= ds.S
        np.testing.assert_allclose(weights, 0, atol=1e-11)

    @needs_reference
    @pytest.mark.parametrize("side", ["src", "dst"])
    @pytest.mark.parametrize("case", GRID_CASES)
    def test_the_same_areas(self, case, side):
        ds = reference(case)
        np.testing.assert_allclose(cell_areas(corners_of(ds, side)), ds[f"{side}_area"], rtol=1e-12)

    @needs_reference
    @pytest.mark.parametrize("number", range(3))
    def test_the_same_means_over_polygons(self, number):
        ds = reference("q_spatial_averager")
        polygon = shapely.from_wkt(ds.polygons_wkt.split(" | ")[number])
        rings, signs = [], []
        for part in getattr(polygon, "geoms", [polygon]):
            holes = [ring.coords for ring in part.interiors]
            rings += [np.float32(c[:-1]) for c in (part.exterior.coords, *holes)]
            signs += [1] + [-1] * len(holes)
        row, col, area = polygon_overlaps(corners_of(ds, "src"), rings)
        weights = np.bincount(col, area * np.array(signs)[row], minlength=ds.src_smooth.size)
        weights /= polygon_areas(rings) @ signs
        of_esmf = ds.row.values == number + 1
        weights[ds.col.values[of_esmf] - 1] -= ds.S.values[of_esmf]
        np.testing.assert_allclose(weights, 0, atol=1e-12)  # ESMF's corners are float32 as well


class TestWhatMustHold:
    @given(seeds)
    @settings(max_examples=40, deadline=None)
    def test_overlaps_of_global_grids_add_up_to_both(self, rng):
        source, target = global_grid(rng), rotated(global_grid(rng), rotation(rng))
        row, col, area = overlaps(source, target)
        np.testing.assert_allclose(*sums(row, area, target), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(*sums(col, area, source), rtol=1e-12, atol=1e-15)

    @given(seeds)
    @settings(max_examples=40, deadline=None)
    def test_overlaps_of_latitude_longitude_grids_add_up_to_both(self, rng):
        source, target = global_grid(rng), global_grid(rng)
        row, col, area = overlaps(source, target)
        np.testing.assert_allclose(*sums(row, area, target), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(*sums(col, area, source), rtol=1e-12, atol=1e-15)

    @given(seeds, st.floats(0.02, 5))
    @settings(max_examples=40, deadline=None)
    def test_cells_of_any_size_and_shape_are_covered_by_the_globe(self, rng, spacing):
        # Moved by up to 0.6 of a cell: many are not convex, some are bow ties.
        target = rotated(local_grid(rng, spacing, 10, 0.6), rotation(rng))
        row, _, area = overlaps(global_grid(rng), target)
        rounding = 1e-15 / np.radians(spacing)
        covered, whole = sums(row, area, target)
        np.testing.assert_allclose(covered, whole, atol=1e-12 * whole.max(), rtol=1e-12 + rounding)

    @given(seeds, st.floats(0.1, 10))
    @settings(max_examples=40, deadline=None)
    def test_cells_that_are_not_convex_leave_no_gaps(self, rng, ratio):
        place = rotation(rng)
        source = rotated(local_grid(rng, 1.0, 24, 0.45), place)
        inner = local_grid(rng, ratio, min(int(14 / ratio), 30), 0.0)
        target = rotated(spun(inner, rng.uniform(0, 6)), place)
        row, _, area = overlaps(source, target)
        np.testing.assert_allclose(*sums(row, area, target), rtol=1e-12)

    @given(seeds)
    @settings(max_examples=20, deadline=None)
    def test_source_and_target_can_change_places(self, rng):
        source, target = global_grid(rng), rotated(global_grid(rng), rotation(rng))
        row, col, area = overlaps(source, target)
        col_back, row_back, area_back = overlaps(target, source)
        order = np.lexsort([col_back, row_back])
        np.testing.assert_array_equal(row * 10**6 + col, (row_back * 10**6 + col_back)[order])
        np.testing.assert_allclose(area, area_back[order], rtol=1e-11, atol=1e-15)

    @given(seeds)
    @settings(max_examples=20, deadline=None)
    def test_a_grid_written_in_another_way_overlaps_itself_alone(self, rng):
        lon, lat = global_grid(rng)
        lon, lat = rotated((lon, lat), rotation(rng)) if rng.random() < 0.5 else (lon, lat)
        _, col, area = overlaps((lon, lat), (lon[::-1] - 360, lat[::-1]))
        assert area.size == (lon.shape[0] - 1) * (lon.shape[1] - 1)
        np.testing.assert_allclose(area, cell_areas((lon, lat)).ravel()[col], rtol=1e-12)

    @given(seeds)
    @settings(max_examples=20, deadline=None)
    def test_pairs_come_sorted_and_once(self, rng):
        source = rotated(local_grid(rng, 2.0, 10, 0.6), rotation(rng))
        row, col, area = overlaps(source, global_grid(rng))
        assert row.dtype == col.dtype == np.int64
        assert (np.diff(row * 10**6 + col) > 0).all()
        assert (area > 0).all()

    @given(seeds)
    @settings(max_examples=20, deadline=None)
    def test_masked_cells_are_left_out_and_no_others(self, rng):
        source, target = global_grid(rng), global_grid(rng)
        masks = [rng.random(cell_areas(corners).shape) < 0.6 for corners in (source, target)]
        row, col, area = overlaps(source, target)
        kept = masks[0].ravel()[col] & masks[1].ravel()[row]
        found = overlaps(source, target, source_mask=masks[0], target_mask=masks[1])
        for values, expected in zip(found, (row, col, area), strict=True):
            np.testing.assert_array_equal(values, expected[kept])

    def test_pairs_taken_a_few_at_a_time(self, monkeypatch):
        rng = np.random.default_rng(5)
        source, target = global_grid(rng), global_grid(rng)
        expected = overlaps(source, target)
        monkeypatch.setattr(conservative, "CHUNK", 7)
        monkeypatch.setattr(box_tree, "CHUNK", 16)
        for values, others in zip(overlaps(source, target), expected, strict=True):
            np.testing.assert_array_equal(values, others)


class TestCells:
    def test_latitude_bands_tend_to_their_exact_areas(self):
        lon, lat = np.linspace(0, 360, 3601), np.array([-90.0, -20.0, 10.0, 90.0])
        bands = cell_areas(np.meshgrid(lon, lat)).sum(axis=1)
        np.testing.assert_allclose(bands, 2 * np.pi * np.diff(np.sin(np.radians(lat))), rtol=1e-6)

    def test_a_bow_tie_is_two_triangles(self):
        # Two of the sides cross at (0, 0).
        crossed = np.array([[-1.0, 1.0], [-1.0, 1.0]]), np.array([[-1.0, 1.0], [1.0, -1.0]])
        triangle = polygon_areas([np.array([[0.0, 0.0], [1.0, -1.0], [1.0, 1.0]])])
        np.testing.assert_allclose(cell_areas(crossed), [2 * triangle], rtol=1e-12)

    def test_only_what_lies_in_a_bow_tie_is_shared(self):
        tie = np.array([[-1.0, 1.0], [-1.0, 1.0]]), np.array([[-1.0, 1.0], [1.0, -1.0]])
        halves = np.meshgrid([-2.0, 0.0, 2.0], [-2.0, 0.0, 2.0])
        row, _, area = overlaps(halves, tie)
        np.testing.assert_allclose(area / cell_areas(tie).ravel()[row], 0.25, rtol=1e-12)

    def test_a_corner_that_points_inwards(self):
        dart = np.array([[0.0, 3.0], [0.0, 1.0]]), np.array([[0.0, 0.0], [3.0, 1.0]])
        notch = np.meshgrid([1.1, 1.9], [1.1, 1.9])
        assert overlaps(dart, notch)[2].size == 0

    def test_a_triangle_at_a_pole(self):
        octant = np.meshgrid([0.0, 90.0], [0.0, -90.0])
        np.testing.assert_allclose(cell_areas(octant), np.pi / 2, rtol=1e-14)

    def test_cells_on_the_other_side_of_the_globe_share_nothing(self):
        here = np.meshgrid([-60.0, 0.0, 60.0], [-60.0, 0.0, 60.0])
        there = np.meshgrid([130.0, 180.0, 230.0], [-60.0, 0.0, 60.0])
        assert overlaps(here, there)[2].size == 0

    def test_neighbours_share_nothing(self):
        west = np.meshgrid(np.linspace(350, 360, 41), np.linspace(40, 50, 41))
        east = np.meshgrid(np.linspace(0, 10, 11), np.linspace(40, 50, 11))
        assert overlaps(west, east)[2].size == 0

    def test_a_small_cell_in_a_very_large_one(self):
        large = np.meshgrid([0.0, 30.0], [0.0, 30.0])
        small = np.meshgrid([10.0, 10.001], [20.0, 20.001])
        np.testing.assert_allclose(overlaps(large, small)[2], cell_areas(small)[0], rtol=1e-12)

    def test_cells_with_an_unknown_corner_share_nothing(self):
        lon, lat = np.meshgrid(np.arange(5.0), np.arange(5.0))
        lat[0, 0] = lon[2, 2] = np.nan
        lost = [0, 5, 6, 9, 10]
        row, _, _ = overlaps(np.meshgrid([-1.0, 5.0], [-1.0, 5.0]), (lon, lat))
        np.testing.assert_array_equal(row, np.setdiff1d(np.arange(16), lost))

    def test_the_area_of_a_cell_with_an_unknown_corner_is_unknown(self):
        areas = cell_areas(np.meshgrid([0.0, 1.0, 2.0, np.nan], [0.0, 1.0]))
        np.testing.assert_array_equal(np.isnan(areas), [[False, False, True]])

    @pytest.mark.parametrize(
        ("lon", "lat", "expected"),
        [
            ([[0, 1], [0, 1]], [[0, 0], [1, 1]], False),
            ([[0, 1], [0, 360]], [[0, 0], [1, 1]], False),
            ([[0, 0], [50, 90]], [[-90, -90], [-90, -89]], True),
            ([[0, 180], [360, -180]], [[5, 5], [5, 5]], True),
            ([[0, 1], [0, 1]], [[90, 90], [89, 89]], False),
            ([[0, np.nan], [0, 0]], [[5, 5], [5, 5]], False),
        ],
    )
    def test_degenerate_cells(self, lon, lat, expected):
        assert degenerate_cells((np.array(lon), np.array(lat))).tolist() == [[expected]]

    @pytest.mark.parametrize("lat", [[5.0, 5.0, 5.0, 5.0], [0.0, 1.0, 2.0, 3.0]])
    def test_cells_without_an_area_share_nothing(self, lat):
        flat = np.array([[1.0, 1.0], [1.0, 1.0]]), np.reshape(lat, (2, 2))
        globe = np.meshgrid(np.arange(0.0, 361, 30), [-90.0, 0.0, 90.0])
        assert overlaps(globe, flat)[2].size == overlaps(flat, globe)[2].size == 0


class TestRefusals:
    def test_corners_of_two_shapes(self):
        with pytest.raises(InputError, match=r"np\.meshgrid\(lon_b, lat_b\)"):
            cell_areas((np.zeros(3), np.zeros(4)))

    def test_a_mask_of_another_shape(self):
        corners = np.meshgrid(np.arange(4.0), np.arange(3.0))
        with pytest.raises(InputError, match=r"shape \(3, 4\), but there are \(2, 3\) cells"):
            overlaps(corners, corners, source_mask=np.ones((3, 4), dtype=bool))

    def test_a_polygon_of_two_corners(self):
        with pytest.raises(InputError, match=r"polygon 1 has shape \(2, 2\)"):
            polygon_areas([np.eye(3)[:, :2], np.eye(2)])
