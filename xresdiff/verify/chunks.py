"""Apply a kernel to every chunk of lazy data, and keep what it gives of each: small sums."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.verify.arguments import check_fields, check_weights
from xresdiff.verify.matching import at_points_of, named_as
from xresdiff.verify.pairs import Pair

__all__ = ["by_chunk", "weights_of"]


def weights_of(pair: Pair, weights: xr.DataArray | None) -> list[xr.DataArray]:
    """Match weights with a pair, for scores that sum points before they are averaged.

    Raises
    ------
    InputError
        If they are no weights, or do not match.
    """
    check_fields(pair.ens, obs=None, weights=weights, references=())
    if weights is None:
        return []
    ours = check_weights(named_as(pair.ens, weights), pair.member)
    return [at_points_of(pair.ens, ours, "weights")]


def by_chunk(
    kernel: Callable[..., Any],
    *fields: xr.DataArray,
    dims: Collection[Hashable],
    core: Collection[Hashable] = (),
    new: Mapping[str, int],
    dtype: Any = np.float64,
) -> xr.DataArray:
    """Apply a kernel to data in memory, or to each chunk of lazy data.

    A pass over lazy data has one task for each chunk, which is read once and not kept.

    Parameters
    ----------
    kernel : callable
        Of arrays, the axes of which are in this order: dimensions that are kept; `dims`; others.
        It gives an array of those kept and `new`.
    *fields : xarray.DataArray
        The data first: of their dimensions all are kept but `dims` and `core`. The others may lack
        dimensions, and may have some of their own.
    dims : collection of Hashable
        Dimensions which the kernel sums over.
    core : collection of Hashable
        Dimensions of the data of which every chunk needs all.
    new : mapping of str to int
        Dimensions of the result, with their sizes.
    dtype
        Type of the result.

    Returns
    -------
    xarray.DataArray, (..., *dims, *new)
        What the kernel gave: along `dims`, one value of each chunk. Lazy if anything is.

    Examples
    --------
    >>> data = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("y", "x")).chunk(x=2)
    >>> total = by_chunk(lambda a: a.sum(1, keepdims=True), data, dims=["x"], new={"part": 1})
    >>> total.isel(part=0).values
    array([[1., 2.],
           [7., 5.]])
    """
    first = fields[0]
    kept = [d for d in first.dims if d not in dims and d not in core]
    places = [*kept, *(d for d in first.dims if d in dims)]
    ordered = [f.variable.transpose(*_order(f, places)) for f in fields]
    apply = partial(_apply, kernel=kernel, kept=len(kept), dims=len(places) - len(kept))
    if all(variable.chunks is None for variable in ordered):
        values = apply(*(variable.values for variable in ordered))
    else:
        values = _lazily(apply, ordered, places, len(kept), new, dtype)
    own = {name: c for name, c in first.coords.items() if set(c.dims) <= set(kept)}
    return xr.DataArray(values, own, [*places, *new])


def _order(field: xr.DataArray, places: Sequence[Hashable]) -> list[Hashable]:
    """Order dimensions: those of the data, then their own."""
    return [d for d in places if d in field.dims] + [d for d in field.dims if d not in places]


def _apply(*blocks: Any, kernel: Callable[..., Any], kept: int, dims: int) -> Any:
    """Apply the kernel to one chunk, whose summed axes stay, with size 1."""
    values = kernel(*blocks)
    return values.reshape(*values.shape[:kept], *(1,) * dims, *values.shape[kept:])


def _lazily(
    apply: Callable[..., Any],
    variables: Sequence[xr.Variable],
    places: Sequence[Hashable],
    kept: int,
    new: Mapping[str, int],
    dtype: Any,
) -> Any:
    """Apply to every chunk of arrays, of which some are lazy."""
    import dask.array as da

    index = {d: f"place{i}" for i, d in enumerate(places)}
    added = {f"new{i}": size for i, size in enumerate(new.values())}
    operands: list[Any] = []
    for n, variable in enumerate(variables):
        whole = {i: -1 for i, d in enumerate(variable.dims) if d not in index}
        names = [index.get(d, f"own{n}-{i}") for i, d in enumerate(variable.dims)]
        operands += [da.asarray(variable.data).rechunk(whole), names]
    out = [*index.values(), *added]
    return da.blockwise(
        apply,
        out,
        *operands,
        new_axes=added,
        adjust_chunks=dict.fromkeys(list(index.values())[kept:], 1),
        concatenate=True,
        meta=np.empty((0,) * len(out), dtype),
    )
