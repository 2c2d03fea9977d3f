"""What two fields share at every wavelength: their covariance, and how closely they go together."""

import re
from collections.abc import Hashable

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.verify.arguments import listed
from xresdiff.verify.kernels import spectral
from xresdiff.verify.kernels.spectral import Window
from xresdiff.verify.matching import at_points_of, named_as
from xresdiff.verify.pairs import Dims, label
from xresdiff.verify.spectra.sides import Sides, Spacing, plane_of, product_units

__all__ = ["coherence", "cross_spectrum"]


def cross_spectrum(
    a: xr.DataArray,
    b: xr.DataArray,
    *,
    sides: Sides | None = None,
    spacing_km: Spacing | None = None,
    window: Window = "dct",
) -> xr.DataArray:
    """Spread the covariance of two fields over wavelengths.

    It is the co-spectrum: the share of every wave in the covariance of the two fields, added up
    in the bins of :func:`xresdiff.spectrum`, whose results it gives for `a` and `a`.

    Parameters
    ----------
    a, b : xarray.DataArray, (..., y, x)
        Two variables, or forecast and truth, at the same points: their coordinates may differ by
        rounding, and an axis may run the other way. Dimensions that one lacks repeat it. The
        result has the coordinates of `a`.
    sides, spacing_km, window
        As for :func:`xresdiff.spectrum`.

    Returns
    -------
    xarray.DataArray, (..., wavenumber)
        Covariance per bin, in the product of the units: negative where one is high where the other
        is low. With the cosine transform, and the plain Fourier transform, the sum over all bins is
        the covariance over `sides`. NaN where either field has any NaN.

    Raises
    ------
    InputError
        If they are no DataArrays or the points differ, and as :func:`xresdiff.spectrum`.

    Notes
    -----
    Of Fourier transforms this is the whole sum of products with the conjugate: opposite wavenumbers
    share a bin and have opposite phases, so that no imaginary part (quadrature spectrum) is left.
    A shift of one field against the other lowers the covariance instead.

    Examples
    --------
    >>> wave = np.cos(np.pi * 8 * (np.arange(32) + 0.5) / 32)
    >>> field = xr.DataArray(np.tile(wave, (32, 1)), dims=("y", "x"))
    >>> shared = cross_spectrum(field, -3 * field, sides=("y", "x"), spacing_km=1.0)
    >>> shared.sum().item(), shared.sel(wavenumber=1 / 8).item()
    (-1.5, -1.5)
    """
    joint = _joint(a, b, sides, spacing_km, window)
    shared = joint.isel(_part=0)
    shared.attrs = {
        "long_name": f"covariance per wavenumber bin of {label(a)} and {label(b)}",
        **product_units(a, b),
    }
    return shared


