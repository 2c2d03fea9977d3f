"""Great circles: their points, their directions, distances along them."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xresdiff.grids.cells.sphere import latlon_of, unit_vectors
from xresdiff.grids.coords import EARTH_RADIUS_KM

__all__ = [
    "HALF_WAY_ROUND_KM",
    "Line",
    "apart_km",
    "distance_km",
    "east_north",
    "great_circle",
    "nearest_km",
]

Floats: TypeAlias = NDArray[np.floating[Any]]

HALF_WAY_ROUND_KM = EARTH_RADIUS_KM * np.pi - 1e-3  # a great circle needs a direction


class Line(NamedTuple):
    """Points of a great circle, ``(n,)``: degrees, km, and the direction that it goes in there."""

    lat: Floats
    lon: Floats
    distance_km: Floats
    east: Floats
    north: Floats


def great_circle(start: tuple[float, float], end: tuple[float, float], points: int) -> Line:
    """Place evenly spaced points on the shortest way between two, latitude and longitude (degrees).

    Longitudes go on past 180 or 360 degrees from that of the start, without a jump.

    Examples
    --------
    >>> line = great_circle((0.0, 179.0), (0.0, -179.0), 3)
    >>> line.lon.round(6), line.distance_km.round(1), line.east.round(6)
    (array([179., 180., 181.]), array([  0. , 111.2, 222.4]), array([1., 1., 1.]))
    """
    first, last = (unit_vectors(*map(np.asarray, place)) for place in (start, end))
    axis = np.cross(first, last)
    angle = np.arctan2(np.linalg.norm(axis), first @ last)
    forward = np.cross(axis / np.linalg.norm(axis), first)  # a quarter of the circle on
    way = np.linspace(0, angle, points)[:, None]
    lat, lon = latlon_of(np.cos(way) * first + np.sin(way) * forward)
    direction = np.cos(way) * forward - np.sin(way) * first
    east, north = east_north(lat, lon)
    lon = np.unwrap(lon, period=360)
    lon += 360 * np.round((start[1] - lon[0]) / 360)
    return Line(
        lat,
        lon,
        EARTH_RADIUS_KM * way[:, 0],
        (direction * east).sum(axis=-1),
        (direction * north).sum(axis=-1),
    )


def distance_km(start: tuple[float, float], end: tuple[float, float]) -> float:
    """Return the great-circle distance of two places, latitude and longitude (degrees), in km.

    Examples
    --------
    >>> round(distance_km((0.0, 179.5), (0.0, -179.5)), 1)
    111.2
    """
    first, last = (unit_vectors(*map(np.asarray, place)) for place in (start, end))
    return float(apart_km(first - last))


def nearest_km(lat: Floats, lon: Floats, places: Floats) -> Floats:
    """Return how far points ``(n,)`` are from the nearest one of a grid ``(2 or 4, y, x)``."""
    grid = unit_vectors(places[0], places[1]).reshape(-1, 3)
    grid = grid[np.isfinite(grid).all(axis=1)]
    nearest = [grid[np.argmax(grid @ point)] for point in unit_vectors(lat, lon)]
    return apart_km(np.array(nearest) - unit_vectors(lat, lon))


def east_north(lat: Floats, lon: Floats) -> tuple[Floats, Floats]:
    """Return the unit vectors eastwards and northwards at places (degrees), ``(..., 3)``."""
    theta, phi = np.deg2rad(lat), np.deg2rad(lon)
    zero = np.zeros_like(theta)
    east = np.stack([-np.sin(phi), np.cos(phi), zero], axis=-1)
    north = np.stack(
        [-np.sin(theta) * np.cos(phi), -np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1
    )
    return east, north


def apart_km(chords: Floats) -> Floats:
    """Return the great-circle distances of points that are these vectors apart, (..., 3)."""
    length = np.linalg.norm(chords, axis=-1)
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(length / 2, 0, 1))
