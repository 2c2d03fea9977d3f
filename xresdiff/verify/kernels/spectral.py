"""Power spectra of fields on limited areas: numpy in, numpy out."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xresdiff.verify.kernels.blocks import Floats

__all__ = [
    "Window",
    "coherence",
    "decibels_apart",
    "joint_spectra",
    "power_spectrum",
    "resolved_wavelength",
    "wavenumbers",
    "wind_spectra",
]

Window: TypeAlias = Literal["dct", "hann"] | None
Modes: TypeAlias = NDArray[Any]

#: What a wavenumber on the border of two bins may be off by.
ROUNDING = 1e-9

#: Largest logarithm of a ratio of spectra that is told from infinity.
LARGEST = 700.0


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
    lowest = _lowest(shape, spacing, window)
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

    def shares(modes: Modes) -> list[Floats]:
        return [_product(modes, modes)]

    return _binned(shares, 1, field, spacing=spacing, window=window)[..., 0, :]


def joint_spectra(
    one: Floats,
    other: Floats,
    *,
    spacing: tuple[float, float] = (1.0, 1.0),
    window: Window = "dct",
) -> Floats:
    """Co-spectrum of two fields and their power spectra, ``(..., y, x) twice -> (..., 3, k)``.

    The first sums to the spatial covariance. Of Fourier transforms it is the whole sum of the
    products of one with the conjugate of the other: opposite wavenumbers share a bin, so that
    their imaginary parts cancel.

    Examples
    --------
    >>> one, other = np.random.default_rng(0).random((2, 5, 6))
    >>> covariance, variance, _ = joint_spectra(one, other).sum(-1)
    >>> np.allclose((covariance, variance), (np.cov(one.flat, other.flat, ddof=0)[0, 1], one.var()))
    True
    """

    def shares(a: Modes, b: Modes) -> list[Floats]:
        return [_product(a, b), _product(a, a), _product(b, b)]

    return _binned(shares, 3, one, other, spacing=spacing, window=window)


def wind_spectra(
    u: Floats,
    v: Floats,
    *,
    spacing: tuple[float, float] = (1.0, 1.0),
    window: Literal["hann"] | None = None,
    signs: tuple[int, int] = (1, 1),
) -> Floats:
    """Spectra of kinetic energy, ``(..., y, x) twice -> (..., 3, k)``: all, rotational, divergent.

    The divergent part of every mode of the wind is along its wavenumber, the rotational part across
    it. `signs` is -1 along sides where y or x falls with the index.

    Examples
    --------
    >>> y, x = np.mgrid[:8, :8] * np.pi / 4
    >>> wind_spectra(np.cos(x) + 0 * y, np.cos(x) + 0 * y).sum(-1)  # u along the waves, v across
    array([0.5 , 0.25, 0.25])
    """
    ky, kx = _wave_vector(u.shape[-2:], spacing)
    radius = np.hypot(ky, kx)
    radius[0, 0] = 1.0  # the mean wind has no energy here
    ky, kx = signs[0] * ky / radius, signs[1] * kx / radius

    def shares(a: Modes, b: Modes) -> list[Floats]:
        across, along = kx * b - ky * a, kx * a + ky * b
        return [_product(across, across) / 2, _product(along, along) / 2]

    parts = _binned(shares, 2, u, v, spacing=spacing, window=window)
    return np.concatenate([parts.sum(-2, keepdims=True), parts], axis=-2)


def coherence(joint: Floats) -> Floats:
    """Squared co-spectrum over the product of the power spectra, ``(..., 3) -> (...)``.

    Examples
    --------
    >>> coherence(np.array([[1.0, 1.0, 4.0], [0.0, 0.0, 1.0]]))
    array([0.25,  nan])
    """
    both, one, other = np.moveaxis(joint, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.minimum((both / one) * (both / other), 1.0)


def decibels_apart(forecast: Floats, truth: Floats) -> Floats:
    """Root mean square of ten times the logarithm of a ratio of spectra, ``(..., k) -> (...)``.

    Examples
    --------
    >>> decibels_apart(np.array([1.0, 1.0]), np.array([10.0, 0.1]))
    np.float64(10.0)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(np.mean((10 * np.log10(forecast / truth)) ** 2, axis=-1))


