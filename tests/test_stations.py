"""Fields are brought to stations as one would by hand, and scored there."""

import dask
import numpy as np
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.verify.scores import crps, mae, rmse
from xresdiff.verify.stations import at_stations
from xresdiff.verify.tables import scores

M, T, LAT, LON = 4, 6, 50.0 + np.arange(5), 4.0 + 2 * np.arange(7)
TIME = np.arange("2020-01-01", "2020-01-07", dtype="datetime64[D]").astype("datetime64[ns]")

INSIDE = [(50.25, 5.5), (52.0, 8.0), (53.5, 15.5)]
OUTSIDE = (40.0, 5.0)


def places(*points):
    lat, lon = np.array(points).T
    names = [f"WMO{i}" for i in range(len(points))]
    return {"lat": ("station", lat), "lon": ("station", lon), "station": names}


@pytest.fixture
def ens():
    values = 280 + np.random.default_rng(0).standard_normal((M, T, LAT.size, LON.size))
    return xr.DataArray(
        values,
        {"time": TIME, "lat": LAT, "lon": LON},
        ("member", "time", "lat", "lon"),
        name="t2m",
        attrs={"units": "K", "long_name": "temperature"},
    )


@pytest.fixture
def obs():
    values = 280 + np.random.default_rng(1).standard_normal((T, len(INSIDE)))
    coords = {"time": TIME, **places(*INSIDE)}
    return xr.DataArray(values, coords, ("time", "station"), name="t2m", attrs={"units": "K"})


def by_hand(field, lat, lon):
    """Interpolate in latitude, then in longitude."""
    (i, y), (j, x) = (
        divmod((v - axis[0]) / (axis[1] - axis[0]), 1)
        for v, axis in ((lat, field.lat.values), (lon, field.lon.values))
    )
    corners = field.values[..., int(i) : int(i) + 2, int(j) : int(j) + 2]
    return np.einsum("...ij,i,j", corners, [1 - y, y], [1 - x, x])


class TestInterpolation:
    def test_is_bilinear(self, ens, obs):
        """In cells of some kilometres; in large ones great circles are not parallels."""
        small = ens.assign_coords(lat=50 + 0.02 * np.arange(5), lon=4 + 0.03 * np.arange(7))
        points = [(50.005, 4.01), (50.03, 4.06), (50.079, 4.179)]
        found = at_stations(small, xr.Dataset(coords=places(*points)))
        assert found.dims == ("member", "time", "station")
        for k, point in enumerate(points):
            np.testing.assert_allclose(found[..., k], by_hand(small, *point), rtol=0, atol=1e-4)
        for k, point in enumerate(INSIDE):
            large = at_stations(ens, obs)[..., k]
            np.testing.assert_allclose(large, by_hand(ens, *point), rtol=0, atol=0.01)

    def test_takes_the_nearest(self, ens, obs):
        found = at_stations(ens, obs, method="nearest")
        expected = [ens.sel(lat=lat, lon=lon, method="nearest") for lat, lon in INSIDE]
        np.testing.assert_array_equal(found, np.stack(expected, -1))

    def test_keeps_what_is_known_of_stations_and_fields(self, ens, obs):
        found = at_stations(ens, obs.assign_coords(height=("station", [1.0, 2.0, 3.0])))
        np.testing.assert_array_equal(found.station, obs.station)
        np.testing.assert_array_equal(found.lat, obs.lat)
        np.testing.assert_array_equal(found.height, [1, 2, 3])
        np.testing.assert_array_equal(found.time, TIME)
        assert found.attrs["units"] == "K"
        assert found.name == "t2m"

    def test_takes_datasets(self, ens, obs):
        found = at_stations(ens.to_dataset().assign(twice=2 * ens), obs.to_dataset())
        xr.testing.assert_allclose(found.t2m, at_stations(ens, obs))
        np.testing.assert_allclose(found.twice, 2 * found.t2m)

    def test_takes_grids_that_are_curved(self, ens, obs):
        lat, lon = np.meshgrid(LAT, LON, indexing="ij")
        curved = ens.drop_vars(["lat", "lon"]).rename(lat="y", lon="x")
        curved = curved.assign_coords(latitude=(("y", "x"), lat), longitude=(("y", "x"), lon))
        found = at_stations(curved, obs)
        assert found.dims == ("member", "time", "station")
        # between points of a curved grid the way is along great circles, not along parallels
        np.testing.assert_allclose(found, at_stations(ens, obs), atol=5e-3)
        nearest = at_stations(curved, obs, method="nearest")
        np.testing.assert_array_equal(
            nearest[..., 1:], at_stations(ens, obs, method="nearest")[..., 1:]
        )

    def test_knows_that_the_earth_is_round(self, obs):
        lon = np.arange(0.0, 360.0, 10.0)
        world = xr.DataArray(
            np.cos(np.radians(lon)) + 0 * LAT[:, None], {"lat": LAT, "lon": lon}, ("lat", "lon")
        )
        where = xr.Dataset(coords=places((52.0, -5.0), (52.0, 355.0), (52.0, 5.0)))
        np.testing.assert_allclose(
            at_stations(world, where), [(1 + np.cos(np.radians(10))) / 2] * 3
        )

    def test_is_missing_outside_and_beside_the_missing(self, ens, obs):
        where = xr.Dataset(coords=places(INSIDE[0], OUTSIDE, (np.nan, 5.0), INSIDE[1]))
        found = at_stations(ens.where(ens.lat != 51), where)
        np.testing.assert_array_equal(found.isnull()[0, 0], [True, True, True, False])

    def test_is_lazy(self, ens, obs):
        with raise_if_dask_computes():
            found = at_stations(ens.chunk(time=2, member=1), obs.copy(data=obs.chunk(time=3).data))
        assert dask.is_dask_collection(found)
        xr.testing.assert_allclose(found, at_stations(ens, obs))

    def test_leaves_fields_alone(self, ens, obs):
        before = ens.copy(deep=True), obs.copy(deep=True)
        at_stations(ens, obs)
        xr.testing.assert_identical(ens, before[0])
        xr.testing.assert_identical(obs, before[1])

    def test_refuses_what_has_no_stations(self, ens, obs):
        with pytest.raises(InputError, match="there are no stations"):
            at_stations(ens, ens.isel(member=0))
        with pytest.raises(InputError, match="bilinear or nearest, not 'cubic'"):
            at_stations(ens, obs, method="cubic")


