"""Rectangles in the plane of a grid: covering a box, within the cells of another grid, filled."""

from math import ceil, cos, floor, pi, radians
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.cells import Outline, edges, footprint, outline
from xresdiff.grids.cells.projection import from_latlon, is_rotated
from xresdiff.grids.coords import EARTH_RADIUS_KM, Horizontal
from xresdiff.grids.target.arguments import Given

if TYPE_CHECKING:
    from pyproj import CRS

__all__ = [
    "Sides",
    "around_place",
    "covering",
    "filled",
    "latlon_sides",
    "sides_of",
    "sides_over",
    "sides_within",
]

#: South, north, west and east of a rectangle, in the unit of its plane.
Sides: TypeAlias = tuple[float, float, float, float]

KM_PER_DEGREE = EARTH_RADIUS_KM * pi / 180
ROUNDING = 1e-6  # of a cell: what a rectangle may lack for its last cell to count
MOST_CELLS = 2e9
MOST_CELLS_OF_A_PLANE = 2.5e8  # which carry two-dimensional latitude and longitude: 4 GB
SIDE_POINTS = 2001  # along each side of a box of latitude and longitude, curved in the plane


def latlon_sides(given: Given) -> Sides:
    """Return the sides of the box that `lat` and `lon` are, going east.

    Where that passes a jump of longitudes, they are brought to the convention that has none.

    Examples
    --------
    >>> latlon_sides({"lat": (50, 58), "lon": (170, -170)})
    (50.0, 58.0, 170.0, 190.0)
    >>> latlon_sides({"lat": (50, 58), "lon": (350, 2)})
    (50.0, 58.0, -10.0, 2.0)
    """
    (south, north), (west, east) = (map(float, given[name]) for name in ("lat", "lon"))
    if east < west:
        west, east = _rising(west, west + (east - west) % 360)
    return south, north, west, east


def around_place(crs: "CRS", given: Given) -> Sides:
    """Return the sides of a rectangle of `shape` cells around `center`."""
    lat, lon = map(np.asarray, given["center"])
    y, x = (float(value) for value in from_latlon(crs, lat, lon))
    if not np.isfinite([y, x]).all():
        raise InputError(f"{crs.name!r} shows no place at center={given['center']!r}")
    dy, dx = _steps(given, y, is_rotated(crs))
    half_y, half_x = dy * given["shape"][0] / 2, dx * given["shape"][1] / 2
    return y - half_y, y + half_y, x - half_x, x + half_x


def covering(crs: "CRS", given: Given) -> Sides:
    """Return the sides of the cells that cover the box of `lat` and `lon` in a plane.

    They lie at whole multiples of the spacing.
    """
    south, north, west, east = latlon_sides(given)
    lats, lons = np.linspace(south, north, SIDE_POINTS), np.linspace(west, east, SIDE_POINTS)
    lat = np.concatenate([lats, lats, np.full_like(lons, south), np.full_like(lons, north)])
    lon = np.concatenate([np.full_like(lats, west), np.full_like(lats, east), lons, lons])
    middle = np.array([(south + north) / 2]), np.array([(west + east) / 2])
    y, x = _shown(crs, np.append(lat, middle[0]), np.append(lon, middle[1]))
    if is_rotated(crs):
        x = x[-1] + (x - x[-1] + 180) % 360 - 180
    dy, dx = _steps(given, float(y.max() + y.min()) / 2, is_rotated(crs))
    return (*_multiples(y, dy), *_multiples(x, dx))


def sides_of(y: np.ndarray, x: np.ndarray) -> Sides:
    """Return the sides of the rectangle between edges that rise or fall."""
    return float(y.min()), float(y.max()), float(x.min()), float(x.max())


def sides_over(obj: xr.Dataset | xr.DataArray, grid: Horizontal, given: Given) -> Sides:
    """Return the sides of a box of latitude and longitude among the cells of an object."""
    if grid.kind == "latlon":
        south, north, west, east = sides_of(*edges(obj, grid))
        return south, north, *_rising(west, west + min(east - west, 360))
    line = _whole(outline(obj, grid))
    if line.pole:
        return _cap(line, given)
    south, north, west, east = _inscribed(line.lat, line.lon, line.middle)
    return south, north, *_rising(west, east)


def sides_within(obj: xr.Dataset | xr.DataArray, grid: Horizontal, crs: "CRS") -> Sides:
    """Return the sides of a rectangle in the plane of a CRS among the cells of an object."""
    line = _whole(outline(obj, grid))
    have = footprint(obj, grid)
    if have.all_longitudes and not line.pole:
        raise InputError(
            f"the cells cover {have}, of which a projection shows a part; say which instead of "
            "giving the Dataset: target_grid(crs=..., lat=(50, 58), lon=(-10, 2), spacing_km=...)"
        )
    y, x = _shown(crs, np.append(line.lat, line.middle[0]), np.append(line.lon, line.middle[1]))
    if is_rotated(crs):
        x = np.unwrap(x, period=360)
    return _inscribed(y[:-1], x[:-1], (float(y[-1]), float(x[-1])))


