"""The figure of spectra: how much variance there is at every wavelength."""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

import dask
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.plot.curves import (
    check_band,
    draw_ensemble,
    draw_others,
    log_heights,
    log_ticks,
    plain,
)
from xresdiff.plot.paper import TRUTH, References, axes_for, beside, called, shown, units_of
from xresdiff.verify import spectra
from xresdiff.verify.kernels.spectral import Window
from xresdiff.verify.pairs import find_member_dim
from xresdiff.verify.spectra.power import Sides, Spacing
from xresdiff.verify.types import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["spectrum"]

# How far below ensemble and truth the spectra of references (interpolations) are followed.
DEPTH = 30


def spectrum(
    ens: Data,
    obs: Data | None = None,
    *,
    reference: References | None = None,
    variable: Hashable | None = None,
    member_dim: Hashable | None = None,
    sides: Sides | None = None,
    spacing_km: Spacing | None = None,
    window: Window = "dct",
    band: float = 0.9,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "list[Line2D]":
    """Show the spectra of the ensemble, the truth and other fields against wavelength.

    Spectra are averaged over all fields (times, ...), and divided by the width of the bins of
    wavenumber, so that those of different grids compare.

    Parameters
    ----------
    ens, obs : xarray.DataArray or xarray.Dataset, (..., y, x)
        Ensemble, or one forecast, and truth.
    reference : xarray.DataArray or xarray.Dataset, or a mapping of str to these, optional
        Other fields, by name if there are several, on any grid.
    variable : Hashable, optional
        Which variable of the Datasets; needed if there are several.
    member_dim : Hashable, optional
        As for :func:`xresdiff.verify.scores.crps`.
    sides, spacing_km, window
        As for :func:`xresdiff.spectrum`.
    band : float, default 0.9
        Share of the members in the band around their mean, their spectra being sorted at every
        wavelength; 1 for all of them.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    figsize : tuple of float, optional
        Width and height of a new figure in inches.

    Returns
    -------
    list of matplotlib.lines.Line2D
        Of the mean of the members' spectra, of the references, of the truth.

    Raises
    ------
    InputError
        If all fields of the ensemble, the truth or a reference have missing values, `ens` is a
        spectrum already, `band` is no share, and as :func:`xresdiff.spectrum`.

    Examples
    --------
    >>> import numpy as np
    >>> ens = xr.DataArray(np.random.default_rng(0).random((4, 8, 8)), dims=("member", "y", "x"))
    >>> len(spectrum(ens, ens[0], sides=("y", "x"), spacing_km=1.0))
    2
    """
    check_band(band)
    _refuse_spectra(ens)
    ens = shown(ens, variable)
    member = find_member_dim(ens, member_dim)

    def density(field: xr.DataArray, keep: Hashable | None = None) -> xr.DataArray:
        power = spectra.spectrum(field, sides=sides, spacing_km=spacing_km, window=window)
        power = power.mean([d for d in power.dims if d not in (keep, "wavenumber")])
        closed = power.isel(wavenumber=slice(-1))  # the last bin is open
        return closed / float(power["wavenumber"][0])

    fields = beside(ens, reference, obs, variable)
    own, others = dask.compute(density(ens, member), {n: density(f) for n, f in fields.items()})
    mean = own if member is None else own.mean([member])
    _refuse_missing({"ens": mean, **others})
    ax = axes_for(ax, figsize)
    line = draw_ensemble(ax, own["wavelength"], own, member, band)
    lines = draw_others(ax, {n: (power["wavelength"], power) for n, power in others.items()})
    _wavelengths(ax, ens, floor=min(float(p.min()) for p in (mean, others.get(TRUTH, mean))))
    return [line, *lines]


def _refuse_spectra(data: Data) -> None:
    """Refuse what is a spectrum already."""
    if "wavenumber" in data.dims:
        raise InputError(
            "this figure takes fields, (..., y, x), and makes their spectra. What has a dimension "
            "'wavenumber' is a spectrum already; show one, (wavenumber), by xarray: "
            "power.plot(x='wavelength', xscale='log', yscale='log')"
        )


def _refuse_missing(powers: Mapping[str, xr.DataArray]) -> None:
    """Refuse data of which no field has a spectrum."""
    for name, power in powers.items():
        if not power.notnull().any():
            told, remedy = {"ens": ("no field", "ens"), TRUTH: ("no field of obs", "obs")}.get(
                name, (f"no field of the reference {name!r}", "reference")
            )
            out = ", or leave it out" if name not in ("ens", TRUTH) else ""
            raise InputError(
                f"{told} is without missing values, which a spectrum needs. "
                f"Select an area that has all, or fill: {remedy}.fillna(0){out}"
            )


def _wavelengths(ax: "Axes", field: xr.DataArray, floor: float) -> None:
    """Turn axes into those of a spectrum: wavelengths in km, the long ones on the left."""
    log_ticks(ax)
    log_heights(ax)
    ax.set_xlabel("wavelength (km)")
    ax.xaxis.set_inverted(True)
    units = units_of(field)
    squared = f"({units})² " if " " in units else f"{units}² " if units else ""
    ax.set_ylabel(f"variance density ({squared}km)")
    ax.margins(x=0.02)
    if floor > 0:
        ax.set_ylim(bottom=max(ax.get_ylim()[0], floor / DEPTH))
    plain(ax, called(field))
