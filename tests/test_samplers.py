from dataclasses import replace
from math import log2, sqrt

import pytest
import torch
from torch import Tensor

from tests.peers import needs_peers, peer_arrays, peer_net, relative_error
from xresdiff.models.parts import SAMPLER_NAMES, SamplerCard
from xresdiff.nets.edm import Denoiser, edm_sigmas
from xresdiff.nets.samplers import SAMPLERS, Churn, dpmpp_2m, euler, evaluations, heun
from xresdiff.train.draft import SAMPLER

SIDE = 4
SIGMA_MAX = 80.0
CHURNED = [name for name, sampler in SAMPLERS.items() if sampler is not dpmpp_2m]


class Gaussian:
    """A Gaussian field of known mean and circulant covariance, and its optimal denoiser."""

    def __init__(self) -> None:
        place = torch.arange(SIDE, dtype=torch.float64)
        self.mean = (place[:, None] - 0.5 * place)[None, None] / SIDE
        waves = torch.fft.fftfreq(SIDE, dtype=torch.float64)
        # variance of each Fourier mode, from 1.5 at the largest scale down to 0.2
        self.variance = 0.2 + 1.3 * torch.exp(-20 * (waves[:, None] ** 2 + 2 * waves**2))
        self.calls: list[Tensor] = []

    def filtered(self, x: Tensor, response: Tensor) -> Tensor:
        """Multiply the Fourier modes of fields."""
        return torch.fft.ifft2(torch.fft.fft2(x.double()) * response).real

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.calls.append(sigma)
        s2 = sigma.double().square().reshape(-1, 1, 1, 1)
        denoised = self.filtered(x - self.mean, self.variance / (self.variance + s2))
        return (self.mean + denoised).to(x.dtype)

    def exact(self, latents: Tensor) -> Tensor:
        """Follow the probability flow from the first noise level to zero."""
        start = SIGMA_MAX * latents - self.mean
        shrink = (self.variance / (self.variance + SIGMA_MAX**2)).sqrt()
        return self.mean + self.filtered(start, shrink)

    def covariance(self) -> Tensor:
        """Return the covariance of all pixels, ``(n, n)``."""
        return self.filtered(basis(), self.variance).flatten(1)


def basis() -> Tensor:
    """Return every field that is one in a pixel and zero elsewhere."""
    return torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, 1, SIDE, SIDE)


def latents_of(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 1, SIDE, SIDE, generator=generator, dtype=dtype)


def sigmas_of(steps: int) -> Tensor:
    return edm_sigmas(steps, sigma_min=0.002, sigma_max=SIGMA_MAX)


def no_noise(number: int) -> Tensor:
    return torch.zeros(1, 1, SIDE, SIDE)


# --- against the closed form


@pytest.mark.parametrize(("sampler", "order"), [(euler, 1), (heun, 2), (dpmpp_2m, 2)])
def test_the_error_falls_at_the_samplers_order(sampler, order):
    data, latents = Gaussian(), latents_of(4)
    exact = data.exact(latents)
    errors = [
        (sampler(data, latents, sigmas_of(steps)) - exact).abs().max().item()
        for steps in (32, 64, 128)
    ]
    slopes = [log2(errors[0] / errors[1]), log2(errors[1] / errors[2])]
    assert slopes == pytest.approx([order, order], abs=0.2)
    assert errors[-1] < (0.05 if order == 1 else 2e-3)


def moments(sampler, steps: int, churn: Churn | None = None) -> tuple[Tensor, Tensor]:
    """Return the mean and covariance of a sampler's result, exactly: it is linear in its noise."""
    data, unit = Gaussian(), basis()
    n = len(unit)
    inputs = steps + 1 if churn else 1  # latents, then the noise of each step
    every = torch.zeros(inputs, n, 1, SIDE, SIDE, dtype=torch.float64)

    def only(number: int) -> Tensor:
        pulses = every.clone()
        pulses[number] = unit
        return pulses.flatten(0, 1)

    sigmas = sigmas_of(steps)
    zero = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    center = sampler(data, zero, sigmas, noise=no_noise, churn=churn)
    response = sampler(data, only(0), sigmas, noise=only, churn=churn) - center
    response = response.reshape(-1, n)
    return center, response.T @ response


