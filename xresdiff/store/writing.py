"""Write ensembles to zarr so that a kill costs some chunks, never the store.

The store is first made whole but for its data, and appears in one step. Pieces of whole chunks
follow. Which of them are finished, and of which ensemble, stands in the root of the store itself
(:mod:`xresdiff.store.manifest`).
"""

import os
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import StoreError
from xresdiff.options import get_option
from xresdiff.store.creating import create
from xresdiff.store.fingerprint import DATA, INPUT, differences, fingerprint, way_out
from xresdiff.store.growing import Extent, grow, locate, open_there
from xresdiff.store.layout import (
    check_names,
    chunks_of,
    cut_dims,
    draws_dim,
    missing_blocks,
    missing_spans,
    shards_of,
    streamed,
)
from xresdiff.store.manifest import MANIFEST, Manifest, Root, read_root
from xresdiff.store.pieces import Piece
from xresdiff.store.places import Place, place_of
from xresdiff.store.running import run

__all__ = ["MANIFEST", "to_zarr"]


def to_zarr(
    ens: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    resume: bool = True,
    shards: Mapping[Hashable, int] | None = None,
    encoding: Mapping[Hashable, Mapping[str, Any]] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Write an ensemble to a zarr store, chunk by chunk; killed and called again, it goes on.

    More members, or later times, are appended to a store that is finished.

    Parameters
    ----------
    ens : xarray.Dataset, (member, time, ..., y, x)
        Lazy or not. Its chunks become the store's, made regular if they are not. Where the store
        is there already: the same ensemble, or one that holds all of it and more behind it along
        one dimension, or only what comes later, or a part.
    path : path-like
        Folder of the store, or a URL that fsspec can write to, such as ``s3://bucket/ens.zarr``:
        absent, empty, or left by an earlier call.
    resume : bool, default True
        Go on with a store that is there. If False, a store that is there is refused.
    shards : mapping of dimension to int, optional
        Elements along a dimension that are kept in one file, such as ``{"time": 24}``; a multiple
        of the chunk. By default every chunk is a file.
    encoding : mapping of variable to mapping, optional
        How variables are written, as in :meth:`xarray.Dataset.to_zarr`: ``compressors``,
        ``filters`` (of ``zarr.codecs``), ``dtype``, ``scale_factor`` and so on, but no chunks or
        shards. It counts when the store is made.
    storage_options : mapping, optional
        For fsspec, if `path` is a URL: keys, endpoints.

    Raises
    ------
    StoreError
        If `path` cannot be written, or holds something else, or another ensemble; if what is to be
        appended lies before or within what is there, or the store is not finished; if names or
        types are none that files hold. Nothing is touched then. And if writing fails half-way, as
        on a full disk; what is finished stays.

    See Also
    --------
    to_netcdf : One file, for small results.

    Notes
    -----
    *What a kill costs.* A piece is one chunk (or shard) along every dimension before y and x. On
    local disks and object stores it is written in one step; it is recorded as finished once it is
    there. A run that was killed loses what was being computed and what was being written: at most
    two pieces on this machine, as many for each worker of a cluster. What is not finished reads as
    missing (as 0 or False, of integers that are not packed and of bool). Coordinates, and fields
    without members or times, are written at once.

    *Fields that lack a dimension* of the others, such as the mean of the members, keep all from
    being cut along it: a piece then holds all members, whatever the chunks, and none can be
    appended. Write them to a store of their own.

    *Which ensemble it is* is judged by all attributes but the history, the coordinates, the names,
    dimensions and types, and the values that are in memory. Among the attributes is
    ``xresdiff_input``: a checksum of the input, or, if that is lazy, of where and how it is read.
    It may differ where later times are appended to a store that is finished, as may values in
    memory: those that are in the store already stay. It then becomes that of the store, and the
    same is needed to go on, or to append members. All other attributes of the store stay as they
    were first written. Of an ensemble of an ensemble (``sample``), the realizations of the input
    are appended as times are.

    *Growing.* If the length of a store is no multiple of its chunks, its last chunk is read and
    written again as a whole; if only what comes later is given, its chunks then lie across those
    of the store, and each is computed for both. Append multiples of chunks.

    *One process at a time* may write to a store. Of two, the first to notice stops with an error;
    nothing becomes wrong, but each may compute what the other has.

    *A server that never answers* is given up in its library's own time; S3 takes minutes. Shorter:
    ``storage_options={"config_kwargs": {"read_timeout": 5, "retries": {"max_attempts": 0}}}``.

    *Compression.* Rain, which is mostly zero, is compressed to a fifth by the default codec, as
    small as with any other that was tried. Smooth fields such as temperature become a quarter
    smaller with ``{"compressors": zarr.codecs.BloscCodec(cname="zstd", clevel=1,
    shuffle="shuffle")}``.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> ens = xr.Dataset({"rain": (("member", "y", "x"), np.ones((2, 3, 4)))})
    >>> path = f"{mkdtemp()}/ens.zarr"
    >>> to_zarr(ens, path)
    >>> more = xr.concat([ens, ens + 1], "member")
    >>> to_zarr(more, path)
    >>> xr.open_zarr(path).rain.mean(["y", "x"]).values
    array([1., 1., 2., 2.])
    """
    place = place_of(path, storage_options)
    check_names(ens)
    names = streamed(ens)
    lazy = [name for name, variable in ens.variables.items() if variable.chunks is not None]
    ens = ens.assign({name: ens[name].compute() for name in lazy if name not in names})
    root = read_root(place)
    if root is None:
        create(ens, place, _planned(ens, shards), encoding)
        root, extents = _read(place), {}
    elif not resume:
        raise StoreError(f"{place} is there already; to go on with it, type resume=True")
    else:
        extents = _prepared(ens, root, shards)
    offsets = {dim: extent.offset for dim, extent in extents.items()}
    data = ens[names].drop_vars(ens.coords, errors="ignore")
    _write(data, root, draws_dim(ens), offsets)


def _planned(ens: xr.Dataset, shards: Mapping[Hashable, int] | None) -> Manifest:
    """Return the manifest of a store that is to be made."""
    chunks = chunks_of(ens)
    told = shards_of(shards, chunks, ens)
    sizes = {dim: ens.sizes[dim] for dim in cut_dims(ens)}
    plan = Manifest(fingerprint(ens), chunks, told, sizes, {}, np.zeros(()))
    finished = np.full(plan.counts, not streamed(ens))
    return Manifest(plan.fingerprint, chunks, told, sizes, {}, finished)


def _read(place: Place) -> Root:
    root = read_root(place)
    if root is None:
        raise StoreError(f"{place} was made and has vanished; run the same line again")
    return root


def _prepared(
    ens: xr.Dataset, root: Root, shards: Mapping[Hashable, int] | None
) -> dict[str, Extent]:
    """Find an ensemble in the store that is there, which grows if it must; refuse another one."""
    manifest, place, member = root.manifest, root.place, draws_dim(ens)
    there = open_there(root, ens)
    extents = locate(ens, there, manifest)
    ignored = set() if isinstance(extents, str) else _ignored(extents, member, manifest)
    ours = fingerprint(ens)
    told = differences(ours, ens, root, there, ignored)
    problems = [*told.values(), *([extents] if isinstance(extents, str) else [])]
    if isinstance(extents, str) or told:
        line = "" if isinstance(extents, str) else way_out(told, root)
        raise StoreError(_another(root, "; ".join(problems), line))
    given = shards_of(shards, manifest.chunks, ens)
    if given and given != manifest.shards:
        was = {dim: manifest.shards[dim] for dim in manifest.extents} if manifest.shards else None
        raise StoreError(f"{place} has other shards than {dict(shards or {})}; type shards={was}")
    growing = [dim for dim, extent in extents.items() if extent.grows]
    if growing:
        _check_growth(growing, extents, root)
        _try_to_grow(ens, there, root, extents, member, ours)
    else:
        _check_covered(extents, root)
    return extents


def _ignored(
    extents: Mapping[str, Extent], member: Hashable | None, manifest: Manifest
) -> set[str]:
    """Name what may differ if an ensemble is more or less than the store: what it is made from.

    What is missing in a store comes from the input that it was begun with or has grown by.
    """
    partial = {dim for dim, extent in extents.items() if not extent.exact}
    other = partial - {member}
    grows = any(extents[dim].grows for dim in other)
    free = other and (grows or manifest.finished.all())
    return ({DATA} if partial else set()) | ({INPUT} if free else set())


def _another(root: Root, problems: str, line: str = "") -> str:
    """Say in what the ensemble of a store differs from the one to write, and if none is there."""
    place = root.place
    empty = ""
    if not root.manifest.finished.any() and place.folder is not None:
        empty = f", or, as none of it is finished, remove it: shutil.rmtree({place.url!r})"
    return (
        f"{place} holds another ensemble: {problems}. It is left as it is; type another path, such "
        f"as {place.another!r}{empty}{'.' + line if line else ''}"
    )


def _check_growth(growing: list[str], extents: Mapping[str, Extent], root: Root) -> None:
    """Refuse to grow along several dimensions at once, or a store that is not finished."""
    place, manifest = root.place, root.manifest
    other = [dim for dim, extent in extents.items() if dim not in growing and not extent.exact]
    if len(growing) > 1 or other:
        kept = (growing + other)[1:]
        part = ", ".join(f"{dim}=slice(0, {extents[dim].there})" for dim in kept)
        raise StoreError(
            f"{place} can grow along one dimension at a time, and hold all of the others: it has "
            + ", ".join(f"{extents[d].there} of {d}, here are {extents[d].here}" for d in kept)
            + f"; it is left as it is. First type, for {growing[0]} alone: ens.isel({part})"
        )
    missing = int((~manifest.finished).sum())
    if missing:
        raise StoreError(
            f"{place} is not finished: {missing} of {manifest.finished.size} chunks are missing, "
            f"of {_sizes(manifest)}; it is left as it is. Finish it first, with the line that it "
            "was begun with; then run this one again"
        )


def _check_covered(extents: Mapping[str, Extent], root: Root) -> None:
    """Refuse a part of what a store is to hold that lacks some of what is missing there."""
    for dim, (start, stop) in missing_spans(root.manifest).items():
        extent = extents[dim]
        end = extent.offset + extent.here
        if start < extent.offset or stop > end:
            raise StoreError(
                _another(
                    root,
                    f"{dim} {extent.offset} to {end - 1} of {extent.size} are here, but {start} to "
                    f"{stop - 1} are missing there. Give all that it is to hold",
                )
            )


def _sizes(manifest: Manifest) -> str:
    return ", ".join(f"{size} {dim}" for dim, size in manifest.extents.items())


def _try_to_grow(
    ens: xr.Dataset,
    there: xr.Dataset,
    root: Root,
    extents: Mapping[str, Extent],
    member: Hashable | None,
    ours: Mapping[str, str],
) -> None:
    try:
        grow(ens, there, root, extents, member, ours)
    except OSError as error:
        raise StoreError(
            f"{root.place} could not be made to hold more: {error}; it reads as it did. Once that "
            "is mended, run the same line again"
        ) from error


def _write(
    data: xr.Dataset, root: Root, member: Hashable | None, offsets: Mapping[str, int]
) -> None:
    """Write the pieces that are missing, and record each once it is on disk."""
    from tqdm.auto import tqdm

    done = root.manifest.finished
    root.place.tidy(root.arrays)
    with tqdm(
        desc=f"writing {root.place.name}",
        unit="chunk",
        initial=int(done.sum()),
        total=done.size,
        disable=not get_option("progress"),
    ) as bar:

        def finished(piece: Piece) -> None:
            done[piece.number] = True
            root.save()
            bar.update()

        try:
            run(data, missing_blocks(root.manifest, member, offsets), root.place, finished)
        except KeyboardInterrupt as error:
            error.add_note(f"{_stopped(root)}; run the same line again to go on")
            raise
        except StoreError as error:
            raise StoreError(f"{_stopped(root)}, which stay: {error}") from error
        except OSError as error:
            raise StoreError(
                f"{_stopped(root)}: {error}; those stay. Once that is mended, run the same line "
                "again to go on"
            ) from error


def _stopped(root: Root) -> str:
    done = root.manifest.finished
    return f"writing {root.place} stopped after {int(done.sum())} of {done.size} chunks"
