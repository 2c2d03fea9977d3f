"""Work on large data in memory piece by piece, on all cores."""

from collections.abc import Collection, Hashable, Mapping
from typing import Any
from uuid import uuid4

import numpy as np
import xarray as xr

__all__ = ["cut", "piece_sizes"]

#: Values of an ensemble that are worked on at a time, by one core.
PIECE_VALUES = 2**22


class _Readable:
    """An array that is read in slices and never copied, as a file would be.

    Of a plain array dask makes a copy of its own.
    """

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, key: Any) -> np.ndarray:
        return self._values[key]


def piece_sizes(
    ens: xr.DataArray, member: Hashable, whole: Collection[Hashable] = ()
) -> dict[Hashable, Any] | None:
    """Choose chunks for an ensemble in memory; None if it is small.

    All members are in each chunk, and all points along the dimensions `whole`.
    """
    if ens.size <= 2 * PIECE_VALUES:
        return None
    import dask.array as da

    dims = [d for d in ens.dims if d != member]
    shape = tuple(ens.sizes[d] for d in dims)
    how = tuple(-1 if d in whole else "auto" for d in dims)
    limit = max(PIECE_VALUES // ens.sizes[member], 1)  # bytes of one byte each: values
    sizes = da.core.normalize_chunks(how, shape, limit=limit, dtype="i1")
    return dict(zip(dims, sizes, strict=True)) | {member: ens.sizes[member]}


def cut(field: xr.DataArray, sizes: Mapping[Hashable, Any]) -> xr.DataArray:
    """Make data in memory a lazy array of these chunks, without a copy."""
    import dask.array as da

    if not field.ndim:
        return field
    chunks = tuple(sizes[d] for d in field.dims)
    # a name of its own rather than a digest of the data, which takes longer than a score
    lazy = da.from_array(_Readable(field.values), chunks, name=f"piece-{uuid4().hex}")
    return field.copy(data=lazy)
