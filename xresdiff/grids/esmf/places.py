"""Where values lie: grids, streams of locations and meshes, with ESMPy's names and habits.

Arrays of grids are (x, y) in Fortran order, as in ESMPy, so their transposes are (y, x) in C order:
the order in which the cells are numbered.
"""

from typing import Any, TypeAlias

import numpy as np

from xresdiff.errors import InputError
from xresdiff.grids.esmf.names import CoordSys, GridItem, MeshLoc, StaggerLoc
from xresdiff.grids.esmf.sphere import sphere_points

__all__ = ["Grid", "LocStream", "Mesh", "Place", "corners_of", "masked", "points_of"]


class Grid:
    """A logically rectangular grid.

    Parameters
    ----------
    max_index : numpy.ndarray, (2,)
        Number of cells along x and y.
    num_peri_dims : int, optional
        1 where the last cell along x is the neighbour of the first.
    coord_sys, staggerloc : optional
        As ESMPy's.
    """

    rank = 2

    def __init__(
        self,
        max_index: np.ndarray,
        num_peri_dims: int | None = None,
        coord_sys: CoordSys | None = None,
        staggerloc: StaggerLoc | None = None,
    ) -> None:
        self.max_index = np.array(max_index)
        self.num_peri_dims = num_peri_dims or 0
        self.periodic_dim = 0 if self.num_peri_dims else None
        self.coord_sys = coord_sys
        self.coords: list[list[np.ndarray | None]] = [[None, None] for _ in StaggerLoc]
        self.mask: list[np.ndarray | None] = [None for _ in StaggerLoc]
        self.size: list[np.ndarray | None] = [None for _ in StaggerLoc]
        self.staggerloc = [False for _ in StaggerLoc]
        self.finalized = False
        if staggerloc is not None:
            self.add_coords(staggerloc)

    @property
    def has_corners(self) -> bool:
        """Whether the cells have corners."""
        return self.staggerloc[StaggerLoc.CORNER]

    @property
    def upper_bounds(self) -> list[np.ndarray | None]:
        """One past the last index, at every place on a cell."""
        return self.size

    @property
    def lower_bounds(self) -> list[np.ndarray | None]:
        """The first index, at every place on a cell."""
        return [None if size is None else np.zeros_like(size) for size in self.size]

    def add_coords(self, staggerloc: StaggerLoc) -> None:
        """Make room for coordinates, zero at first."""
        more = staggerloc == StaggerLoc.CORNER
        size = self.max_index + more
        self.coords[staggerloc] = [np.zeros(size, order="F") for _ in range(self.rank)]
        self.size[staggerloc] = size
        self.staggerloc[staggerloc] = True

    def get_coords(
        self, coord_dim: int, staggerloc: StaggerLoc = StaggerLoc.CENTER
    ) -> np.ndarray | None:
        """Return the coordinates themselves, to be written to: longitude is 0, latitude is 1."""
        return self.coords[staggerloc][coord_dim]

    def add_item(
        self,
        item: GridItem,
        staggerloc: StaggerLoc = StaggerLoc.CENTER,
        from_file: bool = False,
    ) -> None:
        """Make room for a mask."""
        self.mask[staggerloc] = np.ones(self.max_index, np.int32, order="F")

    def destroy(self) -> None:
        """Mark as done with."""
        self.finalized = True


class LocStream(dict[str, np.ndarray]):
    """Places in no order, with their coordinates by name.

    Parameters
    ----------
    location_count : int
        Number of places.
    coord_sys : CoordSys, optional
        As ESMPy's.
    """

    rank = 1
    mask = None

    def __init__(self, location_count: int, coord_sys: CoordSys | None = None) -> None:
        super().__init__()
        self.size = location_count
        self.coord_sys = coord_sys
        self.finalized = False

    def destroy(self) -> None:
        """Mark as done with."""
        self.finalized = True


