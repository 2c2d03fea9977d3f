"""The graph of an ensemble: block functions on numpy arrays, mapped lazily over all but y and x.

A block is called with ``(..., channel, y, x)`` and knows the model by its key, which it loads once
per process; the graph holds no weights.
"""

from collections.abc import Callable, Hashable
from math import prod

import numpy as np
import xarray as xr

from xresdiff.engine.arguments import Settings
from xresdiff.engine.request import Request

__all__ = [
    "CHANNEL",
    "FINE_CHANNEL",
    "fine_dim",
    "map_blocks",
    "mean_block",
    "member_block",
    "physical_block",
]

CHANNEL, FINE_CHANNEL = "_channel", "_fine_channel"  # dimensions that no user has


def fine_dim(dim: Hashable) -> str:
    """Name a fine dimension as long as the coarse one of its name is about."""
    return f"_fine_{dim}"


def map_blocks(
    function: Callable[..., np.ndarray], arrays: list[xr.DataArray], request: Request
) -> xr.DataArray:
    """Map a block function over every dimension but channel, y and x, lazily if it is lazy."""
    ny, nx = request.horizontal.dims
    fine = (FINE_CHANNEL, fine_dim(ny), fine_dim(nx))
    size = {name: n for a in arrays for name, n in a.sizes.items()}
    factor = request.factor
    sizes = (len(request.card.outputs), size[ny] * factor, size[nx] * factor)
    core = [[d for d in (CHANNEL, ny, nx, *fine) if d in a.dims] for a in arrays]
    return xr.apply_ufunc(
        function,
        *arrays,
        input_core_dims=core,
        output_core_dims=[list(fine)],
        kwargs={"key": request.model.key, "settings": request.settings},
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": dict(zip(fine, sizes, strict=True))},
    )


def mean_block(coarse: np.ndarray, *, key: str, settings: Settings) -> np.ndarray:
    """Regress the encoded mean: ``(..., c, Y, X)`` to ``(..., k, y, x)``."""
    from xresdiff.engine.runtime import load

    runtime = load(key, settings.device, settings.precision)
    fields = runtime.mean(_flat(coarse))
    return fields.reshape(*coarse.shape[:-3], *fields.shape[-3:])


def physical_block(
    mean: np.ndarray, coarse: np.ndarray, *, key: str, settings: Settings
) -> np.ndarray:
    """Bring encoded fields into physical units: ``(..., k, y, x)``."""
    from xresdiff.engine.runtime import load

    runtime = load(key, settings.device, settings.precision)
    return runtime.physical(_flat(mean), _flat(coarse)).reshape(mean.shape)


def member_block(
    numbers: np.ndarray,
    mean: np.ndarray,
    coarse: np.ndarray,
    *labels: np.ndarray,
    key: str,
    settings: Settings,
) -> np.ndarray:
    """Draw the members of a block: ``(..., k, y, x)`` over all loop dimensions, broadcast."""
    from xresdiff.engine.runtime import Draw, load

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
    fields = runtime.members(_flat(coarse), _flat(mean), draws, settings)
    return fields.reshape(*loop, *fields.shape[-3:])


def _flat(fields: np.ndarray) -> np.ndarray:
    """Join all loop dimensions: ``(..., k, y, x)`` to ``(n, k, y, x)``."""
    return fields.reshape(-1, *fields.shape[-3:])
