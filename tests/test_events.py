"""Events: contingency tables, their scores, probabilities of exceedance."""

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.verify.events import contingency, events
from xresdiff.verify.kernels import events as kernels
from xresdiff.verify.neighbourhoods import probability

M, T, Y, X = 5, 6, 4, 7
THRESHOLDS = [0.2, 0.5, 1.0]


@pytest.fixture
def obs():
    """Rain with zeros, at one point missing."""
    values = np.random.default_rng(0).gamma(0.5, size=(T, Y, X)).round(1).astype(np.float32)
    values[1, 2, 3] = np.nan
    return xr.DataArray(
        values,
        coords={
            "time": np.datetime64("2020-01-01", "ns") + np.arange(T) * np.timedelta64(1, "D"),
            "lat": ("lat", 50.0 + np.arange(Y), {"units": "degrees_north"}),
            "lon": ("lon", 10.0 + np.arange(X), {"units": "degrees_east"}),
        },
        dims=("time", "lat", "lon"),
        name="rain",
        attrs={"units": "mm h-1", "long_name": "rain rate"},
    )


@pytest.fixture
def ens(obs):
    values = np.random.default_rng(1).gamma(0.5, size=(M, T, Y, X)).round(1).astype(np.float32)
    return (
        xr.DataArray(values, {}, ("member", *obs.dims), attrs={"units": "mm h-1"})
        .assign_coords(obs.coords)
        .rename("rain")
    )


@pytest.fixture
def weights(obs):
    return xr.DataArray(np.arange(1.0, Y + 1), coords={"lat": obs.lat}, dims="lat")


def table_by_hand(ens, obs, threshold):
    """Count members as forecasts of their own."""
    there = np.isfinite(obs.values)
    forecast = ens.values[:, there] >= np.float32(threshold)
    happened = np.broadcast_to(obs.values[there] >= np.float32(threshold), forecast.shape)
    pairs = [(True, True), (False, True), (True, False), (False, False)]
    return [((forecast == f) & (happened == o)).mean() for f, o in pairs]


class TestContingency:
    def test_counts_every_member(self, ens, obs):
        result = contingency(ens, obs, threshold=THRESHOLDS)
        for threshold in THRESHOLDS:
            expected = table_by_hand(ens, obs, threshold)
            np.testing.assert_allclose(result.sel(threshold=threshold), expected, rtol=1e-12)

    def test_is_labelled(self, ens, obs):
        result = contingency(ens.assign_attrs(units="mm h-1"), obs, threshold=[1, 2])
        assert list(result.event.values) == ["hits", "misses", "false_alarms", "correct_negatives"]
        assert result.threshold.values.tolist() == [1.0, 2.0]
        assert result.threshold.attrs["units"] == "mm h-1"
        assert result.attrs["units"] == "1"
        assert result.name == "rain"

    def test_a_single_threshold_makes_no_dimension(self, ens, obs):
        one = contingency(ens, obs, threshold=0.5)
        assert one.dims == ("event",)
        assert one.threshold == 0.5
        xr.testing.assert_identical(one, contingency(ens, obs, threshold=[0.5]).isel(threshold=0))

    def test_sums_to_one_with_weights_and_gaps(self, ens, obs, weights):
        result = contingency(ens, obs, threshold=THRESHOLDS, weights=weights, dim=("lat", "lon"))
        np.testing.assert_allclose(result.sum("event"), np.ones((T, 3)), rtol=1e-12)

    def test_is_weighted(self, ens, obs, weights):
        base = (obs >= np.float32(0.5)).where(obs.notnull()).weighted(weights).mean()
        result = contingency(ens, obs, threshold=0.5, weights=weights)
        assert result.sel(event=["hits", "misses"]).sum() == pytest.approx(base.item())

    def test_with_a_probability_the_members_are_one_forecast(self, ens, obs):
        share = (ens >= np.float32(0.5)).mean("member")
        one = (share >= 0.6).astype(float)
        expected = contingency(
            one.where(obs.notnull()), (obs >= 0.5).where(obs.notnull()), threshold=1
        )
        result = contingency(ens, obs, threshold=0.5, probability=0.6)
        np.testing.assert_array_equal(result, expected)

    def test_the_share_that_is_just_enough_is(self):
        ens = xr.DataArray([1.0] * 7 + [0.0] * 3, dims="member")
        obs = xr.DataArray(1.0)
        result = contingency(ens, obs, threshold=1, probability=0.7)
        assert result.sel(event="hits") == 1

    @pytest.mark.parametrize("kinds", [("f4", "f8"), ("f8", "f4"), ("f4", "f4")])
    @pytest.mark.parametrize("threshold", [0.7, np.float64(0.7), [0.7]])
    def test_an_event_is_at_or_above_in_the_precision_of_the_data(self, kinds, threshold):
        """0.7 of float32 is less than 0.7 of float64, but no smaller number was meant."""
        ens, obs = (xr.DataArray(np.array([0.7, 0.7], kind), dims="x") for kind in kinds)
        assert contingency(ens, obs, threshold=threshold).sel(event="hits") == 1

    def test_the_threshold_is_in_the_units_of_the_ensemble(self, ens, obs):
        ens = ens.assign_attrs(units="mm h-1")
        flux = ((obs + np.float32(0.05)) / 3600).astype(float).assign_attrs(units="kg m-2 s-1")
        shifted = (obs + np.float32(0.05)).assign_attrs(obs.attrs)
        xr.testing.assert_allclose(
            contingency(ens, flux, threshold=1.0), contingency(ens, shifted, threshold=1.0)
        )

    def test_a_missing_member_is_unknown_too(self, ens, obs):
        ens[2, 0, 0, 0] = np.nan
        result = contingency(ens, obs, threshold=0.5, dim=())
        assert np.isnan(result.isel(time=0, lat=0, lon=0)).all()
        assert np.isnan(result).sum() == 2 * 4

    def test_skipna_false_does_not_hide_the_missing(self, ens, obs):
        assert np.isnan(contingency(ens, obs, threshold=0.5, skipna=False)).all()

    @pytest.mark.parametrize("threshold", [[], "high", "1", [np.nan], [[1.0]], [[1], [1, 2]], None])
    def test_refuses_what_is_no_threshold(self, ens, obs, threshold):
        with pytest.raises(InputError, match=r"threshold=\[1, 5\]"):
            contingency(ens, obs, threshold=threshold)

    @pytest.mark.parametrize("share", [0.0, 1.1, 50])
    def test_refuses_what_is_no_share(self, ens, obs, share):
        with pytest.raises(InputError, match=r"probability=0.5, not"):
            contingency(ens, obs, threshold=1, probability=share)


