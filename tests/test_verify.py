"""Scores are the same for any layout of the data, compute nothing, refuse what does not match."""

import dask
import numpy as np
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError, UnitsError
from xresdiff.grids.coords import MEMBER_NAMES
from xresdiff.verify.kernels import blocks
from xresdiff.verify.matching import at_points_of
from xresdiff.verify.pairs import find_member_dim
from xresdiff.verify.scores import bias, correlation, crps, mae, member_mae, rmse
from xresdiff.verify.spreads import spread, spread_skill
from xresdiff.verify.tables import scores

AGAINST_OBS = [crps, mae, member_mae, rmse, bias, correlation, spread, spread_skill]
RATIOS = (correlation, spread_skill)
M, T, Y, X = 5, 3, 4, 6


def truth():
    """Rain with zeros, at one dry point missing."""
    values = np.random.default_rng(0).gamma(0.5, size=(T, Y, X)).round(1).astype(np.float32)
    values[1, 2, 3] = np.nan
    return xr.DataArray(
        values,
        coords={
            "time": np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[ns]"),
            "lat": ("lat", 50.0 + np.arange(Y), {"units": "degrees_north"}),
            "lon": ("lon", 10.0 + np.arange(X), {"units": "degrees_east"}),
        },
        dims=("time", "lat", "lon"),
        name="rain",
        attrs={"units": "mm h-1", "long_name": "rain rate", "standard_name": "rainfall_rate"},
    )


def ensemble(member_dim="member"):
    values = np.random.default_rng(1).gamma(0.5, size=(M, T, Y, X)).round(1).astype(np.float32)
    values = xr.DataArray(values, dims=(member_dim, "time", "lat", "lon"))
    return values.assign_coords(truth().coords).rename("rain").assign_attrs(truth().attrs)


@pytest.fixture
def ens():
    return ensemble()


@pytest.fixture
def obs():
    return truth()


def by_hand(score, ens, obs):
    """Write the scores down once more, for the average over everything that is there."""
    there = np.isfinite(obs.values)
    e, o = ens.values[:, there].astype(float), obs.values[there].astype(float)
    error = e.mean(0) - o
    variance = e.var(0, ddof=1).mean()
    return {
        crps: np.mean(
            [np.abs(e[:, i] - o[i]).mean() for i in range(o.size)]
            - np.abs(e[:, None] - e[None]).sum((0, 1)) / (2 * M * (M - 1))
        ),
        mae: np.abs(error).mean(),
        member_mae: np.abs(e - o).mean(),
        correlation: np.corrcoef(e.mean(0), o)[0, 1],
        rmse: np.sqrt((error**2).mean()),
        bias: error.mean(),
        spread: np.sqrt(variance),
        spread_skill: np.sqrt((M + 1) / M * variance / (error**2).mean()),
    }[score]