def resolved_wavelength(
    forecast: Floats, truth: Floats, *, wavelengths: Floats, ratio: float
) -> Floats:
    """Wavelength from which one spectrum stays under `ratio` times another, ``(..., k) -> (...)``.

    The bins are in the order of rising wavenumbers. It is the first place where the ratio falls
    under `ratio` and stays there for an octave, or to the last bin; between the last bin that is
    not under and the next, the logarithm of the ratio is taken to be linear in that of the
    wavelength. It is inf if there is no such place and the first bins are under for an octave, NaN
    if there is neither, or if a ratio is not known.

    Examples
    --------
    >>> wavelengths = np.array([8.0, 4.0, 2.0])
    >>> truth, lost = np.ones(3), np.array([1.0, 1.0, 0.25])
    >>> resolved_wavelength(lost, truth, wavelengths=wavelengths, ratio=0.5)  # sqrt(2 * 4)
    array(2.83)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.log(forecast / truth) - np.log(ratio)
    known = ~np.isnan(excess).any(-1)
    excess = np.clip(excess, -LARGEST, LARGEST)
    over = excess >= 0
    octave = np.searchsorted(-wavelengths, -wavelengths / 2 * (1 - ROUNDING), side="right") - 1
    overs = np.cumsum(over, axis=-1)
    stays = ~over & (overs[..., octave] == overs)  # under, and so an octave on
    falls = stays[..., 1:] & over[..., :-1]
    right = 1 + falls.argmax(-1)
    before, behind = (
        np.take_along_axis(excess, i[..., None], -1)[..., 0] for i in (right - 1, right)
    )
    logs = np.log(wavelengths)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(falls.any(-1), before / (before - behind), 0.0)
    crossing = np.exp(logs[right - 1] + share * (logs[right] - logs[right - 1]))
    never = np.where(stays[..., 0], np.inf, np.nan)
    return np.where(known, np.where(falls.any(-1), crossing, never), np.nan)


def _binned(
    shares: Callable[..., list[Floats]],
    parts: int,
    *fields: Floats,
    spacing: tuple[float, float],
    window: Window,
) -> Floats:
    """Add up in bins what `shares` makes of the modes, ``(..., y, x) each -> (..., part, k)``."""
    fields = tuple(np.broadcast_arrays(*fields))
    leading, shape = fields[0].shape[:-2], fields[0].shape[-2:]
    bins = len(wavenumbers(shape, spacing, window))
    index = _radial_bin(shape, spacing, window, bins)
    result = np.empty((*leading, parts, bins))
    for at in np.ndindex(*leading):
        modes = [_modes(field[at], window) for field in fields]
        for out, values in zip(result[at], shares(*modes), strict=True):
            out[:] = np.bincount(index, weights=values.ravel(), minlength=bins)
    return result


def _modes(plane: Floats, window: Window) -> Modes:
    """Transform a field without its mean: the squares of the modes sum to the variance.

    Of Fourier's modes there is one of each opposite pair, ``(y, x) -> (y, x // 2 + 1)``.
    """
    import scipy.fft

    plane = plane - plane.mean(dtype=np.float64)
    if window == "dct":
        modes = scipy.fft.dctn(plane, norm="ortho") / np.sqrt(plane.size)
    else:
        modes = scipy.fft.rfft2(_tapered(plane) if window == "hann" else plane) / plane.size
        modes[:, 1 : (plane.shape[1] + 1) // 2] *= np.sqrt(2)  # those whose opposite is left out
    modes[0, 0] = 0.0  # the mean is no variance
    return modes


def _tapered(plane: Floats) -> Floats:
    """Taper a field to zero at its edges, keeping its variance on average."""
    taper = np.multiply.outer(*(_hann(n) for n in plane.shape))
    return plane * taper / np.sqrt(np.mean(taper**2))


def _hann(n: int) -> Floats:
    return np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2


def _product(one: Modes, other: Modes) -> Floats:
    """Multiply modes with the conjugate of others, real part only."""
    if np.iscomplexobj(one):
        return one.real * other.real + one.imag * other.imag
    return one * other


def _wave_vector(shape: tuple[int, int], spacing: tuple[float, float]) -> tuple[Floats, Floats]:
    """Wavenumbers of Fourier's modes along y and x, ``-> (y, x // 2 + 1)`` when broadcast."""
    return (
        np.fft.fftfreq(shape[0], spacing[0])[:, None],
        np.fft.rfftfreq(shape[1], spacing[1])[None, :],
    )


def _lowest(shape: tuple[int, int], spacing: tuple[float, float], window: Window) -> float:
    """Lowest wavenumber of the shorter side."""
    waves = 0.5 if window == "dct" else 1.0
    return waves / min(n * d for n, d in zip(shape, spacing, strict=True))


@lru_cache(maxsize=4)
def _radial_bin(
    shape: tuple[int, int], spacing: tuple[float, float], window: Window, bins: int
) -> NDArray[np.intp]:
    """Bin of every mode, from 0, one after another."""
    lowest = _lowest(shape, spacing, window)
    along = _wave_vector(shape, spacing)
    if window == "dct":
        rows, columns = (np.arange(n) / (2 * n * d) for n, d in zip(shape, spacing, strict=True))
        along = rows[:, None], columns[None, :]
    nearest = np.floor(np.hypot(*along) / lowest + 0.5 + ROUNDING).astype(np.intp)
    index = (np.clip(nearest, 1, bins) - 1).ravel()
    index.flags.writeable = False  # it is kept
    return index
