"""The point that the wind turns about fastest: numpy in, numpy out."""

from collections.abc import Callable
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xresdiff.grids.cells.sphere import unit_vectors
from xresdiff.grids.coords import EARTH_RADIUS_KM
from xresdiff.verify.kernels.weather import HALF_A_CELL, LEAST_KNOWN, axes_of, each_field

__all__ = ["centre_of_circulation"]

Floats: TypeAlias = NDArray[np.floating[Any]]

NO_DIRECTION = 1e-7  # sine of the angle below which a point is the centre itself: 60 cm
STEPS_A_DISC = 4  # between the first points looked at, in the radius of a disc


def centre_of_circulation(
    u: Floats,
    v: Floats,
    lat: Floats,
    lon: Floats,
    places: Floats,
    *,
    within_km: float,
    disc_km: float,
    spacing_km: float,
) -> Floats:
    """Find the point about which the wind turns fastest, near a point.

    The one with the largest mean tangential wind over a disc around it, cyclonic as on the
    hemisphere of the given point: sought on a part of the points first, then on their neighbours.

    Parameters
    ----------
    u, v : numpy.ndarray, (..., y, x)
        Eastward and northward wind; NaN is left out, of discs that are known by half at least.
    lat, lon, places, within_km
        As for :func:`extreme_near`.
    disc_km : float
        Radius of the disc, which must lie within the domain.
    spacing_km : float
        Spacing of the grid.

    Returns
    -------
    numpy.ndarray, (..., 5)
        As `FOUND`, where the value is that mean; NaN where it may be larger at a neighbour that
        is too far, or whose disc is not known or not within the domain.
    """
    points = unit_vectors(places[0], places[1])
    axes = axes_of(places)
    shape = np.broadcast_shapes(u.shape[:-2], v.shape[:-2], lat.shape, lon.shape)
    result = np.full((*shape, 5), np.nan)
    result[..., 2:4] = -1
    angle = within_km / EARTH_RADIUS_KM
    disc = (disc_km + 2 * spacing_km) / EARTH_RADIUS_KM  # around neighbours of those allowed, too
    stride = max(1, int(disc_km / spacing_km / STEPS_A_DISC))
    for at, wind, near in each_field(lat, lon, u, v):
        cosine = points @ near
        allowed = cosine >= np.cos(min(angle, np.pi))
        part = np.flatnonzero(cosine >= np.cos(min(angle + disc, np.pi)))
        around = _Discs(wind, points, axes, places, disc_km, spacing_km, part)
        place = _climb(around.turning, 1 if near[2] >= 0 else -1, allowed, stride)
        if place is not None and not places[3][place]:
            result[at] = (*places[:2, *place], *place, around.turning(*place))
    return result


class _Discs:
    """Discs around points of a grid, and how fast a wind turns on them."""

    def __init__(
        self,
        wind: list[Floats],
        points: Floats,
        axes: tuple[Floats, Floats],
        places: Floats,
        disc_km: float,
        spacing_km: float,
        part: NDArray[np.intp],
    ) -> None:
        """Keep the `part` of the points, ``(n,)``, that discs to be looked at are made of."""
        self.centres, self.points = points, points.reshape(-1, 3)[part]
        self.edge = np.cos(min(disc_km / EARTH_RADIUS_KM, np.pi))
        self.reach = np.cos(max(disc_km - HALF_A_CELL * spacing_km, 0.0) / EARTH_RADIUS_KM)
        self.area, rim = (places[i].reshape(-1)[part] for i in (2, 3))
        self.rim = self.points[rim > 0]  # of others, no disc can come to the edge
        u, v = (one[part].astype(np.float64) for one in wind)
        known = np.isfinite(u + v)
        self.known_area = np.where(known, self.area, 0.0)
        u, v = (np.where(known, one, 0.0)[:, None] for one in (u, v))
        self.across = u * axes[1][part] - v * axes[0][part]  # the wind, a right angle clockwise
        self.known: dict[tuple[int, int], float] = {}

    def turning(self, row: int, column: int) -> float:
        """Return the mean tangential wind over a disc, NaN if it is not known or not whole."""
        if (row, column) not in self.known:
            self.known[row, column] = self._turning(self.centres[row, column])
        return self.known[row, column]

    def _turning(self, centre: Floats) -> float:
        if len(self.rim) and (self.rim @ centre).max() > self.reach:
            return np.nan
        cosine = self.points @ centre
        inside = np.flatnonzero(cosine > self.edge)
        area = self.known_area[inside]
        total = area.sum()
        if not total > 0 or total < LEAST_KNOWN * self.area[inside].sum():
            return np.nan
        # across . outwards, where that is (p . c) p - c over the sine of the angle between them
        tangential = self.across[inside] @ centre
        sine = np.sqrt(np.maximum(1 - cosine[inside] ** 2, 0.0))
        away = sine > NO_DIRECTION
        turning = np.divide(tangential * area, sine, out=np.zeros_like(sine), where=away)
        return float(turning.sum() / total)


def _climb(
    height: Callable[[int, int], float], sense: int, allowed: NDArray[np.bool_], stride: int
) -> tuple[int, int] | None:
    """Return where a function is largest (`sense` 1) or smallest (-1), climbing from the best.

    None where that is next to a place where it is not known, or larger though not allowed.
    """

    def value(place: tuple[int, int]) -> float:
        return float(np.nan_to_num(sense * height(*place), nan=-np.inf))

    rows, columns = np.nonzero(allowed)
    wide = (rows - rows.min(initial=0)) % stride + (columns - columns.min(initial=0)) % stride == 0
    starts = list(zip(rows[wide].tolist(), columns[wide].tolist(), strict=True))
    best = max(starts, key=value, default=None)
    while best is not None and value(best) > -np.inf:
        around = _around(best, stride, allowed.shape)
        top = max((place for place in around if allowed[place]), key=value)
        if value(top) > value(best):
            best = top
        elif stride > 1:
            stride = (stride + 1) // 2
        else:
            edge = any(np.isnan(height(*place)) or value(place) > value(best) for place in around)
            return None if edge else best
    return None


def _around(place: tuple[int, int], step: int, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """List a place and those a step away from it; the columns may go round the Earth."""
    rows, columns = (range(at - step, at + step + 1, step) for at in place)
    return [(i, j % shape[1]) for i, j in product(rows, columns) if 0 <= i < shape[0]]
