"""Bilinear weights, as ESMF computes them."""

import numpy as np

from xresdiff.errors import InputError
from xresdiff.grids.esmf.caps import cap_of
from xresdiff.grids.esmf.degenerate import describe, fewer_than_three
from xresdiff.grids.esmf.quads import NOWHERE, find_in_quads, quads_of
from xresdiff.grids.esmf.weights import Weights

__all__ = ["bilinear"]


def bilinear(
    points: np.ndarray,
    used: np.ndarray,
    places: np.ndarray,
    *,
    periodic: bool,
    ignore_degenerate: bool = False,
) -> Weights:
    """Return the weights that interpolate between the points of a grid.

    Parameters
    ----------
    points : numpy.ndarray, (y, x, 3)
        Points of the grid as unit vectors; NaN is not used.
    used : numpy.ndarray, (y, x)
        False where a point is masked. No cell with such a corner serves.
    places : numpy.ndarray, (place, 3)
        Where to interpolate; NaN gets no weights.
    periodic : bool
        Whether the first column follows the last. The ends are closed over the poles.
    ignore_degenerate : bool, default False
        Leave cells with fewer than three distinct corners out, rather than refuse them.

    Returns
    -------
    Weights
        Of the places that some cell holds, also where a weight is zero.

    Raises
    ------
    InputError
        If the grid is one point wide, or has cells with fewer than three distinct corners.

    Examples
    --------
    >>> from xresdiff.grids.esmf.sphere import sphere_points
    >>> grid = sphere_points(*np.meshgrid([0.0, 2.0], [-1.0, 1.0]))
    >>> weights = bilinear(
    ...     grid, np.ones((2, 2), bool), sphere_points([1.0], [0.0]), periodic=False
    ... )
    >>> weights.source, weights.value
    (array([0, 1, 2, 3]), array([0.25, 0.25, 0.25, 0.25]))
    """
    ny, nx = used.shape
    if ny < 2 or nx < 2:
        raise InputError(
            f"the source grid has {ny} x {nx} points (y, x), and bilinear interpolation needs two "
            "or more along each dimension; use method='nearest_s2d'"
        )
    if periodic and nx < 3:
        raise InputError(
            f"the source grid has {nx} columns, and three or more go round the earth; pass "
            "periodic=False"
        )
    quads = quads_of(ny, nx, periodic=periodic)
    flat = np.ascontiguousarray(points.reshape(-1, 3).T)
    pinched = fewer_than_three(flat, quads)
    if pinched.any() and not ignore_degenerate:
        raise InputError(_degenerate(points, quads[0, pinched], periodic=periodic))
    used = used & np.isfinite(points).all(axis=-1)
    quads = quads[:, used.ravel()[quads].all(axis=0) & ~pinched]
    there = np.flatnonzero(np.isfinite(places).all(axis=1))
    whole = there.size == len(places)
    weights = _within(flat, quads, places if whole else places[there])
    if not whole:
        weights = weights._replace(target=there[weights.target])
    if not periodic:
        return weights.in_order()
    unmapped = np.isfinite(places).all(axis=1)
    unmapped[weights.target] = False
    parts = [weights]
    for row in _ends(points):
        parts.append(_over(points, used, row, places, np.flatnonzero(unmapped)))
        unmapped[parts[-1].target] = False
    return Weights.together(parts).in_order()


def _within(flat: np.ndarray, quads: np.ndarray, places: np.ndarray) -> Weights:
    """Return the weights of places in cells: the four factors of u and v."""
    if not quads.size:
        return Weights.none()
    found = find_in_quads(flat, quads, np.ascontiguousarray(places.T))
    inside = np.flatnonzero(found.cell != NOWHERE)
    u, v = np.clip(found.u[inside], 0, 1), np.clip(found.v[inside], 0, 1)
    value = np.empty((inside.size, 4))
    np.multiply(1 - u, 1 - v, out=value[:, 0])
    np.multiply(u, 1 - v, out=value[:, 1])
    np.multiply(1 - u, v, out=value[:, 2])
    np.multiply(u, v, out=value[:, 3])
    source = quads[[0, 1, 3, 2]].T[found.cell[inside]]  # in the order of the points' numbers
    return Weights(np.repeat(inside, 4), source.ravel(), value.ravel())


def _ends(points: np.ndarray) -> list[int]:
    """Return the first row and the last, the one of the smaller cap first.

    Where both ends lie in one hemisphere the caps overlap, and the smaller one is the nearer.
    """
    around = {row: np.linalg.norm(points[row].mean(axis=0)) for row in (0, len(points) - 1)}
    return sorted(around, key=lambda row: -around[row])


def _over(
    points: np.ndarray, used: np.ndarray, row: int, places: np.ndarray, left: np.ndarray
) -> Weights:
    """Return the weights of places between an end row and the pole."""
    cap = cap_of(points[row], used[row])
    if cap is None or not left.size:
        return Weights.none()
    inside, value = cap.weights(places[left])
    columns = np.flatnonzero(used[row])
    target = np.repeat(left[inside], columns.size)
    source = np.tile(row * used.shape[1] + columns, inside.size)
    return Weights(target, source, value[:, columns].ravel())


def _degenerate(points: np.ndarray, first: np.ndarray, *, periodic: bool) -> str:
    """Say which cells are degenerate, by the numbers of their first corners."""
    x, y, z = points.reshape(-1, 3)[first].T
    lon, lat = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
    nx = points.shape[1]
    found = describe(np.stack(np.divmod(first, nx), axis=1), lon, lat, "source")
    if periodic and (first % nx == nx - 1).all():
        return (
            f"{found}. They lie between the last column and the first, which are the same "
            "meridian; leave one out: ds.isel(lon=slice(None, -1))"
        )
    return f"{found}. Leave points that repeat others out, or pass ignore_degenerate=True"
