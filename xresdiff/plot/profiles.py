"""Figures of values along a line: around a cyclone, across a front."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.plot.curves import check_band, draw_ensemble, draw_others, legend_above, plain
from xresdiff.plot.paper import (
    References,
    at_time,
    axes_for,
    beside,
    moment_of,
    named,
    shown,
    title_of,
)
from xresdiff.verify.pairs import find_member_dim
from xresdiff.verify.types import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["cross_section", "radial_profile"]

LINE = 26  # letters of a line beside the axis


@dataclass(frozen=True)
class _Curves:
    """What is drawn along a distance: one field along `member` too, if it has members."""

    dim: str
    member: Hashable | None
    own: xr.DataArray
    others: dict[str, xr.DataArray]


def radial_profile(
    ens: Data,
    obs: Data | None = None,
    *,
    reference: References | None = None,
    variable: Hashable | None = None,
    member_dim: Hashable | None = None,
    time: Any = None,
    band: float = 0.9,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "list[Line2D]":
    """Show the wind, or another variable, against the distance from the centre of a cyclone.

    Parameters
    ----------
    ens, obs : xarray.DataArray or xarray.Dataset, (..., radius)
        What :func:`xresdiff.azimuthal_mean` makes of the ensemble, or of one forecast,
        and of the truth.
    reference : xarray.DataArray or xarray.Dataset, or a mapping of str to these, optional
        The same of other fields, by name if there are several; their radii may differ.
    variable : Hashable, optional
        Which variable of the Datasets, such as `tangential_wind`; needed if there are several.
    member_dim : Hashable, optional
        As for :func:`xresdiff.verify.scores.crps`.
    time : optional
        Label of the time to show; the first of `ens` by default.
    band : float, default 0.9
        Share of the members in the band around their mean, sorted at every distance; 1 for all.
    ax, figsize
        As for :func:`xresdiff.plot.spectrum`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        Of the mean of the members, of the references, of the truth.

    Raises
    ------
    InputError
        If there is no dimension `radius`, there are others than members and time, several variables
        to choose from, or `band` is no share.

    Examples
    --------
    >>> wind = xr.DataArray([[3.0, 9.0], [5.0, 8.0]], {"radius": [0, 9]}, ("member", "radius"))
    >>> (line,) = radial_profile(wind)
    >>> line.get_ydata()
    array([4. , 8.5])
    """
    made = "ens.resdiff.azimuthal_mean(near=(23.5, 121.0))"
    check_band(band)
    curves = _chosen("radius", made, ens, obs, reference, variable, member_dim, time)
    ax = axes_for(ax, figsize)
    ax.set_xlabel("distance from the centre (km)")
    return _draw(curves, band, ax)


def cross_section(
    ens: Data,
    obs: Data | None = None,
    *,
    reference: References | None = None,
    variable: Hashable | None = None,
    member_dim: Hashable | None = None,
    time: Any = None,
    band: float = 0.9,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "list[Line2D]":
    """Show a variable along a line, across a front say, against the distance from its start.

    Parameters
    ----------
    ens, obs : xarray.DataArray or xarray.Dataset, (..., distance)
        What :func:`xresdiff.cross_section` makes of the ensemble, or of one
        forecast, and of the truth.
    reference, variable, member_dim, time, band, ax, figsize
        As for :func:`radial_profile`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        Of the mean of the members, of the references, of the truth.

    Raises
    ------
    InputError
        If there is no dimension `distance`, and as :func:`radial_profile`.

    Examples
    --------
    >>> line = xr.DataArray([[3.0, 9.0], [5.0, 8.0]], {"distance": [0, 9]}, ("member", "distance"))
    >>> len(cross_section(line, line[0]))
    2
    """
    made = "ens.resdiff.cross_section(start=(24.0, 119.0), end=(26.0, 122.0))"
    check_band(band)
    curves = _chosen("distance", made, ens, obs, reference, variable, member_dim, time)
    ax = axes_for(ax, figsize)
    ax.set_xlabel("distance (km)")
    return _draw(curves, band, ax)


def _chosen(
    dim: str,
    made: str,
    ens: Data,
    obs: Data | None,
    reference: References | None,
    variable: Hashable | None,
    member_dim: Hashable | None,
    time: Any,
) -> _Curves:
    """Choose the variable and the time of everything that has values along a distance."""
    if dim not in ens.dims:
        raise InputError(f"there is no dimension {dim!r}, there are {tuple(ens.dims)}; type {made}")
    own = at_time(shown(ens, variable, dim), time)
    member = find_member_dim(own, member_dim)
    others = {
        n: at_time(f, moment_of(own)) for n, f in beside(own, reference, obs, variable).items()
    }
    for field in (own, *others.values()):
        more = [d for d in field.dims if d != dim and (d != member or field is not own)]
        if more:
            raise InputError(
                f"a curve has {dim!r}, there are {more} too. Select one: isel({more[0]}=0)"
            )
    return _Curves(dim, member, *dask.compute(own, others))


def _draw(curves: _Curves, band: float, ax: "Axes") -> "list[Line2D]":
    """Draw values along a distance."""
    own, dim = curves.own, curves.dim
    line = draw_ensemble(ax, own[dim], own, curves.member, band)
    lines = draw_others(ax, {name: (f[dim], f) for name, f in curves.others.items()})
    ax.set_ylabel(named(own, LINE))
    ax.set_xlim(float(own[dim].min()), float(own[dim].max()))
    plain(ax, title_of(own, moment_of(own)))
    legend_above(ax)
    return [line, *lines]
