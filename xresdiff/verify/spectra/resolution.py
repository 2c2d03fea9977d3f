"""Effective resolution: down to which wavelength a forecast has the variance of the truth."""

from collections.abc import Hashable
from typing import Any

import xarray as xr

from xresdiff.errors import InputError
from xresdiff.verify.kernels.spectral import Window, resolved_wavelength
from xresdiff.verify.pairs import Data, Dims, Labelled
from xresdiff.verify.spectra.sides import Comparison, Sides, Spacing, compare_spectra, plane_of

__all__ = ["effective_resolution"]


def effective_resolution(
    ens: Labelled,
    obs: Data,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    ratio: float = 0.5,
    sides: Sides | None = None,
    spacing_km: Spacing | None = None,
    window: Window = "dct",
    reference: Data | None = None,
    ci: float | None = None,
) -> Labelled:
    """Find the wavelength below which a forecast lacks variance.

    The spectra of the members and of the truth are averaged over the fields (members, times, ...)
    first. Their ratio is followed from long waves to short ones, to the first place where it
    falls under `ratio` and stays there for an octave (to half the wavelength), or to the shortest
    waves. Shorter dips, as there are among the few longest waves, do not count, nor does a rise
    at the shortest ones, as of the noise that rounding (packing) puts into both. Between the last
    bin that is not under and the next, the logarithm of the ratio is taken to be linear in that of
    the wavelength. The open last bin is left out.

    Parameters
    ----------
    ens, obs, member_dim
        As for :func:`xresdiff.crps`; `ens` may have no members.
    dim, weights, skipna
        As for :func:`xresdiff.log_spectral_distance`.
    ratio : float, default 0.5
        Share of the variance of the truth that a wave needs to be resolved.
    sides, spacing_km, window
        As for :func:`xresdiff.spectrum`.
    reference, ci
        As for :func:`xresdiff.crps`.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Wavelength in km: smaller is better. It is NaN if the ratio nowhere stays under `ratio`
        for an octave, nor at the shortest waves: all is resolved that the grid can hold, or noise
        hides what is not, as a figure of the spectra tells. It is inf if the ratio is under from
        the longest waves on, and NaN if both spectra are 0 at one.

    Raises
    ------
    InputError
        If `ratio` is not over 0, and as :func:`xresdiff.log_spectral_distance`.

    Notes
    -----
    A ratio of spectra tells how much variance there is, not whether it is in the right place: noise
    of the right spectrum is resolved, too. See :func:`xresdiff.coherence`.
    Skamarock (2004) calls effective resolution where the spectrum of a model falls below that of
    the atmosphere.

    References
    ----------
    Skamarock, W. C. (2004). Evaluating mesoscale NWP models using kinetic energy spectra. Mon. Wea.
    Rev. 132, 3019-3032, doi:10.1175/MWR2830.1.

    Examples
    --------
    >>> import numpy as np
    >>> waves = np.random.default_rng(0).standard_normal((32, 32))
    >>> truth = xr.DataArray(waves, dims=("y", "x"))
    >>> blurred = truth.rolling(x=3, center=True, min_periods=1).mean()
    >>> blurred = blurred.rolling(y=3, center=True, min_periods=1).mean()
    >>> effective_resolution(blurred, truth, sides=("y", "x"), spacing_km=2.0).item()
    12.37
    """
    if not ratio > 0:
        raise InputError(f"ratio is a share of the variance over 0, such as 0.5, not {ratio}")
    plane = plane_of(ens, sides, spacing_km, window)

    centres = plane.wavenumbers_of(ens)

    def finish(forecast: Any, truth: Any) -> Any:
        wavelengths = 1 / centres[:-1]
        return resolved_wavelength(forecast, truth, wavelengths=wavelengths, ratio=ratio)

    return compare_spectra(
        plane,
        Comparison("effective resolution", finish, "km"),
        ens,
        obs,
        dim=dim,
        member_dim=member_dim,
        weights=weights,
        skipna=skipna,
        reference=reference,
        ci=ci,
    )
