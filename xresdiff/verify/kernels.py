"""The sums behind the scores: numpy in, numpy out, no labels.

Members are on the last axis, ``(..., m)``; fields on the last two, ``(..., y, x)``. Data may be
float32: differences are taken as they are, sums are made in float64, and results are float64.
NaN in anything that a value depends on makes that value NaN.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Window",
    "crps",
    "mean",
    "power_spectrum",
    "rank_shares",
    "variance",
    "wavenumbers",
]

Floats: TypeAlias = NDArray[np.floating[Any]]
Window: TypeAlias = Literal["dct", "hann"] | None

#: Values of an ensemble worked on at a time: temporaries of this size stay in the cache.
BLOCK_VALUES = 2**18

#: What a wavenumber on the border of two bins may be off by.
ROUNDING = 1e-9


def _in_blocks(kernel: Callable[..., Floats]) -> Callable[..., Floats]:
    """Extend a kernel from ``(n, m), (n) -> (n, ...)`` to any leading axes and any length.

    The points are taken a block at a time, so that temporaries stay small however large the
    ensemble is, and integers become floats, whose differences do not wrap around.
    """

    @wraps(kernel)
    def extended(ens: Floats, *fields: Floats, **options: Any) -> Floats:
        shape, members = ens.shape[:-1], ens.shape[-1]
        dtype = np.result_type(ens, *fields, np.float32)
        points = ens.reshape(-1, members)
        columns = [np.broadcast_to(field, shape).reshape(-1) for field in fields]
        step = max(BLOCK_VALUES // max(members, 1), 1)
        done = [
            kernel(
                *(part[i : i + step].astype(dtype, order="C") for part in (points, *columns)),
                **options,
            )
            for i in range(0, max(len(points), 1), step)
        ]
        result = np.concatenate(done)
        return result.reshape(shape + result.shape[1:])

    return extended


@_in_blocks
def crps(ens: Floats, obs: Floats, *, fair: bool = True) -> Floats:
    r"""Continuous ranked probability score, ``(..., m), (...) -> (...)``.

    .. math:: \frac1m \sum_i |x_i - y| - \frac{1}{2 m (m - 1)} \sum_{i,j} |x_i - x_j|

    if `fair` (Ferro, 2014, doi:10.1002/qj.2270); with :math:`m^2` for :math:`m (m - 1)` if not,
    the integral of the squared difference of the two distribution functions.

    The double sum needs no (m, m) temporary: the gap between the k-th and the next of the sorted
    members lies between :math:`k (m - k)` pairs, so it is a sum over gaps, free of cancellation.

    Examples
    --------
    >>> ens, obs = np.array([[1.0, 3.0]]), np.array([2.0])
    >>> crps(ens, obs), crps(ens, obs, fair=False)
    (array([0.]), array([0.5]))
    """
    m = ens.shape[-1]
    k = np.arange(1, m)
    pairs = np.diff(np.sort(ens, axis=-1)) @ (k * (m - k)).astype(np.float64)
    error = np.abs(ens - obs[:, None]).mean(-1, dtype=np.float64)
    return error - pairs / (m * (m - 1) if fair else m * m)


@_in_blocks
def mean(ens: Floats) -> Floats:
    """Mean of the members, ``(..., m) -> (...)``."""
    return ens.mean(-1, dtype=np.float64)


@_in_blocks
def variance(ens: Floats) -> Floats:
    """Variance of the members, unbiased (divided by m - 1), ``(..., m) -> (...)``."""
    return ens.var(-1, ddof=1, dtype=np.float64)


@_in_blocks
def rank_shares(ens: Floats, obs: Floats) -> Floats:
    """Share of each of the m + 1 ranks in every observation, ``(..., m), (...) -> (..., m + 1)``.

    An observation that equals `t` members (rain: both zero) could take any of `t` + 1 ranks, and is
    shared out equally among them, so that draws of one distribution give a flat histogram.

    Examples
    --------
    >>> rank_shares(np.array([0.0, 0.0, 4.0]), np.array(0.0))
    array([0.33, 0.33, 0.33, 0.  ])
    """
    below = (ens < obs[:, None]).sum(-1, keepdims=True)
    ties = (ens == obs[:, None]).sum(-1, keepdims=True)
    rank = np.arange(ens.shape[-1] + 1)
    shares = np.where((below <= rank) & (rank <= below + ties), 1 / (ties + 1), 0.0)
    shares[np.isnan(obs) | np.isnan(ens).any(-1)] = np.nan
    return shares


def wavenumbers(
    shape: tuple[int, int], spacing: tuple[float, float], window: Window = "dct"
) -> Floats:
    """Centres of the radial bins of a spectrum, in cycles per unit of `spacing`, ``-> (k)``.

    They are the multiples of the lowest wavenumber of the shorter side (half a wave along it
    for the cosine transform, a whole one for Fourier's), up to the nearest to the Nyquist
    wavenumber of the wider of the two spacings.

    Examples
    --------
    >>> 1 / wavenumbers((4, 8), (2.0, 2.0))
    array([16.  ,  8.  ,  5.33,  4.  ])
    """
    waves = 0.5 if window == "dct" else 1.0
    lowest = waves / min(n * d for n, d in zip(shape, spacing, strict=True))
    nyquist = 0.5 / max(spacing)
    last = np.ceil(nyquist / lowest - 0.5 - ROUNDING)
    return lowest * np.arange(1, last + 1)


def power_spectrum(
    field: Floats, *, spacing: tuple[float, float] = (1.0, 1.0), window: Window = "dct"
) -> Floats:
    """Radially binned power spectrum, ``(..., y, x) -> (..., k)``: sums to the spatial variance.

    Each mode's share of the variance goes to the bin of the nearest of :func:`wavenumbers`. The
    first bin also takes what is longer (modes along the longer side of an oblong field), the last
    what is shorter (the corners of the spectral plane, beyond the Nyquist wavenumber of its sides;
    the cosine transform has nothing else there). So nothing is lost, and those between are clean.

    ``"dct"`` is the cosine transform of Denis et al. (2002, Mon. Wea. Rev. 130, 1812-1829), which
    mirrors the field at its edges and so sees no jump there. ``None`` is the plain Fourier
    transform, for periodic fields. ``"hann"`` tapers the field to zero at the edges and divides by
    the mean square of the taper: its sum is the variance on average over many fields only.

    Examples
    --------
    >>> field = np.arange(12.0).reshape(3, 4)
    >>> power_spectrum(field).sum() / field.var()
    np.float64(1.0)
    """
    bins = len(wavenumbers(field.shape[-2:], spacing, window))
    index = _radial_bin(field.shape[-2:], spacing, window, bins).ravel()
    planes = field.reshape(-1, *field.shape[-2:])
    result = np.empty((len(planes), bins))
    for plane, out in zip(planes, result, strict=True):
        power = _power(plane, window)
        power[0, 0] = 0.0  # the mean is no variance
        out[:] = np.bincount(index, weights=power.ravel(), minlength=bins)
    return result.reshape(*field.shape[:-2], bins)


def _power(plane: Floats, window: Window) -> Floats:
    """Share of the variance in every mode, ``(y, x) -> (y, x)``, the mean included."""
    import scipy.fft

    plane = plane - plane.mean(dtype=np.float64)
    if window == "dct":
        return scipy.fft.dctn(plane, norm="ortho") ** 2 / plane.size
    if window == "hann":
        taper = np.multiply.outer(*(_hann(n) for n in plane.shape))
        plane = plane * taper / np.sqrt(np.mean(taper**2))
    return np.abs(scipy.fft.fft2(plane) / plane.size) ** 2


def _hann(n: int) -> Floats:
    return np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2


def _radial_bin(
    shape: tuple[int, int], spacing: tuple[float, float], window: Window, bins: int
) -> NDArray[np.intp]:
    """Bin of every mode, ``-> (y, x)``, from 0."""
    lowest = wavenumbers(shape, spacing, window)[0]
    along = [
        np.arange(n) / (2 * n * d) if window == "dct" else np.fft.fftfreq(n, d)
        for n, d in zip(shape, spacing, strict=True)
    ]
    radius = np.hypot(along[0][:, None], along[1][None, :]) / lowest
    nearest = np.floor(radius + 0.5 + ROUNDING).astype(np.intp)
    return np.clip(nearest, 1, bins) - 1
