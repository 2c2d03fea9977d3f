"""Missing values and fill values: refused with their place named, or filled and masked again."""

import re
from collections.abc import Hashable, Iterator

import numpy as np
import xarray as xr

from xresdiff.engine.blocks import CHANNEL, FINE_CHANNEL, fine_dim
from xresdiff.engine.mapping import mapped
from xresdiff.engine.request import Request
from xresdiff.errors import InputError
from xresdiff.grids.coords import Horizontal
from xresdiff.grids.units import geopotential_problem
from xresdiff.grids.units.packing import fill_values
from xresdiff.grids.units.spellings import plain
from xresdiff.models.card import Channel

__all__ = ["checked", "decoded", "filled", "masked"]

# Values that stand for missing ones in files, where no attribute says so: those of netCDF, of old
# climate archives and of many programs. They count where they lie far from all other values: below
# zero where nothing else is, or by more than all others lie apart.
FILL_VALUES = (-9999.0, -9999.9, -999.0, -999.9, -32768.0, -32767.0, -99999.0, 99999.0, 999999.0)
LARGEST = 1e15  # nothing that is measured on Earth is more than this, in any units

# What to do about missing values, where the input stays on its grid and where it is regridded.
_SAME_GRID = "leave their places missing in the result: downscale(..., skipna=True)"
_OTHER_GRID = (
    "regrid around them: downscale(..., skipna=True); and na_thres=0 to leave missing in the "
    "result what one of them weighs on"
)
_ACCEPT = ", and type skipna=True"  # behind the line that makes values missing

FARTHEST = 20.0  # standard deviations from the mean of a channel, for the middle of a field
FAR = 0.01  # of a value that stands for missing ones: others lie further from it

# Values that are less than this below a minimum count as the minimum, times the size of values
# that are larger than one; radiation at night is measured to some tenths of a W m-2.
ROUNDING = 1e-3
TYPICAL = {"W m-2": 500.0, "J m-2": 1.8e6}  # by units, whatever the values are


def decoded(
    da: xr.DataArray, labels: list[xr.DataArray], request: Request, grid: Horizontal
) -> xr.DataArray:
    """Refuse fill values and, if told, missing values of a variable, lazily.

    The first place is named: at once, or when a lazy input is computed. Infinite values count as
    missing.
    """
    core = list(grid.dims)
    own = [label for label in labels if set(label.dims) <= set(da.dims)]
    da = da.transpose(..., *core)
    found = mapped(
        decode_block,
        [da, *own],
        [core, *([] for _ in own)],
        {dim: da.sizes[dim] for dim in core},
        dtype=da.dtype if da.dtype.kind == "f" else np.float64,
        what=request.refusal,
        name=da.name,
        rows=_places(grid.y_coord, grid.dims[0]),
        columns=_places(grid.x_coord, grid.dims[1]),
        fills=fill_values(da),
        skipna=request.arguments.skipna,
        way_out=_SAME_GRID if request.placement.coarse is None else _OTHER_GRID,
        accept=_accept(request),
        ds=_called(request),
    )
    return da.copy(data=found.data)


def _accept(request: Request) -> str:
    """Return what more to type for values that were made missing: nothing in training."""
    return "" if request.arguments.training else _ACCEPT


def _called(request: Request) -> str:
    """Return what users call the Dataset."""
    return request.arguments.training or "ds"


def decode_block(
    values: np.ndarray,
    *labels: np.ndarray,
    what: str,
    name: Hashable,
    rows: list[str],
    columns: list[str],
    fills: tuple[float, ...],
    skipna: bool,
    way_out: str,
    accept: str = _ACCEPT,
    ds: str = "ds",
) -> np.ndarray:
    """Return ``(..., y, x)`` with NaN for what is missing."""
    values = values if values.dtype.kind == "f" else values.astype(np.float64)
    bad, missing = _fills(values, fills), ~np.isfinite(values)
    if bad.any():
        first = values[bad][0].item()
        raise InputError(
            f"{what}: {bad.sum()} of {values.size} values of {name!r} look like a fill value "
            f"that was not decoded, {first:g}, the first at "
            f"{_first(bad, labels, rows, columns)}; make it missing, "
            f"{ds}[{name!r}].where({ds}[{name!r}] != {first!r}){accept}"
        )
    if missing.any() and not skipna:
        raise InputError(
            f"{what}: {missing.sum()} of {values.size} values of {name!r} are missing, the first "
            f"at {_first(missing, labels, rows, columns)}. Fill them, or {way_out}"
        )
    return np.where(missing, np.nan, values).astype(values.dtype) if missing.any() else values


