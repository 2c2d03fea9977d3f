"""Cut a source grid down to what a target needs, also across the seam of its longitudes."""

from typing import TypeVar

import numpy as np
import xarray as xr

from xresdiff.grids.cells.sphere import unit_vectors
from xresdiff.grids.coords import Horizontal
from xresdiff.grids.regrid.seams import goes_round

__all__ = ["crop"]

Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)

MARGIN_STEPS = 2.5  # of the source, around the target
WORTH_IT = 0.8  # share of the source below which it is cut


def crop(
    obj: Labelled,
    grid: Horizontal,
    source: tuple[np.ndarray, np.ndarray],
    target: tuple[np.ndarray, np.ndarray],
) -> Labelled:
    """Cut an object to the cap of the sphere that holds a target, and a margin.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        The source; it stays lazy.
    grid : Horizontal
        Its grid.
    source, target : tuple of numpy.ndarray, (y, x)
        Latitude and longitude (degrees) of all points.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        `obj` itself if there is little to cut. A global source may begin at another meridian.
    """
    points, wanted = unit_vectors(*source), unit_vectors(*target).reshape(-1, 3)
    wanted = wanted[np.isfinite(wanted).all(axis=1)]
    centre = wanted.mean(axis=0)
    length = np.linalg.norm(centre)
    if length < 0.1:  # half of the Earth or more
        return obj
    centre /= length
    reach = np.arccos(np.clip((wanted @ centre).min(), -1, 1)) + MARGIN_STEPS * _step(points)
    if not reach < np.pi:
        return obj
    near = points @ centre >= np.cos(reach)
    rows, columns = _span(near.any(axis=1), False), _span(near.any(axis=0), goes_round(source[1]))
    if min(rows.size, columns.size) < 2 or rows.size * columns.size > WORTH_IT * near.size:
        return obj
    return obj.isel({grid.dims[0]: rows, grid.dims[1]: columns})


def _step(points: np.ndarray) -> float:
    """Return the largest distance of neighbours on a grid (y, x, 3), in radians."""
    chords = [np.linalg.norm(np.diff(points, axis=axis), axis=-1) for axis in (0, 1)]
    largest = max((np.nanmax(chord) for chord in chords if chord.size), default=0.0)
    return 2 * np.arcsin(min(1.0, largest / 2))


def _span(needed: np.ndarray, circular: bool) -> np.ndarray:
    """Return the shortest run of places that holds all needed ones."""
    places = np.flatnonzero(needed)
    if not places.size:
        return places
    if not circular:
        return np.arange(places[0], places[-1] + 1)
    n = needed.size
    gaps = np.diff(places, append=places[0] + n)
    after = int(gaps.argmax())  # the longest gap is left out
    first, count = places[(after + 1) % places.size], n - int(gaps[after]) + 1
    return (first + np.arange(count)) % n
