"""What holds for scores of any data, and what they are of distributions that are known."""

from math import erf, exp, pi, sqrt

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xresdiff.errors import InputError
from xresdiff.verify.scores import bias, correlation, crps, mae, member_mae, rmse
from xresdiff.verify.spreads import spread, spread_skill
from xresdiff.verify.tables import scores

FEW = settings(max_examples=5, deadline=None)
DIMS = ("member", "time", "y", "x")


def ecdf(ens, obs, **options):
    """CRPS of the members as a distribution."""
    return crps(ens, obs, fair=False, **options)


ALL = [crps, ecdf, mae, member_mae, rmse, bias, correlation, spread, spread_skill]
OF_THE_MEAN = [ecdf, mae, member_mae, rmse, bias, correlation]
RATIOS = (correlation, spread_skill)

every_score = pytest.mark.parametrize("score", ALL, ids=lambda score: score.__name__)


@st.composite
def forecasts(draw):
    """An ensemble and a truth, in steps of 1/8: many are equal, and sums are exact."""
    shape = tuple(draw(st.integers(*limits)) for limits in ((2, 6), (2, 4), (2, 4), (1, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    ens, obs = rng.normal(size=shape), rng.normal(size=shape[1:])
    dry = draw(st.sampled_from([-10, 0]))
    values = (np.round(8 * np.maximum(part, dry)) / 8 for part in (ens, obs))
    return tuple(xr.DataArray(v, dims=d) for v, d in zip(values, (DIMS, DIMS[1:]), strict=True))


def same(one, other, rtol=1e-9):
    np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-12)


@every_score
class TestEveryScore:
    @FEW
    @given(forecasts(), st.sampled_from([-100.0, 0.5, 2.0**12]))
    def test_differences_count_not_values(self, score, data, shift):
        ens, obs = data
        same(score(ens + shift, obs + shift), score(ens, obs), rtol=1e-7)

    @FEW
    @given(forecasts(), st.sampled_from([2.0**-20, 0.5, 8.0, 2.0**20]), st.booleans())
    def test_has_the_units_of_the_data(self, score, data, factor, turned):
        ens, obs = data
        expected = score(ens, obs) * (1 if score in RATIOS else factor)
        factor, expected = (-factor, -expected) if turned else (factor, expected)
        expected = expected if score is bias else abs(expected)
        expected = score(ens, obs) if score in RATIOS else expected
        same(score(factor * ens, factor * obs), expected)

    @FEW
    @given(forecasts(), st.randoms(use_true_random=False))
    def test_knows_no_order(self, score, data, random):
        ens, obs = data
        order = {d: random.sample(range(n), n) for d, n in ens.sizes.items()}
        cases = {d: index for d, index in order.items() if d != "member"}
        same(score(ens.isel(order), obs.isel(cases)), score(ens, obs), rtol=1e-12)

    @FEW
    @given(forecasts(), st.data())
    def test_is_the_same_for_any_chunks(self, score, data, draw):
        ens, obs = data
        sizes = {d: draw.draw(st.integers(1, n), label=d) for d, n in ens.sizes.items()}
        others = {d: draw.draw(st.integers(1, n), label=d) for d, n in obs.sizes.items()}
        same(score(ens.chunk(sizes), obs.chunk(others)), score(ens, obs), rtol=1e-12)
        same(score(ens.chunk(sizes), obs, dim="y"), score(ens, obs, dim="y"), rtol=1e-12)

    @FEW
    @given(forecasts(), st.sampled_from(["run", "sample", "time2"]))
    def test_takes_any_name_of_members(self, score, data, name):
        ens, obs = data
        assert score(ens.rename(member=name), obs, member_dim=name).equals(score(ens, obs))

    @FEW
    @given(forecasts(), st.lists(st.integers(0, 3), min_size=4, max_size=4))
    def test_a_weight_is_a_repetition(self, score, data, counts):
        ens, obs = data
        counts = np.array(counts[: ens.sizes["y"]])
        rows = np.repeat(np.arange(counts.size), counts)
        weighted = score(ens, obs, weights=xr.DataArray(counts, dims="y"))
        if rows.size:
            same(weighted, score(ens.isel(y=rows), obs.isel(y=rows)))
        else:
            assert np.isnan(weighted)

    @FEW
    @given(forecasts(), st.integers(0, 2**16))
    def test_a_missing_point_is_a_point_less(self, score, data, seed):
        ens, obs = (da.stack(point=DIMS[1:]).reset_index("point", drop=True) for da in data)
        missing = np.random.default_rng(seed).random((2, obs.size)) < 0.2
        there = np.flatnonzero(~missing.any(0))
        holes = ens.where(~xr.DataArray(missing[0], dims="point") | (ens["member"] > 0))
        result = score(holes, obs.where(~missing[1]))
        if there.size:
            same(result, score(ens.isel(point=there), obs.isel(point=there)))
        else:
            assert np.isnan(result)

    @FEW
    @given(forecasts())
    def test_twice_the_same_cases_are_scored_as_once(self, score, data):
        ens, obs = data
        same(score(xr.concat([ens, ens], "time"), xr.concat([obs, obs], "time")), score(ens, obs))


@pytest.mark.parametrize("score", OF_THE_MEAN, ids=lambda score: score.__name__)
@FEW
@given(forecasts())
def test_twice_the_same_members_are_scored_as_once(score, data):
    ens, obs = data
    same(score(xr.concat([ens, ens], "member"), obs), score(ens, obs))


@FEW
@given(forecasts())
def test_a_fair_crps_is_the_mean_of_those_of_smaller_ensembles(data):
    ens, obs = xr.concat([data[0], data[0][:1] + 1], "member"), data[1]
    smaller = [crps(ens.drop_isel(member=i), obs) for i in range(ens.sizes["member"])]
    same(np.mean(smaller), crps(ens, obs))


@FEW
@given(forecasts(), st.sampled_from([-1.0, 0.0, 0.3]), st.booleans())
def test_crps_above_and_below_add_up(data, threshold, fair):
    ens, obs = data
    parts = crps(ens, obs, fair=fair, above=threshold) + crps(ens, obs, fair=fair, below=threshold)
    same(parts, crps(ens, obs, fair=fair))


@FEW
@given(forecasts())
def test_crps_beyond_all_values_is_whole_or_nothing(data):
    ens, obs = data
    same(crps(ens, obs, above=-99, below=99), crps(ens, obs))
    assert crps(ens, obs, above=99) == 0


def test_thresholds_that_leave_nothing_are_refused():
    ens, obs = draws(3, cases=10)
    with pytest.raises(InputError):
        crps(ens, obs, above=1.0, below=-1.0)


@FEW
@given(forecasts())
def test_errors_are_in_order(data):
    ens, obs = data
    assert abs(bias(ens, obs)) <= mae(ens, obs) + 1e-12
    assert mae(ens, obs) <= min(rmse(ens, obs), member_mae(ens, obs)) + 1e-12
    assert crps(ens, obs) <= ecdf(ens, obs) <= member_mae(ens, obs) + 1e-12
    assert abs(correlation(ens, obs).fillna(0)) <= 1 + 1e-12


@FEW
@given(forecasts(), st.booleans())
def test_the_table_has_the_scores(data, lazy):
    ens, obs = data
    table = scores(ens.rename("t").chunk(member=1) if lazy else ens.rename("t"), obs).t
    for score in ALL:
        if score is not ecdf:
            same(table.sel(score=score.__name__), score(ens, obs))


# --- distributions


def draws(members, cases=20_000, scale=1.0, seed=0):
    """Draw members and the truth from one distribution, another one for each case."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(cases) + scale * rng.standard_normal((members + 1, cases))
    return xr.DataArray(values[1:], dims=("member", "x")), xr.DataArray(values[0], dims="x")


@pytest.mark.parametrize("members", [2, 3, 10, 130])
def test_fair_crps_of_gaussian_draws(members):
    """Their sigma over the root of pi, whatever their number: E|X - y| - E|X - X'| / 2."""
    assert crps(*draws(members, scale=2.0)) == pytest.approx(2 / sqrt(pi), rel=0.02)


@pytest.mark.parametrize("z", [-2.0, 0.0, 0.7])
def test_crps_of_a_gaussian(z):
    """Gneiting and Raftery (2007), equation 21, doi:10.1198/016214506000001437."""
    mean, sigma, m = 280.0, 3.0, 4000
    quantiles = _normal_quantiles((np.arange(m) + 0.5) / m)
    ens = xr.DataArray(mean + sigma * quantiles, dims="member")
    density = exp(-(z**2) / 2) / sqrt(2 * pi)
    closed = sigma * (z * erf(z / sqrt(2)) + 2 * density - 1 / sqrt(pi))
    obs = xr.DataArray(mean + sigma * z)
    assert crps(ens, obs, fair=False) == pytest.approx(closed, rel=1e-3)


def _normal_quantiles(shares):
    """Invert the distribution function by a table."""
    x = np.linspace(-6, 6, 20_001)
    return np.interp(shares, [(1 + erf(v / sqrt(2))) / 2 for v in x], x)


@pytest.mark.parametrize("y", [0.1, 0.45, 0.8, 1.3])
def test_threshold_weighted_crps_of_a_uniform_distribution(y):
    """The integral from `low` to `high` of (x - 1)^2 beyond y and of x^2 before, within 0 to 1."""
    m, low, high = 2000, 0.3, 0.7
    ens = xr.DataArray((np.arange(m) + 0.5) / m, dims="member")
    split = min(max(y, low), high)
    closed = (split**3 - low**3) / 3 + ((1 - split) ** 3 - (1 - high) ** 3) / 3
    result = crps(ens, xr.DataArray(y), fair=False, above=low, below=high)
    assert result == pytest.approx(closed, rel=1e-5)
    split = max(y, low)
    beyond = (min(split, 1) ** 3 - low**3) / 3 + (1 - min(split, 1)) ** 3 / 3 + max(y - 1, 0)
    result = crps(ens, xr.DataArray(y), fair=False, above=low)
    assert result == pytest.approx(beyond, rel=1e-5)


@pytest.mark.parametrize("members", [2, 3, 10])
def test_draws_of_the_distribution_of_the_truth_are_as_far_apart_as_from_it(members):
    ens, obs = draws(members, scale=2.0)
    assert spread_skill(ens, obs) == pytest.approx(1, abs=0.02)
    assert spread(ens, obs) == pytest.approx(2, rel=0.02)
    assert rmse(ens, obs) == pytest.approx(2 * sqrt(1 + 1 / members), rel=0.02)


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.6])
def test_correlation_of_a_bivariate_normal_distribution(rho):
    a, b = np.random.default_rng(0).standard_normal((2, 100_000))
    one = xr.DataArray(5 + a, dims="x")
    other = xr.DataArray(280 + 3 * (rho * a + sqrt(1 - rho**2) * b), dims="x")
    assert correlation(one, other) == pytest.approx(rho, abs=0.01)


@pytest.mark.parametrize("value", [280.15, 0.1, 101325.3])
def test_nothing_correlates_with_what_is_constant(value):
    varying = xr.DataArray(np.random.default_rng(0).standard_normal(1000), dims="x")
    constant = xr.full_like(varying, value)
    assert np.isnan(correlation(constant, constant + varying))
    assert np.isnan(correlation(constant, constant))
