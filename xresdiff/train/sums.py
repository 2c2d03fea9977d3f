"""What a survey sums up of fields: moments, the way from the input, block means."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xresdiff.models.card import Transform

__all__ = ["Counts", "Moments", "bent", "block_differences", "interpolated", "spread"]

BLOCKS = 1000  # of a pair and a channel that are kept, for a median
TINY = 1e-6  # relative to the largest: blocks of less are as good as empty


@dataclass(frozen=True)
class Moments:
    """Count, mean and squared differences from it, merged block by block (Chan et al., 1979)."""

    count: int = 0
    mean: float = float("nan")
    squares: float = 0.0

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Moments":
        """Return those of some values."""
        if not values.size:
            return cls()
        mean = float(values.mean())
        apart = (values - mean).ravel()
        return cls(values.size, mean, float(apart @ apart))

    def merged(self, other: "Moments") -> "Moments":
        """Return those of the values of both."""
        if not (self.count and other.count):
            return self if self.count else other
        count, delta = self.count + other.count, other.mean - self.mean
        squares = self.squares + other.squares + delta**2 * self.count * other.count / count
        return Moments(count, self.mean + delta * other.count / count, squares)

    @property
    def variance(self) -> float:
        """Mean squared difference from the mean, NaN of nothing."""
        return self.squares / self.count if self.count else float("nan")


@dataclass(frozen=True)
class Counts:
    """How many values of the target are learned from, and what each input costs of them."""

    size: int
    known: int  # where all inputs are known, too
    lost: tuple[int, ...]  # for each input, where it is the only one that is missing

    @classmethod
    def of(cls, coarse: NDArray[np.float32], fine: NDArray[np.float32]) -> "Counts":
        """Return those of one pair, ``(c, Y, X)`` and ``(k, y, x)``."""
        there = np.isfinite(fine).sum(axis=0)
        missing = ~np.isfinite(coarse)
        gaps = missing.sum(axis=0)
        if not gaps.any():
            return cls(fine.size, int(there.sum()), (0,) * len(coarse))
        known, *lost = (
            int(there[spread(cells, there.shape)].sum())
            for cells in (gaps == 0, *(missing & (gaps == 1)))
        )
        return cls(fine.size, known, tuple(lost))

    def merged(self, other: "Counts") -> "Counts":
        """Return those of both."""
        lost = tuple(a + b for a, b in zip(self.lost, other.lost, strict=True))
        return Counts(self.size + other.size, self.known + other.known, lost)

    @property
    def share(self) -> float:
        """How many of all values are learned from."""
        return self.known / self.size

    @property
    def costs(self) -> tuple[float, ...]:
        """How many of all values each input costs, if it alone is missing."""
        return tuple(lost / self.size for lost in self.lost)


def bent(values: NDArray[Any], way: Transform) -> NDArray[np.float64]:
    """Return values under a transform, in float64."""
    import torch

    from xresdiff.nets.transforms import encode

    whole = torch.from_numpy(np.ascontiguousarray(values, np.float64))
    return np.asarray(encode(whole, way.name, scale=way.scale, exponent=way.exponent).numpy())


def spread(cells: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Give the pixels of ``(y, x)`` what their cells have."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(shape, cells.shape, strict=True))
    return cells[np.ix_(rows, columns)]


def interpolated(coarse: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Interpolate cell means to the pixels of ``(y, x)``, as the global residual does."""
    import torch
    from torch.nn import functional as F

    if coarse.shape == shape:
        return coarse
    cells = torch.from_numpy(np.ascontiguousarray(coarse))[None, None]
    fine = F.interpolate(cells, size=tuple(shape), mode="bilinear", align_corners=False)
    return np.asarray(fine[0, 0].numpy())


def block_differences(
    coarse: NDArray[np.float32], fine: NDArray[np.float32], factor: int
) -> NDArray[np.float64]:
    """Return how far the means of some blocks are from their cells, relative to the larger."""
    rows, columns = coarse.shape
    blocks = fine.reshape(rows, factor, columns, factor).mean(axis=(1, 3), dtype=np.float64)
    larger = np.maximum(np.abs(blocks), np.abs(coarse))
    known = np.isfinite(larger)
    if not known.any():
        return np.array([])
    wet = known & (larger > TINY * larger[known].max())
    apart = (np.abs(blocks - coarse)[wet] / larger[wet]).astype(np.float64)
    return apart[:: max(apart.size // BLOCKS, 1)]
