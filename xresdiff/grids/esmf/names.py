"""The words of ESMPy that xESMF says; the numbers are ESMPy's."""

from enum import IntEnum

__all__ = [
    "CoordSys",
    "ExtrapMethod",
    "GridItem",
    "MeshLoc",
    "NormType",
    "RegridMethod",
    "StaggerLoc",
    "UnmappedAction",
]


class CoordSys(IntEnum):
    """What coordinates mean."""

    SPH_DEG = 1


class StaggerLoc(IntEnum):
    """Where on a cell of a grid a coordinate lies."""

    CENTER = 0
    EDGE1 = 1
    EDGE2 = 2
    CORNER = 3


class MeshLoc(IntEnum):
    """Where on a mesh a value lies."""

    NODE = 0
    ELEMENT = 1


class GridItem(IntEnum):
    """What a grid can hold beside coordinates."""

    MASK = 0


class RegridMethod(IntEnum):
    """How weights are made."""

    BILINEAR = 0
    PATCH = 1
    CONSERVE = 2
    NEAREST_STOD = 3
    NEAREST_DTOS = 4


class ExtrapMethod(IntEnum):
    """How targets are served that the method left without weights."""

    NEAREST_STOD = 1
    NEAREST_IDAVG = 2


class NormType(IntEnum):
    """What an overlap is divided by: the cell, or the part of it that sources cover."""

    DSTAREA = 0
    FRACAREA = 1


class UnmappedAction(IntEnum):
    """What to do about targets without weights."""

    ERROR = 0
    IGNORE = 1
