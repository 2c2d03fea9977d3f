import numpy as np
import pytest

from tests.gaussian import GaussianField, cross_spectrum
from xresdiff.verify.kernels import crps, power_spectrum

DRAWS = 4000


@pytest.fixture(scope="module")
def field() -> GaussianField:
    return GaussianField(size=16)


@pytest.fixture(scope="module")
def pairs(field):
    return field.draw(np.random.default_rng(1), DRAWS)


@pytest.fixture(scope="module")
def drawn(field, pairs):
    """Sixteen exact members of some of the observations, ``(t, 16, k, y, x)``."""
    return field.members(np.random.default_rng(2), pairs[0][:500], 16)


def off_by(got, exact, n):
    """Return the deviations of variances over `n` independent draws, in standard errors."""
    return (got / exact - 1) / np.sqrt(2 / n)


def test_the_energy_falls_with_the_third_power_of_the_wavenumber(field):
    k = np.hypot(*np.meshgrid(*[np.fft.fftfreq(field.torus)] * 2))
    rings = np.array([4, 5, 6]) * 2 / field.wavelength
    energy = [
        field.density[(k > low) & (k < 1.1 * low)].mean() * low for low in rings
    ]  # per ring: density times circumference
    slopes = np.diff(np.log(energy)) / np.diff(np.log(rings))
    np.testing.assert_allclose(slopes, -3, atol=0.1)


def test_a_window_is_stationary_isotropic_and_not_periodic(field):
    matrix = field.covariance.reshape(16, 16, 16, 16)  # (y, x, y', x')
    np.testing.assert_allclose(np.diag(field.covariance), 1)
    np.testing.assert_allclose(matrix[2, 3, 7, 5], matrix[9, 1, 14, 3])
    np.testing.assert_allclose(matrix[0, 0, 3, 8], matrix[0, 0, 8, 3])
    assert matrix[0, 0, 0, 15] < 0.2 < 0.8 < matrix[0, 0, 0, 1]


def test_fields_have_the_covariance(field, pairs):
    pixels = pairs[1].reshape(DRAWS, -1)
    sampled = pixels.T @ pixels / DRAWS
    sd = np.sqrt(np.diag(field.prior))
    error = (sampled - field.prior) / np.outer(sd, sd) * np.sqrt(DRAWS)
    assert abs(error).max() < 7  # standard errors of at most sqrt(2), a quarter of a million times
    assert 0.5 < np.sqrt((error**2).mean()) < 1.4


def test_observations_are_block_means_plus_noise(field, pairs):
    coarse, fine = pairs
    means = fine.reshape(DRAWS, 2, 4, 4, 4, 4).mean((3, 5))
    noise = (coarse - means).std((0, 2, 3))
    np.testing.assert_allclose(noise, [0.2, 0.6], rtol=0.02)
    assert abs(np.corrcoef((coarse - means).swapaxes(0, 1).reshape(2, -1))[0, 1]) < 0.02


def test_the_mean_is_the_regression_on_the_observations(field, pairs):
    coarse, fine = pairs
    known = coarse.reshape(DRAWS, -1)
    error = (fine - field.mean(coarse)).reshape(DRAWS, -1)
    # what is left has nothing in common with what is known
    shared = error.T @ known / DRAWS / np.outer(error.std(0), known.std(0)) * np.sqrt(DRAWS)
    assert abs(shared).max() < 5.5
    assert 0.95 < np.sqrt((shared**2).mean()) < 1.05


def test_the_error_of_the_mean_is_the_posterior_spread(field, pairs):
    coarse, fine = pairs
    error = ((fine - field.mean(coarse)) ** 2).mean(0)
    assert abs(off_by(error, field.spread**2, DRAWS)).max() < 5
    np.testing.assert_allclose(np.sqrt(error.mean((1, 2))), field.rmse, rtol=0.01)


def test_no_other_use_of_the_observations_is_better(field, pairs):
    coarse, fine = pairs
    repeated = coarse.repeat(4, -1).repeat(4, -2)
    alone = GaussianField(size=16, correlation=0.0)
    for other in (repeated, alone.mean(coarse)):
        worse = np.sqrt(((fine - other) ** 2).mean((0, 2, 3))) / field.rmse
        assert (worse > 1.005).all()


def test_members_have_the_posterior_covariance(field, pairs, drawn):
    away = (drawn - field.mean(pairs[0][:500])[:, None]).reshape(8000, -1)
    sd = field.spread.ravel()
    error = (away.T @ away / 8000 - field.posterior) / np.outer(sd, sd) * np.sqrt(8000)
    assert abs(error).max() < 7
    assert 0.5 < np.sqrt((error**2).mean()) < 1.4


def test_the_spectrum_is_that_of_the_members(field, pairs, drawn):
    away = drawn - field.mean(pairs[0][:500])[:, None]
    sampled = power_spectrum(away).mean((0, 1))
    np.testing.assert_allclose(sampled, field.spectrum, rtol=0.04)


def test_the_error_has_the_same_spectrum(field, pairs):
    sampled = power_spectrum(pairs[1] - field.mean(pairs[0])).mean(0)
    np.testing.assert_allclose(sampled, field.spectrum, rtol=0.06)


def test_the_variables_share_what_they_should(field, pairs, drawn):
    away = drawn - field.mean(pairs[0][:500])[:, None]
    sampled = np.einsum("tmiyx,tmkyx->ik", away, away) / (8000 * 256)
    np.testing.assert_allclose(sampled, field.shared, rtol=0.02)
    correlation = field.shared[0, 1] / np.sqrt(field.shared[0, 0] * field.shared[1, 1])
    assert 0.4 < correlation < 0.5  # less than before: the noise of the observations has none


def test_the_variables_share_it_at_the_right_wavenumbers(field, pairs, drawn):
    away = drawn - field.mean(pairs[0][:500])[:, None]
    sampled = cross_spectrum(away[:, :, 0], away[:, :, 1]).mean((0, 1))
    size = np.sqrt(field.spectrum.prod(0))
    coherence = field.shared_spectrum / size
    np.testing.assert_allclose(sampled / size, coherence, atol=0.03)
    assert coherence[0] < 0.1 < 0.55 < coherence[-1] < 0.6 + 1e-9


def test_the_fair_crps_of_members_is_the_expected(field, pairs, drawn):
    truth = pairs[1][:500]
    got = crps(np.moveaxis(drawn, 1, -1), truth).mean((0, 2, 3))
    np.testing.assert_allclose(got, field.mean_crps, rtol=0.04)
    exact = field.crps(pairs[0][:500], truth).mean((0, 2, 3))
    np.testing.assert_allclose(got, exact, rtol=0.02)


def test_the_closed_form_of_the_crps_has_the_expected_mean(field, pairs):
    np.testing.assert_allclose(field.crps(*pairs).mean((0, 2, 3)), field.mean_crps, rtol=0.015)
