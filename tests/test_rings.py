"""Means over rings around a cyclone are those of the formula of its wind."""

import numpy as np
import pyproj
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from tests.vortices import LAEA, RMW_KM, STRONGEST, ensemble, grid, holland, vortex
from xresdiff.errors import InputError, UnitsError
from xresdiff.verify.weather.cyclones import find_cyclone
from xresdiff.verify.weather.rings import azimuthal_mean, maximum_wind


def test_refuses_several_winds_and_none():
    ds, lat, lon = vortex()
    for name, standard_name in (("u10", "eastward_wind"), ("v10", "northward_wind")):
        ds[name].attrs["standard_name"] = standard_name
    twice = ds.assign(u100=ds.u10, v100=ds.v10)
    with pytest.raises(InputError, match="u='u10', v='v10'"):
        maximum_wind(twice, centre=(lat, lon))
    assert maximum_wind(twice, centre=(lat, lon), u="u100", v="v100").maximum_wind > 49
    with pytest.raises(InputError, match="there is no wind"):
        maximum_wind(ds[["msl"]], centre=(lat, lon))


@pytest.mark.parametrize("kind", ["latlon", "projected", "curvilinear"])
@pytest.mark.parametrize("inflow", [0.0, 0.3])
def test_the_means_are_those_of_the_formula(kind, inflow):
    ds, lat, lon = vortex(kind, inflow=inflow)
    means = azimuthal_mean(ds, centre=(lat, lon), radii_km=10.0)
    assert set(means) == {*ds, "tangential_wind", "radial_wind", "wind_speed"}
    assert means.tangential_wind.dims == ("radius",)
    means = means.sel(radius=slice(40, None))  # of enough points each
    fine = means.radius.values[:, None] + np.linspace(-5, 5, 101)
    expected = (holland(fine) * fine).sum(1) / fine.sum(1)  # over the area of the ring
    np.testing.assert_allclose(means.tangential_wind, expected, atol=0.6)
    np.testing.assert_allclose(means.radial_wind, -inflow * means.tangential_wind, atol=1e-5)
    np.testing.assert_allclose(
        means.wind_speed, means.tangential_wind * np.hypot(1, inflow), rtol=1e-6
    )
    np.testing.assert_allclose(means.rain, (fine**2).sum(1) / fine.sum(1), atol=1.0)


def test_means_are_labelled():
    ds, lat, lon = vortex("projected")
    means = azimuthal_mean(ds, centre=(lat, lon))
    assert means.radius.attrs == {"long_name": "distance from the centre", "units": "km"}
    np.testing.assert_allclose(means.radius, 5.0 * np.arange(41), rtol=1e-3)
    assert means.rain.attrs == {"long_name": "azimuthal mean of rain", "units": "mm"}
    assert means.radial_wind.attrs == {
        "long_name": "azimuthal mean of radial wind, outwards",
        "units": "m s-1",
    }
    assert list(means.coords) == ["radius"]
    assert means.rain.dtype == np.float64
    alone = azimuthal_mean(ds.rain, centre=(lat, lon))
    assert alone.identical(means.rain)


def test_wind_is_anticlockwise_in_the_north_and_clockwise_if_turned_over():
    ds, lat, lon = vortex()
    turned = ds.assign(u10=-ds.u10, v10=-ds.v10)
    there, other = (azimuthal_mean(d, centre=(lat, lon)).tangential_wind for d in (ds, turned))
    assert there.sel(radius=40, method="nearest") > 45
    xr.testing.assert_allclose(other, -there)


def test_no_direction_at_the_centre_counts_as_calm():
    ds, lat, lon = vortex("projected")
    means = azimuthal_mean(ds.assign(u10=0 * ds.u10 + 7, v10=0 * ds.v10), centre=(lat, lon))
    first = means.isel(radius=0)
    assert first.tangential_wind.item() == first.radial_wind.item() == 0
    assert first.wind_speed.item() == 7
    # parallels turn: the vorticity of an even wind from the west is that of its circle
    vorticity = 7 * np.tan(np.radians(lat)) / 6371
    np.testing.assert_allclose(means.tangential_wind, vorticity * means.radius / 2, atol=2e-3)


def test_across_the_date_line_and_in_other_longitudes_nothing_changes():
    here, lat, lon = vortex()
    there, far_lat, far_lon = vortex(lon_0=180.0)
    assert there.lon.min() < 180 < there.lon.max()
    turned = there.assign_coords(lon=(there.lon + 180) % 360 - 180)
    for ds in (there, turned):
        means = azimuthal_mean(ds, centre=(far_lat, far_lon - 360))
        xr.testing.assert_allclose(means, azimuthal_mean(here, centre=(lat, lon)), atol=1e-3)
        assert find_cyclone(ds, near=(23.5, 181.0)).column.item() == 50


