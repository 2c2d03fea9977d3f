"""Grids that go round the earth are closed at their seam, and over the poles that they reach."""

import numpy as np
import pytest
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.regrid import regrid
from xresdiff.grids.regrid.seams import goes_round
from xresdiff.grids.target import target_grid


@pytest.mark.parametrize(
    ("n", "step", "round_"),
    [
        (36, 10, True),
        (35, 10, False),
        (34, 10, False),
        (37, 10, False),
        (36, -10, True),
        (38, 10, False),
    ],
)
@pytest.mark.parametrize("first", [0, -180, 77])
@pytest.mark.parametrize("two_d", [False, True])
def test_longitudes_go_round(n, step, round_, first, two_d):
    lon = (first + step * np.arange(n) + 180) % 360 - 180.0
    assert goes_round(np.broadcast_to(lon, (3, n)) if two_d else lon) is round_


def smooth(lat, lon):
    return 100 * np.sin(np.deg2rad(lat)) + 10 * np.cos(np.deg2rad(lon)) * np.cos(np.deg2rad(lat))


def source(lat, lon, two_d=False):
    lats, lons = np.meshgrid(lat, lon, indexing="ij")
    coords = {"lat": lat, "lon": lon}
    dims = ("lat", "lon")
    if two_d:
        dims = ("j", "i")
        coords = {"lat": (dims, lats), "lon": (dims, lons)}
    return xr.DataArray(smooth(lats, lons), coords, dims, name="t")


WORLD = target_grid(lat=(-90, 90), lon=(-177.3, 182.7), spacing_deg=5)


@pytest.mark.parametrize("two_d", [False, True])
@pytest.mark.parametrize("ends", [(-49, 49), (-20, 49), (10, 49)])
def test_a_band_closes_its_seam_and_leaves_the_poles_open(ends, two_d):
    band = source(np.arange(ends[0], ends[1] + 1, 2.0), np.arange(0, 360, 2.0), two_d)
    moved = regrid(band, WORLD)
    inside = (WORLD.lat > ends[0]) & (WORLD.lat < ends[1])
    assert bool(moved.sel(lat=inside).notnull().all())
    far = (WORLD.lat < ends[0] - 1) | (WORLD.lat > ends[1] + 1)
    assert bool(moved.sel(lat=far).isnull().all())
    needed = smooth(*np.meshgrid(WORLD.lat, WORLD.lon, indexing="ij"))
    assert float(abs(moved - needed).max()) < 0.2


@pytest.mark.parametrize("two_d", [False, True])
@pytest.mark.parametrize("first", [-90, -89])
def test_all_of_the_earth_is_closed_everywhere(first, two_d):
    whole = source(np.arange(first, 90.1, 2.0), np.arange(0, 360, 2.0), two_d)
    moved = regrid(whole, WORLD)
    needed = smooth(*np.meshgrid(WORLD.lat, WORLD.lon, indexing="ij"))
    np.testing.assert_allclose(moved, needed, atol=0.5)


def test_one_hemisphere_is_closed_at_its_own_pole():
    north = source(np.arange(1, 90, 2.0), np.arange(0, 360, 2.0))
    moved = regrid(north, WORLD)
    assert bool(moved.sel(lat=slice(1, 90)).notnull().all())
    assert bool(moved.sel(lat=slice(-90, -1)).isnull().all())


def test_a_seam_is_closed_for_a_region_too():
    globe = source(np.arange(-89, 90, 2.0), np.arange(0, 360, 2.0), two_d=True)
    grid = target_grid(lat=(40, 50), lon=(-5, 5), spacing_deg=0.5)
    moved = regrid(globe, grid)
    np.testing.assert_allclose(
        moved, smooth(*np.meshgrid(grid.lat, grid.lon, indexing="ij")), atol=0.05
    )


def test_cells_that_are_there_twice_are_refused():
    lat, lon = np.arange(40, 50, 1.0), np.append(np.arange(0, 360, 3.0), [0.0, 3.0])
    halo = source(lat, lon, two_d=True)
    with pytest.raises(InputError, match="cover some places twice"):
        regrid(halo, target_grid(lat=(42, 47), lon=(-5, 9), spacing_deg=1), method="conservative")


def test_rows_without_coordinates_do_not_open_the_seam():
    lon = np.broadcast_to(np.arange(0, 360, 10.0), (9, 36)).copy()
    lon[2:, 5] = np.nan
    assert goes_round(lon)
