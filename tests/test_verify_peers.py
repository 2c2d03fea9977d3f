"""Scores are those of other packages, to 1e-6, or the difference is said here."""

import warnings

import numpy as np
import pytest
import xarray as xr

from xresdiff.verify.calibration import rank_histogram
from xresdiff.verify.scores import bias, correlation, crps, mae, member_mae, rmse
from xresdiff.verify.spreads import spread

M, T, Y, X = 7, 3, 5, 8
RTOL = 1e-6
FIELD = ("time", "y", "x")
LOW, HIGH = 0.4, 1.2  # thresholds, in standard deviations
DETERMINISTIC = [mae, rmse, bias, correlation]

XSKILLSCORE = {mae: "mae", rmse: "rmse", bias: "me", correlation: "pearson_r"}
PYSTEPS = {mae: "MAE", rmse: "RMSE", bias: "ME", correlation: "corr_p"}


def random(seed=0):
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((T, Y, X))
    ens = xr.DataArray(signal + rng.standard_normal((M, T, Y, X)), dims=("member", *FIELD))
    return ens, xr.DataArray(signal + 0.3 + rng.standard_normal((T, Y, X)), dims=FIELD)


def tied():
    """Rain in steps of 0.1, most of it zero."""
    return tuple((da - 0.5).clip(0).round(1) for da in random())


def missing_truth():
    ens, obs = random()
    return ens, obs.where(np.random.default_rng(1).random((T, Y, X)) > 0.3)


def missing_members():
    ens, obs = random()
    return ens.where(np.random.default_rng(1).random(ens.shape) > 0.05), obs


def masked_area():
    ens, obs = random()
    land = xr.DataArray(np.arange(X) > 2, dims="x")
    return ens.where(land), obs.where(land)


def far_from_zero():
    """Temperatures in float32, which keeps 280 K to 3e-5 K."""
    return tuple((280 + 0.1 * da).astype(np.float32) for da in random())


def chunked():
    ens, obs = random()
    return ens.chunk(member=2, time=1, x=3), obs.chunk(y=2)


CASES = [random, tied, missing_truth, missing_members, masked_area, far_from_zero, chunked]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
every_error = pytest.mark.parametrize("score", DETERMINISTIC, ids=lambda score: score.__name__)
fair_or_not = pytest.mark.parametrize("fair", [True, False], ids=["fair", "ecdf"])


def as_peers_like_it(case):
    """Make the data of a case plain float64, with the points where a member is missing left out.

    Others make a smaller ensemble of the members that are there; so the score is of several sizes
    of ensemble at once, and here such a point has none. Others sum float32 in float32.
    """
    ens, obs = (da.compute().astype(np.float64) for da in case())
    there = ens.notnull().all("member") & obs.notnull()
    return ens.where(there), obs.where(there)


def thresholds(case):
    """Thresholds in the units of a case that float32 has exactly."""
    both = (280 + 0.1 * LOW, 280 + 0.1 * HIGH) if case is far_from_zero else (LOW, HIGH)
    return tuple(float(np.float32(value)) for value in both)


def same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=RTOL, atol=1e-12)


def same_points(ours, theirs, case):
    """Compare maps; what 280 K in float32 is rounded to is no more exact at one point."""
    np.testing.assert_allclose(
        ours.transpose(*FIELD), theirs, rtol=RTOL, atol=1e-7 if case is far_from_zero else 1e-12
    )


