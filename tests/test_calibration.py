"""Calibration: as other packages have it, flat for what is calibrated, unknown where unknown."""

import tracemalloc

import dask
import numpy as np
import pytest
import xarray as xr
from scores.probability import Pit, brier_score_for_ensemble
from scores.probability import rank_histogram as scores_rank_histogram

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.verify.calibration import brier, pit, rank_histogram, reliability
from xresdiff.verify.kernels import probabilities

M, T, Y, X = 5, 4, 6, 7


def draws(members, points, wet=0.3, seed=0):
    """Draws of one distribution: rain, and so with many zeros."""
    values = np.random.default_rng(seed).gamma(0.5, size=(members + 1, points))
    dry = np.quantile(values, 1 - wet)
    return np.where(values > dry, values - dry, 0.0)


def pair(decimals=1, missing=True, members=M):
    """Rain with ties and zeros, a missing observation and a missing member."""
    values = draws(members, T * Y * X).reshape(members + 1, T, Y, X).round(decimals)
    values = values.astype(np.float32)
    if missing:
        values[0, 1, 2, 3] = np.nan
        values[2, 3, 1, 1] = np.nan
    attrs = {"units": "mm h-1", "long_name": "rain rate"}
    ens = xr.DataArray(values[1:], dims=("member", "time", "y", "x"), name="rain", attrs=attrs)
    obs = xr.DataArray(values[0], dims=("time", "y", "x"), name="rain", attrs=attrs)
    return ens, obs


def everywhere_known(ens, obs):
    """Drop the members of points where anything is missing: others do not do so."""
    known = obs.notnull() & ens.notnull().all("member")
    return ens.where(known, 0), obs.where(known)


EVERY = {
    "rank_histogram": rank_histogram,
    "pit": pit,
    "brier": lambda *args, **kw: brier(*args, threshold=[0.1, 0.5], **kw),
    "reliability": lambda *args, **kw: reliability(*args, threshold=[0.1, 0.5], **kw),
}


@pytest.mark.parametrize("score", EVERY.values(), ids=list(EVERY))
class TestEvery:
    @pytest.mark.parametrize("chunks", [{"member": 2}, {"member": 1, "time": 1, "x": 4}])
    @pytest.mark.parametrize("dim", [None, ("y", "x"), ()])
    def test_is_lazy_and_the_same_for_any_chunks(self, score, chunks, dim):
        ens, obs = pair()
        with raise_if_dask_computes():
            lazy = score(ens.chunk(chunks), obs.chunk(time=2), dim=dim)
        assert dask.is_dask_collection(lazy)
        xr.testing.assert_allclose(lazy, score(ens, obs, dim=dim))

    def test_no_observation_is_no_result_rather_than_the_lowest(self, score):
        ens, obs = pair()
        result = score(ens, obs.where(False), dim="time")
        assert result.sizes["y"] == Y
        assert np.isnan(result).all()

    def test_a_missing_member_makes_its_point_unknown(self, score):
        ens, obs = pair()
        result = score(ens, obs, dim=())
        assert np.isnan(result.isel(time=3, y=1, x=1)).all()
        assert np.isnan(score(ens, obs, skipna=False)).all()

    def test_does_not_depend_on_the_order_of_members(self, score):
        ens, obs = pair()
        xr.testing.assert_allclose(score(ens[::-1], obs), score(ens, obs))

    def test_finds_any_dimension_of_members(self, score):
        ens, obs = pair()
        xr.testing.assert_identical(score(ens.rename(member="number"), obs), score(ens, obs))
        odd = score(ens.rename(member="run"), obs, member_dim="run")
        xr.testing.assert_identical(odd, score(ens, obs))

    def test_takes_datasets_variable_by_variable(self, score):
        ens, obs = pair()
        both = score(ens.to_dataset().assign(two=2 * ens), obs.to_dataset().assign(two=2 * obs))
        assert set(both.data_vars) == {"rain", "two"}
        xr.testing.assert_equal(both["rain"], score(ens, obs))

    def test_is_dimensionless_and_named(self, score):
        result = score(*pair())
        assert result.attrs["units"] == "1"
        assert result.attrs["long_name"].endswith(" of rain rate")

    def test_weights_count_points_as_often(self, score):
        ens, obs = pair()
        weights = xr.DataArray(np.arange(Y), dims="y")
        rows = np.repeat(np.arange(Y), np.arange(Y))
        expected = score(ens.isel(y=rows), obs.isel(y=rows))
        xr.testing.assert_allclose(score(ens, obs, weights=weights), expected)


