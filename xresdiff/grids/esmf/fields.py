"""Values on a grid, a stream of locations or a mesh."""

from collections.abc import Sequence

import numpy as np

from xresdiff.errors import InputError
from xresdiff.grids.esmf.conservative import cell_areas, polygon_areas
from xresdiff.grids.esmf.names import MeshLoc
from xresdiff.grids.esmf.places import Grid, LocStream, Mesh, Place, corners_of

__all__ = ["Field"]


class Field:
    """Values at places.

    Parameters
    ----------
    grid : Grid, LocStream or Mesh
        The places.
    meshloc : MeshLoc, optional
        As ESMPy's; values of a mesh are those of its polygons.
    ndbounds : sequence of int, optional
        Sizes of further dimensions, which follow those of the places.
    """

    def __init__(
        self,
        grid: Place,
        meshloc: MeshLoc | None = None,
        ndbounds: Sequence[int] | None = None,
    ) -> None:
        self.grid = grid
        self.data = np.zeros((*_shape(grid), *(ndbounds or ())), order="F")
        self.finalized = False

    def get_area(self) -> None:
        """Fill in the areas of the cells, in steradian.

        Raises
        ------
        InputError
            If there are no cells, or they have no corners.
        """
        if isinstance(self.grid, Mesh):
            self.data[...] = polygon_areas(self.grid.polygons)
        elif isinstance(self.grid, Grid):
            self.data[...] = cell_areas(corners_of(self.grid)).T
        else:
            raise InputError("locations have no area; a grid with corners or a mesh has")

    def destroy(self) -> None:
        """Mark as done with."""
        self.finalized = True


def _shape(grid: Place) -> tuple[int, ...]:
    """Return the shape of the values."""
    if isinstance(grid, Grid):
        return tuple(int(n) for n in grid.max_index)
    return (grid.size if isinstance(grid, LocStream) else grid.element_count,)