@pytest.mark.parametrize("score", AGAINST_OBS)
class TestEveryScore:
    def test_is_what_it_is(self, score, ens, obs):
        np.testing.assert_allclose(score(ens, obs), by_hand(score, ens, obs), rtol=1e-6)

    @pytest.mark.parametrize(
        "chunks", [{"member": 2}, {"member": 1, "time": 1, "lon": 4}, {"time": 2, "lat": 3}]
    )
    def test_is_lazy_and_the_same_for_any_chunks(self, score, ens, obs, chunks):
        small = {d: c for d, c in chunks.items() if d != "member"}
        with raise_if_dask_computes():
            lazy = [
                score(ens.chunk(chunks), obs.chunk(small)),
                score(ens.chunk(chunks), obs, dim=["time"]),
                score(ens.chunk(chunks).to_dataset(), obs.to_dataset(), weights=weights(ens)),
            ]
        eager = [
            score(ens, obs),
            score(ens, obs, dim=["time"]),
            score(ens.to_dataset(), obs.to_dataset(), weights=weights(ens)),
        ]
        for a, b in zip(lazy, eager, strict=True):
            assert dask.is_dask_collection(a)
            assert not dask.is_dask_collection(b)
            xr.testing.assert_allclose(a, b)
            assert a.attrs == b.attrs

    @pytest.mark.parametrize("name", MEMBER_NAMES)
    def test_finds_any_dimension_of_members(self, score, ens, obs, name):
        expected = score(ens, obs)
        xr.testing.assert_identical(score(ens.rename(member=name), obs), expected)

    def test_takes_any_order_of_dimensions(self, score, ens, obs):
        turned = score(ens.transpose("lon", "member", ...), obs.transpose("lat", ...))
        xr.testing.assert_allclose(turned, score(ens, obs))

    def test_keeps_the_dimensions_it_does_not_average(self, score, ens, obs):
        result = score(ens, obs, dim=("lat", "lon"))
        assert result.sizes["time"] == T
        np.testing.assert_array_equal(result.time, ens.time)
        assert np.isfinite(result).all()

    def test_leaves_the_missing_out_but_does_not_hide_them(self, score, ens, obs):
        everywhere = score(ens, obs, dim=())
        assert np.isnan(everywhere.isel(time=1, lat=2, lon=3)).all()
        assert np.isnan(score(ens, obs, skipna=False)).all()

    def test_names_the_result_and_its_units(self, score, ens, obs):
        result = score(ens, obs)
        assert result.name == "rain"
        assert result.attrs["long_name"].endswith(" of rain rate")
        expected = "1" if score in RATIOS else "mm h-1"
        assert result.attrs["units"] == expected
        assert "standard_name" not in result.attrs

    def test_takes_datasets_variable_by_variable(self, score, ens, obs):
        more = ens.to_dataset().assign(other=2 * ens, crs=0, only_here=ens)
        result = score(more, obs.to_dataset().assign(other=2 * obs, crs=0))
        assert set(result.data_vars) == {"rain", "other"}
        xr.testing.assert_identical(result.rain, score(ens, obs))

    def test_converts_the_truth(self, score, ens, obs):
        obs = obs + np.float32(0.05)  # no ties, which rounding could break
        flux = (obs.astype(float) / 3600).assign_attrs(units="kg m-2 s-1")
        xr.testing.assert_allclose(score(ens, flux), score(ens, obs), rtol=1e-5)

    def test_leaves_its_input_alone(self, score, ens, obs):
        before = ens.copy(deep=True), obs.copy(deep=True)
        score(ens, obs)
        xr.testing.assert_identical(ens, before[0])
        xr.testing.assert_identical(obs, before[1])


def weights(ens):
    return xr.DataArray(np.arange(1.0, Y + 1), coords={"lat": ens.lat}, dims="lat")


class TestAverage:
    def test_is_weighted(self, ens, obs):
        every = mae(ens, obs, dim=())
        expected = np.average(
            every.values[np.isfinite(every.values)],
            weights=weights(ens).broadcast_like(every).values[np.isfinite(every.values)],
        )
        assert mae(ens, obs, weights=weights(ens)) == pytest.approx(expected)

    def test_weights_are_aligned_never_cut(self, ens, obs):
        flipped = weights(ens)[::-1]
        xr.testing.assert_allclose(
            mae(ens, obs, weights=flipped), mae(ens, obs, weights=weights(ens))
        )
        with pytest.raises(InputError, match=r"'lat' is 50 to 53 \(4 points\) in the ensemble"):
            mae(ens, obs, weights=weights(ens)[1:])

    def test_takes_one_name_or_many(self, ens, obs):
        xr.testing.assert_identical(mae(ens, obs, dim="time"), mae(ens, obs, dim=["time"]))

    def test_refuses_an_unknown_dimension(self, ens, obs):
        with pytest.raises(InputError, match=r"over \('step',\).*dim=\('time', 'lat', 'lon'\)"):
            mae(ens, obs, dim="step")

    def test_spread_needs_no_truth(self, ens):
        expected = np.sqrt(ens.astype(float).var("member", ddof=1).mean())
        assert spread(ens) == pytest.approx(float(expected))

    def test_spread_is_no_mean_of_standard_deviations(self):
        ens = xr.DataArray([[0.0, 0.0], [0.0, 2.0]], dims=("member", "x"))
        assert spread(ens) == pytest.approx(1.0)


