"""Find places in the quadrilaterals of a grid.

The corners A, B, C, D of a cell, as unit vectors, span the surface

    S(u, v) = (1-u)(1-v) A + u (1-v) B + u v C + (1-u) v D

and a place T has the coordinates u, v where the ray through it meets the surface: S(u, v) = t T.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xresdiff.grids.esmf.degenerate import SAME_POINT

__all__ = ["NOWHERE", "TOLERANCE", "Found", "find_in_quads", "invert", "quads_of"]

#: The cell of a place that is in none.
NOWHERE = -1

#: How far outside of [0, 1] u and v may be, as measured of ESMF.
TOLERANCE = 5e-8

# A place this little outside of a cell is in it as far as double precision can tell; one farther
# outside may be in the neighbour.
ROUNDING = 1e-10

# ESMF's iteration starts at A and ends when |S(u, v) - t T| is less than this. That is not quite
# the solution: its weights have errors up to 1e-7, and these are the weights to reproduce.
RESIDUAL = 1e-10
MAX_STEPS = 50

CHUNK = 100_000  # places at a time, to bound memory
PAIRS = 800_000  # pairs of a place and a cell at a time

# Cells are searched by trees of their centres, one tree for cells of about one size: a single
# large cell would make every search wide.
SIZES_PER_TREE = 2  # octaves


@dataclass
class Found:
    """Which cell each place is in.

    Attributes
    ----------
    cell : numpy.ndarray, (place,)
        Number of the cell; NOWHERE if there is none.
    u, v : numpy.ndarray, (place,)
        Coordinates in it, within TOLERANCE of [0, 1].
    excess : numpy.ndarray, (place,)
        How far outside of the cell the place is, in units of u and v; inf if there is none.
    """

    cell: np.ndarray
    u: np.ndarray
    v: np.ndarray
    excess: np.ndarray

    @classmethod
    def nothing(cls, n: int) -> "Found":
        """Return the state before the search of n places."""
        return cls(np.full(n, NOWHERE), np.zeros(n), np.zeros(n), np.full(n, np.inf))

    def improve(
        self, place: np.ndarray, cell: np.ndarray, u: np.ndarray, v: np.ndarray, excess: np.ndarray
    ) -> None:
        """Take over the cells that hold their places better than the ones known."""
        order = np.lexsort((cell, excess, place))
        place, first = np.unique(place[order], return_index=True)
        take = order[first]
        better = (excess[take] <= TOLERANCE) & (excess[take] < self.excess[place])
        place, take = place[better], take[better]
        self.cell[place], self.excess[place] = cell[take], excess[take]
        self.u[place], self.v[place] = u[take], v[take]

    def unsettled(self) -> np.ndarray:
        """Return the places whose cell is not yet beyond doubt."""
        return np.flatnonzero(self.excess > ROUNDING)


def quads_of(ny: int, nx: int, *, periodic: bool) -> np.ndarray:
    """Return the corners of the cells between the points of a grid.

    Parameters
    ----------
    ny, nx : int
        Number of points, which are numbered in C order.
    periodic : bool
        Whether the first column follows the last.

    Returns
    -------
    numpy.ndarray, (4, cell)
        A, B, C, D of every cell: B lies beyond A along x, D along y.

    Examples
    --------
    >>> quads_of(2, 3, periodic=False)
    array([[0, 1], [1, 2], [4, 5], [3, 4]])
    """
    left = np.arange(nx if periodic else nx - 1)
    right = (left + 1) % nx
    row = nx * np.arange(ny - 1)[:, np.newaxis]
    corners = (row + left, row + right, row + nx + right, row + nx + left)
    return np.stack([corner.ravel() for corner in corners])


def find_in_quads(points: np.ndarray, quads: np.ndarray, places: np.ndarray) -> Found:
    """Find the cell of every place.

    Parameters
    ----------
    points : numpy.ndarray, (3, point)
        Corners of cells as unit vectors.
    quads : numpy.ndarray, (4, cell)
        Corners of every cell.
    places : numpy.ndarray, (3, place)
        What to find, as unit vectors.

    Returns
    -------
    Found
        Of several cells that hold a place, the one that holds it best, then the first.
    """
    found = Found.nothing(places.shape[1])
    trees = [Tree(points, quads, some) for some in _by_size(points, quads)]
    for start in range(0, places.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        here = Found(found.cell[part], found.u[part], found.v[part], found.excess[part])
        for tree in trees:
            tree.search(places[:, part], here)
    return found


class Tree:
    """Cells of about one size, findable by their centres.

    Parameters
    ----------
    points, quads
        As of :func:`find_in_quads`.
    cells : numpy.ndarray, (cell,)
        The cells to search.
    """

    def __init__(self, points: np.ndarray, quads: np.ndarray, cells: np.ndarray) -> None:
        from scipy.spatial import cKDTree

        self.points, self.quads, self.cells = points, quads, cells
        centres, self.radius = _caps(points, quads[:, cells])
        self.reach = float(self.radius.max())
        self.radius = np.append(self.radius, -1)  # of the cell that the tree says for "none"
        self.tree = cKDTree(centres.T, balanced_tree=False, compact_nodes=False)

    def search(self, places: np.ndarray, found: Found) -> None:
        """Try the nearest cell, then more and more, until every place is found or out of reach."""
        doubtful, tried, count = found.unsettled(), 0, 1
        while doubtful.size and tried < self.cells.size:
            count = min(count, self.cells.size)
            ranks, beyond = np.arange(tried, count) + 1, []
            for some in _pieces(doubtful, max(1, PAIRS // count)):
                distance, near = self.tree.query(
                    places[:, some].T, k=ranks, distance_upper_bound=self.reach
                )
                self._try(places, some, distance, near, found)
                beyond.append(some[np.isfinite(distance[:, -1])])
            doubtful = np.concatenate(beyond)
            doubtful = doubtful[found.excess[doubtful] > ROUNDING]
            tried, count = count, 8 * count

    def _try(
        self,
        places: np.ndarray,
        some: np.ndarray,
        distance: np.ndarray,
        near: np.ndarray,
        found: Found,
    ) -> None:
        """Solve for u and v in the cells near some places; distance and near are (place, rank)."""
        at, rank = np.nonzero(distance <= self.radius[near])
        near, place = near[at, rank], some[at]
        cell = self.cells[near]
        u, v, excess = invert(self.points, self.quads[:, cell], places[:, place])
        found.improve(place, cell, u, v, excess)


def invert(
    points: np.ndarray, quads: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the coordinates u, v of places in cells, one cell each, and their excess.

    Parameters
    ----------
    points : numpy.ndarray, (3, point)
        Corners of cells as unit vectors.
    quads : numpy.ndarray, (4, pair)
        Corners of the cells.
    places : numpy.ndarray, (3, pair)
        Places as unit vectors.

    Returns
    -------
    u, v : numpy.ndarray, (pair,)
        Coordinates; meaningless where `excess` is inf.
    excess : numpy.ndarray, (pair,)
        How far outside of [0, 1] they are, not positive inside; inf where there are none.
    """
    a, b, c, d = (points[:, corner] for corner in quads)
    along_u, along_v = b - a, d - a
    twist = (a - b) + (c - d)
    # S is linear in t, which drops out on the plane across T: two equations for u and v remain.
    flat = _plane_across(places)
    p, q = (
        np.stack([_dot(axis, side) for side in (a - places, along_u, along_v, twist)])
        for axis in flat
    )
    # where two corners are one, as in the row at a pole, the surface has no slope at A
    pinched = np.minimum(_length(along_u), _length(along_v)) < SAME_POINT
    u = np.where(pinched, 0.5, 0.0)
    v = u.copy()
    solved = _newton(p, q, _length(twist), u, v)
    with np.errstate(invalid="ignore", over="ignore"):
        excess = np.maximum(np.maximum(-u, u - 1), np.maximum(-v, v - 1))
        ahead = _dot(places, a + u * along_u + v * along_v + u * v * twist) > 0
    return u, v, np.where(solved & ahead & (excess <= TOLERANCE), excess, np.inf)


