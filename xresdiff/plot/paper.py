"""What all figures share: which field is meant, where its cells lie, in which colours and units."""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, UnitsError
from xresdiff.grids.coords import KM_PER_UNIT, find_coordinate, find_horizontal
from xresdiff.grids.units import convert
from xresdiff.verify.pairs import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

__all__ = [
    "BLUE",
    "OTHERS",
    "Scale",
    "at_time",
    "axes_for",
    "draw_field",
    "frame_of",
    "is_rain",
    "pick",
    "pretty",
    "scale_for",
    "shown",
    "units_of",
]

# Classes of rain, mm h-1 (less is white), and their colours, the last for more than the last bound:
# even steps of lightness (OKLCH), so that they order in grey and for colour-blind eyes.
RAIN_UNITS = "mm h-1"
RAIN_LEVELS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
RAIN_COLOURS = (
    *("#e3f6e6", "#b1ecd1", "#67dfd1", "#1ec5e4", "#3394e5"),
    *("#506bd8", "#7430c1", "#820279", "#710029", "#4f000e"),
)
RAIN_WORDS = ("precip", "rain")
SIGNED_WORDS = ("eastward", "northward", "x_wind", "y_wind", "vorticity", "divergence", "anomaly")
MISSING = "0.85"

# Okabe and Ito (2008), told apart by colour-blind eyes: the ensemble, then whatever else there is.
BLUE = "#0072b2"
OTHERS = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

# Scales without classes end at these percentiles of all that is shown.
PERCENTILES = (0.2, 99.8)


@dataclass(frozen=True)
class Scale:
    """Colours of values: arguments of `pcolormesh`, and of the colour bar."""

    colours: dict[str, Any]
    bar: dict[str, Any]


@dataclass(frozen=True)
class Frame:
    """Where the cells of a field lie, in which unit, and how much longer a unit of y looks."""

    dims: tuple[Hashable, Hashable]
    y: np.ndarray
    x: np.ndarray
    unit: str
    aspect: float

    @property
    def shape(self) -> float:
        """Height over width on paper, within reason."""
        width = max(float(np.ptp(self.x)), 1e-9)
        return float(np.clip(self.aspect * np.ptp(self.y) / width, 0.4, 2.0))


def pick(data: Data, variable: Hashable | None = None) -> xr.DataArray:
    """Choose the variable to show: the one named if it is there, else the only one there is.

    Raises
    ------
    InputError
        If there are several.
    """
    if isinstance(data, xr.DataArray):
        return data
    if variable in data.data_vars:
        return data[variable]
    fields = [n for n, v in data.data_vars.items() if v.ndim >= 2 and v.dtype.kind in "fiu"]
    if len(fields) != 1:
        raise InputError(
            f"which variable to show? There are {fields or 'none'}: "
            f"variable={str(fields[0]) if fields else 'name'!r}"
        )
    return data[fields[0]]


def shown(data: Data, variable: Hashable | None = None) -> xr.DataArray:
    """Choose the variable to show, and show rain in mm h-1."""
    field = pick(data, variable)
    if is_rain(field) and "units" in field.attrs:
        try:
            return convert(field, RAIN_UNITS)
        except UnitsError:  # an amount, not a rate
            return field
    return field


def is_rain(field: xr.DataArray) -> bool:
    """Tell whether a variable is rain, by what it is called."""
    return _is_called(field, RAIN_WORDS)


def _is_called(field: xr.DataArray, words: Sequence[str]) -> bool:
    names = (
        f"{field.name} {field.attrs.get('standard_name')} {field.attrs.get('long_name')}".lower()
    )
    return any(word in names for word in words)


def time_of(field: xr.DataArray) -> Hashable:
    """Name the coordinate of time, "time" if there is none."""
    name = find_coordinate(field, "time")
    return "time" if name is None else name


def at_time(field: xr.DataArray, time: Any = None) -> xr.DataArray:
    """Choose the field of a time, the first by default, of a variable that may have no times.

    Raises
    ------
    InputError
        If the time is not there.
    """
    name = time_of(field)
    if name not in field.dims:
        return field
    if time is None:
        return field.isel({name: 0})
    try:
        return field.sel({name: time})
    except KeyError:
        first, last = field[name].values[[0, -1]]
        raise InputError(
            f"no time {time}; there are {first} to {last}: time={first!s:.19}"
        ) from None


