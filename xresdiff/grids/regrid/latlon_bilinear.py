"""Bilinear interpolation between parallels and meridians, as published CorrDiff models were fed.

ESMF interpolates between great circles instead: its weights differ by up to 1e-4 on a 0.25 degree
grid.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from xresdiff.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["interpolation"]

EDGE = 1e-9  # of a step or a degree: rounding, by which a point may lie outside


def interpolation(
    source: Mapping[str, np.ndarray], target: Mapping[str, np.ndarray], *, periodic: bool = False
) -> "csr_array":
    """Return the weights of a bilinear interpolation in latitude and longitude.

    Parameters
    ----------
    source : mapping of str to numpy.ndarray
        "lat", (y,), and "lon", (x,), in degrees, each rising or falling throughout.
    target : mapping of str to numpy.ndarray
        "lat" and "lon" in degrees, (y,) and (x,), or both (y, x).
    periodic : bool, default False
        Whether the last longitude is the western neighbour of the first.

    Returns
    -------
    scipy.sparse.csr_array, (target, source)
        Grids are flattened with x running fastest; the rows of points outside are empty.

    Raises
    ------
    InputError
        If the source is not rectilinear.

    Examples
    --------
    >>> source = {"lat": np.array([1.0, 0.0]), "lon": np.array([358.0, 359.0, 360.0])}
    >>> target = {"lat": np.array([0.75]), "lon": np.array([-1.5])}
    >>> interpolation(source, target).toarray()
    array([[0.375, 0.375, 0.   , 0.125, 0.125, 0.   ]])
    """
    from scipy.sparse import coo_array

    if source["lat"].ndim != 1 or min(source["lat"].size, source["lon"].size) < 2:
        raise InputError(
            "'latlon_bilinear' needs an input with one-dimensional latitude and longitude, two "
            "values of each at least; type method='bilinear' or 'nearest_s2d'"
        )
    lat, lon = target["lat"], target["lon"]
    if lat.ndim == 1:
        lat, lon = np.meshgrid(lat, lon, indexing="ij")
    west = source["lon"].min()
    lon = west - EDGE + (lon - west + EDGE) % 360  # in the turn that begins at the source's west
    rows, v = _neighbours(source["lat"], lat.ravel(), round_the_earth=False)
    columns, u = _neighbours(source["lon"], lon.ravel(), round_the_earth=periodic)
    inside = np.flatnonzero(np.isfinite(u) & np.isfinite(v))
    places, shares = [], []
    for i, share_y in ((0, 1 - v), (1, v)):
        for j, share_x in ((0, 1 - u), (1, u)):
            places.append(rows[i] * source["lon"].size + columns[j])
            shares.append(share_y * share_x)
    row = np.tile(inside, 4)
    col = np.concatenate([place[inside] for place in places])
    share = np.concatenate([share[inside] for share in shares])
    return coo_array(
        (share, (row, col)), shape=(lat.size, source["lat"].size * source["lon"].size)
    ).tocsr()


def _neighbours(
    axis: np.ndarray, points: np.ndarray, *, round_the_earth: bool
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return the two places of an axis around every point, and its way between them.

    The way runs from 0 to 1; it is NaN for points outside.
    """
    order = np.argsort(axis, kind="stable")
    rising = axis[order]
    if round_the_earth:
        order, rising = np.append(order, order[0]), np.append(rising, rising[0] + 360)
    first = np.clip(np.searchsorted(rising, points, side="right") - 1, 0, rising.size - 2)
    way = (points - rising[first]) / (rising[first + 1] - rising[first])
    outside = ~((way >= -EDGE) & (way <= 1 + EDGE))
    return (order[first], order[first + 1]), np.where(outside, np.nan, np.clip(way, 0, 1))
