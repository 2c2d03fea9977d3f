"""Spectra of kinetic energy: of the whole wind, and of its rotational and divergent parts."""

from collections.abc import Hashable
from dataclasses import replace
from typing import Literal

import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import find_horizontal, listing
from xresdiff.grids.units import convert
from xresdiff.verify.kernels.spectral import Window, power_spectrum, wind_spectra
from xresdiff.verify.spectra.sides import Plane, Sides, Spacing, plane_of
from xresdiff.verify.weather.winds import Winds, handedness, one_wind, to_axes

__all__ = ["kinetic_energy_spectrum"]

PARTS = ("total", "rotational", "divergent")


def kinetic_energy_spectrum(
    ds: xr.Dataset,
    *,
    u: Hashable | None = None,
    v: Hashable | None = None,
    split: bool = False,
    sides: Sides | None = None,
    spacing_km: Spacing | None = None,
    window: Window | Literal["auto"] = "auto",
) -> xr.DataArray:
    r"""Spread the kinetic energy of the wind over wavelengths.

    It is half the sum of the spectra of both components, and sums to the energy of the wind without
    its mean over the field.

    Parameters
    ----------
    ds : xarray.Dataset, (..., y, x)
        With both components on one grid, at any number of levels, in units of speed.
    u, v : Hashable, optional
        Names of the components; found by their standard names, else by habitual names, by default.
    split : bool, default False
        Tell the rotational from the divergent part. `u` must then be along x and `v` along
        y. On other grids than those of latitude and longitude, a wind whose standard names are
        `eastward_wind` and `northward_wind` is turned to the axes of the grid; one without
        standard names is taken to be along them.
    sides, spacing_km
        As for :func:`xresdiff.spectrum`. With `split`, the first of `sides` is y.
    window : {"auto", "dct", "hann", None}, default "auto"
        As for :func:`xresdiff.spectrum`: "dct", or "hann" with `split`, which needs
        "hann" or None.

    Returns
    -------
    xarray.DataArray, (..., [part,] wavenumber)
        Energy per bin, in m2 s-2; with `split` along `part`: total, rotational, divergent, the last
        two summing to the first. NaN where a component has any NaN.

    Raises
    ------
    InputError
        If `ds` is no Dataset, there are no two components, or several; with `split` and "dct", or
        a wind to the east and north on a grid that nothing tells the directions of; and as
        :func:`xresdiff.spectrum`.
    UnitsError
        If they are not in units of speed.

    Notes
    -----
    The divergent part of a wave :math:`(U, V)` of the wind is the one along its wavenumber
    :math:`(k, l)`, the rotational one that across:

    .. math:: \frac{|k U + l V|^2}{2 (k^2 + l^2)}, \qquad \frac{|k V - l U|^2}{2 (k^2 + l^2)}

    (the decomposition of Helmholtz; see Lindborg, 2015). The cosine transform does not
    do for that: it mirrors the wind at the edges without turning it, and a mirrored vortex is none.
    The taper of the Hann window makes some of either part into the other at wavelengths
    near the size of the domain. Winds where y falls with the rows, as latitude often does, are
    taken care of where the coordinates tell: of two-dimensional ones, by whether the grid, seen
    from above, is that of a mirror.

    References
    ----------
    Lindborg, E. (2015). A Helmholtz decomposition of structure functions and spectra calculated
    from aircraft data. J. Fluid Mech. 762, R4, doi:10.1017/jfm.2014.685.

    Examples
    --------
    >>> import numpy as np
    >>> x = 2 * np.pi * np.arange(16) / 16
    >>> v = np.tile(np.cos(4 * x), (16, 1))  # changes across its direction
    >>> wind = {"u": np.zeros_like(v), "v": v}
    >>> ds = xr.Dataset({k: (("y", "x"), w, {"units": "m s-1"}) for k, w in wind.items()})
    >>> options = {"sides": ("y", "x"), "spacing_km": 1.0, "window": None}
    >>> kinetic_energy_spectrum(ds, split=True, **options).sum("wavenumber").values
    array([0.25, 0.25, 0.  ])
    """
    chosen: Window = ("hann" if split else "dct") if window == "auto" else window
    if split and chosen == "dct":
        raise InputError(
            "the cosine transform cannot split a wind: mirrored at the edges, a rotational wind "
            "is not rotational. Type window='hann', or window=None for periodic fields"
        )
    if not isinstance(ds, xr.Dataset):
        raise InputError(
            f"a wind is two variables of a Dataset, not a {type(ds).__name__}: "
            "kinetic_energy_spectrum(xarray.Dataset({'u10': u10, 'v10': v10}))"
        )
    plane = plane_of(ds, sides, spacing_km, chosen)
    east, north = (convert(ds[name], "m s-1") for name in _components(ds, plane, u, v))
    if set(east.dims) != set(north.dims):
        raise InputError(
            f"{east.name!r} is along {east.dims}, {north.name!r} along {north.dims}: bring both to "
            f"the same points first, such as the centres of the cells"
        )
    energy = _split(ds, east, north, plane) if split else _whole(east, north, plane)
    energy.attrs = {"long_name": "kinetic energy per wavenumber bin", "units": "m2 s-2"}
    return energy.rename("kinetic_energy")


def _whole(u: xr.DataArray, v: xr.DataArray, plane: Plane) -> xr.DataArray:
    """Spectrum of the energy of both components."""
    return (plane.apply(power_spectrum, u) + plane.apply(power_spectrum, v)) / 2


def _split(ds: xr.Dataset, u: xr.DataArray, v: xr.DataArray, plane: Plane) -> xr.DataArray:
    """Spectra of the whole wind and its two parts."""
    if "part" in u.dims:
        raise InputError(
            "with split=True the result has a dimension 'part' of its own, which the wind has, "
            "too; call its otherwise: ds.rename(part='member')"
        )
    plane, signs, (u, v) = _oriented(ds, plane, u, v)
    parts = plane.apply(wind_spectra, u, v, parts=len(PARTS), signs=signs)
    return parts.rename(_part="part").assign_coords(part=list(PARTS))


def _oriented(
    ds: xr.Dataset, plane: Plane, u: xr.DataArray, v: xr.DataArray
) -> tuple[Plane, tuple[int, int], tuple[xr.DataArray, xr.DataArray]]:
    """Put y first and turn the wind to the axes, where coordinates tell.

    The signs are -1 for sides along which y or x falls. For two-dimensional coordinates, x is how
    the columns go, and y goes to the left of it.
    """
    try:
        grid = find_horizontal(ds)
    except InputError:
        return plane, (1, 1), (u, v)
    if set(grid.dims) != set(plane.dims):
        return plane, (1, 1), (u, v)
    if grid.dims != plane.dims:
        plane = replace(plane, dims=grid.dims, spacing=plane.spacing[::-1])
    wind = to_axes(ds, grid, u, v)
    if grid.kind == "curvilinear":
        return plane, (handedness(ds, grid), 1), wind
    falls = [values[-1] < values[0] for values in (grid.y_values, grid.x_values)]
    return plane, (-1 if falls[0] else 1, -1 if falls[1] else 1), wind


def _components(ds: xr.Dataset, plane: Plane, u: Hashable | None, v: Hashable | None) -> Winds:
    """Name the two components, among the fields on the plane."""
    pair = one_wind(ds[[name for name in ds.data_vars if plane.has(ds[name])]], (u, v))
    if pair is None:
        raise InputError(
            f"there is no wind along {plane.dims} among {listing(ds.data_vars)}; name its "
            "components: u='u10', v='v10'"
        )
    return pair