@every_case
class TestScores:
    @pytest.fixture(autouse=True)
    def peer(self):
        self.scores = pytest.importorskip("scores")

    @fair_or_not
    def test_crps(self, case, fair):
        peer, method = self.scores.probability.crps_for_ensemble, "fair" if fair else "ecdf"
        plain = as_peers_like_it(case)
        same(crps(*case(), fair=fair), peer(*plain, "member", method=method))
        same_points(
            crps(*case(), fair=fair, dim=()),
            peer(*plain, "member", method=method, preserve_dims="all"),
            case,
        )

    @fair_or_not
    def test_crps_above_and_below(self, case, fair):
        method = "fair" if fair else "ecdf"
        low, high = thresholds(case)
        plain, family = as_peers_like_it(case), self.scores.probability
        upper = family.tail_tw_crps_for_ensemble(*plain, "member", high, method=method)
        lower = family.tail_tw_crps_for_ensemble(*plain, "member", low, tail="lower", method=method)
        between = family.interval_tw_crps_for_ensemble(*plain, "member", low, high, method=method)
        same(crps(*case(), fair=fair, above=high), upper)
        same(crps(*case(), fair=fair, below=low), lower)
        same(crps(*case(), fair=fair, above=low, below=high), between)

    @every_error
    def test_errors_of_the_mean(self, case, score):
        family = self.scores.continuous
        peer = {
            mae: family.mae,
            rmse: family.rmse,
            bias: family.additive_bias,
            correlation: family.correlation.pearsonr,
        }[score]
        ens, obs = as_peers_like_it(case)
        same(score(*case()), peer(ens.mean("member", skipna=False), obs))

    def test_errors_of_the_members(self, case):
        ens, obs = as_peers_like_it(case)
        same(member_mae(*case()), self.scores.continuous.mae(ens, obs))

    def test_weights(self, case):
        weights = xr.DataArray(np.arange(1.0, Y + 1), dims="y")
        ens, obs = as_peers_like_it(case)
        peer = self.scores.continuous.mae(ens.mean("member", skipna=False), obs, weights=weights)
        same(mae(*case(), weights=weights), peer)


@every_case
class TestScoringrules:
    @pytest.fixture(autouse=True)
    def peer(self):
        self.rules = pytest.importorskip("scoringrules")

    @pytest.mark.parametrize(
        ("fair", "estimator"), [(True, "fair"), (True, "pwm"), (False, "nrg"), (False, "qd")]
    )
    def test_crps(self, case, fair, estimator):
        ens, obs = as_peers_like_it(case)
        theirs = self.rules.crps_ensemble(
            obs.values, ens.values, 0, estimator=estimator, backend="numpy"
        )
        same_points(crps(*case(), fair=fair, dim=()), np.where(np.isnan(obs), np.nan, theirs), case)
        same(crps(*case(), fair=fair), np.nanmean(np.where(np.isnan(obs), np.nan, theirs)))

    @pytest.mark.parametrize("tail", ["above", "below", "both"])
    def test_crps_above_and_below(self, case, tail):
        low, high = thresholds(case)
        ours = {"above": high} if tail == "above" else {"below": low}
        ours = {"above": low, "below": high} if tail == "both" else ours
        ens, obs = as_peers_like_it(case)
        theirs = self.rules.twcrps_ensemble(
            obs.values,
            ens.values,
            a=ours.get("above", -np.inf),
            b=ours.get("below", np.inf),
            m_axis=0,
            estimator="nrg",
            backend="numpy",
        )
        same(crps(*case(), fair=False, **ours), np.nanmean(np.where(np.isnan(obs), np.nan, theirs)))


@every_case
class TestXskillscore:
    @pytest.fixture(autouse=True)
    def peer(self):
        self.xskillscore = pytest.importorskip("xskillscore")

    def test_crps_is_theirs_where_not_fair(self, case):
        ens, obs = as_peers_like_it(case)
        same(crps(*case(), fair=False), self.xskillscore.crps_ensemble(obs, ens))

    @every_error
    def test_errors_of_the_mean(self, case, score):
        ens, obs = as_peers_like_it(case)
        peer = getattr(self.xskillscore, XSKILLSCORE[score])
        same(score(*case()), peer(ens.mean("member", skipna=False), obs, skipna=True))

    def test_weights(self, case):
        weights = xr.DataArray(np.arange(1.0, Y + 1), dims="y")
        ens, obs = as_peers_like_it(case)
        peer = self.xskillscore.rmse(
            ens.mean("member", skipna=False),
            obs,
            weights=weights.broadcast_like(obs),
            skipna=True,
        )
        same(rmse(*case(), weights=weights), peer)


