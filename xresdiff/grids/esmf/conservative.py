"""Overlaps of the cells of two grids, for conservative regridding: areas on the unit sphere."""

from collections.abc import Iterator, Sequence

import numpy as np

from xresdiff.grids.esmf import sphere_polygons
from xresdiff.grids.esmf.box_tree import candidate_pairs
from xresdiff.grids.esmf.pieces import (
    Cells,
    Corners,
    Pieces,
    grid_cells,
    grid_quads,
    polygon_cells,
)
from xresdiff.grids.esmf.sphere_polygons import COINCIDENT, ON_SIDE

__all__ = ["cell_areas", "degenerate_cells", "overlaps", "polygon_areas", "polygon_overlaps"]

Overlaps = tuple[np.ndarray, np.ndarray, np.ndarray]

# Pairs of cells that are measured at once: few enough for their arrays to stay in the cache.
CHUNK = 2**15


def overlaps(
    source_corners: Corners,
    target_corners: Corners,
    *,
    source_mask: np.ndarray | None = None,
    target_mask: np.ndarray | None = None,
) -> Overlaps:
    """Measure what each cell of a grid shares with each cell of another.

    Cells are bounded by great circles through four corners, in either order of running; two of
    the corners may coincide, at a pole. They are smaller than a half of the sphere. Cells that are
    not convex are split along the inner diagonal. Cells with a corner that is NaN and cells
    with fewer than three distinct corners share nothing.

    Parameters
    ----------
    source_corners, target_corners : tuple of numpy.ndarray, (ny + 1, nx + 1)
        Longitudes and latitudes of the corners in degrees; longitudes in any range.
    source_mask, target_mask : numpy.ndarray, (ny, nx), bool, optional
        Cells that are used; all of them by default.

    Returns
    -------
    row : numpy.ndarray, (k,), int64
        Target cells, flattened in C order, ascending.
    col : numpy.ndarray, (k,), int64
        Source cells, flattened in C order, ascending within a row.
    area : numpy.ndarray, (k,)
        Areas that they share in steradian, above zero.

    Raises
    ------
    InputError
        If the corners or the masks have a wrong shape.

    Examples
    --------
    >>> source = np.meshgrid([0.0, 1.0, 2.0], [50.0, 51.0])
    >>> target = np.meshgrid([0.5, 1.5], [50.0, 51.0])
    >>> row, col, area = overlaps(source, target)
    >>> row, col, area / cell_areas(target).ravel()[row]
    (array([0, 0]), array([0, 1]), array([0.5, 0.5]))
    """
    source = grid_cells(source_corners, source_mask)
    return _overlaps(source, grid_cells(target_corners, target_mask))


def polygon_overlaps(
    source_corners: Corners,
    polygons: Sequence[np.ndarray],
    *,
    source_mask: np.ndarray | None = None,
) -> Overlaps:
    """Measure what each polygon shares with each cell of a grid.

    Parameters
    ----------
    source_corners : tuple of numpy.ndarray, (ny + 1, nx + 1)
        Longitudes and latitudes of the corners of the cells in degrees.
    polygons : sequence of numpy.ndarray, (n, 2)
        Longitudes and latitudes of the corners of each polygon in degrees, in either order of
        running, without or with the first repeated as the last. Polygons need not be convex; they
        are smaller than a half of the sphere and have great circles as sides.
    source_mask : numpy.ndarray, (ny, nx), bool, optional
        Cells that are used; all of them by default.

    Returns
    -------
    row : numpy.ndarray, (k,), int64
        Polygons, ascending.
    col : numpy.ndarray, (k,), int64
        Source cells, flattened in C order, ascending within a row.
    area : numpy.ndarray, (k,)
        Areas that they share in steradian, above zero.

    Raises
    ------
    InputError
        If the corners, the mask or a polygon have a wrong shape.

    Examples
    --------
    >>> cells = np.meshgrid([0.0, 1.0, 2.0], [0.0, 1.0])
    >>> triangle = np.array([[0.25, 0.0], [0.75, 0.0], [0.5, 0.5]])
    >>> row, col, area = polygon_overlaps(cells, [triangle])
    >>> row, col, area / cell_areas(cells).ravel()[col]
    (array([0]), array([0]), array([0.125...]))
    """
    return _overlaps(grid_cells(source_corners, source_mask), polygon_cells(polygons))