SUMMED = [name for name in EVERY if name != "brier"]


@pytest.mark.parametrize("score", [EVERY[name] for name in SUMMED], ids=SUMMED)
class TestSummed:
    """Histograms are summed chunk by chunk."""

    def test_takes_no_more_memory_than_the_data(self, score):
        ens = np.random.default_rng(0).random((17, 400_000), np.float32)
        ens = xr.DataArray(ens, dims=("member", "x")).chunk(x=200_000)
        ens, obs = ens[1:].persist(), ens[0].persist()
        tracemalloc.start()
        score(ens, obs).compute(scheduler="sync")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * ens.nbytes / 2

    @pytest.mark.parametrize("chunks", [None, {"time": 3, "y": 4}])
    def test_has_an_interval_from_times(self, score, chunks):
        values = draws(M, 10 * Y * X, wet=0.8).reshape(M + 1, 10, Y, X)
        values[2, 3] = np.nan
        ens = xr.DataArray(values[1:], dims=("member", "time", "y", "x"))
        obs = xr.DataArray(values[0], dims=("time", "y", "x"))
        weights = xr.DataArray(np.arange(Y), dims="y")
        data = (ens, obs) if chunks is None else (ens.chunk(chunks), obs.chunk(chunks))
        both = score(*data, weights=weights, ci=0.9)
        estimate = both.sel(bound="estimate", drop=True)
        xr.testing.assert_allclose(estimate, score(ens, obs, weights=weights))
        assert (both.sel(bound="lower") <= both.sel(bound="upper")).any()
        dry = score(ens * 0, obs * 0, weights=weights, ci=0.9)
        np.testing.assert_allclose(dry.sel(bound="lower"), dry.sel(bound="upper"))

    def test_large_data_in_memory_are_cut_into_pieces(self, score, monkeypatch):
        ens, obs = pair()
        weights = xr.DataArray(np.arange(Y), dims="y")
        expected = score(ens, obs[0], weights=weights)
        monkeypatch.setattr("xresdiff.verify.pieces.PIECE_VALUES", 64)
        monkeypatch.setattr("xresdiff.verify.kernels.blocks.BLOCK_VALUES", 40)
        xr.testing.assert_allclose(score(ens, obs[0], weights=weights), expected)

    def test_refuses_what_are_no_weights(self, score):
        ens, obs = pair()
        with pytest.raises(InputError, match="missing or negative"):
            score(ens, obs, weights=xr.DataArray(-np.ones(Y), dims="y"))
        with pytest.raises(InputError, match="give a DataArray"):
            score(ens, obs, weights=np.ones(Y))
        missing = xr.DataArray([1.0, np.nan, 2.0, 0.0, 1.0, 1.0], dims="y")
        lazy = score(ens, obs, weights=missing.chunk())
        xr.testing.assert_allclose(lazy, score(ens, obs, weights=missing.fillna(0)))


