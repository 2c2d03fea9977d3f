"""Figures of ensembles, in matplotlib alone: stamps, maps, spectra, histograms.

Every function takes the data first and then keyword arguments, `ax` or `figsize` among them,
computes what it shows and no more, and returns what it drew. Rain is shown in mm h-1, always in the
same colours, so that figures compare. Missing data are grey.

`fields` has the maps, `domains` the regions of models, `histories` trainings, `curves` the rest;
colours, axes and units are in `paper`.
"""

from xresdiff.plot.curves import rank_histogram, spectrum, spread_skill
from xresdiff.plot.domains import domain
from xresdiff.plot.fields import map, stamps
from xresdiff.plot.histories import history

__all__ = ["domain", "history", "map", "rank_histogram", "spectrum", "spread_skill", "stamps"]
