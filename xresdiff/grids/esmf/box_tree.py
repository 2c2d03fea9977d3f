"""Which cells of two grids may overlap: trees of boxes around blocks of cells."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["BoxTree", "candidate_pairs"]

# Pairs of boxes that are compared at once: 2**18 keep the temporary arrays under 100 MB.
CHUNK = 2**18


@dataclass(frozen=True, eq=False)
class Level:
    """Boxes around blocks of 2**k by 2**k cells.

    Attributes
    ----------
    low, high : numpy.ndarray, (ny * nx, 3)
        Opposite corners of the boxes in Cartesian coordinates; infinite where a block is empty.
    shape : tuple of int
        Number of blocks (ny, nx).
    """

    low: np.ndarray
    high: np.ndarray
    shape: tuple[int, int]

    @property
    def extent(self) -> float:
        """Median of the longest sides of the boxes; 0 if all are empty."""
        full = self.low[:, 0] <= self.high[:, 0]
        return float(np.median((self.high - self.low)[full].max(axis=1))) if full.any() else 0.0


@dataclass(frozen=True, eq=False)
class BoxTree:
    """Boxes around cells, around blocks of 2 by 2 cells, of 4 by 4, and so on to one box.

    Attributes
    ----------
    levels : tuple of Level
        The boxes around single cells first.
    extents : tuple of float
        Typical size of the boxes of each level.
    """

    levels: tuple[Level, ...]
    extents: tuple[float, ...]

    @classmethod
    def around(cls, cells: np.ndarray, used: np.ndarray, shape: tuple[int, int]) -> "BoxTree":
        """Put boxes around cells.

        Parameters
        ----------
        cells : numpy.ndarray, (ny * nx, m, 3)
            Corners of the cells on the unit sphere.
        used : numpy.ndarray, (ny * nx,), bool
            Cells to be found; the others may have any corners.
        shape : tuple of int
            Number of cells (ny, nx): neighbours in these directions should be neighbours.

        Returns
        -------
        BoxTree
            The tree.
        """
        levels = [_leaves(cells, used, shape)]
        while max(levels[-1].shape) > 1:
            levels.append(_parents(levels[-1]))
        return cls(tuple(levels), tuple(level.extent for level in levels))


def candidate_pairs(source: BoxTree, target: BoxTree) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Find the pairs of cells whose boxes overlap.

    Parameters
    ----------
    source, target : BoxTree
        Boxes around the cells.

    Yields
    ------
    source_cells, target_cells : numpy.ndarray, (k,), int64
        Flat indices; each pair comes once, a limited number of pairs at a time.

    Examples
    --------
    >>> triangle = np.array([[1.0, 0.0, 0.0], [0.995, 0.1, 0.0], [0.995, 0.0, 0.1]])
    >>> cells = np.array([triangle, -triangle])
    >>> tree = BoxTree.around(cells, np.ones(2, dtype=bool), (1, 2))
    >>> list(candidate_pairs(tree, tree))
    [(array([0, 1]), array([0, 1]))]
    """
    top = np.zeros(1, dtype=np.int64)
    waiting = [(len(source.levels) - 1, len(target.levels) - 1, top, top)]
    while waiting:
        s, t, left, right = waiting.pop()
        meets = _meet(source.levels[s], target.levels[t], left, right)
        left, right = left[meets], right[meets]
        if s == t == 0:
            yield left, right
            continue
        for i in range(0, len(left), CHUNK // 4):
            some = slice(i, i + CHUNK // 4)
            waiting.append(_halve(source, target, s, t, left[some], right[some]))


def _halve(
    source: BoxTree, target: BoxTree, s: int, t: int, left: np.ndarray, right: np.ndarray
) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Go one level down in the tree whose boxes are the larger ones."""
    if t == 0 or (s > 0 and source.extents[s] >= target.extents[t]):
        parent, left = _children(left, source.levels[s].shape, source.levels[s - 1].shape)
        return s - 1, t, left, right[parent]
    parent, right = _children(right, target.levels[t].shape, target.levels[t - 1].shape)
    return s, t - 1, left[parent], right


def _children(
    blocks: np.ndarray, shape: tuple[int, int], finer: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Positions in `blocks`, and flat indices on the `finer` level, of their four parts."""
    y, x = np.divmod(blocks, shape[1])
    y = (2 * y[:, None] + np.array([0, 0, 1, 1])).ravel()
    x = (2 * x[:, None] + np.array([0, 1, 0, 1])).ravel()
    exists = np.flatnonzero((y < finer[0]) & (x < finer[1]))
    return exists // 4, y[exists] * finer[1] + x[exists]


def _meet(source: Level, target: Level, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Positions of the pairs whose boxes have a point in common."""
    meets = np.arange(len(left))
    for axis in range(3):
        a, b = left[meets], right[meets]
        overlap = (source.low[a, axis] <= target.high[b, axis]) & (
            target.low[b, axis] <= source.high[a, axis]
        )
        meets = meets[overlap]
    return meets


def _leaves(cells: np.ndarray, used: np.ndarray, shape: tuple[int, int]) -> Level:
    """Boxes around cells, with room for the sphere to bulge out between the corners."""
    centres = cells.mean(axis=1)
    centres /= np.maximum(np.sqrt((centres**2).sum(axis=1)), 1e-300)[:, None]
    cosine = np.einsum("nmc,nc->nm", cells, centres).min(axis=1)
    # A point of the cell is at most 1 - cos(radius) above the flat faces between its corners.
    bulge = (1 - cosine)[:, None] + 1e-14
    low = np.where(used[:, None], cells.min(axis=1) - bulge, np.inf)
    high = np.where(used[:, None], cells.max(axis=1) + bulge, -np.inf)
    return Level(low, high, shape)


def _parents(level: Level) -> Level:
    """Join blocks of 2 by 2 boxes."""
    ny, nx = (size + size % 2 for size in level.shape)
    joined = []
    for bound, fill, join in ((level.low, np.inf, np.min), (level.high, -np.inf, np.max)):
        padded = np.full((ny, nx, 3), fill)
        padded[: level.shape[0], : level.shape[1]] = bound.reshape(*level.shape, 3)
        blocks = padded.reshape(ny // 2, 2, nx // 2, 2, 3)
        joined.append(join(blocks, axis=(1, 3)).reshape(-1, 3))
    return Level(joined[0], joined[1], (ny // 2, nx // 2))
