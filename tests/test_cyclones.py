"""Cyclones are found where they were put."""

import numpy as np
import pytest
import xarray as xr

from tests.vortices import GEOD, RMW_KM, STRONGEST, ensemble, grid, vortex
from xresdiff.errors import InputError, UnitsError
from xresdiff.verify.weather.cyclones import find_cyclone
from xresdiff.verify.weather.rings import azimuthal_mean


@pytest.mark.parametrize("kind", ["latlon", "projected", "curvilinear"])
def test_finds_the_point_of_every_member_and_time(kind):
    ds, rows, columns = ensemble(kind)
    found = find_cyclone(ds, near=(24.0, 122.0))
    assert found.row.dims == ("member", "time")
    assert found.row.values.tolist() == rows.tolist()
    assert found.column.values.tolist() == columns.tolist()
    _, _, lat, lon = grid(kind)
    np.testing.assert_array_equal(found.latitude, lat[rows, columns])
    np.testing.assert_array_equal(found.longitude, lon[rows, columns])
    assert found.value.units == "Pa"
    assert found.value.long_name == "smallest msl within 300 km"
    np.testing.assert_allclose(found.value, 96000)


def test_rows_and_columns_select_the_value():
    ds, _, _ = ensemble()
    found = find_cyclone(ds, near=(24.0, 122.0))
    there = ds.msl.isel(lat=found.row, lon=found.column)
    np.testing.assert_array_equal(there, found.value)


def test_looks_for_the_strongest_wind_without_a_pressure():
    ds, lat, lon = vortex()
    speed = np.hypot(ds.u10, ds.v10).to_dataset(name="ws10m")
    found = find_cyclone(speed, near=(lat, lon))
    *_, metres = GEOD.inv(lon, lat, found.longitude.item(), found.latitude.item())
    assert metres / 1e3 == pytest.approx(RMW_KM, abs=3)
    assert found.value.item() == pytest.approx(STRONGEST, rel=0.01)
    same = find_cyclone(ds, near=(lat, lon), by="wind")
    assert (same.row, same.column) == (found.row, found.column)


@pytest.mark.parametrize("kind", ["latlon", "projected", "curvilinear"])
@pytest.mark.parametrize("steady", [0.0, 15.0])
def test_finds_the_centre_of_the_wind(kind, steady):
    ds, rows, columns = ensemble(kind)
    wind = (ds[["u10", "v10"]] + steady).where(ds.rain > 10)  # the centre itself is not known
    found = find_cyclone(wind, near=(24.0, 122.0))
    np.testing.assert_allclose(found.row, rows, atol=1)
    np.testing.assert_allclose(found.column, columns, atol=1)
    assert (found.value > 30).all()


def test_cyclones_of_the_south_turn_the_other_way():
    ds, *_ = vortex(lat_0=-20.0, row=45, column=52)
    wind = -ds[["u10", "v10"]]
    found = find_cyclone(wind, near=(-20.0, 122.0))
    assert (found.row.item(), found.column.item()) == (45, 52)
    assert found.value < -30


def test_a_jet_at_the_edge_is_no_cyclone():
    ds, _, _ = vortex("projected", row=40, column=45)
    jet = 80 * np.exp(-(((ds.y - 230e3) / 20e3) ** 2))
    found = find_cyclone(
        ds.assign(u10=(ds.u10 - jet).assign_attrs(ds.u10.attrs))[["u10", "v10"]], near=(24.0, 122.0)
    )
    assert (found.row.item(), found.column.item()) == (40, 45)
    none = find_cyclone(ds[["u10", "v10"]], near=(26.0, 122.0), within_km=20)
    assert none.value.isnull()  # the discs go over the edge


def test_leaves_out_what_is_farther_away():
    ds, lat, lon = vortex()
    there = (lat, lon + 1.5)  # 150 km to the east
    assert find_cyclone(ds, near=there, within_km=160).longitude.item() == lon
    far = find_cyclone(ds, near=there, within_km=100)  # the lowest is on the rim: a slope
    assert far.latitude.isnull()
    assert far.row == far.column == -1


@pytest.mark.parametrize("by", ["pressure", "circulation"])
def test_a_centre_just_inside_is_found_and_one_just_outside_is_not(by):
    ds, lat, lon = vortex("projected", row=50, column=62)
    there = (24.0, 122.0)
    *_, metres = GEOD.inv(lon, lat, there[1], there[0])
    found = find_cyclone(ds, near=there, by=by, within_km=metres / 1e3 + 0.1)
    assert (found.row.item(), found.column.item()) == (50, 62)
    assert find_cyclone(ds, near=there, by=by, within_km=metres / 1e3 - 0.1).value.isnull()


def test_a_slope_to_the_edge_of_the_domain_is_no_centre():
    ds, _, _ = vortex("projected")
    slope = (ds.msl * 0 + 100000 + ds.y / 1e3).assign_attrs(units="Pa")
    for within_km in (100.0, 1000.0):
        found = find_cyclone(slope.to_dataset(name="msl"), near=(24.0, 122.0), within_km=within_km)
        assert found.value.isnull()