def scale_for(fields: Sequence[xr.DataArray]) -> Scale:
    """Choose one scale of colours for several fields of a variable."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize

    first = fields[0]
    if is_rain(first):
        colours = ListedColormap(RAIN_COLOURS[:-1]).with_extremes(
            bad=MISSING, under="white", over=RAIN_COLOURS[-1]
        )
        norm = BoundaryNorm(RAIN_LEVELS, len(RAIN_LEVELS) - 1)
        ticks = {"ticks": RAIN_LEVELS, "format": "%g", "extend": "max"}
        return Scale({"cmap": colours, "norm": norm}, ticks)
    values = np.concatenate([f.values[np.isfinite(f.values)] for f in fields])
    low, high = np.percentile(values, PERCENTILES) if values.size else (0.0, 1.0)
    if _is_called(first, SIGNED_WORDS):
        low, high = -max(-low, high), max(-low, high)
        colours = colormaps["RdBu_r"].with_extremes(bad=MISSING)
    else:
        colours = colormaps["viridis"].with_extremes(bad=MISSING)
    return Scale({"cmap": colours, "norm": Normalize(low, high)}, {"extend": "both"})


def frame_of(field: xr.DataArray) -> Frame:
    """Find where the cells lie: degrees, km, or plain points where no coordinates tell."""
    try:
        grid = find_horizontal(field)
    except InputError:
        y, x = field.dims[-2:]
        return Frame((y, x), np.arange(field.sizes[y]), np.arange(field.sizes[x]), "points", 1.0)
    if grid.kind != "projected":
        aspect = 1 / max(np.cos(np.radians(np.mean(grid.y_values))), 0.1)
        return Frame(grid.dims, grid.y_values, grid.x_values, "°", float(aspect))
    km = KM_PER_UNIT.get(grid.units, 1.0)
    return Frame(grid.dims, km * grid.y_values, km * grid.x_values, "km" if grid.units else "", 1.0)


def draw_field(ax: "Axes", field: xr.DataArray, scale: Scale) -> "QuadMesh":
    """Draw the cells of a field, true to shape.

    Raises
    ------
    InputError
        If it has other dimensions than y and x.
    """
    from matplotlib.ticker import MaxNLocator

    frame = frame_of(field)
    field = field.squeeze([d for d in field.dims if d not in frame.dims and field.sizes[d] == 1])
    others = [d for d in field.dims if d not in frame.dims]
    if others:
        raise InputError(
            f"a map has {frame.dims}, the field has {others} too. Select one: isel({others[0]}=0)"
        )
    values = np.ma.masked_invalid(field.transpose(*frame.dims).values)
    mesh = ax.pcolormesh(
        frame.x, frame.y, values, shading="nearest", rasterized=True, **scale.colours
    )
    ax.set_facecolor(MISSING)
    ax.set_aspect(frame.aspect)
    for axis, name, towards in ((ax.xaxis, "x", "EW"), (ax.yaxis, "y", "NS")):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        if frame.unit == "°":
            axis.set_major_formatter(partial(_degrees, towards=towards))
        else:
            axis.set_label_text(f"{name} ({frame.unit})" if frame.unit else name)
    ax.spines[:].set(color="0.4", linewidth=0.6)
    return mesh


def _degrees(value: float, position: int | None = None, *, towards: str) -> str:
    """Write a latitude or longitude, as 93°W for -93 or 267."""
    value = (value + 180) % 360 - 180
    return f"{abs(value):g}°{towards[int(value < 0)] if value else ''}"


def axes_for(ax: "Axes | None", figsize: tuple[float, float] | None) -> "Axes":
    """Return the axes given, else those of a new figure."""
    import matplotlib.pyplot as plt

    if ax is not None:
        return ax
    return plt.subplots(figsize=figsize or (5.0, 3.6), layout="compressed")[1]


def units_of(field: xr.DataArray) -> str:
    """Return the units of a variable for a label, empty if there are none."""
    return pretty(str(field.attrs.get("units", "")))


def pretty(units: str) -> str:
    """Write powers as such.

    Examples
    --------
    >>> pretty("kg m-2 s-1")
    'kg m⁻² s⁻¹'
    """
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return re.sub(r"(?<=[a-zA-Z)])-?\d+", lambda power: power[0].translate(raised), units)