def _fills(values: np.ndarray, told: tuple[float, ...]) -> np.ndarray:
    """Tell which values stand for missing ones: those `told` do, others by where they lie."""
    finite = np.isfinite(values)
    sure = finite & (np.abs(values) > LARGEST)
    if told:
        sure |= np.isin(values, np.array(told, values.dtype))
    likely = finite & np.isin(values, np.array(FILL_VALUES, values.dtype))
    rest = values[finite & ~sure & ~likely]
    if not likely.any() or not rest.size:
        return sure | likely
    low, high = float(rest.min()), float(rest.max())
    for value in np.unique(values[likely]).astype(np.float64):
        apart = max(low - value, value - high)
        foreign = value < 0 <= low or apart > max(high - low, FAR * abs(value))
        if not (apart > 0 and foreign):
            likely &= values != value
    return sure | likely


def checked(coarse: xr.DataArray, labels: list[xr.DataArray], request: Request) -> xr.DataArray:
    """Bring values into the bounds of the channels, lazily; refuse those far beyond."""
    grid = request.horizontal
    core = [CHANNEL, *grid.dims]
    return mapped(
        check_block,
        [coarse, *labels],
        [core, *([] for _ in labels)],
        {dim: coarse.sizes[dim] for dim in core},
        what=request.refusal,
        accept=_accept(request),
        ds=_called(request),
        channels=tuple(request.card.inputs[i] for i in request.distinct),
        names=tuple(request.found[i].name for i in request.distinct),
        rows=_places(grid.y_coord, grid.dims[0]),
        columns=_places(grid.x_coord, grid.dims[1]),
    )


def check_block(
    coarse: np.ndarray,
    *labels: np.ndarray,
    what: str,
    channels: tuple[Channel, ...],
    names: tuple[Hashable, ...],
    rows: list[str],
    columns: list[str],
    accept: str = _ACCEPT,
    ds: str = "ds",
) -> np.ndarray:
    """Return ``(..., channel, y, x)`` within its bounds."""
    result = coarse.copy()
    for i, (channel, name) in enumerate(zip(channels, names, strict=True)):
        values = result[..., i, :, :]
        for bad, told in _objections(values, channel, name, accept):
            count = f"{bad.sum()} of {values.size} values of {channel.label!r}"
            place = _first(bad, labels, rows, columns)
            told = told.replace("ds[", f"{ds}[").replace("{place}", place)
            raise InputError(f"{what}: {count} {told}")
        if not (channel.minimum is None and channel.maximum is None):
            np.clip(values, channel.minimum, channel.maximum, out=values)
    return result


def _objections(
    values: np.ndarray, channel: Channel, name: Hashable, accept: str
) -> Iterator[tuple[np.ndarray, str]]:
    """Yield where values cannot be right, and why, with room for the first place."""
    unlikely = None
    if channel.level_Pa is not None:
        unlikely = geopotential_problem(
            values, units=channel.units, level_Pa=channel.level_Pa, name=name
        )
    if unlikely:
        yield ~np.isnan(values), f"cannot be right, the first at {{place}}: {unlikely}"
    far = _far_from_known(values, channel, name)
    if far:
        yield ~np.isnan(values), far
    least = channel.minimum
    if least is None or not (values < least - ROUNDING).any():
        return
    low = values < least - ROUNDING * _size(values, channel)
    if low.any():
        yield (
            low,
            f"are below its minimum of {least:g} {channel.units}, the first, {values[low][0]:g}, "
            "at {place}. It looks like an unmasked fill value; make it missing: "
            f"ds[{name!r}].where(ds[{name!r}] >= {least:g}){accept}",
        )