def cell_areas(corners: Corners) -> np.ndarray:
    """Measure the cells of a grid, bounded by great circles.

    Parameters
    ----------
    corners : tuple of numpy.ndarray, (ny + 1, nx + 1)
        Longitudes and latitudes of the corners in degrees.

    Returns
    -------
    numpy.ndarray, (ny, nx)
        Areas in steradian; NaN where a corner is.

    Raises
    ------
    InputError
        If the corners have a wrong shape.

    Examples
    --------
    >>> cell_areas(np.meshgrid([0.0, 90.0], [0.0, 90.0])) / np.pi  # an eighth of the sphere
    array([[0.5]])
    """
    quads, shape = grid_quads(corners)
    parts, others, owners = sphere_polygons.convex_parts(quads)
    areas = sphere_polygons.polygon_areas(parts)
    areas[owners] += sphere_polygons.polygon_areas(others)
    return areas.reshape(shape)


def polygon_areas(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Measure polygons, bounded by great circles.

    Parameters
    ----------
    polygons : sequence of numpy.ndarray, (n, 2)
        Longitudes and latitudes of the corners of each polygon in degrees.

    Returns
    -------
    numpy.ndarray, (number of polygons,)
        Areas in steradian.

    Raises
    ------
    InputError
        If a polygon has a wrong shape.

    Examples
    --------
    >>> polygon_areas([np.array([[0.0, 0.0], [90.0, 0.0], [0.0, 90.0]])]) / np.pi
    array([0.5])
    """
    return polygon_cells(polygons).areas


def degenerate_cells(corners: Corners) -> np.ndarray:
    """Find the cells of a grid that have fewer than three distinct corners.

    Parameters
    ----------
    corners : tuple of numpy.ndarray, (ny + 1, nx + 1)
        Longitudes and latitudes of the corners in degrees.

    Returns
    -------
    numpy.ndarray, (ny, nx), bool
        True for degenerate cells; False for cells with a corner that is NaN.

    Raises
    ------
    InputError
        If the corners have a wrong shape.

    Examples
    --------
    >>> degenerate_cells(np.meshgrid([0.0, 0.0, 1.0, 2.0], [89.0, 90.0]))
    array([[ True, False, False]])
    """
    quads, shape = grid_quads(corners)
    distinct = np.zeros(len(quads), dtype=np.int64)
    for i in range(4):
        apart = np.abs(quads[:, :i] - quads[:, i : i + 1]).max(axis=2) >= COINCIDENT
        distinct += apart.all(axis=1)
    known = np.isfinite(quads).all(axis=(1, 2))
    return ((distinct < 3) & known).reshape(shape)


def _overlaps(source: Cells, target: Cells) -> Overlaps:
    """Sum the overlaps of pieces over the cells that they belong to."""
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for left in source.pieces:
        for right in target.pieces:
            found.extend(_piece_overlaps(left, right))
    row, col, area = (np.concatenate(parts) for parts in zip(*found, strict=True))
    row, col, area = _summed(row, col, area, len(source.sizes))
    # Sides that both grids share leave slivers of the width of a rounding error.
    real = area > ON_SIDE * np.minimum(target.sizes[row], source.sizes[col])
    return row[real], col[real], area[real]


def _piece_overlaps(source: Pieces, target: Pieces) -> Iterator[Overlaps]:
    """Yield the owners of pieces that overlap, target first, and the areas, above or below zero."""
    for pairs in candidate_pairs(source.tree, target.tree):
        for start in range(0, len(pairs[0]), CHUNK):
            left, right = (indices[start : start + CHUNK] for indices in pairs)
            areas = sphere_polygons.overlap_areas(
                source.corners[left],
                target.corners[right],
                source.areas[left],
                target.areas[right],
            )
            some = np.flatnonzero(areas)
            left, right = left[some], right[some]
            areas = areas[some] * source.signs[left] * target.signs[right]
            yield target.owners[right], source.owners[left], areas


def _summed(row: np.ndarray, col: np.ndarray, area: np.ndarray, columns: int) -> Overlaps:
    """Sort by row and column, and add up what has both in common."""
    if not len(row):
        return row, col, area
    key = row * columns + col
    order = np.argsort(key)
    key = key[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    return key[first] // columns, key[first] % columns, np.add.reduceat(area[order], first)