def test_wind_along_the_axes_of_the_grid_is_turned():
    true, lat, lon = vortex("projected", row=75, column=70)
    to_plane = pyproj.Proj(LAEA)
    _, _, lats, lons = grid("projected")
    here = np.array(to_plane(lons, lats))
    east = np.array(to_plane(lons + 1e-4 / np.cos(np.radians(lats)), lats)) - here
    north = np.array(to_plane(lons, lats + 1e-4)) - here
    east, north = (a / np.hypot(*a) for a in (east, north))
    u, v = true.u10.values, true.v10.values
    along = xr.Dataset(
        {
            "x_wind": (("y", "x"), u * east[0] + v * north[0]),
            "y_wind": (("y", "x"), u * east[1] + v * north[1]),
        },
        coords=true.coords,
    )
    wanted = azimuthal_mean(true, centre=(lat, lon), radii_km=[0, 40, 80])
    for ds in (along, along.isel(x=slice(None, None, -1), y=slice(None, None, -1))):
        means = azimuthal_mean(ds, centre=(lat, lon), radii_km=[0, 40, 80])
        np.testing.assert_allclose(means.tangential_wind, wanted.tangential_wind, atol=0.02)
        np.testing.assert_allclose(means.radial_wind, 0, atol=0.1)


def test_wind_along_the_axes_of_an_unknown_grid_is_refused():
    ds, lat, lon = vortex("curvilinear")
    with pytest.raises(InputError, match="standard_name'] = 'eastward_wind'"):
        azimuthal_mean(ds.rename(u10="x_wind", v10="y_wind"), centre=(lat, lon))


def test_rings_that_leave_the_domain_are_missing():
    ds, lat, lon = vortex("projected", row=10)  # 50 km from the south, with half a cell more
    means = azimuthal_mean(ds.rain, centre=(lat, lon))
    known = means.radius.values[means.notnull()]
    np.testing.assert_allclose(known, 5.0 * np.arange(11), rtol=1e-3)


def test_rings_go_round_the_pole_and_the_earth():
    lat, lon = np.arange(-89.5, 90), np.arange(0.0, 360)
    whole = xr.DataArray(np.ones((180, 360)), {"lat": lat, "lon": lon})
    assert azimuthal_mean(whole, centre=(85.0, 0.0), radii_km=250.0).notnull().all()
    part = whole.isel(lon=slice(0, 180))
    assert azimuthal_mean(part, centre=(0.0, 5.0), radii_km=100.0).isnull()[-1]


def test_cells_weigh_as_much_as_they_are_large():
    lat, lon = np.arange(-89.5, 90), np.arange(0.0, 360)
    height = xr.DataArray(np.sin(np.radians(lat))[:, None] * np.ones(360), {"lat": lat, "lon": lon})
    mean = azimuthal_mean(height, centre=(65.0, 10.0), radii_km=[500, 2000])
    # the mean of all points of a ring on the sphere lies on its axis
    expected = np.sin(np.radians(65)) * np.cos(np.array([500, 2000]) / 6371).mean()
    np.testing.assert_allclose(mean, expected, rtol=1e-3)


def test_missing_values_are_left_out_of_rings():
    ds, lat, lon = vortex("projected")
    rain = ds.rain.where((ds.x >= 0) | (ds.rain > 100))
    means = azimuthal_mean(rain, centre=(lat, lon), radii_km=[0, 50, 100, 150])
    whole = azimuthal_mean(ds.rain, centre=(lat, lon), radii_km=[0, 50, 100, 150])
    np.testing.assert_allclose(means, whole, atol=1.0)
    strict = azimuthal_mean(rain, centre=(lat, lon), radii_km=[0, 50, 100, 150], skipna=False)
    assert strict.isnull().values.tolist() == [True, True, False]
    nothing = azimuthal_mean(ds.rain.where(ds.rain > 60), centre=(lat, lon), radii_km=[0, 50, 100])
    assert nothing.isnull().values.tolist() == [True, False]


