r"""Samplers: from noise to data along falling noise levels, one function each, one signature.

A model is any callable ``(x, sigma) -> denoised``: `x` is ``(b, c, y, x)``, `sigma` is ``(b,)``,
the result is the expected data. All samplers integrate the probability flow of the EDM paper
(Karras et al., 2022, arXiv 2206.00364),

.. math:: \frac{dx}{d\sigma} = \frac{x - D(x; \sigma)}{\sigma},

in the precision of the latents that they are given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import expm1, inf, log, sqrt

import torch
from torch import Tensor

__all__ = ["SAMPLERS", "Churn", "Denoise", "Noise", "dpmpp_2m", "euler", "evaluations", "heun"]

Denoise = Callable[[Tensor, Tensor], Tensor]
Noise = Callable[[int], Tensor]


@dataclass(frozen=True)
class Churn:
    """How much noise is added on the way, and at which levels: the S of the EDM paper.

    Parameters
    ----------
    amount : float, default 0
        S_churn: a step starts at a noise level raised by the share `amount` / steps; zero adds
        none.
    sigma_min, sigma_max : float, default 0 and infinity
        S_min and S_max: levels outside are left alone; both ends belong to the range.
    noise : float, default 1
        S_noise: standard deviation of what is added, above one to make up for detail that
        denoising loses.
    capped : bool, default True
        Whether no level is raised by more than a factor of sqrt(2), as in the paper.

    Examples
    --------
    >>> churn = Churn(amount=4.0, sigma_max=50.0)
    >>> churn.share(10.0, steps=10), churn.share(80.0, steps=10)
    (0.4, 0.0)
    >>> churn.share(10.0, steps=4), Churn(amount=4.0, capped=False).share(10.0, steps=4)
    (0.414, 1.0)
    """

    amount: float = 0.0
    sigma_min: float = 0.0
    sigma_max: float = inf
    noise: float = 1.0
    capped: bool = True

    def share(self, sigma: float, steps: int) -> float:
        """Return by which share a noise level is raised: gamma of the EDM paper."""
        if not self.sigma_min <= sigma <= self.sigma_max:
            return 0.0
        share = self.amount / steps
        return min(share, sqrt(2) - 1) if self.capped else share


def _denoised(denoise: Denoise, x: Tensor, sigma: float) -> Tensor:
    levels = torch.full((x.shape[0],), sigma, dtype=torch.float32, device=x.device)
    return denoise(x, levels).to(x.dtype)


def _noisier(x: Tensor, now: float, raised: float, churn: Churn, noise: Tensor) -> Tensor:
    return x + sqrt(raised**2 - now**2) * churn.noise * noise.to(x)


def _integrated(
    step: Callable[[Denoise, Tensor, float, float], Tensor],
    denoise: Denoise,
    latents: Tensor,
    sigmas: Tensor,
    noise: Noise | None,
    churn: Churn | None,
) -> Tensor:
    """Take every step, from a level raised by fresh noise where there is churn."""
    churn = churn or Churn()
    if churn.amount > 0 and noise is None:
        raise ValueError("churn adds noise: give noise=, a callable that draws it")
    levels = sigmas.tolist()
    x = latents * levels[0]
    for number, (now, after) in enumerate(pairwise(levels), start=1):
        raised = now * (1 + churn.share(now, len(levels) - 1))
        if raised > now and noise is not None:
            x = _noisier(x, now, raised, churn, noise(number))
        x = step(denoise, x, raised, after)
    return x


def euler(
    denoise: Denoise,
    latents: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise | None = None,
    churn: Churn | None = None,
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
        ``draw -> standard normal`` like `latents`, for churn; draw 0 is `latents` itself, draw n
        is added before step n.
    churn : Churn, optional
        Noise added before every step, Algorithm 2 of the EDM paper; by default there is none.

    Returns
    -------
    torch.Tensor, (b, c, y, x)
        One draw of the data a latent.

    Raises
    ------
    ValueError
        If there is `churn` and no `noise`.
    """
    return _integrated(_euler_step, denoise, latents, sigmas, noise, churn)


def _slope(denoise: Denoise, x: Tensor, level: float) -> Tensor:
    """Return dx/d sigma, in memory of its own: fields of a continent are large."""
    return (x - _denoised(denoise, x, level)).div_(level)


def _euler_step(denoise: Denoise, x: Tensor, now: float, after: float) -> Tensor:
    return _slope(denoise, x, now).mul_(after - now).add_(x)


def heun(
    denoise: Denoise,
    latents: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise | None = None,
    churn: Churn | None = None,
) -> Tensor:
    """Integrate with Heun's method: second order, two evaluations a step but one in the last.

    Algorithm 1 of the EDM paper, and Algorithm 2 where there is churn; parameters and errors as
    of :func:`euler`.
    """
    return _integrated(_heun_step, denoise, latents, sigmas, noise, churn)


def _heun_step(denoise: Denoise, x: Tensor, now: float, after: float) -> Tensor:
    slope = _slope(denoise, x, now)
    ahead = (slope * (after - now)).add_(x)
    if after == 0:
        return ahead
    slope_ahead = _slope(denoise, ahead, after)
    del ahead
    return slope_ahead.add_(slope).mul_((after - now) * 0.5).add_(x)


def dpmpp_2m(
    denoise: Denoise,
    latents: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise | None = None,
    churn: Churn | None = None,
) -> Tensor:
    """Integrate with DPM-Solver++(2M): second order, one evaluation a step.

    Lu et al. (2022, arXiv 2211.01095), algorithm 2, with the noise level as time: exact for a
    denoiser that is constant in the logarithm of the level, extrapolated from the step before.
    Parameters as of :func:`euler`.

    Raises
    ------
    ValueError
        If there is `churn`: what was known of the step before would hold no longer.
    """
    if churn is not None and churn.amount > 0:
        raise ValueError("dpmpp_2m takes no churn; euler and heun do")
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


SAMPLERS = {"dpmpp_2m": dpmpp_2m, "euler": euler, "heun": heun, "stochastic": heun}


def evaluations(sampler: str, steps: int) -> int:
    """Return how often a sampler calls the network.

    Examples
    --------
    >>> evaluations("heun", 18), evaluations("dpmpp_2m", 10)
    (35, 10)
    """
    return 2 * steps - 1 if sampler in ("heun", "stochastic") else steps
