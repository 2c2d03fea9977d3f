"""Whether the input and the output of one quantity are of the same stretch of time."""

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, UnitsError, warn
from xresdiff.grids.coords import find_coordinate, levels
from xresdiff.grids.units import times
from xresdiff.grids.units.accumulations import interval_of, time_bounds_of
from xresdiff.models.card import Channel
from xresdiff.train.quantities import is_rain
from xresdiff.train.variables import Variables

__all__ = ["stretch_problems"]

SAME = 1e-3  # relative difference of hours that are the same

_METHOD = re.compile(r"(?:^|\s)(\w+):\s+(?:\w+:\s+)*(point|mean|sum|maximum|minimum)\b")
_ENERGY = ("J m-2", "J m**-2", "J/m2", "J/m^2")


@dataclass(frozen=True)
class _Stretch:
    """Over which time the values of a variable were taken, and how; empty or None: not told."""

    which: str
    name: Hashable
    dim: Hashable
    method: str
    hours: float | None
    apart: float | None

    def told(self) -> str:
        """Say it."""
        how = f"of cell methods 'time: {self.method}'" if self.method else "without cell methods"
        over = f", over {self.hours:g} h" if self.hours is not None else ""
        return f"{self.which}[{self.name!r}] is {how}{over}"


def stretch_problems(
    taken: Variables, given: Variables, accumulation: str | None = None
) -> Iterator[str]:
    """Say which outputs are over other hours than the inputs they are, from attributes alone.

    Parameters
    ----------
    taken, given : Variables
        Inputs and outputs, matched.
    accumulation : str, optional
        The time in which amounts fell.

    Yields
    ------
    str
        Of sums, means and extremes over different times.

    Warns
    -----
    UserWarning
        Where that may be, or where the cell methods differ.
    """
    for output in given.channels:
        if output.key not in taken.own or output.key not in given.own:
            continue
        here, there = (_stretch(one, output, accumulation) for one in (taken, given))
        unlike = _unlike(here.hours, there.hours)
        methods = {here.method, there.method} - {""}
        if unlike and "point" not in methods:
            yield (
                f"{output.label!r} is not over the same time: {here.told()}, {there.told()}. Bring "
                f"both to one: {_line(here, there)}"
            )
        elif len(methods) > 1 and methods != {"mean", "sum"}:
            warn(
                f"{output.label!r} is paired with another quantity: {here.told()}, {there.told()}. "
                "If a field of one is not that of the other, bring both to one, such as "
                f"{_line(here, there)}"
            )
        elif _may_differ(here, there, output):
            warn(
                f"{output.label!r} may not be over the same time: coarse has times "
                f"{here.apart:g} h apart, the target {there.apart:g} h, and it is not told over "
                f"which time each was summed or averaged. If these differ, bring both to one: "
                f"{_line(here, there)}"
            )


def _stretch(one: Variables, channel: Channel, accumulation: str | None) -> _Stretch:
    """Read over which time the values of a channel were taken."""
    found = one.own[channel.key]
    da = levels.take(one.ds, found)
    names = {"time", *map(str, times.time_names(da))}
    methods = _METHOD.findall(str(da.attrs.get("cell_methods", "")))
    method = next((how for name, how in methods if name in names), "")
    bounds = time_bounds_of(one.ds, found.name)
    hours = _between(bounds) if method not in ("", "point") else None
    if hours is None and is_rain(channel):
        hours = _summed(da, accumulation, bounds)
    try:
        time = find_coordinate(da, "time")
    except InputError:
        time = None
    dim = da[time].dims[0] if time is not None and da[time].ndim == 1 else "time"
    return _Stretch(one.what, found.name, dim, method, hours, times.hours_apart(da))


def _between(bounds: xr.DataArray | None) -> float | None:
    """Return the hours between most bounds."""
    if bounds is None or bounds.chunks is not None or bounds.dtype.kind not in "MmO":
        return None
    apart = np.asarray(bounds.values[..., 1] - bounds.values[..., 0])
    hours = apart.astype("timedelta64[us]") / np.timedelta64(1, "h")
    return float(np.median(hours)) if hours.size else None


def _summed(
    da: xr.DataArray, accumulation: str | None, bounds: xr.DataArray | None
) -> float | None:
    """Return the hours over which amounts were summed."""
    try:
        interval = interval_of(da, accumulation, bounds=bounds)
    except UnitsError:  # told where it matters
        return None
    if interval is None:
        return None
    hours = interval.hours
    if not isinstance(hours, xr.DataArray):
        return float(hours)
    return None if hours.chunks is not None else float(hours.median())


def _unlike(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and abs(a - b) > SAME * max(abs(a), abs(b))


def _may_differ(here: _Stretch, there: _Stretch, output: Channel) -> bool:
    """Tell whether values that each stand for the time between them are paired with others."""
    if here.hours is not None or there.hours is not None or not _unlike(here.apart, there.apart):
        return False
    averaged = here.method not in ("", "point") and there.method not in ("", "point")
    rain = is_rain(output) or output.units in _ENERGY
    return averaged or (rain and "point" not in (here.method, there.method))


def _line(here: _Stretch, there: _Stretch) -> str:
    """Return the line that makes the longer stretch of the shorter one."""
    lengths = [one.hours if one.hours is not None else one.apart for one in (here, there)]
    longest = max((hours for hours in lengths if hours is not None), default=24.0)
    shorter = there if None not in lengths and lengths[1] < lengths[0] else here  # type: ignore[operator]
    how = {"maximum": "max", "minimum": "min", "mean": "mean"}.get(there.method, "")
    how = how or ("sum" if shorter.method == "sum" else "mean")
    return f"{shorter.which}.resample({{{shorter.dim!r}: '{longest:g}h'}}).{how}()"
