"""Where the networks work: on the input's own grid, or on one that the input is regridded to."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from xresdiff.grids import coords
from xresdiff.grids.cells import footprint
from xresdiff.grids.cells.projection import geographic
from xresdiff.grids.cells.sphere import typical_spacing_km

__all__ = ["COARSEST", "Placement", "spacing_of", "spelled", "uncovered"]

COARSEST = 2.0  # times the spacing that a model knows: inputs of coarser cells are refused


@dataclass(frozen=True)
class Placement:
    """The grids of a downscaling.

    Parameters
    ----------
    coarse : xarray.Dataset or None
        What the input is regridded to; None if it stays where it is.
    horizontal : Horizontal
        The grid of what the networks take: of `coarse`, or of the input.
    fine : xarray.Dataset
        The coordinates of the result. The refined coarse grid may reach beyond its end.
    shape, padded_shape : tuple of int
        Rows and columns of what the networks give, without and with the padding of a fixed target.
    reach : float, default 0
        How many coarse cells outside of the input's centres are taken to be inside: half a cell of
        the input, and the end of the last block.
    """

    coarse: xr.Dataset | None
    horizontal: coords.Horizontal
    fine: xr.Dataset
    shape: tuple[int, int]
    padded_shape: tuple[int, int]
    reach: float = 0.0

    @property
    def fine_dims(self) -> tuple[Hashable, Hashable]:
        """Names of the rows and columns of the result."""
        return coords.find_horizontal(self.fine).dims


def spacing_of(obj: xr.Dataset | xr.DataArray, grid: coords.Horizontal) -> tuple[float, float]:
    """Return the spacing of rows and columns of any grid in km, typical where it changes."""
    if grid.kind != "curvilinear" and not coords.check_uniform(grid):
        return coords.spacing_km(grid)
    lat, lon = (np.asarray(values, dtype="f8") for values in geographic(obj, grid))
    if lat.ndim == 1:
        lat, lon = np.meshgrid(lat, lon, indexing="ij")
    dy, dx = typical_spacing_km(lat, lon)
    return dy, dx


def spelled(spacing: Iterable[float]) -> str:
    """Write the spacing of rows and columns."""
    return " x ".join(f"{step:.3g}" for step in spacing)


def uncovered(
    ds: xr.Dataset,
    given: coords.Horizontal,
    grid: xr.Dataset | xr.DataArray,
    wanted: coords.Horizontal,
) -> str:
    """Say what the input lacks to reach as far as the grid that is wanted; nothing if it does."""
    have, need = footprint(ds, given), footprint(grid, wanted)
    lacking = have.missing(need)
    if not lacking:
        return ""
    return f"the input covers {have}, the grid wanted {need}: {', '.join(lacking)} are missing"
