"""What all figures share: which field is meant, where its cells lie, in which colours and units."""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from textwrap import fill, shorten
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.cells.projection import geographic
from xresdiff.grids.coords import KM_PER_UNIT, find_coordinate, find_horizontal
from xresdiff.grids.units import convert
from xresdiff.plot.colours import MISSING, Scale, is_rain
from xresdiff.verify.matching import in_units_of
from xresdiff.verify.pairs import label
from xresdiff.verify.rain import rain_units
from xresdiff.verify.types import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.ticker import MaxNLocator

__all__ = [
    "TRUTH",
    "References",
    "at_time",
    "axes_for",
    "beside",
    "called",
    "draw_field",
    "flat",
    "frame_of",
    "moment_of",
    "named",
    "pick",
    "pretty",
    "shown",
    "time_of",
    "title_of",
    "units_of",
]

#: Other forecasts to compare with, by name, or one of them.
References: TypeAlias = Mapping[str, Data] | Data

TRUTH = "truth"
LONGEST_NAME = 40  # letters of a title
EXCEEDED = "exceedance of "  # in the names of probabilities, before what exceeds a threshold


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


def pick(data: Data, variable: Hashable | None = None, dim: Hashable | None = None) -> xr.DataArray:
    """Choose the variable to show: the one named if it is there, else the only one there is.

    Those count that are fields, or that have the dimension `dim`.

    Raises
    ------
    InputError
        If there are several.
    """
    if isinstance(data, xr.DataArray):
        return data
    if variable in data.data_vars:
        return data[variable]
    numbers = {n: v for n, v in data.data_vars.items() if v.dtype.kind in "fiu"}
    fields = [n for n, v in numbers.items() if (v.ndim >= 2 if dim is None else dim in v.dims)]
    if len(fields) != 1:
        raise InputError(
            f"which variable to show? There are {fields or 'none'}: "
            f"variable={str(fields[0]) if fields else 'name'!r}"
        )
    return data[fields[0]]


def shown(
    data: Data, variable: Hashable | None = None, dim: Hashable | None = None
) -> xr.DataArray:
    """Choose the variable to show, and show rain in mm h-1, amounts of it in mm."""
    field = pick(data, variable, dim)
    units = rain_units(field) if is_rain(field) else None
    return field if units is None else convert(field, units)


def beside(
    ens: xr.DataArray,
    reference: References | None,
    obs: Data | None = None,
    variable: Hashable | None = None,
) -> dict[str, xr.DataArray]:
    """Choose what is shown beside an ensemble, by name, in its units: references, then the truth.

    A reference without a name is called so.
    """
    named = {"reference": reference} if isinstance(reference, Data) else dict(reference or {})
    named |= {} if obs is None else {TRUTH: obs}
    return {
        name: in_units_of(ens, pick(data, variable or ens.name)) for name, data in named.items()
    }


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
            f"no time {time}; there are {first!s:.19} to {last!s:.19}: time='{first!s:.19}'"
        ) from None


def frame_of(field: xr.DataArray) -> Frame:
    """Find where the cells lie: degrees, km, or plain points where no coordinates tell.

    Raises
    ------
    InputError
        If there are less than two dimensions.
    """
    try:
        grid = find_horizontal(field)
    except InputError:
        if field.ndim < 2:
            raise InputError(
                f"a map has rows and columns, this has the dimensions {field.dims}. "
                "Show values along a line by xarray: field.plot()"
            ) from None
        y, x = field.dims[-2:]
        return Frame((y, x), np.arange(field.sizes[y]), np.arange(field.sizes[x]), "points", 1.0)
    if grid.kind != "projected":
        aspect = 1 / max(np.cos(np.radians(np.mean(grid.y_values))), 0.1)
        return Frame(grid.dims, grid.y_values, grid.x_values, "°", float(aspect))
    km = KM_PER_UNIT.get(grid.units, 1.0)
    return Frame(grid.dims, km * grid.y_values, km * grid.x_values, "km" if grid.units else "", 1.0)


def flat(field: xr.DataArray) -> xr.DataArray:
    """Return a field, ``(y, x)``, without its dimensions of one value.

    Raises
    ------
    InputError
        If it has other dimensions than y and x.
    """
    dims = frame_of(field).dims
    field = field.squeeze([d for d in field.dims if d not in dims and field.sizes[d] == 1])
    others = [d for d in field.dims if d not in dims]
    if others:
        raise InputError(
            f"a map has {dims}, the field has {others} too. Select one: isel({others[0]}=0)"
        )
    return field.transpose(*dims)


