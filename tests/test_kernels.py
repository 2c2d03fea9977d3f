"""The sums are those of the formulas: by hand, by their properties, by other packages."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xresdiff.verify import kernels
from xresdiff.verify.kernels import blocks

SMALL = settings(max_examples=15, deadline=None)


def pairwise_crps(ens, obs, fair):
    """Write the definition down, (m, m) temporary and all."""
    ens, obs = ens.astype(np.float64), obs.astype(np.float64)
    m = ens.shape[-1]
    between = np.abs(ens[..., :, None] - ens[..., None, :]).sum((-2, -1))
    return np.abs(ens - obs[..., None]).mean(-1) - between / (2 * m * (m - 1 if fair else m))


def ensembles(lo=2, hi=9):
    values = st.floats(-100, 100, width=32)
    return st.tuples(st.integers(1, 5), st.integers(lo, hi)).flatmap(
        lambda shape: st.tuples(
            arrays(np.float32, shape, elements=values),
            arrays(np.float32, shape[:1], elements=values),
        )
    )


class TestCrps:
    def test_by_hand(self):
        ens, obs = np.array([[0.0, 1.0, 5.0]]), np.array([2.0])
        # |x - y| is 2, 1, 3; the pairs differ by 1, 5, 4.
        assert kernels.crps(ens, obs) == pytest.approx(2 - 10 / 6)
        assert kernels.crps(ens, obs, fair=False) == pytest.approx(2 - 10 / 9)

    def test_is_the_integral_of_the_squared_difference_of_distributions(self):
        ens, y = np.array([0.3, 1.1, 1.7, 2.9]), 1.3
        x = np.linspace(-1, 5, 600_001)
        below = (ens[:, None] <= x).mean(0)
        expected = np.trapezoid((below - (x >= y)) ** 2, x)
        assert kernels.crps(ens, np.array(y), fair=False) == pytest.approx(expected, abs=1e-5)

    def test_of_many_draws_is_that_of_a_gaussian(self):
        from math import erf, exp, pi, sqrt

        draws = np.random.default_rng(0).standard_normal((1, 200_000))
        z = 0.7
        closed = z * erf(z / sqrt(2)) + 2 * exp(-(z**2) / 2) / sqrt(2 * pi) - 1 / sqrt(pi)
        assert kernels.crps(draws, np.array([z])) == pytest.approx(closed, abs=5e-3)

    @SMALL
    @given(ensembles(), st.booleans())
    def test_equals_the_definition(self, data, fair):
        ens, obs = data
        expected = pairwise_crps(ens, obs, fair)
        np.testing.assert_allclose(kernels.crps(ens, obs, fair=fair), expected, atol=1e-4)

    @SMALL
    @given(ensembles(), st.permutations(range(9)))
    def test_knows_no_order_of_members(self, data, order):
        ens, obs = data
        shuffled = ens[:, [i for i in order if i < ens.shape[1]]]
        np.testing.assert_allclose(kernels.crps(shuffled, obs), kernels.crps(ens, obs), atol=1e-4)

    @SMALL
    @given(ensembles(), st.sampled_from([-4.0, 0.5, 8.0]))
    def test_scales_with_the_data(self, data, factor):
        ens, obs = data
        np.testing.assert_allclose(
            kernels.crps(factor * ens, factor * obs),
            abs(factor) * kernels.crps(ens, obs),
            atol=1e-3,
        )

    def test_float32_far_from_zero_loses_nothing(self):
        rng = np.random.default_rng(0)
        ens = (280 + 0.1 * rng.standard_normal((50, 32))).astype(np.float32)
        obs = (280 + 0.1 * rng.standard_normal(50)).astype(np.float32)
        expected = kernels.crps(ens.astype(np.float64), obs.astype(np.float64))
        np.testing.assert_allclose(kernels.crps(ens, obs), expected, rtol=1e-5, atol=1e-7)

    def test_a_missing_observation_or_member_is_no_perfect_score(self):
        ens = np.array([[1.0, 1.0], [1.0, 1.0], [np.nan, 1.0]])
        result = kernels.crps(ens, np.array([np.nan, 1.0, 1.0]), fair=False)
        np.testing.assert_array_equal(result, [np.nan, 0.0, np.nan])

    def test_unsigned_integers_do_not_wrap_around(self):
        ens, obs = np.array([[1, 3]], np.uint8), np.array([4], np.uint8)
        assert kernels.crps(ens, obs, fair=False) == 1.5

    def test_blocks_change_nothing(self, monkeypatch):
        rng = np.random.default_rng(0)
        ens, obs = rng.random((4, 5, 6)), rng.random((4, 5))
        whole = kernels.crps(ens, obs)
        monkeypatch.setattr(blocks, "BLOCK_VALUES", 18)
        np.testing.assert_array_equal(kernels.crps(ens, obs), whole)
        assert kernels.crps(ens[:0], obs[:0]).shape == (0, 5)

    @pytest.mark.parametrize("fair", [True, False])
    def test_equals_scores(self, fair):
        scores = pytest.importorskip("scores")
        rng = np.random.default_rng(0)
        ens, obs = rng.gamma(0.5, size=(30, 8)).round(1), rng.gamma(0.5, size=30).round(1)
        expected = scores.probability.crps_for_ensemble(
            xr.DataArray(ens, dims=("x", "m")),
            xr.DataArray(obs, dims="x"),
            "m",
            method="fair" if fair else "ecdf",
            preserve_dims="all",
        )
        np.testing.assert_allclose(kernels.crps(ens, obs, fair=fair), expected, rtol=1e-12)

    @pytest.mark.parametrize(("fair", "estimator"), [(True, "fair"), (False, "nrg")])
    def test_equals_scoringrules(self, fair, estimator):
        scoringrules = pytest.importorskip("scoringrules")
        rng = np.random.default_rng(0)
        ens, obs = rng.standard_normal((30, 8)), rng.standard_normal(30)
        expected = scoringrules.crps_ensemble(obs, ens, estimator=estimator, backend="numpy")
        np.testing.assert_allclose(kernels.crps(ens, obs, fair=fair), expected, atol=1e-12)


def test_variance_is_unbiased_and_precise_in_float32():
    assert kernels.variance(np.array([1.0, 2.0, 3.0])) == 1.0
    ens = (1e4 + np.arange(16) / 8).astype(np.float32)
    assert kernels.variance(ens) == pytest.approx(np.var(np.arange(16) / 8, ddof=1), rel=1e-12)


def test_mean_sums_float32_in_float64():
    ens = np.full((1, 10_001), 0.1, np.float32)
    assert kernels.mean(ens)[0] == pytest.approx(float(np.float32(0.1)), rel=1e-14)


class TestRankShares:
    def test_by_hand(self):
        ens = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
        shares = kernels.rank_shares(ens, np.array([2.5, 9.0, 0.0, 0.0]))
        third, quarter = 1 / 3, 0.25
        expected = [[0, 0, 1, 0], [0, 0, 0, 1], [third, third, third, 0], [quarter] * 4]
        np.testing.assert_allclose(shares, expected)

    def test_missing_values_have_no_rank(self):
        shares = kernels.rank_shares(np.array([[1.0, np.nan], [1.0, 2.0]]), np.array([1.0, np.nan]))
        assert np.isnan(shares).all()

    @SMALL
    @given(ensembles(1))
    def test_sum_to_one(self, data):
        np.testing.assert_allclose(kernels.rank_shares(*data).sum(-1), 1)

    def test_are_flat_for_draws_of_one_distribution_with_many_zeros(self):
        draws = np.maximum(np.random.default_rng(0).standard_normal((40_000, 5)), 0)
        mean = kernels.rank_shares(draws[:, 1:], draws[:, 0]).mean(0)
        np.testing.assert_allclose(mean, 0.2, atol=0.006)


SHAPES = [(8, 8), (7, 7), (6, 11), (12, 5), (4, 40)]


class TestPowerSpectrum:
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.1, 0.7)])
    @pytest.mark.parametrize("window", ["dct", None])
    def test_sums_to_the_variance(self, shape, spacing, window):
        field = 280 + np.random.default_rng(0).standard_normal((3, *shape)).cumsum(-1)
        power = kernels.power_spectrum(field, spacing=spacing, window=window)
        assert power.shape == (3, *kernels.wavenumbers(shape, spacing, window).shape)
        np.testing.assert_allclose(power.sum(-1), field.var((-2, -1)), rtol=1e-12)

    def test_hann_keeps_the_variance_on_average(self):
        field = np.random.default_rng(0).standard_normal((200, 16, 16))
        power = kernels.power_spectrum(field, window="hann")
        assert power.sum(-1).mean() == pytest.approx(1, rel=0.02)

    @pytest.mark.parametrize("k", [1, 5, 20])
    @pytest.mark.parametrize("axis", [0, 1])
    def test_a_cosine_lands_in_its_own_bin(self, k, axis):
        n = 30
        wave = np.cos(np.pi * k * (np.arange(n) + 0.5) / n)
        field = np.broadcast_to(wave, (n, n)) if axis else np.broadcast_to(wave[:, None], (n, n))
        power = kernels.power_spectrum(field)
        assert power[k - 1] == pytest.approx(0.5)
        assert kernels.wavenumbers((n, n), (1.0, 1.0))[k - 1] == pytest.approx(k / (2 * n))

    def test_a_periodic_wave_lands_in_its_own_bin(self):
        n, k = 32, 6
        y, x = np.mgrid[:n, :n]
        power = kernels.power_spectrum(np.sin(2 * np.pi * k * x / n) + 0 * y, window=None)
        assert power[k - 1] == pytest.approx(0.5)
        assert kernels.wavenumbers((n, n), (1.0, 1.0), None)[k - 1] == pytest.approx(k / n)

    @pytest.mark.parametrize(("window", "bins"), [("dct", 6), ("hann", 3), (None, 3)])
    def test_ends_at_the_nyquist_wavelength_of_the_sides(self, window, bins):
        centres = kernels.wavenumbers((6, 10), (2.0, 2.0), window)
        assert len(centres) == bins
        assert 1 / centres[-1] == pytest.approx(4.0)

    def test_the_cut_is_that_of_the_wider_spacing(self):
        centres = kernels.wavenumbers((20, 20), (1.0, 2.0))
        assert 1 / centres[-1] == pytest.approx(4.0)

    @pytest.mark.parametrize("window", ["dct", "hann"])
    def test_finds_the_slope_of_a_field_that_is_not_periodic(self, window):
        n, large = 96, 288
        k = np.hypot(np.fft.fftfreq(large)[:, None], np.fft.rfftfreq(large))
        k[0, 0] = np.inf
        rng = np.random.default_rng(0)
        fields = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((12, large, large))) * k**-2.0)
        power = kernels.power_spectrum(fields[:, :n, :n], window=window).mean(0)
        centres = kernels.wavenumbers((n, n), (1.0, 1.0), window)
        middle = slice(len(centres) // 10, len(centres) // 2)
        slope = np.polyfit(np.log(centres[middle]), np.log(power[middle]), 1)[0]
        assert slope == pytest.approx(-3, abs=0.1)

    def test_missing_values_make_it_missing(self):
        field = np.ones((2, 4, 4))
        field[0, 1, 2] = np.nan
        power = kernels.power_spectrum(field)
        assert np.isnan(power[0]).all()
        assert not np.isnan(power[1]).any()

    @SMALL
    @given(arrays(np.float64, (5, 6), elements=st.floats(-10, 10)), st.floats(-50, 50))
    def test_knows_no_constant_and_no_sides(self, field, constant):
        power = kernels.power_spectrum(field)
        np.testing.assert_allclose(kernels.power_spectrum(field + constant), power, atol=1e-9)
        np.testing.assert_allclose(kernels.power_spectrum(field[::-1]), power, atol=1e-9)
        np.testing.assert_allclose(kernels.power_spectrum(field.T), power, atol=1e-9)
