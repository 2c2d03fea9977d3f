"""The graph of an ensemble: block functions on numpy arrays, mapped lazily over all but y and x.

A block is called with ``(..., channel, y, x)`` and knows the model by its key, which it loads once
per process; the graph holds no weights.
"""

from collections.abc import Callable, Hashable, Mapping
from math import prod
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.engine.arguments import Settings
from xresdiff.engine.mapping import mapped
from xresdiff.engine.request import Request

__all__ = [
    "CHANNEL",
    "FINE_CHANNEL",
    "MOMENT",
    "fine_dim",
    "hour_block",
    "level_block",
    "map_blocks",
    "mean_block",
    "member_block",
    "physical_block",
    "picked",
    "stack_block",
]

CHANNEL, FINE_CHANNEL, MOMENT = "_channel", "_fine_channel", "_moment"  # that no user has


def fine_dim(dim: Hashable) -> str:
    """Name a fine dimension as long as the coarse one of its name is about."""
    return f"_fine_{dim}"


def map_blocks(
    function: Callable[..., np.ndarray],
    arrays: list[xr.DataArray],
    request: Request,
    *,
    padded: bool = False,
    chunks: Mapping[Any, tuple[int, ...]] | None = None,
    **kwargs: Any,
) -> xr.DataArray:
    """Map a block function over every dimension but channel, y and x, lazily if it is lazy.

    The result of a `padded` function has the padding of a fixed target; `chunks` are as
    of :func:`~xresdiff.engine.mapping.mapped`.
    """
    ny, nx = request.horizontal.dims
    fine = (FINE_CHANNEL, fine_dim(ny), fine_dim(nx))
    shape = request.placement.padded_shape if padded else request.placement.shape
    sizes = (len(request.card.outputs), *shape)
    inner = (CHANNEL, ny, nx, *fine, MOMENT)
    return mapped(
        function,
        arrays,
        [[dim for dim in inner if dim in a.dims] for a in arrays],
        dict(zip(fine, sizes, strict=True)),
        chunks=chunks,
        key=request.model.key,
        settings=request.settings,
        **kwargs,
    )


def picked(result: xr.DataArray, places: int | list[int], sizes: Mapping[str, int]) -> xr.DataArray:
    """Take a channel of a result, or a list of them, and of its fields what has these sizes."""
    core = [FINE_CHANNEL, *list(sizes)[-2:]]
    corner = tuple(map(slice, list(sizes.values())[-2:]))
    return mapped(pick_block, [result], [core], sizes, places=places, corner=corner)


def stack_block(*fields: np.ndarray) -> np.ndarray:
    """Stack the channels of a block: ``(..., y, x)`` each to ``(..., channel, y, x)``."""
    return np.stack(np.broadcast_arrays(*fields), axis=-3)


def level_block(fields: np.ndarray, *, place: int) -> np.ndarray:
    """Take one level of ``(..., level, y, x)``."""
    return fields[..., place, :, :]


def hour_block(
    days: list[np.ndarray], where: np.ndarray, *, axis: int, order: list[int]
) -> np.ndarray:
    """Put the fields of several days together for the hours of some.

    `where` is the place along `axis` of the field for each offset and hour, ``(o, t)``, in the days
    of the list, row by row; the channels of all offsets, one behind the other, are put in the
    `order` of the card.
    """
    fields = [np.take(day, [i], axis=axis) for day, i in zip(days, where.flat, strict=True)]
    n = where.shape[1]
    every = [np.concatenate(fields[i : i + n], axis=axis) for i in range(0, len(fields), n)]
    return np.concatenate(every, axis=-3)[..., order, :, :]


def pick_block(
    fields: np.ndarray, *, places: int | list[int], corner: tuple[slice, slice]
) -> np.ndarray:
    """Take channels, and the first rows and columns, of ``(..., channel, y, x)``."""
    if places == list(range(fields.shape[-3])):
        return fields[..., *corner]
    return fields[..., places, *corner]


def mean_block(
    coarse: np.ndarray, moments: np.ndarray | None = None, *, key: str, settings: Settings
) -> np.ndarray:
    """Regress the encoded mean: ``(..., c, Y, X)`` to ``(..., k, y, x)``."""
    from xresdiff.engine.runtime import load

    runtime = load(key, settings.device, settings.precision)
    fields = runtime.mean(_flat(coarse), _of_fields(moments, coarse.shape[:-3]), settings)
    return fields.reshape(*coarse.shape[:-3], *fields.shape[-3:])


def physical_block(
    mean: np.ndarray, coarse: np.ndarray, *, key: str, settings: Settings
) -> np.ndarray:
    """Bring encoded fields into physical units: ``(..., k, y, x)``."""
    from xresdiff.engine.runtime import load

    runtime = load(key, settings.device, settings.precision)
    fields = runtime.physical(_flat(mean), _flat(coarse))
    return fields.reshape(*mean.shape[:-3], *fields.shape[-3:])


def member_block(
    numbers: np.ndarray,
    mean: np.ndarray,
    coarse: np.ndarray,
    *labels: np.ndarray,
    key: str,
    settings: Settings,
    timed: bool,
) -> np.ndarray:
    """Draw the members of a block: ``(..., k, y, x)`` over all loop dimensions, broadcast.

    The first of the labels are the moments of the fields, ``(..., 2)``, where it is `timed`.
    """
    from xresdiff.engine.runtime import Draw, load

    moments, labels = (labels[0], labels[1:]) if timed else (None, labels)
    loop = np.broadcast_shapes(
        numbers.shape, mean.shape[:-3], coarse.shape[:-3], *(label.shape for label in labels)
    )
    # the times of the block, whatever the members: mean and input have no member dimension
    own = mean.shape[:-3]
    place = np.broadcast_to(np.arange(prod(own)).reshape(own), loop).ravel()
    texts = [np.broadcast_to(label, loop).ravel() for label in labels]
    draws = [
        # sorted, so that the order of the dimensions does not matter
        Draw(int(place[i]), tuple(sorted(str(text[i]) for text in texts)), int(member))
        for i, member in enumerate(np.broadcast_to(numbers, loop).ravel())
    ]
    runtime = load(key, settings.device, settings.precision)
    known = _of_fields(moments, own)
    fields = runtime.members(_flat(coarse), _flat(mean), draws, settings, known)
    return fields.reshape(*loop, *fields.shape[-3:])


def _flat(fields: np.ndarray) -> np.ndarray:
    """Join all loop dimensions: ``(..., k, y, x)`` to ``(n, k, y, x)``."""
    return fields.reshape(-1, *fields.shape[-3:])


def _of_fields(moments: np.ndarray | None, loop: tuple[int, ...]) -> np.ndarray | None:
    """Return the moments of every field, ``(n, 2)``."""
    if moments is None:
        return None
    return np.broadcast_to(moments, (*loop, moments.shape[-1])).reshape(-1, moments.shape[-1])
