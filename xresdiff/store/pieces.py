"""The pieces of a store: what is computed and written at once, and what counts as finished."""

import json
import os
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import xarray as xr

from xresdiff.store.places import Place

__all__ = ["Block", "Piece", "write"]


@dataclass(frozen=True)
class Piece:
    """One chunk of a store, or one shard where it is sharded, along all of its dimensions.

    Parameters
    ----------
    number : tuple of int
        Which chunk it is, along each dimension that the store is cut along.
    region : mapping of dimension to slice
        Where it is in the store.
    source : mapping of dimension to slice
        Where it is in the ensemble.
    """

    number: tuple[int, ...]
    region: Mapping[Hashable, slice]
    source: Mapping[Hashable, slice]


Block = tuple[
    Piece, ...
]  # pieces that are computed together: the members of some times, of one mean


def write(data: xr.Dataset, region: Mapping[Hashable, slice], place: Place) -> None:
    """Write a piece that is computed; runs on a worker, and may run again after a kill.

    Every chunk is written in one step, and is on disk when this returns.

    Parameters
    ----------
    data : xarray.Dataset
        The variables of the piece, in memory, without coordinates.
    region : mapping of dimension to slice
        Where they belong.
    place : Place
        Of a store that has been made.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    where: dict[str, Any] = {str(dim): part for dim, part in region.items()}
    try:
        if where:
            data.to_zarr(place.url, region=where, storage_options=place.options, consolidated=False)
        else:
            data.to_zarr(place.url, mode="r+", storage_options=place.options, consolidated=False)
    except OSError:
        raise
    except Exception as error:
        if place.folder is not None:
            raise
        raise OSError(f"{type(error).__name__}: {error}") from None  # of botocore and others
    if place.folder is not None:
        for name, field in data.data_vars.items():
            parts = [where.get(str(dim), slice(0, size)) for dim, size in field.sizes.items()]
            _settle(place.folder / str(name), parts)


def _settle(folder: Path, parts: list[slice]) -> None:
    """Bring the chunks of a part to disk, and remove what a killed writer left of them."""
    for file in _chunk_files(folder, parts):
        for leftover in file.parent.glob(f"{file.name}.*.partial"):
            leftover.unlink(missing_ok=True)
        for path in (file, file.parent):
            _sync(path)


def _chunk_files(folder: Path, parts: list[slice]) -> Iterator[Path]:
    about = json.loads((folder / "zarr.json").read_bytes())
    sizes = about["chunk_grid"]["configuration"]["chunk_shape"]
    ranges = [
        range(part.start // size, -(-part.stop // size))
        for part, size in zip(parts, sizes, strict=True)
    ]
    for number in product(*ranges):
        yield folder.joinpath("c", *map(str, number))


def _sync(path: Path) -> None:
    """Wait until a file or folder is on disk; there is none for a chunk of missing values."""
    try:
        opened = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):  # folders cannot be opened on Windows
        return
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
