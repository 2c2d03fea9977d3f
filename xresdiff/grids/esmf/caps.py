"""Close the ends of a periodic grid, between its last row and the pole, as ESMF does.

An artificial point, the mean of the unit vectors of the row scaled to length one, makes a flat
triangle with every two neighbours of the row.
"""

from dataclasses import dataclass

import numpy as np

from xresdiff.grids.esmf.degenerate import SAME_POINT
from xresdiff.grids.esmf.quads import TOLERANCE

__all__ = ["Cap", "cap_of"]

PAIRS = 2_000_000  # pairs of a place and a triangle at a time, to bound memory


@dataclass(frozen=True)
class Cap:
    """The triangles over an end row.

    Attributes
    ----------
    row : numpy.ndarray, (n, 3)
        Points of the row as unit vectors.
    used : numpy.ndarray, (n,)
        Whether each point may be used.
    top : numpy.ndarray, (3,)
        The artificial point.
    """

    row: np.ndarray
    used: np.ndarray
    top: np.ndarray

    def weights(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Serve the places that lie in a triangle.

        Parameters
        ----------
        places : numpy.ndarray, (place, 3)
            Places as unit vectors.

        Returns
        -------
        inside : numpy.ndarray, (m,)
            The places that a triangle holds.
        weights : numpy.ndarray, (m, n)
            Their weights of all points of the row: those of the triangle's two, and the share of
            the artificial point spread evenly over the points that may be used.
        """
        reach = np.linalg.norm(self.row - self.top, axis=1).max() * (1 + 1e-6)
        near = np.flatnonzero(np.linalg.norm(places - self.top, axis=1) <= reach)
        left = self._triangles(places[near])
        near, left = near[left >= 0], left[left >= 0]
        share = _crossing(
            self.row[left], np.roll(self.row, -1, axis=0)[left], self.top, places[near]
        )
        with np.errstate(invalid="ignore"):
            good = (share >= -TOLERANCE).all(axis=1)
        near, left, share = near[good], left[good], np.clip(share[good], 0, None)
        share /= share.sum(axis=1, keepdims=True)
        weights = share[:, 2:] * (self.used / self.used.sum())
        index = np.arange(near.size)
        weights[index, left] += share[:, 0]
        weights[index, (left + 1) % len(self.row)] += share[:, 1]
        return near, weights

    def _triangles(self, places: np.ndarray) -> np.ndarray:
        """Return the triangle that holds each place best, by the number of its first point.

        -1 where there is none: all of them have a point that may not be used, or are behind.
        """
        following = np.roll(self.row, -1, axis=0)
        usable = self.used & np.roll(self.used, -1)
        # rows of the inverse of the matrix (P, Q, top): what a place has of each
        pairs = ((following, self.top), (self.top, self.row), (self.row, following))
        sides = np.stack([np.cross(first, second) for first, second in pairs])
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = sides / (self.row * sides[0]).sum(axis=1)[:, np.newaxis]
        inverse = np.where(
            (usable & np.isfinite(inverse).all(axis=(0, 2)))[:, np.newaxis], inverse, 0
        )
        best = np.zeros(len(places), np.int64)
        step = max(1, PAIRS // len(self.row))
        for start in range(0, len(places), step):
            part = slice(start, start + step)
            share = np.einsum("scx,px->spc", inverse, places[part], optimize=True)
            total = share.sum(axis=0)
            with np.errstate(divide="ignore", invalid="ignore"):
                least = share.min(axis=0) / total
            least = np.where(total > 0, least, -np.inf)
            best[part] = np.where(least.max(axis=1) > -np.inf, least.argmax(axis=1), -1)
        return best


def cap_of(row: np.ndarray, used: np.ndarray) -> Cap | None:
    """Return the cap over a row, None if there is none.

    Parameters
    ----------
    row : numpy.ndarray, (n, 3)
        Points of an end row as unit vectors.
    used : numpy.ndarray, (n,)
        Whether each point may be used. Those that may not shape the cap all the same.

    Returns
    -------
    Cap or None
        None if the row lies on a pole or some coordinate is missing.

    Examples
    --------
    >>> cap = cap_of(np.array([[0.6, 0, 0.8], [0, 0.6, 0.8], [-1, 0, 0]]), np.ones(3, bool))
    >>> cap.top.round(3)
    array([-0.228,  0.342,  0.912])
    """
    mean = row.mean(axis=0)
    length = np.linalg.norm(mean)
    if not length > SAME_POINT:
        return None
    top = mean / length
    if np.linalg.norm(row - top, axis=1).max() < SAME_POINT or not used.any():
        return None
    return Cap(row, used, top)


def _crossing(p: np.ndarray, q: np.ndarray, top: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the barycentric coordinates, (place, 3), of rays crossing triangles p, q, top.

    The volumes p . (q x top) are written with differences from the place, whose rounding errors
    are those of the triangle's size rather than of the sphere's.
    """
    p, q, top = p - places, q - places, top - places
    volumes = [
        (places * np.cross(first, second)).sum(axis=1)
        for first, second in ((q, top), (top, p), (p, q))
    ]
    share = np.stack(volumes, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return share / share.sum(axis=1, keepdims=True)
