r"""A downscaling problem with an exact answer: Gaussian fields seen through a blurred, noisy eye.

The field is stationary and isotropic with the spectrum of large-scale turbulence, energy falling
with :math:`k^{-3}`, which is a density of :math:`k^{-4}` in two dimensions, flat beyond a longest
wavelength. It lives on a torus, and a window much smaller than that is cut from it, so that nothing
is periodic. What is known of the window are the means over blocks of pixels, plus white noise.
Then the field, given what is known, is Gaussian too, and its mean and its covariance are matrices.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import chisquare

from xresdiff.verify.kernels import crps, power_spectrum, rank_shares

__all__ = ["GaussianField", "cross_spectrum", "measures"]

Array = NDArray[np.floating[Any]]

EVERY = 8  # pixels between those whose ranks are counted: they are as good as independent


def cross_spectrum(one: Array, other: Array) -> Array:
    """Return the covariance of two fields per bin of wavenumbers, ``(..., y, x) -> (..., bins)``.

    Examples
    --------
    >>> field = np.random.default_rng(0).random((8, 8))
    >>> np.allclose(cross_spectrum(field, 3 * field), 3 * power_spectrum(field))
    True
    """
    return (power_spectrum(one + other) - power_spectrum(one - other)) / 4


@dataclass(frozen=True)
class GaussianField:
    """Windows of correlated Gaussian variables, their observations, and the exact posterior.

    Parameters
    ----------
    size : int, default 32
        Side of the window, in pixels.
    torus : int, default 128
        Side of the torus that it is cut from.
    factor : int, default 4
        Side of a block, the pixels of which are observed as one.
    wavelength : float, default 32
        Where the spectrum turns flat, in pixels.
    stds : tuple of float, default (1, 3)
        Standard deviation of each variable.
    correlation : float, default 0.6
        Of any two variables, at the same pixel and at every wavenumber.
    noise : float, default 0.2
        Standard deviation of the noise of a block, in units of that of its variable.

    Examples
    --------
    >>> field = GaussianField(size=16)
    >>> coarse, fine = field.draw(np.random.default_rng(0), 5)
    >>> coarse.shape, fine.shape
    ((5, 2, 4, 4), (5, 2, 16, 16))
    >>> field.mean(coarse).shape, field.members(np.random.default_rng(1), coarse, 3).shape
    ((5, 2, 16, 16), (5, 3, 2, 16, 16))
    """

    size: int = 32
    torus: int = 128
    factor: int = 4
    wavelength: float = 32.0
    stds: tuple[float, ...] = (1.0, 3.0)
    correlation: float = 0.6
    noise: float = 0.2

    @cached_property
    def density(self) -> Array:
        """Variance of every mode of the torus, ``(torus, torus)``, which sums to one."""
        k = np.fft.fftfreq(self.torus)
        power = (k[:, None] ** 2 + k**2 + self.wavelength**-2) ** -2
        return power / power.sum()

    @cached_property
    def covariance(self) -> Array:
        """Covariance of the pixels of a window, ``(n, n)``, of a variable of unit variance."""
        by_lag = np.fft.fft2(self.density).real
        lag = np.subtract.outer(np.arange(self.size), np.arange(self.size))
        matrix = by_lag[lag[:, None, :, None], lag[None, :, None, :]]  # (y, x, y', x')
        return matrix.reshape(self.size**2, self.size**2)

    @cached_property
    def variables(self) -> Array:
        """Covariance of the variables at a pixel, ``(k, k)``."""
        alike = np.full((len(self.stds),) * 2, self.correlation)
        np.fill_diagonal(alike, 1.0)
        return alike * np.outer(self.stds, self.stds)

    @cached_property
    def prior(self) -> Array:
        """Covariance of all variables in a window, ``(k * n, k * n)``."""
        return np.kron(self.variables, self.covariance)

    @cached_property
    def blocks(self) -> Array:
        """Averages over the blocks of one variable, ``(m, n)``."""
        side = self.size // self.factor
        along: Array = np.kron(np.eye(side), np.full(self.factor, 1 / self.factor))
        return np.kron(along, along)

    @cached_property
    def gain(self) -> Array:
        """Turn observations into the mean of the field given them, ``(k * n, k * m)``."""
        shared = np.kron(self.variables, self.covariance @ self.blocks.T)  # with the observations
        clean = np.kron(self.variables, self.blocks @ self.covariance @ self.blocks.T)
        white = np.kron(np.diag(np.square(self.stds)), np.eye(len(self.blocks))) * self.noise**2
        return np.linalg.solve(clean + white, shared.T).T

    @cached_property
    def posterior(self) -> Array:
        """Covariance of the field given any observations, ``(k * n, k * n)``."""
        shared = np.kron(self.variables, self.blocks @ self.covariance)
        return self.prior - self.gain @ shared

    @cached_property
    def _prior_root(self) -> Array:
        """Lower triangle of the covariance of one variable."""
        return np.linalg.cholesky(self.covariance)

    @cached_property
    def _posterior_root(self) -> Array:
        """Lower triangle of the posterior covariance."""
        return np.linalg.cholesky(self.posterior)

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        """Draw `n` pairs: observations ``(n, k, Y, X)`` and fields ``(n, k, y, x)``."""
        k, side = len(self.stds), self.size // self.factor
        unit = rng.standard_normal((n, k, self.size**2)) @ self._prior_root.T
        fine = np.linalg.cholesky(self.variables) @ unit
        noise = self.noise * np.array(self.stds)[:, None] * rng.standard_normal((n, k, side**2))
        coarse = fine @ self.blocks.T + noise
        return coarse.reshape(n, k, side, side), fine.reshape(n, k, self.size, self.size)

    def mean(self, coarse: Array) -> Array:
        """Return the mean of the field given observations, ``(n, k, Y, X) -> (n, k, y, x)``."""
        n, k = coarse.shape[:2]
        return (coarse.reshape(n, -1) @ self.gain.T).reshape(n, k, self.size, self.size)

    def members(self, rng: np.random.Generator, coarse: Array, n: int) -> Array:
        """Draw `n` fields given each observation, ``(t, k, Y, X) -> (t, n, k, y, x)``."""
        mean = self.mean(coarse)
        normal = rng.standard_normal((len(coarse), n, len(self._posterior_root)))
        return mean[:, None] + (normal @ self._posterior_root.T).reshape(-1, n, *mean.shape[1:])

    @cached_property
    def spread(self) -> Array:
        """Standard deviation of every pixel given the observations, ``(k, y, x)``."""
        return np.sqrt(np.diag(self.posterior)).reshape(-1, self.size, self.size)

    @property
    def rmse(self) -> Array:
        """Root mean square error of the exact mean, ``(k,)``: no forecast has less."""
        return np.sqrt((self.spread**2).mean((1, 2)))

    @property
    def mean_crps(self) -> Array:
        """Expected fair CRPS of exact members, however many, ``(k,)``: none has less."""
        return self.spread.mean((1, 2)) / np.sqrt(np.pi)

    def crps(self, coarse: Array, fine: Array) -> Array:
        """Return the CRPS of the exact distribution for fields that came true, ``(n, k, y, x)``."""
        z = (fine - self.mean(coarse)) / self.spread
        density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        return self.spread * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))

    @cached_property
    def spectrum(self) -> Array:
        """Variance per bin of wavenumbers given the observations, ``(k, bins)``.

        That of the deviations from the mean, as :func:`xresdiff.spectrum` bins it.
        """
        return power_spectrum(self._deviations).sum(0)

    @cached_property
    def shared_spectrum(self) -> Array:
        """Covariance of the first two variables per bin, given the observations, ``(bins,)``."""
        return cross_spectrum(self._deviations[:, 0], self._deviations[:, 1]).sum(0)

    @property
    def _deviations(self) -> Array:
        """Fields whose powers add up to those of deviations from the mean, ``(d, k, y, x)``."""
        # a deviation is R z with white z; these are the columns of R
        return self._posterior_root.T.reshape(-1, len(self.stds), self.size, self.size)

    @property
    def shared(self) -> Array:
        """Covariance of the variables given the observations, mean over the pixels, ``(k, k)``."""
        k, n = len(self.stds), self.size**2
        return np.einsum("inkn->ik", self.posterior.reshape(k, n, k, n)) / n


def measures(
    field: GaussianField, coarse: Array, fine: Array, mean: Array, ens: Array
) -> dict[str, list[float]]:
    """Score means ``(n, k, y, x)`` and members ``(n, m, k, y, x)`` against truth and optimum.

    Returns
    -------
    dict of list of float
        Of each variable: "rmse" of the mean and fair "crps", relative to those of the exact
        distribution for the same fields; "decibels", the largest error of the variance per
        wavenumber, the open last one left out; "ranks", the p-value of a flat histogram;
        "spread_skill". Of both together: "shared", their covariance over the exact one, and
        "coherence", the largest error of their correlation per wavenumber.
    """
    m, last = ens.shape[1], np.moveaxis(ens, 1, -1)
    center = ens.mean(1)
    away = ens - center[:, None]
    variance = (away**2).sum(1) / (m - 1)
    space = (0, 2, 3)
    best, error, error_of_mean = (
        ((each - fine) ** 2).mean(space) for each in (field.mean(coarse), center, mean)
    )
    power = power_spectrum(away).mean((0, 1)) * m / (m - 1)
    shared = cross_spectrum(away[:, :, 0], away[:, :, 1]).mean((0, 1)) * m / (m - 1)
    coherence = shared / np.sqrt(power.prod(0))
    exact = field.shared_spectrum / np.sqrt(field.spectrum.prod(0))
    together = (away[:, :, 0] * away[:, :, 1]).sum(1).mean() / (m - 1)
    corner = slice(EVERY // 2, None, EVERY)
    ranks = rank_shares(last[:, :, corner, corner], fine[:, :, corner, corner]).sum(space)
    return {
        "rmse": list(np.sqrt(error_of_mean / best)),
        "crps": list(crps(last, fine).mean(space) / field.crps(coarse, fine).mean(space)),
        "decibels": list(abs(10 * np.log10(power / field.spectrum))[:, :-1].max(1)),
        "ranks": [float(chisquare(counts).pvalue) for counts in ranks],
        "spread_skill": list(np.sqrt(variance.mean(space) * (m + 1) / m / error)),
        "shared": [float(together / field.shared[0, 1])],
        "coherence": [float(abs(coherence - exact)[:-1].max())],
    }