@every_case
class TestPysteps:
    @pytest.fixture(autouse=True)
    def peer(self):
        self.verification = pytest.importorskip("pysteps.verification")

    def test_crps_is_theirs_where_not_fair(self, case):
        ens, obs = as_peers_like_it(case)
        obs = obs + 1e-9 if case is tied else obs  # see the test after this class
        same(crps(*case(), fair=False), self.verification.probscores.CRPS(ens.values, obs.values))

    @every_error
    def test_errors_of_the_mean(self, case, score):
        ens, obs = as_peers_like_it(case)
        theirs = self.verification.detcontscores.det_cont_fct(
            ens.mean("member", skipna=False).values, obs.values, scores=PYSTEPS[score]
        )
        same(score(*case()), theirs[PYSTEPS[score]])


def test_pysteps_makes_the_crps_of_rain_too_small():
    """Where the truth equals a member they leave out the gap between this and the next."""
    peer = pytest.importorskip("pysteps.verification").probscores.CRPS
    ens, obs = (
        xr.DataArray([[0.0], [0.0], [2.0]], dims=("member", "x")),
        xr.DataArray([0.0], dims="x"),
    )
    same(crps(ens, obs, fair=False), 2 * (1 / 3) ** 2)  # the integral, from 0 to 2
    same(crps(ens, obs, fair=False), peer(ens.values, obs.values + 1e-9))
    assert peer(ens.values, obs.values) == 0


def test_ranks_are_those_of_xskillscore_where_nothing_is_equal():
    """Equal values are shared out here, drawn by lot there."""
    peer = pytest.importorskip("xskillscore").rank_histogram
    ens, obs = random()
    same(rank_histogram(ens, obs), peer(obs, ens) / obs.size)


@every_case
def test_spread_is_the_variance_of_xarray(case):
    ens, obs = as_peers_like_it(case)
    same(spread(*case()), np.sqrt(ens.var("member", ddof=1).where(obs.notnull()).mean()))


def test_other_packages_score_the_members_that_are_left():
    """One member missing: theirs is the score of an ensemble of two, here there is none."""
    peer = pytest.importorskip("scores").probability.crps_for_ensemble
    ens = xr.DataArray([[1.0], [3.0], [np.nan]], dims=("member", "x"))
    obs = xr.DataArray([2.5], dims="x")
    same(peer(ens, obs, "member"), crps(ens.isel(member=slice(2)), obs, fair=False))
    assert np.isnan(crps(ens, obs, fair=False))


# --- what others had wrong


class TestMissingTruth:
    """No score of a missing observation is perfect."""

    def test_at_a_point(self):
        ens, obs = xr.DataArray([[1.0, 2.0], [3.0, 2.0]], dims=("member", "x")), [np.nan, 2.0]
        for fair in (True, False):
            result = crps(ens, xr.DataArray(obs, dims="x"), fair=fair, dim=())
            np.testing.assert_array_equal(np.isnan(result), [True, False])

    @pytest.mark.parametrize("score", [crps, *DETERMINISTIC, member_mae, spread])
    def test_everywhere(self, score):
        ens, obs = random()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isnan(score(ens, obs * np.nan))
            assert np.isnan(score(ens, obs.where(obs.time > 0), dim=("y", "x"))[0])


def test_members_may_be_called_sample():
    ens, obs = random()
    expected = crps(ens, obs)
    xr.testing.assert_identical(crps(ens.rename(member="sample"), obs), expected)


@pytest.mark.parametrize("score", [crps, *DETERMINISTIC, member_mae, spread])
def test_averages_over_two_dimensional_latitudes_of_a_grid_that_is_no_square(score):
    lat = 50 + np.arange(Y)[:, None] + 0.1 * np.arange(X)
    lon = 4 + 0.2 * np.arange(Y)[:, None] + np.arange(X)
    curvilinear = {"lat": (("y", "x"), lat), "lon": (("y", "x"), lon)}
    ens, obs = random()
    result = score(ens.assign_coords(curvilinear), obs.assign_coords(curvilinear), dim=("y", "x"))
    assert result.dims == ("time",)
    same(result, score(ens, obs, dim=("y", "x")))