def coherence(
    a: xr.DataArray,
    b: xr.DataArray,
    *,
    dim: Dims = None,
    skipna: bool = True,
    sides: Sides | None = None,
    spacing_km: Spacing | None = None,
    window: Window = "dct",
) -> xr.DataArray:
    r"""Tell how closely two fields go together at every wavelength, whatever their amplitudes.

    .. math:: \frac{\left(\sum A B^*\right)^2}{\sum |A|^2 \sum |B|^2}

    of the modes :math:`A` and :math:`B`, the sums being those over the modes of a bin and over the
    fields along `dim`: the squared correlation of the two in that band of wavelengths.

    Parameters
    ----------
    a, b : xarray.DataArray, (..., y, x)
        As for :func:`xresdiff.cross_spectrum`.
    dim : Hashable or iterable of Hashable, optional
        Dimensions to sum over before the division; all others than the sides by default, none for
        ``dim=()``.
    skipna : bool, default True
        Leave out of the sums the fields with any NaN.
    sides, spacing_km, window
        As for :func:`xresdiff.spectrum`.

    Returns
    -------
    xarray.DataArray, (..., wavenumber)
        From 0 to 1: 1 where one field is a multiple of the other, NaN where either has no variance.

    Raises
    ------
    InputError
        If there is no such dimension, and as :func:`xresdiff.cross_spectrum`.

    Notes
    -----
    Of fields that have nothing to do with each other it is 1 / n on average, n being the number of
    modes in a bin times that of independent fields. The first bins hold few modes: with the cosine
    transform of one square field the first three hold 3, 4 and 5. Sum over many fields before
    reading anything into them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one, other = (xr.DataArray(rng.random((9, 8, 8)), dims=("time", "y", "x")) for _ in "ab")
    >>> options = {"sides": ("y", "x"), "spacing_km": 1.0}
    >>> coherence(one, 5 - 2 * one, **options).values.round(6)
    array([1., 1., 1., 1., 1., 1., 1., 1.])
    >>> bool((coherence(one, other, **options) < 0.2).all())
    True
    """
    joint = _joint(a, b, sides, spacing_km, window)
    fields = tuple(d for d in joint.dims if d not in ("_part", "wavenumber"))
    dims = _named(dim, fields)
    if dims:
        joint = joint.sum(dims, skipna=skipna)
    result = xr.apply_ufunc(
        spectral.coherence,
        joint,
        input_core_dims=[["_part"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        keep_attrs=True,  # of the coordinates
    )
    result.attrs = {"long_name": f"squared coherence of {label(a)} and {label(b)}", "units": "1"}
    return result


def _joint(
    a: xr.DataArray,
    b: xr.DataArray,
    sides: Sides | None,
    spacing_km: Spacing | None,
    window: Window,
) -> xr.DataArray:
    """Co-spectrum and both power spectra along `_part`, NaN where either field is."""
    for name, one in (("a", a), ("b", b)):
        if not isinstance(one, xr.DataArray):
            names = [str(n) for n in one.data_vars] if isinstance(one, xr.Dataset) else []
            variable = names[0] if names else "name"
            raise InputError(
                f"{name} is a {type(one).__name__}; give one variable: {name}[{variable!r}]"
            )
    plane = plane_of(a, sides, spacing_km, window)
    b = named_as(a, b)
    for one in (a, b):
        if not plane.has(one):
            raise InputError(
                f"{label(one)} is along {one.dims}, numbers along {plane.dims} are needed. Name "
                "the two dimensions that both fields have: sides=('y', 'x')"
            )
    joint = plane.apply(spectral.joint_spectra, a, _matched(a, b), parts=3)
    return joint.where(joint.isel(_part=0).notnull())


def _matched(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
    """Put `b` at the points of `a`, with the coordinates of dimensions that `a` lacks."""
    for d in b.dims:
        if d not in b.coords and d not in a.coords and a.sizes.get(d, b.sizes[d]) != b.sizes[d]:
            raise InputError(
                f"{d!r} is {a.sizes[d]} points in a, {b.sizes[d]} in b, and nothing tells which "
                f"belong together; select the same ones of both: a.isel({d}=slice(0, "
                f"{min(a.sizes[d], b.sizes[d])}))"
            )
    own = [d for d in b.dims if d not in a.dims]
    wide = a.expand_dims({d: b.sizes[d] for d in own}) if own else a
    try:
        bare = at_points_of(wide, b, "b")
    except InputError as error:
        told = re.sub(r"\b(the ensemble|ens)\b", "a", str(error))
        raise InputError(told) from error
    return bare.assign_coords({d: b[d] for d in own if d in b.coords})


def _named(dim: Dims, there: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    """List the dimensions to sum over, all by default."""
    if dim is None:
        return there
    dims = listed(dim)
    absent = [d for d in dims if d not in there]
    if absent:
        raise InputError(
            f"cannot sum over {absent}: beside the two sides there is {there}. "
            f"Name some of these, dim={there!r}, or none, dim=()"
        )
    return dims
