"""Take the points of an ensemble a block at a time."""

from collections.abc import Callable, Sequence
from functools import wraps
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "in_blocks", "in_own_precision", "summed"]

Floats: TypeAlias = NDArray[np.floating[Any]]

#: Values of an ensemble worked on at a time: temporaries of this size stay in the cache.
BLOCK_VALUES = 2**18


def in_blocks(kernel: Callable[..., Floats]) -> Callable[..., Floats]:
    """Extend a kernel from ``(m, n), (n) -> (n, ...)`` to ``(..., m), (...) -> (..., ...)``.

    The points are taken a block at a time, so that temporaries stay small however large the
    ensemble is. The kernel gets one contiguous row per member, of floats, all in the finest
    precision that there is: integers become floats, whose differences do not wrap around. No copy
    of the whole ensemble is made where the members lie one after the other in memory, as xarray's
    dimension order (member, ...) has them.
    """

    @wraps(kernel)
    def extended(ens: Floats, *fields: Floats, **options: Any) -> Floats:
        dtype = np.result_type(ens, *fields, np.float32)
        return _extend(kernel, ens, fields, [dtype] * (1 + len(fields)), options)

    return extended


def in_own_precision(kernel: Callable[..., Floats]) -> Callable[..., Floats]:
    """Extend a kernel as :func:`in_blocks` does, with each array in its own precision.

    So for what is compared with a number: 0.7 of float32 is not 0.7 once it is of float64.
    """

    @wraps(kernel)
    def extended(ens: Floats, *fields: Floats, **options: Any) -> Floats:
        return _extend(kernel, ens, fields, [_own(field) for field in (ens, *fields)], options)

    return extended


def _own(field: Floats) -> np.dtype[Any]:
    """Return the type of floats, and that of floats which hold anything else."""
    return field.dtype if field.dtype.kind == "f" else np.result_type(field, np.float32)


def _extend(
    kernel: Callable[..., Floats],
    ens: Floats,
    fields: Sequence[Floats],
    dtypes: Sequence[np.dtype[Any]],
    options: dict[str, Any],
) -> Floats:
    """Apply a kernel block by block, to arrays made of these types."""
    shape, members = ens.shape[:-1], ens.shape[-1]
    rows = np.moveaxis(ens, -1, 0).reshape(members, prod(shape))
    columns = [np.broadcast_to(field, shape).reshape(-1) for field in fields]
    step = max(BLOCK_VALUES // max(members, 1), 1)
    result = None
    for start in range(0, max(rows.shape[1], 1), step):
        part = slice(start, start + step)
        done = kernel(
            rows[:, part].astype(dtypes[0], order="C"),
            *(c[part].astype(dtype) for c, dtype in zip(columns, dtypes[1:], strict=True)),
            **options,
        )
        if result is None:
            result = np.empty((rows.shape[1], *done.shape[1:]), done.dtype)
        result[part] = done
    assert result is not None  # there is one block at least
    return result.reshape(shape + result.shape[1:])


def summed(
    ens: Floats,
    obs: Floats,
    weights: Floats | None = None,
    *,
    kernel: Callable[..., Floats],
    sides: int,
    skipna: bool = True,
    **options: Any,
) -> Floats:
    """Sum what a kernel knows of points, times their weights, and the weights of these points.

    ``(..., *sides, m), (..., *sides), (..., *sides) -> (..., *new, part + 1)`` for a kernel
    ``(..., m), (...) -> (..., *new, part)``, whose results are all NaN where anything is missing:
    such points do not count, or, without `skipna`, make the sums NaN. The last part is the sum of
    the weights. No more than a block of points is worked on at a time.
    """
    shape, members = ens.shape[: ens.ndim - 1 - sides], ens.shape[-1]
    rows, size = prod(shape), prod(ens.shape[len(shape) : -1])
    points = np.moveaxis(ens, -1, 0).reshape(members, rows * size).T
    fields = [
        None if field is None else np.broadcast_to(field, ens.shape[:-1]).reshape(-1)
        for field in (obs, weights)
    ]
    step = max(BLOCK_VALUES // max(members, 1), 1)
    result = None
    for start in range(0, max(len(points), 1), step):
        part = slice(start, start + step)
        truth, weight = (None if field is None else field[part] for field in fields)
        values = _weighted(kernel(points[part], truth, **options), weight, skipna)
        if result is None:
            result = np.zeros((rows, *values.shape[1:]))
        which = np.arange(start, start + len(values)) // max(size, 1)
        first = np.flatnonzero(np.diff(which, prepend=-1))
        result[which[first]] += np.add.reduceat(values, first, axis=0)
    assert result is not None  # there is one block at least
    return result.reshape(shape + result.shape[1:])


def _weighted(values: Floats, weights: Floats | None, skipna: bool) -> Floats:
    """Weigh values and add their weights as one more part, ``(n, *new, p) -> (n, *new, p + 1)``.

    What is missing has no weight.
    """
    ones = np.ones((*values.shape[:-1], 1))
    values = np.concatenate([values, ones], axis=-1)
    if skipna:
        values[np.isnan(values[..., 0])] = 0.0
    if weights is not None:
        values *= weights.reshape(-1, *(1,) * (values.ndim - 1))
    return values