class TestMembers:
    def test_by_standard_name_before_any_habit(self, ens):
        odd = ens.rename(member="run").expand_dims(sample=2)
        odd["run"] = ("run", range(M), {"standard_name": "realization"})
        assert find_member_dim(odd) == "run"
        assert find_member_dim(odd, "sample") == "sample"

    def test_two_of_them_are_ambiguous(self, ens):
        for name in ("number", "sample"):
            ens = ens.expand_dims({name: [0, 1]})
            ens[name].attrs["standard_name"] = "realization"
        with pytest.raises(InputError, match=r"\['sample', 'number'\].*member_dim='sample'"):
            find_member_dim(ens)

    def test_an_unknown_one_is_named(self, ens, obs):
        odd = ens.rename(member="run")
        with pytest.raises(InputError, match=r"no dimension of members; it has \('run', 'time'"):
            crps(odd, obs)
        with pytest.raises(InputError, match=r"no dimension 'number'.*member_dim='member'"):
            crps(ens, obs, member_dim="number")
        xr.testing.assert_identical(crps(odd, obs, member_dim="run"), crps(ens, obs))

    def test_a_forecast_without_members_is_certain(self, ens, obs):
        one = ens.isel(member=0)
        xr.testing.assert_allclose(crps(one, obs), mae(one, obs))
        assert rmse(one, obs) == pytest.approx(float(np.sqrt(((one - obs) ** 2).mean())), rel=1e-6)
        with pytest.raises(InputError, match="two members or more, found 1"):
            spread(one, obs)
        with pytest.raises(InputError, match="no dimension of members"):
            spread(one)

    def test_a_single_member_has_no_fair_score(self, ens, obs):
        one = ens.isel(member=[0])
        with pytest.raises(InputError, match="two members or more, found 1: type fair=False"):
            crps(one, obs)
        xr.testing.assert_allclose(crps(one, obs, fair=False), mae(one, obs))

    def test_the_truth_has_none(self, ens):
        with pytest.raises(InputError, match=r"Select one: obs.isel\(member=0\)"):
            crps(ens, ens)

    def test_other_dimensions_of_the_ensemble_repeat_the_truth(self, ens, obs):
        twice = xr.concat([ens, ens], "step")
        xr.testing.assert_allclose(crps(twice, obs), crps(ens, obs))
        assert crps(twice, obs, dim=("time", "lat", "lon")).dims == ("step",)


class TestMatching:
    def test_rounded_coordinates_match(self, ens, obs):
        rounded = obs.assign_coords(lat=obs.lat.astype(np.float32) + np.float32(1e-5))
        xr.testing.assert_identical(crps(ens, rounded), crps(ens, obs))

    def test_a_shift_of_a_fine_grid_is_no_rounding(self):
        ens = xr.DataArray([0.0, 0.0], coords={"t": [1e9, 1e9 + 600]}, dims="t")
        with pytest.raises(InputError, match=r"'t' is 1e\+09 to 1\.000001e\+09"):
            at_points_of(ens, ens.assign_coords(t=ens.t + 120), "obs")

    def test_an_axis_may_run_the_other_way(self, ens, obs):
        xr.testing.assert_identical(crps(ens, obs.isel(lat=slice(None, None, -1))), crps(ens, obs))

    def test_other_points_are_refused_never_cut(self, ens, obs):
        with pytest.raises(InputError) as error:
            crps(ens, obs.isel(time=slice(2)).assign_coords(lon=obs.lon + 0.5))
        assert "cannot compare the ensemble with obs, for 2 reasons" in str(error.value)
        assert (
            "'time' is 2020-01-01T00:00:00 to 2020-01-03T00:00:00 (3 points) in the ensemble, "
            "2020-01-01T00:00:00 to 2020-01-02T00:00:00 (2 points) in obs" in str(error.value)
        )
        assert "'lon' is 10 to 15 (6 points) in the ensemble, 10.5 to 15.5" in str(error.value)
        assert "xarray.align(ens, obs, join='inner')" in str(error.value)

    def test_without_coordinates_the_sizes_count(self, ens, obs):
        bare = obs.drop_vars("lat")
        xr.testing.assert_identical(crps(ens, bare), crps(ens, obs))
        with pytest.raises(
            InputError, match=r"'lat' is 50 to 53 .4 points. in the ensemble, 3 points in obs"
        ):
            crps(ens, bare.isel(lat=slice(3)))

    def test_two_dimensional_coordinates_are_compared(self, ens, obs):
        def curvilinear(da, shift=0.0):
            lat = da.lat.values[:, None] + shift + np.zeros((1, X))
            return da.assign_coords(lat2=(("lat", "lon"), lat))

        crps(curvilinear(ens), curvilinear(obs))
        with pytest.raises(InputError, match="the points of 'lat2' are not those"):
            crps(curvilinear(ens), curvilinear(obs, 0.1))

    def test_dimensions_that_the_ensemble_lacks(self, ens, obs):
        with pytest.raises(InputError, match=r"\['time'\].*lacks.*obs.isel\(time=0\)"):
            crps(ens.isel(time=0), obs)

    def test_units_that_do_not_convert(self, ens, obs):
        with pytest.raises(UnitsError, match="mm h-1"):
            crps(ens, obs.assign_attrs(units="K"))

    def test_missing_units(self, ens, obs):
        expected = crps(ens, obs)
        with pytest.warns(UserWarning, match="'mm h-1' is assumed"):
            xr.testing.assert_identical(crps(ens, obs.drop_attrs()), expected)
        with pytest.warns(UserWarning, match="the ensemble has no units"):
            xr.testing.assert_equal(crps(ens.drop_attrs(), obs), expected)

    def test_variables_that_are_not_shared(self, ens, obs):
        both = ens.to_dataset().assign(wind=ens)
        with pytest.raises(InputError, match=r"has \['rain', 'wind'\], obs has \['rr'\].*rename"):
            crps(both, obs.to_dataset(name="rr"))
        xr.testing.assert_identical(crps(ens, obs.rename("rr")), crps(ens, obs))
        assert list(crps(both, obs).data_vars) == ["rain"]


