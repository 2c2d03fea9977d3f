"""How large fields are cut: the size of windows and what they share, from a model's card."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import lcm
from typing import Any, TypeAlias

import numpy as np

from xresdiff.models.card import ModelCard
from xresdiff.models.parts import NetworkCard

__all__ = [
    "INDEPENDENT",
    "OVERLAP",
    "WINDOW",
    "Tiling",
    "Window",
    "is_whole",
    "own_tile_problems",
    "padded_shape",
    "reach",
    "tile_problems",
    "tiling",
    "windows",
]

Window: TypeAlias = tuple[slice, slice]

INDEPENDENT = "independent"
WINDOW = 512  # fine pixels; networks without attention run fields up to this size whole
OVERLAP = 128  # fine pixels that neighbouring windows share; benchmarks/seams.py tells why

_MULT = (1, 2, 2, 2)  # channel_mult of a card that does not tell it, as of UNetConfig
_BLOCKS = 4  # num_blocks, likewise


@dataclass(frozen=True)
class Tiling:
    """How fields that are larger than a window are cut into windows.

    Parameters
    ----------
    size : int
        Largest height and width of a window, in fine pixels; fields up to it are not cut.
    overlap : int
        Fine pixels that neighbours share at least.
    independent : bool, default False
        Whether each window is sampled on its own, and not blended at every step.
    multiple : int, default 1
        Windows have sides of a multiple of this, and begin at multiples of it.
    least : int, default 1
        Side that windows have at least.
    """

    size: int
    overlap: int
    independent: bool = False
    multiple: int = 1
    least: int = 1

    def cuts(self, shape: tuple[int, int]) -> bool:
        """Tell whether a field of some height and width is cut."""
        return max(shape) > self.size

    def windows(self, shape: tuple[int, int]) -> list[Window]:
        """Return the windows of a field, as of :func:`windows`."""
        return windows(shape, self.size, self.overlap, multiple=self.multiple, least=self.least)


def windows(
    shape: tuple[int, int], size: int, overlap: int, *, multiple: int = 1, least: int = 1
) -> list[Window]:
    """Cover a field with as few windows as will do, of a size that wastes little, spread evenly.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the field.
    size : int
        Largest height and width of a window; those of the field where it is smaller.
    overlap : int
        Pixels that neighbours share at least, at most half of `size`.
    multiple : int, default 1
        Where there are several windows, their sides are multiples of it and all but the last begin
        at one; `size` and `overlap` are multiples, too.
    least : int, default 1
        Smallest height and width of a window, at most `size`.

    Returns
    -------
    list of tuple of slice
        Rows and columns of each window, all of one shape, row by row.

    Raises
    ------
    ValueError
        If `overlap` is negative or more than half of `size`.

    Examples
    --------
    >>> windows((4, 9), size=4, overlap=1)
    [(slice(0, 4, None), slice(0, 4, None)), (slice(0, 4, None), slice(3, 7, None)),
     (slice(0, 4, None), slice(5, 9, None))]
    >>> [columns for _, columns in windows((4, 600), size=512, overlap=64, multiple=16)]
    [slice(0, 336, None), slice(264, 600, None)]
    """
    if not 0 <= overlap <= size // 2:
        raise ValueError(f"windows of {size} pixels overlap by 0 to {size // 2}, not {overlap}")
    rows, columns = (_spans(n, size, overlap, multiple, least) for n in shape)
    return list(product(rows, columns))


def _spans(n: int, size: int, overlap: int, multiple: int, least: int) -> list[slice]:
    """Cover 0 to n by spans of one length, at most `size`, or by one if that is all there is."""
    if n <= size:
        return [slice(0, n)]
    count = -(-(n - overlap) // (size - overlap))
    even = -(-(n + (count - 1) * overlap) // count)  # just enough for so many
    length = min(max(_up(even, multiple), _up(least, multiple)), size)
    last = n - length
    starts = {min(_up(-(-i * last // (count - 1)), multiple), last) for i in range(count)}
    return [slice(start, start + length) for start in sorted(starts)]


def _up(n: int, multiple: int) -> int:
    """Round up to a multiple."""
    return -(-n // multiple) * multiple


def reach(config: Mapping[str, Any]) -> int | None:
    """Return how far a network sees: pixels from one of its output to the furthest of its input.

    Every convolution of 3 x 3 adds a pixel of its level, and there are two in a block; means of
    2 x 2 pixels on the way down and repetition on the way up shift blocks against pixels. What the
    norms tell of the whole field does not count.

    Parameters
    ----------
    config : mapping
        Of the network, as on a card; what is missing is as of `UNetConfig`.

    Returns
    -------
    int or None
        None with attention, which sees everything.

    Examples
    --------
    >>> reach({"channel_mult": (1,), "num_blocks": 1, "bottleneck_attention": False})
    12
    """
    if attends(config):
        return None
    stem, period = config.get("stem", 1), size_multiple(config)
    furthest = 0
    for pixel in range(period):
        low, high = _seen(config, pixel // stem)
        furthest = max(furthest, pixel - low * stem, high * stem + stem - 1 - pixel)
    return furthest


def _seen(config: Mapping[str, Any], place: int) -> tuple[int, int]:
    """Return the first and last place at the finest level that one there depends on."""
    depth = len(config.get("channel_mult", _MULT)) - 1
    blocks, taps = config.get("num_blocks", _BLOCKS), len(config.get("resample_filter", (1, 1)))
    pad = (taps - 1) // 2
    low, high = place - 1, place + 1  # the convolution behind the last norm
    for _ in range(depth):  # blocks, then the one behind the doubling
        grown = 2 * (blocks + 1) + 2
        low, high = low - grown, high + grown
        low, high = -((taps - 1 - pad - low) // 2), (high + pad) // 2
    grown = 2 * (blocks + 1) + 4  # of the deepest level; two blocks at its entrance
    low, high = low - grown, high + grown
    for level in range(depth, -1, -1):
        grown = 2 * blocks + (2 if level else 1)  # behind the halving, or the first convolution
        low, high = low - grown, high + grown
        if level:
            low, high = 2 * low - pad, 2 * high - pad + taps - 1
    return low, high


def attends(config: Mapping[str, Any]) -> bool:
    """Tell whether a network has attention."""
    return bool(config.get("attention_levels", ())) or config.get("bottleneck_attention", True)


def size_multiple(config: Mapping[str, Any]) -> int:
    """Return what height and width of the fields of a network are multiples of."""
    return int(config.get("stem", 1) * 2 ** (len(config.get("channel_mult", _MULT)) - 1))


def tiling(
    card: ModelCard, tile: int | str | None = None, overlap: int | None = None
) -> Tiling | None:
    """Return how the fields of a model are cut.

    Networks with attention run in windows of the size that they were trained on; others run alike
    at any size, and larger windows share less. Neighbours share no more than networks see.

    Parameters
    ----------
    card : ModelCard
        Of the model.
    tile : int or "independent", optional
        Size of the windows, or that they are sampled one by one.
    overlap : int, optional
        Fine pixels that they share.

    Returns
    -------
    Tiling or None
        None for a model that is covered with patches of its own, unless `tile` is given.

    Examples
    --------
    >>> import xresdiff
    >>> card = xresdiff.open_model("rain-16x").card
    >>> tiling(card).size, tiling(card).overlap, tiling(card, tile=256, overlap=32).size
    (512, 128, 256)
    """
    if card.patching is not None and tile is None:
        return None
    multiple, independent = _multiple(card), tile == INDEPENDENT
    size = _size(card) if tile is None or isinstance(tile, str) else int(tile)
    least = size if _rigid(card) else min(_up(_least(card), multiple), size)
    if overlap is None:
        sees = [reach(net.config) for net in _networks(card)]
        most = [OVERLAP, size // 4, *(2 * pixels for pixels in sees if pixels is not None)]
        share = _up(min(most), multiple)
        overlap = share if share <= size // 2 else 0
    return Tiling(size, int(overlap), independent, multiple, least)


def _networks(card: ModelCard) -> tuple[NetworkCard, NetworkCard]:
    return card.mean.network, card.residual.network


def _multiple(card: ModelCard) -> int:
    """Return what sides of windows are multiples of."""
    return lcm(*(size_multiple(net.config) for net in _networks(card)))


def _rigid(card: ModelCard) -> bool:
    """Tell whether windows must be of the size of the training."""
    return card.patching is not None or any(attends(net.config) for net in _networks(card))


def _size(card: ModelCard) -> int:
    """Return the size of windows that suits a card."""
    if card.patching is not None:
        return max(card.patching.shape)
    trained = _up(card.patch, _multiple(card))
    return trained if _rigid(card) else max(trained, _up(WINDOW, _multiple(card)))


def _least(card: ModelCard) -> int:
    """Return the smallest windows that networks without attention should be given."""
    return min(card.patch, WINDOW)


def padded_shape(card: ModelCard, shape: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of what the networks of a model are given for a result.

    Parameters
    ----------
    card : ModelCard
        Of the model.
    shape : tuple of int
        Of the result; of a fixed target with its padding.

    Examples
    --------
    >>> import xresdiff
    >>> padded_shape(xresdiff.open_model("rain-16x").card, (48, 528))
    (128, 528)
    """
    if card.target.kind == "fixed":
        return shape
    least, block = _up(card.patch, card.target.factor), lcm(_multiple(card), card.target.factor)
    height, width = (_up(max(n, least), block) for n in shape)
    return height, width