class TestRankHistogram:
    def test_is_that_of_scores(self):
        ens, obs = everywhere_known(*pair())
        expected = scores_rank_histogram(ens, obs, "member")
        np.testing.assert_allclose(rank_histogram(ens, obs), expected, rtol=1e-6)

    def test_adds_up_to_one_with_a_rank_for_every_gap(self):
        histogram = rank_histogram(*pair())
        np.testing.assert_array_equal(histogram["rank"], np.arange(M + 1))
        assert histogram.sum() == pytest.approx(1)

    @pytest.mark.parametrize("wet", [1.0, 0.1])
    def test_is_flat_for_draws_of_one_distribution(self, wet):
        values = draws(7, 40_000, wet)
        ens = xr.DataArray(values[1:], dims=("member", "x"))
        histogram = rank_histogram(ens, xr.DataArray(values[0], dims="x"))
        # five standard deviations of the frequency of an event of probability 1/8
        np.testing.assert_allclose(histogram, 1 / 8, atol=5 * (1 / 8 * 7 / 8 / 40_000) ** 0.5)

    def test_shares_are_exact_where_there_are_no_ties(self):
        ens, obs = pair(missing=False)
        np.testing.assert_array_equal(rank_histogram(ens, obs * 0 - 1), [1, 0, 0, 0, 0, 0])

    @pytest.mark.parametrize("kinds", [("f4", "f8"), ("f8", "f4")])
    def test_equal_values_are_equal_in_any_precision(self, kinds):
        ens, obs = (xr.DataArray(np.full((3, 2), 0.7, k), dims=("member", "x")) for k in kinds)
        np.testing.assert_allclose(rank_histogram(ens, obs[0]), 1 / 4)
        np.testing.assert_allclose(pit(ens, obs[0], bins=2), 1 / 2)

    @pytest.mark.filterwarnings("error")
    def test_what_is_too_large_for_the_precision_of_the_members_is_above_them(self):
        ens = xr.DataArray(np.zeros((2, 1), np.float16), dims=("member", "x"))
        assert rank_histogram(ens, xr.DataArray([1e6], dims="x")).values.tolist() == [0, 0, 1]


class TestPit:
    @pytest.mark.parametrize("bins", [1, 6, 10, 13])
    def test_is_that_of_scores_with_the_truth_among_the_members(self, bins):
        ens, obs = everywhere_known(*pair())
        expected = Pit(xr.concat([ens, obs], "member"), obs, ensemble_member_dim="member")
        np.testing.assert_allclose(
            pit(ens, obs, bins=bins), expected.hist_values(bins), rtol=1e-6, atol=1e-12
        )

    def test_is_the_rank_histogram_where_bins_are_ranks(self):
        ens, obs = pair()
        np.testing.assert_allclose(pit(ens, obs, bins=M + 1), rank_histogram(ens, obs))

    @pytest.mark.parametrize("wet", [1.0, 0.1])
    @pytest.mark.parametrize("members", [1, 4, 16])
    def test_is_flat_for_draws_of_one_distribution(self, wet, members):
        values = draws(members, 40_000, wet)
        ens = xr.DataArray(values[1:], dims=("member", "x"))
        histogram = pit(ens, xr.DataArray(values[0], dims="x"), bins=10)
        np.testing.assert_allclose(histogram, 0.1, atol=5 * (0.09 / 40_000) ** 0.5)

    def test_is_high_at_both_ends_for_members_too_sure(self):
        values = np.random.default_rng(0).normal(size=(11, 5000))
        ens = xr.DataArray(0.3 * values[1:], dims=("member", "x"))
        histogram = pit(ens, xr.DataArray(values[0], dims="x"))
        assert histogram[0] > 0.2
        assert histogram[-1] > 0.2

    def test_bins_have_centres(self):
        np.testing.assert_allclose(pit(*pair(), bins=4)["pit"], [0.125, 0.375, 0.625, 0.875])

    def test_needs_a_bin(self):
        for bins in (0, 2.5):
            with pytest.raises(InputError, match=f"bins={bins}: bins=10"):
                pit(*pair(), bins=bins)


