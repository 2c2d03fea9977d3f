"""Figures of numbers: spectra, rank histograms, spread against error."""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.plot.paper import BLUE, OTHERS, axes_for, pick, shown, units_of
from xresdiff.verify import scores, spectra
from xresdiff.verify.kernels import Window
from xresdiff.verify.pairs import Data, find_member_dim, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.lines import Line2D

__all__ = ["rank_histogram", "spectrum", "spread_skill"]

# How far below ensemble and truth the spectra of references (interpolations) are followed.
DEPTH = 30


def spectrum(
    ens: Data,
    obs: Data | None = None,
    *,
    reference: Mapping[str, Data] | None = None,
    variable: Hashable | None = None,
    member_dim: Hashable | None = None,
    dim: spectra.Sides | None = None,
    spacing_km: spectra.Spacing | None = None,
    window: Window = "dct",
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "list[Line2D]":
    """Show the spectra of the members, the truth and other fields against wavelength.

    Spectra are averaged over all fields (times, ...), and divided by the width of the bins of
    wavenumber, so that those of different grids compare.

    Parameters
    ----------
    ens, obs : xarray.DataArray or xarray.Dataset, (..., y, x)
        Ensemble, or one forecast, and truth.
    reference : mapping of str to xarray.DataArray or xarray.Dataset, optional
        Other fields by name, on any grid.
    variable : Hashable, optional
        Which variable of the Datasets; needed if there are several.
    member_dim : Hashable, optional
        As for :func:`xresdiff.verify.scores.crps`.
    dim, spacing_km, window
        As for :func:`xresdiff.verify.spectra.spectrum`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    figsize : tuple of float, optional
        Width and height of a new figure in inches.

    Returns
    -------
    list of matplotlib.lines.Line2D
        Of the members, of their mean, of the references, of the truth.

    Raises
    ------
    InputError
        If all fields have missing values, and as
        :func:`xresdiff.verify.spectra.spectrum`.

    Examples
    --------
    >>> ens = xr.DataArray(np.random.default_rng(0).random((4, 8, 8)), dims=("member", "y", "x"))
    >>> len(spectrum(ens, dim=("y", "x"), spacing_km=1.0))
    5
    """
    ens = shown(ens, variable)
    member = find_member_dim(ens, member_dim)

    def density(data: Data, keep: Hashable | None = None) -> xr.DataArray:
        field = shown(data, variable or ens.name)
        power = spectra.spectrum(field, dim=dim, spacing_km=spacing_km, window=window)
        power = power.mean([d for d in power.dims if d not in (keep, "wavenumber")])
        return (power / float(power["wavenumber"][0])).isel(
            wavenumber=slice(-1)
        )  # the last is open

    named = {**(reference or {}), **({} if obs is None else {"truth": obs})}
    members, others = dask.compute(density(ens, member), {k: density(v) for k, v in named.items()})
    mean = members if member is None else members.mean([member])
    if not mean.notnull().any():
        raise InputError(
            "no field is without missing values, which a spectrum needs. "
            "Select an area that has all, or fill: ens.fillna(0)"
        )
    ax = axes_for(ax, figsize)
    lines = [] if member is None else _lines(ax, members, color=BLUE, lw=0.6, alpha=0.35)
    lines += _lines(ax, mean, color=BLUE, lw=2, label="forecast" if member is None else "ensemble")
    for i, (name, power) in enumerate(others.items()):
        other = {"color": OTHERS[i % len(OTHERS)], "ls": "--", "lw": 1.4}
        style = {"color": "black", "lw": 1.6} if name == "truth" else other
        lines += _lines(ax, power, label=name, **style)
    _wavelengths(ax, ens, floor=min(float(p.min()) for p in (mean, others.get("truth", mean))))
    return lines


def _lines(ax: "Axes", power: xr.DataArray, **style: Any) -> "list[Line2D]":
    """Draw one line, or one per member."""
    return ax.plot(power["wavelength"], power.transpose("wavenumber", ...), **style)


def _wavelengths(ax: "Axes", field: xr.DataArray, floor: float) -> None:
    """Turn axes into those of a spectrum: wavelengths in km, the long ones on the left."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.set(xscale="log", yscale="log", xlabel="wavelength (km)")
    ax.xaxis.set_inverted(True)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    units = units_of(field)
    squared = f"({units})² " if " " in units else f"{units}² " if units else ""
    ax.set_ylabel(f"variance density ({squared}km)")
    if floor > 0:
        ax.set_ylim(bottom=max(ax.get_ylim()[0], floor / DEPTH))
    ax.margins(x=0.02)
    ax.grid(color="0.92")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(label(field), loc="left", size="medium")
    ax.legend(frameon=False)


def rank_histogram(
    ens: Data,
    obs: Data,
    *,
    variable: Hashable | None = None,
    member_dim: Hashable | None = None,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "BarContainer":
    """Show how often the truth takes each place among the sorted members.

    Parameters
    ----------
    ens, obs, member_dim
        As for :func:`xresdiff.verify.scores.rank_histogram`.
    variable, ax, figsize
        As for :func:`spectrum`.

    Returns
    -------
    matplotlib.container.BarContainer
        One bar for each rank; the dashed line is what draws of one distribution would give.

    Raises
    ------
    InputError
        As :func:`xresdiff.verify.scores.crps`.

    Examples
    --------
    >>> ens = xr.DataArray([[1.0, 4.0], [3.0, 4.0]], dims=("member", "x"))
    >>> len(rank_histogram(ens, xr.DataArray([2.0, 5.0], dims="x")))
    3
    """
    ens = pick(ens, variable)
    truth = pick(obs, variable or ens.name)
    frequency = scores.rank_histogram(ens, truth, member_dim=member_dim).compute()
    ax = axes_for(ax, figsize)
    bars = ax.bar(frequency["rank"], frequency, width=1, color=BLUE, alpha=0.8, ec="white", lw=0.8)
    ax.axhline(1 / frequency.size, color="black", ls="--", lw=1)
    ax.set(xlabel="members below the truth", ylabel="relative frequency")
    ax.margins(x=0.01)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(label(ens), loc="left", size="medium")
    return bars


def spread_skill(
    ens: Data,
    obs: Data,
    *,
    variable: Hashable | None = None,
    member_dim: Hashable | None = None,
    classes: int = 12,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "list[Line2D]":
    """Show how large the errors are where the spread is small, and where it is large.

    Parameters
    ----------
    ens, obs, member_dim
        As for :func:`xresdiff.verify.scores.spread_skill`.
    classes : int, default 12
        Classes of spread, of equally many points each.
    variable, ax, figsize
        As for :func:`spectrum`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        Root mean square error of the ensemble mean against the spread, corrected for the
        number of members: on the dashed diagonal where the ensemble knows how sure to be.

    Raises
    ------
    InputError
        As :func:`xresdiff.verify.scores.spread_skill`.

    Examples
    --------
    >>> draws = xr.DataArray(np.random.default_rng(0).random((5, 90)), dims=("member", "x"))
    >>> (line,) = spread_skill(draws[1:], draws[0], classes=3)
    >>> line.get_xdata().size
    3
    """
    ens = shown(ens, variable)
    truth = shown(obs, variable or ens.name)
    member = find_member_dim(ens, member_dim)
    spread, error = dask.compute(
        scores.spread(ens, truth, member_dim=member, dim=()),
        scores.rmse(ens, truth, member_dim=member, dim=()),
    )
    x, y = _by_class(spread.values.ravel(), error.values.ravel(), classes)
    x *= np.sqrt((ens.sizes[member] + 1) / ens.sizes[member])
    ax = axes_for(ax, figsize or (4.0, 4.0))
    lines = ax.plot(x, y, "o-", color=BLUE, ms=4)
    end = max(x.max(), y.max())
    ax.plot([0, end], [0, end], color="black", ls="--", lw=1)
    units = units_of(ens)
    ax.set(xlabel=f"spread ({units})", ylabel=f"error of the mean ({units})", aspect=1)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(label(ens), loc="left", size="medium")
    return lines


def _by_class(spread: np.ndarray, error: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Root mean squares of spread and error in classes of spread, no spread being one of them."""
    there = np.isfinite(spread + error)
    spread, error = spread[there], error[there]
    some = spread[spread > 0] if spread.any() else spread
    edges = np.unique(np.quantile(some, np.arange(classes) / classes))
    which = np.searchsorted(edges, spread, side="right")
    count = np.bincount(which)
    squares = (np.bincount(which, weights=v**2)[count > 0] for v in (spread, error))
    x, y = (np.sqrt(s / count[count > 0]) for s in squares)
    return x, y
