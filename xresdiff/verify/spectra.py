"""Power spectra on limited areas: how much variance there is at every wavelength."""

from collections.abc import Hashable
from typing import TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, raise_problems
from xresdiff.grids import coords
from xresdiff.verify import kernels
from xresdiff.verify.kernels import Window
from xresdiff.verify.pairs import Data, Labelled, Pair, by_variable, label

__all__ = ["log_spectral_distance", "spectrum"]

Sides: TypeAlias = tuple[Hashable, Hashable]
Spacing: TypeAlias = float | tuple[float, float]

WINDOWS = ("dct", "hann", None)
MIN_POINTS = 4


def spectrum(
    da: Labelled,
    *,
    dim: Sides | None = None,
    spacing_km: Spacing | None = None,
    window: Window = "dct",
) -> Labelled:
    """Spread the variance of every field over wavelengths.

    The field is split into waves, and the share of each in the variance of the field is added up in
    bins of equal width in wavenumber, whatever its direction. With the default cosine transform
    (Denis et al., 2002) the field need not be periodic, and the sum over all bins is the variance
    over `dim`. The first bin also takes what is longer; the last one, at twice the spacing, what is
    shorter (the corners of the spectral plane): leave that one out of plots and fits.

    Parameters
    ----------
    da : xarray.DataArray or xarray.Dataset, (..., y, x)
        Fields on an evenly spaced grid, of any sides, with any other dimensions. Of a
        Dataset the numeric variables on the grid count.
    dim : tuple of Hashable, optional
        The two horizontal dimensions; found by their coordinates by default.
    spacing_km : float or tuple of float, optional
        Distance of the points in km, along the first and the second of `dim` if two are given.
        Taken from the coordinates by default: for latitude and longitude in the middle of the grid.
    window : {"dct", "hann", None}, default "dct"
        Cosine transform; or Fourier transform of the field tapered by a Hann window, which keeps
        the variance on average only; or plain Fourier transform, for periodic fields.

    Returns
    -------
    xarray.DataArray or xarray.Dataset, (..., wavenumber)
        Variance per bin, in the square of the units of `da`, with the coordinates
        `wavenumber` (waves per km) and `wavelength` (km). Lazy if `da` is; NaN where a field
        has any NaN.

    Raises
    ------
    InputError
        If there is no evenly spaced grid, or a side has fewer than 4 points.

    References
    ----------
    Denis, B., Cote, J., Laprise, R. (2002). Spectral decomposition of two-dimensional atmospheric
    fields on limited-area domains using the discrete cosine transform. Mon. Wea. Rev. 130,
    1812-1829.

    Examples
    --------
    >>> x = np.arange(32)
    >>> wave = np.cos(np.pi * 8 * (x + 0.5) / 32)  # 8 half waves on 32 points: 8 points a wave
    >>> field = xr.DataArray(np.tile(wave, (32, 1)), dims=("y", "x"))
    >>> power = spectrum(field, dim=("y", "x"), spacing_km=1.0)
    >>> power.idxmax("wavenumber").item(), power.swap_dims(wavenumber="wavelength").idxmax().item()
    (0.125, 8.0)
    >>> power.sum().item() / field.var().item()
    1.0
    """
    dims, spacing = _sides(da, dim, spacing_km)
    _check(window)
    if isinstance(da, xr.DataArray):
        return _spectrum(da, dims, spacing, window)
    on_grid = {
        name: variable
        for name, variable in da.data_vars.items()
        if variable.dtype.kind in "fiu" and set(dims) <= set(variable.dims)
    }
    return xr.Dataset({n: _spectrum(v, dims, spacing, window) for n, v in on_grid.items()})


