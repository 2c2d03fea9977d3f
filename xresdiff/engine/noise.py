"""Standard normal fields that depend on labels and places alone, never on the order of drawing.

A field is a mosaic of square tiles that lie at fixed places of the target grid. Each tile has a
random stream of its own: what the field is for (seed, labels, member, draw) is hashed to the key
of the counter-based generator Philox, and the place of the tile enters its counter (Salmon et
al., 2011, doi:10.1145/2063384.2063405). So any window of a field, drawn in any order, equals the
same part of the whole field, bit for bit.
"""

import json
from hashlib import blake2b
from operator import index
from typing import Any

import numpy as np

from xresdiff.errors import InputError

__all__ = ["label_of", "normal_field"]

# The mosaic and the hash define the noise of every published ensemble: never change them.
_TILE = 64

# Calendars whose dates are those of NumPy, since 1582 at least.
NUMPY_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")
_PURPOSE = b"xresdiff-noise-1"

_NANOSECONDS = {
    **{"W": 604_800 * 10**9, "D": 86_400 * 10**9, "h": 3_600 * 10**9, "m": 60 * 10**9},
    **{"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1},
}


def normal_field(
    seed: int,
    labels: tuple[str, ...],
    member: int,
    draw: int,
    shape: tuple[int, int, int],
    origin: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Draw a window of a standard normal field.

    Parameters
    ----------
    seed : int
        Number of the whole ensemble.
    labels : tuple of str
        What the field is for, such as its time, as :func:`label_of` writes it.
    member : int
        Number of the member.
    draw : int
        Number of the draw, for samplers that add noise more than once.
    shape : tuple of int
        Channels, rows and columns of the window.
    origin : tuple of int, default (0, 0)
        Row and column of the window's first point on the target grid; negative beside it.

    Returns
    -------
    numpy.ndarray, (channel, y, x)
        Independent normal numbers of mean 0 and variance 1, float32.

    Examples
    --------
    >>> whole = normal_field(0, ("2019-06-10T00:00:00",), 3, 0, (1, 100, 100))
    >>> part = normal_field(0, ("2019-06-10T00:00:00",), 3, 0, (1, 20, 30), origin=(50, 60))
    >>> bool((part == whole[:, 50:70, 60:90]).all())
    True
    """
    key = _key(seed, labels, member, draw)
    field = np.empty(shape, dtype=np.float32)
    rows, columns = (_cuts(n, start) for n, start in zip(shape[1:], origin, strict=True))
    for channel, window in enumerate(field):
        for tile_y, in_window_y, in_tile_y in rows:
            for tile_x, in_window_x, in_tile_x in columns:
                tile = _tile(key, channel, tile_y, tile_x)
                window[in_window_y, in_window_x] = tile[in_tile_y, in_tile_x]
    return field


def label_of(value: Any) -> str:
    """Write a coordinate value as text, the same however it is stored.

    Parameters
    ----------
    value : datetime64, timedelta64, cftime.datetime, number, str or tuple of these
        A value of a coordinate.

    Returns
    -------
    str
        Canonical text: equal for equal times in other resolutions, equal numbers in other types.

    Raises
    ------
    InputError
        If a value of this type has no canonical text.

    Examples
    --------
    >>> label_of(np.datetime64("2019-06-10", "D")), label_of(np.datetime64("2019-06-10", "ns"))
    ('2019-06-10T00:00:00', '2019-06-10T00:00:00')
    >>> label_of(np.timedelta64(6, "h")), label_of(np.int32(6)), label_of(6.0)
    ('21600000000000 ns', '6', '6')
    """
    if isinstance(value, tuple):
        return json.dumps([label_of(part) for part in value])
    if hasattr(value, "to_numpy"):  # a pandas time, which has nanoseconds
        value = value.to_numpy()
    scalar = np.asarray(value)[()]
    match scalar:
        case np.datetime64():
            return _datetime_label(scalar)
        case np.timedelta64():
            if np.datetime_data(scalar.dtype)[0] in _NANOSECONDS:  # no months, no years
                return _timedelta_label(scalar)
        case np.bool_() | np.integer() | np.str_():
            return str(scalar)
        case np.floating():
            return np.format_float_positional(scalar + 0.0, trim="-")  # -0.0 is 0.0
    if hasattr(scalar, "calendar") and hasattr(scalar, "isoformat"):  # cftime
        return _cftime_label(scalar)
    start = getattr(value, "start_time", None)  # of a period of pandas
    remedy = "ds.indexes['time'].to_timestamp()" if start is not None else "..."
    raise InputError(
        f"a coordinate value of type {type(value).__name__} cannot label noise: {value!r}. Use "
        f"times, numbers or text: ds.assign_coords(time={remedy})"
    )


def _key(seed: int, labels: tuple[str, ...], member: int, draw: int) -> np.ndarray:
    """Hash what a field is for to the 128 bits of a Philox key."""
    text = json.dumps([index(seed), list(labels), index(member), index(draw)])
    digest = blake2b(text.encode(), digest_size=16, person=_PURPOSE).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)


def _cuts(n: int, start: int) -> list[tuple[int, slice, slice]]:
    """Cut the points ``start, ..., start + n - 1`` at the seams of the tiles.

    Returns the number of each tile, its part of the window, and the part of the tile taken.
    """
    stop = start + n
    cuts = []
    for tile in range(start // _TILE, -(-stop // _TILE)):
        low, high = max(start, tile * _TILE), min(stop, (tile + 1) * _TILE)
        in_tile = slice(low - tile * _TILE, high - tile * _TILE)
        cuts.append((tile, slice(low - start, high - start), in_tile))
    return cuts


def _tile(key: np.ndarray, channel: int, tile_y: int, tile_x: int) -> np.ndarray:
    """Draw one tile, float32.

    The lowest word of the counter counts the numbers of the tile; the others, in which negative
    places wrap around, keep the tiles 2**64 blocks apart.
    """
    counter = np.array([0, channel, tile_x, tile_y], dtype=np.int64).view(np.uint64)
    stream = np.random.Generator(np.random.Philox(key=key, counter=counter))
    return stream.standard_normal((_TILE, _TILE), dtype=np.float32)


def _datetime_label(value: np.datetime64) -> str:
    """Write a date in ISO 8601, to seconds or as finely as it needs."""
    unit, _ = np.datetime_data(value.dtype)
    if unit in ("Y", "M", "W", "D", "h", "m"):
        value = value.astype("datetime64[s]")
    seconds, point, fraction = str(value).partition(".")
    return seconds + (point + fraction).rstrip("0").rstrip(".")


def _cftime_label(value: Any) -> str:
    """Write a date of any calendar; those of NumPy's calendar as NumPy's are."""
    date, point, fraction = value.isoformat().partition(".")
    text = date + (point + fraction).rstrip("0").rstrip(".")
    return text if value.calendar in NUMPY_CALENDARS else f"{text} {value.calendar}"


def _timedelta_label(value: np.timedelta64) -> str:
    """Write a duration in nanoseconds, counted by Python, which does not overflow."""
    unit, step = np.datetime_data(value.dtype)
    if np.isnat(value):
        return "NaT"
    return f"{int(value.astype(np.int64)) * step * _NANOSECONDS[unit]} ns"