def filled(sides: Sides, given: Given, *, angles: bool, most: float) -> list[np.ndarray]:
    """Return the edges of the rows and columns of the whole cells in a rectangle.

    Parameters
    ----------
    sides : tuple of float
        Of the rectangle, in degrees if `angles`, else in m.
    given : mapping
        The spacing, in degrees or km.
    angles : bool
        Whether the plane is one of latitudes and longitudes, true or rotated.
    most : float
        How many cells there may be.

    Returns
    -------
    list of numpy.ndarray, (ny + 1,) and (nx + 1,)
        Rising from the south and the west of the rectangle.

    Raises
    ------
    InputError
        If there are fewer than two cells along a side, or too many.

    Examples
    --------
    >>> filled((50, 51, 0, 0.8), {"spacing_deg": 0.4}, angles=True, most=100)
    [array([50. , 50.4, 50.8]), array([0. , 0.4, 0.8])]
    """
    south, north, west, east = sides
    dy, _ = _steps(given, (south + north) / 2, angles)
    ny = floor((north - south) / dy + ROUNDING)
    _, dx = _steps(given, south + ny * dy / 2, angles)
    nx = floor((east - west) / dx + ROUNDING)
    name = "spacing_deg" if "spacing_deg" in given else "spacing_km"
    found = f"{ny} x {nx} cells of {name}={given[name]:g} would make the grid"
    if min(ny, nx) < 2:
        raise InputError(f"{found}; it needs two or more along each side: take a smaller {name}")
    if ny * nx > most:
        raise InputError(
            f"{found}; {most:g} cells are the most: take a larger {name}, or several smaller grids"
        )
    return [_even(south, dy, ny), _even(west, dx, nx)]


def _cap(line: Outline, given: Given) -> Sides:
    """Return the sides of a box of whole cells around the pole within a line."""
    nearest = float(line.pole * (line.pole * line.lat).max())
    if line.pole * (line.middle[0] - nearest) < 0:
        raise InputError(
            "a pole lies among the cells, but far from their middle; say which box of latitude "
            "and longitude is meant: target_grid(lat=..., lon=..., spacing_km=...)"
        )
    if line.pole < 0:
        return -90.0, nearest, -180.0, 180.0
    step, _ = _steps(given, 0.0, angles=True)
    return 90 - step * floor((90 - nearest) / step + ROUNDING), 90.0, -180.0, 180.0


def _steps(given: Given, middle: float, angles: bool) -> tuple[float, float]:
    """Return the height and width of cells in the unit of the plane, with `middle` their y."""
    if "spacing_deg" in given:
        return given["spacing_deg"], given["spacing_deg"]
    if not angles:
        return 1e3 * given["spacing_km"], 1e3 * given["spacing_km"]
    step = given["spacing_km"] / KM_PER_DEGREE
    return step, step / cos(radians(middle))


def _even(first: float, step: float, n: int) -> np.ndarray:
    """Return n + 1 edges; rounded, so that 50.12 is not 50.120000000000005."""
    return np.round(first + step * np.arange(n + 1), 9)


def _multiples(values: np.ndarray, step: float) -> tuple[float, float]:
    """Return the multiples of a step around values."""
    low, high = float(values.min()) / step, float(values.max()) / step
    return floor(low + ROUNDING) * step, ceil(high - ROUNDING) * step


def _rising(west: float, east: float) -> tuple[float, float]:
    """Bring rising longitudes to within -180 and 180, or 0 and 360, if whole turns can."""
    turn = 360 * ceil((east - 360) / 360 - 1e-9) if east > 360 else 0
    turn = -360 * ceil((-180 - west) / 360 - 1e-9) if west < -180 else turn
    return west - turn, east - turn


def _inscribed(y: np.ndarray, x: np.ndarray, middle: tuple[float, float]) -> Sides:
    """Return the largest rectangle about a place inside of a closed line, with no point in it.

    It has the proportions of the rectangle about that place around all points.
    """
    y_mid, x_mid = middle
    height, width = np.abs(y - y_mid).max(), np.abs(x - x_mid).max()
    v, u = (y - y_mid) / height, (x - x_mid) / width
    share = min(_nearest_on_diagonal(u, v), _nearest_on_diagonal(u, -v))
    share = min(share, float(np.maximum(np.abs(u), np.abs(v)).min()))
    height, width = share * float(height), share * float(width)
    return y_mid - height, y_mid + height, x_mid - width, x_mid + width


def _nearest_on_diagonal(u: np.ndarray, v: np.ndarray) -> float:
    """Return how near to the middle a line crosses u = v, where corners of rectangles lie."""
    off = u - v
    crosses = off[:-1] * off[1:] < 0
    before, after = off[:-1][crosses], off[1:][crosses]
    start, end = u[:-1][crosses], u[1:][crosses]
    return float(np.abs(start + (end - start) * before / (before - after)).min(initial=np.inf))


def _whole(line: Outline) -> Outline:
    """Return an outline whose middle is in the turn of its points, refuse one with gaps."""
    if not (np.isfinite(line.lat).all() and np.isfinite(line.middle).all()):
        raise InputError(
            "latitudes and longitudes along the rim of the grid are not all finite, so the place "
            "of the Dataset is unclear; say where the new grid lies: target_grid(lat=..., lon=...)"
        )
    lat, lon = line.middle
    around = float(line.lon.min() + line.lon.max()) / 2
    return Outline(line.lat, line.lon, (lat, around + (lon - around + 180) % 360 - 180))


def _shown(crs: "CRS", lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return y and x of places, refuse a CRS that does not show them all."""
    y, x = from_latlon(crs, lat, lon)
    hidden = ~np.isfinite(y)
    if hidden.any():
        raise InputError(
            f"{crs.name!r} shows no place at latitude {lat[hidden][0]:g}, longitude "
            f"{lon[hidden][0]:g}; take a smaller box, or another crs"
        )
    return y, x
