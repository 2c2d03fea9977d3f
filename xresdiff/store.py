"""Write ensembles to zarr so that a kill costs one block, never the store.

The store is first made whole but for its data, in a folder beside its path that is then renamed.
Blocks of whole chunks follow, one after the other. How many are finished, and of which ensemble,
stands in the attribute `MANIFEST` of the store itself; it is replaced in one step, after a block
is on disk. So whenever the writer dies, what counts as finished is.
"""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Hashable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import xarray as xr

from xresdiff.errors import StoreError
from xresdiff.options import get_option
from xresdiff.verify.pairs import find_member_dim

__all__ = ["to_zarr"]

MANIFEST = "xresdiff_store"
VOLATILE = {"history", "date_created", MANIFEST}  # attributes that tell runs apart, not results
LAYOUT = {"chunks", "preferred_chunks", "shards"}  # encodings of the store that data came from


def to_zarr(ens: xr.Dataset, path: str | os.PathLike[str], *, resume: bool = True) -> None:
    """Write an ensemble to a zarr store, block by block; killed and called again, it goes on.

    Parameters
    ----------
    ens : xarray.Dataset, (member, time, ..., y, x)
        Lazy or not. Its chunks become the store's, made regular if they are not.
    path : path-like
        Folder of the store: absent, empty, or left by an earlier call for the same ensemble.
    resume : bool, default True
        Go on with a store that is there. If False, a store that is there is refused.

    Raises
    ------
    StoreError
        If `path` cannot be written, or holds something else, or another ensemble: one of other
        attributes, coordinates, names, dimensions or types. Nothing of it is touched.
        Also if writing fails half-way; what is finished stays.

    Notes
    -----
    A block is one chunk along every dimension but the members and the last two: the members of
    a time are computed together, since they share its mean. Where there are only members to go
    through, a block is one chunk of members. Coordinates, and all that has no such dimension,
    are written at once. One process at a time may write to a store.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> ens = xr.Dataset({"rain": (("member", "y", "x"), np.ones((2, 3, 4)))})
    >>> to_zarr(ens, f"{mkdtemp()}/ens.zarr")
    """
    folder = _local(path)
    steps = _steps(ens)
    streamed = [name for name in ens.data_vars if set(ens[name].dims) & set(steps)]
    ens = ens.assign({name: ens[name].compute() for name in _lazy(ens) if name not in streamed})
    fingerprint = _fingerprint(ens)
    found = _read_manifest(folder)
    if found and not resume:
        raise StoreError(f"{folder} is there already; to go on with it, type resume=True")
    if found and found.fingerprint != fingerprint:
        raise StoreError(_mismatch(ens, folder, nothing=bool(found.chunks) and not found.done))
    manifest = found or _Manifest(fingerprint, _chunks(ens[streamed], steps))
    ens = _rechunk(ens, streamed, manifest.chunks)
    if not found:
        _create(ens, folder, manifest)
    data = ens[streamed].drop_vars(ens.coords, errors="ignore")
    _write_blocks(data, steps, folder, manifest)


@dataclass(frozen=True)
class _Manifest:
    """Which ensemble a store holds, how it is cut, and how many blocks are finished."""

    fingerprint: str
    chunks: dict[str, int]
    done: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def _write_blocks(
    data: xr.Dataset, steps: tuple[Hashable, ...], folder: Path, manifest: _Manifest
) -> None:
    """Write the blocks that are missing, and count each once it is on disk."""
    from tqdm.auto import tqdm

    blocks = list(_blocks(data, steps, manifest.chunks))
    bar = tqdm(
        blocks[manifest.done :],
        desc=f"writing {folder.name}",
        unit="block",
        initial=manifest.done,
        total=len(blocks),
        disable=not get_option("progress"),
    )
    for block in bar:
        try:
            data.isel(block).to_zarr(folder, region=block)
            manifest = replace(manifest, done=manifest.done + 1)
            _save_manifest(folder, manifest)
        except OSError as error:
            raise StoreError(
                f"writing {folder} stopped after {manifest.done} of {len(blocks)} blocks: {error}; "
                "those stay. Once that is mended, run the same line again to go on"
            ) from error


def _blocks(
    data: xr.Dataset, steps: tuple[Hashable, ...], chunks: dict[str, int]
) -> Iterator[dict[Hashable, slice]]:
    """Yield the blocks, one chunk along each of `steps`, as slices by dimension."""
    if not data.data_vars:
        return
    starts = [range(0, data.sizes[dim], chunks[str(dim)]) for dim in steps]
    for corner in product(*starts):
        yield {
            dim: slice(start, min(start + chunks[str(dim)], data.sizes[dim]))
            for dim, start in zip(steps, corner, strict=True)
        }


def _steps(ens: xr.Dataset) -> tuple[Hashable, ...]:
    """Name the dimensions that blocks step along: all but members and the last two of a field."""
    leading = dict.fromkeys(dim for field in ens.data_vars.values() for dim in field.dims[:-2])
    member = find_member_dim(ens)
    return tuple(dim for dim in leading if dim != member) or tuple(leading)


def _lazy(ens: xr.Dataset) -> list[Hashable]:
    return [name for name, variable in ens.variables.items() if variable.chunks is not None]


