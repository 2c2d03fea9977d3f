"""Find the variable of every channel, and bring it into the model's units and onto its grid."""

from collections.abc import Hashable, Mapping
from functools import partial

import numpy as np
import xarray as xr

from xresdiff.engine.blocks import CHANNEL, hour_block, level_block, stack_block
from xresdiff.engine.channels import alone
from xresdiff.engine.cutting import cut, gathered
from xresdiff.engine.hours import moves_time, places
from xresdiff.engine.mapping import mapped
from xresdiff.engine.missing import decoded
from xresdiff.engine.request import Request
from xresdiff.errors import InputError, raise_problems
from xresdiff.grids import units
from xresdiff.grids.coords import Horizontal, find_horizontal
from xresdiff.grids.coords.criteria import bounds_name
from xresdiff.grids.coords.levels import Found, take
from xresdiff.grids.regrid import cropped, onto
from xresdiff.grids.units.accumulations import time_bounds_of

__all__ = ["at_hours", "stacked"]


def stacked(
    ds: xr.Dataset,
    request: Request,
    labels: list[xr.DataArray],
    chunks: Mapping[Hashable, int],
) -> xr.DataArray:
    """Return the inputs of the networks, lazily if they are lazy.

    Parameters
    ----------
    ds : xarray.Dataset
        What the request was made for.
    request : Request
        From :func:`~xresdiff.engine.request.check_request`.
    labels : list of xarray.DataArray
        What tells the fields apart, to name where values are missing.
    chunks : mapping of dimension to int
        Chunks of a lazy result; one of each dimension that is not named, whole fields.

    Returns
    -------
    xarray.DataArray, (..., channel, y, x)
        In float32 and the units of the channels: every field once, at the times of the input.
    """
    grid = request.given
    if request.placement.coarse is not None:
        ds = _near(alone(ds, request.variables), request)
        grid = find_horizontal(ds)
    ds = _cut(ds, request, chunks, grid)
    fields, problems = [], []
    what = request.what
    for i in request.distinct:
        try:
            fields.append(_field(ds, request, i, labels, chunks, grid))
        except InputError as error:  # of an input in memory
            problems.append(str(error).removeprefix(f"cannot {what}: "))
    raise_problems(list(dict.fromkeys(problems)), what=what)
    bare = [xr.DataArray(da.data, dims=da.dims) for da in fields]
    if request.placement.coarse is not None:
        bare = _regridded(bare, _frame(ds, grid), request)
    sides = request.horizontal.dims
    sizes = {CHANNEL: len(bare), **{dim: bare[0].sizes[dim] for dim in sides}}
    joined = mapped(stack_block, bare, [sides] * len(bare), sizes)
    return joined.transpose(*request.loop, CHANNEL, *sides)


def at_hours(
    fields: xr.DataArray, ds: xr.Dataset, request: Request, chunks: Mapping[Hashable, int]
) -> xr.DataArray:
    """Return the inputs of the networks at the times of the result, lazily if they are lazy.

    Parameters
    ----------
    fields : xarray.DataArray, (..., channel, y, x)
        From :func:`stacked`.
    ds : xarray.Dataset
        What the request was made for.
    request : Request
        From :func:`~xresdiff.engine.request.check_request`.
    chunks : mapping of dimension to int
        As of :func:`stacked`.

    Returns
    -------
    xarray.DataArray, (..., channel, y, x)
        All channels of the card; `fields` themselves for models that keep the times.
    """
    card = request.card
    if not moves_time(card):
        return fields
    offsets = list(dict.fromkeys(channel.offset_h for channel in card.inputs))
    days = [places(ds, card, offset) for offset in offsets]
    own = {card.inputs[i].key[:2]: place for place, i in enumerate(request.distinct)}
    size = len(own)
    order = [offsets.index(c.offset_h) * size + own[c.key[:2]] for c in card.inputs]
    ((dim, _),) = days[0].items()
    axis, where = fields.get_axis_num(dim), np.stack([own[dim] for own in days])
    call = partial(hour_block, axis=axis, order=order)
    if fields.chunks is None:
        return xr.DataArray(call([fields.values] * where.size, where), dims=fields.dims)
    data = gathered(call, fields.data, axis, where, chunks.get(dim, 1), len(order))
    return xr.DataArray(data, dims=fields.dims)


