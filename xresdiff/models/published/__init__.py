"""Packages that others publish, translated into models of this package.

::

    taiwan        CorrDiff-Taiwan, a zip               earth2studio  the generic CorrDiff folder
    cmip6         CorrDiff CMIP6-ERA5                  gefs          the same, told lead times
    variables     their names of variables             writing       the way back

A translation is made once, kept in the cache folder under the sha256 of what it was made from, and
is a package like any other. What the kinds have in common is in the modules ``package_...``.
"""

from xresdiff.models.published.translating import forget, kept, latest, recognised, translated
from xresdiff.models.published.writing import write_earth2studio

__all__ = ["forget", "kept", "latest", "recognised", "translated", "write_earth2studio"]
