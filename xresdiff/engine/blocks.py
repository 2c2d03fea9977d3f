"""The graph of an ensemble: block functions on numpy arrays, mapped lazily over all but y and x.

A block is called with ``(..., channel, y, x)`` and knows the model by its key, which it loads once
per process; the graph holds no weights.
"""

from collections.abc import Callable, Hashable
from math import prod
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.engine.arguments import Settings
from xresdiff.engine.request import Request

__all__ = [
    "CHANNEL",
    "FINE_CHANNEL",
    "MOMENT",
    "fine_dim",
    "map_blocks",
    "mean_block",
    "member_block",
    "physical_block",
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
    **kwargs: Any,
) -> xr.DataArray:
    """Map a block function over every dimension but channel, y and x, lazily if it is lazy.

    The result of a `padded` function has the padding of a fixed target.
    """
    ny, nx = request.horizontal.dims
    fine = (FINE_CHANNEL, fine_dim(ny), fine_dim(nx))
    shape = request.placement.padded_shape if padded else request.placement.shape
    sizes = (len(request.card.outputs), *shape)
    inner = (CHANNEL, ny, nx, *fine, MOMENT)
    return xr.apply_ufunc(
        function,
        *arrays,
        input_core_dims=[[dim for dim in inner if dim in a.dims] for a in arrays],
        output_core_dims=[list(fine)],
        exclude_dims=set(fine[1:]) if any(fine[1] in a.dims for a in arrays) else set(),
        kwargs={"key": request.model.key, "settings": request.settings, **kwargs},
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": dict(zip(fine, sizes, strict=True))},
    )


def mean_block(
    coarse: np.ndarray, moments: np.ndarray | None = None, *, key: str, settings: Settings
) -> np.ndarray:
    """Regress the encoded mean: ``(..., c, Y, X)`` to ``(..., k, y, x)``."""
    from xresdiff.engine.runtime import load

    runtime = load(key, settings.device, settings.precision)
    fields = runtime.mean(_flat(coarse), _of_fields(moments, coarse.shape[:-3]))
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
