"""Lazy arrays cut into other chunks, and chunks made of pieces of several of them.

Both write out a task for every new chunk, so they make these by whole lists: an array of a century
of days has a hundred thousand.
"""

from collections.abc import Callable, Hashable, Mapping
from itertools import product, repeat
from operator import getitem
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

if TYPE_CHECKING:
    import dask.array as da  # takes a second to import: inside the functions that need it

__all__ = ["Chunks", "cut", "gathered", "recut"]

Chunks = tuple[tuple[int, ...], ...]


def cut(array: xr.DataArray, sizes: Mapping[Hashable, int]) -> xr.DataArray:
    """Cut a lazy array into chunks of some sizes, one where none is told; leave others."""
    from dask.array.core import normalize_chunks

    if array.chunks is None:
        return array
    wanted = tuple(sizes.get(dim, 1) for dim in array.dims)
    chunks = normalize_chunks(wanted, array.shape, dtype=array.dtype)
    return array.copy(data=recut(array.data, chunks))


def recut(array: "da.Array", chunks: Chunks) -> "da.Array":
    """Cut a lazy array otherwise; quickly, where every new chunk is part of one that it has.

    Parameters
    ----------
    array : dask.array.Array
        Left as it is.
    chunks : tuple of tuples of int
        As of :attr:`dask.array.Array.chunks`.

    Returns
    -------
    dask.array.Array

    Examples
    --------
    >>> import dask.array as da
    >>> recut(da.arange(5, chunks=4), ((1, 3, 1),)).chunks
    ((1, 3, 1),)
    """
    import dask.array as da

    if array.chunks == chunks:
        return array
    parts = [_parts(old, new) for old, new in zip(array.chunks, chunks, strict=True)]
    inside = [part for part in parts if part is not None]
    if len(inside) < len(parts):
        return array.rechunk(chunks)
    name = "cut-" + tokenize(array.name, chunks)
    keys = product([name], *(range(len(new)) for new in chunks))
    blocks = product([array.name], *(blocks for blocks, _ in inside))
    wheres = product(*(wheres for _, wheres in inside))
    graph: dict[Any, Any] = dict(zip(keys, zip(repeat(getitem), blocks, wheres), strict=True))
    layers = HighLevelGraph.from_collections(name, graph, [array])  # type: ignore[list-item]
    return da.Array(layers, name, chunks, meta=array._meta)


def gathered(
    function: Callable[[list[np.ndarray], np.ndarray], np.ndarray],
    array: "da.Array",
    axis: int,
    where: np.ndarray,
    size: int,
    channels: int,
) -> "da.Array":
    """Make chunks out of places along an axis, as a function does of the blocks with them.

    Parameters
    ----------
    function : callable
        Of a list of the block with each place of a chunk, row by row, and of the places in
        them, ``(o, t)``.
    array : dask.array.Array, (..., channel, y, x)
        Left as it is.
    axis : int
        Of the places, before those of channel, y and x.
    where : numpy.ndarray, (o, t)
        Places along the axis for every chunk, of which each takes `o` for each of its own.
    size : int
        How many of them are a chunk; -1 for all.
    channels : int
        Of the result.

    Returns
    -------
    dask.array.Array
    """
    import dask.array as da

    (cuts,) = da.core.normalize_chunks((size,), (where.shape[1],), dtype=array.dtype)
    last = np.cumsum(array.chunks[axis])
    owner = np.searchsorted(last, where, side="right")
    place = where - (last - np.asarray(array.chunks[axis]))[owner]
    stops = np.cumsum(cuts).tolist()
    parts = [slice(stop - own, stop) for stop, own in zip(stops, cuts, strict=True)]
    name = "gathered-" + tokenize(array.name, function, where, cuts)
    graph: dict[Any, Any] = {}
    blocks = [owner[:, part].ravel().tolist() for part in parts]
    for head in np.ndindex(array.numblocks[:axis]):
        for tail in np.ndindex(array.numblocks[axis + 1 :]):
            keys = [(array.name, *head, i, *tail) for i in range(array.numblocks[axis])]
            for i, part in enumerate(parts):
                needed = [keys[block] for block in blocks[i]]
                graph[name, *head, i, *tail] = (function, needed, place[:, part])
    layers = HighLevelGraph.from_collections(name, graph, [array])  # type: ignore[list-item]
    chunks = (*array.chunks[:axis], cuts, *array.chunks[axis + 1 : -3], (channels,))
    return da.Array(layers, name, (*chunks, *array.chunks[-2:]), meta=array._meta)


def _parts(old: tuple[int, ...], new: tuple[int, ...]) -> tuple[list[int], list[slice]] | None:
    """Return the old chunk of every new one, and where in it that is; None if it has several."""
    ends, last = np.cumsum(old), np.cumsum(new)
    first = last - np.asarray(new)
    blocks = np.searchsorted(ends, first, side="right")
    if (last > ends[blocks]).any():
        return None
    begins = (ends - np.asarray(old))[blocks]
    wheres = map(slice, (first - begins).tolist(), (last - begins).tolist())
    return blocks.tolist(), list(wheres)
