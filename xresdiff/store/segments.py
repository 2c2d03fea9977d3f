"""The graph of a run, one stretch at a time: a task that writes for each piece, and what it needs.

A run of a century is never there as a whole: what a stretch of it needs is cut out of the graph of
the ensemble, as a plain mapping of keys to tasks, which blocks are then taken from.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import dask
import numpy as np
import xarray as xr
from dask.optimization import cull

from xresdiff.store.pieces import Block, Piece, write
from xresdiff.store.places import Place

__all__ = ["Key", "Segment", "Writer", "segments", "writer_to"]

PIECES_AT_ONCE = 512  # of a stretch: cutting it out goes through the names of the whole ensemble
SPARSE = 4  # times as much as its pieces is what a stretch may span

Key = tuple[str | int, ...]
Writer = Callable[[xr.Dataset, Piece], None]


@dataclass(frozen=True)
class Segment:
    """A stretch of a run.

    Parameters
    ----------
    graph : mapping of key to task
        Of all its blocks.
    blocks : tuple of mapping of key to Piece
        The keys of the tasks that write, block by block.
    """

    graph: Mapping[Any, Any]
    blocks: tuple[Mapping[Key, Piece], ...]

    def part(self, keys: Iterable[Key]) -> Mapping[Any, Any]:
        """Return the graph of some tasks that write."""
        return cull(self.graph, list(keys))[0]


def segments(
    ens: xr.Dataset, blocks: Iterable[Block], writer: Writer, name: str
) -> Iterator[Segment]:
    """Yield the stretches of a run, one after the other.

    Parameters
    ----------
    ens : xarray.Dataset
        Data variables, at least one of them lazy.
    blocks : iterable of Block
        What is to be written; pieces are whole chunks.
    writer : callable
        Called with each piece, in memory, by the task that writes it.
    name : str
        Of the tasks that write: a key is this and the number of the piece.
    """
    for some in _stretches(blocks):
        hull = _hull({}, tuple(piece for block in some for piece in block))
        (cut,) = dask.optimize(ens.isel(hull).chunk())
        graph = dict(cut.__dask_graph__())
        keys: list[Mapping[Key, Piece]] = []
        for block in some:
            keys.append({(name, *piece.number): piece for piece in block})
            for key, piece in keys[-1].items():
                source = {dim: _shifted(part, hull[dim]) for dim, part in piece.source.items()}
                graph.update(_writing(cut.isel(source), key, piece, writer))
        yield Segment(graph, tuple(keys))


def writer_to(place: Place) -> Writer:
    """Return what writes a piece at once, in whatever process it is called."""
    return partial(_write_to, place)


def _write_to(place: Place, data: xr.Dataset, piece: Piece) -> None:
    write(data, piece.region, place)


def _writing(data: xr.Dataset, key: Key, piece: Piece, writer: Writer) -> dict[Any, Any]:
    """Return the task that writes a piece, and those that cut it out of its chunks."""
    tasks: dict[Any, Any] = {}
    variables, chunks = {}, []
    for name, variable in data.variables.items():
        array = variable.data
        tasks.update(array.dask.layers[array.name])
        chunks.append(array.__dask_keys__())
        variables[name] = (variable.dims, variable.attrs, variable.encoding)
    return tasks | {key: (partial(_write, variables, piece, writer), chunks)}


def _write(
    variables: Mapping[Hashable, tuple[Any, ...]],
    piece: Piece,
    writer: Writer,
    chunks: list[Any],
) -> None:
    """Write a piece from the chunks of its variables; runs on a worker."""
    data = {
        name: xr.Variable(dims, _joined(own), attrs, encoding)
        for (name, (dims, attrs, encoding)), own in zip(variables.items(), chunks, strict=True)
    }
    writer(xr.Dataset(data), piece)


def _joined(chunks: Any) -> np.ndarray:
    """Join chunks, nested lists one in the other by dimension."""
    first = chunks
    while isinstance(first, list) and len(first) == 1:
        first = first[0]
    return np.block(chunks) if isinstance(first, list) else first


def _stretches(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Group blocks that follow each other, as long as they lie near each other."""
    some: list[Block] = []
    hull: dict[Hashable, slice] = {}
    pieces = filled = 0
    for block in blocks:
        grown = _hull(hull, block)
        more = sum(_size(piece.source) for piece in block)
        full = pieces + len(block) > PIECES_AT_ONCE or _size(grown) > SPARSE * (filled + more)
        if some and full:
            yield some
            some, grown, pieces, filled = [], _hull({}, block), 0, 0
        some.append(block)
        hull, pieces, filled = grown, pieces + len(block), filled + more
    if some:
        yield some


def _hull(hull: Mapping[Hashable, slice], block: Block) -> dict[Hashable, slice]:
    """Stretch a region so that it holds a block."""
    for piece in block:
        hull = {dim: _joint(hull.get(dim, part), part) for dim, part in piece.source.items()}
    return dict(hull)


def _joint(first: slice, second: slice) -> slice:
    return slice(min(first.start, second.start), max(first.stop, second.stop))


def _shifted(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def _size(region: Mapping[Hashable, slice]) -> int:
    return prod(part.stop - part.start for part in region.values())
