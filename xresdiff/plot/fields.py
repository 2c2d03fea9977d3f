"""Figures of fields: one map, or many stamps in one scale of colours."""

from collections.abc import Hashable
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import dask
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.plot.colours import Scale, is_rain, scale_for
from xresdiff.plot.paper import (
    at_time,
    axes_for,
    draw_field,
    flat,
    frame_of,
    moment_of,
    shown,
    title_of,
    units_of,
)
from xresdiff.verify import spreads
from xresdiff.verify.matching import in_units_of
from xresdiff.verify.pairs import find_member_dim
from xresdiff.verify.types import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

__all__ = ["map", "stamps"]

PANEL_INCHES = 2.3
MAP_INCHES = 4.0
NARROW = 1.3  # inches of a panel that small words belong to


def map(
    da: Data,
    *,
    variable: Hashable | None = None,
    time: Any = None,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "QuadMesh":
    """Show one field.

    On a map of cartopy, ``ax=plt.axes(projection=cartopy.crs.PlateCarree())``, it is drawn at its
    latitudes and longitudes, with coastlines.

    Parameters
    ----------
    da : xarray.DataArray or xarray.Dataset, (..., y, x)
        The field.
    variable : Hashable, optional
        Which variable of a Dataset; needed if there are several.
    time : optional
        Label of the time to show; the first by default.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    figsize : tuple of float, optional
        Width and height of a new figure in inches.

    Returns
    -------
    matplotlib.collections.QuadMesh
        The cells; ``.figure`` is the figure.

    Raises
    ------
    InputError
        If there are several variables to choose from, or dimensions other than time, y and x.

    Examples
    --------
    >>> map(xr.DataArray([[0.0, 1.0], [1.0, 0.0]], dims=("y", "x"))).get_array().shape
    (2, 2)
    """
    field = flat(at_time(shown(da, variable), time)).compute()
    ax = axes_for(ax, figsize or (MAP_INCHES / frame_of(field).shape + 1.4, MAP_INCHES + 0.5))
    scale = scale_for([field])
    mesh = draw_field(ax, field, scale)
    ax.figure.colorbar(mesh, ax=ax, label=units_of(field), **scale.bar)
    ax.set_title(title_of(field, moment_of(field)), loc="left", size="medium", wrap=True)
    return mesh


def stamps(
    ens: Data,
    obs: Data | None = None,
    *,
    coarse: Data | None = None,
    variable: Hashable | None = None,
    member_dim: Hashable | None = None,
    members: int = 4,
    time: Any = None,
    figsize: tuple[float, float] | None = None,
) -> "Figure":
    """Show the input, the truth, the mean, the spread and some members side by side.

    Parameters
    ----------
    ens : xarray.DataArray or xarray.Dataset, (member, ..., y, x)
        Ensemble.
    obs : xarray.DataArray or xarray.Dataset, (..., y, x), optional
        Truth.
    coarse : xarray.DataArray or xarray.Dataset, (..., Y, X), optional
        What was downscaled, on its own grid.
    variable : Hashable, optional
        Which variable of the Datasets; needed if there are several.
    member_dim : Hashable, optional
        As for :func:`xresdiff.verify.scores.crps`.
    members : int, default 4
        How many members to show, the first ones.
    time : optional
        Label of the time to show; the first of `ens` by default.
    figsize : tuple of float, optional
        Width and height in inches.

    Returns
    -------
    matplotlib.figure.Figure
        All panels share one scale of colours, but for a spread that is not of rain.

    Raises
    ------
    InputError
        If there are no members, several variables to choose from, or dimensions other than
        members, time, y and x.

    Examples
    --------
    >>> import numpy as np
    >>> ens = xr.DataArray(np.random.default_rng(0).random((4, 8, 8)), dims=("member", "y", "x"))
    >>> [ax.get_title(loc="left") for ax in stamps(ens, ens[0]).axes[:3]]
    ['truth', 'mean', 'spread']
    """
    ens = at_time(shown(ens, variable), time)
    member = find_member_dim(ens, member_dim)
    if member is None:
        raise InputError(f"stamps need members, there are {ens.dims}; for one field: plot.map(...)")
    time = moment_of(ens)
    upper = {
        title: in_units_of(ens, at_time(shown(data, variable or ens.name), time))
        for title, data in (("input", _of_input(coarse, ens)), ("truth", obs))
        if data is not None
    }
    upper["mean"] = ens.mean([member], keep_attrs=True)
    if ens.sizes[member] > 1:
        upper["spread"] = spreads.spread(ens, member_dim=member, dim=())
    index = ens.get_index(member)
    names = index if index.is_unique else range(len(index))
    lower = {f"member {n}": ens.isel({member: i}) for i, n in enumerate(names[:members])}
    upper, lower = ({name: flat(f) for name, f in row.items()} for row in (upper, lower))
    return _sheet(dask.compute(upper, lower), title_of(ens, time), figsize)


def _of_input(coarse: Data | None, ens: xr.DataArray) -> Data | None:
    """Return the input of a variable; refuse a Dataset that has none of its name."""
    if isinstance(coarse, xr.Dataset) and len(coarse) > 1 and ens.name not in coarse:
        names = list(coarse.data_vars)
        raise InputError(
            f"coarse has no {ens.name!r}; it has {names}. Give the one that is shown: "
            f"coarse=ds[{names[0]!r}], or leave coarse out"
        )
    return coarse


def _sheet(
    rows: tuple[dict[str, xr.DataArray], ...],
    title: str,
    figsize: tuple[float, float] | None,
) -> "Figure":
    """Draw rows of panels, with one scale beside them all."""
    import matplotlib.pyplot as plt

    panels = {name: panel for row in rows for name, panel in row.items()}
    mean = panels["mean"]
    apart = [] if is_rain(mean) or "spread" not in panels else ["spread"]
    scale = scale_for([panel for name, panel in panels.items() if name not in apart])
    scales = {name: scale_for([panels[name]]) for name in apart}
    shape = frame_of(mean).shape
    columns = max(len(row) for row in rows)
    size = figsize or (PANEL_INCHES * columns + 0.9, len(rows) * PANEL_INCHES * shape + 0.5)
    narrow = size[0] / columns < NARROW
    words = _words(narrow)
    fig, axes = plt.subplots(len(rows), columns, figsize=size, layout="compressed", squeeze=False)
    places, drawn = {}, {}
    for across, row in zip(axes, rows, strict=True):
        for ax, name in zip_longest(across, row):
            if name is None:
                ax.set_axis_off()
                continue
            places[name], drawn[name] = ax, draw_field(ax, panels[name], scales.get(name, scale))
            ax.set_title(name, loc="left", size=words["title"], y=1.0, pad=2 if narrow else None)
    for ax in places.values():  # the area of the ensemble, and coordinates at the outer panels
        ax.set(xlim=places["mean"].get_xlim(), ylim=places["mean"].get_ylim())
        ax.label_outer()
    if narrow:
        _small_ticks(list(places.values()), axes[-1, 0])
    side: dict[str, Any] = {"location": "bottom", "pad": 0.02} if narrow else {"pad": 0.015}
    bar = fig.colorbar(drawn["mean"], ax=axes, aspect=35, **side, **scale.bar)
    bar.set_label(units_of(mean), size=words["label"])
    bar.ax.tick_params(labelsize=words["tick"])
    for name, own in scales.items():
        _own_bar(places[name], drawn[name], own, narrow)
    fig.suptitle(title, x=0.01, ha="left", size=words["suptitle"], wrap=True)
    return fig


def _words(narrow: bool) -> dict[str, Any]:
    """Choose the sizes of words: those of panels that are narrow in points."""
    if narrow:
        return {"title": 6.5, "label": 7, "tick": 6, "suptitle": 8}
    return {"title": "medium", "label": "medium", "tick": "medium", "suptitle": "large"}


def _small_ticks(places: "list[Axes]", corner: "Axes") -> None:
    """Label no panel but the lower left one."""
    for ax in places:
        ax.tick_params(labelsize=6, length=2, pad=1)
        ax.locator_params(nbins=2)
        if ax is not corner:
            ax.tick_params(labelleft=False, labelbottom=False)
            ax.set(xlabel="", ylabel="")


def _own_bar(ax: "Axes", mesh: "QuadMesh", scale: Scale, narrow: bool) -> None:
    """Draw the scale of one panel above it, beside its title."""
    above = ax.inset_axes((0.68, 1.06, 0.32, 0.05) if narrow else (0.45, 1.035, 0.55, 0.04))
    options: dict[str, Any] = scale.bar | ({"extend": "neither"} if narrow else {})
    bar = ax.figure.colorbar(mesh, cax=above, orientation="horizontal", **options)
    bar.ax.xaxis.set_ticks_position("top")
    bar.ax.tick_params(labelsize=5.5 if narrow else "x-small", length=1 if narrow else 2, pad=1)
    if narrow:
        bar.ax.locator_params(nbins=1)
