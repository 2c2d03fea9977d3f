"""Fields of pairs, window by window: from memory, from a cache on disk, or computed when needed."""

import json
import os
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import dask
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xresdiff.train.pairs import PAIR, Pairs

__all__ = ["ArrayReader", "LazyReader", "Reader", "fingerprint", "open_reader"]

IN_MEMORY_bytes = 2 * 2**30  # that pairs may have to be held in memory
AT_ONCE_bytes = 2**28  # that are computed at once on the way there
SHARE_OF_DISK = 0.25  # of what is free, that a cache may take
KEPT_bytes = 2**27  # of a lazy reader
PAIRS_LOOKED_AT = 64  # of lazy ones, to tell them from others

_CONTENTS = "contents.json"

Window = tuple[NDArray[np.float32], NDArray[np.float32]]


class Reader(Protocol):
    """Pairs of fields, by their number; safe to be read from several threads."""

    @property
    def n(self) -> int:
        """Number of pairs."""

    @property
    def coarse_shape(self) -> tuple[int, int]:
        """Rows and columns of the inputs."""

    @property
    def fine_shape(self) -> tuple[int, int]:
        """Rows and columns of the targets."""

    @property
    def factor(self) -> int:
        """Fine pixels along a side of a coarse cell; 0 where only whole fields go together."""

    @property
    def moments(self) -> NDArray[np.float64]:
        """Seconds since 1970 and number of the lead time of each pair, (n, 2)."""

    def read(self, i: int, rows: slice, columns: slice) -> Window:
        """Return inputs ``(c, Y, X)`` and targets ``(k, y, x)`` of a window, NaN where missing.

        The window is told in coarse cells; with a factor of 0 it is always the whole field.
        """
        ...


@dataclass(frozen=True)
class ArrayReader:
    """Pairs that lie in memory, or in files that are mapped to it.

    Parameters
    ----------
    coarse : numpy.ndarray, (n, c, Y, X)
        Inputs, NaN where missing.
    fine : numpy.ndarray, (n, k, y, x)
        Targets, NaN where missing.
    moments : numpy.ndarray, (n, 2)
        Seconds since 1970 and number of the lead time.
    factor : int
        Fine pixels along a side of a coarse cell.

    Examples
    --------
    >>> fine = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    >>> reader = ArrayReader(fine[..., ::4, ::4], fine, np.zeros((1, 2)), factor=4)
    >>> coarse, target = reader.read(0, slice(0, 1), slice(1, 2))
    >>> coarse.shape, target.shape, target[0, 0, 0].item()
    ((1, 1, 1), (1, 4, 4), 4.0)
    """

    coarse: NDArray[np.float32]
    fine: NDArray[np.float32]
    moments: NDArray[np.float64]
    factor: int

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.coarse)

    @property
    def coarse_shape(self) -> tuple[int, int]:
        """Rows and columns of the inputs."""
        return self.coarse.shape[-2], self.coarse.shape[-1]

    @property
    def fine_shape(self) -> tuple[int, int]:
        """Rows and columns of the targets."""
        return self.fine.shape[-2], self.fine.shape[-1]

    def read(self, i: int, rows: slice, columns: slice) -> Window:
        """Return a copy of a window."""
        cells, pixels = _places(self, rows, columns)
        coarse = np.array(self.coarse[i][:, *cells], np.float32)
        return coarse, np.array(self.fine[i][:, *pixels], np.float32)


