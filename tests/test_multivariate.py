"""Scores of vectors: those of scoringrules, in little memory, without loss of digits."""

import sys
import tracemalloc

import dask
import numpy as np
import pytest
import scoringrules
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError, MissingDependencyError
from xresdiff.verify import multivariate
from xresdiff.verify.multivariate import energy_score, variogram_score
from xresdiff.verify.scores import crps

M, T, Y, X = 5, 4, 3, 4
YX = ("y", "x")
BOTH = pytest.mark.parametrize("score", [energy_score, variogram_score])


@pytest.fixture
def ens():
    return fields(M, seed=1).rename(case="member")


@pytest.fixture
def obs():
    return fields(1, seed=0).isel(case=0)


def fields(count, seed):
    values = np.random.default_rng(seed).normal(280, 2, size=(count, T, Y, X)).astype(np.float32)
    attrs = {"units": "K", "long_name": "temperature"}
    return xr.DataArray(values, dims=("case", "time", *YX), name="t2m", attrs=attrs)


def theirs(score, ens, obs, fair, **options):
    """Score every time by scoringrules."""
    members = ens.values.astype(float).reshape(len(ens), T, Y * X).swapaxes(0, 1)
    rule = {energy_score: scoringrules.es_ensemble, variogram_score: scoringrules.vs_ensemble}
    truth = obs.values.astype(float).reshape(T, Y * X)
    estimator = "fair" if fair else "nrg"
    return rule[score](truth, members, estimator=estimator, backend="numpy", **options)


