"""Where the cells of a grid lie on the sphere: corners, outlines, boxes, projections."""

from xresdiff.grids.cells.boxes import Box
from xresdiff.grids.cells.shape import Outline, corners, edges, footprint, outline

__all__ = [
    "Box",
    "Outline",
    "corners",
    "edges",
    "footprint",
    "outline",
]