def own_tile_problems(tile: object, overlap: object) -> Iterator[str]:
    """Say what windows cannot be, whatever the model."""
    if not (tile is None or tile == INDEPENDENT or is_whole(tile, 1)):
        yield f"tile is {tile!r}; it is a number of fine pixels, such as 512, or 'independent'"
    if not (overlap is None or is_whole(overlap, 0)):
        yield f"overlap is {overlap!r}; it is a whole number of fine pixels of at least 0"


def tile_problems(card: ModelCard, tile: int | str | None, overlap: int | None) -> Iterator[str]:
    """Say what windows do not go with a model; nothing of what :func:`own_tile_problems` tells."""
    if any(own_tile_problems(tile, overlap)) or (tile is None and overlap is None):
        return
    if card.patching is not None and (problem := _patch_problem(card, tile)):
        yield problem
        return
    size = _size(card) if tile is None or isinstance(tile, str) else tile
    if isinstance(tile, int | np.integer):
        yield from _size_problems(card, int(tile))
    if overlap is None:
        return
    multiple, most = _multiple(card), size // 2 // _multiple(card) * _multiple(card)
    if overlap > size // 2:
        yield (
            f"overlap is {overlap}, more than half of windows of {size} pixels: type overlap="
            f"{most} at most"
        )
    elif overlap % multiple:
        near = min(_up(overlap, multiple), most)
        yield (
            f"overlap is {overlap}; the networks of {card.name} take multiples of {multiple}: type "
            f"overlap={near}"
        )


def _patch_problem(card: ModelCard, tile: int | str | None) -> str:
    """Say why a model with patches of its own cannot run in windows."""
    assert card.patching is not None  # the caller's to check
    height, width = card.patching.shape
    if height != width:
        return (
            f"{card.name} runs in patches of its own of {height} x {width} pixels, which no square "
            "windows can stand for: leave tile= and overlap= out"
        )
    if tile is None:
        return f"overlap is for windows, and {card.name} has patches: type tile={height}, too"
    return ""


def _size_problems(card: ModelCard, tile: int) -> Iterator[str]:
    trained, multiple = _size(card), _multiple(card)
    if _rigid(card):
        if tile != trained:
            yield (
                f"tile is {tile}; the networks of {card.name} run as they were trained, in windows "
                f"of {trained} pixels: type tile={trained}"
            )
        return
    least = _up(_least(card), multiple)
    if tile < least:
        yield f"tile is {tile}; {card.name} learned from fields that are larger: type tile={least}"
    elif tile % multiple:
        yield (
            f"tile is {tile}; the networks of {card.name} take multiples of {multiple}: type tile="
            f"{_up(tile, multiple)}"
        )


def is_whole(value: object, least: int) -> bool:
    """Tell whether something is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return False
    return int(value) >= least
