"""What is held against each other is of the same points, times and units, or refused."""

import numpy as np
import pytest
import xarray as xr

import xresdiff
from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.grids.units import convert

M, T, Y, X = 3, 6, 4, 5
TIME = np.arange("2020-01-01", "2020-01-07", dtype="datetime64[D]").astype("datetime64[ns]")
LAT, LON = 50.0 + np.arange(Y), 4.0 + np.arange(X)


def draws(*shape):
    return 280 + np.random.default_rng(len(shape)).standard_normal(shape)


@pytest.fixture
def ens():
    coords = {"time": TIME, "lat": LAT, "lon": LON}
    dims = ("member", "time", "lat", "lon")
    return xr.DataArray(draws(M, T, Y, X), coords, dims, name="t", attrs={"units": "K"})


@pytest.fixture
def obs(ens):
    return ens.isel(member=0).copy(data=draws(T, Y, X))


def on_two_dimensional(field):
    """Give rows and columns without coordinates latitudes and longitudes of two dimensions."""
    lat, lon = np.meshgrid(LAT, LON, indexing="ij")
    places = {"lat": (("y", "x"), lat), "lon": (("y", "x"), lon)}
    return field.drop_vars(["lat", "lon"]).rename(lat="y", lon="x").assign_coords(places)


class TestPoints:
    def test_two_dimensional_coordinates_of_other_names_are_compared(self, ens, obs):
        ens, obs = on_two_dimensional(ens), on_two_dimensional(obs)
        other = obs.rename(lat="latitude", lon="longitude")
        assert xresdiff.crps(ens, other) == pytest.approx(xresdiff.crps(ens, obs).item())
        with pytest.raises(InputError, match=r"obs\.resdiff\.regrid\(ens\)"):
            xresdiff.crps(ens, other.assign_coords(latitude=other.latitude + 20))

    def test_coordinates_beside_a_dimension_are_compared(self, ens, obs):
        places = {"lat": ("y", LAT), "lon": ("x", LON)}
        ens, obs = (
            da.drop_vars(["lat", "lon"]).rename(lat="y", lon="x").assign_coords(places)
            for da in (ens, obs)
        )
        turned = obs.isel(y=slice(None, None, -1))
        xr.testing.assert_allclose(xresdiff.crps(ens, turned), xresdiff.crps(ens, obs))
        with pytest.raises(InputError, match="regrid"):
            xresdiff.crps(ens, obs.assign_coords(lon=obs.lon + 70))

    def test_longitudes_may_be_counted_from_another_meridian(self, ens, obs):
        around = {"lon": (LON - 6) % 360}
        ens = ens.assign_coords(lon=LON - 6)
        expected = xresdiff.crps(ens, obs.assign_coords(lon=LON - 6))
        assert xresdiff.crps(ens, obs.assign_coords(around)) == pytest.approx(expected.item())

    def test_another_grid_is_to_be_regridded(self, ens, obs):
        line = r"obs\.resdiff\.regrid\(ens\)"
        with pytest.raises(InputError, match=line):
            xresdiff.crps(ens, obs.isel(lat=slice(3)))
        with pytest.raises(InputError, match=line):
            xresdiff.crps(on_two_dimensional(ens), obs)

    def test_the_line_to_type_works(self, ens, obs):
        coarse = obs.isel(lat=slice(None, None, 2), lon=slice(None, None, 2))
        with pytest.raises(InputError):
            xresdiff.crps(ens, coarse)
        assert np.isfinite(xresdiff.crps(ens, coarse.resdiff.regrid(ens)))

    def test_longitudes_in_another_order_are_told(self, ens, obs):
        ens = ens.assign_coords(lon=LON - 6)
        turned = obs.assign_coords(lon=(LON - 6) % 360).sortby("lon")
        with pytest.raises(InputError, match="the same points in another order") as error:
            xresdiff.crps(ens, turned)
        line = str(error.value).split("meridian: ")[1].rstrip(".")
        expected = xresdiff.crps(ens, obs.assign_coords(lon=LON - 6))
        assert xresdiff.crps(ens, eval(line, {"obs": turned})) == pytest.approx(expected.item())

    def test_stations_need_places(self, ens, obs):
        with pytest.raises(InputError, match=r"obs\.assign_coords\(lat=\('site'"):
            xresdiff.crps(ens, obs.isel(lat=0, lon=0, drop=True).expand_dims(site=3))


