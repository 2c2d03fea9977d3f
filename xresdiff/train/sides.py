"""The fields of one side of the pairs: those with a partner, in the units of the card, lazily."""

from collections.abc import Hashable, Mapping, Sequence
from math import prod

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xresdiff.engine.blocks import CHANNEL
from xresdiff.engine.hours import moves_time
from xresdiff.engine.inputs import at_hours, stacked
from xresdiff.engine.labels import noise_labels
from xresdiff.engine.missing import checked
from xresdiff.engine.request import Request
from xresdiff.errors import UnitsError
from xresdiff.grids import units

__all__ = ["PAIR", "paired_fields"]

PAIR = "_pair"  # the dimension of pairs, that no user has
CHUNK_bytes = 2**23  # of a chunk of fields that are small
MOST_FIELDS = 64  # of a chunk
STORED_bytes = 2**27  # of a chunk of a file that is read at once

Places = Mapping[Hashable, NDArray[np.int64]]


def paired_fields(ds: xr.Dataset, request: Request, places: Places) -> xr.DataArray:
    """Return the fields of one side that have a partner.

    Parameters
    ----------
    ds : xarray.Dataset
        What the request was made for. Variables of files that were opened without chunks stay
        there.
    request : Request
        What was found in it.
    places : mapping of dimension to numpy.ndarray
        Of the fields with a partner along each dimension, in the order of the pairs.

    Returns
    -------
    xarray.DataArray, (_pair, _channel, y, x)
        In float32, lazy if a variable is, or if it is regridded.

    Raises
    ------
    InputError
        If values in memory cannot be right.
    """
    if not moves_time(request.card) and not _summed(ds, request):
        # what has no partner is neither read nor checked
        ds = ds.isel({dim: _span(own) for dim, own in places.items()})
        places = {dim: np.arange(len(own)) for dim, own in places.items()}
    chunks = _chunks(ds, request, tuple(places))
    if any(not _is_row(own) for own in places.values()):
        chunks = dict.fromkeys(chunks, 1)  # so that what lies between is not computed
    return _stacked_pairs(_fields(ds, request, chunks), places)


def _summed(ds: xr.Dataset, request: Request) -> bool:
    """Tell whether an amount becomes a rate, for which its neighbours in time may count."""
    for found, channel in zip(request.found, request.card.inputs, strict=True):
        try:
            units.factor_offset(str(ds[found.name].attrs.get("units", "")), channel.units)
        except UnitsError:
            return True
    return False


def _fields(ds: xr.Dataset, request: Request, chunks: Mapping[Hashable, int]) -> xr.DataArray:
    """Return the channels of one side at the times of the result, as inference reads them."""
    ds = _left_in_files(ds, request, chunks)
    moved = request.placement.coarse is not None or moves_time(request.card)
    lazy = any(ds[name].chunks is not None for name in request.variables)
    if moved and not lazy:  # all of them regridded might be more than the memory holds
        ds = ds.chunk({dim: chunks.get(dim, 1) for dim in request.loop})
    labels = noise_labels(ds, request.loop)
    fields = stacked(ds, request, labels, chunks)
    if fields.chunks is not None:
        sizes = fields.chunksizes
        labels = [label.chunk({d: sizes.get(d, -1) for d in label.dims}) for label in labels]
    return at_hours(checked(fields, labels, request), ds, request, chunks)


def _chunks(ds: xr.Dataset, request: Request, dims: Sequence[Hashable]) -> dict[Hashable, int]:
    """Return how many fields are computed at once: several small ones, as they follow in pairs."""
    rows, columns = request.placement.shape
    size = 4 * rows * columns * len(request.card.inputs)
    left, chunks = int(np.clip(CHUNK_bytes // size, 1, MOST_FIELDS)), {}
    for dim in reversed(dims):
        chunks[dim] = min(left, max(ds.sizes[dim], 1))
        left = left // chunks[dim] if chunks[dim] == ds.sizes[dim] else 1
    return chunks


def _left_in_files(ds: xr.Dataset, request: Request, chunks: Mapping[Hashable, int]) -> xr.Dataset:
    """Make the variables lazy that are not in memory, in the chunks of their files if small."""
    lazy = {}
    for name in request.variables:
        da = ds[name]
        if da.chunks is not None or da.variable._in_memory:
            continue
        stored = da.encoding.get("preferred_chunks") or {}
        whole = {dim: -1 for dim in request.given.dims}
        sizes = {dim: whole.get(dim, chunks.get(dim, 1)) for dim in da.dims}
        field = da.dtype.itemsize * prod(da.sizes[dim] for dim in request.given.dims)
        for dim in request.loop:
            if dim in da.dims and field * stored.get(dim, 1) <= STORED_bytes:
                sizes[dim] = max(sizes[dim], stored.get(dim, 1))
        lazy[name] = da.chunk(sizes)
    return ds.assign(lazy) if lazy else ds


def _stacked_pairs(fields: xr.DataArray, places: Places) -> xr.DataArray:
    """Pick fields, and put all of them along one dimension."""
    picked = fields.isel({dim: _span(own) for dim, own in places.items()})
    rows, columns = fields.dims[-2:]
    picked = picked.transpose(*places, CHANNEL, rows, columns)
    data = picked.data if places else picked.data[None]
    for n in range(len(places), 1, -1):  # the last dimension into that before, and so on
        shape = (*data.shape[: n - 2], -1, *data.shape[n:])
        # a chunk is to stay a few pairs, not all that a dimension has
        split = picked.chunks is not None and len(data.chunks[n - 1]) > 1
        data = data.reshape(shape, **({"merge_chunks": False} if split else {}))
    return xr.DataArray(data, dims=(PAIR, CHANNEL, rows, columns))


def _is_row(places: NDArray[np.int64]) -> bool:
    """Tell whether places follow one another."""
    return bool((np.diff(places) == 1).all())


def _span(places: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """Return places as a slice if they are as far apart everywhere."""
    if not len(places):
        return places
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    if step > 0 and np.array_equal(places, places[0] + step * np.arange(len(places))):
        return slice(int(places[0]), int(places[-1]) + 1, step)
    return places
