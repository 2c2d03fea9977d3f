r"""Samplers: from noise to data along falling noise levels, one function each, one signature.

A model is any callable ``(x, sigma) -> denoised``: `x` is ``(b, c, y, x)``, `sigma` is ``(b,)``,
the result is the expected data. All samplers integrate the probability flow of the EDM paper
(Karras et al., 2022, arXiv 2206.00364),

.. math:: \frac{dx}{d\sigma} = \frac{x - D(x; \sigma)}{\sigma},

in the precision of the latents that they are given.
"""

from collections.abc import Callable
from itertools import pairwise
from math import expm1, log, sqrt

import torch
from torch import Tensor

__all__ = ["SAMPLERS", "Denoise", "Noise", "dpmpp_2m", "euler", "evaluations", "heun", "stochastic"]

Denoise = Callable[[Tensor, Tensor], Tensor]
Noise = Callable[[int], Tensor]


def _denoised(denoise: Denoise, x: Tensor, sigma: float) -> Tensor:
    levels = torch.full((x.shape[0],), sigma, dtype=torch.float32, device=x.device)
    return denoise(x, levels).to(x.dtype)


def euler(
    denoise: Denoise,
    latents: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise | None = None,
    churn: float = 0.0,
) -> Tensor:
    """Integrate with Euler's method: first order, one evaluation a step.

    Parameters
    ----------
    denoise : callable
        ``(x, sigma) -> denoised``.
    latents : torch.Tensor, (b, c, y, x)
        Standard normal; the precision of the whole run.
    sigmas : torch.Tensor, (steps + 1,)
        Falling noise levels that end with zero, as of :func:`xresdiff.nets.edm.edm_sigmas`.
    noise : callable, optional
        ``draw -> standard normal`` like `latents`, for samplers that add noise; draw 0 is
        `latents` itself.
    churn : float, default 0
        How much noise :func:`stochastic` adds; the others take no notice.

    Returns
    -------
    torch.Tensor, (b, c, y, x)
        One draw of the data a latent.
    """
    levels = sigmas.tolist()
    x = latents * levels[0]
    for now, after in pairwise(levels):
        slope = (x - _denoised(denoise, x, now)) / now
        x = x + (after - now) * slope
    return x


def heun(
    denoise: Denoise,
    latents: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise | None = None,
    churn: float = 0.0,
) -> Tensor:
    """Integrate with Heun's method: second order, two evaluations a step but one in the last.

    Algorithm 1 of the EDM paper; parameters as of :func:`euler`.
    """
    levels = sigmas.tolist()
    x = latents * levels[0]
    for now, after in pairwise(levels):
        x = _heun_step(denoise, x, now, after)
    return x


def _heun_step(denoise: Denoise, x: Tensor, now: float, after: float) -> Tensor:
    slope = (x - _denoised(denoise, x, now)) / now
    ahead = x + (after - now) * slope
    if after == 0:
        return ahead
    slope_ahead = (ahead - _denoised(denoise, ahead, after)) / after
    return x + (after - now) * 0.5 * (slope + slope_ahead)


def stochastic(
    denoise: Denoise,
    latents: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise | None = None,
    churn: float = 0.0,
) -> Tensor:
    """Integrate with Heun's method, adding noise before every step.

    Algorithm 2 of the EDM paper, without its bounds on the levels that are churned. `churn`
    is its S_churn; other parameters as of :func:`euler`.

    Raises
    ------
    ValueError
        If `churn` is above zero and there is no `noise`.
    """
    if churn > 0 and noise is None:
        raise ValueError("churn adds noise: give noise=, a callable that draws it")
    levels = sigmas.tolist()
    gamma = min(churn / (len(levels) - 1), sqrt(2) - 1)
    x = latents * levels[0]
    for step, (now, after) in enumerate(pairwise(levels)):
        raised = now * (1 + gamma)
        if gamma > 0 and noise is not None:
            x = x + sqrt(raised**2 - now**2) * noise(step + 1).to(x)
        x = _heun_step(denoise, x, raised, after)
    return x


def dpmpp_2m(
    denoise: Denoise,
    latents: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise | None = None,
    churn: float = 0.0,
) -> Tensor:
    """Integrate with DPM-Solver++(2M): second order, one evaluation a step.

    Lu et al. (2022, arXiv 2211.01095), algorithm 2, with the noise level as time: exact for a
    denoiser that is constant in the logarithm of the level, extrapolated from the step before.
    Parameters as of :func:`euler`.
    """
    levels = sigmas.tolist()
    x, before, width_before = latents * levels[0], None, 0.0
    for now, after in pairwise(levels):
        data = _denoised(denoise, x, now)
        if after == 0:
            return data
        width = log(now / after)
        ahead = data
        if before is not None:
            ahead = data + (data - before) * (0.5 * width / width_before)
        x = x * (after / now) - expm1(-width) * ahead
        before, width_before = data, width
    return x


SAMPLERS = {"dpmpp_2m": dpmpp_2m, "euler": euler, "heun": heun, "stochastic": stochastic}


def evaluations(sampler: str, steps: int) -> int:
    """Return how often a sampler calls the network.

    Examples
    --------
    >>> evaluations("heun", 18), evaluations("dpmpp_2m", 10)
    (35, 10)
    """
    return 2 * steps - 1 if sampler in ("heun", "stochastic") else steps