class TestTable:
    SCORES = (crps, mae, member_mae, rmse, bias, correlation, spread, spread_skill)
    NAMES = tuple(score.__name__ for score in SCORES)

    def test_has_the_scores(self, ens, obs):
        table = scores(ens, obs)
        assert tuple(table.score.values) == self.NAMES
        for name, score in zip(self.NAMES, self.SCORES, strict=True):
            assert table.rain.sel(score=name) == pytest.approx(score(ens, obs).item())
        assert "(mm h-1; correlation, spread_skill: 1)" in table.rain.attrs["long_name"]

    def test_has_a_row_for_each_reference(self, ens, obs):
        reference = {"first": ens.isel(member=0), "half": ens.isel(member=slice(2)).to_dataset()}
        table = scores(ens.to_dataset(), obs.to_dataset(), reference=reference)
        assert list(table.forecast.values) == ["ensemble", "first", "half"]
        first = table.rain.sel(forecast="first")
        assert first.sel(score="crps").item() == pytest.approx(first.sel(score="mae").item())
        assert np.isnan(first.sel(score=["spread", "spread_skill"])).all()
        expected = crps(ens.isel(member=slice(2)), obs).item()
        assert table.rain.sel(forecast="half", score="crps") == pytest.approx(expected)
        skill = crps(ens, obs, reference=ens.isel(member=slice(2))).sel(value="skill").item()
        assert table.rain.sel(forecast="half", score="crps_skill") == pytest.approx(skill)
        assert np.isnan(table.rain.sel(forecast="ensemble", score="crps_skill"))
        assert table.to_dataframe().shape == (27, 1)

    def test_member_dim_is_that_of_the_references_that_have_it(self, ens, obs):
        odd = ens.rename(member="run")
        reference = {"one": odd.isel(run=0), "few": ens[:2], "half": odd[:2]}
        table = scores(odd, obs, member_dim="run", reference=reference)
        few, half = (table.rain.sel(forecast=name, drop=True) for name in ("few", "half"))
        xr.testing.assert_identical(few, half)

    def test_is_lazy_and_reads_every_chunk_once(self, ens, obs):
        reads = []

        def read(block):
            reads.append(block.shape)
            return block

        lazy = ens.chunk(time=1)
        lazy.data = lazy.data.map_blocks(read, meta=np.empty((0,) * 4, np.float32))
        with raise_if_dask_computes():
            table = scores(lazy, obs.chunk(time=1), reference={"mean": lazy.mean("member")})
        with raise_if_dask_computes(max_computes=1):
            table = table.compute()
        assert len(reads) == T
        own = table.isel(forecast=0, drop=True).drop_sel(score="crps_skill")
        xr.testing.assert_allclose(own, scores(ens, obs))


