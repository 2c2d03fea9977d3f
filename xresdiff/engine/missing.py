"""Missing values and fill values: refused with their place named, or filled and masked again."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.engine.blocks import CHANNEL, fine_dim
from xresdiff.engine.request import Request
from xresdiff.errors import InputError
from xresdiff.models.card import Channel

__all__ = ["checked", "filled", "masked"]

ROUNDING = 1e-3  # values that are less than this below a minimum count as the minimum


def checked(
    coarse: xr.DataArray, labels: list[xr.DataArray], request: Request, *, skipna: bool
) -> xr.DataArray:
    """Bring values into the bounds of the channels; refuse fill values and, if told, missing ones.

    The first place is named: at once, or when a lazy input is computed.
    """
    grid = request.horizontal
    core = [CHANNEL, *grid.dims]
    return _mapped(
        check_block,
        [coarse, *labels],
        [core, *([] for _ in labels)],
        core,
        what=f"cannot downscale with {request.model.name}",
        channels=request.card.inputs,
        names=request.variables,
        rows=_places(grid.y_coord),
        columns=_places(grid.x_coord),
        skipna=skipna,
    )


def check_block(
    coarse: np.ndarray,
    *labels: np.ndarray,
    what: str,
    channels: tuple[Channel, ...],
    names: tuple[Hashable, ...],
    rows: list[str],
    columns: list[str],
    skipna: bool,
) -> np.ndarray:
    """Return ``(..., channel, y, x)`` within its bounds; NaN where it is missing."""
    result = np.where(np.isfinite(coarse), coarse, np.float32(np.nan))
    for i, (channel, name) in enumerate(zip(channels, names, strict=True)):
        values = result[..., i, :, :]
        missing = np.isnan(values)
        if missing.any() and not skipna:
            raise InputError(
                f"{what}: {missing.sum()} of {values.size} values of {channel.name!r} are missing, "
                f"the first at {_first(missing, labels, rows, columns)}. Fill them, or leave their "
                "places missing in the result: downscale(..., skipna=True)"
            )
        least = channel.minimum
        low = values < (-np.inf if least is None else least - ROUNDING)
        if low.any():
            raise InputError(
                f"{what}: {low.sum()} of {values.size} values of {channel.name!r} are below its "
                f"minimum of {least:g} {channel.units}, the first, {values[low][0]:g}, at "
                f"{_first(low, labels, rows, columns)}. It looks like an unmasked fill value; make "
                f"it missing: ds.where(ds.{name} >= {least:g}), and type skipna=True"
            )
        if not (least is None and channel.maximum is None):
            np.clip(values, least, channel.maximum, out=values)
    return result


def _first(
    bad: np.ndarray, labels: tuple[np.ndarray, ...], rows: list[str], columns: list[str]
) -> str:
    """Name the place of the first that is true of ``(..., y, x)``."""
    *field, row, column = np.unravel_index(bad.argmax(), bad.shape)
    where = [str(np.broadcast_to(label, bad.shape[:-2])[tuple(field)]) for label in labels]
    return ", ".join([*where, rows[row], columns[column]])


def _places(coord: xr.DataArray) -> list[str]:
    return [f"{coord.name}={value}" for value in coord.values]


def filled(coarse: xr.DataArray, request: Request) -> xr.DataArray:
    """Fill missing values with their nearest neighbours, lazily."""
    core = list(request.horizontal.dims)
    return _mapped(fill_block, [coarse], [core], core)


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
    fine = [fine_dim(dim) for dim in cells]
    inputs = [result, coarse]
    return _mapped(mask_block, inputs, [fine, [CHANNEL, *cells]], fine, factor=request.factor)


def mask_block(fine: np.ndarray, coarse: np.ndarray, *, factor: int) -> np.ndarray:
    """Mask ``(..., y, x)`` where any channel of ``(..., channel, Y, X)`` is missing."""
    known = np.isfinite(coarse).all(axis=-3)
    pixels = known.repeat(factor, axis=-2).repeat(factor, axis=-1)
    return np.where(pixels, fine, np.float32(np.nan))


def _mapped(
    function: Any,
    arrays: list[xr.DataArray],
    inner: list[list[Any]],
    outer: list[Any],
    **kwargs: Any,
) -> xr.DataArray:
    """Map a function of blocks over all but the inner dimensions of each array, lazily."""
    return xr.apply_ufunc(
        function,
        *arrays,
        input_core_dims=inner,
        output_core_dims=[outer],
        kwargs=kwargs,
        dask="parallelized",
        output_dtypes=[np.float32],
    )