def log_spectral_distance(
    ens: Labelled,
    obs: Data,
    *,
    member_dim: Hashable | None = None,
    dim: Sides | None = None,
    spacing_km: Spacing | None = None,
    window: Window = "dct",
) -> Labelled:
    """Compare the spectrum of the members with that of the truth, in decibels.

    Both spectra are averaged over the fields (members, times, ...) first; the distance is the root
    mean square, over the bins, of ten times the logarithm of their ratio. The open
    last bin is left out.

    Parameters
    ----------
    ens, obs, member_dim
        As for :func:`xresdiff.verify.scores.crps`; `ens` may have no members.
    dim, spacing_km, window
        As for :func:`spectrum`.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Distance in dB: 0 if the spectra are the same, 3 if they differ by a factor of two.

    Raises
    ------
    InputError
        As :func:`xresdiff.verify.scores.crps` and :func:`spectrum`.

    Examples
    --------
    >>> obs = xr.DataArray(np.random.default_rng(0).random((8, 8)), dims=("y", "x"))
    >>> log_spectral_distance(10 * obs, obs, dim=("y", "x"), spacing_km=1.0).item()
    20.0
    """
    dims, spacing = _sides(ens, dim, spacing_km)
    _check(window)

    def distance(pair: Pair) -> xr.DataArray:
        forecast, truth = (
            _spectrum(fields, dims, spacing, window).mean([d for d in fields.dims if d not in dims])
            for fields in (pair.ens, pair.obs)
        )
        ratio = (forecast / truth).isel(wavenumber=slice(-1))
        decibels = 10 * xr.apply_ufunc(np.log10, ratio, dask="allowed")
        return (decibels**2).mean("wavenumber") ** 0.5

    title = "log spectral distance"
    return by_variable(distance, title, ens, obs, member_dim, (), None, skipna=True, units="dB")


def _sides(
    data: Data, dim: Sides | None, spacing_km: Spacing | None
) -> tuple[Sides, tuple[float, float]]:
    """Find the horizontal dimensions and the spacing along each, as far as they are not given."""
    absent = [d for d in dim or () if d not in data.dims]
    if absent:
        raise InputError(f"there are no dimensions {absent}; name two of dim={tuple(data.dims)}")
    if dim is not None and spacing_km is not None:
        return dim, _two(spacing_km)
    grid = coords.find_horizontal(data)
    dims = grid.dims if dim is None else dim
    if spacing_km is not None:
        return dims, _two(spacing_km)
    if set(dims) != set(grid.dims):
        raise InputError(
            f"the horizontal dimensions are {grid.dims}, not {dims}; "
            "give the spacing along yours too: spacing_km=(1.0, 1.0)"
        )
    problems = coords.check_uniform(grid)
    raise_problems(problems, what="tell wavelengths without spacing_km=")
    spacing = dict(zip(grid.dims, coords.spacing_km(grid), strict=True))
    return dims, (spacing[dims[0]], spacing[dims[1]])


def _check(window: Window) -> None:
    if window not in WINDOWS:
        raise InputError(f"type window='dct', 'hann' or None, not {window!r}")


def _two(spacing_km: Spacing) -> tuple[float, float]:
    return spacing_km if isinstance(spacing_km, tuple) else (spacing_km, spacing_km)


def _spectrum(
    da: xr.DataArray, dims: Sides, spacing: tuple[float, float], window: Window
) -> xr.DataArray:
    """Take the spectrum of one variable."""
    shape = (da.sizes[dims[0]], da.sizes[dims[1]])
    if min(shape) < MIN_POINTS:
        raise InputError(f"a spectrum needs {MIN_POINTS} points a side, {dims} have {shape}")
    centres = kernels.wavenumbers(shape, spacing, window)
    power = xr.apply_ufunc(
        kernels.power_spectrum,
        da if da.chunks is None else da.chunk(dict.fromkeys(dims, -1)),
        kwargs={"spacing": spacing, "window": window},
        input_core_dims=[list(dims)],
        output_core_dims=[["wavenumber"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"wavenumber": centres.size}},
        keep_attrs=False,
    )
    power.attrs = _attrs(da)
    return power.assign_coords(
        wavenumber=("wavenumber", centres, {"long_name": "wavenumber", "units": "km-1"}),
        wavelength=("wavenumber", 1 / centres, {"long_name": "wavelength", "units": "km"}),
    )


def _attrs(da: xr.DataArray) -> dict[str, str]:
    units = da.attrs.get("units")
    squared = {} if units is None else {"units": f"{units}2" if units.isalpha() else f"({units})2"}
    return {"long_name": f"variance per wavenumber bin of {label(da)}", **squared}
