"""Which colours a variable is shown in, and those of curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.verify.rain import is_named_rain

__all__ = [
    "BLUE",
    "MISSING",
    "OTHERS",
    "Scale",
    "is_rain",
    "is_size",
    "levels_of_colour",
    "scale_for",
]

# Classes of rain, mm h-1 or mm (less is white), and their colours, the last for more than the last:
# even steps of lightness (OKLCH), so that they order in grey and for colour-blind eyes.
RAIN_LEVELS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
RAIN_COLOURS = (
    *("#e3f6e6", "#b1ecd1", "#67dfd1", "#1ec5e4", "#3394e5"),
    *("#506bd8", "#7430c1", "#820279", "#710029", "#4f000e"),
)
MISSING = "0.85"

# What the names of variables have in them that are centred on zero, and of those that begin there.
COMPARED_WORDS = (
    *("residual", "bias", "difference", "error", "anomaly", "anomalies", "increment", "minus"),
    "skill",
)
SIGNED_WORDS = (
    *("eastward", "northward", "upward_air", "x_wind", "y_wind", "u_component", "v_component"),
    *("u wind", "v wind", "u-component", "v-component", "vorticity", "divergence", "tendency"),
)
SIGNED_NAMES = frozenset(
    {"u", "v", "w", "u10", "v10", "u10m", "v10m", "10u", "10v", "uas", "vas", "ua", "va"}
)
SIZE_WORDS = ("spread", "absolute", "square", "deviation", "variance", "crps", "ranked", "spectral")
CHANCE_WORDS = ("probability", "frequency")

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


def is_rain(field: xr.DataArray) -> bool:
    """Tell whether a variable is an amount or a rate of rain, by what it is called.

    Its spread is one, its bias and its probability are none.

    Examples
    --------
    >>> is_rain(xr.DataArray(0.0, name="rain")), is_rain(xr.DataArray(0.0, name="rain_bias"))
    (True, False)
    """
    other = _is_compared(field) or _is_called(field, CHANCE_WORDS)
    return is_named_rain(field) and not other and field.attrs.get("units") not in ("1", "%")


def is_size(field: xr.DataArray) -> bool:
    """Tell whether a variable is a size, such as a spread, by what it is called."""
    return _is_called(field, SIZE_WORDS)


def _is_signed(field: xr.DataArray) -> bool:
    """Tell whether the sign of a variable matters, by what it is called."""
    named = str(field.name).lower() in SIGNED_NAMES or _is_called(field, SIGNED_WORDS)
    return _is_compared(field) or (named and not is_size(field))


def _is_compared(field: xr.DataArray) -> bool:
    """Tell whether a variable is a difference of two, by what it is called."""
    return _is_called(field, COMPARED_WORDS) and not is_size(field)


def _is_called(field: xr.DataArray, words: Sequence[str]) -> bool:
    names = (
        f"{field.name} {field.attrs.get('standard_name')} {field.attrs.get('long_name')}".lower()
    )
    return any(word in names for word in words)


def scale_for(fields: Sequence[xr.DataArray]) -> Scale:
    """Choose one scale of colours for several fields of a variable.

    Rain has classes; what is centred on zero (wind, residuals, differences) has two colours that
    meet there; sizes (spreads, absolute errors) and probabilities begin there; all else goes from
    its least to its largest value.
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap

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
    if _is_signed(first):
        end = max(-low, high)
        wet = is_named_rain(first)
        return _even("BrBG" if wet else "RdBu_r", -end, end, "both")
    if is_size(first):
        return _even("magma_r", 0.0, high, "max")
    if _is_called(first, CHANCE_WORDS) and low >= 0 and high <= 1:
        return _even("Blues", 0.0, 1.0, "neither")
    return _even("viridis", low, high, "both")


def _even(name: str, low: float, high: float, extend: str) -> Scale:
    """Make a scale without classes; one value alone is in its middle."""
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    if low >= high:
        low, high = low - 0.5, low + 0.5
    colours = colormaps[name].with_extremes(bad=MISSING)
    return Scale({"cmap": colours, "norm": Normalize(low, high)}, {"extend": extend})


def levels_of_colour(count: int) -> list[Any]:
    """Choose colours that order, dark to light, for curves of several thresholds."""
    from matplotlib import colormaps

    return [BLUE] if count == 1 else list(colormaps["viridis"](np.linspace(0.0, 0.82, count)))
