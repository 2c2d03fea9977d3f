"""Random training patches: of pairs, cut along the coarse cells, or of fine fields alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xresdiff.engine.missing import fill_block, mask_block
from xresdiff.errors import InputError
from xresdiff.train.batches import Batch, Patches, joined
from xresdiff.train.readers import Reader

__all__ = ["Batch", "PairedPatches", "Patches", "SelfCoarsened", "coarsen_blocks", "split"]

TRIES = 20  # for a patch of a field with a known target
FIELDS = 100  # that are tried for such patches

Span = tuple[int, int]  # the first coarse cell along a side, and how many


def coarsen_blocks(fine: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average blocks of factor x factor pixels of ``(..., y, x)``, in float64 inside."""
    *lead, y, x = fine.shape
    blocks = fine.reshape(*lead, y // factor, factor, x // factor, factor)
    return blocks.mean(axis=(-3, -1), dtype=np.float64).astype(np.float32)


def split(
    pairs: int | Sequence[int] | NDArray[np.int64], validation: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keep the last pairs, one at least but not all, for validation.

    Parameters
    ----------
    pairs : int or sequence of int
        How many there are, or which.
    validation : float
        Share of those kept.

    Returns
    -------
    tuple of numpy.ndarray
        Numbers of the pairs for training and for validation; a single pair is in both.

    Examples
    --------
    >>> split(5, 0.4)
    (array([0, 1, 2]), array([3, 4]))
    """
    picks = np.arange(pairs) if isinstance(pairs, int) else np.asarray(pairs, np.int64)
    if len(picks) < 2:
        return picks, picks
    kept = min(max(1, round(len(picks) * validation)), len(picks) - 1)
    return picks[:-kept], picks[-kept:]


def _turned(batch: Batch, rng: np.random.Generator) -> Batch:
    """Flip and, if they are square, transpose patches in one of the eight ways of the square."""
    flips = tuple(axis for axis in (-2, -1) if rng.random() < 0.5)
    square = all(field.shape[-1] == field.shape[-2] for field in (batch.coarse, batch.fine))
    swap = rng.random() < 0.5 and square

    def turn(field: NDArray[np.float32]) -> NDArray[np.float32]:
        field = np.flip(field, flips)
        return np.ascontiguousarray(field.swapaxes(-1, -2) if swap else field)

    return replace(
        batch,
        coarse=turn(batch.coarse),
        fine=turn(batch.fine),
        weight=turn(batch.weight),
        mean=None if batch.mean is None else turn(batch.mean),
    )


@dataclass(frozen=True)
class PairedPatches:
    """Patches of pairs of fields, cut along the coarse cells.

    Fields that are smaller than a patch are continued by their mirror image, which has no weight.
    On a target of its own, a patch that is no smaller than the field is the whole field, and where
    only whole fields go together it always is.

    Parameters
    ----------
    reader : Reader
        Of the pairs.
    picks : numpy.ndarray, (m,)
        Numbers of the pairs that are drawn from.
    turn : bool, default False
        Flip and transpose at random, all patches of a draw alike.
    means : numpy.ndarray, (n, k, y, x), optional
        Encoded means of all pairs of the reader, to be cut along.

    Examples
    --------
    >>> from xresdiff.train.readers import ArrayReader
    >>> fine = np.random.default_rng(0).random((3, 1, 32, 32), dtype=np.float32)
    >>> reader = ArrayReader(coarsen_blocks(fine, 4), fine, np.zeros((3, 2)), factor=4)
    >>> batch = PairedPatches(reader, np.arange(3)).draw(np.random.default_rng(0), 2, 16)
    >>> batch.coarse.shape, batch.fine.shape
    ((2, 1, 4, 4), (2, 1, 16, 16))
    """

    reader: Reader
    picks: NDArray[np.int64]
    turn: bool = False
    means: NDArray[np.float32] | None = None

    def draw(self, rng: np.random.Generator, n: int, patch: int) -> Batch:
        """Draw patches of one pair, all places equally likely, again where no target is known.

        Raises
        ------
        InputError
            If there seems to be no patch with a known target.
        """
        for _ in range(FIELDS):
            i = int(self.picks[rng.integers(len(self.picks))])
            patches = self._of_field(rng, i, n, patch)
            if patches is not None:
                batch = joined(patches)
                return _turned(batch, rng) if self.turn else batch
        raise InputError(
            f"none of {FIELDS} fields has a patch of {patch} pixels where target and inputs "
            "are known; leave out pairs without any: ds.dropna('time', how='all')"
        )

    def _of_field(self, rng: np.random.Generator, i: int, n: int, patch: int) -> list[Batch] | None:
        """Draw patches of one pair; None if no known target was met."""
        if self._is_whole(patch):
            whole = (0, self.reader.coarse_shape[0]), (0, self.reader.coarse_shape[1])
            entire = self._cut(i, *whole, None)
            return [entire] * n if entire.weight.any() else None
        patches = []
        for _ in range(n):
            batch = self._known(rng, i, patch)
            if batch is None:
                return None
            patches.append(batch)
        return patches

    def _known(self, rng: np.random.Generator, i: int, patch: int) -> Batch | None:
        """Draw a patch of a pair until it has a known target."""
        side = patch // self.reader.factor
        for _ in range(TRIES):
            rows, columns = (
                (int(rng.integers(max(size - side, 0) + 1)), min(side, size))
                for size in self.reader.coarse_shape
            )
            batch = self._cut(i, rows, columns, patch)
            if batch.weight.any():
                return batch
        return None

    def _is_whole(self, patch: int) -> bool:
        factor = self.reader.factor
        return factor == 0 or (factor == 1 and patch >= max(self.reader.fine_shape))

    def _cut(self, i: int, rows: Span, columns: Span, patch: int | None) -> Batch:
        """Read a window, fill what is missing, and continue it to the size of the patch."""
        cells = tuple(slice(first, first + size) for first, size in (rows, columns))
        coarse, fine = self.reader.read(i, *cells)
        known = np.isfinite(mask_block(fine, coarse))
        factor = self.reader.factor
        sizes = (patch, patch) if patch else fine.shape[-2:]
        inner = (patch // factor, patch // factor) if patch else coarse.shape[-2:]
        mean = None
        if self.means is not None:
            pixels = (slice(cell.start * factor, cell.stop * factor) for cell in cells)
            cut = self.means[i][:, *pixels] if factor else self.means[i]
            mean = _mirrored(np.asarray(cut, np.float32), sizes)[None]
        return Batch(
            coarse=_mirrored(fill_block(coarse), inner)[None],
            fine=_mirrored(np.where(known, fine, np.float32(0)), sizes)[None],
            weight=_continued(known.astype(np.float32), sizes)[None],
            moments=self.reader.moments[[i]],
            corners=np.array([[rows[0], columns[0]]], np.int64) * factor,
            mean=mean,
        )


def _mirrored(field: NDArray[np.float32], sizes: Sequence[int]) -> NDArray[np.float32]:
    """Continue ``(..., y, x)`` by its mirror image, back and forth, as small inputs are."""
    if tuple(sizes) == field.shape[-2:]:
        return field
    rows, columns = (
        np.minimum(place := np.arange(size) % (2 * n), 2 * n - 1 - place)
        for size, n in zip(sizes, field.shape[-2:], strict=True)
    )
    return np.ascontiguousarray(field[..., rows[:, None], columns])


def _continued(weight: NDArray[np.float32], sizes: Sequence[int]) -> NDArray[np.float32]:
    """Continue ``(..., y, x)`` by zeros."""
    high, wide = weight.shape[-2:]
    edges = ((0, 0), (0, sizes[0] - high), (0, sizes[1] - wide))
    return weight if (high, wide) == tuple(sizes) else np.pad(weight, edges)


@dataclass(frozen=True)
class SelfCoarsened:
    """Patches of one fine variable whose coarse partner is its own block mean.

    The blocks start at any pixel, so that few fields give many pairs, and windows are drawn the
    more often the wetter they are.

    Parameters
    ----------
    frames : sequence of numpy.ndarray, (y, x)
        Fields of a non-negative variable, NaN where missing.
    factor : int
        Fine pixels along a side of a coarse cell.
    corners : numpy.ndarray, (n, 3)
        Frame, row and column of every window on a lattice of `stride` pixels that is complete
        even if moved by less than a stride; frame by frame.
    chance : numpy.ndarray, (n,)
        Probability of each window.
    stride : int
        Spacing of the lattice, in pixels.
    scaling : float, default 1.5
        Half of the draws are multiplied by up to this factor, or divided by it.
    turn : bool, default True
        Flip and transpose at random, all patches of a draw alike.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frames = [rng.gamma(0.2, size=(96, 128)).astype(np.float32)]
    >>> batch = SelfCoarsened.of(frames, factor=4, patch=64).draw(rng, 2, patch=64)
    >>> batch.coarse.shape, batch.fine.shape
    ((2, 1, 16, 16), (2, 1, 64, 64))
    """

    frames: Sequence[NDArray[np.float32]]
    factor: int
    corners: NDArray[np.int64]
    chance: NDArray[np.float64]
    stride: int
    scaling: float = 1.5
    turn: bool = True

    @classmethod
    def of(
        cls,
        frames: Sequence[NDArray[np.float32]],
        factor: int,
        patch: int,
        *,
        wet: float = 0.1,
        stride: int = 32,
        floor: float = 0.02,
    ) -> "SelfCoarsened":
        """List the complete windows of `frames`, each as likely as `floor` plus its wet share.

        A pixel is wet above `wet`, in the unit of the frames. Dry windows are left out.

        Raises
        ------
        InputError
            If there is no complete window with a wet pixel.
        """
        corners, chances = [], []
        span = -(-patch // stride)  # cells of the lattice along a window
        for number, frame in enumerate(frames):
            rows, columns = (size // stride for size in frame.shape)
            cells = frame[: rows * stride, : columns * stride]
            cells = cells.reshape(rows, stride, columns, stride)
            missing = _window_sum(np.isnan(cells).sum(axis=(1, 3)), span + 1)
            rain = _window_sum((cells > wet).sum(axis=(1, 3)), span)
            rain = rain[: missing.shape[0], : missing.shape[1]]
            ys, xs = np.nonzero((missing == 0) & (rain > 0))
            corners.append(np.stack([np.full_like(ys, number), ys * stride, xs * stride], axis=1))
            chances.append(floor + rain[ys, xs] / (span * stride) ** 2)
        if not any(map(len, corners)):
            raise InputError(
                f"none of the {len(frames)} frames has a wet window without missing values; it "
                f"takes {(span + 1) * stride} x {(span + 1) * stride} pixels, less with patch="
                f"{patch // 2}"
            )
        chance = np.concatenate(chances)
        return cls(frames, factor, np.concatenate(corners), chance / chance.sum(), stride)

    def draw(self, rng: np.random.Generator, n: int, patch: int) -> Batch:
        """Draw windows of one frame by their chance, move them; scale, flip and transpose all."""
        number = self.corners[rng.choice(len(self.corners), p=self.chance), 0]
        first, last = np.searchsorted(self.corners[:, 0], [number, number + 1])
        chance = self.chance[first:last] / self.chance[first:last].sum()
        picks = first + rng.choice(last - first, n, p=chance)
        corners = self.corners[picks, 1:] + rng.integers(self.stride, size=(n, 2))
        frame = self.frames[number]
        fine = np.stack([frame[None, y : y + patch, x : x + patch] for y, x in corners])
        exponent = rng.uniform(-1, 1) * (rng.random() < 0.5)
        fine = (fine * np.float32(self.scaling**exponent)).astype(np.float32)
        batch = Batch(
            coarsen_blocks(fine, self.factor), fine, np.ones_like(fine), np.zeros((n, 2)), corners
        )
        return _turned(batch, rng) if self.turn else batch

    def without_scaling(self) -> "SelfCoarsened":
        """Return the same windows with their own intensities, for validation."""
        return replace(self, scaling=1.0)


def _window_sum(cells: NDArray[np.int64], span: int) -> NDArray[np.int64]:
    """Sum all windows of span x span cells, ``(y, x) -> (y - span + 1, x - span + 1)``."""
    rows, columns = (max(n - span + 1, 0) for n in cells.shape)
    if not rows * columns:
        return np.zeros((rows, columns), np.int64)
    total = np.pad(cells.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return total[span:, span:] - total[:-span, span:] - total[span:, :-span] + total[:-span, :-span]
