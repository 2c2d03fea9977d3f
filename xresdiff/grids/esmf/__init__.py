"""The part of ESMPy that xESMF uses, for where ESMPy is not installed.

xESMF makes and applies the weights of regridding; ESMPy computes them, and comes from conda alone.
Where it is not installed, this package computes the same weights with NumPy and SciPy.
"""

from xresdiff.grids.esmf.door import import_xesmf, weights_by

__all__ = ["import_xesmf", "weights_by"]