class TestEvents:
    def test_equals_another_implementation(self, ens, obs):
        categorical = pytest.importorskip("scores.categorical")
        one = ens.isel(member=0).where(obs.notnull())
        for threshold in THRESHOLDS:
            manager = categorical.ThresholdEventOperator(
                default_event_threshold=np.float32(threshold)
            ).make_contingency_manager(one, obs)
            theirs = {
                "csi": manager.threat_score(),
                "pod": manager.probability_of_detection(),
                "far": manager.false_alarm_ratio(),
                "ets": manager.equitable_threat_score(),
                "hss": manager.heidke_skill_score(),
                "frequency_bias": manager.frequency_bias(),
            }
            ours = events(one, obs, threshold=threshold)
            for name, value in theirs.items():
                assert ours.sel(score=name) == pytest.approx(float(value), rel=1e-10), name

    def test_a_perfect_forecast(self, obs):
        result = events(obs.fillna(0.0), obs, threshold=0.5)
        assert result.values.tolist() == pytest.approx([1, 1, 0, 1, 1, 1])

    def test_a_forecast_of_chance_has_no_skill(self):
        """Forecast and truth are independent: every pair of values is there once."""
        ens = xr.DataArray(np.repeat([0.0, 0.0, 1.0], 4), dims="x")
        obs = xr.DataArray(np.tile([0.0, 0.0, 0.0, 1.0], 3), dims="x")
        result = events(ens, obs, threshold=1)
        assert result.sel(score=["ets", "hss"]).values == pytest.approx([0, 0], abs=1e-12)

    def test_what_divides_by_zero_is_nan_not_zero(self):
        """Only correct negatives: nothing is defined. No forecast: no FAR, but a POD of zero."""
        dry = xr.DataArray(np.zeros(4), dims="x")
        assert np.isnan(events(dry, dry, threshold=1)).all()
        never = events(dry, xr.DataArray([0, 0, 0, 1.0], dims="x"), threshold=1)
        assert never.sel(score=["csi", "pod", "frequency_bias"]).values.tolist() == [0, 0, 0]
        assert np.isnan(never.sel(score="far"))

    def test_frequencies_are_averaged_before_they_are_divided(self, ens, obs):
        whole = events(ens, obs, threshold=0.5)
        table = contingency(ens, obs, threshold=0.5)
        np.testing.assert_allclose(whole, kernels.contingency_scores(table.values))
        daily = events(ens, obs, threshold=0.5, dim=("lat", "lon")).mean("time")
        assert abs(whole - daily).max() > 1e-3

    def test_members_may_come_in_any_order(self, ens, obs):
        turned = ens.isel(member=[3, 0, 4, 2, 1])
        for share in (None, 0.4):
            xr.testing.assert_allclose(
                events(turned, obs, threshold=0.5, probability=share),
                events(ens, obs, threshold=0.5, probability=share),
            )

    def test_the_name_of_the_members_does_not_matter(self, ens, obs):
        odd = events(ens.rename(member="run"), obs, threshold=0.5, member_dim="run")
        xr.testing.assert_identical(odd, events(ens, obs, threshold=0.5))

    @pytest.mark.parametrize("chunks", [{"member": 2}, {"member": 1, "time": 4, "lon": 3}])
    @pytest.mark.parametrize("function", [events, contingency])
    def test_is_lazy_and_the_same_for_any_chunks(self, function, ens, obs, chunks):
        small = {d: c for d, c in chunks.items() if d != "member"}
        with raise_if_dask_computes():
            lazy = function(ens.chunk(chunks), obs.chunk(small), threshold=THRESHOLDS)
        assert dask.is_dask_collection(lazy)
        xr.testing.assert_allclose(lazy, function(ens, obs, threshold=THRESHOLDS))

    def test_takes_datasets_variable_by_variable(self, ens, obs):
        more = xr.Dataset({"rain": ens, "other": 2 * ens})
        result = events(more, xr.Dataset({"rain": obs, "other": obs}), threshold=[0.5])
        xr.testing.assert_identical(result.rain, events(ens, obs, threshold=[0.5]))
        assert set(result.data_vars) == {"rain", "other"}

    def test_thresholds_of_several_units_have_none(self, ens, obs):
        more = xr.Dataset({"rain": ens.assign_attrs(units="mm"), "t": ens.assign_attrs(units="K")})
        truth = xr.Dataset({"rain": obs.assign_attrs(units="mm"), "t": obs.assign_attrs(units="K")})
        assert "units" not in events(more, truth, threshold=[0.5]).threshold.attrs
        assert events(more, truth[["t"]], threshold=[0.5]).threshold.attrs["units"] == "K"

    def test_has_an_interval(self, ens, obs):
        result = events(ens, obs, threshold=[0.2, 0.5], ci=0.9)
        assert set(result.dims) == {"threshold", "score", "bound"}
        lower, estimate, upper = (result.sel(bound=b) for b in ("lower", "estimate", "upper"))
        assert (lower < upper).all()
        np.testing.assert_allclose(estimate, events(ens, obs, threshold=[0.2, 0.5]))

    @given(st.lists(st.integers(0, 50), min_size=4, max_size=4))
    def test_identities(self, counts):
        """CSI, POD, FAR and the bias are three numbers; HSS is twice the odds of ETS."""
        table = np.array(counts, float)
        csi, pod, far, ets, hss, bias = kernels.contingency_scores(table)
        hits, misses, false, _ = table
        if hits:
            assert 1 / csi == pytest.approx(1 / pod + 1 / (1 - far) - 1)
            assert bias == pytest.approx(pod / (1 - far))
        if hits + misses + false and np.isfinite(hss) and np.isfinite(ets):
            assert ets == pytest.approx(hss / (2 - hss), abs=1e-9)

    @given(st.lists(st.integers(1, 50), min_size=4, max_size=4), st.integers(1, 9))
    def test_only_ratios_of_the_counts_matter(self, counts, factor):
        table = np.array(counts, float)
        np.testing.assert_allclose(
            kernels.contingency_scores(factor * table),
            kernels.contingency_scores(table),
            atol=1e-12,
        )


