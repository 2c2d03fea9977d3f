"""CF bounds of cells: found, checked, and laid side by side as edges and corners."""

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.cells.projection import geographic
from xresdiff.grids.cells.sphere import unit_vectors
from xresdiff.grids.coords import Horizontal
from xresdiff.grids.coords.criteria import bounds_name

__all__ = ["bounds_of", "corner_bounds", "degrees", "hung", "read_bounds", "vertices"]

ROUNDING = 1e-3  # of a cell: what does not count as a difference between edges
APART = 0.01  # of a cell: how far corners of neighbours may lie apart, written in float32

# The corners of a cell (lower left, lower right, upper right, upper left) among its four bounds:
# counter-clockwise or clockwise, from any of the four.
ORDERS = [np.roll(turn, shift) for turn in ([0, 1, 2, 3], [0, 3, 2, 1]) for shift in range(4)]


def read_bounds(ds: xr.Dataset, grid: Horizontal) -> xr.Dataset:
    """Return a Dataset with the bounds of its grid in memory, read in one go if they are lazy.

    They belong to the coordinates, which are in memory too, and are asked for many times.
    """
    names = {grid.y, grid.x, *(grid.geographic or ())}
    told = {bounds_name(ds[name]) for name in names}
    lazy = [name for name in told & set(ds.variables) if ds[name].chunks is not None]
    if not lazy:
        return ds
    read = ds.drop_vars(set(ds.variables) - set(lazy)).compute().variables
    return ds.assign({name: read[name] for name in lazy})


def bounds_of(obj: xr.Dataset | xr.DataArray, coord: xr.DataArray) -> xr.DataArray | None:
    """Return the CF bounds of a coordinate, None if it has none."""
    name = bounds_name(coord)
    there = obj.variables if isinstance(obj, xr.Dataset) else obj.coords
    if name is None or name not in there:
        return None
    bounds, n = obj[name], 2 * coord.ndim
    if bounds.ndim != coord.ndim + 1 or not set(coord.dims) < set(bounds.dims):
        raise InputError(_unlike(coord, bounds))
    bounds = bounds.transpose(*coord.dims, ...)
    if bounds.shape[-1] != n:
        raise InputError(_unlike(coord, bounds))
    return bounds


def corner_bounds(
    obj: xr.Dataset | xr.DataArray, grid: Horizontal
) -> tuple[xr.DataArray, xr.DataArray] | None:
    """Return the bounds of two-dimensional latitude and longitude, None unless both have some."""
    if grid.geographic is None:
        return None
    lat, lon = (bounds_of(obj, coord) for coord in geographic(obj, grid))
    return None if lat is None or lon is None else (lat, lon)


def hung(
    bounds: xr.DataArray, coord: xr.DataArray, values: np.ndarray, *, angles: bool
) -> np.ndarray:
    """Return the edges that the bounds of a one-dimensional coordinate hang together by.

    Parameters
    ----------
    bounds : xarray.DataArray, (n, 2)
        Bounds, in either order.
    coord : xarray.DataArray, (n,)
        Their coordinate.
    values : numpy.ndarray, (n,)
        Its values, unwrapped if they are `angles`, which edges may be any turns of.

    Returns
    -------
    numpy.ndarray, (n + 1,)
        Edges in the order of the values.

    Raises
    ------
    InputError
        If cells leave gaps, overlap, or do not hold their centres.
    """
    raw = degrees(bounds)
    ends = values[:, None] + (raw - values[:, None] + 180) % 360 - 180 if angles else raw
    low, high = ends.min(axis=1), ends.max(axis=1)
    if angles:
        high[(high == low) & (raw[:, 0] != raw[:, 1])] += 360
    slack = ROUNDING * (high - low).max() + _rounding(bounds) + _rounding(coord)
    first, last = (low, high) if values[-1] >= values[0] else (high, low)
    torn = np.abs(last[:-1] - first[1:]) > slack
    missed = (values < low - slack) | (values > high + slack)
    if torn.any() or missed.any() or (high <= low).any() or not np.isfinite(ends).all():
        at = int(np.argmax(missed)) if missed.any() else int(np.argmax(torn)) if torn.any() else 0
        raise InputError(
            f"the bounds {bounds.name!r} of {coord.name!r} do not hang together: the cell at "
            f"{values[at]:g} has {raw[at].tolist()}, the next {raw[at + 1 : at + 2].tolist()}; "
            f"leave them out: ds.drop_vars({bounds.name!r})"
        )
    return np.append(first, last[-1])


def vertices(
    obj: xr.Dataset | xr.DataArray, grid: Horizontal
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return corners ``(ny + 1, nx + 1)`` from bounds ``(ny, nx, 4)``, None if there are none."""
    bounds = corner_bounds(obj, grid)
    if bounds is None:
        return None
    lat, lon = map(degrees, bounds)
    places = unit_vectors(lat, lon)  # (ny, nx, 4, 3)
    near = APART * np.median(np.linalg.norm(places[:, :, 0] - places[:, :, 2], axis=-1))
    for order in ORDERS:
        if _gap(places[:, :, order]) <= near:
            return _joined(lat[..., order]), _joined(lon[..., order])
    names = [b.name for b in bounds]
    raise InputError(
        f"the bounds {names[0]!r} and {names[1]!r} do not hang together: cells side by side "
        f"share no corners; leave them out: ds.drop_vars({names!r})"
    )


def _gap(places: np.ndarray) -> float:
    """Return how far apart the shared corners of neighbours are at most, ``(ny, nx, 4, 3)``."""
    lower_left, lower_right, upper_right, upper_left = np.moveaxis(places, 2, 0)
    shared = [
        (lower_right[:, :-1], lower_left[:, 1:]),
        (upper_right[:, :-1], upper_left[:, 1:]),
        (upper_left[:-1], lower_left[1:]),
        (upper_right[:-1], lower_right[1:]),
    ]
    return max(float(np.linalg.norm(a - b, axis=-1).max(initial=0)) for a, b in shared)


def _joined(bounds: np.ndarray) -> np.ndarray:
    """Lay the corners of all cells side by side, ``(ny, nx, 4) -> (ny + 1, nx + 1)``."""
    lower_left, lower_right, upper_right, upper_left = np.moveaxis(bounds, -1, 0)
    upper = [upper_left[-1:], upper_right[-1:, -1:]]
    return np.block([[lower_left, lower_right[:, -1:]], upper])


def degrees(coord: xr.DataArray) -> np.ndarray:
    """Return the values of a coordinate in float64, computing them if they are lazy."""
    return np.asarray(coord, dtype=np.float64)


def _unlike(coord: xr.DataArray, bounds: xr.DataArray) -> str:
    """Say that bounds have not the shape of bounds."""
    return (
        f"the bounds {bounds.name!r} run along {tuple(bounds.sizes.items())}; {coord.dims} and "
        f"{2 * coord.ndim} corners are needed; leave them out: ds.drop_vars({bounds.name!r})"
    )


def _rounding(values: xr.DataArray) -> float:
    """Return what the values may be off by their type."""
    eps = np.finfo(values.dtype).eps if values.dtype.kind == "f" else 0.0
    return float(2 * eps * np.abs(values.values).max())