@pytest.mark.parametrize(
    ("name", "churn", "steps", "tolerance"),
    [
        ("euler", None, 256, 0.05),
        ("euler", {"amount": 10.0}, 256, 0.05),
        ("heun", None, 64, 0.01),
        ("heun", {"amount": 10.0}, 64, 0.02),
        ("heun", {"amount": 40.0}, 64, 0.05),
        ("heun", {"amount": 80.0, "capped": False}, 128, 0.05),
        ("heun", {"amount": 40.0, "sigma_min": 0.1, "sigma_max": 10.0}, 64, 0.05),
        ("dpmpp_2m", None, 64, 0.02),
    ],
)
def test_samples_have_the_mean_and_covariance_of_the_data(name, churn, steps, tolerance):
    data = Gaussian()
    mean, covariance = moments(SAMPLERS[name], steps, churn and Churn(**churn))
    # what sigma_max does not cover of the mean is missing: about 1.5 % of it
    assert (mean - data.mean).abs().max() < 0.02 * data.mean.abs().max()
    wanted = data.covariance()
    assert (covariance - wanted).abs().max() < tolerance * wanted.max()


# --- what all samplers have in common


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_step_gives_the_denoised_start(name):
    data, latents = Gaussian(), latents_of(2)
    start = SIGMA_MAX * latents
    result = SAMPLERS[name](data, latents, sigmas_of(1))
    torch.testing.assert_close(result, data(start, torch.full((2,), SIGMA_MAX)))


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_latents_keep_their_precision(name, dtype):
    def single(x: Tensor, sigma: Tensor) -> Tensor:
        assert x.dtype == dtype
        return data(x, sigma).float()  # as a network does

    data = Gaussian()
    churn = Churn(amount=1.0) if name in CHURNED else None
    result = SAMPLERS[name](single, latents_of(2, dtype), sigmas_of(3), noise=no_noise, churn=churn)
    assert result.dtype == dtype


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_model_gets_one_noise_level_a_field(name):
    data = Gaussian()
    SAMPLERS[name](data, latents_of(3), sigmas_of(2), noise=no_noise, churn=Churn())
    assert {(sigma.shape, sigma.dtype) for sigma in data.calls} == {((3,), torch.float32)}
    assert data.calls[0].tolist() == pytest.approx([SIGMA_MAX] * 3)
    assert all((sigma > 0).all() for sigma in data.calls)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_count_of_evaluations_is_right(name, steps):
    data = Gaussian()
    SAMPLERS[name](data, latents_of(1), sigmas_of(steps), noise=no_noise)
    assert len(data.calls) == evaluations(name, steps)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_field_does_not_depend_on_its_batch(name):
    data, latents = Gaussian(), latents_of(3)
    together = SAMPLERS[name](data, latents, sigmas_of(4))
    torch.testing.assert_close(together[1:2], SAMPLERS[name](data, latents[1:2], sigmas_of(4)))


def test_cards_know_every_sampler():
    assert set(SAMPLER_NAMES) == set(SAMPLERS)


# --- churn


@pytest.mark.parametrize("name", CHURNED)
def test_no_churn_adds_no_noise(name):
    data, latents = Gaussian(), latents_of(2)
    churned = SAMPLERS[name](data, latents, sigmas_of(5), noise=latents_of, churn=Churn())
    assert torch.equal(churned, SAMPLERS[name](data, latents, sigmas_of(5)))


@pytest.mark.parametrize("name", CHURNED)
def test_churn_needs_noise(name):
    with pytest.raises(ValueError, match="give noise="):
        SAMPLERS[name](Gaussian(), latents_of(1), sigmas_of(3), churn=Churn(amount=1.0))


def test_dpmpp_2m_takes_no_churn():
    with pytest.raises(ValueError, match="takes no churn; euler and heun do"):
        dpmpp_2m(Gaussian(), latents_of(1), sigmas_of(3), noise=no_noise, churn=Churn(amount=1.0))


@pytest.mark.parametrize("name", CHURNED)
def test_churn_asks_for_the_noise_of_every_step(name):
    asked = []

    def noise(number: int) -> Tensor:
        asked.append(number)
        return torch.zeros(1, 1, SIDE, SIDE)

    data = Gaussian()
    SAMPLERS[name](data, latents_of(1), sigmas_of(4), noise=noise, churn=Churn(amount=1.0))
    assert asked == [1, 2, 3, 4]
    # gamma is churn / steps: the first evaluation is at a level raised by a quarter
    assert data.calls[0].item() == pytest.approx(1.25 * SIGMA_MAX)


