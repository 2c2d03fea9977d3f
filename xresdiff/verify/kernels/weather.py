"""What surrounds a point of a field: extremes near it, means over rings around it.

A grid is told by `places`, ``(4, y, x)``: latitude and longitude (degrees) of its points, the area
of their cells, and 1 at the rim, beyond which there are no points, else 0.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xresdiff.grids.cells.sphere import unit_vectors
from xresdiff.grids.coords import EARTH_RADIUS_KM
from xresdiff.verify.kernels.lines import apart_km, east_north

__all__ = [
    "FOUND",
    "HALF_A_CELL",
    "LEAST_KNOWN",
    "axes_of",
    "each_field",
    "extreme_near",
    "ring_means",
    "strongest",
    "wind_rings",
]

Floats: TypeAlias = NDArray[np.floating[Any]]

#: What :func:`extreme_near` tells.
FOUND = ("latitude", "longitude", "row", "column", "value")

NO_DIRECTION = 1e-9  # sine of the angle below which a point is the centre itself: 6 mm
LEAST_KNOWN = 0.5  # share of the area of a ring, or of a disc
HALF_A_CELL = 0.51  # of the spacing, with rounding: how far a domain goes beyond its last points


class _Rings(NamedTuple):
    """Which points are in rings around a centre, each in which one and how large its cell is."""

    inside: NDArray[np.intp]
    ring: NDArray[np.intp]
    area: Floats
    whole: NDArray[np.bool_]  # (rings,): within the domain


def extreme_near(
    field: Floats, lat: Floats, lon: Floats, places: Floats, *, sign: int, within_km: float
) -> Floats:
    """Find the largest (`sign` 1) or smallest (-1) value near a point.

    Parameters
    ----------
    field : numpy.ndarray, (..., y, x)
        NaN is left out.
    lat, lon : numpy.ndarray, (...)
        The point, in degrees; shapes that broadcast with those of `field`.
    places : numpy.ndarray, (4, y, x)
        The grid.
    sign : {1, -1}
        Which extreme.
    within_km : float
        Largest distance from the point.

    Returns
    -------
    numpy.ndarray, (..., 5)
        As `FOUND`; row and column are -1, the others NaN, where there is no value, and where a
        neighbour of the point found is more extreme or not known: that is a slope, no extreme.
    """
    points = unit_vectors(places[0], places[1]).reshape(-1, 3)
    result = np.full((*np.broadcast_shapes(field.shape[:-2], lat.shape, lon.shape), 5), np.nan)
    result[..., 2:4] = -1
    cosine = np.cos(min(within_km / EARTH_RADIUS_KM, np.pi))
    for at, (values,), centre in each_field(lat, lon, field):
        near = np.flatnonzero((points @ centre >= cosine) & np.isfinite(values))
        if near.size:
            best = near[np.argmax(sign * values[near])]
            row, column = divmod(int(best), field.shape[-1])
            if places[3, row, column] or not _tops(
                values.reshape(places.shape[1:]), row, column, sign
            ):
                continue
            result[at] = (*places[:2, row, column], row, column, values[best])
    return result


def ring_means(
    field: Floats,
    lat: Floats,
    lon: Floats,
    places: Floats,
    *,
    edges: tuple[float, ...],
    spacing_km: float,
    skipna: bool,
) -> Floats:
    """Average over rings around a centre: ``(..., y, x), (...), (...) -> (..., ring)``.

    Parameters
    ----------
    field, lat, lon, places : numpy.ndarray
        As for :func:`extreme_near`; `lat` and `lon` are those of the centre.
    edges : tuple of float, (ring + 1,)
        Radii between the rings, in km. A point on an edge is in the outer ring.
    spacing_km : float
        Spacing of the grid: the domain goes half of it beyond its last points.
    skipna : bool
        Leave NaN out of the means.

    Returns
    -------
    numpy.ndarray, (..., ring)
        Weighted by the areas of the cells; NaN for rings that are not wholly within the domain,
        or of which less than half of the area is known.
    """
    points = unit_vectors(places[0], places[1])
    shape = np.broadcast_shapes(field.shape[:-2], lat.shape, lon.shape)
    result = np.full((*shape, len(edges) - 1), np.nan)
    for at, (values,), centre in each_field(lat, lon, field):
        rings = _rings_round(centre, points, places, np.asarray(edges), spacing_km)
        result[at] = _mean(values[rings.inside], rings, skipna)
    return result


def wind_rings(
    u: Floats,
    v: Floats,
    lat: Floats,
    lon: Floats,
    places: Floats,
    *,
    edges: tuple[float, ...],
    spacing_km: float,
    skipna: bool,
) -> Floats:
    """Average wind over rings: ``(..., y, x), (..., y, x), (...), (...) -> (..., 3, ring)``.

    Parameters
    ----------
    u, v : numpy.ndarray, (..., y, x)
        Eastward and northward wind.
    lat, lon, places, edges, spacing_km, skipna
        As for :func:`ring_means`.

    Returns
    -------
    numpy.ndarray, (..., 3, ring)
        Tangential wind, anticlockwise; radial wind, outwards; speed. At the centre itself, where
        no direction is outwards, the first two are zero: their mean over all directions.
    """
    points = unit_vectors(places[0], places[1])
    axes = axes_of(places)
    shape = np.broadcast_shapes(u.shape[:-2], v.shape[:-2], lat.shape, lon.shape)
    result = np.full((*shape, 3, len(edges) - 1), np.nan)
    for at, wind, centre in each_field(lat, lon, u, v):
        rings = _rings_round(centre, points, places, np.asarray(edges), spacing_km)
        parts = _parts(centre, wind, axes, rings)
        result[at] = [_mean(part, rings, skipna) for part in parts]
    return result


def strongest(
    field: Floats,
    lat: Floats,
    lon: Floats,
    places: Floats,
    *,
    edges: tuple[float, ...],
    radii: tuple[float, ...],
    spacing_km: float,
    skipna: bool,
) -> Floats:
    """Find the largest value in rings, and the largest mean over one: ``(..., y, x) -> (..., 3)``.

    Parameters
    ----------
    field, lat, lon, places, edges, spacing_km, skipna
        As for :func:`ring_means`.
    radii : tuple of float, (ring,)
        What to call the rings.

    Returns
    -------
    numpy.ndarray, (..., 3)
        Value, mean, radius of that mean. The last two are NaN where the largest mean is that of
        the last ring that is known, others being beyond it; all are where a value is missing
        within the rings and `skipna` is False.
    """
    points = unit_vectors(places[0], places[1])
    shape = np.broadcast_shapes(field.shape[:-2], lat.shape, lon.shape)
    result = np.full((*shape, 3), np.nan)
    for at, (values,), centre in each_field(lat, lon, field):
        rings = _rings_round(centre, points, places, np.asarray(edges), spacing_km)
        inside = values[rings.inside].astype(np.float64)
        known = ~np.isnan(inside)
        if not known.any() or not (skipna or known.all()):
            continue
        means = _mean(inside, rings, skipna)
        result[at] = (inside[known].max(), *_peak(means, np.asarray(radii)))
    return result


def _peak(means: Floats, radii: Floats) -> tuple[float, float]:
    """Return the largest value of a profile and its radius, NaN where it may lie farther out."""
    there = np.flatnonzero(np.isfinite(means))
    if not there.size:
        return np.nan, np.nan
    best = there[np.argmax(means[there])]
    if best == there[-1] and best < means.size - 1:
        return np.nan, np.nan
    return float(means[best]), float(radii[best])


def _tops(field: Floats, row: int, column: int, sign: int) -> bool:
    """Tell whether no neighbour of a point inside the domain has more (or, by -1, less)."""
    rows = np.clip(np.arange(row - 1, row + 2), 0, field.shape[0] - 1)
    columns = np.arange(column - 1, column + 2) % field.shape[1]  # there is a next column: no rim
    return bool((sign * field[np.ix_(rows, columns)] <= sign * field[row, column]).all())


def each_field(
    lat: Floats, lon: Floats, *fields: Floats
) -> Iterator[tuple[tuple[int, ...], list[Floats], Floats]]:
    """Go through fields and their centres: place, values ``(y * x,)``, unit vector.

    Those whose centre is not known are left out.
    """
    shape = np.broadcast_shapes(lat.shape, lon.shape, *(field.shape[:-2] for field in fields))
    centres = unit_vectors(np.broadcast_to(lat, shape), np.broadcast_to(lon, shape))
    whole = [np.broadcast_to(field, (*shape, *field.shape[-2:])) for field in fields]
    for at in np.ndindex(shape):
        if np.isfinite(centres[at]).all():
            yield at, [field[at].reshape(-1) for field in whole], centres[at]


def _rings_round(
    centre: Floats, points: Floats, places: Floats, edges: Floats, spacing_km: float
) -> _Rings:
    """Sort the points of a grid (y, x, 3) into rings around a centre."""
    flat, rim = points.reshape(-1, 3), points[places[3] > 0]
    reach = apart_km(rim - centre).min(initial=np.inf) + HALF_A_CELL * spacing_km
    angle = min(edges[-1] / EARTH_RADIUS_KM, np.pi)
    near = np.flatnonzero(flat @ centre >= np.cos(angle) - 1e-12)  # a little more than needed
    ring = np.searchsorted(edges, apart_km(flat[near] - centre), side="right") - 1
    within = (ring >= 0) & (ring < edges.size - 1)
    inside = near[within]
    return _Rings(inside, ring[within], places[2].reshape(-1)[inside], edges[1:] <= reach)


def _mean(values: Floats, rings: _Rings, skipna: bool) -> Floats:
    """Average the values of the points that are in rings, over each ring."""
    known = ~np.isnan(values) if skipna else np.ones(values.shape, bool)
    area, count = np.where(known, rings.area, 0.0), rings.whole.size
    total = np.bincount(rings.ring, area, count)
    summed = np.bincount(rings.ring, np.where(known, values, 0.0) * area, count)
    enough = total >= LEAST_KNOWN * np.bincount(rings.ring, rings.area, count)
    there = rings.whole & enough & (total > 0)
    return np.divide(summed, total, out=np.full(count, np.nan), where=there)


def _parts(
    centre: Floats, wind: list[Floats], axes: tuple[Floats, Floats], rings: _Rings
) -> tuple[Floats, Floats, Floats]:
    """Return tangential wind, radial wind and speed at the points that are in rings."""
    east, north = _outwards(centre, *(axis[rings.inside] for axis in axes))
    u, v = (part[rings.inside].astype(np.float64) for part in wind)
    return v * east - u * north, u * east + v * north, np.hypot(u, v)


def axes_of(places: Floats) -> tuple[Floats, Floats]:
    """Return the unit vectors eastwards and northwards at the points of a grid, ``(y * x, 3)``."""
    return east_north(places[0].reshape(-1), places[1].reshape(-1))


def _outwards(centre: Floats, east: Floats, north: Floats) -> tuple[Floats, Floats]:
    """Return the direction away from a centre at points with these unit vectors, in its parts.

    The direction away from c at p lies in the plane of both: that of (p . c) p - c.
    """
    east, north = -(east @ centre), -(north @ centre)
    sine = np.hypot(east, north)
    known = sine > NO_DIRECTION
    east, north = (np.divide(a, sine, out=np.zeros_like(a), where=known) for a in (east, north))
    return east, north