class TestLabels:
    def test_one_time_is_not_held_against_all(self, ens, obs):
        with pytest.raises(InputError, match=r"ens\.sel\(time=obs\.time\)"):
            xresdiff.crps(ens, obs.isel(time=4))
        one = obs.isel(time=4)
        assert np.isfinite(xresdiff.crps(ens.sel(time=one.time), one))

    def test_one_row_is_not_held_against_all(self, ens, obs):
        with pytest.raises(InputError, match="one 'lat'"):
            xresdiff.crps(ens, obs.isel(lat=0))

    def test_other_times_are_refused(self, ens, obs):
        with pytest.raises(InputError, match=r"2020-01-02.* in the ensemble, 2020-01-05"):
            xresdiff.crps(ens.isel(time=1), obs.isel(time=4))

    def test_weights_may_be_of_any_time(self, ens, obs):
        weights = xr.ones_like(obs.isel(time=2))
        expected = xresdiff.crps(ens, obs).item()
        assert xresdiff.crps(ens, obs, weights=weights) == pytest.approx(expected)

    def test_reports_with_times_of_their_own(self, ens):
        places = {"lat": ("obs", [50.5, 52.0]), "lon": ("obs", [5.0, 6.5])}
        reports = xr.DataArray([280.0, 281.0], places, "obs", name="t", attrs={"units": "K"})
        reports = reports.assign_coords(time=("obs", TIME[[1, 4]]))
        with pytest.raises(InputError, match=r"at_stations\(obs\.drop_vars\('time'\)\)\.sel"):
            xresdiff.crps(ens, reports)
        there = ens.resdiff.at_stations(reports.drop_vars("time")).sel(time=reports.time)
        by_hand = [
            xresdiff.crps(ens.isel(time=t), reports.isel(obs=i).drop_vars("time")).item()
            for i, t in enumerate((1, 4))
        ]
        assert xresdiff.crps(there, reports) == pytest.approx(np.mean(by_hand))


class TestUnits:
    def test_units_of_one_alone_are_told(self, ens, obs):
        for pair in ((ens.drop_attrs(), obs), (ens, obs.drop_attrs())):
            with pytest.warns(UserWarning, match="no units|no 'units'|units"):
                xresdiff.crps(*pair)

    def test_errors_of_a_temperature_are_differences(self, ens, obs):
        celsius = ens - 273.15
        celsius.attrs["units"] = "degC"
        score = xresdiff.rmse(celsius, obs)
        assert convert(score, "K") == pytest.approx(score.item())


class TestWeights:
    def test_are_summed_in_double_precision(self, ens, obs):
        weights = xr.DataArray(np.full(T, 0.1, np.float16), {"time": TIME}, dims="time")
        found = xresdiff.mae(ens, ens.isel(member=0) * 0 + ens.mean("member") + 1, weights=weights)
        assert found == pytest.approx(1, rel=1e-12)

    def test_of_members_are_refused(self, ens, obs):
        with pytest.raises(InputError, match="members count equally"):
            xresdiff.crps(ens, obs, weights=xr.DataArray(np.ones(M), dims="member"))

    def test_and_truth_are_labelled(self, ens, obs):
        with pytest.raises(InputError, match=r"xarray\.DataArray\(weights, dims='lat'\)"):
            xresdiff.crps(ens, obs, weights=np.ones(Y))
        with pytest.raises(InputError, match="obs is a ndarray"):
            xresdiff.crps(ens, obs.values)
        with pytest.raises(InputError, match="a score takes one reference"):
            xresdiff.crps(ens, obs, reference={"plain": obs})


