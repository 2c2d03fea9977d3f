"""How an ensemble is cut into the pieces of a store."""

from collections.abc import Hashable, Iterator, Mapping
from itertools import product

import numpy as np
import xarray as xr

from xresdiff.errors import StoreError
from xresdiff.store.manifest import Manifest
from xresdiff.store.pieces import Block, Piece
from xresdiff.verify.pairs import find_member_dim

__all__ = [
    "check_names",
    "chunks_of",
    "cut_dims",
    "draws_dim",
    "missing_blocks",
    "missing_spans",
    "shards_of",
    "streamed",
]

DRAWN = "generated sample"  # what `downscale` calls members that it draws of each realization


def check_names(ens: xr.Dataset) -> None:
    """Refuse what files have no names or types for.

    Raises
    ------
    StoreError
        If a name is no text, or has a slash; or a variable holds a MultiIndex, or any objects.
    """
    for name in dict.fromkeys([*ens.variables, *ens.dims]):
        if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
            line = f"ens = ens.rename({{{name!r}: {str(name).strip('/.').replace('/', '_')!r}}})"
            raise StoreError(
                f"files have no names such as {name!r}; a text without '/' is needed: {line}"
            )
    for name, index in ens.xindexes.items():
        if isinstance(index, xr.indexes.PandasMultiIndex):
            raise StoreError(
                f"{name} is of a MultiIndex, which files do not hold; type "
                f"ens = ens.reset_index({index.dim!r})"
            )
    for name in streamed(ens):
        if ens[name].dtype == object:
            raise StoreError(
                f"{name} holds objects, of which files have no type; a type such as float32 is "
                f"needed: ens[{name!r}] = ens[{name!r}].astype('float32')"
            )


def streamed(ens: xr.Dataset) -> list[str]:
    """Name the variables that are written piece by piece: those with more than y and x."""
    leading = {dim for field in ens.data_vars.values() for dim in field.dims[:-2]}
    return [str(name) for name, field in ens.data_vars.items() if leading & set(field.dims)]


def cut_dims(ens: xr.Dataset) -> tuple[str, ...]:
    """Name the dimensions that pieces are cut along: all before y and x that all fields have.

    Examples
    --------
    >>> fields = {"rain": ("member", "time", "y", "x"), "z": ("member", "time", "level", "y", "x")}
    >>> cut_dims(xr.Dataset({k: (v, np.zeros([2] * len(v))) for k, v in fields.items()}))
    ('member', 'time')
    """
    fields = [ens[name] for name in streamed(ens)]
    leading = dict.fromkeys(str(dim) for field in fields for dim in field.dims[:-2])
    return tuple(dim for dim in leading if all(dim in field.dims for field in fields))


def draws_dim(ens: xr.Dataset) -> Hashable | None:
    """Name the dimension of what was drawn, which shares a mean, None if there is none.

    Of an ensemble of an ensemble that is ``sample``; its realizations are the input's, like times.

    Examples
    --------
    >>> ens = xr.Dataset({"rain": (("sample", "number"), np.ones((2, 3)))})
    >>> draws_dim(ens)
    'number'
    >>> drawn = ("sample", [0, 1], {"long_name": "generated sample of each realization"})
    >>> draws_dim(ens.assign_coords(sample=drawn))
    'sample'
    """
    if "sample" in ens.dims and str(ens["sample"].attrs.get("long_name")).startswith(DRAWN):
        return "sample"
    return find_member_dim(ens)


def chunks_of(ens: xr.Dataset) -> dict[str, int]:
    """Choose the chunk sizes of a store: those of the data, if it has any, made regular.

    Of what is in memory, one of every dimension before y and x, but all members together, if
    there is anything else to go through.
    """
    cut = cut_dims(ens)
    member = draws_dim(ens)
    ones = tuple(dim for dim in cut if dim != member) or cut
    chunks: dict[str, int] = {}
    for name in streamed(ens):
        field = ens[name]
        for dim, size in field.sizes.items():
            whole = 1 if dim in ones else size
            wanted = max(field.chunksizes[dim]) if field.chunks else whole
            chunks[str(dim)] = max(chunks.get(str(dim), 1), wanted)
    return chunks


