"""Functions of NumPy blocks mapped over labelled arrays: at once, or as lean graphs of dask.

An ensemble of a century of days has a hundred thousand chunks and more, so its graph must cost next
to nothing for each of them until it runs. Three things see to that:

* :func:`mapped` makes layers of :func:`dask.array.blockwise`, which are one entry of the graph
  whatever the number of chunks; dask writes their tasks out when they run, and joins layers that
  follow one another, so that reading, checking and stacking a time are one task;
* small arrays in memory, such as labels of fields, are no arrays of dask: a layer holds them whole,
  and a task gets its part of them (:class:`_Cut`);
* what many chunks share, such as the mean of a time that all its members need, is kept out of that
  joining, which would compute it again for each (:func:`_once`).
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.layers import ArrayBlockwiseDep

from xresdiff.engine.cutting import Chunks, recut

if TYPE_CHECKING:
    import dask.array as da  # takes a second to import: inside the functions that need it

__all__ = ["mapped"]


def mapped(
    function: Callable[..., np.ndarray],
    arrays: Sequence[xr.DataArray],
    inner: Sequence[Sequence[Hashable]],
    outer: Mapping[Any, int],
    *,
    dtype: Any = np.float32,
    chunks: Mapping[Any, tuple[int, ...]] | None = None,
    **kwargs: Any,
) -> xr.DataArray:
    """Map a function of blocks over all but the inner dimensions, lazily if an array is lazy.

    Parameters
    ----------
    function : callable
        Of NumPy arrays, ``(..., inner)`` each, whose other dimensions broadcast; it returns
        ``(..., outer)``.
    arrays : sequence of xarray.DataArray
        What it is mapped over; their coordinates are left behind. Lazy ones are whole along their
        inner dimensions.
    inner : sequence of sequences of Hashable
        Inner dimensions of every array.
    outer : mapping of dimension to int
        Inner dimensions of the result, at least one, and its sizes along them.
    dtype : data-type, default float32
        Of the result.
    chunks : mapping of dimension to tuple of int, optional
        How a lazy result is cut along dimensions that no lazy array has; in one by default.
    **kwargs
        For the function.

    Returns
    -------
    xarray.DataArray, (..., outer)
        Its other dimensions are in the order in which they come.

    Examples
    --------
    >>> fields = xr.DataArray(np.ones((2, 3)), dims=("time", "x"))
    >>> weight = xr.DataArray([1.0, 2.0], dims="time")
    >>> def weighted(fields, weight):
    ...     return fields * weight[..., None]
    >>> mapped(weighted, [fields, weight], [["x"], []], {"x": 3}).values
    array([[1., 1., 1.],
           [2., 2., 2.]])
    """
    import dask.array as da

    variables = [
        array.variable.transpose(..., *own) for array, own in zip(arrays, inner, strict=True)
    ]
    outside = [v.dims[: v.ndim - len(own)] for v, own in zip(variables, inner, strict=True)]
    loop = tuple(dict.fromkeys(dim for dims in outside for dim in dims))
    expand = tuple(_expansion(dims, loop) for dims in outside)
    # keywords go within, as dask would look into them, and make tasks of lists
    call = partial(_on_blocks, function=partial(function, **kwargs), expand=expand)
    if all(v.chunks is None for v in variables):
        data = call(*(v.values for v in variables))
        return xr.DataArray(data, dims=(*loop, *outer))
    cuts = _cuts(variables, outside, chunks or {})
    pairs: list[Any] = []  # of arrays and of the names of their dimensions, in turn
    for v, dims in zip(variables, outside, strict=True):
        pairs += _argument(v, dims, cuts, len(outer))
    given = set().union(*pairs[1::2])
    axes = dict(zip(_inner_names(len(outer), len(outer)), outer.values(), strict=True))
    data = da.blockwise(
        call,
        (*loop, *axes),
        *pairs,
        token=function.__name__,
        dtype=np.dtype(dtype),
        meta=np.empty((0,) * (len(loop) + len(outer)), dtype),
        new_axes={axis: size for axis, size in axes.items() if axis not in given},
        adjust_chunks={axis: size for axis, size in axes.items() if axis in given},
        align_arrays=False,
    )
    return xr.DataArray(data, dims=(*loop, *outer))


def _on_blocks(
    *blocks: np.ndarray,
    function: Callable[..., np.ndarray],
    expand: tuple[tuple[Any, ...], ...],
) -> np.ndarray:
    """Call a function on blocks whose outer dimensions are made to broadcast."""
    return function(*(block[axes] for block, axes in zip(blocks, expand, strict=True)))


def _expansion(dims: Sequence[Hashable], loop: Sequence[Hashable]) -> tuple[Any, ...]:
    """Return the index that makes an array of some dimensions broadcast along all of the loop."""
    first = min((loop.index(dim) for dim in dims), default=len(loop))
    return (*(slice(None) if dim in dims else None for dim in loop[first:]), ...)


def _cuts(
    variables: Sequence[xr.Variable],
    outside: Sequence[Sequence[Hashable]],
    chunks: Mapping[Hashable, tuple[int, ...]],
) -> dict[Hashable, tuple[int, ...]]:
    """Return the chunks along each outer dimension: of the lazy array of most dimensions first."""
    cuts: dict[Hashable, tuple[int, ...]] = {}
    for v, dims in sorted(zip(variables, outside, strict=True), key=lambda each: -each[0].ndim):
        for dim in dims if v.chunks is not None else ():
            cuts.setdefault(dim, v.chunksizes[dim])
    for v, dims in zip(variables, outside, strict=True):
        for dim in dims:
            cuts.setdefault(dim, chunks.get(dim, (v.sizes[dim],)))
    return cuts


def _argument(
    v: xr.Variable, dims: Sequence[Hashable], cuts: Mapping[Hashable, tuple[int, ...]], n: int
) -> tuple[Any, tuple[Hashable, ...]]:
    """Return an array as blockwise takes it for a result of `n` inner dimensions, and its names."""
    import dask.array as da

    sides = v.shape[len(dims) :]
    chunks = (*(cuts[dim] for dim in dims), *((side,) for side in sides))
    if v.chunks is None and len(sides) < 2:
        return _Cut(v.values, chunks[: len(dims)]), tuple(dims)
    lazy = da.from_array(v.values, chunks=chunks) if v.chunks is None else recut(v.data, chunks)
    if any(len(cuts[dim]) > 1 for dim in cuts if dim not in dims):
        lazy = _once(lazy)
    return lazy, (*dims, *_inner_names(len(sides), n))


def _inner_names(n: int, most: int) -> tuple[str, ...]:
    """Name the last `n` dimensions of blocks, for a result that has `most` of them.

    Dimensions of arrays that the result does not name would be summed over. So inner ones, of which
    all are whole, have the names of those of the result, counted from the last, whatever they mean;
    where there are more, the first of them share one.
    """
    return tuple(f"_{min(place, most)}" for place in range(n, 0, -1))


def _once(array: "da.Array") -> "da.Array":
    """Have every block computed once, however many others need it, by a task of its own.

    Where layers follow one another, dask makes one task of their blocks. A block that is needed
    for several, such as the mean of a time for its members, would become part of the task of
    each. Dask joins no layers across a dimension that is summed over, so there is one, of size one.
    """
    import dask.array as da

    index, more = tuple(range(array.ndim)), tuple(range(array.ndim + 1))
    how: dict[str, Any] = {"dtype": array.dtype, "align_arrays": False}
    meta = np.empty((0,) * len(more), array.dtype)
    wide = da.blockwise(_widened, more, array, index, new_axes={array.ndim: 1}, meta=meta, **how)
    return da.blockwise(_narrowed, index, wide, more, meta=array._meta, **how)


def _widened(block: np.ndarray) -> np.ndarray:
    """Add the dimension over which nothing is summed."""
    return block[..., None]


def _narrowed(blocks: list[np.ndarray]) -> np.ndarray:
    """Take the only one of the blocks along the dimension that was added, and drop it."""
    return blocks[0][..., 0]


class _Cut(ArrayBlockwiseDep):
    """The blocks of a NumPy array, cut along its first dimensions when they are needed."""

    def __init__(self, values: np.ndarray, chunks: Chunks) -> None:
        super().__init__(chunks)
        self.values = values
        self.starts = tuple(np.concatenate([[0], np.cumsum(sizes)]) for sizes in chunks)
        self.token = tokenize(values, *self.starts)

    def __getitem__(self, number: tuple[int, ...]) -> np.ndarray:
        starts = zip(number, self.starts, strict=True)
        where: list[Any] = [slice(*start[i : i + 2].tolist()) for i, start in starts]
        return self.values[(*where, ...)]  # an array, also of no dimensions

    def __dask_tokenize__(self) -> tuple[str, str]:
        return "_Cut", self.token