def _chunks(data: xr.Dataset, steps: tuple[Hashable, ...]) -> dict[str, int]:
    """Choose the chunk size of the store along each dimension: that of the data, if it has any."""
    chunks: dict[str, int] = {}
    for field in data.data_vars.values():
        for dim, size in field.sizes.items():
            whole = 1 if dim in steps else size
            wanted = max(field.variable.chunksizes[dim]) if field.chunks else whole
            chunks[str(dim)] = max(chunks.get(str(dim), 1), wanted)
    return chunks


def _rechunk(ens: xr.Dataset, names: list[Hashable], chunks: dict[str, int]) -> xr.Dataset:
    """Cut the named variables into the chunks of the store, free of the layout of another."""
    fields = {name: ens.variables[name] for name in names}
    for name, field in fields.items():
        fields[name] = field.chunk({dim: chunks[str(dim)] for dim in field.dims})
        fields[name].encoding = {k: v for k, v in field.encoding.items() if k not in LAYOUT}
    return ens.assign(fields)


def _create(ens: xr.Dataset, folder: Path, manifest: _Manifest) -> None:
    """Make the store, all but the chunks of its lazy variables; it appears whole or not at all."""
    draft = folder.with_name(f".{folder.name}-{uuid4().hex[:8]}")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata")  # zarr's, of all such stores
            ens.assign_attrs({MANIFEST: manifest.to_json()}).to_zarr(
                draft, mode="w-", compute=False, zarr_format=3, consolidated=True
            )
        draft.replace(folder)
    except OSError as error:
        raise StoreError(
            f"cannot make {folder}: {error}; a place that can be written to is needed, such as "
            f"to_zarr(ens, {str(Path.home() / folder.name)!r})"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _read_manifest(folder: Path) -> _Manifest | None:
    """Read the manifest of the store at a path, None if there is nothing; refuse anything else."""
    try:
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return None
        group = json.loads((folder / "zarr.json").read_text("utf-8"))
        return _Manifest(**json.loads(group["attributes"][MANIFEST]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        kind = "a folder" if folder.is_dir() else "a file"
        raise StoreError(
            f"{folder} is {kind} that to_zarr did not write ({error!r}); it is left as it is. "
            f"Type another path, such as {str(folder.with_suffix('.new.zarr'))!r}"
        ) from error


def _save_manifest(folder: Path, manifest: _Manifest) -> None:
    """Replace the manifest of a store in one step."""
    metadata, draft = folder / "zarr.json", folder / f".zarr.json-{uuid4().hex[:8]}"
    group = json.loads(metadata.read_text("utf-8"))
    group["attributes"][MANIFEST] = manifest.to_json()
    with draft.open("w", encoding="utf-8") as file:
        json.dump(group, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(metadata)


def _fingerprint(ens: xr.Dataset) -> str:
    """Hash what determines an ensemble: all of it but the values of lazy variables.

    Those follow from the provenance in the attributes: input, model, seed, sampler, steps.
    """
    digest = hashlib.sha256(_canonical(_lasting(ens.attrs)))
    for name in sorted(ens.variables, key=str):
        variable = ens.variables[name]
        about = (name, variable.dims, variable.shape, variable.dtype.str, variable.attrs)
        digest.update(_canonical(about))
        if variable.chunks is None:
            digest.update(_bytes(variable.values))
    return digest.hexdigest()


def _lasting(attrs: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in attrs.items() if name not in VOLATILE}


def _canonical(value: Any) -> bytes:
    """Write attributes and the like as text that is the same in every process."""
    plain = json.dumps(value, sort_keys=True, default=lambda v: getattr(v, "tolist", v.__str__)())
    return plain.encode()


def _bytes(values: np.ndarray) -> bytes:
    """Return the bytes of an array; of objects such as strings and cftime dates, their text."""
    if values.dtype.hasobject:
        return _canonical([str(value) for value in values.ravel()])
    return np.ascontiguousarray(values).tobytes()


def _mismatch(ens: xr.Dataset, folder: Path, *, nothing: bool) -> str:
    """Say in what the ensemble of a store differs from the one to write, and if none is there."""
    there = xr.open_zarr(folder)
    ours, theirs = _lasting(ens.attrs), _lasting(there.attrs)
    different = [
        f"{name} is {theirs.get(name)!r} there, {ours.get(name)!r} here"
        for name in sorted({*ours, *theirs})
        if _canonical(ours.get(name)) != _canonical(theirs.get(name))
    ]
    different = different or ["its variables or coordinates differ"]
    empty = f", or, as none of it is finished, remove it: shutil.rmtree({str(folder)!r})"
    return (
        f"{folder} holds another ensemble: {'; '.join(different)}. It is left as it is; type "
        f"another path, such as {str(folder.with_suffix('.new.zarr'))!r}{empty if nothing else ''}"
    )


def _local(path: str | os.PathLike[str]) -> Path:
    """Return the path of a folder on this machine; refuse a URL."""
    if "://" in str(path):
        raise StoreError(
            f"{path} is a URL; the path of a folder on this machine is needed: write there, then "
            "copy the folder"
        )
    return Path(path).expanduser().absolute()
