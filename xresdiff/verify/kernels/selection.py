"""Histograms and order statistics of very many values, counted chunk by chunk.

Quantiles without sorting: floats become whole numbers in the same order (`ordered`), and these are
searched digit by digit, 16 bits at a time or fewer, from the front. One pass over the data counts
how often every first digit occurs, which tells the first digit of the k-th smallest value; the next
pass counts the second digits of the values that begin with it; and so on, two passes for
float32, four for float64. Counts of chunks add up, so no pass needs more memory than
one chunk, and the result is exact.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xresdiff.verify.kernels.blocks import Floats

__all__ = [
    "count_digits",
    "digit_bits",
    "ends",
    "equal_edges",
    "histogram",
    "interpolate",
    "locate",
    "ordered",
    "passes",
    "quantiles",
    "unordered",
    "wanted",
]

#: Bits of a digit: the more, the fewer passes, and the more counts.
DIGIT_BITS = (16, 8, 4, 2, 1)

#: Counts of one chunk: 128 MB of them.
MOST_COUNTS = 2**24

#: Values worked on at a time: temporaries stay small however large a chunk is.
BLOCK_VALUES = 2**20

Integers = NDArray[np.integer[Any]]


def ends(values: Floats) -> Floats:
    """Least and largest of the finite values, ``(...) -> (2)``; NaN where there are none.

    Examples
    --------
    >>> ends(np.array([3.0, np.nan, 1.0, np.inf]))
    array([1., 3.])
    """
    flat, low, high = values.reshape(-1), np.inf, -np.inf
    for start in range(0, flat.size, BLOCK_VALUES):
        part = flat[start : start + BLOCK_VALUES]
        finite = np.isfinite(part)
        low = part.min(where=finite, initial=low)
        high = part.max(where=finite, initial=high)
    return np.array([low, high] if low <= high else [np.nan, np.nan], np.float64)


def equal_edges(least: Floats, largest: Floats, *, bins: int) -> Floats:
    """Edges of equal bins from the least to the largest value, ``(), () -> (bins + 1)``.

    Where all values are the same, the bins reach half a unit to either side, or as far as numbers
    of that size can be told apart.

    Examples
    --------
    >>> equal_edges(np.array(0.0), np.array(4.0), bins=2)
    array([0., 2., 4.])
    """
    low, high = np.float64(least), np.float64(largest)
    half = 0.5 if low == high else 0.0
    resolved = 2 * bins * np.spacing(max(abs(low), abs(high)))
    if high - low + 2 * half < resolved:
        half = resolved
    return np.linspace(low - half, high + half, bins + 1)


def histogram(values: Floats, edges: Floats) -> Integers:
    """Count values below, in and above bins, ``(..., n), (bins + 1) -> (..., bins + 2)``.

    A bin has its lower edge, the last one its upper edge too. NaN is not counted. Where the edges
    are unknown, as those of infinite values alone, all is below or above them.

    Examples
    --------
    >>> histogram(np.array([0.0, 1.0, 1.5, 3.0, np.nan]), np.array([1.0, 2.0, 3.0]))
    array([1, 2, 1, 0])
    """
    flat, row_size = values.reshape(-1), max(values.shape[-1], 1)
    places = edges.size + 1
    counts = np.zeros(prod(values.shape[:-1]) * places, np.int64)
    step = max(BLOCK_VALUES, counts.size)  # counts are added up less often than they are long
    for start in range(0, flat.size, step):
        part = flat[start : start + step].astype(np.float64)
        place = np.searchsorted(edges, part, side="right")
        place[part == edges[-1]] = edges.size - 1
        if np.isnan(edges[-1]):
            place[part > 0] = edges.size
        place += np.arange(start, start + part.size) // row_size * places
        counts += np.bincount(place[~np.isnan(part)], minlength=counts.size)
    return counts.reshape(*values.shape[:-1], places)


def quantiles(values: Floats, *, shares: tuple[float, ...], skipna: bool = True) -> Floats:
    """Quantiles of the last axis by sorting, ``(..., n) -> (..., shares)``.

    Linear between order statistics, as those of numpy: of n known values, the share q lies at
    the place (n - 1) q, counted from 0. NaN where nothing is known, or, without `skipna`, not all.

    Examples
    --------
    >>> quantiles(np.array([4.0, np.nan, 1.0]), shares=(0.0, 0.5))
    array([1. , 2.5])
    """
    rows = values.reshape(prod(values.shape[:-1]), values.shape[-1])
    result = np.full((len(rows), len(shares)), np.nan)
    if not rows.size:
        return result.reshape(*values.shape[:-1], len(shares))
    step = max(BLOCK_VALUES // max(rows.shape[1], len(shares)), 1)
    for start in range(0, len(rows), step):
        part = np.sort(rows[start : start + step], axis=-1)  # NaN is last
        known = part.shape[-1] - np.isnan(part).sum(-1, keepdims=True)
        below, above, fraction = _places(known, np.asarray(shares))
        low, high = (np.take_along_axis(part, at, axis=-1) for at in (below, above))
        between = _lerp(low.astype(np.float64), high.astype(np.float64), fraction)
        enough = known > 0 if skipna else known == part.shape[-1]
        result[start : start + step] = np.where(enough, between, np.nan)
    return result.reshape(*values.shape[:-1], len(shares))


def _places(known: Integers, shares: Floats) -> tuple[Integers, Integers, Floats]:
    """Find between which order statistics quantiles lie, and how far from the lower one."""
    place = np.maximum(known - 1, 0) * shares
    below = np.floor(place).astype(np.int64)
    return below, np.minimum(below + 1, np.maximum(known - 1, 0)), place - below


def _lerp(low: Floats, high: Floats, fraction: Floats) -> Floats:
    """Interpolate from the nearer end, so that no rounding leads past the other one."""
    with np.errstate(invalid="ignore"):  # infinite values, replaced below
        step = high - low
        between = np.where(fraction < 0.5, low + step * fraction, high - step * (1 - fraction))
    return np.where((low == high) | (fraction == 0), low, between)


def digit_bits(rows: int, places: int) -> int:
    """Choose the bits of a digit so that the counts of some rows at once fit into memory.

    Examples
    --------
    >>> digit_bits(1, 18), digit_bits(1500, 18)
    (16, 8)
    """
    fitting = (bits for bits in DIGIT_BITS if rows * places << bits <= MOST_COUNTS)
    return next(fitting, DIGIT_BITS[-1])


def passes(dtype: Any, bits: int) -> int:
    """Count the digits of floats of a type: with 16 bits, 2 of float32, 4 of float64."""
    return np.dtype(dtype).itemsize * 8 // bits


def ordered(values: Floats) -> NDArray[np.unsignedinteger[Any]]:
    """Map floats to whole numbers of as many bits that are in the same order.

    The bits of positive floats are in order, those of negative ones in the opposite order: the sign
    bit is set for the former, all bits are turned for the latter.

    Examples
    --------
    >>> np.argsort(ordered(np.array([1.0, -2.0, 0.5, -0.1], np.float32)))
    array([1, 3, 2, 0])
    """
    unsigned = np.dtype(f"u{values.dtype.itemsize}")
    top = unsigned.type(1 << (8 * unsigned.itemsize - 1))
    bits = np.ascontiguousarray(values + values.dtype.type(0)).view(unsigned)  # -0.0 becomes 0.0
    return np.where(bits & top, ~bits, bits | top)


def unordered(keys: NDArray[np.unsignedinteger[Any]], dtype: Any) -> Floats:
    """Undo :func:`ordered`.

    Examples
    --------
    >>> unordered(ordered(np.array([1.5, -2.0], np.float32)), np.float32)
    array([ 1.5, -2. ], dtype=float32)
    """
    unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")
    keys = keys.astype(unsigned)
    top = unsigned.type(1 << (8 * unsigned.itemsize - 1))
    return np.where(keys & top, keys ^ top, ~keys).view(dtype)


def count_digits(values: Floats, prefixes: Integers, *, done: int, bits: int) -> Integers:
    """Count the next digit of values that begin so, ``(..., n), (..., p) -> (..., p, d)``.

    `done` is how many digits the prefixes have, of so many `bits`; NaN is not counted.

    Examples
    --------
    >>> values = np.array([1.0, 1.0, -2.0, np.nan], np.float32)
    >>> counts = count_digits(values, np.array([0], np.uint64), done=0, bits=16)
    >>> counts.shape, counts[counts > 0]
    ((1, 65536), array([1, 2]))
    """
    lead = values.shape[:-1]
    prefixes = np.broadcast_to(prefixes, (*lead, prefixes.shape[-1]))
    rest = 8 * values.dtype.itemsize - bits * done  # bits that are not yet known
    counts = np.zeros((*prefixes.shape, 1 << bits), np.int64)
    for at in np.ndindex(*lead):
        unique, rows = np.unique(prefixes[at], return_inverse=True)
        row = values[at]
        for start in range(0, row.size, BLOCK_VALUES):
            part = row[start : start + BLOCK_VALUES]
            keys = ordered(part[~np.isnan(part)])
            for i, prefix in enumerate(unique):
                same = keys[keys >> rest == prefix] if done else keys
                digits = same >> (rest - bits) & ((1 << bits) - 1)
                found = np.bincount(digits.astype(np.int64), minlength=1 << bits)
                counts[at][rows == i] += found
    return counts


def wanted(known: Integers, *, shares: tuple[float, ...]) -> Integers:
    """Places of the order statistics that quantiles lie between, ``(...) -> (..., 2 shares)``."""
    below, above, _ = _places(np.asarray(known)[..., None], np.asarray(shares))
    return np.concatenate([below, above], axis=-1)


def locate(counts: Integers, prefixes: Integers, places: Integers) -> Integers:
    """Find the next digit of order statistics, ``(..., p or 1, d), (..., p) x 2 -> (..., 2, p)``.

    Returns the prefixes, one digit longer, and the places among the values that begin so.
    """
    lead, digits = places.shape[:-1], counts.shape[-1]
    result = np.empty((*lead, 2, places.shape[-1]), np.uint64)
    prefixes = np.broadcast_to(prefixes, places.shape).astype(np.uint64)
    for at in np.ndindex(*places.shape):
        row = counts[(*at[:-1], min(at[-1], counts.shape[-2] - 1))]
        up_to, place = row.cumsum(), int(places[at])
        digit = min(int(np.searchsorted(up_to, place, side="right")), digits - 1)  # if all is NaN
        result[(*at[:-1], 0, at[-1])] = int(prefixes[at]) * digits + digit
        result[(*at[:-1], 1, at[-1])] = max(place - int(up_to[digit] - row[digit]), 0)
    return result


def interpolate(
    keys: NDArray[np.unsignedinteger[Any]],
    known: Integers,
    *,
    total: int,
    shares: tuple[float, ...],
    dtype: Any,
    skipna: bool,
) -> Floats:
    """Make quantiles of the order statistics found, ``(..., 2 shares), (...) -> (..., shares)``."""
    low, high = np.split(unordered(keys, dtype).astype(np.float64), 2, axis=-1)
    known = np.asarray(known)[..., None]
    fraction = _places(known, np.asarray(shares))[2]
    enough = known > 0 if skipna else known == total
    return np.where(enough, _lerp(low, high, fraction), np.nan)