def test_a_centre_that_is_not_known_gives_nothing():
    ds, _, _ = ensemble()
    found = find_cyclone(ds, near=(24.0, 122.0))
    found = found.where(found.member == 0)
    means = azimuthal_mean(ds.rain, centre=found, radii_km=[0, 50])
    assert means.isnull().values[..., 0].tolist() == [[False, False], [True, True]]
    assert maximum_wind(ds, centre=found).maximum_wind.isnull().sum() == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "centre=.* near="),
        ({"centre": (24, 122), "near": (24, 122)}, "centre=.* near="),
        ({"centre": (24, 122), "radii_km": -5.0}, "width of the rings"),
        ({"centre": (24, 122), "radii_km": [0, 20, 10]}, "edges of rings"),
        ({"centre": (24, 122), "radii_km": [10]}, "edges of rings"),
        ({"centre": (24, 122), "radii_km": True}, "edges of rings"),
        ({"centre": (24, 122), "radii_km": "20"}, "edges of rings"),
        ({"centre": (24, 122), "radii_km": [0, np.nan, 20]}, "edges of rings"),
        ({"centre": 24}, r"centre=\(23.5, 121.0\)"),
        ({"centre": (24, 122), "u": "u10"}, "name both"),
    ],
)
def test_refuses_rings_that_are_none(options, told):
    with pytest.raises(InputError, match=told):
        azimuthal_mean(vortex()[0], **options)


@pytest.mark.parametrize("kind", ["latlon", "projected", "curvilinear"])
def test_maximum_wind_and_its_radius(kind):
    ds, _, _ = ensemble(kind)
    found = maximum_wind(ds, near=(24.0, 122.0))
    assert found.radius_of_maximum_wind.dims == ("member", "time")
    np.testing.assert_allclose(found.radius_of_maximum_wind, RMW_KM, atol=2.6)
    np.testing.assert_allclose(found.mean_maximum_wind, STRONGEST, rtol=0.02)
    np.testing.assert_allclose(found.maximum_wind, STRONGEST, rtol=0.01)
    assert (found.maximum_wind >= found.mean_maximum_wind).all()
    assert [found[name].units for name in found] == ["m s-1", "m s-1", "km"]


def test_maximum_wind_is_within_the_rings():
    ds, lat, lon = vortex()
    inner = maximum_wind(ds, centre=(lat, lon), radii_km=[0, 10, 20])
    assert inner.maximum_wind.item() == pytest.approx(holland(20.0), rel=0.05)
    assert inner.radius_of_maximum_wind.item() == 15
    speed = np.hypot(ds.u10, ds.v10).assign_attrs(units="m s-1")
    alone = maximum_wind(speed.rename("ws10m"), centre=(lat, lon), radii_km=[0, 10, 20])
    xr.testing.assert_allclose(alone, inner)
    assert maximum_wind(speed.to_dataset(name="ws10m"), centre=(lat, lon)).maximum_wind > 49


@pytest.mark.parametrize(
    ("kind", "chunks"),
    [
        ("latlon", {"member": 1, "time": 1}),
        ("projected", "space"),
        ("curvilinear", {"time": 2, "member": 1}),
    ],
)
def test_is_lazy_and_the_same_for_any_chunks(kind, chunks):
    ds, _, _ = ensemble(kind)
    dims = ds.msl.dims[-2:]
    lazy = ds.chunk(dict(zip(dims, (30, 40), strict=True)) if chunks == "space" else chunks)
    lazy = lazy.assign_coords(ds.coords)  # two-dimensional ones are read
    near = (24.0, 122.0)
    with raise_if_dask_computes():
        results = [
            find_cyclone(lazy, near=near),
            find_cyclone(lazy, near=near, by="circulation"),
            azimuthal_mean(lazy, near=near),
            azimuthal_mean(lazy, centre=find_cyclone(ds, near=near)),
            maximum_wind(lazy, near=near),
        ]
    assert all(v.chunks is not None for result in results for v in result.values())
    expected = [
        find_cyclone(ds, near=near),
        find_cyclone(ds, near=near, by="circulation"),
        *2 * [azimuthal_mean(ds, near=near)],
    ]
    for result, wanted in zip(results, [*expected, maximum_wind(ds, near=near)], strict=True):
        xr.testing.assert_identical(result.compute(), wanted)


def test_the_callers_data_stay_as_they_are():
    ds, lat, lon = vortex("projected")
    before = ds.copy(deep=True)
    azimuthal_mean(ds, near=(lat, lon))
    maximum_wind(ds, near=(lat, lon))
    xr.testing.assert_identical(ds, before)


@pytest.mark.parametrize("measure", [azimuthal_mean, maximum_wind])
def test_a_speed_has_no_centre(measure):
    ds, lat, lon = vortex()
    speed = np.hypot(ds.u10, ds.v10).assign_attrs(units="m s-1").rename("ws10m")
    for data in (speed, speed.to_dataset()):
        with pytest.raises(InputError, match=r"around the centre.*centre=other.*find_cyclone"):
            measure(data, near=(lat, lon))
        measure(data, centre=(lat, lon))
    with pytest.raises(InputError, match=r"near=.*centre=other.*find_cyclone"):
        measure(ds.rain, near=(lat, lon))


