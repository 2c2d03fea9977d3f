"""
An ensemble at 1 km from rain at 16 km
======================================

A weather model with cells of 16 km knows how much it rains in a cell, not where in it. This page
draws sixteen answers at 1 km, looks at them, and asks how good they are. It is what
``xresdiff demo`` does, step by step.
"""

# %%
# The rain
# --------
# The truth is made here, so that the page needs no data: advected cells of several scales, with the
# statistics of radar rain. What a coarse model would see of it are the means of 16 x 16 cells.

import matplotlib.pyplot as plt

import xresdiff
from xresdiff.tutorial import rain_pair

coarse, truth = rain_pair(times=4)
coarse

# %%
# ``.resdiff`` says what it makes of a Dataset: the grid, and which models take it.

print(coarse.resdiff)

# %%
# Downscale
# ---------
# One line; everything else has a default. The members are equally likely, and each of them has the
# rain of the input in every block of 16 x 16 cells.

ens = coarse.resdiff.downscale(members=16)
ens

# %%
# That is not a figure of speech:

means = ens.resdiff.coarsen(16).precip_rate
error = abs(means - coarse.precip_rate.values).max()  # by place: coordinates are rounded
print(f"largest difference of a block mean: {float(error):.1e} mm/h")

# %%
# Look
# ----
# The members agree where the coarse field leaves no choice, and differ where it does: their spread
# tells which. The mean is smooth, as the mean of many possibilities must be; no member is.

ens.resdiff.plot.stamps(truth, coarse=coarse)
plt.show()

# %%
# Score
# -----
# The rival is what one would do otherwise: bilinear interpolation. For a field without members the
# CRPS is the mean absolute error, so the two columns compare.

inside = {dim: truth[dim].clip(coarse[dim].min(), coarse[dim].max()) for dim in ("y", "x")}
bilinear = coarse.interp(inside).assign_coords(truth.coords)

table = ens.resdiff.scores(truth, reference={"bilinear": bilinear})
table.precip_rate.to_pandas().T.round(3)

# %%
# ``spread_skill`` is 1 if the ensemble is as sure of itself as it has reason to be. The rank
# histogram asks the same in another way: it is flat if the truth could be one more member.

ens.resdiff.plot.rank_histogram(truth)
plt.show()

# %%
# The spectrum
# ------------
# Interpolation has next to no variance at short wavelengths. The members should have as much as the
# truth, at every wavelength.

ens.resdiff.plot.spectrum(truth, reference={"bilinear": bilinear})
plt.show()

# %%
# The distance of the spectra in one number, in decibels:

for name, forecast in {"ensemble": ens, "bilinear": bilinear}.items():
    distance = xresdiff.log_spectral_distance(forecast, truth).precip_rate
    print(f"{name}: {float(distance):.1f} dB")
