"""Close a source grid where its last column meets its first, and at the poles it reaches."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["closed_weights", "goes_round"]

Grid = Mapping[str, np.ndarray]
Maker = Callable[[Grid, bool], "csr_array"]

OF_A_STEP = (0.5, 1.5)  # how far the last column is from the first, between neighbours
MOST_ROWS = 0.5  # of a grid go round, if any: those at the fold of a tripolar grid do not
CORNERS = 4  # weights of a target within a cell; in the cap over a pole there are more


def goes_round(lon: np.ndarray) -> bool:
    """Tell whether the last column of a grid is the neighbour of the first.

    Parameters
    ----------
    lon : numpy.ndarray, (x,) or (y, x)
        Longitudes (degrees).

    Examples
    --------
    >>> goes_round(np.arange(0, 360, 30.0)), goes_round(np.arange(0, 330, 30.0))
    (True, False)
    >>> goes_round(np.arange(0, 361, 30.0))  # has met it already
    False
    """
    rows = np.atleast_2d(lon)
    if rows.shape[1] < 3:
        return False
    steps = _turn(np.diff(rows, axis=1))
    closing = _turn(rows[:, 0] - rows[:, -1])
    known = np.isfinite(steps).all(axis=1)
    steps, closing = steps[known], closing[known]
    with np.errstate(divide="ignore", invalid="ignore"):
        way = closing / np.median(steps, axis=1)  # in steps, onwards
    met = (way > OF_A_STEP[0]) & (way < OF_A_STEP[1])
    round_ = met & (np.abs(np.abs(steps.sum(axis=1) + closing) - 360) < 1e-3)
    return bool(round_.sum() > MOST_ROWS * known.sum())


def closed_weights(source: Grid, target: Grid, make: Maker) -> "csr_array":
    """Make bilinear weights of a source that goes round the earth.

    Where an end row is next to a pole, ESMF's cap closes the grid there; elsewhere nothing lies
    beyond the end row, and only the seam is closed.

    Parameters
    ----------
    source, target : mapping of str to numpy.ndarray
        "lat" and "lon" in degrees, (y,) and (x,), or both (y, x).
    make : callable
        Makes weights of a source; its second argument tells whether to close the seam and both
        ends by caps.

    Returns
    -------
    scipy.sparse.csr_array, (target, source)
        The rows of targets that are not covered are empty.
    """
    near = {sign: _meets_pole(source["lat"], sign) for sign in (-1, 1)}
    if not any(near.values()):
        return _folded(make(_with_first_column_again(source), False), source)
    made = make(source, True)
    lat = target["lat"]
    lats = np.repeat(lat, target["lon"].size) if lat.ndim == 1 else lat.ravel()
    in_cap = np.diff(made.indptr) > CORNERS
    for sign, met in near.items():
        if not met:
            made = _without(made, in_cap & (sign * lats > 0))
    return made


def _turn(degrees: np.ndarray) -> np.ndarray:
    """Return angles in the turn from -180 to 180."""
    return (degrees + 180) % 360 - 180


def _meets_pole(lat: np.ndarray, sign: int) -> bool:
    """Tell whether the end row in one hemisphere is a step or less away from its pole."""
    rows = lat[:, None] if lat.ndim == 1 else lat
    if len(rows) < 2:
        return False
    first = sign * np.nanmean(rows[0]) > sign * np.nanmean(rows[-1])
    end, next_ = (rows[0], rows[1]) if first else (rows[-1], rows[-2])
    step = np.nanmedian(np.abs(end - next_))
    return bool((90 - sign * end <= 1.01 * step).all())


def _with_first_column_again(source: Grid) -> Grid:
    """Return a grid with its first column as its last, too."""
    lat, lon = source["lat"], source["lon"]
    if lat.ndim == 1:
        turn = np.sign(lon[-1] - lon[0]) * 360
        return {"lat": lat, "lon": np.append(lon, lon[0] + turn)}
    return {name: np.hstack([values, values[:, :1]]) for name, values in source.items()}


def _folded(made: "csr_array", source: Grid) -> "csr_array":
    """Give the weights of the column that came twice to the one that there is."""
    from scipy.sparse import coo_array

    ny, nx = source["lat"].shape[0], source["lon"].shape[-1]
    pairs = made.tocoo()
    row, col = pairs.coords
    y, x = np.divmod(col, nx + 1)
    shape = made.shape[0], ny * nx
    return coo_array((pairs.data, (row, y * nx + x % nx)), shape=shape).tocsr()


def _without(made: "csr_array", rows: np.ndarray) -> "csr_array":
    """Empty some rows."""
    from scipy.sparse import coo_array

    pairs = made.tocoo()
    kept = ~rows[pairs.coords[0]]
    places = tuple(places[kept] for places in pairs.coords)
    return coo_array((pairs.data[kept], places), shape=made.shape).tocsr()
