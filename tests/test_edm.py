from math import exp, log, sqrt

import pytest
import torch
from torch import nn

from xresdiff.nets.edm import Denoiser, edm_loss, edm_sigmas, mean_loss, precondition

SIGMA_DATA = 0.5


class Recorder(nn.Module):
    """A network that gives ones and remembers what it got."""

    def forward(self, x, noise):
        self.x, self.noise = x, noise
        return torch.ones_like(x[:, :2])


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- the denoiser


@pytest.mark.parametrize("sigma", [0.002, 0.5, 80.0])
def test_the_denoisers_coefficients_are_the_papers(sigma):
    net = Recorder()
    x, condition = normal(1, 2, 4, 4), normal(1, 3, 4, 4, seed=1)
    out = Denoiser(net, SIGMA_DATA)(x, torch.tensor([sigma]), condition)
    # table 1 of Karras et al. (2022), its last column
    c_skip = SIGMA_DATA**2 / (sigma**2 + SIGMA_DATA**2)
    c_out = sigma * SIGMA_DATA / sqrt(SIGMA_DATA**2 + sigma**2)
    c_in = 1 / sqrt(sigma**2 + SIGMA_DATA**2)
    torch.testing.assert_close(net.x[:, :2], c_in * x)
    assert torch.equal(net.x[:, 2:], condition)  # not scaled
    torch.testing.assert_close(net.noise, torch.tensor([log(sigma) / 4]))
    torch.testing.assert_close(out, c_skip * x + c_out)


def test_a_condition_is_scaled_where_asked_for():
    net = Recorder()
    condition = normal(1, 3, 4, 4, seed=1)
    denoiser = Denoiser(net, SIGMA_DATA, scale_condition=True)
    denoiser(normal(1, 2, 4, 4), torch.tensor([2.0]), condition)
    torch.testing.assert_close(net.x[:, 2:], condition / sqrt(2.0**2 + SIGMA_DATA**2))


def test_every_channel_may_have_its_own_deviation():
    x, condition, sigma = normal(1, 2, 4, 4), normal(1, 3, 4, 4, seed=1), torch.tensor([2.0])
    net = Recorder()
    together = precondition(net, x, sigma, condition, sigma_data=(0.4, 0.9))
    for i, deviation in enumerate((0.4, 0.9)):
        alone = Denoiser(Recorder(), deviation)(x, sigma, condition)
        torch.testing.assert_close(together[:, i], alone[:, i])


def test_a_denoiser_passes_on_what_else_the_network_is_told():
    class Told(Recorder):
        def forward(self, x, noise, *, lead_time):
            assert lead_time == 3
            return super().forward(x, noise)

    Denoiser(Told(), SIGMA_DATA)(
        normal(1, 2, 4, 4), torch.tensor([1.0]), normal(1, 1, 4, 4), lead_time=3
    )


def test_every_field_has_its_own_noise_level():
    x, sigmas = normal(3, 2, 4, 4), torch.tensor([0.1, 1.0, 10.0])
    condition = normal(3, 1, 4, 4, seed=1)
    denoiser = Denoiser(Recorder(), SIGMA_DATA)
    together = denoiser(x, sigmas, condition)
    alone = [denoiser(x[i : i + 1], sigmas[i : i + 1], condition[i : i + 1])[0] for i in range(3)]
    assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize("of_x", [torch.float32, torch.float64])
@pytest.mark.parametrize("of_net", [torch.float32, torch.bfloat16])
def test_the_network_alone_runs_in_its_precision(of_x, of_net):
    net = Recorder()
    sigma = torch.tensor([1.0])
    out = Denoiser(net, SIGMA_DATA, of_net)(normal(1, 2, 4, 4).to(of_x), sigma, normal(1, 1, 4, 4))
    assert (out.dtype, net.x.dtype, net.noise.dtype) == (of_x, of_net, torch.float32)


# --- the noise levels


def test_noise_levels_follow_equation_5():
    sigmas = edm_sigmas(3, sigma_min=0.01, sigma_max=100.0, rho=2.0)
    # sqrt is 10, 5.05, 0.1
    assert sigmas.dtype == torch.float64
    torch.testing.assert_close(sigmas, torch.tensor([100, 25.5025, 0.01, 0], dtype=torch.float64))


