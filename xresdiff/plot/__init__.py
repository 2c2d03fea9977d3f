"""Figures of ensembles, in matplotlib alone: stamps, maps, spectra, histograms, curves of skill.

Every function takes the data first and then keyword arguments, `ax` or `figsize` among them,
computes what it shows and no more, and returns what it drew. Rain is shown in mm h-1, always in the
same colours, so that figures compare. Missing data are grey. The ensemble is blue, the truth black.

`fields` has the maps, `domains` the regions of models, `histories` trainings; the others are curves
of what the rooms of the same names in :mod:`xresdiff.verify` measure. Axes and units are in
`paper`, colours in `colours`, what curves share in `curves`, what is compared in `company`.
"""

from xresdiff.plot.calibrations import rank_histogram, spread_skill
from xresdiff.plot.distributions import pdf
from xresdiff.plot.domains import domain
from xresdiff.plot.events import fss, reliability
from xresdiff.plot.fields import map, stamps
from xresdiff.plot.histories import history
from xresdiff.plot.profiles import cross_section, radial_profile
from xresdiff.plot.spectra import spectrum

__all__ = [
    "cross_section",
    "domain",
    "fss",
    "history",
    "map",
    "pdf",
    "radial_profile",
    "rank_histogram",
    "reliability",
    "spectrum",
    "spread_skill",
    "stamps",
]