def test_a_centre_is_found_where_the_columns_go_round_the_earth():
    lat, lon = np.arange(-89.5, 90), np.arange(0.0, 360)
    depth = np.hypot.outer(lat - 20.5, (lon + 180) % 360 - 180)
    msl = xr.DataArray(98000 + 100 * depth, {"lat": lat, "lon": lon}, name="msl")
    assert find_cyclone(msl, near=(20.0, 1.0), by="pressure").longitude.item() == 0


@pytest.mark.parametrize("kind", ["latlon", "projected", "curvilinear"])
def test_the_value_is_the_mean_over_the_disc(kind):
    ds, lat, lon = vortex(kind, row=45, column=52)
    wind = ds[["u10", "v10"]].where(ds.rain > 12)
    found = find_cyclone(wind, near=(lat, lon), within_km=50)
    disc = azimuthal_mean(wind, centre=found, radii_km=[0, 100]).tangential_wind
    np.testing.assert_allclose(found.value, disc.item(), rtol=1e-6)


@pytest.mark.parametrize("cells", [5, 10, 15, 19])
def test_a_centre_by_the_wind_too_near_the_edge_is_not_put_elsewhere(cells):
    ds, lat, lon = vortex("projected", row=cells)  # of 5 km
    assert find_cyclone(ds[["u10", "v10"]], near=(lat, lon)).value.isnull()
    assert find_cyclone(ds, near=(lat, lon), by="pressure").row.item() == cells


def test_both_components_are_read_in_one_unit():
    ds, lat, lon = vortex()
    knots = ds.assign(v10=(ds.v10 / 0.514444).assign_attrs(units="kt"))
    for by in ("circulation", "wind"):
        found, wanted = (find_cyclone(d, near=(lat, lon), by=by) for d in (knots, ds))
        xr.testing.assert_allclose(found, wanted, rtol=1e-4)
    wrong = ds.assign(v10=ds.v10.assign_attrs(units="K"))
    with pytest.raises(UnitsError):
        find_cyclone(wrong, near=(lat, lon), by="circulation")


def test_a_track_tells_where_to_look_at_every_time():
    ds, rows, columns = ensemble()
    truth = find_cyclone(ds.isel(member=0, drop=True), near=(24.0, 122.0))
    found = find_cyclone(ds.isel(member=[0]), near=truth, within_km=1.0)
    assert found.row.values.tolist() == rows[:1].tolist()
    assert found.column.values.tolist() == columns[:1].tolist()
    with pytest.raises(InputError, match=r"near\.sel\(time=ds\['time'\]\)"):
        find_cyclone(ds, near=truth.assign_coords(time=[6, 12]))


def test_missing_values_are_not_the_centre():
    ds, lat, lon = vortex()
    hole = ds.where(ds.rain > 20)
    found = find_cyclone(hole, near=(lat, lon))
    assert found.value.isnull()  # the lowest is beside the hole, and may be in it
    apart = ds.where((ds.rain < 20) | (ds.rain > 60))
    assert find_cyclone(apart, near=(lat, lon)).row.item() == 50
    none = find_cyclone(ds.where(ds.rain > 400), near=(lat, lon))
    assert np.isnan([none.latitude, none.longitude, none.value]).all()
    assert none.row.item() == none.column.item() == -1


def test_members_may_lie_along_any_dimension():
    ds, rows, _ = ensemble()
    for name in ("part", "radius", "wavenumber", "quantile"):
        found = find_cyclone(ds.rename(member=name), near=(24.0, 122.0))
        assert found.row.dims == (name, "time")
        assert found.row.values.tolist() == rows.tolist()


def test_knows_the_variable_by_its_units():
    ds, lat, lon = vortex()
    renamed = ds.rename(msl="p")[["p"]]
    assert find_cyclone(renamed, near=(lat, lon), variable="p").row.item() == 50
    assert find_cyclone(renamed.p, near=(lat, lon)).row.item() == 50
    assert find_cyclone(ds, near=(lat, lon), variable="rain", by="pressure").row.item() == 50
    with pytest.raises(InputError, match="by='pressure'"):
        find_cyclone(ds, near=(lat, lon), variable="rain")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"near": (122.0, 24.0)}, "is no latitude"),
        ({"near": 24.0}, r"in this order: near=\(23.5, 121.0\)"),
        ({"near": (24.0, 122.0, 1.0)}, "is no latitude"),
        ({"near": ("N", "E")}, "is no latitude"),
        ({"near": (50.0, 122.0)}, "away from the nearest point"),
        ({"by": "vorticity"}, "type by='pressure', 'circulation' or 'wind'"),
        ({"variable": "z"}, "variable='z' is no variable"),
        ({"variable": "rain", "by": "circulation"}, "variable='rain' is no variable"),
        ({"u": "u10", "by": "wind"}, "not two variables"),
        ({"within_km": 0}, "within_km is 0"),
        ({"near": xr.Dataset({"lat": 24.0})}, "lat='latitude'"),
    ],
)
def test_refuses_what_it_cannot_look_for(options, told):
    with pytest.raises(InputError, match=told):
        find_cyclone(vortex()[0], **{"near": (24.0, 122.0)} | options)
