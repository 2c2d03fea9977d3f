"""Figures of events, values at or above a threshold: reliability, and skill against scale."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import dask
import numpy as np
import xarray as xr

from xresdiff.plot.colours import levels_of_colour
from xresdiff.plot.company import compared, require_points
from xresdiff.plot.curves import log_ticks, plain
from xresdiff.plot.paper import TRUTH, References, axes_for, called, shown, units_of
from xresdiff.verify import calibration, neighbourhoods
from xresdiff.verify.events import Levels
from xresdiff.verify.pairs import find_member_dim
from xresdiff.verify.spectra.power import Sides, Spacing
from xresdiff.verify.spectra.sides import plane_of
from xresdiff.verify.types import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["fss", "reliability"]

Place: TypeAlias = Literal["upper left", "best"]

MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", ":", "-.")  # of the ensemble, of the references


def reliability(
    ens: Data,
    obs: Data,
    *,
    threshold: Levels,
    reference: References | None = None,
    variable: Hashable | None = None,
    member_dim: Hashable | None = None,
    classes: int | None = None,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "list[Line2D]":
    """Show how often an event happens where the members say that it does with a probability.

    An event is a value at or above a threshold. A reliable ensemble is on the diagonal. Of a single
    threshold the frequency of the event is dotted, and where a class of forecasts has skill against
    it is grey. The small panel is the share of the points in every class, on a logarithmic scale.

    Parameters
    ----------
    ens, obs, member_dim
        As for :func:`xresdiff.verify.calibration.reliability`.
    threshold : float or sequence of float
        In the units shown, which are mm h-1 for rain, else those of `ens`.
    reference : xarray.DataArray or xarray.Dataset, or a mapping of str to these, optional
        Other ensembles, by name if there are several; dimensions that one lacks repeat it, as a
        climatology. Only points count that all of them and the truth know.
    variable : Hashable, optional
        Which variable of the Datasets; needed if there are several.
    classes : int, optional
        As for :func:`xresdiff.verify.calibration.reliability`.
    ax, figsize
        As for :func:`xresdiff.plot.spectrum`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        One for each threshold, of the ensemble, then of each reference.

    Raises
    ------
    InputError
        As :func:`xresdiff.verify.calibration.reliability`.

    References
    ----------
    Hsu, W., Murphy, A. H. (1986). The attributes diagram: a geometrical framework for assessing the
    quality of probability forecasts. Int. J. Forecast. 2, 285-293,
    doi:10.1016/0169-2070(86)90048-8.

    Examples
    --------
    >>> draws = xr.DataArray(np.random.default_rng(0).random((5, 90)), dims=("member", "x"))
    >>> len(reliability(draws[1:], draws[0], threshold=[0.5, 0.9]))
    2
    """
    ens = shown(ens, variable)
    member = find_member_dim(ens, member_dim)
    ens, others = compared(ens, reference, obs, variable, member)
    truth, levels = others.pop(TRUTH), [float(level) for level in np.ravel(threshold)]

    def curves(field: xr.DataArray, member: Hashable | None = None) -> xr.DataArray:
        return calibration.reliability(
            field, truth, member_dim=member, threshold=levels, classes=classes
        )

    own, others = dask.compute(curves(ens, member), {n: curves(f) for n, f in others.items()})
    require_points(own, others)
    ax = axes_for(ax, figsize or (4.0, 4.0))
    ax.plot([0, 1], [0, 1], color="black", ls="--", lw=1)
    if len(levels) == 1:
        _skill(ax, own.isel(threshold=0))
    labels = _labels(ens, levels)
    lines = _curves(ax, {"ensemble": own, **others}, labels, "forecast", "observed")
    _shares(ax, own)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect=1, xlabel="forecast probability")
    ax.locator_params(nbins=5)
    ax.set_ylabel("observed frequency")
    plain(ax, called(ens), legend=False)
    _legend(ax, lines[: len(levels)], list(others), loc="upper left")
    return lines


def _skill(ax: "Axes", curve: xr.DataArray) -> None:
    """Mark the frequency of the event, and where forecasts are better than it."""
    share = curve.sel(curve="share")
    rate = float((curve.sel(curve="observed") * share).sum() / share.sum())
    ax.axhline(rate, color="0.4", ls=":", lw=1)
    ax.axvline(rate, color="0.4", ls=":", lw=1)
    for end in (0.0, 1.0):  # nearer to the diagonal than to the frequency
        ax.fill_between([rate, end], [rate, (rate + end) / 2], end, color="0.94", lw=0, zorder=0)


def _shares(ax: "Axes", curves: xr.DataArray) -> None:
    """Draw how many points are in every class, in a corner."""
    small = ax.inset_axes((0.67, 0.13, 0.3, 0.2))
    classes = curves["probability"]
    for i, color in enumerate(levels_of_colour(curves.sizes["threshold"])):
        share = curves.isel(threshold=i).sel(curve="share")
        small.plot(classes, share.where(share > 0), color=color, lw=1, marker=".", ms=3)
    small.patch.set_alpha(0.85)
    small.set(yscale="log", xlim=(-0.04, 1.04), xticks=[])
    small.set_xlabel("share of points", fontsize="x-small", labelpad=2)
    small.tick_params(labelsize="x-small", length=2, pad=1)
    small.minorticks_off()
    small.spines[["top", "right"]].set_visible(False)


def fss(
    ens: Data,
    obs: Data,
    *,
    threshold: Levels,
    scale_km: Levels | None = None,
    reference: References | None = None,
    variable: Hashable | None = None,
    member_dim: Hashable | None = None,
    sides: Sides | None = None,
    spacing_km: Spacing | None = None,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "list[Line2D]":
    """Show the fractions skill score (FSS) of events against the width of neighbourhoods.

    An event is a value at or above a threshold. Forecasts are useful above the thin line of
    their colour, at :math:`(1 + f) / 2`, where :math:`f` is the frequency of the event (Roberts and
    Lean, 2008).

    Parameters
    ----------
    ens, obs, member_dim, sides, spacing_km
        As for :func:`xresdiff.verify.neighbourhoods.fss`.
    threshold : float or sequence of float
        In the units shown, which are mm h-1 for rain, else those of `ens`.
    scale_km : float or sequence of float, optional
        Widths of the windows in km; 1, 3, 5, 9, 17, ... points by default, up to the shorter side.
    reference : xarray.DataArray or xarray.Dataset, or a mapping of str to these, optional
        Other forecasts, by name if there are several; dimensions that one lacks repeat it, as a
        climatology. Only points count that all of them and the truth know.
    variable : Hashable, optional
        Which variable of the Datasets; needed if there are several.
    ax, figsize
        As for :func:`xresdiff.plot.spectrum`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        One for each threshold, of the ensemble, then of each reference.

    Raises
    ------
    InputError
        As :func:`xresdiff.verify.neighbourhoods.fss`.

    References
    ----------
    Roberts, N. M., Lean, H. W. (2008). Scale-selective verification of rainfall accumulations from
    high-resolution forecasts of convective events. Mon. Wea. Rev. 136, 78-97,
    doi:10.1175/2007MWR2123.1.

    Examples
    --------
    >>> draws = xr.DataArray(np.random.default_rng(0).random((3, 9, 9)), dims=("member", "y", "x"))
    >>> grid = {"sides": ("y", "x"), "spacing_km": 1.0}
    >>> lines = fss(draws[1:], draws[0], threshold=[0.5, 0.9], **grid)
    >>> lines[0].get_xdata()
    array([1., 3., 5., 9.])
    """
    ens = shown(ens, variable)
    member = find_member_dim(ens, member_dim)
    ens, others = compared(ens, reference, obs, variable, member)
    truth, levels = others.pop(TRUTH), [float(level) for level in np.ravel(threshold)]
    if scale_km is None:
        scale_km = _scales(ens, sides, spacing_km)
    scales = [float(scale) for scale in np.ravel(scale_km)]

    def curves(field: xr.DataArray, member: Hashable | None = None) -> xr.DataArray:
        options: dict[str, Any] = {"sides": sides, "spacing_km": spacing_km}
        options |= {"threshold": levels, "scale_km": scales}
        return neighbourhoods.fss(field, truth, member_dim=member, **options)

    happened = neighbourhoods.probability(truth, threshold=levels)
    own, others, rates = dask.compute(
        curves(ens, member),
        {name: curves(field) for name, field in others.items()},
        happened.mean([d for d in happened.dims if d != "threshold"]),
    )
    require_points(own, others)
    ax = axes_for(ax, figsize)
    lines = _curves(ax, {"ensemble": own, **others}, _labels(ens, levels), "scale", None)
    for rate, color in zip(rates.values, levels_of_colour(len(levels)), strict=True):
        ax.axhline((1 + rate) / 2, color=color, lw=0.7)
    ax.set_xlim(min(scales) / 1.2, max(scales) * 1.2)
    log_ticks(ax)
    ax.set(ylim=(0, 1.02), xlabel="width of the neighbourhood (km)")
    ax.set_ylabel("fractions skill score")
    plain(ax, called(ens), legend=False)
    _legend(ax, lines[: len(levels)], list(others), loc="best")
    return lines


def _scales(ens: xr.DataArray, sides: Sides | None, spacing_km: Spacing | None) -> list[float]:
    """Choose widths of windows, in km, of odd numbers of points up to the shorter side."""
    plane = plane_of(ens, sides, spacing_km, "dct")
    widest = min(
        n * s for n, s in zip((ens.sizes[d] for d in plane.dims), plane.spacing, strict=True)
    )
    step = max(plane.spacing)
    points = [1, *(2**k + 1 for k in range(1, 12))]
    return [n * step for n in points if n == 1 or n * step <= widest * (1 + 1e-9)]


def _labels(ens: xr.DataArray, levels: list[float]) -> list[str]:
    return [f"≥ {level:g} {units_of(ens)}".rstrip() for level in levels]


def _curves(
    ax: "Axes", forecasts: dict[str, xr.DataArray], labels: list[str], x: str, y: str | None
) -> "list[Line2D]":
    """Draw one line for each forecast and threshold: colours tell thresholds, dashes forecasts."""
    lines = []
    colours = levels_of_colour(len(labels))
    for i, curves in enumerate(forecasts.values()):
        for k, text in enumerate(labels):
            one = curves.isel(threshold=k)
            across, up = (one[x], one) if y is None else (one.sel(curve=x), one.sel(curve=y))
            style: dict[str, Any] = {"ls": DASHES[i % len(DASHES)], "color": colours[k], "lw": 1.4}
            mark: dict[str, Any] = (
                {} if i else {"marker": MARKERS[k % len(MARKERS)], "ms": 3.5, "label": text}
            )
            there = up.notnull().values
            lines += ax.plot(across.values[there], up.values[there], **style, **mark)
    return lines


def _legend(ax: "Axes", lines: "list[Line2D]", names: list[str], loc: Place) -> None:
    """Tell the thresholds by colour, and the forecasts by dashes if there are several."""
    from matplotlib.lines import Line2D

    dashes = zip(["ensemble", *names], DASHES, strict=False) if names else ()
    grey = [Line2D([], [], color="0.4", lw=1.4, ls=dash, label=name) for name, dash in dashes]
    style: dict[str, Any] = {"frameon": True, "framealpha": 0.85, "edgecolor": "none"}
    style |= {"fontsize": "small", "labelspacing": 0.3, "borderpad": 0.2}
    ax.legend(handles=[*lines, *grey], loc=loc, **style)