def _near(ds: xr.Dataset, request: Request) -> xr.Dataset:
    """Cut the input to what the coarse grid needs, so that what lies elsewhere does not matter."""
    coarse = request.placement.coarse
    assert coarse is not None
    widest = next((m for m in request.methods if m.startswith("conservative")), request.methods[0])
    return cropped(ds, request.given, coarse, request.placement.horizontal, widest)


def _cut(
    ds: xr.Dataset, request: Request, chunks: Mapping[Hashable, int], grid: Horizontal
) -> xr.Dataset:
    """Cut lazy variables once, however many of their levels are wanted."""
    sizes = {**chunks, **dict.fromkeys(grid.dims, -1)}
    along = {found.name: found.level[0] for found in request.found if found.level is not None}
    return ds.assign(
        {
            name: cut(ds[name], sizes | {dim: -1})
            for name, dim in along.items()
            if len(ds[name].chunksizes.get(dim, ())) == 1
        }
    )


def _taken(ds: xr.Dataset, found: Found, grid: Horizontal) -> xr.DataArray:
    """Take the field of a channel, in a lean way where all levels are in one chunk."""
    da = ds[found.name]
    if found.level is None or len(da.chunksizes.get(found.level[0], ())) != 1:
        return take(ds, found)
    dim, place = found.level
    nothing = np.broadcast_to(np.zeros((), da.dtype), da.shape)  # that it costs to index
    frame = take(ds.assign({found.name: da.copy(data=nothing)}), found)
    sides = {side: da.sizes[side] for side in grid.dims}
    inner = [[dim, *sides]]
    level = mapped(level_block, [da], inner, sides, dtype=da.dtype, place=place)
    frame = frame.transpose(*level.dims)
    return frame.copy(data=level.data)


def _field(
    ds: xr.Dataset,
    request: Request,
    place: int,
    labels: list[xr.DataArray],
    chunks: Mapping[Hashable, int],
    grid: Horizontal,
) -> xr.DataArray:
    """Return one channel on the input's grid, in the channel's units."""
    found = request.found[place]
    da = cut(_taken(ds, found, grid), {**chunks, **dict.fromkeys(grid.dims, -1)})
    channel = request.card.inputs[place]
    if channel.missing is not None and da.dtype.kind == "f":
        da = da.fillna(channel.missing)
    converted = units.convert(
        decoded(da, labels, request, grid),
        channel,
        accumulation=request.arguments.accumulation,
        bounds=time_bounds_of(ds, found.name),
    )
    return converted.astype(np.float32)


def _regridded(
    fields: list[xr.DataArray], frame: xr.Dataset, request: Request
) -> list[xr.DataArray]:
    """Move the fields onto the grid of the networks, those of one method together."""
    assert request.placement.coarse is not None
    done: dict[int, xr.DataArray] = {}
    every = request.methods
    methods = [every[i] for i in request.distinct]
    for method in dict.fromkeys(methods):
        same = [i for i, own in enumerate(methods) if own == method]
        try:
            moved = onto(
                frame.assign({f"_{i}": fields[i] for i in same}),
                request.placement.coarse,
                method,
                skipna=request.arguments.skipna,
                na_thres=request.arguments.na_thres,
                reach=request.placement.reach,
            )
        except InputError as error:
            raise InputError(f"cannot {request.what}: {error}") from error
        done |= {i: moved[f"_{i}"].reset_coords(drop=True) for i in same}
    sides = request.horizontal.dims
    return [done[i].drop_vars(sides, errors="ignore") for i in range(len(fields))]


def _frame(ds: xr.Dataset, grid: Horizontal) -> xr.Dataset:
    """Return the coordinates of the grid alone: y, x, latitude, longitude, bounds, mapping."""
    names = {grid.y, grid.x, grid.grid_mapping, *(grid.geographic or ())} - {None}
    names |= {bounds_name(ds[name]) for name in names} & set(ds.variables)
    frame = ds.drop_vars(set(ds.variables) - names)
    return frame.set_coords(list(frame.data_vars))