class TestBrier:
    @pytest.mark.parametrize("fair", [True, False])
    @pytest.mark.parametrize("dim", [None, "time"])
    def test_is_that_of_scores(self, fair, dim):
        ens, obs = everywhere_known(*pair())
        thresholds = [0.0, 0.1, 0.5, 99.0]
        expected = brier_score_for_ensemble(
            ens.astype(np.float64).round(1),
            obs.astype(np.float64).round(1),
            ensemble_member_dim="member",
            event_thresholds=thresholds,
            reduce_dims="all" if dim is None else dim,
            fair_correction=fair,
        )
        result = brier(ens, obs, dim=dim, threshold=thresholds, fair=fair)
        expected = expected.transpose(*result.dims)
        np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-12)
        np.testing.assert_array_equal(result["threshold"], thresholds)

    def test_thresholds_have_units_unless_variables_have_several(self):
        ens, obs = pair()
        assert brier(ens, obs, threshold=[0.5])["threshold"].attrs["units"] == "mm h-1"
        other = ens.assign_attrs(units="K")
        both = xr.Dataset({"rain": ens, "t": other}), xr.Dataset({"rain": obs, "t": other[0]})
        assert "units" not in brier(*both, threshold=[0.5])["threshold"].attrs
        assert reliability(ens, obs, threshold=0.5)["threshold"].attrs["units"] == "mm h-1"

    def test_has_an_interval(self):
        values = draws(M, 900).reshape(M + 1, 9, 100)
        ens = xr.DataArray(values[1:], dims=("member", "time", "x"))
        both = brier(ens, xr.DataArray(values[0], dims=("time", "x")), threshold=0.1, ci=0.9)
        assert both.sel(bound="lower") < both.sel(bound="estimate") < both.sel(bound="upper")

    def test_a_threshold_is_reached_by_its_own_value_in_any_precision(self):
        ens = xr.DataArray(np.float32([[0.7], [0.7]]), dims=("member", "x"))
        assert brier(ens, ens[0], threshold=0.7) == 0
        assert brier(ens, ens[0] * 0, threshold=0.7) == 1

    @pytest.mark.parametrize("kinds", [("f4", "f8"), ("f8", "f4"), ("f2", "f8")])
    def test_a_threshold_is_reached_in_the_precision_of_each(self, kinds):
        ens, obs = (xr.DataArray(np.full((2, 3), 0.3, k), dims=("member", "x")) for k in kinds)
        assert brier(ens, obs[0], threshold=0.3) == 0
        curves = reliability(ens, obs[0], threshold=0.3)
        assert curves.sel(probability=1, curve=["forecast", "observed"]).values.tolist() == [1, 1]

    def test_one_number_makes_no_dimension(self):
        ens, obs = pair()
        one = brier(ens, obs, threshold=0.5)
        assert one.dims == ()
        assert one["threshold"] == 0.5
        several = brier(ens, obs, threshold=[0.5])
        assert several.dims == ("threshold",)
        assert one.item() == several.item()

    def test_is_the_same_on_average_for_any_number_of_members_if_fair(self):
        values = draws(30, 20_000)
        ens, obs = xr.DataArray(values[1:], dims=("member", "x")), xr.DataArray(values[0], dims="x")
        few, many = (brier(ens[:m], obs, threshold=0.1).item() for m in (2, 30))
        assert few == pytest.approx(many, abs=0.01)
        assert brier(ens[:2], obs, threshold=0.1, fair=False) > many + 0.05

    def test_a_forecast_without_members_is_certain(self):
        ens, obs = pair(missing=False)
        expected = ((ens[0] >= 0.5) != (obs >= 0.5)).mean()
        assert brier(ens[0], obs, threshold=0.5) == pytest.approx(expected.item())
        with pytest.raises(InputError, match="two members or more, found 1: type fair=False"):
            brier(ens[:1], obs, threshold=0.5)

    def test_has_a_skill_over_a_reference(self):
        ens, obs = pair(missing=False)
        both = brier(ens, obs, threshold=0.5, reference=ens[0])
        assert "fair" in both.attrs["long_name"]
        assert "fair" not in brier(ens[0], obs, threshold=0.5).attrs["long_name"]
        score, reference, skill = both.sel(value=["score", "reference", "skill"]).values
        assert reference == pytest.approx(brier(ens[0], obs, threshold=0.5).item())
        assert skill == pytest.approx(1 - score / reference)

    @pytest.mark.parametrize("threshold", [[], np.nan, [0.1, np.inf], "1", [[0.1, 0.5]], None])
    @pytest.mark.parametrize("score", [brier, reliability])
    def test_needs_thresholds(self, score, threshold):
        with pytest.raises(InputError, match=r"threshold is a number or.*threshold=\[1, 5\]"):
            score(*pair(), threshold=threshold)