class Mesh:
    """Polygons.

    Parameters
    ----------
    parametric_dim, spatial_dim : int
        Both 2.
    coord_sys : CoordSys, optional
        As ESMPy's.
    """

    rank = 1

    def __init__(
        self, parametric_dim: int, spatial_dim: int, coord_sys: CoordSys | None = None
    ) -> None:
        self.coord_sys = coord_sys
        self.mask = [None for _ in MeshLoc]
        self.size: list[int | None] = [None for _ in MeshLoc]
        self.nodes = np.empty((0, 2))
        self.polygons: list[np.ndarray] = []
        self.centres: np.ndarray | None = None
        self.finalized = False

    @property
    def element_count(self) -> int:
        """Number of polygons."""
        return len(self.polygons)

    def add_nodes(
        self, node_count: int, node_ids: np.ndarray, node_coords: np.ndarray, node_owners: Any
    ) -> None:
        """Add the points that corners are chosen from: longitude and latitude, interleaved."""
        self.nodes = np.asarray(node_coords, np.float64).reshape(node_count, 2)
        self.size[MeshLoc.NODE] = node_count

    def add_elements(
        self,
        element_count: int,
        element_ids: np.ndarray,
        element_types: np.ndarray,
        element_conn: np.ndarray,
        element_coords: np.ndarray | None = None,
    ) -> None:
        """Add polygons: how many corners each has, and which nodes these are."""
        corners = np.asarray(element_types, np.int64)
        if few := np.flatnonzero(corners < 3).tolist():
            raise InputError(
                f"the polygons {few[:5]} of {element_count} have fewer than three corners; leave "
                "them out"
            )
        ends = np.cumsum(corners)
        nodes = self.nodes[np.asarray(element_conn, np.int64)[: ends[-1] if ends.size else 0]]
        self.polygons = np.split(nodes, ends[:-1])[:element_count]
        self.size[MeshLoc.ELEMENT] = element_count
        if element_coords is not None:
            self.centres = np.asarray(element_coords, np.float64).reshape(element_count, 2)

    def destroy(self) -> None:
        """Mark as done with."""
        self.finalized = True


Place: TypeAlias = Grid | LocStream | Mesh


def points_of(place: Place) -> np.ndarray:
    """Return the centres of the cells as unit vectors: (y, x, 3) of a grid, else (n, 3).

    Raises
    ------
    InputError
        If a mesh was made without centres.
    """
    if isinstance(place, Grid):
        lon, lat = place.coords[StaggerLoc.CENTER]
        return sphere_points(_there(lon).T, _there(lat).T)
    if isinstance(place, LocStream):
        return sphere_points(place["ESMF:Lon"], place["ESMF:Lat"])
    if place.centres is None:
        raise InputError(
            "this method goes from point to point, and the mesh has polygons without centres; "
            "make it with Mesh.from_polygons(polygons, element_coords='centroid')"
        )
    return sphere_points(*place.centres.T)


def corners_of(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude of the corners of the cells, each (y + 1, x + 1), in degrees.

    Raises
    ------
    InputError
        If the grid has no corners.
    """
    lon, lat = grid.coords[StaggerLoc.CORNER]
    return np.ascontiguousarray(_there(lon).T), np.ascontiguousarray(_there(lat).T)


def masked(place: Place, values: list[int] | None) -> np.ndarray:
    """Tell which cells are masked, in C order; none if no `values` of the mask are named."""
    mask = place.mask[StaggerLoc.CENTER] if isinstance(place, Grid) else None
    if isinstance(place, Grid):
        count = int(np.prod(place.max_index))
    else:
        count = place.size if isinstance(place, LocStream) else place.element_count
    if mask is None or not values:
        return np.zeros(count, bool)
    return np.isin(mask.T.ravel(), values)


def _there(coord: np.ndarray | None) -> np.ndarray:
    """Return a coordinate, refuse None."""
    if coord is None:
        raise InputError(
            "the cells have no corners, which this needs; give the corners as lon_b and lat_b, one "
            "longer than the centres along each dimension"
        )
    return coord
