"""Polygons on the unit sphere, bounded by great circles: their areas, their convex parts, overlaps.

Corners are vectors in Cartesian coordinates. A convex cell is an array (4, 3) of corners that run
counter-clockwise seen from outside; a triangle has one corner twice. All functions take many cells
at once. Cells are smaller than a half of the sphere.
"""

import numpy as np

__all__ = [
    "COINCIDENT",
    "ON_SIDE",
    "convex_parts",
    "orient",
    "overlap_areas",
    "polygon_areas",
    "signed_triangles",
]

#: Corners nearer than this (on the unit sphere) are one point: longitudes and latitudes of one
#: place, written in two ways, differ by 1e-15. On the Earth this is a sixteenth of a micrometre.
COINCIDENT = 1e-14

#: A corner at less than this outside of a side counts as inside: sides that two grids share differ
#: by rounding alone.
ON_SIDE = 5e-15


def polygon_areas(polygons: np.ndarray, origins: np.ndarray | float = 0.0) -> np.ndarray:
    """Measure polygons on the sphere.

    Parameters
    ----------
    polygons : numpy.ndarray, (..., m, 3)
        Corners less `origins`, of any length above zero; corners may be repeated.
    origins : numpy.ndarray, (..., 3), default 0
        Subtracted from the corners, so that small polygons keep all their digits.

    Returns
    -------
    numpy.ndarray, (...)
        Areas in steradian, negative for polygons that run clockwise.

    Examples
    --------
    >>> polygon_areas(np.eye(3)) / np.pi  # an eighth of the sphere
    np.float64(0.5)
    """
    points = polygons + np.asarray(origins)[..., None, :] if np.ndim(origins) else polygons
    first, rest = points[..., 0, :], points[..., 1:, :]
    sides = polygons[..., 1:, :] - polygons[..., :1, :]
    triple = _dot(_cross(sides[..., :-1, :], sides[..., 1:, :]), first[..., None, :])
    lengths = np.sqrt(_dot(points, points))
    one, others = lengths[..., :1], lengths[..., 1:]
    to_first = _dot(rest, first[..., None, :])
    denominator = (
        one * others[..., :-1] * others[..., 1:]
        + to_first[..., :-1] * others[..., 1:]
        + to_first[..., 1:] * others[..., :-1]
        + _dot(rest[..., :-1, :], rest[..., 1:, :]) * one
    )
    return 2 * np.arctan2(triple, denominator).sum(axis=-1)


def orient(polygons: np.ndarray) -> np.ndarray:
    """Turn the polygons (n, m, 3) that run clockwise."""
    clockwise = polygon_areas(polygons) < 0
    return np.where(clockwise[:, None, None], polygons[:, ::-1], polygons)


def overlap_areas(
    source: np.ndarray,
    target: np.ndarray,
    source_areas: np.ndarray,
    target_areas: np.ndarray,
) -> np.ndarray:
    """Measure what pairs of convex cells have in common.

    Parameters
    ----------
    source, target : numpy.ndarray, (k, 4, 3)
        Corners of the convex cells of each pair.
    source_areas, target_areas : numpy.ndarray, (k,)
        Their areas, for the pairs of which one cell lies in the other.

    Returns
    -------
    numpy.ndarray, (k,)
        Areas in steradian; 0 for cells that only touch.

    Examples
    --------
    >>> octant = np.eye(3)[None, [0, 1, 2, 2]]
    >>> turned = np.array([[0.8, 0, -0.6], [0, 1, 0], [0.6, 0, 0.8]])[None, [0, 1, 2, 2]]
    >>> overlap_areas(octant, turned, polygon_areas(octant), polygon_areas(turned))
    array([0.9272...])
    """
    areas = np.zeros(len(source))
    heights = _heights(source, target)
    near = np.flatnonzero((heights.max(axis=0) > ON_SIDE).all(axis=0))
    heights = heights[..., near]
    within = heights.min(axis=(0, 1)) >= -ON_SIDE
    areas[near[within]] = source_areas[near[within]]
    near, heights = near[~within], heights[..., ~within]
    back = _heights(target[near], source[near])
    around = back.min(axis=(0, 1)) >= -ON_SIDE
    areas[near[around]] = target_areas[near[around]]
    partly = (back.max(axis=0) > ON_SIDE).all(axis=0) & ~around
    near = near[partly]
    areas[near] = _clipped_areas(source[near], target[near], heights[..., partly])
    return areas


