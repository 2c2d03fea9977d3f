"""The sums behind the scores: numpy in, numpy out, no labels.

Members are on the last axis, ``(..., m)``; fields on the last two, ``(..., y, x)``. Data may be
float32: differences are taken as they are, sums are made in float64, and results are float64.
NaN in anything that a value depends on makes that value NaN.

`ensembles` has what is known of an ensemble at a point, `probabilities` ranks and probabilities,
`events` counts and windows, `selection` histograms and exact quantiles, `spectral` the waves,
`weather`, `circulation` and `lines` cyclones and sections. `blocks` keeps temporaries small,
`resampling` turns averages into scores and intervals.
"""

from xresdiff.verify.kernels.ensembles import crps, mean, statistics, variance
from xresdiff.verify.kernels.probabilities import rank_shares
from xresdiff.verify.kernels.resampling import Finish, finished, intervals
from xresdiff.verify.kernels.spectral import Window, power_spectrum, wavenumbers

__all__ = [
    "Finish",
    "Window",
    "crps",
    "finished",
    "intervals",
    "mean",
    "power_spectrum",
    "rank_shares",
    "statistics",
    "variance",
    "wavenumbers",
]