@dataclass(frozen=True)
class LazyReader:
    """Pairs that are computed whenever they are read, chunk by chunk.

    Regridding needs whole fields, and a chunk is computed as a whole whatever is wanted of it: the
    last few are kept, so that all windows of their fields cost no more than one. A chunk of the
    source that holds more pairs than a chunk here, such as that of a file with a year in one piece,
    is computed again for each of these: give chunks of few times, or room for the cache.

    Parameters
    ----------
    pairs : Pairs
        Lazy ones.
    """

    pairs: Pairs
    _kept: "OrderedDict[tuple[str, int], NDArray[np.float32]]" = field(
        default_factory=OrderedDict, repr=False, compare=False
    )
    _lock: Any = field(default_factory=Lock, repr=False, compare=False)

    @property
    def n(self) -> int:
        """Number of pairs."""
        return self.pairs.coarse.sizes[PAIR]

    @property
    def coarse_shape(self) -> tuple[int, int]:
        """Rows and columns of the inputs."""
        return self.pairs.coarse.shape[-2], self.pairs.coarse.shape[-1]

    @property
    def fine_shape(self) -> tuple[int, int]:
        """Rows and columns of the targets."""
        return self.pairs.fine.shape[-2], self.pairs.fine.shape[-1]

    @property
    def factor(self) -> int:
        """Fine pixels along a side of a coarse cell."""
        return self.pairs.factor

    @property
    def moments(self) -> NDArray[np.float64]:
        """Seconds since 1970 and number of the lead time of each pair, (n, 2)."""
        return self.pairs.moments

    def read(self, i: int, rows: slice, columns: slice) -> Window:
        """Compute the chunks of a pair in this thread, and return a copy of a window of it."""
        coarse, fine = (self._field(side, i) for side in ("coarse", "fine"))
        cells, pixels = _places(self, rows, columns)
        return coarse[:, *cells].copy(), fine[:, *pixels].copy()

    def _field(self, side: str, i: int) -> NDArray[np.float32]:
        """Return a pair of one side, ``(c, y, x)``, from the chunks that are kept."""
        array: xr.DataArray = getattr(self.pairs, side)
        if array.chunks is None:
            return np.asarray(array.data[i], np.float32)
        chunk = _chunk_of(array, i)
        place = side, chunk.start
        with self._lock:
            if place in self._kept:
                self._kept.move_to_end(place)
                return self._kept[place][i - chunk.start]
        (computed,) = dask.compute(array.isel({PAIR: chunk}).data, scheduler="synchronous")
        fields = np.asarray(computed, np.float32)
        with self._lock:
            self._kept[place] = fields
            while len(self._kept) > 2 and self._held() > KEPT_bytes:
                self._kept.popitem(last=False)
        return fields[i - chunk.start]

    def _held(self) -> int:
        return sum(fields.nbytes for fields in self._kept.values())


def _chunk_of(array: xr.DataArray, i: int) -> slice:
    """Return the pairs of the chunk that a pair is in."""
    ends = np.cumsum(array.chunksizes[PAIR])
    place = int(np.searchsorted(ends, i, side="right"))
    return slice(int(ends[place - 1]) if place else 0, int(ends[place]))


def open_reader(
    pairs: Pairs, cache: Path | None = None, *, limit_bytes: int = IN_MEMORY_bytes
) -> Reader:
    """Choose how pairs are read, and compute them once if that pays.

    Pairs that are in memory stay there. Lazy ones are computed once, piece by piece, and held in
    memory if they have no more than `limit_bytes` altogether; else in files in `cache`, if they
    take no more than a quarter of the free space there; else they are computed whenever they are
    read, which is slow. A cache of the same pairs that is whole is used again, any other one
    replaced. Only one process may write it: others call this after the first is done.

    Parameters
    ----------
    pairs : Pairs
        From :func:`~xresdiff.train.pairs.pair`.
    cache : Path, optional
        Folder for the files; without one there will be none.
    limit_bytes : int, default 2 GiB
        What is held in memory.

    Returns
    -------
    Reader

    Raises
    ------
    InputError
        If values cannot be right, such as fill values; they are found when pairs are computed.
    """
    if pairs.coarse.chunks is None and pairs.fine.chunks is None:
        return ArrayReader(pairs.coarse.values, pairs.fine.values, pairs.moments, pairs.factor)
    size = pairs.coarse.nbytes + pairs.fine.nbytes
    if size <= limit_bytes:
        return ArrayReader(*_in_memory(pairs), pairs.moments, pairs.factor)
    if cache is None:
        return LazyReader(pairs)
    told = _told(pairs)
    found = _opened(cache, told)
    if found is None and size <= SHARE_OF_DISK * shutil.disk_usage(_existing(cache)).free:
        _write(pairs, cache, told)
        found = _opened(cache, told)
    return LazyReader(pairs) if found is None else ArrayReader(*found, pairs.moments, pairs.factor)


