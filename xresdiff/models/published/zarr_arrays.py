"""Small arrays of a zarr store of format 2, taken out of an archive without trusting either.

Only plain numbers are read: no filters, no objects, and no compressor whose output could grow
beyond the array.
"""

import itertools
import zlib
from math import prod
from typing import Any

import numpy as np

from xresdiff.errors import ModelError
from xresdiff.models.published.tree import Tree
from xresdiff.models.strict_json import parse

__all__ = ["read_array"]

JSON_LIMIT = 2**16  # bytes
MOST_CELLS = 2**24
HEADER = 4096  # bytes by which a chunk that does not shrink may be larger than its contents

_KINDS = "fiu"  # of NumPy's types


def read_array(tree: Tree, store: str, name: str) -> np.ndarray:
    """Return an array of numbers.

    Parameters
    ----------
    tree : Tree
        Files of the archive.
    store : str
        Folder of the zarr store in it.
    name : str
        Of the array.

    Raises
    ------
    ModelError
        If it is absent, damaged, or of a kind that is not read here.
    """
    place = f"{store}/{name}"
    text = tree.read(f"{place}/.zarray", limit=JSON_LIMIT)
    try:
        told = parse(text)
    except ModelError as error:
        raise ModelError(f"{place}/.zarray of {tree.path}: {error}") from error
    try:
        return _assembled(tree, place, told)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, RuntimeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"cannot read the array {place} of {tree.path}: {error}") from error


def _assembled(tree: Tree, place: str, told: dict[str, Any]) -> np.ndarray:
    shape, chunks = tuple(told["shape"]), tuple(told["chunks"])
    dtype = np.dtype(told["dtype"])
    if told["zarr_format"] != 2 or told.get("filters") or dtype.kind not in _KINDS:
        raise ValueError(f"it is no plain array of numbers of zarr 2, but of type {dtype}")
    if len(chunks) != len(shape) or any(type(n) is not int or n < 1 for n in shape + chunks):
        raise ValueError(f"its shape is {shape}, its chunks {chunks}")
    if prod(shape) > MOST_CELLS or prod(chunks) > MOST_CELLS:
        raise ValueError(f"its shape is {shape}, more than is read here")
    order = told["order"]
    if order not in ("C", "F"):
        raise ValueError(f"its order is {order!r}")
    array = np.full(shape, _fill(told.get("fill_value")), dtype)
    separator = told.get("dimension_separator", ".")
    counts = [-(-n // chunk) for n, chunk in zip(shape, chunks, strict=True)]
    for index in itertools.product(*map(range, counts)):
        name = f"{place}/{separator.join(map(str, index))}"
        if name not in tree:
            continue
        size = prod(chunks) * dtype.itemsize
        data = _unpacked(tree.read(name, limit=size + HEADER), told.get("compressor"), size)
        chunk = np.frombuffer(data, dtype).reshape(chunks, order=order)
        corner = [i * n for i, n in zip(index, chunks, strict=True)]
        window = tuple(slice(at, at + n) for at, n in zip(corner, chunks, strict=True))
        held = array[window]
        held[...] = chunk[tuple(slice(n) for n in held.shape)]
    return array


def _fill(value: Any) -> float:
    """Return the number that chunks are of that are not there."""
    return float(value) if value is not None else 0.0


def _unpacked(data: bytes, compressor: Any, size: int) -> bytes:
    """Return the contents of a chunk, which must be of a size in bytes."""
    kind = None if compressor is None else compressor["id"]
    if kind in ("blosc", "lz4"):  # both say the size in front, little-endian
        at = 4 if kind == "blosc" else 0
        if int.from_bytes(data[at : at + 4], "little") != size:
            raise ValueError(f"a chunk does not unpack to {size} bytes")
        import numcodecs  # type: ignore[import-untyped]

        data = bytes(numcodecs.get_codec(compressor).decode(data))
    elif kind in ("zlib", "gzip"):
        data = zlib.decompressobj(wbits=47).decompress(data, size + 1)
    elif kind is not None:
        raise ValueError(f"its compressor is {kind!r}; read are blosc, lz4, zlib and gzip")
    if len(data) != size:
        raise ValueError(f"a chunk has not {size} bytes")
    return data
