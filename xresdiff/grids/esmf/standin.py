"""What xESMF finds under the name of ESMPy where ESMPy is not installed."""

from types import SimpleNamespace

from xresdiff.grids.esmf.fields import Field
from xresdiff.grids.esmf.names import (
    CoordSys,
    ExtrapMethod,
    GridItem,
    MeshLoc,
    NormType,
    RegridMethod,
    StaggerLoc,
    UnmappedAction,
)
from xresdiff.grids.esmf.places import Grid, LocStream, Mesh
from xresdiff.grids.esmf.regridding import Regrid

__all__ = [
    "CoordSys",
    "ExtrapMethod",
    "Field",
    "Grid",
    "GridItem",
    "LocStream",
    "Mesh",
    "MeshLoc",
    "NormType",
    "Regrid",
    "RegridMethod",
    "StaggerLoc",
    "UnmappedAction",
    "api",
]

#: ``esmpy.api.locstream.LocStream`` is how xESMF 0.9 reaches the class.
api = SimpleNamespace(locstream=SimpleNamespace(LocStream=LocStream))