def test_noise_levels_are_those_of_the_paper():
    sigmas = edm_sigmas(18)
    assert sigmas.tolist()[-1] == 0
    assert torch.equal(sigmas.diff() < 0, torch.ones(18, dtype=torch.bool))
    root = 80 ** (1 / 7) + 9 / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))
    assert sigmas[9] == pytest.approx(root**7)
    assert sigmas[[0, 17]].tolist() == pytest.approx([80, 0.002])


def test_one_step_goes_from_the_top_to_zero():
    assert edm_sigmas(1, sigma_max=7.0).tolist() == pytest.approx([7, 0])


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_are_refused(steps):
    with pytest.raises(ValueError, match=f"at least one step, not {steps}"):
        edm_sigmas(steps)


# --- the losses


def test_the_mean_loss_is_a_weighted_mean_of_squares():
    prediction = torch.tensor([1.0, 2.0, 30.0]).reshape(1, 1, 1, 3)
    weight = torch.tensor([1.0, 3.0, 0.0]).reshape(1, 1, 1, 3)
    loss = mean_loss(prediction, torch.zeros(1, 1, 1, 3), weight)
    assert loss.item() == pytest.approx((1 * 1 + 3 * 4) / 4)


def test_the_weight_of_the_mean_loss_is_shared_by_channels():
    prediction = torch.stack([torch.full((4, 4), 1.0), torch.full((4, 4), 3.0)])[None]
    weight = torch.ones(1, 1, 4, 4)
    weight[..., 0] = 0
    assert mean_loss(prediction, torch.zeros(1, 2, 4, 4), weight).item() == pytest.approx(5)


def test_the_mean_loss_of_nothing_is_zero():
    ones = torch.ones(1, 1, 2, 2)
    assert mean_loss(ones, 2 * ones, 0 * ones).item() == 0


def test_the_mean_loss_is_least_at_the_conditional_mean():
    condition = normal(4000, 1, 1, 1)
    target = 2 * condition + normal(4000, 1, 1, 1, seed=1)
    slope = torch.tensor(0.0, requires_grad=True)
    loss = mean_loss(slope * condition, target, torch.ones(()))
    (gradient,) = torch.autograd.grad(loss, slope)
    # a parabola: its lowest point is at minus half the gradient over the mean square
    assert -gradient / 2 / condition.square().mean() == pytest.approx(2.0, abs=0.08)


def gaussian_loss(scale, sigma, weight=None):
    """Return the loss of `scale` times the optimal denoiser, for white Gaussian data."""
    n = 2000
    residual = SIGMA_DATA * normal(n, 1, 4, 4)
    levels = torch.full((n,), sigma)

    def denoise(x, s):
        share = SIGMA_DATA**2 / (SIGMA_DATA**2 + s**2)
        return scale * share[:, None, None, None] * x

    weight = torch.ones(()) if weight is None else weight
    noise = normal(n, 1, 4, 4, seed=1)
    return edm_loss(
        denoise, residual, weight, sigma=levels, noise=noise, sigma_data=SIGMA_DATA
    ).item()


@pytest.mark.parametrize("sigma", [0.01, 0.5, 5.0])
def test_the_denoising_loss_is_least_at_the_optimal_denoiser(sigma):
    # the error of the optimum is (s sigma)^2 / (s^2 + sigma^2), one over the loss's weight
    best = gaussian_loss(1.0, sigma)
    assert best == pytest.approx(1.0, abs=0.03)
    # ... and any other scale a adds ((1 - a) s^2)^2 / (s^2 + sigma^2), weighted
    for scale in (0.8, 1.25):
        excess = ((1 - scale) * SIGMA_DATA / sigma) ** 2
        assert gaussian_loss(scale, sigma) - best == pytest.approx(excess, rel=0.3, abs=0.02)


def test_the_denoising_loss_skips_what_is_missing():
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., :2] = 1
    assert gaussian_loss(1.0, 0.5, weight) == pytest.approx(1.0, abs=0.04)
    assert gaussian_loss(1.0, 0.5, 0 * weight) == 0


def test_noise_levels_weigh_alike_in_the_denoising_loss():
    losses = [gaussian_loss(1.0, exp(power)) for power in (-4, -1, 2)]
    assert losses == pytest.approx([1.0] * 3, abs=0.03)
