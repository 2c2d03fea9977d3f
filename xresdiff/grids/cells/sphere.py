"""Points of the unit sphere, for whatever latitudes and longitudes make awkward."""

import numpy as np

from xresdiff.grids.coords import EARTH_RADIUS_KM

__all__ = ["latlon_of", "typical_spacing_km", "unit_vectors"]


def unit_vectors(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Return the points of latitudes and longitudes (degrees), ``(...) -> (..., 3)``."""
    theta, phi = np.deg2rad(lat), np.deg2rad(lon)
    return np.stack([np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi), np.sin(theta)], -1)


def latlon_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude (degrees) of vectors of any length, ``(..., 3) -> (...)``."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.rad2deg(np.arctan2(z, np.hypot(x, y))), np.rad2deg(np.arctan2(y, x))


def typical_spacing_km(lat: np.ndarray, lon: np.ndarray) -> tuple[float, float]:
    """Return the median distance of neighbours along y and along x, whatever the grid.

    Parameters
    ----------
    lat, lon : numpy.ndarray, (y, x)
        In degrees; NaN is left out.

    Returns
    -------
    tuple of float
        In km, NaN along a side of one point.

    Examples
    --------
    >>> dy, dx = typical_spacing_km(*np.meshgrid([59.0, 60.0, 61.0], [0.0, 1.0], indexing="ij"))
    >>> round(dy, 1), round(dx, 1)
    (111.2, 55.6)
    """
    points = unit_vectors(lat, lon)
    chords = [np.linalg.norm(np.diff(points, axis=axis), axis=-1) for axis in (0, 1)]
    angles = [2 * np.arcsin(chord / 2) for chord in chords]
    dy, dx = (EARTH_RADIUS_KM * _median(angle) for angle in angles)
    return dy, dx


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")