@BOTH
class TestBoth:
    @pytest.mark.parametrize("members", [2, 5, 20])
    @pytest.mark.parametrize("fair", [True, False])
    def test_is_that_of_scoringrules(self, score, obs, fair, members):
        ens = fields(members, seed=2).rename(case="member")
        expected = theirs(score, ens, obs, fair)
        every = score(ens, obs, over=YX, dim=(), fair=fair)
        np.testing.assert_allclose(every, expected, rtol=1e-6)
        assert score(ens, obs, over=YX, fair=fair) == pytest.approx(expected.mean())

    @pytest.mark.parametrize("chunks", [{"member": 2, "y": 2}, {"time": 1, "x": 3}])
    def test_is_lazy_and_the_same_for_any_chunks(self, score, ens, obs, chunks):
        with raise_if_dask_computes():
            lazy = score(ens.chunk(chunks), obs.chunk(time=2, x=1), over=YX)
        assert dask.is_dask_collection(lazy)
        xr.testing.assert_allclose(lazy, score(ens, obs, over=YX))

    def test_takes_any_order_of_dimensions(self, score, ens, obs):
        turned = score(ens.transpose("x", "time", "member", "y"), obs.transpose("y", ...), over=YX)
        xr.testing.assert_allclose(turned, score(ens, obs, over=("x", "y")))

    def test_does_not_depend_on_the_order_of_members(self, score, ens, obs):
        xr.testing.assert_allclose(score(ens[::-1], obs, over=YX), score(ens, obs, over=YX))

    def test_a_vector_with_any_gap_is_unknown_and_left_out(self, score, ens, obs):
        gaps = ens.copy()
        gaps[2, 1, 0, 0] = np.nan
        holes = obs.copy()
        holes[3, 2, 1] = np.nan
        every = score(gaps, holes, over=YX, dim=())
        np.testing.assert_array_equal(np.isnan(every), [False, True, False, True])
        expected = score(ens[:, ::2], obs[::2], over=YX)
        xr.testing.assert_allclose(score(gaps, holes, over=YX), expected)
        assert np.isnan(score(gaps, holes, over=YX, skipna=False))

    def test_takes_datasets_variable_by_variable(self, score, ens, obs):
        result = score(ens.to_dataset().assign(b=2 * ens), obs.to_dataset().assign(b=obs), over=YX)
        assert set(result.data_vars) == {"t2m", "b"}
        xr.testing.assert_identical(result["t2m"], score(ens, obs, over=YX))

    def test_repeats_a_truth_that_lacks_a_dimension(self, score, ens, obs):
        repeated = obs[0].expand_dims(time=T)
        expected = score(ens, repeated, over=("time", "y"))
        xr.testing.assert_allclose(score(ens, obs[0], over=("time", "y")), expected)

    def test_takes_weights_of_what_is_averaged(self, score, ens, obs):
        weights = xr.DataArray([1.0, 0, 0, 3], dims="time")
        every = score(ens, obs, over=YX, dim=()).values
        result = score(ens, obs, over=YX, weights=weights)
        assert result == pytest.approx((every[0] + 3 * every[3]) / 4)
        with pytest.raises(InputError, match=r"the weights have \('y',\).*isel\(y=0\)"):
            score(ens, obs, over=YX, weights=xr.DataArray(np.ones(Y), dims="y"))

    def test_has_a_skill_over_a_forecast_without_members(self, score, ens, obs):
        both = score(ens, obs, over=YX, reference=ens[0])
        mine, reference, skill = both.sel(value=["score", "reference", "skill"]).values
        assert mine == pytest.approx(score(ens, obs, over=YX).item())
        assert reference == pytest.approx(score(ens[0], obs, over=YX).item())
        assert skill == pytest.approx(1 - mine / reference)

    def test_a_single_member_has_no_fair_score(self, score, ens, obs):
        with pytest.raises(InputError, match="two members or more, found 1: type fair=False"):
            score(ens[:1], obs, over=YX)
        alone = score(ens[:1], obs, over=YX, fair=False)
        assert score(ens[0], obs, over=YX) == pytest.approx(alone.item())

    def test_refuses_dimensions_that_are_not_there(self, score, ens, obs):
        with pytest.raises(InputError, match=r"no vectors over \('z',\).*over=\('time', 'y', 'x'"):
            score(ens, obs, over="z")

    def test_refuses_to_average_over_the_vectors(self, score, ens, obs):
        with pytest.raises(InputError, match=r"dim has \('x',\).*dim=\('time',\)"):
            score(ens, obs, over=YX, dim=("time", "x"))
        xr.testing.assert_identical(score(ens, obs, over=YX, dim=...), score(ens, obs, over=YX))

    def test_a_forecast_without_members_is_not_called_fair(self, score, ens, obs):
        assert "fair" in score(ens, obs, over=YX).attrs["long_name"]
        assert "fair" not in score(ens[0], obs, over=YX).attrs["long_name"]

    def test_vectors_in_batches_are_those_one_by_one(self, score, ens, obs, monkeypatch):
        gaps = obs.copy()
        gaps[1, 0, 0] = np.nan
        together = score(ens, gaps, over=YX, dim=())
        monkeypatch.setattr(multivariate, "BATCH_BYTES", 1)
        xr.testing.assert_allclose(score(ens, gaps, over=YX, dim=()), together)

    def test_many_vectors_are_scored_together(self, score, monkeypatch):
        calls = []
        ours = multivariate._scoringrules()
        for name in ("es_ensemble", "vs_ensemble"):
            rule = getattr(ours, name)
            monkeypatch.setattr(
                ours, name, lambda *a, rule=rule, **k: calls.append(1) or rule(*a, **k)
            )
        values = np.random.default_rng(0).normal(size=(M + 1, 300, X))
        ens = xr.DataArray(values[1:], dims=("member", "time", "x"))
        score(ens, xr.DataArray(values[0], dims=("time", "x")), over="x")
        assert len(calls) <= M + 1

    def test_has_an_interval_from_times_that_are_not_in_the_vectors(self, score):
        values = np.random.default_rng(0).normal(size=(M + 1, 8, X))
        ens, obs = xr.DataArray(values[1:], dims=("member", "time", "x")), values[0]
        obs = xr.DataArray(obs, dims=("time", "x"))
        both = score(ens, obs, over="x", ci=0.9)
        assert both.sel(bound="lower") < both.sel(bound="estimate") < both.sel(bound="upper")
        with pytest.raises(InputError, match="leave the times out of over, or leave ci out"):
            score(ens, obs, over=("time", "x"), ci=0.9)

    def test_says_what_to_install(self, score, ens, obs, monkeypatch):
        monkeypatch.setitem(sys.modules, "scoringrules", None)
        with pytest.raises(MissingDependencyError, match="pip install scoringrules"):
            score(ens, obs, over=YX)