def _size(values: np.ndarray, channel: Channel) -> float:
    """Return how large values of a channel are, at least one."""
    known = channel.std if channel.transform.name == "identity" else 0.0
    typical = TYPICAL.get(plain(channel.units), 0.0)
    return max(1.0, known, typical, float(np.nanpercentile(values, 90)))


def _far_from_known(values: np.ndarray, channel: Channel, name: Hashable) -> str:
    """Say that most values are nowhere near those that the model learned from; nothing else.

    It tells units that are not what they are said to be. Of a channel that is bent, or is not
    normalised, nothing is known.
    """
    if channel.transform.name != "identity" or channel.std == 1.0:
        return ""
    middle = float(np.nanmedian(values)) if np.isfinite(values).any() else channel.mean
    if abs(middle - channel.mean) <= FARTHEST * channel.std:
        return ""
    return (
        f"cannot be right, the first at {{place}}: their median is {middle:.4g} {channel.units}, "
        f"the model knows {channel.mean:.4g} give or take {channel.std:.3g}. See whether the units "
        f"are what they are said to be: ds[{name!r}].attrs['units']"
    )


def _first(
    bad: np.ndarray, labels: tuple[np.ndarray, ...], rows: list[str], columns: list[str]
) -> str:
    """Name the place of the first that is true of ``(..., y, x)``."""
    *field, row, column = np.unravel_index(bad.argmax(), bad.shape)
    where = [_told(str(np.broadcast_to(label, bad.shape[:-2])[tuple(field)])) for label in labels]
    return ", ".join([*where, rows[row], columns[column]])


def _told(label: str) -> str:
    """Write a label as a user would: durations in hours."""
    duration = re.fullmatch(r"(.*=)(-?\d+) ns", label)
    return f"{duration[1]}{int(duration[2]) / 3.6e12:g} h" if duration else label


def _places(coord: xr.DataArray, dim: Hashable) -> list[str]:
    if coord.ndim != 1:
        return [f"{dim}={i}" for i in range(coord.sizes[dim])]
    return [f"{coord.name}={value}" for value in coord.values]


def filled(coarse: xr.DataArray, request: Request) -> xr.DataArray:
    """Fill missing values with their nearest neighbours, lazily."""
    core = list(request.horizontal.dims)
    return mapped(fill_block, [coarse], [core], {dim: coarse.sizes[dim] for dim in core})


def fill_block(coarse: np.ndarray) -> np.ndarray:
    """Fill missing values with their nearest neighbour on ``(..., y, x)``; zero if all are."""
    from scipy.ndimage import distance_transform_edt

    fields = coarse.reshape(-1, *coarse.shape[-2:]).copy()
    for field in fields:
        missing = ~np.isfinite(field)
        if missing.all():
            field[...] = 0
        elif missing.any():
            nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
            field[...] = field[tuple(nearest)]
    return fields.reshape(coarse.shape)


def masked(result: xr.DataArray, coarse: xr.DataArray, request: Request) -> xr.DataArray:
    """Make the pixels of missing cells missing, lazily."""
    cells = list(request.horizontal.dims)
    fine = [FINE_CHANNEL, *map(fine_dim, cells)]
    sizes = {dim: result.sizes[dim] for dim in fine}
    return mapped(mask_block, [result, coarse], [fine, [CHANNEL, *cells]], sizes)


def mask_block(fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Mask ``(..., k, y, x)`` where any channel of ``(..., channel, Y, X)`` is missing."""
    known = np.isfinite(coarse).all(axis=-3, keepdims=True)
    (rows, columns), (height, width) = known.shape[-2:], fine.shape[-2:]
    pixels = known[..., np.arange(height) * rows // height, :]
    pixels = pixels[..., np.arange(width) * columns // width]
    return np.where(pixels, fine, np.float32(np.nan))