def test_a_wind_that_grows_to_the_edge_of_what_is_known_has_no_maximum():
    ds, lat, lon = vortex("projected", row=6)  # 30 km from the edge: inside of the maximum
    found = maximum_wind(ds, centre=(lat, lon))
    assert found.radius_of_maximum_wind.isnull()
    assert found.mean_maximum_wind.isnull()
    assert found.maximum_wind > 49
    beyond = maximum_wind(vortex("projected", row=10)[0], centre=vortex("projected", row=10)[1:])
    assert beyond.radius_of_maximum_wind == pytest.approx(RMW_KM, abs=2.6)


def test_missing_wind_counts_without_skipna():
    ds, lat, lon = vortex("projected")
    holed = ds.where(abs(ds.rain - 60) > 2)
    strict = maximum_wind(holed, centre=(lat, lon), skipna=False)
    assert all(strict[name].isnull() for name in strict)
    inside = maximum_wind(holed, centre=(lat, lon), radii_km=[0, 30, 50], skipna=False)
    assert all(inside[name].notnull() for name in inside)
    loose = maximum_wind(holed, centre=(lat, lon))
    assert loose.radius_of_maximum_wind == pytest.approx(RMW_KM, abs=2.6)


def test_maximum_wind_is_beyond_the_inner_edge():
    ds, lat, lon = vortex()
    outer = maximum_wind(ds, centre=(lat, lon), radii_km=[80, 100, 120])
    assert outer.maximum_wind.item() == pytest.approx(holland(80.0), rel=0.05)
    assert outer.maximum_wind.long_name == "largest wind speed 80 to 120 km of the centre"


def test_both_components_are_read_in_one_unit():
    ds, lat, lon = vortex()
    knots = ds.assign(v10=(ds.v10 / 0.514444).assign_attrs(units="kt"))
    for measure in (azimuthal_mean, maximum_wind):
        found, wanted = (measure(d, centre=(lat, lon)) for d in (knots, ds))
        other = [name for name in found if name != "v10"]
        xr.testing.assert_allclose(found[other], wanted[other], rtol=1e-4)
    with pytest.raises(UnitsError):
        maximum_wind(ds.assign(v10=ds.v10.assign_attrs(units="K")), centre=(lat, lon))


def test_rings_of_which_little_is_known_are_missing():
    ds, lat, lon = vortex("projected")
    known = [ds.rain.where((ds.x > 0) & (ds.y > edge)) for edge in (-250e3, 0)]
    half = ds.rain.where(ds.x >= 0)
    options = {"centre": (lat, lon), "radii_km": [20, 60, 100]}
    assert azimuthal_mean(half, **options).notnull().all()
    assert all(azimuthal_mean(rain, **options).isnull().all() for rain in known)


def test_of_several_winds_none_is_split_unless_it_is_named():
    ds, lat, lon = vortex()
    twice = ds.assign(u100=ds.u10, v100=ds.v10)
    assert set(azimuthal_mean(twice, centre=(lat, lon))) == set(twice)
    named = azimuthal_mean(twice, centre=(lat, lon), u="u100", v="v100")
    assert named.tangential_wind.identical(azimuthal_mean(ds, centre=(lat, lon)).tangential_wind)


def test_a_variable_of_the_name_of_a_part_is_kept():
    ds, lat, lon = vortex()
    own = ds.assign(wind_speed=ds.rain)
    means = azimuthal_mean(own, centre=(lat, lon))
    np.testing.assert_array_equal(means.wind_speed, means.rain)
    assert "radial_wind" in means


def test_numbers_of_any_type_are_widths():
    ds, lat, lon = vortex()
    wanted = azimuthal_mean(ds.rain, centre=(lat, lon), radii_km=20.0)
    for width in (20, np.int64(20), np.float32(20)):
        assert azimuthal_mean(ds.rain, centre=(lat, lon), radii_km=width).identical(wanted)


def test_members_may_lie_along_any_dimension_but_one():
    ds, _, _ = ensemble()
    there = (24.0, 122.0)
    wanted = azimuthal_mean(ds, near=there), maximum_wind(ds, near=there)
    for name in ("part", "wavenumber", "quantile"):
        own = ds.rename(member=name)
        for measure, means in zip((azimuthal_mean, maximum_wind), wanted, strict=True):
            assert measure(own, near=there).identical(means.rename(member=name))
    with pytest.raises(InputError, match=r"ds.rename\(radius='other'\)"):
        azimuthal_mean(ds.rename(member="radius"), near=there)
