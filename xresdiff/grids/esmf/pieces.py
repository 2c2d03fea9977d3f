"""Cells of grids and polygons as convex pieces on the unit sphere, with a tree to find them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xresdiff.errors import InputError
from xresdiff.grids.esmf import sphere_polygons
from xresdiff.grids.esmf.box_tree import BoxTree
from xresdiff.grids.esmf.sphere import sphere_points
from xresdiff.grids.esmf.sphere_polygons import COINCIDENT

__all__ = ["Cells", "Corners", "Pieces", "grid_cells", "grid_quads", "polygon_cells"]

#: Longitudes and latitudes (ny + 1, nx + 1) of the corners of a grid in degrees.
Corners = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Pieces:
    """Convex parts of cells.

    Attributes
    ----------
    corners : numpy.ndarray, (n, 4, 3)
        Unit vectors, counter-clockwise; a triangle repeats one.
    owners : numpy.ndarray, (n,), int64
        The cell of the grid, or the polygon, that each is part of.
    signs : numpy.ndarray, (n,)
        -1 where an area is to be taken away, else 1.
    areas : numpy.ndarray, (n,)
        In steradian, positive.
    tree : BoxTree
        Where they are.
    """

    corners: np.ndarray
    owners: np.ndarray
    signs: np.ndarray
    areas: np.ndarray
    tree: BoxTree


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of a grid, or polygons.

    Attributes
    ----------
    areas : numpy.ndarray, (n,)
        In steradian; NaN where a corner is.
    sizes : numpy.ndarray, (n,)
        How far from its first corner the others reach at most, on the unit sphere.
    pieces : tuple of Pieces
        What they consist of.
    """

    areas: np.ndarray
    sizes: np.ndarray
    pieces: tuple[Pieces, ...]


def grid_cells(corners: Corners, mask: np.ndarray | None = None) -> Cells:
    """Cut the cells of a grid into convex pieces.

    Parameters
    ----------
    corners : tuple of numpy.ndarray, (ny + 1, nx + 1)
        Longitudes and latitudes of the corners in degrees.
    mask : numpy.ndarray, (ny, nx), bool, optional
        Cells that are used; all of them by default.

    Returns
    -------
    Cells
        The cells in C order. Those with a corner that is NaN, and degenerate ones, have pieces
        that the tree does not hold.

    Raises
    ------
    InputError
        If the corners or the mask have a wrong shape.

    Examples
    --------
    >>> cells = grid_cells(np.meshgrid([0.0, 90.0, 180.0], [0.0, 90.0]))
    >>> cells.areas / np.pi
    array([0.5, 0.5])
    """
    quads, shape = grid_quads(corners)
    parts, others, owners = sphere_polygons.convex_parts(quads)
    used = np.ones(len(quads), dtype=bool)
    if mask is not None:
        if np.shape(mask) != shape:
            raise InputError(
                f"the mask has shape {np.shape(mask)}, but there are {shape} cells: it needs one "
                "value for each cell, True where the cell is used"
            )
        used = np.asarray(mask, dtype=bool).ravel()
    pieces = [_pieces(parts, np.arange(len(parts)), used, shape)]
    areas = pieces[0].areas
    if len(owners):
        pieces.append(_pieces(others, owners, used[owners], (1, len(owners))))
        areas = areas.copy()
        areas[owners] += pieces[1].areas
    return Cells(areas, _reach(quads), tuple(pieces))


def polygon_cells(polygons: Sequence[np.ndarray]) -> Cells:
    """Cut polygons into triangles that add up to them.

    Parameters
    ----------
    polygons : sequence of numpy.ndarray, (n, 2)
        Longitudes and latitudes of the corners of each polygon in degrees.

    Returns
    -------
    Cells
        The polygons; their pieces have signs.

    Raises
    ------
    InputError
        If a polygon has a wrong shape.

    Examples
    --------
    >>> square = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
    >>> len(polygon_cells([square]).pieces[0].corners)
    2
    """
    outlines = _outlines(polygons)
    triangles = [sphere_polygons.signed_triangles(outline) for outline in outlines]
    owners = np.repeat(np.arange(len(outlines)), [len(parts) for parts in triangles])
    corners = np.concatenate([np.empty((0, 3, 3)), *triangles])[:, [0, 1, 2, 2]]
    signed = sphere_polygons.polygon_areas(corners)
    totals = np.bincount(owners, signed, minlength=len(outlines))
    signs = np.sign(signed) * np.sign(totals)[owners]
    used = np.isfinite(signs)
    parts = sphere_polygons.orient(corners)
    pieces = _pieces(parts, owners, used, (1, len(parts)), signs)
    sizes = np.array([_reach(outline[None])[0] for outline in outlines])
    return Cells(np.abs(totals), sizes, (pieces,) if len(parts) else ())


def grid_quads(corners: Corners) -> tuple[np.ndarray, tuple[int, int]]:
    """Gather the four corners of each cell of a grid.

    Parameters
    ----------
    corners : tuple of numpy.ndarray, (ny + 1, nx + 1)
        Longitudes and latitudes of the corners in degrees.

    Returns
    -------
    quads : numpy.ndarray, (ny * nx, 4, 3)
        Corners as unit vectors, in turn around the cell.
    shape : tuple of int
        Number of cells (ny, nx).

    Raises
    ------
    InputError
        If the corners have a wrong shape.

    Examples
    --------
    >>> quads, shape = grid_quads(np.meshgrid([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0]))
    >>> quads.shape, shape
    ((6, 4, 3), (2, 3))
    """
    lon, lat = (np.asarray(values, dtype=np.float64) for values in corners)
    if lon.shape != lat.shape or lon.ndim != 2 or min(lon.shape) < 2:
        raise InputError(
            f"the corners have shapes {lon.shape} and {lat.shape}: a grid of (ny, nx) cells needs "
            "two arrays of shape (ny + 1, nx + 1), at least (2, 2). From 1-D corners: "
            "np.meshgrid(lon_b, lat_b)"
        )
    points = sphere_points(lon, lat)
    quads = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2)
    return quads.reshape(-1, 4, 3), (lon.shape[0] - 1, lon.shape[1] - 1)


def _outlines(polygons: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Corners (n, 3) of polygons as unit vectors."""
    for number, polygon in enumerate(polygons):
        shape = np.shape(polygon)
        if len(shape) != 2 or shape[0] < 3 or shape[1] != 2:
            raise InputError(
                f"polygon {number} has shape {shape}: a polygon needs an array of longitudes and "
                "latitudes of shape (corners, 2), with at least three corners"
            )
    arrays = (np.asarray(polygon, dtype=np.float64) for polygon in polygons)
    return [sphere_points(array[:, 0], array[:, 1]) for array in arrays]


def _pieces(
    corners: np.ndarray,
    owners: np.ndarray,
    used: np.ndarray,
    shape: tuple[int, int],
    signs: np.ndarray | None = None,
) -> Pieces:
    areas = sphere_polygons.polygon_areas(corners)
    # False where a corner is NaN, and where the corners lie on one great circle.
    wide = areas > COINCIDENT * _reach(corners)
    return Pieces(
        corners=corners,
        owners=owners,
        signs=np.ones(len(corners)) if signs is None else signs,
        areas=areas,
        tree=BoxTree.around(corners, used & wide, shape),
    )


def _reach(polygons: np.ndarray) -> np.ndarray:
    """Largest distance (n,) of a corner of polygons (n, m, 3) from the first one."""
    chords = polygons[:, 1:] - polygons[:, :1]
    return np.sqrt(np.einsum("nmi,nmi->nm", chords, chords).max(axis=1))