def fingerprint(pairs: Pairs) -> str:
    """Return what tells these pairs from others, for a training that goes on.

    Of lazy pairs, a change between those that are looked at goes unnoticed.

    Parameters
    ----------
    pairs : Pairs
        Lazy or not. All that are in memory count; of lazy ones up to 64, as far apart everywhere,
        the first and the last among them, are computed.

    Returns
    -------
    str
        Hexadecimal digits of the shapes, labels, and values.
    """
    digest = sha256(repr((pairs.coarse.shape, pairs.fine.shape, pairs.factor)).encode())
    digest.update(np.ascontiguousarray(pairs.moments).data)
    for name in sorted(pairs.coarse.coords, key=str):
        digest.update(repr((str(name), _texts(pairs.coarse[name]))).encode())
    n = pairs.coarse.sizes[PAIR]
    lazy = pairs.coarse.chunks is not None or pairs.fine.chunks is not None
    some = min(n, PAIRS_LOOKED_AT) if lazy else n
    places = np.linspace(0, n - 1, some).round().astype(int)
    each = max((pairs.coarse.nbytes + pairs.fine.nbytes) // n, 1)
    for group in np.array_split(places, -(-some * each // AT_ONCE_bytes)):
        for fields in zip(*_computed(pairs, group), strict=True):
            for values in fields:
                digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _texts(coord: xr.DataArray) -> list[str]:
    """Write labels, whatever the unit of their times."""
    values = coord.values
    if values.dtype.kind == "M":
        values = values.astype("datetime64[ns]")
    return [str(value) for value in values.ravel()]


def _places(
    reader: Reader, rows: slice, columns: slice
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return a window in coarse cells and in fine pixels."""
    factor, whole = reader.factor, (slice(None), slice(None))
    if factor == 0:
        return whole, whole
    spans = [
        slice(*span.indices(n)[:2])
        for span, n in zip((rows, columns), reader.coarse_shape, strict=True)
    ]
    fine = [slice(span.start * factor, span.stop * factor) for span in spans]
    return (spans[0], spans[1]), (fine[0], fine[1])


def _computed(pairs: Pairs, picked: slice | NDArray[np.int64]) -> Window:
    """Compute some pairs, both sides at once, ``(n, c, Y, X)`` and ``(n, k, y, x)``."""
    some = [array.isel({PAIR: picked}).data for array in (pairs.coarse, pairs.fine)]
    coarse, fine = dask.compute(*some)
    return np.asarray(coarse, np.float32), np.asarray(fine, np.float32)


def _pieces(pairs: Pairs) -> Iterator[tuple[slice, Window]]:
    """Compute all pairs, some chunks at once."""
    n = pairs.coarse.sizes[PAIR]
    each = max((pairs.coarse.nbytes + pairs.fine.nbytes) // max(n, 1), 1)
    chunk = max(
        pairs.coarse.chunksizes.get(PAIR, (1,))[0], pairs.fine.chunksizes.get(PAIR, (1,))[0]
    )
    step = max(AT_ONCE_bytes // each // chunk, 1) * chunk
    for start in range(0, n, step):
        piece = slice(start, min(start + step, n))
        yield piece, _computed(pairs, piece)


def _fill(pairs: Pairs, coarse: NDArray[np.float32], fine: NDArray[np.float32]) -> None:
    for piece, (inputs, targets) in _pieces(pairs):
        coarse[piece], fine[piece] = inputs, targets


def _in_memory(pairs: Pairs) -> Window:
    coarse = np.empty(pairs.coarse.shape, np.float32)
    fine = np.empty(pairs.fine.shape, np.float32)
    _fill(pairs, coarse, fine)
    return coarse, fine


def _told(pairs: Pairs) -> dict[str, Any]:
    """Return what a cache of pairs says of itself."""
    shapes = {name: list(getattr(pairs, name).shape) for name in ("coarse", "fine")}
    return {"fingerprint": fingerprint(pairs), **shapes}


def _existing(path: Path) -> Path:
    """Return the nearest folder that is there already."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _opened(cache: Path, told: dict[str, Any]) -> Window | None:
    """Open a cache, if it is one of these pairs and whole."""
    try:
        if json.loads((cache / _CONTENTS).read_text()) != told:
            return None
        # mapping fails where a file is shorter than its header says
        coarse, fine = (
            np.load(cache / f"{name}.npy", mmap_mode="r") for name in ("coarse", "fine")
        )
    except (OSError, ValueError, EOFError):
        return None
    shapes = [list(coarse.shape), list(fine.shape)]
    whole = shapes == [told["coarse"], told["fine"]] and coarse.dtype == fine.dtype == np.float32
    return (coarse, fine) if whole else None


def _write(pairs: Pairs, cache: Path, told: dict[str, Any]) -> None:
    """Write a cache; what says that it is whole comes last."""
    cache.mkdir(parents=True, exist_ok=True)
    (cache / _CONTENTS).unlink(missing_ok=True)
    paths = {name: cache / f"{name}.npy.new" for name in ("coarse", "fine")}
    arrays = {
        name: np.lib.format.open_memmap(path, "w+", np.float32, tuple(told[name]))
        for name, path in paths.items()
    }
    _fill(pairs, arrays["coarse"], arrays["fine"])
    for name, path in paths.items():
        arrays[name].flush()
        os.replace(path, cache / f"{name}.npy")
    new = cache / f"{_CONTENTS}.new"
    new.write_text(json.dumps(told))
    os.replace(new, cache / _CONTENTS)