class TestProbability:
    def test_is_the_share_of_the_members(self, ens):
        result = probability(ens, threshold=THRESHOLDS)
        for threshold in THRESHOLDS:
            expected = (ens >= np.float32(threshold)).mean("member")
            np.testing.assert_allclose(result.sel(threshold=threshold), expected)

    def test_keeps_the_points(self, ens):
        result = probability(ens, threshold=0.5)
        assert result.dims == ("time", "lat", "lon")
        xr.testing.assert_identical(result.lat, ens.lat.assign_coords(threshold=result.threshold))
        assert result.attrs["units"] == "1"
        assert "probability of exceedance" in result.attrs["long_name"]

    def test_a_missing_member_makes_the_point_unknown(self, ens):
        ens[0, 0, 1, 1] = np.nan
        result = probability(ens, threshold=0.5)
        assert np.isnan(result[0, 1, 1])
        assert np.isnan(result).sum() == 1

    def test_of_the_truth_it_is_zero_or_one(self, obs):
        result = probability(obs, threshold=0.5)
        np.testing.assert_array_equal(result, (obs >= 0.5).where(obs.notnull()))

    def test_windows_average_the_shares_that_are_known(self, ens):
        ens[3, 0, 1, 1] = np.nan
        options = {"sides": ("lat", "lon"), "spacing_km": 2.0}
        share = probability(ens, threshold=0.5)
        result = probability(ens, threshold=0.5, scale_km=6.0, **options)
        padded = np.pad(share.values[0], 1, constant_values=np.nan)
        expected = [[np.nanmean(padded[y : y + 3, x : x + 3]) for x in range(X)] for y in range(Y)]
        expected = np.where(np.isnan(share[0]), np.nan, expected)
        np.testing.assert_allclose(result[0], expected)

    def test_skipna_false_spoils_the_windows_of_the_missing(self, ens):
        ens[3, 0, 1, 1] = np.nan
        options = {"sides": ("lat", "lon"), "spacing_km": 2.0, "scale_km": 6.0}
        result = probability(ens, threshold=0.5, skipna=False, **options)
        assert np.isnan(result[0, :3, :3]).all()
        assert np.isnan(result).sum() == 9

    def test_an_even_window_has_one_more_point_before(self):
        da = xr.DataArray([[0.0, 0.0, 1.0, 0.0, 0.0]], dims=("y", "x"))
        result = probability(da, threshold=1, scale_km=2, sides=("y", "x"), spacing_km=1.0)
        assert result.values.tolist() == [[0, 0, 0.5, 0.5, 0]]

    def test_dimensions_of_thresholds_and_scales_come_first(self, ens):
        kwargs = {"sides": ("lat", "lon"), "spacing_km": (2.0, 1.0)}
        result = probability(ens, threshold=[0.5, 1], scale_km=[1, 4], **kwargs)
        assert result.dims == ("threshold", "scale", "time", "lat", "lon")
        assert result.window_y.values.tolist() == [1, 2]
        assert result.window_x.values.tolist() == [1, 4]
        one = probability(ens, threshold=0.5, scale_km=4, **kwargs)
        xr.testing.assert_identical(result.isel(threshold=0, scale=1), one)

    @pytest.mark.parametrize("scale_km", [None, 300.0])
    def test_is_lazy_and_the_same_for_any_chunks(self, ens, scale_km):
        with raise_if_dask_computes():
            lazy = probability(
                ens.chunk(member=2, lat=2, lon=3), threshold=[0.5], scale_km=scale_km
            )
        assert dask.is_dask_collection(lazy)
        xr.testing.assert_allclose(lazy, probability(ens, threshold=[0.5], scale_km=scale_km))

    def test_takes_datasets(self, ens):
        more = xr.Dataset({"rain": ens, "index": ens.mean(("lat", "lon"))})
        result = probability(more, threshold=0.5, scale_km=300.0)
        assert list(result.data_vars) == ["rain"]
        xr.testing.assert_identical(result.rain, probability(ens, threshold=0.5, scale_km=300.0))


BINARY = arrays(np.float64, (5, 6), elements=st.sampled_from([0.0, 1.0]))


@given(BINARY, BINARY, st.integers(1, 12), st.integers(1, 12))
def test_fss_is_between_zero_and_one_and_symmetric(a, b, rows, columns):
    both = [
        kernels.fractions_skill(
            kernels.fraction_errors(one[None], two, thresholds=[1.0], sizes=[(rows, columns)])
        ).item()
        for one, two in ((a, b), (b, a))
    ]
    if a.any() or b.any():
        assert both[0] == pytest.approx(both[1], abs=1e-12)
        assert -1e-12 <= both[0] <= 1
    else:
        assert np.isnan(both).all()


@given(BINARY, st.integers(1, 12), st.integers(1, 12))
def test_turning_the_field_turns_the_windows(a, rows, columns):
    plain = kernels.fractions(a[None], thresholds=[1.0], sizes=[(rows, columns)])
    turned = kernels.fractions(a.T[None], thresholds=[1.0], sizes=[(columns, rows)])
    np.testing.assert_array_equal(plain, turned.swapaxes(-1, -2))