@pytest.mark.parametrize(("capped", "factor"), [(True, sqrt(2)), (False, 26.0)])
def test_the_cap_bounds_how_far_a_level_is_raised(capped, factor):
    data = Gaussian()
    churn = Churn(amount=100.0, capped=capped)
    heun(data, latents_of(1), sigmas_of(4), noise=no_noise, churn=churn)
    assert data.calls[0].item() == pytest.approx(factor * SIGMA_MAX)


def test_levels_outside_the_range_are_left_alone():
    data, sigmas = Gaussian(), edm_sigmas(3, sigma_min=1.0, sigma_max=9.0, rho=1.0)
    churn = Churn(amount=0.3, sigma_min=5.0, sigma_max=8.0)
    euler(data, latents_of(1), sigmas, noise=no_noise, churn=churn)
    # a level on the edge, 5, is in the range
    assert [call.item() for call in data.calls] == pytest.approx([9.0, 5.5, 1.0])


def test_added_noise_has_the_deviation_asked_for():
    sigmas = edm_sigmas(1, sigma_max=3.0)
    added = torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64)
    seen = []

    def unchanged(x: Tensor, sigma: Tensor) -> Tensor:
        seen.append(x)
        return x

    churn = Churn(amount=2 / 3, noise=1.5, capped=False)
    euler(unchanged, 0 * added, sigmas, noise=lambda number: added, churn=churn)
    # from 3 to 5: the root of 25 - 9 is 4
    torch.testing.assert_close(seen[0], 6.0 * added)


# --- against sampler runs of PhysicsNeMo


@needs_peers
@pytest.mark.parametrize(
    ("case", "sampler", "steps", "levels", "churn"),
    [
        ("det_euler9", euler, 9, {}, None),
        (
            "det_heun6_s01_400_churn",
            heun,
            6,
            {"sigma_min": 0.1, "sigma_max": 400.0},
            Churn(amount=3.0, sigma_min=0.2, sigma_max=300.0, noise=1.01),
        ),
        ("sto9_s1_400_rho5", heun, 9, {"sigma_min": 1.0, "sigma_max": 400.0, "rho": 5.0}, None),
        (
            "sto6_churn",
            heun,
            6,
            {"sigma_max": 800.0},
            Churn(amount=3.0, sigma_min=0.05, sigma_max=300.0, noise=1.01, capped=False),
        ),
    ],
)
def test_a_peers_samples_are_the_same(case, sampler, steps, levels, churn):
    runs, net = peer_arrays("sampler_03"), peer_net("03_edm_posembd_sin4_hrmean")
    grid = peer_arrays("grids_32x48")["sinusoidal_4"]
    parts = (runs["mean_hr"], runs["img_lr"], grid[None])
    condition = torch.cat([part.expand(2, -1, -1, -1) for part in parts], dim=1)
    denoiser = Denoiser(net, sigma_data=0.5)
    theirs = runs[case]
    with torch.inference_mode():
        ours = sampler(
            lambda x, sigma: denoiser(x.float(), sigma, condition),
            runs["latents"].to(theirs.dtype),
            edm_sigmas(steps, **levels),
            noise=lambda number: runs[f"{case}_noise"][number - 1],
            churn=churn,
        )
    assert ours.dtype == theirs.dtype
    assert relative_error(ours, theirs) < 1e-5


# --- of the models that are trained here


def decibels_off(sampler: SamplerCard) -> Tensor:
    """Return by how much sampling changes the variance of modes of a Gaussian residual, in dB."""
    std = torch.tensor([0.03, 0.06, 0.1, 0.3, 0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
    levels = edm_sigmas(
        sampler.steps,
        sigma_min=sampler.sigma_min,
        sigma_max=sampler.sigma_max,
        rho=sampler.rho,
    )

    def exact(x: Tensor, sigma: Tensor) -> Tensor:
        return x * std**2 / (std**2 + sigma.reshape(-1, 1) ** 2)

    latent = torch.ones(1, len(std), dtype=torch.float64)
    drawn = SAMPLERS[sampler.name](exact, latent, levels, noise=no_noise, churn=Churn())
    return 20 * (drawn[0] / std).log10()


def test_the_sampler_of_trained_models_keeps_the_variance_of_residuals():
    assert decibels_off(SAMPLER).abs().max() < 0.6


def test_heuns_method_adds_variance_at_as_many_evaluations():
    heuns = replace(SAMPLER, name="heun", steps=8)
    assert evaluations(heuns.name, heuns.steps) < evaluations(SAMPLER.name, SAMPLER.steps)
    assert decibels_off(heuns).max() > 2
