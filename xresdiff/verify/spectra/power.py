"""Power spectra on limited areas: how much variance there is at every wavelength."""

from collections.abc import Hashable

import xarray as xr

from xresdiff.verify.kernels.spectral import Window, decibels_apart, power_spectrum
from xresdiff.verify.pairs import Data, Dims, Labelled, label
from xresdiff.verify.spectra.sides import (
    Comparison,
    Plane,
    Sides,
    Spacing,
    compare_spectra,
    plane_of,
    product_units,
)

__all__ = ["Sides", "Spacing", "log_spectral_distance", "spectrum"]


def spectrum(
    da: Labelled,
    *,
    sides: Sides | None = None,
    spacing_km: Spacing | None = None,
    window: Window = "dct",
) -> Labelled:
    """Spread the variance of every field over wavelengths.

    The field is split into waves, and the share of each in the variance of the field is added up in
    bins of equal width in wavenumber, whatever its direction. With the default cosine transform
    (Denis et al., 2002) the field need not be periodic, and the sum over all bins is the variance
    over `sides`. The first bin also takes what is longer; the last one, at twice the spacing, what
    is shorter (the corners of the spectral plane): leave that one out of plots and fits.

    Parameters
    ----------
    da : xarray.DataArray or xarray.Dataset, (..., y, x)
        Fields on an evenly spaced grid, of any lengths of sides, with any other dimensions. Of a
        Dataset the numeric variables on the grid count.
    sides : tuple of Hashable, optional
        The two horizontal dimensions; found by their coordinates by default.
    spacing_km : float or tuple of float, optional
        Distance of the points in km, along the first and the second of `sides` if two are given.
        Taken from the coordinates by default: of latitude and longitude at the mean latitude, of
        two-dimensional ones, which are read for that, the mean distance of neighbours along each
        side.
    window : {"dct", "hann", None}, default "dct"
        Cosine transform; or Fourier transform of the field tapered by a Hann window, which keeps
        the variance on average only; or plain Fourier transform, for periodic fields.

    Returns
    -------
    xarray.DataArray or xarray.Dataset, (..., wavenumber)
        Variance per bin, in the square of the units of `da`, with the coordinates
        `wavenumber` (waves per km) and `wavelength` (km). Lazy if `da` is; NaN where a field
        has any NaN; 0 where it is constant.

    Raises
    ------
    InputError
        If there is no evenly spaced grid, its spacing changes by more than a factor of two, or a
        side has fewer than 4 points.

    Notes
    -----
    The lowest bins of the cosine transform hold more modes than their share of the plane: 1.9, 1.3
    and 1.1 times as many in the first three, which makes the spectra of small fields look steeper.
    One that falls with the power of -3 comes out with -3.05 on 64 x 64 points and -3.00 on
    450 x 450. Fit slopes from the fifth bin on.

    References
    ----------
    Denis, B., Cote, J., Laprise, R. (2002). Spectral decomposition of two-dimensional atmospheric
    fields on limited-area domains using the discrete cosine transform. Mon. Wea. Rev. 130,
    1812-1829.

    The sums per bin are those of all modes in it. The radially averaged spectrum of pysteps, with
    ``window=None``, is the mean over the modes of a ring, times the number of points squared.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(32)
    >>> wave = np.cos(np.pi * 8 * (x + 0.5) / 32)  # 8 half waves on 32 points: 8 points a wave
    >>> field = xr.DataArray(np.tile(wave, (32, 1)), dims=("y", "x"))
    >>> power = spectrum(field, sides=("y", "x"), spacing_km=1.0)
    >>> power.idxmax("wavenumber").item(), power.swap_dims(wavenumber="wavelength").idxmax().item()
    (0.125, 8.0)
    >>> power.sum().item() / field.var().item()
    1.0
    """
    plane = plane_of(da, sides, spacing_km, window)
    if isinstance(da, xr.DataArray):
        return _spectrum(da, plane)
    return xr.Dataset({n: _spectrum(v, plane) for n, v in da.data_vars.items() if plane.has(v)})


def log_spectral_distance(
    ens: Labelled,
    obs: Data,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    sides: Sides | None = None,
    spacing_km: Spacing | None = None,
    window: Window = "dct",
    reference: Data | None = None,
    ci: float | None = None,
) -> Labelled:
    """Compare the spectrum of the members with that of the truth, in decibels.

    Both spectra are averaged over the fields (members, times, ...) first; the distance is the root
    mean square, over the bins, of ten times the logarithm of their ratio. The open
    last bin is left out.

    Parameters
    ----------
    ens, obs, member_dim
        As for :func:`xresdiff.crps`; `ens` may have no members.
    dim : Hashable or iterable of Hashable, optional
        Dimensions to average the spectra over; all by default, the two sides always.
    weights : xarray.DataArray, optional
        Weights of the average over fields, without the two sides.
    skipna : bool, default True
        Leave out of the average the fields with any NaN, of `obs` or of a member.
    sides, spacing_km, window
        As for :func:`xresdiff.spectrum`.
    reference, ci
        As for :func:`xresdiff.crps`.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Distance in dB: 0 if the spectra are the same, 3 if they differ by a factor of two. It is
        inf if one of the two has no variance at all in a bin, as fields without rain, and NaN if
        both have none.

    Raises
    ------
    InputError
        As :func:`xresdiff.crps` and :func:`xresdiff.spectrum`.

    Examples
    --------
    >>> import numpy as np
    >>> obs = xr.DataArray(np.random.default_rng(0).random((8, 8)), dims=("y", "x"))
    >>> log_spectral_distance(10 * obs, obs, sides=("y", "x"), spacing_km=1.0).item()
    20.0
    """
    return compare_spectra(
        plane_of(ens, sides, spacing_km, window),
        Comparison("log spectral distance", decibels_apart, "dB"),
        ens,
        obs,
        dim=dim,
        member_dim=member_dim,
        weights=weights,
        skipna=skipna,
        reference=reference,
        ci=ci,
    )


def _spectrum(da: xr.DataArray, plane: Plane) -> xr.DataArray:
    """Take the spectrum of one variable."""
    power = plane.apply(power_spectrum, da)
    power.attrs = {"long_name": f"variance per wavenumber bin of {label(da)}", **product_units(da)}
    return power
