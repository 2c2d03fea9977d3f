"""Missing values of an input: refused with their place named, or filled and masked again."""

from typing import Any

import numpy as np
import xarray as xr

from xresdiff.engine.blocks import CHANNEL, fine_dim
from xresdiff.engine.request import Request
from xresdiff.errors import InputError

__all__ = ["filled", "masked", "refused"]


def refused(coarse: xr.DataArray, labels: list[xr.DataArray], request: Request) -> xr.DataArray:
    """Refuse missing values, naming the first: at once, or when a lazy input is computed."""
    grid = request.horizontal
    core = [CHANNEL, *grid.dims]
    return _mapped(
        refuse_block,
        [coarse, *labels],
        [core, *([] for _ in labels)],
        core,
        what=f"cannot downscale with {request.model.name}",
        channels=[channel.name for channel in request.card.inputs],
        rows=_places(grid.y_coord),
        columns=_places(grid.x_coord),
    )


def refuse_block(
    coarse: np.ndarray,
    *labels: np.ndarray,
    what: str,
    channels: list[str],
    rows: list[str],
    columns: list[str],
) -> np.ndarray:
    """Return ``(..., channel, y, x)`` as it is, if nothing is missing."""
    bad = ~np.isfinite(coarse)
    if not bad.any():
        return coarse
    *field, channel, row, column = np.unravel_index(bad.argmax(), bad.shape)
    where = [str(np.broadcast_to(label, bad.shape[:-3])[tuple(field)]) for label in labels]
    where += [rows[row], columns[column]]
    values = bad[..., channel, :, :]
    raise InputError(
        f"{what}: {values.sum()} of {values.size} values of {channels[channel]!r} are missing, "
        f"the first at {', '.join(where)}. Fill them, or leave their places missing in the "
        "result: downscale(..., skipna=True)"
    )


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