class TestScores:
    def test_are_those_at_the_stations(self, ens, obs):
        there = at_stations(ens, obs).drop_vars(["lat", "lon"])
        for score in (crps, mae, rmse):
            xr.testing.assert_allclose(score(ens, obs), score(there, obs.drop_vars(["lat", "lon"])))
        each = crps(ens, obs, dim="time")
        assert each.dims == ("station",)
        np.testing.assert_array_equal(each.station, obs.station)

    def test_may_be_of_the_nearest_points(self, ens, obs):
        near = at_stations(ens, obs, method="nearest")
        assert crps(near, obs) != pytest.approx(crps(ens, obs).item())
        points = near.drop_vars(["lat", "lon"])
        xr.testing.assert_allclose(crps(near, obs), crps(points, obs.drop_vars(["lat", "lon"])))

    def test_leave_out_stations_outside(self, ens, obs):
        far = xr.concat([obs, obs[:, :1]], "station").assign_coords(places(*INSIDE, OUTSIDE))
        xr.testing.assert_allclose(crps(ens, far), crps(ens, obs))
        assert np.isnan(crps(ens, far, skipna=False))

    def test_leave_out_reports_that_are_missing(self, ens, obs):
        holes = obs.where(obs.time > TIME[2])
        xr.testing.assert_allclose(crps(ens, holes), crps(ens[:, 3:], obs[3:]))

    def test_take_weights_of_stations(self, ens, obs):
        weights = xr.DataArray([1.0, 0.0, 3.0], dims="station")
        each = mae(ens, obs, dim="time").values
        assert mae(ens, obs, weights=weights) == pytest.approx(np.average(each, weights=weights))

    def test_convert_the_reports(self, ens, obs):
        celsius = (obs - 273.15).assign_attrs(units="degC")
        xr.testing.assert_allclose(crps(ens, celsius), crps(ens, obs))

    def test_are_lazy(self, ens, obs):
        with raise_if_dask_computes():
            lazy = [crps(ens.chunk(time=2, member=1), obs), scores(ens.chunk(time=2), obs, ci=0.9)]
        xr.testing.assert_allclose(lazy[0], crps(ens, obs))
        xr.testing.assert_allclose(lazy[1], scores(ens, obs, ci=0.9))

    @pytest.mark.parametrize("members", [0, slice(2)], ids=["one", "ensemble"])
    def test_bring_a_reference_there_too(self, ens, obs, members):
        other = ens.isel(member=members)
        found = crps(ens, obs, reference=other)
        assert found.sel(value="reference") == pytest.approx(crps(other, obs).item())

    def test_of_one_station_are_those_of_a_list_of_one(self, ens, obs):
        assert crps(ens, obs.isel(station=0)) == pytest.approx(
            crps(ens, obs.isel(station=[0])).item()
        )

    def test_of_what_moves_are_refused(self, ens):
        track = {"time": TIME, "lat": ("time", LAT[0] + np.arange(6) / 2), "lon": ("time", LON[:6])}
        ship = xr.DataArray(np.full(T, 280.0), track, "time", name="t2m", attrs={"units": "K"})
        with pytest.raises(InputError):
            crps(ens, ship)


class TestFinding:
    def test_by_coordinates_along_one_dimension(self, ens, obs):
        renamed = obs.rename(station="site", lat="latitude", lon="longitude")
        assert crps(ens, renamed) == pytest.approx(crps(ens, obs).item())

    def test_without_latitudes_there_are_none(self, ens, obs):
        with pytest.raises(InputError, match="'station'"):
            crps(ens, obs.drop_vars("lat"))