def draw_field(ax: "Axes", field: xr.DataArray, scale: Scale) -> "QuadMesh":
    """Draw a :func:`flat` field, true to shape; on a map of cartopy at its place on the globe."""
    frame = frame_of(field)
    values = np.ma.masked_invalid(field.values)
    options = {"shading": "nearest", "rasterized": True, **scale.colours}
    if hasattr(ax, "coastlines"):
        return _draw_on_globe(ax, field, values, options)
    mesh = ax.pcolormesh(frame.x, frame.y, values, **options)
    ax.set_facecolor(MISSING)
    ax.set_aspect(frame.aspect)
    for axis, name, towards in ((ax.xaxis, "x", "EW"), (ax.yaxis, "y", "NS")):
        axis.set_major_locator(_few_ticks())
        if frame.unit == "°":
            axis.set_major_formatter(partial(_degrees, towards=towards))
        else:
            axis.set_label_text(f"{name} ({frame.unit})" if frame.unit else name)
    ax.spines[:].set(color="0.4", linewidth=0.6)
    return mesh


def _draw_on_globe(
    ax: Any, field: xr.DataArray, values: np.ndarray, options: dict[str, Any]
) -> "QuadMesh":
    """Draw cells by their latitudes and longitudes, with coastlines."""
    degrees = import_module("cartopy.crs").PlateCarree()
    lat, lon = (part.values for part in geographic(field, find_horizontal(field)))
    mesh: QuadMesh = ax.pcolormesh(lon, lat, values, transform=degrees, **options)
    ax.coastlines(linewidth=0.6, color="0.3")
    ax.set_facecolor(MISSING)
    lines = ax.gridlines(
        draw_labels=["left", "bottom"],
        x_inline=False,
        y_inline=False,
        rotate_labels=False,
        linewidth=0.4,
        color="0.7",
        alpha=0.6,
    )
    lines.xlocator, lines.ylocator = _few_ticks(), _few_ticks()
    return mesh


def _few_ticks() -> "MaxNLocator":
    """Make four ticks or so, at round numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4, steps=[1, 2, 2.5, 5, 10])


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
    units = str(field.attrs.get("units", ""))
    return "" if units == "1" else pretty(units)


def called(field: xr.DataArray) -> str:
    """Name a variable in words: its `long_name`, else its `standard_name`, else its name.

    Examples
    --------
    >>> called(xr.DataArray(0.0, attrs={"standard_name": "air_pressure_at_mean_sea_level"}))
    'air pressure at mean sea level'
    """
    long_name, standard_name = (field.attrs.get(n) for n in ("long_name", "standard_name"))
    if long_name or not standard_name:
        return label(field)
    return shorten(str(standard_name).replace("_", " "), LONGEST_NAME, placeholder=" …")


def named(field: xr.DataArray, width: int | None = None) -> str:
    """Name a variable for a label, with its units, in lines of `width` letters."""
    units = units_of(field)
    name = called(field) if width is None else fill(called(field), width)
    return f"{name} ({units})" if units else name


def title_of(field: xr.DataArray, time: Any = None) -> str:
    """Name a variable, the event if it is a probability, and the time that is shown if any.

    Examples
    --------
    >>> threshold = xr.DataArray(5.0, attrs={"units": "mm h-1"})
    >>> title_of(xr.DataArray(0.5, {"threshold": threshold}, name="rain"))
    'P(rain ≥ 5 mm h⁻¹)'
    """
    text = called(field)
    event, width = (field.coords.get(name) for name in ("threshold", "scale"))
    if event is not None and not event.dims:
        text = f"{text.rpartition(EXCEEDED)[2]} ≥ {float(event):g} {units_of(event)}".rstrip()
        if width is not None and not width.dims:
            text += f" in {float(width):g} {units_of(width)}".rstrip()
        text = f"P({text})"
    return text + ("" if time is None else f", {time!s:.16}".replace("T", " "))


def moment_of(field: xr.DataArray) -> Any:
    """Return the time of a field that has one, else None."""
    name = time_of(field)
    return field.coords[name].values[()] if name in field.coords else None


def pretty(units: str) -> str:
    """Write powers as such.

    Examples
    --------
    >>> pretty("kg m-2 s-1")
    'kg m⁻² s⁻¹'
    """
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return re.sub(r"(?<=[a-zA-Z)])-?\d+", lambda power: power[0].translate(raised), units)
