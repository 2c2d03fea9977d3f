"""EDM, the elucidated diffusion model: preconditioning, noise schedule, loss.

Karras, Aittala, Aila & Laine (2022), "Elucidating the design space of diffusion-based generative
models", arXiv 2206.00364; equation numbers are that paper's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Denoiser", "edm_loss", "edm_sigmas", "mean_loss", "precondition"]


def precondition(
    net: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    sigma: Tensor,
    condition: Tensor,
    *,
    sigma_data: float | Sequence[float],
    scale_condition: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""Return :math:`D(x; \sigma)`, equation 7.

    .. math:: D = c_{skip} x + c_{out} F(c_{in} x, c; c_{noise})

    with :math:`c_{skip} = s^2/(\sigma^2+s^2)`, :math:`c_{out} = \sigma s/\sqrt{\sigma^2+s^2}`,
    :math:`c_{in} = 1/\sqrt{\sigma^2+s^2}`, :math:`c_{noise} = \ln(\sigma)/4`, where *s* is
    `sigma_data`.

    Parameters
    ----------
    net : callable
        F, called as ``net(x, noise)`` with the condition behind the noisy field.
    x : torch.Tensor, (b, c, y, x)
        Data plus noise of standard deviation `sigma`.
    sigma : torch.Tensor, (b,)
        Noise levels.
    condition : torch.Tensor, (b, k, y, x)
        The condition *c*, what is known.
    sigma_data : float or sequence of float, (c,)
        Standard deviation of the data, or of each channel.
    scale_condition : bool, default False
        Whether *c*, too, is multiplied with :math:`c_{in}`, which the paper does not do.
    dtype : torch.dtype, default torch.float32
        Precision of the network; everything around it is in float32.

    Returns
    -------
    torch.Tensor, (b, c, y, x)
        Expected data.
    """
    s = sigma.to(torch.float32).reshape(-1, 1, 1, 1)
    data: float | Tensor
    if isinstance(sigma_data, Sequence):
        data = s.new_tensor(sigma_data)[:, None, None]
    else:
        data = sigma_data
    variance = s**2 + data**2
    c_skip, c_out = data**2 / variance, s * data / variance.sqrt()
    c_in, c_noise = variance.rsqrt(), s.flatten().log() / 4
    known = c_in * condition if scale_condition else condition
    f = net(torch.cat([c_in * x, known], dim=1).to(dtype), c_noise)
    return c_skip * x + c_out * f.to(x.dtype)


class Denoiser(nn.Module):
    r"""The preconditioned network :math:`D(x; \sigma)`; see :func:`precondition`.

    Parameters
    ----------
    net : torch.nn.Module
        F, called as ``net(x, noise)`` with the condition behind the noisy field.
    sigma_data : float
        Standard deviation of the data.
    dtype : torch.dtype, default torch.float32
        Precision of the network; everything around it is in float32.
    scale_condition : bool, default False
        Whether the condition is scaled with the noisy field.
    """

    def __init__(
        self,
        net: nn.Module,
        sigma_data: float,
        dtype: torch.dtype = torch.float32,
        *,
        scale_condition: bool = False,
    ) -> None:
        super().__init__()
        self.net, self.sigma_data, self.dtype = net, sigma_data, dtype
        self.scale_condition = scale_condition

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor, **where: Any) -> Tensor:
        """Denoise.

        Parameters
        ----------
        x : torch.Tensor, (b, c, y, x)
            Data plus noise of standard deviation `sigma`.
        sigma : torch.Tensor, (b,)
            Noise levels.
        condition : torch.Tensor, (b, k, y, x)
            What is known.
        **where : optional
            What else the network is told: `lead_time`, `position`.

        Returns
        -------
        torch.Tensor, (b, c, y, x)
            Expected data.
        """
        return precondition(
            lambda fields, noise: self.net(fields, noise, **where),
            x,
            sigma,
            condition,
            sigma_data=self.sigma_data,
            scale_condition=self.scale_condition,
            dtype=self.dtype,
        )


def edm_sigmas(
    steps: int, *, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Tensor:
    """Return the noise levels of a sampler, equation 5: `sigma_max` to `sigma_min`, then zero.

    Parameters
    ----------
    steps : int
        Number of steps, at least one; one step goes from `sigma_max` straight to zero.
    sigma_min, sigma_max : float
        Last noise level above zero, and the first.
    rho : float
        The larger, the more steps lie at low noise.

    Returns
    -------
    torch.Tensor, (steps + 1,)
        In float64.

    Examples
    --------
    >>> edm_sigmas(3, sigma_min=1.0, sigma_max=9.0, rho=1.0).tolist()
    [9.0, 5.0, 1.0, 0.0]
    >>> edm_sigmas(1).tolist()
    [80.0, 0.0]
    """
    if steps < 1:
        raise ValueError(f"a sampler needs at least one step, not {steps}")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])


def mean_loss(prediction: Tensor, target: Tensor, weight: Tensor, *, total: bool = False) -> Tensor:
    """Return the weighted mean squared error of ``(b, c, y, x)`` fields, a scalar.

    Minimised by the conditional mean; `weight` is zero where the target is missing. With `total`,
    the sum: what batches of any size add up from.
    """
    return _weighed((prediction - target) ** 2, weight, total)


def _weighed(error: Tensor, weight: Tensor, total: bool) -> Tensor:
    """Return the weighted mean or sum of errors."""
    whole = (weight * error).sum()
    return whole if total else whole / weight.expand_as(error).sum().clamp_min(1e-12)


def edm_loss(
    denoise: Callable[[Tensor, Tensor], Tensor],
    residual: Tensor,
    weight: Tensor,
    *,
    sigma: Tensor,
    noise: Tensor,
    sigma_data: float,
    total: bool = False,
) -> Tensor:
    r"""Return the denoising loss, equations 2 and 8, a scalar.

    .. math:: \lambda(\sigma) \lVert D(y + \sigma n; \sigma) - y \rVert^2, \qquad
              \lambda = (\sigma^2 + s^2) / (\sigma s)^2

    Parameters
    ----------
    denoise : callable
        ``(x, sigma) -> denoised``, with the condition bound.
    residual : torch.Tensor, (b, c, y, x)
        Data *y*: target minus mean.
    weight : torch.Tensor, broadcastable to `residual`
        Zero where the target is missing.
    sigma : torch.Tensor, (b,)
        Noise levels, log-normal in training.
    noise : torch.Tensor, (b, c, y, x)
        Standard normal *n*.
    sigma_data : float
        Standard deviation *s* of `residual`.
    total : bool, default False
        Return the weighted sum rather than the weighted mean.
    """
    s = sigma.reshape(-1, 1, 1, 1)
    scale = (s**2 + sigma_data**2) / (s * sigma_data) ** 2
    error = (denoise(residual + s * noise, sigma) - residual) ** 2
    return _weighed(scale * error, weight, total)