class TestEnergyScore:
    def test_of_one_point_is_the_crps(self, ens, obs):
        one, truth = ens[..., :1, :1], obs[..., :1, :1]
        assert energy_score(one, truth, over=YX) == pytest.approx(crps(one, truth).item())

    def test_keeps_its_digits_far_from_zero(self):
        values = np.random.default_rng(0).normal(280, 0.1, size=(33, 64, 64)).astype(np.float32)
        ens = xr.DataArray(values[1:], dims=("member", *YX))
        found = energy_score(ens, xr.DataArray(values[0], dims=YX), over=YX, fair=False)
        exact = values.astype(np.float64).reshape(33, -1)
        errors = np.mean([np.linalg.norm(x - exact[0]) for x in exact[1:]])
        spreads = np.mean([np.linalg.norm(x - exact[1:], axis=1).mean() for x in exact[1:]])
        assert found.item() == pytest.approx(errors - spreads / 2, rel=1e-12)

    def test_does_not_depend_on_the_origin(self, ens, obs):
        ens, obs = ens.astype(float), obs.astype(float)
        moved = energy_score(ens - 2**20, obs - 2**20, over=YX)
        assert moved == pytest.approx(energy_score(ens, obs, over=YX).item(), rel=1e-9)

    def test_of_equal_members_is_their_distance(self, obs):
        ens = xr.concat([obs + 3] * 4, "member")
        expected = 3 * (Y * X) ** 0.5
        assert energy_score(ens, obs, over=YX) == pytest.approx(expected, rel=1e-6)

    def test_takes_memory_of_the_fields_alone(self):
        ens = xr.DataArray(np.zeros((16, 2, 200, 200)), dims=("member", "time", *YX))
        ens += np.random.default_rng(0).normal(size=ens.shape)
        energy_score(ens[..., :9], ens[0, ..., :9], over=YX)  # what is imported and cached
        tracemalloc.start()
        energy_score(ens, ens[0], over=YX)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6 * ens[:, 0].nbytes  # of one time; that of all pairs would be 16

    def test_is_in_the_units_of_the_data(self, ens, obs):
        attrs = energy_score(ens, obs, over=YX).attrs
        assert attrs["units"] == "K"
        assert attrs["long_name"] == "fair energy score of temperature"


class TestVariogramScore:
    @pytest.mark.parametrize("p", [0.5, 1.0, 2.0])
    @pytest.mark.parametrize("fair", [True, False])
    def test_takes_any_power(self, ens, obs, p, fair):
        expected = theirs(variogram_score, ens, obs, fair, p=p).mean()
        found = variogram_score(ens, obs, over=YX, p=p, fair=fair)
        assert found == pytest.approx(expected, rel=1e-6)

    def test_does_not_see_a_bias(self, ens, obs):
        ens, obs = ens.astype(float), obs.astype(float)
        expected = variogram_score(ens, obs, over=YX).item()
        assert variogram_score(ens + 4, obs, over=YX) == pytest.approx(expected)

    @pytest.mark.parametrize(("p", "units"), [(0.5, "K"), (1.0, "K2"), (0.25, "K0.5")])
    def test_is_in_units_to_twice_the_power(self, ens, obs, p, units):
        assert variogram_score(ens, obs, over=YX, p=p).attrs["units"] == units
        table = variogram_score(ens.to_dataset(), obs.to_dataset(), over=YX, p=p)
        assert table["t2m"].attrs["units"] == units

    def test_says_how_much_memory_a_large_field_would_need(self):
        lazy = xr.DataArray(dask.array.zeros((16, 448, 448)), dims=("member", *YX))
        with pytest.raises(InputError) as error, raise_if_dask_computes():
            variogram_score(lazy, lazy[0], over=YX)
        assert "200704 points of 16 members need 1.08e+04 GB" in str(error.value)
        assert "ens.isel(y=slice(None, None, 9), x=slice(None, None, 9))" in str(error.value)
        thin = lazy[:, ::9, ::9]
        variogram_score(thin, thin[0], over=YX)

    def test_takes_no_more_memory_than_is_reckoned_with(self):
        values = np.random.default_rng(0).normal(size=(8, 500))
        ens = xr.DataArray(values, dims=("member", "x"))
        tracemalloc.start()
        variogram_score(ens, ens[0], over="x")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < multivariate.bytes_of_variogram(8, 500)

    def test_needs_a_positive_power(self, ens, obs):
        with pytest.raises(InputError, match=r"not p=0: p=0.5"):
            variogram_score(ens, obs, over=YX, p=0)
