"""Random training patches: pairs of a coarse and a fine field, drawn by (seed, step)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xresdiff.errors import InputError

__all__ = ["Batch", "PairedPatches", "Patches", "SelfCoarsened", "coarsen_blocks"]


@dataclass(frozen=True)
class Batch:
    """Pairs in physical units, float32.

    Parameters
    ----------
    coarse : numpy.ndarray, (b, c, Y, X)
        Inputs.
    fine : numpy.ndarray, (b, k, y, x)
        Targets, zero where missing.
    weight : numpy.ndarray, (b, k, y, x)
        One where the target is known, zero where it is missing.
    """

    coarse: NDArray[np.float32]
    fine: NDArray[np.float32]
    weight: NDArray[np.float32]


class Patches(Protocol):
    """Anything that draws batches; the same generator state gives the same batch."""

    def draw(self, rng: np.random.Generator, size: int, patch: int) -> Batch:
        """Draw `size` pairs of `patch` x `patch` fine pixels."""
        ...


def coarsen_blocks(fine: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average blocks of factor x factor pixels of ``(..., y, x)``, in float64 inside."""
    *lead, y, x = fine.shape
    blocks = fine.reshape(*lead, y // factor, factor, x // factor, factor)
    return blocks.mean(axis=(-3, -1), dtype=np.float64).astype(np.float32)


def _turned(batch: Batch, rng: np.random.Generator) -> Batch:
    """Flip and transpose a whole batch in one of the eight ways of the square."""
    flips = tuple(axis for axis in (-2, -1) if rng.random() < 0.5)
    swap = rng.random() < 0.5

    def turn(field: NDArray[np.float32]) -> NDArray[np.float32]:
        field = np.flip(field, flips)
        return np.ascontiguousarray(field.swapaxes(-1, -2) if swap else field)

    return Batch(turn(batch.coarse), turn(batch.fine), turn(batch.weight))


@dataclass(frozen=True)
class PairedPatches:
    """Patches of fields that lie in memory as pairs, cut along the coarse cells.

    Parameters
    ----------
    coarse : numpy.ndarray, (n, c, Y, X)
        Inputs, complete.
    fine : numpy.ndarray, (n, k, Y * factor, X * factor)
        Targets, NaN where missing.
    factor : int
        Fine pixels along a side of a coarse cell.
    turn : bool, default True
        Flip and transpose at random.
    """

    coarse: NDArray[np.float32]
    fine: NDArray[np.float32]
    factor: int
    turn: bool = True

    def draw(self, rng: np.random.Generator, size: int, patch: int) -> Batch:
        """Draw pairs of fields and corners, all equally likely."""
        n, _, rows, columns = self.coarse.shape
        high, wide = min(patch // self.factor, rows), min(patch // self.factor, columns)
        coarse, fine = [], []
        for _ in range(size):
            i = rng.integers(n)
            y, x = rng.integers(rows - high + 1), rng.integers(columns - wide + 1)
            coarse.append(self.coarse[i, :, y : y + high, x : x + wide])
            ys = slice(y * self.factor, (y + high) * self.factor)
            xs = slice(x * self.factor, (x + wide) * self.factor)
            fine.append(self.fine[i, :, ys, xs])
        target = np.stack(fine)
        known = np.isfinite(target)
        batch = Batch(
            np.stack(coarse), np.where(known, target, np.float32(0)), known.astype(np.float32)
        )
        return _turned(batch, rng) if self.turn and high == wide else batch


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
        even if moved by less than a stride.
    chance : numpy.ndarray, (n,)
        Probability of each window.
    stride : int
        Spacing of the lattice, in pixels.
    scaling : float, default 1.5
        Half of the patches are multiplied by up to this factor, or divided by it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frames = [rng.gamma(0.2, size=(96, 128)).astype(np.float32)]
    >>> batch = SelfCoarsened.of(frames, factor=4, patch=64).draw(rng, size=2, patch=64)
    >>> batch.coarse.shape, batch.fine.shape
    ((2, 1, 16, 16), (2, 1, 64, 64))
    """

    frames: Sequence[NDArray[np.float32]]
    factor: int
    corners: NDArray[np.int64]
    chance: NDArray[np.float64]
    stride: int
    scaling: float = 1.5

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

    def draw(self, rng: np.random.Generator, size: int, patch: int) -> Batch:
        """Draw windows by their chance, move, scale, flip and transpose them."""
        fine = np.empty((size, 1, patch, patch), np.float32)
        for i, pick in enumerate(rng.choice(len(self.corners), size, p=self.chance)):
            frame, y, x = self.corners[pick] + np.r_[0, rng.integers(self.stride, size=2)]
            fine[i, 0] = self.frames[frame][y : y + patch, x : x + patch]
        exponent = rng.uniform(-1, 1, (size, 1, 1, 1)) * (rng.random((size, 1, 1, 1)) < 0.5)
        fine *= (self.scaling**exponent).astype(np.float32)
        batch = Batch(coarsen_blocks(fine, self.factor), fine, np.ones_like(fine))
        return _turned(batch, rng)

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
