"""Nearest neighbours, and the extrapolation that is made of them."""

import numpy as np

__all__ = ["inverse_distances", "nearest"]

# Distances that differ by less than this relative amount are compared by ESMF's own expression.
TIE = 1e-9
PAIRS = 2_000_000  # pairs of a place and a point at a time, to bound memory


def nearest(
    points: np.ndarray, places: np.ndarray, count: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Find the points with the least straight-line distances, nearest first.

    Parameters
    ----------
    points : numpy.ndarray, (n, 3)
        Where to look, as unit vectors.
    places : numpy.ndarray, (m, 3)
        Whose neighbours to find.
    count : int, default 1
        How many to find; n at most.

    Returns
    -------
    index : numpy.ndarray, (m, count)
        Numbers of points; of those at the same distance, the smallest number comes first.
    square : numpy.ndarray, (m, count)
        Squares of the distances.

    Examples
    --------
    >>> points = np.array([[1.0, 0, 0], [0, 1, 0], [0, -1, 0]])
    >>> nearest(points, np.array([[-1.0, 0, 0]]), 2)
    (array([[1, 2]]), array([[2., 2.]]))
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(points, balanced_tree=False, compact_nodes=False)
    index = np.empty((len(places), count), np.int64)
    square = np.empty((len(places), count))
    left, tried = np.arange(len(places)), count + 1
    while left.size:
        tried = min(tried, len(points))
        beyond = []
        for start in range(0, left.size, max(1, PAIRS // tried)):
            some = left[start : start + max(1, PAIRS // tried)]
            order, squares = _ranked(tree, points, places[some], tried)
            index[some], square[some] = order[:, :count], squares[:, :count]
            # as long as the farthest tried may be as near as the last one wanted, try more
            tied = squares[:, -1] <= squares[:, count - 1] * (1 + TIE)
            beyond.append(some[tied])
        left = np.concatenate(beyond) if tried < len(points) else left[:0]
        tried *= 4
    return index, square


def _ranked(
    tree: object, points: np.ndarray, places: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest points and squares of distances as ESMF has them, sorted by both."""
    _, found = tree.query(places, k=np.arange(count) + 1)  # type: ignore[attr-defined]
    dx, dy, dz = (points[found, i] - places[:, i, np.newaxis] for i in range(3))
    square = dx * dx + dy * dy + dz * dz
    order = np.lexsort((found, square), axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(square, order, axis=1)


def inverse_distances(square: np.ndarray, exponent: float) -> np.ndarray:
    """Return weights that fall with a power of the distance and sum to one.

    Parameters
    ----------
    square : numpy.ndarray, (m, n)
        Squares of distances, nearest first.
    exponent : float
        The power.

    Returns
    -------
    numpy.ndarray, (m, n)
        Weights; a point at no distance has all the weight.

    Examples
    --------
    >>> inverse_distances(np.array([[1.0, 4.0], [0.0, 1.0]]), 1.0)
    array([[0.66666667, 0.33333333], [1. , 0. ]])
    """
    at_once = square[:, :1] == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = (square / square[:, :1]) ** (-exponent / 2)
    weights = np.where(at_once, np.arange(square.shape[1]) == 0, weights)
    return weights / weights.sum(axis=1, keepdims=True)
