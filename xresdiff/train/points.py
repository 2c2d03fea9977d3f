"""Whether a target lies where a model gives fields: on a refined grid, or on its own points."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xresdiff.errors import InputError
from xresdiff.grids import coords
from xresdiff.grids.cells.projection import geographic
from xresdiff.grids.cells.sphere import typical_spacing_km, unit_vectors
from xresdiff.grids.target import refine

__all__ = ["off_points", "refines"]

TOLERANCE = 0.1  # of a fine cell


def refines(coarse: xr.Dataset, target: xr.Dataset, factor: int) -> bool:
    """Tell whether the target is on the coarse grid, refined."""
    try:
        wanted = coords.find_horizontal(refine(coarse, factor))
        found = coords.find_horizontal(target)
    except InputError:
        return False
    if wanted.kind != found.kind or found.kind == "curvilinear" or wanted.units != found.units:
        return False
    for want, have in (
        (wanted.y_values, found.y_values),
        (wanted.x_values, found.x_values),
    ):
        if want.shape != have.shape or want.size < 2:
            return False
        apart = have - want
        if found.kind == "latlon":
            apart = (apart + 180) % 360 - 180
        if not np.abs(apart).max() < TOLERANCE * abs(want[1] - want[0]):
            return False
    return True


def off_points(target: xr.Dataset, grid: coords.Horizontal, file: xr.Dataset) -> str:
    """Say that a target is not on the points of the grid file of a model; nothing if it is.

    Parameters
    ----------
    target : xarray.Dataset
        Fields.
    grid : Horizontal
        Their grid.
    file : xarray.Dataset
        From :func:`~xresdiff.models.grid_file.read_grid`.
    """
    try:
        have = _points(*geographic(target, grid))
    except InputError as error:
        return str(error)
    need = _points(file["lat"], file["lon"])
    if have[0].shape == need[0].shape:
        chord = np.linalg.norm(unit_vectors(*have) - unit_vectors(*need), axis=-1)
        tolerance = TOLERANCE * min(typical_spacing_km(*need)) / coords.EARTH_RADIUS_KM
        if chord.max() < tolerance:
            return ""
    return f"its grid is {_box(*have)}, not {_box(*need)}"


def _points(lat: xr.DataArray, lon: xr.DataArray) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two-dimensional latitude and longitude of a grid."""
    lats, lons = (np.asarray(values, np.float64) for values in (lat, lon))
    if lats.ndim == 1:
        lats, lons = np.meshgrid(lats, lons, indexing="ij")
    return lats, lons


def _box(lat: NDArray[Any], lon: NDArray[Any]) -> str:
    """Write the size and the first and last point of a grid."""
    first, last = (f"{lat[i, i]:.3f} N {lon[i, i]:.3f} E" for i in (0, -1))
    return f"{lat.shape[0]} x {lat.shape[1]} points from {first} to {last}"