def test_calibrated_draws_have_a_ratio_of_one_whatever_their_number():
    rng = np.random.default_rng(0)
    for m in (2, 3, 10):
        signal = rng.standard_normal(40_000)
        draws = signal + rng.standard_normal((m + 1, 40_000))
        ens = xr.DataArray(draws[1:], dims=("member", "x"))
        obs = xr.DataArray(draws[0], dims="x")
        assert spread_skill(ens, obs) == pytest.approx(1, abs=0.02)


def test_scores_take_little_memory_beyond_the_data():
    import tracemalloc

    ens = xr.DataArray(np.zeros((16, 200_000), np.float32), dims=("member", "x"))
    obs = ens.isel(member=0)
    tracemalloc.start()
    crps(ens, obs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 4 * 200_000 + 30 * blocks.BLOCK_VALUES


def test_maps_of_scores_keep_the_attributes_of_their_coordinates():
    attrs = {"standard_name": "projection_x_coordinate", "units": "m"}
    ens = xr.DataArray(
        np.arange(6.0).reshape(2, 3), dims=("member", "x"), coords={"x": ("x", [0, 1, 2], attrs)}
    )
    assert spread(ens, dim=()).x.attrs == attrs


def test_two_dimensional_coordinates_may_differ_in_the_last_digits():
    grid = {"y": [0.0, 1.0], "x": [0.0, 1.0], "lat": (("y", "x"), np.eye(2))}
    ens = xr.DataArray(np.ones((2, 2, 2)), dims=("member", "y", "x"), coords=grid)
    obs = ens[0].assign_coords(lat=(("y", "x"), np.eye(2) + 5e-5))
    assert crps(ens, obs) == 0


def test_two_dimensional_coordinates_of_a_fine_grid_may_not_be_half_a_cell_apart():
    step = 0.001  # degrees, about 100 m
    lat = 50 + step * np.arange(4.0)[:, None] + np.zeros((4, 3))
    grid = {"lat": (("y", "x"), lat), "lon": (("y", "x"), lat)}
    ens = xr.DataArray(np.ones((2, 4, 3)), dims=("member", "y", "x"), coords=grid)
    assert crps(ens, ens[0].assign_coords(lat=ens.lat + 1e-6)) == 0
    with pytest.raises(InputError, match="the points of 'lat' are not those"):
        crps(ens, ens[0].assign_coords(lat=ens.lat + step / 2))


def test_differences_of_temperature_are_not_scored_as_temperatures():
    ens = xr.DataArray([[1.0], [2.0]], dims=("member", "x"), attrs={"units": "K"})
    obs = ens[0].assign_attrs(standard_name="air_temperature_anomaly")
    with pytest.raises(UnitsError, match="difference"):
        crps(ens, obs)


def test_tables_hold_scores_alone():
    ens = xr.DataArray([[1.0], [2.0]], dims=("member", "x"), coords={"crs": 0}, name="rain")
    assert list(scores(ens, ens[0]).to_dataframe()) == ["rain"]


# --- names of rows and columns


@pytest.mark.parametrize("members", [True, False])
def test_rows_and_columns_may_have_other_names_in_obs(ens, obs, members):
    ens = ens if members else ens.isel(member=0)
    other = obs.rename(lat="latitude", lon="longitude")
    xr.testing.assert_identical(mae(ens, other), mae(ens, obs))


def test_two_dimensional_coordinates_of_other_names_are_compared(ens, obs):
    lat, lon = np.meshgrid(obs["lat"], obs["lon"], indexing="ij")
    points = {"lat": (("y", "x"), lat), "lon": (("y", "x"), lon)}
    ens, obs = (
        da.drop_vars(["lat", "lon"]).rename(lat="y", lon="x").assign_coords(points)
        for da in (ens, obs)
    )
    other = obs.rename(y="rows", x="columns", lat="latitude", lon="longitude")
    xr.testing.assert_identical(mae(ens, other), mae(ens, obs))
    with pytest.raises(InputError, match="the points of 'lat' are not those of the ensemble"):
        mae(ens, other.assign_coords(latitude=other["latitude"] + 1))


def test_other_points_under_other_names_are_refused(ens, obs):
    other = obs.rename(lat="latitude", lon="longitude")
    with pytest.raises(InputError, match=r"'lat' is 50 to 53 .* in the ensemble, 51 to 54"):
        mae(ens, other.assign_coords(latitude=other["latitude"] + 1))
