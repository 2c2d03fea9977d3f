"""The figure of distributions: how often which values occur, down to the rare ones."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import dask
import numpy as np
import xarray as xr

from xresdiff.plot.colours import is_rain
from xresdiff.plot.company import require_points, where_shared
from xresdiff.plot.curves import (
    check_band,
    draw_ensemble,
    draw_others,
    log_heights,
    log_ticks,
    plain,
)
from xresdiff.plot.paper import References, axes_for, beside, called, named, shown, units_of
from xresdiff.verify import distributions
from xresdiff.verify.pairs import find_member_dim
from xresdiff.verify.types import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["pdf"]

LINE = 40  # letters of a line under the axis


def pdf(
    ens: Data,
    obs: Data | None = None,
    *,
    reference: References | None = None,
    variable: Hashable | None = None,
    member_dim: Hashable | None = None,
    bins: int | Sequence[float] | None = None,
    band: float = 0.9,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "list[Line2D]":
    """Show the probability density of the ensemble, the truth and other fields.

    The scale of the density is logarithmic, that of rain too; the share of its dry points, those
    below all bins, is told in the legend.

    Parameters
    ----------
    ens, obs : xarray.DataArray or xarray.Dataset
        Ensemble, or one forecast, and truth.
    reference : xarray.DataArray or xarray.Dataset, or a mapping of str to these, optional
        Other fields, by name if there are several, on any grid. Of those on the grid of `ens`, and
        of the truth, only points count that all of them know.
    variable : Hashable, optional
        Which variable of the Datasets; needed if there are several.
    member_dim : Hashable, optional
        As for :func:`xresdiff.verify.scores.crps`.
    bins : int or sequence of float, optional
        As for :func:`xresdiff.verify.distributions.pdf`; edges in the units shown, which are
        mm h-1 for rain, else those of `ens`.
    band : float, default 0.9
        Share of the members in the band around their mean, their densities being sorted in every
        bin; 1 for all of them.
    ax, figsize
        As for :func:`xresdiff.plot.spectrum`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        Of all members together, of the references, of the truth.

    Raises
    ------
    InputError
        If `band` is no share, and as :func:`xresdiff.verify.distributions.pdf`.

    Examples
    --------
    >>> draws = xr.DataArray(np.random.default_rng(0).random((5, 90)), dims=("member", "x"))
    >>> len(pdf(draws[1:], draws[0], bins=5))
    2
    """
    check_band(band)
    ens = shown(ens, variable)
    member = find_member_dim(ens, member_dim)

    def density(field: xr.DataArray, keep: Hashable | None = None) -> xr.DataArray:
        return distributions.pdf(field, dim=[d for d in field.dims if d != keep], bins=bins)

    ens, fields = where_shared(ens, beside(ens, reference, obs, variable), member)
    own, others = dask.compute(density(ens, member), {n: density(f) for n, f in fields.items()})
    require_points(own, fields)
    ax = axes_for(ax, figsize)
    line = draw_ensemble(ax, own["value"], own, member, band)
    lines = [line, *draw_others(ax, {name: (f["value"], f) for name, f in others.items()})]
    logarithmic = is_rain(ens) and bool((own["lower"] > 0).all())
    for drawn, one in zip(lines, [own, *others.values()], strict=True):
        values, heights = (np.asarray(side) for side in drawn.get_data())
        some = heights > 0
        drawn.set_data(values[some], heights[some])  # no lines down to nothing
        if logarithmic:
            share = 100 * float(one["below"].mean())
            drawn.set_label(f"{drawn.get_label()}, {share:.3g} % dry")
    if logarithmic:
        log_ticks(ax)
    _limit(ax, [own, *others.values()])
    units = units_of(ens)
    inverse = f"1/({units})" if " " in units else f"1/{units}"
    log_heights(ax)
    ax.set_xlabel(named(ens, LINE))
    ax.set_ylabel(f"density ({inverse})" if units else "density")
    plain(ax, called(ens))
    return lines


def _limit(ax: "Axes", densities: Sequence[xr.DataArray]) -> None:
    """End the axis of values where there are none."""
    ends = []
    for density in densities:
        some = (density > 0).any([d for d in density.dims if d != "bin"])
        ends += [density["lower"].where(some).min(), density["upper"].where(some).max()]
    known = [float(end) for end in ends if end.notnull()]
    if known:
        ax.set_xlim(min(known), max(known))
