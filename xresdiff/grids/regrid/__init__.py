"""Fields moved onto other grids: weights made once, kept by key, applied lazily."""

from xresdiff.grids.regrid.fields import cropped, onto, regrid
from xresdiff.grids.regrid.make_weights import Method

__all__ = [
    "Method",
    "cropped",
    "onto",
    "regrid",
]