class TestReferences:
    def test_of_other_times_are_told_by_their_name(self, ens, obs):
        with pytest.raises(InputError, match=r"ens, reference = xarray\.align"):
            xresdiff.crps(ens, obs, reference=ens.isel(time=slice(3)))

    def test_with_more_dimensions_are_refused(self, ens, obs):
        with pytest.raises(InputError, match=r"reference\.isel\(model=0\)"):
            xresdiff.crps(ens, obs, reference=obs.expand_dims(model=2))

    def test_of_one_field_are_not_of_every_variable(self, ens, obs):
        ens, obs = (xr.Dataset({"t": da, "z": 2 * da}) for da in (ens, obs))
        with pytest.raises(InputError, match="has 2 variables"):
            xresdiff.crps(ens, obs, reference=(obs.t + 1).rename("other"))

    def test_may_be_a_climatology(self, ens, obs):
        expected = xresdiff.mae(obs.mean("time") + 0 * obs, obs)
        found = xresdiff.crps(ens, obs, reference=obs.mean("time")).sel(value="reference")
        assert found == pytest.approx(expected.item())


class TestDimensions:
    def test_those_of_some_variables_are_averaged_where_they_are(self, ens, obs):
        both = xr.Dataset({"t": ens, "z": ens.isel(time=0, drop=True)})
        truth = xr.Dataset({"t": obs, "z": obs.isel(time=0, drop=True)})
        found = xresdiff.mae(both, truth, dim=("time", "lat"))
        assert (found.t.dims, found.z.dims) == (("lon",), ("lon",))

    def test_dots_are_all(self, ens, obs):
        assert xresdiff.mae(ens, obs, dim=...) == xresdiff.mae(ens, obs)

    def test_the_one_that_the_truth_lacks_may_be_of_members(self, ens, obs):
        odd = ens.rename(member="perturbation").transpose("time", ...)
        with pytest.raises(InputError, match="member_dim='perturbation'"):
            xresdiff.crps(odd, obs)

    def test_scores_need_the_truth(self, ens):
        with pytest.raises(InputError, match="needs the truth"):
            xresdiff.crps(ens, None)


def test_chunks_across_one_another_make_few_tasks(ens, obs):
    ens, obs = ens.chunk(lat=1, lon=1, time=-1), obs.chunk(time=1)
    with raise_if_dask_computes():
        score = xresdiff.crps(ens, obs)
    assert len(score.__dask_graph__()) < 40 * Y * X + 10 * T


def test_correlation_keeps_its_digits(ens, obs):
    anomaly = ens - 280
    expected = np.corrcoef(
        (anomaly.mean("member")).values.ravel(), (obs - 280 + anomaly[0]).values.ravel()
    )[0, 1]
    for offset in (0.0, 1e5, 1e6):
        found = xresdiff.correlation(anomaly + offset, obs - 280 + anomaly[0] + offset)
        assert found == pytest.approx(expected, rel=1e-6)


def test_correlation_keeps_its_digits_beside_what_is_missing(ens, obs):
    """A shift that is taken from a place without data would lose all of them."""
    members = 415 + 1e-3 * (ens - 280)
    truth = members.isel(member=0) + 1e-3 * (obs - 280)
    masked = truth.where(truth.lat != truth.lat[0])
    expected = np.corrcoef(
        members.mean("member").isel(lat=slice(1, None)).values.ravel() - 415,
        masked.isel(lat=slice(1, None)).values.ravel() - 415,
    )[0, 1]
    assert xresdiff.correlation(members, masked) == pytest.approx(expected, rel=1e-6)


def test_correlation_of_series_keeps_its_digits_at_every_place(ens, obs):
    height = xr.DataArray(np.linspace(5e4, 1e5, Y), {"lat": LAT}, "lat")
    members, truth = 0.3 * (ens - 280) + height, 0.3 * (obs - 280 + ens[0] - 280) + height
    found = xresdiff.correlation(members, truth, dim="time")
    x, y = (da - height for da in (members.mean("member"), truth))
    np.testing.assert_allclose(found, xr.corr(x, y, dim="time"), rtol=1e-6)


def test_skill_has_no_units(ens, obs):
    found = xresdiff.crps(ens, obs, reference=obs.mean("time"))
    assert "units" not in found.attrs
    assert found.attrs["long_name"].endswith("(K; skill: 1)")


def test_intervals_do_not_depend_on_the_order_of_times(ens, obs):
    order = np.random.default_rng(0).permutation(T)
    shuffled = xresdiff.crps(ens.isel(time=order), obs.isel(time=order), ci=0.9)
    xr.testing.assert_allclose(shuffled, xresdiff.crps(ens, obs, ci=0.9))