class TestReliability:
    def by_hand(self, ens, obs, threshold, classes):
        """Go through the points one by one."""
        found = {i: [] for i in range(classes)}
        every = ens.values.reshape(len(ens), -1).T
        for members, truth in zip(every, obs.values.reshape(-1), strict=True):
            if np.isfinite(members).all() and np.isfinite(truth):
                share = (members >= threshold).mean()
                place = int(np.floor(share * (classes - 1) + 0.5 + 1e-9))
                found[place].append((share, truth >= threshold))
        total = sum(map(len, found.values()))
        rows = [
            (*np.mean(f, axis=0), len(f) / total) if f else (np.nan, np.nan, 0.0)
            for f in found.values()
        ]
        return np.array(rows)

    @pytest.mark.parametrize(("members", "classes"), [(5, None), (5, 3), (16, None), (20, 11)])
    def test_is_what_it_is(self, members, classes):
        ens, obs = pair(members=members)
        count = classes or min(members + 1, 11)
        curves = reliability(ens, obs, threshold=0.1, classes=classes)
        expected = self.by_hand(ens, obs, np.float32(0.1), count)
        assert list(curves["curve"].values) == ["forecast", "observed", "share"]
        np.testing.assert_allclose(curves.transpose("probability", "curve"), expected, rtol=1e-6)
        np.testing.assert_allclose(curves["probability"], np.linspace(0, 1, count))

    def test_follows_the_rule_of_succession_for_chances_of_any_size(self):
        rng = np.random.default_rng(0)
        chance = rng.random(200_000)
        ens = xr.DataArray(rng.random((10, chance.size)) < chance, dims=("member", "x"))
        obs = xr.DataArray(rng.random(chance.size) < chance, dims="x").astype(float)
        curves = reliability(ens.astype(float), obs, threshold=1.0)
        # Laplace: k of m draws of a chance that is as likely to be any
        expected = (np.arange(11) + 1) / 12
        np.testing.assert_allclose(curves.sel(curve="observed"), expected, atol=0.02)
        np.testing.assert_allclose(curves.sel(curve="share"), 1 / 11, atol=0.005)
        np.testing.assert_allclose(curves.sel(curve="forecast"), curves["probability"])

    def test_has_a_curve_for_each_threshold(self):
        ens, obs = pair()
        both = reliability(ens, obs, threshold=[0.1, 0.5])
        xr.testing.assert_allclose(both.sel(threshold=0.5), reliability(ens, obs, threshold=0.5))

    def test_an_empty_class_has_a_share_and_no_curve(self):
        ens = xr.DataArray([[1.0], [1.0]], dims=("member", "x"))
        curves = reliability(ens, ens[0], threshold=0.5).sel(probability=0)
        assert curves.sel(curve="share") == 0
        assert np.isnan(curves.sel(curve=["forecast", "observed"])).all()

    def test_needs_two_classes(self):
        for classes in (1, 2.5):
            with pytest.raises(InputError, match=f"classes={classes}: classes=11"):
                reliability(*pair(), threshold=0.5, classes=classes)


def test_kernels_take_integers():
    shares = probabilities.rank_shares(np.array([0, 0, 4]), np.array(0))
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, 1 / 3, 0])