def shards_of(
    shards: Mapping[Hashable, int] | None, chunks: Mapping[str, int], ens: xr.Dataset
) -> dict[str, int]:
    """Return the sizes of the shards along every dimension; none if none are asked for.

    Raises
    ------
    StoreError
        If there is no such dimension, or a size is no multiple of its chunk.
    """
    if not shards:
        return {}
    cut = cut_dims(ens)
    if not isinstance(shards, Mapping):
        line = {dim: 24 * chunks[dim] for dim in cut[-1:]}
        raise StoreError(f"shards is {shards!r}; it is a mapping: type shards={line}")
    for dim, size in shards.items():
        if dim not in cut:
            raise StoreError(
                f"there is no {dim!r} to make shards along; pieces are cut along {', '.join(cut)}: "
                f"type shards={ {d: 24 * chunks[d] for d in cut[-1:]} }"
            )
        chunk = chunks[str(dim)]
        if size < 1 or size % chunk:
            near = max(1, round(size / chunk)) * chunk
            raise StoreError(
                f"shards of {size!r} along {dim} hold no whole number of chunks, which are of "
                f"{chunk}; type shards={ {str(dim): near} }"
            )
    sizes = dict(chunks)
    for dim, chunk in chunks.items():
        if dim not in cut:
            sizes[dim] = -(-ens.sizes[dim] // chunk) * chunk
    return {**sizes, **{str(dim): size for dim, size in shards.items()}}


def missing_blocks(
    manifest: Manifest, member: Hashable | None, offsets: Mapping[str, int]
) -> Iterator[Block]:
    """Yield the pieces that are not finished, those that share a mean together.

    Parameters
    ----------
    manifest : Manifest
        Of the store.
    member : Hashable or None
        Dimension of what was drawn, of which all shares a mean.
    offsets : mapping of dimension to int
        Where the ensemble begins in the store.
    """
    dims = tuple(manifest.extents)
    inner = tuple(dim for dim in dims if dim == member)
    outer = tuple(dim for dim in dims if dim != member)
    counts = dict(zip(dims, manifest.counts, strict=True))
    for place in product(*(range(counts[dim]) for dim in outer)):
        pieces = []
        for row in product(*(range(counts[dim]) for dim in inner)):
            at = {**dict(zip(outer, place, strict=True)), **dict(zip(inner, row, strict=True))}
            number = tuple(at[dim] for dim in dims)
            if not manifest.finished[number]:
                pieces.append(_piece(number, manifest, offsets))
        if pieces:
            yield tuple(pieces)


def missing_spans(manifest: Manifest) -> dict[str, tuple[int, int]]:
    """Return from where to where something is missing, along each dimension."""
    spans = {}
    missing = np.argwhere(~manifest.finished).T
    for places, (dim, size) in zip(missing, manifest.pieces.items(), strict=True):
        if len(places):
            first = int(places.min())
            start = max(first * size, _edge(first, size, manifest.before.get(dim, 0)))
            stop = min((int(places.max()) + 1) * size, manifest.extents[dim])
            spans[dim] = (start, stop)
    return spans


def _piece(number: tuple[int, ...], manifest: Manifest, offsets: Mapping[str, int]) -> Piece:
    region: dict[Hashable, slice] = {}
    source: dict[Hashable, slice] = {}
    for i, (dim, size) in zip(number, manifest.pieces.items(), strict=True):
        start = max(i * size, _edge(i, size, manifest.before.get(dim, 0)))
        stop = min((i + 1) * size, manifest.extents[dim])
        offset = offsets.get(dim, 0)
        region[dim] = slice(start, stop)
        source[dim] = slice(start - offset, stop - offset)
    return Piece(number, region, source)


def _edge(i: int, size: int, before: int) -> int:
    """Return where the new part of a piece begins: part of it may be older than the rest."""
    return before if i * size < before < (i + 1) * size else 0
