"""Sources are cut to what a target needs, and to no less."""

import numpy as np
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xresdiff.grids.coords import find_horizontal
from xresdiff.grids.regrid.crop import crop


def globe(step=5.0, first=0.0, descending=False):
    lat = np.arange(-90 + step / 2, 90, step)[:: -1 if descending else 1]
    lon = first + np.arange(0, 360, step)
    field = (("lat", "lon"), np.arange(lat.size * lon.size).reshape(lat.size, lon.size))
    return xr.Dataset({"place": field}, coords={"lat": lat, "lon": (lon + 180) % 360 - 180})


def mesh(ds):
    return np.meshgrid(ds.lat.values, ds.lon.values, indexing="ij")


def cut(ds, lat, lon):
    return crop(ds, find_horizontal(ds), mesh(ds), np.meshgrid(lat, lon, indexing="ij"))


@given(st.floats(-85, 85), st.floats(-180, 540), st.sampled_from([0.0, 180.0, 77.0]), st.booleans())
def test_every_neighbour_of_a_target_is_kept(lat, lon, first, descending):
    ds = globe(first=first, descending=descending)
    lats, lons = np.linspace(lat - 4, lat + 4, 5).clip(-90, 90), np.linspace(lon - 4, lon + 4, 5)
    kept = cut(ds, lats, lons)
    needed = ds.where(abs(ds.lat - lat) < 9, drop=True)
    apart = abs((ds.lon - lon + 180) % 360 - 180)
    needed = needed.where(apart < 9, drop=True)
    assert set(needed.place.values.ravel()) <= set(kept.place.values.ravel())


def test_a_region_across_the_seam_stays_in_one_piece():
    kept = cut(globe(), np.linspace(40, 50, 5), np.linspace(-8, 8, 5))
    assert kept.sizes["lon"] < 20
    steps = np.diff(np.unwrap(kept.lon.values, period=360))
    np.testing.assert_allclose(steps, 5)
    assert {-2.5, 0, 2.5} & set(kept.lon.values) or {-5.0, 0.0, 5.0} <= set(kept.lon.values)


def test_a_region_over_the_pole_keeps_all_longitudes():
    kept = cut(globe(), np.linspace(80, 89, 5), np.linspace(0, 359, 50))
    assert kept.sizes["lon"] == 72
    assert kept.sizes["lat"] < 12


def test_a_global_target_keeps_all():
    ds = globe()
    assert cut(ds, np.linspace(-80, 80, 9), np.linspace(0, 350, 18)) is ds


def test_two_rows_at_least_are_kept_or_all():
    ds = globe(step=1.0).sel(lat=slice(0, 30))
    for lat in (29.9, 30.5, 31.5, 33, 40):
        kept = cut(ds, np.linspace(lat, lat + 2, 3), np.linspace(0, 2, 3))
        assert min(kept.sizes.values()) > 1