def convex_parts(quads: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orient quadrilaterals counter-clockwise and split those that are not convex.

    One with a corner that points inwards is split along the diagonal from there; one whose sides
    cross (a bow tie) into its two triangles.

    Parameters
    ----------
    quads : numpy.ndarray, (n, 4, 3)
        Corners in either order of running.

    Returns
    -------
    parts : numpy.ndarray, (n, 4, 3)
        The quadrilaterals, or their first triangles.
    others : numpy.ndarray, (m, 4, 3)
        The second triangles.
    owners : numpy.ndarray, (m,), int64
        Which quadrilaterals these belong to.

    Examples
    --------
    >>> dart = np.array([[1.0, 0.0, 0.0], [1.0, 0.1, 0.1], [1.0, 0.3, 0.0], [1.0, 0.1, 0.3]])
    >>> parts, others, owners = convex_parts(dart[None])
    >>> len(parts), len(others), owners
    (1, 1, array([0]))
    """
    turns = _turns(quads)
    backwards = turns[:, 1] + turns[:, 3] < 0
    parts = np.where(backwards[:, None, None], quads[:, ::-1], quads)
    turns = np.where(backwards[:, None], -turns[:, ::-1], turns)
    longest = np.sqrt(_dot(_sides(parts), _sides(parts)).max(axis=1))
    inwards = turns < -COINCIDENT * longest[:, None]
    owners = np.flatnonzero(inwards.any(axis=1))
    others = np.empty((len(owners), 4, 3))
    if len(owners):
        parts[owners], others = _split(parts[owners], inwards[owners])
    return parts, others, owners


def signed_triangles(polygon: np.ndarray) -> np.ndarray:
    """Write a polygon as a sum of triangles, those that run clockwise counting negative.

    Every second corner is cut off, and again from what remains, until nothing does. A cut that
    runs outside of the polygon adds what a later, larger triangle takes away again, so the sum is
    right for every shape; most triangles are small and near the outline.

    Parameters
    ----------
    polygon : numpy.ndarray, (n, 3)
        Corners in order, the last not joined to the first by repeating it.

    Returns
    -------
    numpy.ndarray, (n - 2, 3, 3)
        Triangles.

    Examples
    --------
    >>> signed_triangles(np.eye(3)).shape
    (1, 3, 3)
    """
    triangles = [np.empty((0, 3, 3))]
    while len(polygon) > 2:
        closed = np.concatenate([polygon, polygon[:1]]) if len(polygon) % 2 == 0 else polygon
        triangles.append(np.stack([closed[:-2:2], closed[1:-1:2], closed[2::2]], axis=1))
        polygon = polygon[::2]
    return np.concatenate(triangles)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Vector product over the last axis; a few times faster than numpy.cross."""
    product = np.empty(np.broadcast_shapes(a.shape, b.shape))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        product[..., i] = a[..., j] * b[..., k] - a[..., k] * b[..., j]
    return product


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Scalar product over the last axis."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _sides(cells: np.ndarray) -> np.ndarray:
    """Vectors (k, 4, 3) from each corner to the next."""
    return np.roll(cells, -1, axis=1) - cells


def _turns(cells: np.ndarray) -> np.ndarray:
    """Turn to the left at each corner (k, 4): the volume that it spans with its neighbours."""
    sides = _sides(cells)
    return _dot(_cross(np.roll(sides, 1, axis=1), sides), cells)


def _split(quads: np.ndarray, inwards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split quadrilaterals with corners that point `inwards`, (n, 4), into two triangles each."""
    crossed = inwards.sum(axis=1) > 1
    # Roll the corner that points inwards, or the first of the two that do, into the first place.
    start = (inwards & ~np.roll(inwards, 1, axis=1)).argmax(axis=1)
    order = (start[:, None] + np.arange(4)) % 4
    a, b, c, d = np.take_along_axis(quads, order[..., None], axis=1).swapaxes(0, 1)
    # Of a bow tie, corners a and b turn to the right, c and d to the left: bc and da cross.
    knot = _cross(_cross(b, c), _cross(d, a))
    knot *= np.sign(_dot(knot, b + c))[:, None]
    with np.errstate(invalid="ignore"):
        knot /= np.sqrt(_dot(knot, knot))[:, None]
    first = np.where(crossed[:, None, None], _triangle(a, b, knot), _triangle(a, b, c))
    second = np.where(crossed[:, None, None], _triangle(c, d, knot), _triangle(a, c, d))
    return orient(first), orient(second)


def _triangle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return np.stack([a, b, c, c], axis=1)


def _inward_normals(cells: np.ndarray) -> np.ndarray:
    """Return normals (k, 4, 3), of length 1, of the planes through the sides and the centre."""
    sides = _sides(cells)
    normals = _cross(cells, sides)
    lengths = np.sqrt(_dot(normals, normals))
    empty = lengths < COINCIDENT
    normals /= np.where(empty, 1, lengths)[..., None]
    # A side without length, between a corner and its copy, lends the side before it.
    return np.where(empty[..., None], np.roll(normals, 1, axis=1), normals)


def _planes(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inward normals (k, 4, 3) and distances (k, 4) of the sides from the cell's first corner."""
    normals = _inward_normals(cells)
    return normals, _dot(normals, cells - cells[:, :1])


def _heights(cells: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Heights (corner, side, k) of the corners of `cells` above the sides of `others`."""
    normals, distances = _planes(others)
    local = cells - others[:, :1]
    heights = np.matmul(local, normals.swapaxes(1, 2)) - distances[:, None]
    return np.ascontiguousarray(np.moveaxis(heights, 0, -1))


def _clipped_areas(source: np.ndarray, target: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Areas (k,) of the `source` cells after what lies outside of the `target` is cut off."""
    origins = target[:, 0]
    normals, distances = _planes(target)
    polygons = source - origins[:, None]
    for side in range(4):
        cut = np.flatnonzero(heights[:, side].min(axis=0) < -ON_SIDE)
        clipped = _clip(polygons[cut], normals[cut, side], distances[cut, side])
        polygons = _widen(polygons, clipped.shape[1])
        polygons[cut] = _widen(clipped, polygons.shape[1])
    return np.maximum(polygon_areas(polygons, origins), 0)


def _clip(polygons: np.ndarray, normals: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Cut off what of convex polygons (k, m, 3) lies below one plane each (Sutherland-Hodgman)."""
    following = np.roll(polygons, -1, axis=1)
    heights = _dot(polygons, normals[:, None]) - distances[:, None]
    following_heights = np.roll(heights, -1, axis=1)
    inside = heights >= 0
    crosses = inside != (following_heights >= 0)
    part = heights / np.where(crosses, heights - following_heights, 1)
    crossings = polygons + part[..., None] * (following - polygons)
    slots = (len(polygons), 2 * polygons.shape[1])
    points = np.stack([polygons, crossings], axis=2).reshape(*slots, 3)
    return _compress(points, np.stack([inside, crosses], axis=2).reshape(slots))


def _compress(points: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Move the `kept` points (k, m) of each row to its front and repeat the last of them."""
    places = kept.cumsum(axis=1) - 1
    width = max(int(places[:, -1].max(initial=0)) + 1, 3)
    rows, columns = kept.nonzero()
    chosen = np.zeros((len(points), width), dtype=np.intp)
    chosen[rows, places[rows, columns]] = columns
    chosen = np.maximum.accumulate(chosen, axis=1)
    return np.take_along_axis(points, chosen[..., None], axis=1)


def _widen(polygons: np.ndarray, width: int) -> np.ndarray:
    """Repeat the last corner of polygons (k, m, 3) until they have `width` corners."""
    missing = width - polygons.shape[1]
    if missing <= 0:
        return polygons
    last = np.broadcast_to(polygons[:, -1:], (len(polygons), missing, 3))
    return np.concatenate([polygons, last], axis=1)