def _newton(
    p: np.ndarray, q: np.ndarray, twist: np.ndarray, u: np.ndarray, v: np.ndarray
) -> np.ndarray:
    """Solve p0 + p1 u + p2 v + p3 u v = 0 and the same of q, from u and v on, in place.

    After a step (du, dv), all that is left of S - t T is du dv (A - B + C - D).
    """
    solved = np.zeros(u.size, bool)
    left = np.arange(u.size)
    for _ in range(MAX_STEPS):
        whole = left.size == u.size
        (p0, p1, p2, p3), (q0, q1, q2, q3) = (p, q) if whole else (p[:, left], q[:, left])
        x, y = u[left], v[left]
        with np.errstate(all="ignore"):
            pu, pv, pf = p1 + y * p3, p2 + x * p3, p0 + x * p1 + y * (p2 + x * p3)
            qu, qv, qf = q1 + y * q3, q2 + x * q3, q0 + x * q1 + y * (q2 + x * q3)
            across = pu * qv - qu * pv
            du, dv = (pv * qf - qv * pf) / across, (qu * pf - pu * qf) / across
            residual = np.abs(du * dv) * twist[left]
        u[left], v[left] = x + du, y + dv
        solved[left] = residual < RESIDUAL
        left = left[residual >= RESIDUAL]  # what is NaN is given up
        if not left.size:
            break
    return solved


def _by_size(points: np.ndarray, quads: np.ndarray) -> Iterator[np.ndarray]:
    """Sort cells by their size; the most frequent size comes first."""
    _, radius = _caps(points, quads)
    octave = np.floor(np.log2(radius) / SIZES_PER_TREE)
    sizes, count = np.unique(octave, return_counts=True)
    for size in sizes[np.argsort(-count, kind="stable")]:
        yield np.flatnonzero(octave == size)


def _caps(points: np.ndarray, quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return centres, (3, cell), and radii, (cell,), of spherical caps that hold the cells."""
    corners = [points[:, corner] for corner in quads]
    centre = sum(corners[1:], start=corners[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = centre / _length(centre)
    squares = [_dot(corner - centre, corner - centre) for corner in corners]
    radius = np.sqrt(np.max(squares, axis=0)) * (1 + 1e-6) + 1e-7
    # what is larger than a hemisphere is not convex, and holds whatever
    whole = ~(radius < np.sqrt(2))
    return np.where(whole, np.eye(3)[:, :1], centre), np.where(whole, 3.0, radius)


def _plane_across(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two unit vectors across each place and across each other (Duff et al., 2017)."""
    x, y, z = places
    sign = np.copysign(1.0, z)
    a = -1 / (sign + z)
    b = x * y * a
    return (
        np.stack([1 + sign * x * x * a, sign * b, -sign * x]),
        np.stack([b, sign + y * y * a, -y]),
    )


def _pieces(indices: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Cut an array into pieces."""
    for start in range(0, indices.size, size):
        yield indices[start : start + size]


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the scalar products of vectors, (3, n)."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _length(a: np.ndarray) -> np.ndarray:
    return np.sqrt(_dot(a, a))
