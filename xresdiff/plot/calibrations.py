"""Figures of calibration: ranks of the truth, and spread against error."""

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.plot.colours import BLUE
from xresdiff.plot.company import compared, require_members, require_points
from xresdiff.plot.curves import plain, style_of
from xresdiff.plot.paper import TRUTH, References, axes_for, called, shown, time_of, units_of
from xresdiff.verify import calibration, scores, spreads
from xresdiff.verify.measures import FEWEST_TIMES
from xresdiff.verify.pairs import find_member_dim
from xresdiff.verify.types import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.lines import Line2D

__all__ = ["rank_histogram", "spread_skill"]

LEVEL = 0.95
WIDE = 30  # largest spread over the smallest, of logarithmic axes


def rank_histogram(
    ens: Data,
    obs: Data,
    *,
    reference: References | None = None,
    variable: Hashable | None = None,
    member_dim: Hashable | None = None,
    cases: int | None = None,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "BarContainer":
    """Show how often the truth takes each place among the sorted members.

    The dashed line is what draws of one distribution would give on average. How far from it is
    far? Points of one field are not independent, so their number does not tell. Of five times or
    more the bars have 95 % intervals, from a bootstrap of blocks of times. Of fewer times there is
    no way to know from the data; `cases` draws what is known otherwise.

    Parameters
    ----------
    ens, obs, member_dim
        As for :func:`xresdiff.verify.calibration.rank_histogram`.
    reference : xarray.DataArray or xarray.Dataset, or a mapping of str to these, optional
        Other ensembles of as many members, by name if there are several. Only points count that
        all of them and the truth know.
    variable : Hashable, optional
        Which variable of the Datasets; needed if there are several.
    cases : int, optional
        Number of independent cases: 95 % of the bars of draws of one distribution then
        lie between the dotted lines (each bar alone, by the binomial distribution), and no bar has
        an interval.
    ax, figsize
        As for :func:`xresdiff.plot.spectrum`.

    Returns
    -------
    matplotlib.container.BarContainer
        One bar for each rank.

    Raises
    ------
    InputError
        If a reference has no members or another number of them, `cases` is none, and as
        :func:`xresdiff.verify.scores.crps`.

    Examples
    --------
    >>> ens = xr.DataArray([[1.0, 4.0], [3.0, 4.0]], dims=("member", "x"))
    >>> len(rank_histogram(ens, xr.DataArray([2.0, 5.0], dims="x"), cases=2))
    3
    """
    if cases is not None and cases < 1:
        raise InputError(f"cases is a number of independent cases, such as cases=100, not {cases}")
    ens = shown(ens, variable)
    member = find_member_dim(ens, member_dim)
    ens, others = compared(ens, reference, obs, variable, member)
    require_members(others, "a histogram of ranks")
    truth = others.pop(TRUTH)
    sure = cases is None and ens.sizes.get(time_of(ens), 0) >= FEWEST_TIMES
    own, others = dask.compute(
        calibration.rank_histogram(ens, truth, member_dim=member, ci=LEVEL if sure else None),
        {name: calibration.rank_histogram(field, truth) for name, field in others.items()},
    )
    _refuse_other_sizes(own, others)
    require_points(own, others)
    ax = axes_for(ax, figsize)
    known = own.sel(bound="estimate") if sure else own
    errors = [np.abs(own.sel(bound=b) - known) for b in ("lower", "upper")] if sure else None
    style: dict[str, Any] = {"color": BLUE, "alpha": 0.8, "ec": "white", "lw": 0.8}
    error = {"lw": 0.9, "label": "95 % interval, times resampled"}
    bars = ax.bar(
        known["rank"], known, width=1, yerr=errors, error_kw=error, label="ensemble", **style
    )
    for i, (name, other) in enumerate(others.items()):
        edges = np.arange(other.size + 1) - 0.5
        ax.stairs(other, edges, baseline=None, label=name, **style_of(name, i))
    _flat(ax, known.size, cases)
    ax.set(xlabel="members below the truth", ylabel="relative frequency")
    ax.locator_params(axis="x", integer=True)
    ax.margins(x=0.01)
    plain(ax, called(ens), legend=False)
    ax.grid(visible=False)
    _legend(ax, bars if others else None)
    return bars


def _legend(ax: "Axes", bars: "BarContainer | None") -> None:
    """Tell what there is beside the bars, and the bars where they are not alone, above them."""
    from matplotlib.container import BarContainer

    handles: list[Any] = [
        h for h in ax.get_legend_handles_labels()[0] if not isinstance(h, BarContainer)
    ]
    handles = handles if bars is None else [bars, *handles]
    if handles:
        ax.set_ylim(top=(1.05 + 0.1 * len(handles)) * ax.get_ylim()[1])
        ax.legend(
            handles=handles, frameon=False, fontsize="small", labelspacing=0.3, loc="upper left"
        )


def _refuse_other_sizes(own: xr.DataArray, others: dict[str, xr.DataArray]) -> None:
    """Refuse to compare ensembles of different numbers of members."""
    for name, other in others.items():
        if other.sizes["rank"] != own.sizes["rank"]:
            counts = own.sizes["rank"] - 1, other.sizes["rank"] - 1
            raise InputError(
                f"ranks compare among as many members: the ensemble has {counts[0]}, {name} has "
                f"{counts[1]}. Select as many: isel(member=slice({min(counts)}))"
            )


def _flat(ax: "Axes", ranks: int, cases: int | None) -> None:
    """Draw what draws of one distribution give, and how far from it they are by chance."""
    from scipy.stats import binom

    ax.axhline(1 / ranks, color="black", ls="--", lw=1)
    if cases is None:
        return
    tail = (1 - LEVEL) / 2
    low, high = binom.ppf([tail, 1 - tail], cases, 1 / ranks) / cases
    ax.axhline(low, color="black", ls=":", lw=1)
    ax.axhline(high, color="black", ls=":", lw=1, label=f"95 % of {cases} cases")


def spread_skill(
    ens: Data,
    obs: Data,
    *,
    reference: References | None = None,
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
        As for :func:`xresdiff.verify.spreads.spread_skill`.
    reference : xarray.DataArray or xarray.Dataset, or a mapping of str to these, optional
        Other ensembles, by name if there are several. Only points count that all of them and the
        truth know.
    variable : Hashable, optional
        Which variable of the Datasets; needed if there are several.
    classes : int, default 12
        Classes of spread, of equally many points each.
    ax, figsize
        As for :func:`xresdiff.plot.spectrum`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        Of the ensemble, then of the references: root mean square error of the mean of the members
        against their spread, corrected for their number: on the dashed diagonal where an
        ensemble knows how sure to be. Axes are logarithmic if the largest spread is over 30 times
        the smallest, those of rain say; the points without any spread are not on them.

    Raises
    ------
    InputError
        If nothing is known, a reference has less than two members, and as
        :func:`xresdiff.verify.spreads.spread_skill`.

    Examples
    --------
    >>> draws = xr.DataArray(np.random.default_rng(0).random((5, 90)), dims=("member", "x"))
    >>> (line,) = spread_skill(draws[1:], draws[0], classes=3)
    >>> line.get_xdata().size
    3
    """
    ens = shown(ens, variable)
    member = find_member_dim(ens, member_dim)
    ens, others = compared(ens, reference, obs, variable, member)
    require_members(others, "spread", fewest=2)
    truth = others.pop(TRUTH)
    ensembles = {"ensemble": (ens, member)}
    ensembles |= {name: (field, find_member_dim(field)) for name, field in others.items()}
    both = {
        name: (
            spreads.spread(field, truth, member_dim=member, dim=()),
            scores.rmse(field, truth, member_dim=member, dim=()),
        )
        for name, (field, member) in ensembles.items()
    }
    curves = {}
    for name, (spread, error) in dask.compute(both)[0].items():
        x, y = _by_class(spread.values.ravel(), error.values.ravel(), classes)
        field, own = ensembles[name]
        curves[name] = x * np.sqrt((field.sizes[own] + 1) / field.sizes[own]), y
    ax = axes_for(ax, figsize or (4.0, 4.0))
    lines = []
    for i, (name, (x, y)) in enumerate(curves.items()):
        style = style_of(name, i - 1) if i else {"color": BLUE}
        lines += ax.plot(x, y, marker="o", ms=3.5, label=name, **style)
    _diagonal(ax, curves.values())
    units = f" ({units_of(ens)})" if units_of(ens) else ""
    ax.set(xlabel=f"spread{units}", ylabel=f"error of the mean{units}", aspect=1)
    plain(ax, called(ens), legend=len(lines) > 1)
    return lines


def _diagonal(ax: "Axes", curves: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Draw the diagonal of axes that are alike; logarithmic ones where spreads differ much."""
    points = np.concatenate([np.stack(curve, axis=1) for curve in curves])
    some = points[points[:, 0] > 0]
    if some.size and some[:, 0].max() > WIDE * some[:, 0].min():
        low, end = some[some > 0].min() / 1.3, 1.3 * some.max()
        ax.set_xscale("log", nonpositive="mask")
        ax.set_yscale("log", nonpositive="mask")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
    else:
        low, end = 0.0, points.max()
        ax.locator_params(nbins=5)
    ax.plot([low, end], [low, end], color="black", ls="--", lw=1)
    limits = (low, end if low else None)
    ax.set(xlim=limits, ylim=limits)


def _by_class(spread: np.ndarray, error: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Root mean squares of spread and error in classes of spread, no spread being one of them."""
    there = np.isfinite(spread + error)
    spread, error = spread[there], error[there]
    if not spread.size:
        raise InputError("there is no point that the truth and all members know: ens.notnull()")
    some = spread[spread > 0] if spread.any() else spread
    edges = np.unique(np.quantile(some, np.arange(classes) / classes))
    which = np.searchsorted(edges, spread, side="right")
    count = np.bincount(which)
    squares = (np.bincount(which, weights=v**2)[count > 0] for v in (spread, error))
    x, y = (np.sqrt(s / count[count > 0]) for s in squares)
    return x, y
