"""What figures of curves share: the band of the members, the styles of the others, plain axes."""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.plot.colours import BLUE, OTHERS
from xresdiff.plot.paper import TRUTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = [
    "check_band",
    "draw_ensemble",
    "draw_others",
    "legend_above",
    "log_heights",
    "log_ticks",
    "plain",
    "style_of",
]

WIDE = 500  # last value over the first, of an axis with few numbers

# Told apart in grey, too.
DASHES = ("--", "-.", ":", (0, (4, 1, 1, 1, 1, 1)), (0, (6, 2)))


def check_band(band: float) -> None:
    """Refuse a share of the members that is none."""
    if not 0 < band <= 1:
        raise InputError(f"band is a share of the members, up to 1, such as band=0.9, not {band}")


def draw_ensemble(
    ax: "Axes", x: Any, values: xr.DataArray, member: Hashable | None, band: float
) -> "Line2D":
    """Draw the mean of the members over the band that a share of them is in; or one forecast.

    `values` are ``(x)``, and along `member` if there are members.
    """
    if member is None:
        return ax.plot(x, values, color=BLUE, lw=1.8, label="forecast")[0]
    tail = (1 - band) / 2
    low, high = np.quantile(values.transpose(member, ...).values, (tail, 1 - tail), axis=0)
    share = "all members" if band == 1 else f"{100 * band:.3g} % of members"
    ax.fill_between(x, low, high, color=BLUE, alpha=0.25, lw=0, label=share)
    return ax.plot(x, values.mean([member], skipna=False), color=BLUE, lw=1.8, label="ensemble")[0]


def draw_others(ax: "Axes", curves: Mapping[str, tuple[Any, xr.DataArray]]) -> "list[Line2D]":
    """Draw references and the truth, x and y by name."""
    return [
        ax.plot(x, y, label=name, **style_of(name, i))[0]
        for i, (name, (x, y)) in enumerate(curves.items())
    ]


def style_of(name: str, i: int) -> dict[str, Any]:
    """Return the style of the i-th line beside the ensemble: black for the truth."""
    if name == TRUTH:
        return {"color": "black", "lw": 1.4}
    return {"color": OTHERS[i % len(OTHERS)], "ls": DASHES[i % len(DASHES)], "lw": 1.4}


def log_ticks(ax: "Axes") -> None:
    """Make the x axis logarithmic, with plain numbers: at 1, 2, 5, 10, ... or at powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.set_xscale("log")
    low, high = ax.dataLim.intervalx
    wide = high > WIDE * low
    ax.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def log_heights(ax: "Axes") -> None:
    """Make the y axis logarithmic, if anything drawn is above zero."""
    if np.isfinite(ax.dataLim.minposy):
        ax.set_yscale("log")


def plain(ax: "Axes", title: str, *, legend: bool = True) -> None:
    """Give axes a title and a light grid, and no box."""
    ax.grid(color="0.92")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(title, loc="left", size="medium", wrap=True)
    if legend:
        ax.legend(frameon=False, fontsize="small", handlelength=1.8, labelspacing=0.3)


def legend_above(ax: "Axes") -> None:
    """Put the legend over the curves, in two columns, and make room for it."""
    from matplotlib import rcParams

    handles = ax.get_legend_handles_labels()[0]
    rows = -(-len(handles) // 2)
    height = ax.get_window_extent().height / ax.figure.dpi
    share = min(rows * 1.5 * rcParams["font.size"] / 72 / height, 0.45)
    low, high = ax.get_ylim()
    ax.set_ylim(low, low + (high - low) / (1 - share))
    style: dict[str, Any] = {"frameon": False, "fontsize": "small", "handlelength": 1.8}
    style |= {"labelspacing": 0.3, "columnspacing": 1.2, "borderaxespad": 0.1}
    ax.legend(loc="upper left", ncols=2, **style)
